/* Envelopes as nodes, gateways and proxies really send them. */
#include "eth/jsonrpc.h"
#include "vectors.h"

enum { CEILING = 1024 * 1024 };

static void requests(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(1000);
    jsonrpc_request(&b, 7, "eth_chainId", NULL, 0);
    assert_string_equal(buf_str(&b), "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"eth_chainId\","
                                     "\"params\":[]}");
    buf_clear(&b);
    jsonrpc_request(&b, UINT64_MAX, "a\"b", "[1,2]xxx", 5);
    assert_string_equal(buf_str(&b), "{\"jsonrpc\":\"2.0\",\"id\":18446744073709551615,\"method\":"
                                     "\"a\\\"b\",\"params\":[1,2]}");
    buf_free(&b);
}

static void results(void **state)
{
    (void)state;
    static const char *const good[] = {
        "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":\"0x1\"}",
        "{\"id\":7,\"result\":\"0x1\"}",
        " {\"id\":\"7\",\"result\":\"0x1\"}\r\n",
        "{\"id\":7,\"error\":null,\"result\":\"0x1\"}",
        "[{\"id\":7,\"result\":\"0x1\"}]",
    };
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct jsonrpc_reply r;
        struct err err = {0};
        if (jsonrpc_reply_parse(good[i], strlen(good[i]), CEILING, 7, &r, &err) < 0)
            fail_msg("%s: %s", good[i], err.text);
        assert_false(r.is_error);
        assert_string_equal(json_str(r.result), "0x1");
        jsonrpc_reply_free(&r);
    }
    struct jsonrpc_reply r;
    const char *null = "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":null}";
    assert_int_equal(jsonrpc_reply_parse(null, strlen(null), CEILING, 7, &r, NULL), 0);
    assert_false(r.is_error);
    assert_true(json_is_null(r.result));
    jsonrpc_reply_free(&r);
    jsonrpc_reply_free(&r);
    jsonrpc_reply_free(NULL);
}

static void errors(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t code;
        const char *message, *whole;
    } cases[] = {
        {"{\"id\":7,\"error\":{\"code\":-32000,\"message\":\"header not found\"}}", -32000,
         "header not found", "header not found"},
        {"{\"id\":null,\"error\":{\"code\":429,\"message\":\"slow\"}}", 429, "slow", "slow"},
        {"{\"error\":{\"code\":\"-32005\",\"message\":\"limit\"}}", -32005, "limit", "limit"},
        {"{\"id\":7,\"result\":null,\"error\":{\"code\":3,\"message\":\"execution reverted\","
         "\"data\":\"0x08c379a0\"}}",
         3, "execution reverted", "0x08c379a0"},
        {"{\"id\":7,\"error\":\"rate limited\"}", 0, "rate limited", "rate limited"},
        {"{\"id\":7,\"error\":[{\"code\":5,\"message\":\"first\"},{\"message\":\"second\"}]}", 5,
         "first", "second"},
        {"{\"id\":7,\"error\":[\"only words\"]}", 0, "only words", "only words"},
        {"{\"id\":7,\"error\":[]}", 0, "", "[]"},
        {"{\"id\":7,\"error\":{}}", 0, "", "{}"},
        {"{\"id\":7,\"error\":{\"code\":\"abc\",\"message\":17}}", 0, "", "abc"},
        {"{\"id\":7,\"error\":{\"code\":1.5}}", 0, "", "1.5"},
        {"{\"id\":7,\"error\":true}", 0, "", "true"},
        {"[{\"id\":null,\"error\":{\"code\":-32600,\"message\":\"no batches\"}}]", -32600,
         "no batches", "no batches"},
        {"{\"id\":7,\"error\":{\"message\":\"m\",\"data\":{\"from\":\"0x1\",\"to\":\"0x2\"}}}", 0,
         "m", "\"from\":\"0x1\",\"to\":\"0x2\""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct jsonrpc_reply r;
        struct err err = {0};
        if (jsonrpc_reply_parse(cases[i].text, strlen(cases[i].text), CEILING, 7, &r, &err) < 0)
            fail_msg("%s: %s", cases[i].text, err.text);
        assert_true(r.is_error);
        assert_null(r.result);
        assert_true(r.code == cases[i].code);
        assert_string_equal(r.message, cases[i].message);
        if (!strstr(buf_str(&r.whole), cases[i].whole))
            fail_msg("%s: whole is %s", cases[i].text, buf_str(&r.whole));
        jsonrpc_reply_free(&r);
    }
}

static void no_reply_of_ours(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "<html><body>502 Bad Gateway</body></html>",
        "{\"id\":7,\"result\":\"0x",
        "{\"id\":7,\"result\":\"0x1\"} trailing",
        "{\"id\":8,\"result\":\"0x1\"}",
        "{\"id\":null,\"result\":\"0x1\"}",
        "{\"result\":\"0x1\"}",
        "{\"id\":-7,\"result\":\"0x1\"}",
        "{\"id\":7.5,\"result\":\"0x1\"}",
        "{\"id\":8,\"error\":{\"code\":1}}",
        "{\"id\":7}",
        "{\"id\":7,\"error\":null}",
        "{\"id\":7,\"result\":\"0x1\",\"error\":{\"code\":1}}",
        "[]",
        "[{\"id\":7,\"result\":1},{\"id\":8,\"result\":2}]",
        "[[{\"id\":7,\"result\":1}]]",
        "null",
        "\"0x1\"",
        "7",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct jsonrpc_reply r = {.code = 99};
        struct err err = {0};
        if (jsonrpc_reply_parse(bad[i], strlen(bad[i]), CEILING, 7, &r, &err) == 0)
            fail_msg("accepted %s", bad[i]);
        assert_true(strlen(err.text) > 0);
        assert_int_equal(r.code, 99);
    }
    const char *good = "{\"id\":7,\"result\":\"0x1\"}";
    struct jsonrpc_reply r;
    struct err err = {0};
    assert_int_equal(jsonrpc_reply_parse(good, strlen(good), strlen(good) - 1, 7, &r, &err), -1);
    assert_int_equal(err.kind, ERR_TOO_LARGE);
}

/* A long error keeps its message, whatever else is cut. */
static void long_errors(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(CEILING);
    buf_adds(&b, "{\"id\":7,\"error\":{\"data\":\"");
    for (int i = 0; i < 20000; i++)
        buf_adds(&b, "deadbeef");
    buf_adds(&b, "\",\"code\":3,\"message\":\"execution reverted\"}}");
    struct jsonrpc_reply r;
    assert_int_equal(jsonrpc_reply_parse(b.data, b.len, CEILING, 7, &r, NULL), 0);
    assert_int_equal(strncmp(buf_str(&r.whole), "execution reverted\n", 19), 0);
    assert_int_equal(r.whole.len, 64 * 1024);
    jsonrpc_reply_free(&r);
    buf_free(&b);
}

static void bytes_of(const char *text, bool expected, size_t len)
{
    uint8_t *bytes = NULL;
    size_t n = 0;
    struct json *doc = json_parse(text, strlen(text), CEILING, NULL);
    assert_non_null(doc);
    if (jsonrpc_result_bytes(doc, &bytes, &n) != expected)
        fail_msg("%s", text);
    assert_int_equal(n, len);
    assert_int_equal(bytes != NULL, expected);
    mem_free(bytes);
    json_free(doc);
}

static void result_bytes(void **state)
{
    (void)state;
    bytes_of("\"0x\"", true, 0);
    bytes_of("\"0x00fF\"", true, 2);
    bytes_of("\"0x0\"", false, 0);
    bytes_of("\"0xzz\"", false, 0);
    bytes_of("\"00\"", false, 0);
    bytes_of("\"\"", false, 0);
    bytes_of("\"0\"", false, 0);
    bytes_of("null", false, 0);
    bytes_of("{}", false, 0);
    bytes_of("5", false, 0);
}

static void batches(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
    } cases[] = {
        {"[{\"id\":1},{\"id\":2}]", 2},
        {" [ {\"a\":\"}\\\"{\"} ,\n{\"b\":{\"c\":[{}]}} ] ", 2},
        {"[{\"a\":\"\\\\\"},{},{}]", 3},
        {"[{}]", 1},
        {"[]", 0},
        {"", 0},
        {"{\"id\":1}", 0},
        {"[{},{},{},{}]", 0}, /* one more than asked for */
        {"[{},1]", 0},
        {"[{},{}", 0},
        {"[{},]", 0},
        {"[{}]x", 0},
        {"[{\"a\":\"]", 0},
        {"[{{}", 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct jsonrpc_slice slices[3];
        size_t n = jsonrpc_split_batch(cases[i].text, strlen(cases[i].text), slices, 3);
        if (n != cases[i].n)
            fail_msg("%s: %zu", cases[i].text, n);
        for (size_t k = 0; k < n; k++)
            assert_true(slices[k].text[0] == '{' && slices[k].text[slices[k].n - 1] == '}');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),    cmocka_unit_test(results),
        cmocka_unit_test(errors),      cmocka_unit_test(no_reply_of_ours),
        cmocka_unit_test(long_errors), cmocka_unit_test(result_bytes),
        cmocka_unit_test(batches),
    };
    return cmocka_run_group_tests_name("rpc", tests, NULL, NULL);
}
