/* The buffer: hex against printf, and what happens at the ceiling. */
#include "base/buf.h"
#include "vectors.h"

static void check_hex(const uint8_t *bytes, size_t n)
{
    char want[1200] = "";
    for (size_t i = 0; i < n; i++)
        snprintf(want + 2 * i, 3, "%02x", bytes[i]);
    struct buf b = BUF_INIT(2 * n + 4);
    buf_adds(&b, "0x");
    buf_addhex(&b, bytes, n);
    assert_false(b.overflow);
    assert_int_equal(b.len, 2 * n + 2);
    assert_string_equal(buf_str(&b) + 2, want);
    buf_free(&b);
}

static void hex_as_printf_writes_it(void **state)
{
    (void)state;
    struct rng rng = vector_rng();
    uint8_t bytes[512];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    check_hex(bytes, sizeof bytes);
    for (size_t n = 0; n < 100; n++)
        for (int round = 0; round < 20; round++) {
            size_t from = rng_below(&rng, 8); /* at any alignment */
            for (size_t i = 0; i < from + n; i++)
                bytes[i] = (uint8_t)rng_next(&rng);
            check_hex(bytes + from, n);
        }
}

static void the_ceiling_is_a_flag(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(10);
    buf_adds(&b, "12345");
    buf_addhex(&b, (const uint8_t *)"abc", 3); /* one too many */
    assert_true(b.overflow);
    assert_string_equal(buf_str(&b), "12345");
    buf_adds(&b, "6");
    assert_string_equal(buf_str(&b), "12345"); /* sticky */
    buf_clear(&b);
    assert_false(b.overflow);
    buf_addhex(&b, (const uint8_t *)"abcde", 5); /* exactly */
    assert_false(b.overflow);
    assert_string_equal(buf_str(&b), "6162636465");
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hex_as_printf_writes_it),
        cmocka_unit_test(the_ceiling_is_a_flag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
