/*
 * What large replies go through: hex in bulk, the quick way from a reply to bytes, and the search
 * for secrets. The oracle for hex is sscanf, digit by digit.
 */
#include "base/json.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/random.h"
#include "base/url.h"
#include "eth/event.h"
#include "eth/jsonrpc.h"
#include "rpc/json_fast.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct rng seeded(void)
{
    const char *given = getenv("TRUEUP_SEED");
    uint64_t seed = rng_seed_from_system();
    if (given)
        assert_true(parse_u64(given, strlen(given), &seed));
    printf("# TRUEUP_SEED=%" PRIu64 "\n", seed);
    return (struct rng){seed};
}

/* ---- hex ------------------------------------------------------------------------------------- */

static void every_character_in_every_place(void **state)
{
    (void)state;
    uint8_t before[10], out[10];
    for (size_t place = 0; place < 20; place++) {
        for (int c = 0; c < 256; c++) {
            char text[21] = "0123456789abcdefABCD";
            unsigned wanted;
            char pair[3] = {0};
            text[place] = (char)c;
            memset(before, 0x5a, sizeof before);
            memcpy(out, before, sizeof out);
            memcpy(pair, text + place / 2 * 2, 2);
            bool good = c && strchr("0123456789abcdefABCDEF", c);
            assert_int_equal(parse_hex(text, 20, out, 10), good);
            if (!good) {
                assert_memory_equal(out, before, sizeof out);
                continue;
            }
            assert_int_equal(sscanf(pair, "%2x", &wanted), 1);
            assert_int_equal(out[place / 2], wanted);
        }
    }
}

static void every_length(void **state)
{
    (void)state;
    struct rng rng = seeded();
    for (size_t count = 0; count < 80; count++) {
        uint8_t wanted[80], out[81];
        char text[161];
        for (size_t i = 0; i < count; i++) {
            wanted[i] = (uint8_t)rng_next(&rng);
            snprintf(text + 2 * i, 3, rng_below(&rng, 2) ? "%02x" : "%02X", (unsigned)wanted[i]);
        }
        out[count] = 0x5a;
        assert_true(parse_hex(text, 2 * count, out, count));
        assert_memory_equal(out, wanted, count);
        assert_int_equal(out[count], 0x5a);
        assert_false(parse_hex(text, 2 * count, out, count + 1));
        if (count > 0)
            assert_false(parse_hex(text, 2 * count - 1, out, count));
    }
}

/* ---- replies --------------------------------------------------------------------------------- */

static void replies_that_are_quick(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":\"0x00ffAb\"}",
        "{\"id\":7,\"result\":\"0x00ffAb\",\"jsonrpc\":\"2.0\"}",
        " {\n\"result\" : \"0x00ffAb\" ,\"id\": 7\r\n}\n",
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint8_t *bytes;
        size_t len;
        assert_true(json_fast_bytes(rows[i], strlen(rows[i]), 7, &bytes, &len));
        assert_int_equal(len, 3);
        assert_memory_equal(bytes, "\x00\xff\xab", 3);
        mem_free(bytes);
        /* Cut anywhere before its last brace it is none. */
        for (size_t n = 0; n < (size_t)(strrchr(rows[i], '}') - rows[i]); n++)
            assert_false(json_fast_bytes(rows[i], n, 7, &bytes, &len));
    }
}

static void replies_that_are_left_to_care(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "{}",
        "[]",
        "null",
        "{\"id\":8,\"result\":\"0x00\"}",
        "{\"id\":70,\"result\":\"0x00\"}",
        "{\"id\":null,\"result\":\"0x00\"}",
        "{\"id\":\"7\",\"result\":\"0x00\"}",
        "{\"id\":7.0,\"result\":\"0x00\"}",
        "{\"id\":7e0,\"result\":\"0x00\"}",
        "{\"result\":\"0x00\"}",
        "{\"id\":7}",
        "{\"id\":7,\"result\":null}",
        "{\"id\":7,\"result\":\"\"}",
        "{\"id\":7,\"result\":\"0x0\"}",
        "{\"id\":7,\"result\":\"0x0g\"}",
        "{\"id\":7,\"result\":\"00\"}",
        "{\"id\":7,\"result\":\"0X00\"}",
        "{\"id\":7,\"result\":\"0x\\u0030\\u0030\"}",
        "{\"id\":7,\"result\":[\"0x00\"]}",
        "{\"id\":7,\"result\":\"0x00\",\"error\":{\"code\":1}}",
        "{\"id\":7,\"result\":\"0x00\",\"error\":null}",
        "{\"id\":7,\"id\":8,\"result\":\"0x00\"}",
        "{\"id\":7,\"result\":\"0x00\",\"result\":\"0x01\"}",
        "{\"jsonrpc\":\"1.0\",\"id\":7,\"result\":\"0x00\"}",
        "{\"jsonrpc\":\"2.0\",\"jsonrpc\":\"2.0\",\"id\":7,\"result\":\"0x00\"}",
        "{\"id\":7,\"result\":\"0x00\"}x",
        "{\"id\":7,\"result\":\"0x00\"}{}",
        "{\"id\":7,\"result\":\"0x00\",}",
        "{\"id\":7 \"result\":\"0x00\"}",
        "{\"\\u0069d\":7,\"result\":\"0x00\"}",
        "[{\"id\":7,\"result\":\"0x00\"}]",
        "{\"id\":18446744073709551623,\"result\":\"0x00\"}",
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint8_t *bytes = NULL;
        size_t len = 77;
        if (json_fast_bytes(rows[i], strlen(rows[i]), 7, &bytes, &len))
            fail_msg("took %s", rows[i]);
        assert_true(bytes == NULL && len == 77);
    }
}

/* What the quick way takes, the careful way reads the same. */
static void quick_and_careful_agree(void **state)
{
    (void)state;
    static const char alphabet[] = "{}\":,07x\\ idresultjsonrpc2.";
    static const char base[] = "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":\"0x0042\"}";
    struct rng rng = seeded();
    size_t taken = 0;
    for (int round = 0; round < 200000; round++) {
        char text[sizeof base];
        uint8_t *quick = NULL, *careful = NULL;
        size_t n_quick = 0, n_careful = 0;
        memcpy(text, base, sizeof base);
        for (uint64_t k = rng_below(&rng, 3) + 1; k > 0; k--)
            text[rng_below(&rng, sizeof base - 1)] = alphabet[rng_below(&rng, sizeof alphabet - 1)];
        if (!json_fast_bytes(text, sizeof base - 1, 7, &quick, &n_quick))
            continue;
        struct jsonrpc_reply reply;
        if (jsonrpc_reply_parse(text, sizeof base - 1, 1000, 7, &reply, NULL) < 0 ||
            reply.is_error || !jsonrpc_result_bytes(reply.result, &careful, &n_careful))
            fail_msg("only the quick way takes %s", text);
        assert_int_equal(n_quick, n_careful);
        assert_memory_equal(quick, careful, n_quick);
        mem_free(quick);
        mem_free(careful);
        jsonrpc_reply_free(&reply);
        taken++;
    }
    assert_true(taken > 1000);
}

/* Plain text is looked at in words of eight: what is not plain is seen in every place of one. */
static void odd_bytes_are_seen_in_every_place(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        bool good;
    } rows[] = {{"\0", 1, false},   {"\\u0000", 6, false}, {"\xff", 1, false}, {"\xc3", 1, false},
                {"\x80", 1, false}, {"\xc3\xa9", 2, true}, {"\\n", 2, true},   {"\x7f", 1, true},
                {"\x01", 1, true},  {"[", 1, true},        {"]", 1, true}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (size_t place = 1; place < 33; place++) {
            char text[48];
            memset(text, 'a', sizeof text);
            text[0] = text[40] = '"';
            memcpy(text + place, rows[i].bytes, rows[i].n);
            struct json *doc = json_parse(text, 41, 100, NULL);
            if ((doc != NULL) != rows[i].good)
                fail_msg("row %zu at %zu is %s", i, place, doc ? "taken" : "refused");
            json_free(doc);
        }
    }
}

/* ---- secrets --------------------------------------------------------------------------------- */

static void secrets_are_found_anywhere(void **state)
{
    (void)state;
    static const struct {
        const char *url, *text, *wanted;
    } rows[] = {
        {"https://h.example/v2/abcdefgh", "see https://h.example/v2/abcdefgh.",
         "see https://h.example/…."},
        {"https://h.example/v2/abcdefgh", "POST /v2/abcdefgh failed", "POST /… failed"},
        {"https://h.example/v2/abcdefgh", "key abcdefgh is wrong", "key … is wrong"},
        {"https://h.example/abcdefgh/eth/mainnet", "key abcdefgh on mainnet", "key … on mainnet"},
        {"https://h.example/rpc?x=1&apikey=abcdefgh", "apikey abcdefgh", "apikey …"},
        {"https://me:pass@h.example/", "me:pass and pass", "*** and ***"},
        {"https://longername@h.example/", "longername is unknown", "*** is unknown"},
        {"https://h.example:8545", "connect to h.example port 8545 failed",
         "connect to h.example port 8545 failed"},
        {"https://h.example/", "GET / at https://h.example/", "GET / at https://h.example"},
        {"https://h.example/v2/abcdefgh", "abcdefg", "abcdefg"},
        {"https://h.example/v2/abcdefgh", "", ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char out[200];
        url_scrub(out, sizeof out, rows[i].text, rows[i].url);
        assert_string_equal(out, rows[i].wanted);
    }
}

static void secrets_are_found_before_the_cut(void **state)
{
    (void)state;
    const char *url = "https://h.example/v2/abcdefgh", *text = "123 abcdefgh abcdefgh 456";
    for (size_t room = 1; room < 40; room++) {
        char out[40];
        memset(out, 'z', sizeof out);
        url_scrub(out, room, text, url);
        assert_true(strlen(out) < room);
        assert_null(strchr(out, 'a'));
    }
}

/* ---- logs ------------------------------------------------------------------------------------ */

#define HEX8  "0123abCD"
#define HEX64 HEX8 HEX8 HEX8 HEX8 HEX8 HEX8 HEX8 HEX8
#define LOG(rest)                                                                                  \
    "{\"address\":\"0x18aAA7115705e8be94bffebde57af9bfc265b998\",\"topics\":[\"0x" HEX64           \
    "\",\"0x" HEX64 "\"],\"data\":\"0x" HEX64 "\",\"blockNumber\":\"0x10\",\"transactionHash\":"   \
    "\"0x" HEX64 "\",\"blockHash\":\"0x" HEX64 "\",\"logIndex\":\"0x3\"" rest "}"
#define REPLY(result) "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":" result "}"

static bool quick(const char *text, struct arena *arena, struct event_log **logs, size_t *n)
{
    return json_fast_logs(text, strlen(text), 7, 3, arena, logs, n);
}

static void logs_as_the_careful_way_reads_them(void **state)
{
    (void)state;
    static const char *const taken[] = {
        REPLY("[]"),
        REPLY("[" LOG("") "]"),
        REPLY("[" LOG(",\"removed\":true") "," LOG(",\"removed\":false,\"x\":12") "]"),
        REPLY(" [ " LOG(",\"removed\":null , \"y\" : \"z\"") " ] "),
    };
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        struct arena arena;
        struct jsonrpc_reply r;
        struct event_log *logs, *careful;
        size_t n, n_careful;
        arena_init(&arena);
        assert_true(quick(taken[i], &arena, &logs, &n));
        assert_int_equal(jsonrpc_reply_parse(taken[i], strlen(taken[i]), 65536, 7, &r, NULL), 0);
        assert_int_equal(event_logs_from_json(r.result, 9, &arena, &careful, &n_careful, NULL), 0);
        assert_int_equal(n, n_careful);
        for (size_t k = 0; k < n; k++) {
            assert_true(address_equal(&logs[k].contract, &careful[k].contract));
            assert_int_equal(logs[k].n_topics, 2);
            assert_true(hash_equal(&logs[k].topics[1], &careful[k].topics[1]));
            assert_true(hash_equal(&logs[k].block_hash, &careful[k].block_hash));
            assert_int_equal(logs[k].data_len, 32);
            assert_memory_equal(logs[k].data, careful[k].data, 32);
            assert_int_equal(logs[k].block, 16);
            assert_int_equal(logs[k].index, 3);
            assert_int_equal(logs[k].removed, careful[k].removed);
        }
        jsonrpc_reply_free(&r);
        arena_free(&arena);
    }
}

static void logs_left_to_the_careful_way(void **state)
{
    (void)state;
    static const char *const left[] = {
        REPLY("null"),
        REPLY("{}"),
        REPLY("[{}]"),
        REPLY("[" LOG("") ",]"),
        REPLY("[" LOG("") LOG("") "]"),
        REPLY("[" LOG(",\"removed\":1") "]"),
        REPLY("[" LOG(",\"data\":\"0x\"") "]"), /* twice */
        REPLY("[" LOG(",\"x\":{}") "]"),
        REPLY("[" LOG(",\"x\":\"a\\\\b\"") "]"),
        REPLY("[" LOG(",\"x\":01") "]"),
        REPLY("[" LOG("") "]") "x",
        REPLY("[" LOG("") "," LOG("") "," LOG("") "," LOG("") "]"), /* more than three */
        "{\"jsonrpc\":\"2.0\",\"id\":8,\"result\":[]}",
        "{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{}}",
    };
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++) {
        struct arena arena;
        struct event_log *logs;
        size_t n;
        arena_init(&arena);
        if (quick(left[i], &arena, &logs, &n))
            fail_msg("taken: %s", left[i]);
        arena_free(&arena);
    }
    /* Cut anywhere, it is no reply. */
    static const char whole[] = REPLY("[" LOG(",\"removed\":false") "]");
    for (size_t n = 0; n + 1 < sizeof whole; n++) {
        struct arena arena;
        struct event_log *logs;
        size_t count;
        arena_init(&arena);
        assert_false(json_fast_logs(whole, n, 7, 3, &arena, &logs, &count));
        arena_free(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logs_as_the_careful_way_reads_them),
        cmocka_unit_test(logs_left_to_the_careful_way),
        cmocka_unit_test(every_character_in_every_place),
        cmocka_unit_test(every_length),
        cmocka_unit_test(replies_that_are_quick),
        cmocka_unit_test(replies_that_are_left_to_care),
        cmocka_unit_test(quick_and_careful_agree),
        cmocka_unit_test(odd_bytes_are_seen_in_every_place),
        cmocka_unit_test(secrets_are_found_anywhere),
        cmocka_unit_test(secrets_are_found_before_the_cut),
    };
    return cmocka_run_group_tests_name("node_quick", tests, NULL, NULL);
}
