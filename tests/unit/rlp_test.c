/* RLP against the vectors of ethereum/tests, and back. */
#include "eth/rlp.c"
#include "vectors.h"

#include "base/buf.h"

/* Every item inside is canonical, too; what was read is written again. */
static bool write_again(struct rlp_bytes in, struct buf *out)
{
    struct rlp_item item;
    while (in.n > 0) {
        if (!rlp_take(&in, &item))
            return false;
        if (!item.is_list) {
            rlp_add_bytes(out, item.body.at, item.body.n);
            continue;
        }
        size_t at = rlp_begin(out);
        if (!write_again(item.body, out))
            return false;
        rlp_end(out, at);
    }
    return true;
}

static void vector(char *fields[], int n)
{
    assert_int_equal(n, 3);
    size_t len;
    struct rlp_item item;
    struct buf out = BUF_INIT(8192);
    uint8_t *bytes = vector_bytes(fields[2], &len);
    struct rlp_bytes in = {bytes, len};
    bool good = rlp_read(in, &item) && write_again(in, &out);
    if (good != (strcmp(fields[1], "valid") == 0))
        fail_msg("%s is %s", fields[0], good ? "taken" : "refused");
    if (good) {
        assert_int_equal(out.len, len);
        assert_memory_equal(out.data, bytes, len);
    }
    buf_free(&out);
    mem_free(bytes);
}

static void vectors(void **state)
{
    (void)state;
    assert_int_equal(vector_rows("rlp.txt", vector), 54);
}

static void numbers(void **state)
{
    (void)state;
    static const uint64_t values[] = {0, 1, 0x7f, 0x80, 0xff, 0x100, 0x400, UINT32_MAX, UINT64_MAX};
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        uint64_t back;
        struct rlp_item item;
        struct buf out = BUF_INIT(16);
        rlp_add_u64(&out, values[i]);
        assert_true(rlp_read((struct rlp_bytes){(uint8_t *)out.data, out.len}, &item));
        assert_true(rlp_get_u64(&item, &back));
        assert_true(back == values[i]);
        buf_free(&out);
    }
}

/* Each is canonical RLP, and yet no number. */
static void no_numbers(void **state)
{
    (void)state;
    static const char *const texts[] = {"0x00", "0x820001", "0x89010000000000000000", "0xc0"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        size_t n;
        uint64_t v;
        struct rlp_item item;
        uint8_t *bytes = vector_bytes(texts[i], &n);
        assert_true(rlp_read((struct rlp_bytes){bytes, n}, &item));
        assert_false(rlp_get_u64(&item, &v));
        mem_free(bytes);
    }
}

static void lists_have_a_ceiling(void **state)
{
    (void)state;
    struct rlp_item items[3];
    static const uint8_t three[] = {0xc3, 1, 2, 3}, empty[] = {0xc0}, left_over[] = {0xc1, 1, 2},
                         string[] = {0x81, 0x80};
    assert_int_equal(rlp_read_list((struct rlp_bytes){three, sizeof three}, items, 3), 3);
    assert_int_equal(rlp_read_list((struct rlp_bytes){three, sizeof three}, items, 2), 0);
    assert_int_equal(rlp_read_list((struct rlp_bytes){empty, sizeof empty}, items, 3), 0);
    assert_int_equal(rlp_read_list((struct rlp_bytes){left_over, sizeof left_over}, items, 3), 0);
    assert_int_equal(rlp_read_list((struct rlp_bytes){string, sizeof string}, items, 3), 0);
}

/* Bytes of chance: what is taken is written back as it was. */
static void what_is_taken_is_canonical(void **state)
{
    (void)state;
    struct rng rng = vector_rng();
    for (int i = 0; i < 200000; i++) {
        uint8_t bytes[80];
        struct buf out = BUF_INIT(sizeof bytes);
        size_t n = rng_below(&rng, sizeof bytes);
        rng_fill(&rng, bytes, n);
        if (n > 0 && write_again((struct rlp_bytes){bytes, n}, &out)) {
            assert_int_equal(out.len, n);
            assert_memory_equal(out.data, bytes, n);
        }
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),
        cmocka_unit_test(numbers),
        cmocka_unit_test(no_numbers),
        cmocka_unit_test(lists_have_a_ceiling),
        cmocka_unit_test(what_is_taken_is_canonical),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
