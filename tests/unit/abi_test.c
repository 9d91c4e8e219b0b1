#include "eth/abi.h"
#include "vectors.h"

static void words(void **state)
{
    (void)state;
    uint8_t word[32];
    uint64_t v;
    address a, back;
    abi_put_u64(word, 0x0102030405060708);
    assert_memory_equal(word + 24, "\x01\x02\x03\x04\x05\x06\x07\x08", 8);
    assert_true(abi_get_u64(word, &v) && v == 0x0102030405060708);
    for (int i = 0; i < 24; i++) {
        word[i] = 1;
        assert_false(abi_get_u64(word, &v));
        word[i] = 0;
    }
    memset(a.b, 0xee, sizeof a.b);
    abi_put_address(word, &a);
    assert_true(abi_get_address(word, &back) && address_equal(&a, &back));
    assert_int_equal(word[11], 0);
    for (int i = 0; i < 12; i++) {
        word[i] = 0x80;
        assert_false(abi_get_address(word, &back));
        word[i] = 0;
    }
    uint8_t call[ABI_VIEW_CALL];
    abi_encode_view((const uint8_t *)"\x70\xa0\x82\x31", &a, call);
    assert_memory_equal(call, "\x70\xa0\x82\x31", 4);
    assert_memory_equal(call + 4, word, 32);
}

struct seen {
    address list[200];
    size_t n, stop_after;
};

static bool keep(void *ctx, const address *a)
{
    struct seen *s = ctx;
    assert_true(s->n < 200);
    s->list[s->n++] = *a;
    return s->n != s->stop_after;
}

static void lists_by_viem(void **state)
{
    (void)state;
    struct json *doc = vector_json("addresses.json");
    int cases = 0;
    for (const struct json *c = json_first(doc); c; c = json_next(c), cases++) {
        size_t n, count = json_count(json_get(c, "list"));
        uint8_t *data = vector_bytes(json_str(json_get(c, "encoded")), &n);
        struct seen seen = {0};
        assert_true(abi_decode_addresses(data, n, count, keep, &seen));
        assert_int_equal(seen.n, count);
        size_t i = 0;
        for (const struct json *v = json_first(json_get(c, "list")); v; v = json_next(v), i++) {
            address a;
            assert_true(address_parse_loose(json_str(v), strlen(json_str(v)), &a));
            assert_true(address_equal(&a, &seen.list[i]));
        }
        /* One more than allowed, or any prefix of the reply: nothing is visited. */
        struct seen none = {0};
        assert_true(count == 0 || !abi_decode_addresses(data, n, count - 1, keep, &none));
        for (size_t cut = 0; cut < n; cut++)
            assert_false(abi_decode_addresses(data, cut, 1000, keep, &none));
        assert_int_equal(none.n, 0);
        struct seen one = {.stop_after = 1};
        assert_true(abi_decode_addresses(data, n, count, keep, &one));
        assert_int_equal(one.n, count ? 1 : 0);
        mem_free(data);
    }
    assert_int_equal(cases, 4);
    json_free(doc);
}

static void hostile_lists(void **state)
{
    (void)state;
    uint8_t good[5 * 32] = {0};
    good[31] = 32;
    good[63] = 3;
    good[64 + 31] = good[96 + 31] = good[128 + 31] = 7;
    static const struct {
        size_t at;
        uint8_t value;
        const char *what;
    } edits[] = {
        {0, 0x80, "offset 2^255"},       {24, 0xff, "offset near 2^64"},
        {31, 160, "offset at the end"},  {31, 129, "offset past it"},
        {32, 0x80, "count 2^255"},       {56, 0xff, "count near 2^64"},
        {56, 8, "count times 32 wraps"}, {63, 4, "one too many"},
        {64, 1, "dirty address"},        {128 + 11, 1, "dirty last"},
    };
    struct seen seen = {0};
    assert_true(abi_decode_addresses(good, sizeof good, 3, keep, &seen));
    assert_int_equal(seen.n, 3);
    for (size_t i = 0; i < COUNT_OF(edits); i++) {
        uint8_t bad[sizeof good + 64] = {0}; /* a read past the end finds a believable zero */
        memcpy(bad, good, sizeof good);
        bad[edits[i].at] = edits[i].value;
        if (abi_decode_addresses(bad, sizeof good, SIZE_MAX, keep, &seen))
            fail_msg("accepted: %s", edits[i].what);
    }
    assert_int_equal(seen.n, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words),
        cmocka_unit_test(lists_by_viem),
        cmocka_unit_test(hostile_lists),
    };
    return cmocka_run_group_tests_name("abi", tests, NULL, NULL);
}
