/* Against viem in both directions, then against replies nobody honest would send. */
#include "eth/abi.h"
#include "eth/aggregate3.h"
#include "vectors.h"

enum { CALLS_MAX = 64 };

static void check_encoding(const struct json *c)
{
    struct call3 calls[CALLS_MAX];
    size_t n = 0;
    for (const struct json *v = json_first(json_get(c, "calls")); v; v = json_next(v), n++) {
        const char *target = json_str(vector_at(v, 0));
        assert_true(n < CALLS_MAX);
        assert_true(address_parse_loose(target, strlen(target), &calls[n].target));
        calls[n].data = vector_bytes(json_str(vector_at(v, 1)), &calls[n].data_len);
    }
    struct buf hex = BUF_INIT(1024 * 1024);
    aggregate3_encode(&hex, calls, n);
    assert_false(hex.overflow);
    assert_string_equal(buf_str(&hex), json_str(json_get(c, "encoded")) + 2);
    buf_free(&hex);
    for (size_t i = 0; i < n; i++)
        mem_free((void *)(uintptr_t)calls[i].data);
}

static void check_decoding(const struct json *c)
{
    struct result3 results[CALLS_MAX];
    struct err err = {0};
    size_t len, n = json_count(json_get(c, "results"));
    uint8_t *reply = vector_bytes(json_str(json_get(c, "reply")), &len);
    assert_true(n < CALLS_MAX);
    if (aggregate3_decode(reply, len, results, n, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < n; i++) {
        const struct json *want = vector_at(json_get(c, "results"), i);
        size_t want_len;
        uint8_t *data = vector_bytes(json_str(vector_at(want, 1)), &want_len);
        assert_int_equal(results[i].success, json_bool(vector_at(want, 0), false));
        assert_int_equal(results[i].data_len, want_len);
        assert_memory_equal(results[i].data, data, want_len);
        mem_free(data);
    }
    assert_int_equal(aggregate3_decode(reply, len, results, n + 1, &err), -1);
    assert_non_null(strstr(err.text, "expected"));
    /* Every prefix is refused, but for the last padding bytes that carry nothing. */
    for (size_t cut = 0; cut + 32 < len; cut++)
        if (aggregate3_decode(reply, cut, results, n, &err) == 0)
            fail_msg("accepted %zu of %zu bytes", cut, len);
    mem_free(reply);
}

static void both_ways_like_viem(void **state)
{
    (void)state;
    struct json *doc = vector_json("aggregate3.json");
    int cases = 0;
    for (const struct json *c = json_first(doc); c; c = json_next(c), cases++) {
        check_encoding(c);
        check_decoding(c);
    }
    assert_int_equal(cases, 7);
    json_free(doc);
}

/* Two results of one word each, laid out as the standard encoding does. */
enum { GOOD = 32 * 12 };
static void good_reply(uint8_t ret[GOOD])
{
    static const uint64_t words[GOOD / 32] = {32, 2, 64, 192, 1, 64, 32, 111, 1, 64, 32, 222};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        abi_put_u64(ret + 32 * i, words[i]);
}

static void hostile_replies(void **state)
{
    (void)state;
    static const struct {
        size_t word, byte;
        uint8_t value;
        const char *what;
    } edits[] = {
        {0, 0, 0x80, "array offset 2^255"},
        {0, 24, 0xff, "array offset near 2^64"},
        {0, 31, 255, "array offset that cuts the array off"},
        {1, 31, 1, "one result too few"},
        {1, 31, 3, "one result too many"},
        {1, 0, 0x80, "count 2^255"},
        {1, 24, 0x80, "count 2^63"},
        {2, 0, 0x80, "element offset 2^255"},
        {2, 24, 0xff, "element offset near 2^64"},
        {3, 30, 1, "element offset past the end"},
        {3, 31, 31, "element offset to where the bool is no bool"},
        {4, 31, 2, "a bool of 2"},
        {4, 0, 1, "a bool of 2^248"},
        {5, 0, 0x80, "data offset 2^255"},
        {5, 24, 0xff, "data offset near 2^64"},
        {5, 30, 1, "data offset past the end"},
        {6, 0, 0x80, "data length 2^255"},
        {6, 24, 0xff, "data length near 2^64"},
        {6, 30, 1, "data length past the end"},
        {10, 31, 33, "last length one past the end"},
    };
    uint8_t good[GOOD];
    struct result3 results[2];
    struct err err = {0};
    good_reply(good);
    assert_int_equal(aggregate3_decode(good, GOOD, results, 2, &err), 0);
    assert_int_equal(results[1].data[31], 222);
    for (size_t i = 0; i < COUNT_OF(edits); i++) {
        uint8_t *bad = mem_alloc(GOOD); /* its own allocation, so that ASan sees the end */
        memcpy(bad, good, GOOD);
        bad[edits[i].word * 32 + edits[i].byte] = edits[i].value;
        err_clear(&err);
        if (aggregate3_decode(bad, GOOD, results, 2, &err) == 0)
            fail_msg("accepted: %s", edits[i].what);
        assert_true(strlen(err.text) > 0);
        mem_free(bad);
    }
    assert_int_equal(aggregate3_decode(NULL, 0, results, 0, &err), -1);
}

/* Elements may share bytes; that is legal ABI and harms nobody, since nothing is copied. */
static void overlapping_elements(void **state)
{
    (void)state;
    uint8_t reply[GOOD];
    struct result3 results[2];
    good_reply(reply);
    abi_put_u64(reply + 32 * 3, 64);
    assert_int_equal(aggregate3_decode(reply, GOOD, results, 2, NULL), 0);
    assert_ptr_equal(results[0].data, results[1].data);
}

static void ceilings(void **state)
{
    (void)state;
    struct call3 call = {.data = (const uint8_t *)"abcd", .data_len = 4};
    struct buf hex = BUF_INIT(100);
    aggregate3_encode(&hex, &call, 1);
    assert_true(hex.overflow);
    buf_clear(&hex);
    aggregate3_encode(&hex, &call, 100001);
    assert_true(hex.overflow);
    buf_free(&hex);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways_like_viem),
        cmocka_unit_test(hostile_replies),
        cmocka_unit_test(overlapping_elements),
        cmocka_unit_test(ceilings),
    };
    return cmocka_run_group_tests_name("aggregate3", tests, NULL, NULL);
}
