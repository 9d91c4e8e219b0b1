#include "eth/address.h"
#include "vectors.h"

static void check_spelling(char *fields[], int n)
{
    const char *s = fields[0];
    address a, loose;
    struct err err = {0};
    char text[ADDRESS_TEXT], wrong[ADDRESS_TEXT];
    assert_int_equal(n, 1);
    if (address_parse(s, strlen(s), &a, &err) < 0)
        fail_msg("%s: %s", s, err.text);
    assert_true(address_parse_loose(s, strlen(s), &loose) && address_equal(&a, &loose));
    address_checksum(&a, text);
    assert_string_equal(text, s);
    address_text(&a, text);
    for (const char *c = text; *c; c++)
        assert_true(strchr("0123456789abcdefx", *c));
    assert_int_equal(address_parse(text, strlen(text), &a, &err), 0);

    /* One letter in the other case is a bad checksum, unless that leaves a single case. */
    size_t at = 2 + strcspn(s + 2, "abcdef"), upper = strcspn(s + 2, "ABCDEF");
    if (s[at] == '\0' || s[2 + upper] == '\0' || strpbrk(s + at + 1, "abcdef") == NULL)
        return;
    memcpy(wrong, s, sizeof wrong);
    wrong[at] = (char)(wrong[at] - 'a' + 'A');
    assert_int_equal(address_parse(wrong, strlen(wrong), &a, &err), -1);
    assert_int_equal(err.kind, ERR_USAGE);
    assert_non_null(strstr(err.text, "checksum"));
    assert_non_null(strstr(err.text, s)); /* the right spelling */
    assert_true(address_parse_loose(wrong, strlen(wrong), &a));
}

static void eip55(void **state)
{
    (void)state;
    assert_int_equal(vector_rows("eip55.txt", check_spelling), 8);
    assert_int_equal(vector_rows("checksums.txt", check_spelling), 200);
}

static void errors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } bad[] = {
        {"", "does not start with 0x"},
        {"5aaeb6053f3e94c9b9a09f33669435e7ef1beaed", "does not start with 0x"},
        {"0X5aaeb6053f3e94c9b9a09f33669435e7ef1beaed", "does not start with 0x"},
        {"0x", "has 0 digits"},
        {"0x5aaeb6053f3e94c9b9a09f33669435e7ef1beae", "has 39 digits"},
        {"0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaedd", "has 41 digits"},
        {"0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaeg", "not a hex digit"},
        {"0x5aaeb6053f3e94c9b9a09f33669435e7ef1beae ", "not a hex digit"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct err err = {0};
        address a = {{1}};
        assert_int_equal(address_parse(bad[i].text, strlen(bad[i].text), &a, &err), -1);
        assert_non_null(strstr(err.text, bad[i].expected));
        assert_int_equal(a.b[0], 1);
    }
    address a;
    assert_int_equal(address_parse("0x", 2, &a, NULL), -1); /* the words are not always wanted */
}

static void order_is_that_of_the_text(void **state)
{
    (void)state;
    struct rng rng = vector_rng();
    for (int i = 0; i < 1000; i++) {
        address a, b;
        for (size_t k = 0; k < sizeof a.b; k++) {
            a.b[k] = (uint8_t)rng_next(&rng);
            b.b[k] = rng_below(&rng, 3) ? a.b[k] : (uint8_t)rng_next(&rng);
        }
        char ta[ADDRESS_TEXT], tb[ADDRESS_TEXT];
        address_text(&a, ta);
        address_text(&b, tb);
        int bytes = address_compare(&a, &b), text = strcmp(ta, tb);
        assert_int_equal((bytes > 0) - (bytes < 0), (text > 0) - (text < 0));
        assert_int_equal(address_equal(&a, &b), text == 0);
    }
}

static void hashes(void **state)
{
    (void)state;
    const char *s = "0xDdf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
    hash32 h, zero = {{0}};
    char text[HASH_TEXT];
    assert_true(hash_parse(s, strlen(s), &h));
    hash_text(&h, text);
    assert_string_equal(text + 3, s + 3);
    assert_int_equal(text[2], 'd');
    assert_false(hash_equal(&h, &zero));
    assert_false(hash_parse(s, strlen(s) - 1, &h));
    assert_false(hash_parse(s + 2, strlen(s) - 2, &h));
    address none = {{0}}, one = {{[19] = 1}};
    assert_true(address_is_zero(&none));
    assert_false(address_is_zero(&one));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eip55),
        cmocka_unit_test(errors),
        cmocka_unit_test(order_is_that_of_the_text),
        cmocka_unit_test(hashes),
    };
    return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
