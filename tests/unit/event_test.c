/* Logs as nodes send them, and the addresses an event names however its token lays it out. */
#include "base/arena.h"
#include "base/buf.h"
#include "eth/event.h"
#include "vectors.h"

#define TOKEN    "0x18aaa7115705e8be94bffebde57af9bfc265b998"
#define HASH     "0x77d14e10470b5850332524f8cd6f69ad21f070ce92dca33ab2858300242ef2f1"
#define TOPIC    "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
#define ALICE    "000000000000000000000000aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define BOB      "000000000000000000000000bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define ONE      "0000000000000000000000000000000000000000000000000000000000000001"
#define DIRTY    "000000000000000000000001bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define TRANSFER "Transfer(address indexed from, address indexed to, uint256 value)"

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static int read(const char *text, size_t max, struct event_log **ret, size_t *ret_n,
                struct err *err)
{
    struct json *doc = json_parse(text, strlen(text), 8 * 1024 * 1024, err);
    if (!doc)
        fail_msg("%s: %s", text, err->text);
    int rc = event_logs_from_json(doc, max, &arena, ret, ret_n, err);
    json_free(doc);
    return rc;
}

/* The usual log with one field given anew; NULL leaves it out. */
static const char *log_with(const char *field, const char *value)
{
    static const char *const usual[][2] = {
        {"address", "\"" TOKEN "\""},  {"topics", "[\"" TOPIC "\",\"0x" ALICE "\",\"0x" BOB "\"]"},
        {"data", "\"0x" ONE "\""},     {"blockNumber", "\"0x64\""},
        {"blockHash", "\"" HASH "\""}, {"transactionHash", "\"" HASH "\""},
        {"logIndex", "\"0x5\""},
    };
    struct buf b = BUF_INIT(65536);
    bool known = false;
    for (size_t i = 0; i < COUNT_OF(usual); i++) {
        bool same = strcmp(usual[i][0], field) == 0;
        known |= same;
        if (!same || value)
            buf_addf(&b, "%s\"%s\":%s", b.len ? "," : "{", usual[i][0], same ? value : usual[i][1]);
    }
    if (!known && value)
        buf_addf(&b, ",\"%s\":%s", field, value);
    buf_addc(&b, '}');
    char *text = arena_strdup(&arena, buf_str(&b));
    buf_free(&b);
    return text;
}

static struct event_log *one_log(const char *field, const char *value)
{
    struct event_log *logs;
    struct err err = {0};
    size_t n;
    if (read(log_with(field, value), 1, &logs, &n, &err) < 0)
        fail_msg("%s=%s: %s", field, value ? value : "(none)", err.text);
    assert_int_equal(n, 1);
    return logs;
}

static void event(const char *text, struct signature *ret)
{
    struct err err = {0};
    if (event_parse(text, strlen(text), ret, &err) < 0)
        fail_msg("%s: %s", text, err.text);
}

static void logs_by_viem(void **state)
{
    (void)state;
    struct json *doc = vector_json("logs.json");
    struct signature transfer;
    uint64_t i = 0;
    event(TRANSFER, &transfer);
    for (const struct json *c = json_first(doc); c; c = json_next(c), i++) {
        struct event_log *logs;
        struct err err = {0};
        size_t n;
        address from, to;
        char text[ADDRESS_TEXT];
        if (event_logs_from_json(json_get(c, "log"), 10, &arena, &logs, &n, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(logs[0].block, i + 100);
        assert_int_equal(logs[0].index, i);
        assert_int_equal(logs[0].removed, i == 3);
        assert_int_equal(logs[0].data_len, 32);
        assert_true(event_matches(&logs[0], &logs[0].contract, &transfer));
        assert_true(event_address(&logs[0], &transfer, 0, &from));
        assert_true(event_address(&logs[0], &transfer, 1, &to));
        address_text(&from, text);
        assert_string_equal(text, json_str(json_get(c, "from")));
        address_text(&to, text);
        assert_string_equal(text, json_str(json_get(c, "to")));
    }
    assert_int_equal(i, 5);
    json_free(doc);
}

static void shapes_of_an_answer(void **state)
{
    (void)state;
    struct event_log *logs;
    struct err err = {0};
    size_t n = 9;
    assert_int_equal(read("[]", 10, &logs, &n, &err), 0);
    assert_int_equal(n, 0);
    struct buf b = BUF_INIT(65536);
    buf_addf(&b, "[%s,%s,%s]", log_with("logIndex", "\"0x0\""), log_with("logIndex", "\"0x1\""),
             log_with("logIndex", "\"0x2\""));
    assert_int_equal(read(buf_str(&b), 3, &logs, &n, &err), 0);
    assert_int_equal(n, 3);
    assert_int_equal(logs[2].index, 2);
    n = 9;
    assert_int_equal(read(buf_str(&b), 2, &logs, &n, &err), -1);
    assert_int_equal(err.kind, ERR_TOO_LARGE);
    buf_clear(&b);
    buf_addf(&b, "[%s,null]", log_with("logIndex", "\"0x0\""));
    assert_int_equal(read(buf_str(&b), 3, &logs, &n, &err), -1);
    assert_string_equal(err.text, "log 2 of 2: log is not an object");
    static const char *const no_logs[] = {"null", "\"0x\"", "0", "true", "{}", "[[]]"};
    for (size_t i = 0; i < COUNT_OF(no_logs); i++)
        assert_int_equal(read(no_logs[i], 3, &logs, &n, &err), -1);
    assert_int_equal(event_logs_from_json(NULL, 3, &arena, &logs, &n, &err), -1);
    assert_int_equal(n, 9);
    buf_free(&b);
}

static void fields(void **state)
{
    (void)state;
    assert_false(one_log("removed", NULL)->removed);
    assert_false(one_log("removed", "null")->removed);
    assert_false(one_log("removed", "false")->removed);
    assert_true(one_log("removed", "true")->removed);
    assert_int_equal(one_log("data", "\"0x\"")->data_len, 0);
    assert_int_equal(one_log("topics", "[]")->n_topics, 0);
    static const struct {
        const char *field, *value, *expected;
    } bad[] = {
        {"address", NULL, "no \"address\""},
        {"address", "\"0x12\"", "malformed \"address\""},
        {"address", "5", "malformed \"address\""},
        {"topics", NULL, "no \"topics\""},
        {"topics", "null", "no \"topics\""},
        {"topics", "[\"0x12\"]", "malformed \"topics\""},
        {"topics", "[null]", "no \"topics\""},
        {"topics", "[\"" HASH "\",\"" HASH "\",\"" HASH "\",\"" HASH "\",\"" HASH "\"]",
         "more than 4"},
        {"data", NULL, "no \"data\""},
        {"data", "\"\"", "malformed \"data\""},
        {"data", "\"0x0\"", "malformed \"data\""},
        {"data", "\"0xzz\"", "malformed \"data\""},
        {"data", "\"zz00\"", "malformed \"data\""},
        {"blockNumber", "null", "no \"blockNumber\""}, /* a pending log */
        {"blockNumber", "100", "malformed \"blockNumber\""},
        {"blockHash", "null", "no \"blockHash\""},
        {"blockHash", "\"0x00\"", "malformed \"blockHash\""},
        {"logIndex", "null", "no \"logIndex\""},
        {"logIndex", "\"0x\"", "malformed \"logIndex\""},
        {"removed", "\"false\"", "malformed \"removed\""},
        {"removed", "0", "malformed \"removed\""},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct event_log *logs;
        struct err err = {0};
        size_t n;
        assert_int_equal(read(log_with(bad[i].field, bad[i].value), 1, &logs, &n, &err), -1);
        if (!strstr(err.text, bad[i].expected))
            fail_msg("%s=%s: %s", bad[i].field, bad[i].value ? bad[i].value : "", err.text);
    }
}

static void data_ceiling(void **state)
{
    (void)state;
    char *value = mem_alloc(2 * (size_t)EVENT_DATA_MAX + 16);
    struct event_log *logs;
    struct err err = {0};
    size_t n;
    struct buf b = BUF_INIT(8 * 1024 * 1024);
    memset(value, '0', 2 * (size_t)EVENT_DATA_MAX + 16);
    for (size_t extra = 0; extra <= 1; extra++) {
        buf_clear(&b);
        buf_adds(&b,
                 "{\"address\":\"" TOKEN "\",\"topics\":[],\"blockNumber\":\"0x1\",\"logIndex\":"
                 "\"0x0\",\"blockHash\":\"" HASH "\",\"data\":\"0x");
        buf_add(&b, value, 2 * ((size_t)EVENT_DATA_MAX + extra));
        buf_adds(&b, "\"}");
        assert_int_equal(read(buf_str(&b), 1, &logs, &n, &err), extra ? -1 : 0);
    }
    assert_int_equal(err.kind, ERR_TOO_LARGE);
    buf_free(&b);
    mem_free(value);
}

static void matching(void **state)
{
    (void)state;
    struct signature transfer, staked;
    event(TRANSFER, &transfer);
    event("Staked(address indexed user, uint256 amount, uint256 total)", &staked);
    struct event_log *log = one_log("removed", NULL);
    address other = log->contract;
    other.b[3] ^= 1;
    assert_true(event_matches(log, &log->contract, &transfer));
    assert_false(event_matches(log, &other, &transfer));
    assert_false(event_matches(log, &log->contract, &staked));
    log = one_log("topics", "[]");
    assert_false(event_matches(log, &log->contract, &transfer));
}

/* What a row says is the first byte of the address found, or 0 for none. */
static void where_the_address_is(void **state)
{
    (void)state;
    static const struct {
        const char *what, *event;
        int param;
        const char *topics, *data;
        int expected;
    } rows[] = {
        {"plain, from", TRANSFER, 0, "0x" ALICE " 0x" BOB, ONE, 0xaa},
        {"plain, to", TRANSFER, 1, "0x" ALICE " 0x" BOB, ONE, 0xbb},
        {"the value is no address", TRANSFER, 2, "0x" ALICE " 0x" BOB, ONE, 0},
        {"no such parameter", TRANSFER, 3, "0x" ALICE " 0x" BOB, ONE, 0},
        {"negative parameter", TRANSFER, -1, "0x" ALICE " 0x" BOB, ONE, 0},
        {"no data at all", TRANSFER, 1, "0x" ALICE " 0x" BOB, "", 0xbb},
        {"ERC-721, four topics", TRANSFER, 0, "0x" ALICE " 0x" BOB " 0x" ONE, "", 0xaa},
        {"ERC-721, to", TRANSFER, 1, "0x" ALICE " 0x" BOB " 0x" ONE, "", 0xbb},
        {"nothing indexed, from", TRANSFER, 0, "", ALICE BOB ONE, 0xaa},
        {"nothing indexed, to", TRANSFER, 1, "", ALICE BOB ONE, 0xbb},
        {"nothing indexed, short for to", TRANSFER, 1, "", ALICE, 0},
        {"nothing indexed, one byte short", TRANSFER, 1, "", ALICE "00", 0},
        {"no data, nothing indexed", TRANSFER, 0, "", "", 0},
        {"two topics fit no layout", TRANSFER, 0, "0x" ALICE, BOB ONE, 0},
        {"dirty upper bytes in a topic", TRANSFER, 1, "0x" ALICE " 0x" DIRTY, ONE, 0},
        {"dirty upper bytes in data", TRANSFER, 1, "", ALICE DIRTY ONE, 0},
        {"in data after a value", "Transfer(uint256 v, address indexed a, address b)", 2,
         "0x" ALICE, ONE BOB, 0xbb},
        {"in data after a dynamic value", "Transfer(string s, address b)", 1, "", ONE BOB, 0xbb},
        {"after bytes", "Transfer(bytes s, address b)", 1, "", ONE BOB, 0xbb},
        {"after a fixed array", "Transfer(uint8[3] s, address b)", 1, "", ONE ONE ONE BOB, 0xbb},
        {"after a nested one", "Transfer(bool[2][2] s, address b)", 1, "", ONE ONE ONE ONE BOB,
         0xbb},
        {"after a dynamic array", "Transfer(uint8[3][] s, address b)", 1, "", ONE BOB, 0xbb},
        {"after an array of strings", "Transfer(string[2] s, address b)", 1, "", ONE BOB, 0xbb},
        {"after an array of words", "Transfer(bytes32[2] s, address b)", 1, "", ONE ONE BOB, 0xbb},
        {"after an array too large", "Transfer(bool[99999999] s, address b)", 1, "", ONE BOB, 0},
        {"after an array of absurd size",
         "Transfer(bool[4294967296][4294967296][4294967296] s, address b)", 1, "", ONE BOB, 0},
        {"declared unindexed, all in topics", "Transfer(address a, address b)", 1,
         "0x" ALICE " 0x" BOB, "", 0xbb},
        {"an array of addresses is none", "Transfer(address[1] a)", 0, "", ALICE, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct signature sig;
        struct buf topics = BUF_INIT(1000);
        event(rows[i].event, &sig);
        buf_adds(&topics, "[\"" TOPIC "\"");
        for (const char *t = rows[i].topics; *t; t += strcspn(t, " "), t += *t == ' ')
            buf_addf(&topics, ",\"%.66s\"", t);
        buf_addc(&topics, ']');
        struct event_log *log = one_log("topics", buf_str(&topics));
        uint8_t data[32 * 8];
        log->data = data;
        log->data_len = strlen(rows[i].data) / 2;
        assert_true(parse_hex(rows[i].data, strlen(rows[i].data), data, log->data_len));
        address a = {{0}};
        bool found = event_address(log, &sig, rows[i].param, &a);
        if (found != (rows[i].expected != 0) || a.b[0] != rows[i].expected)
            fail_msg("%s: found %d, %02x", rows[i].what, found, a.b[0]);
        buf_free(&topics);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(logs_by_viem, set_up, tear_down),
        cmocka_unit_test_setup_teardown(shapes_of_an_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(fields, set_up, tear_down),
        cmocka_unit_test_setup_teardown(data_ceiling, set_up, tear_down),
        cmocka_unit_test_setup_teardown(matching, set_up, tear_down),
        cmocka_unit_test_setup_teardown(where_the_address_is, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}
