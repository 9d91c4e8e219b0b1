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
#define ZERO     "0000000000000000000000000000000000000000000000000000000000000000"
#define SMALL    "00000000000000000000000000000000000000000000000000000000000003ed"
#define BURN     "000000000000000000000000000000000000000000000000000000000000dead"
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
        struct event_layout layout = event_layout_of(&logs[0], &transfer);
        assert_int_equal(layout.fit, EVENT_AS_DECLARED);
        assert_true(event_address(&logs[0], &transfer, &layout, 0, &from));
        assert_true(event_address(&logs[0], &transfer, &layout, 1, &to));
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
    assert_int_equal(read(buf_str(&b), 3, &logs, &n, &err), 0);
    assert_int_equal(n, 2);
    assert_false(logs[0].unreadable);
    assert_true(logs[1].unreadable);
    static const char *const no_logs[] = {"null", "\"0x\"", "0", "true"};
    n = 9;
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
    assert_int_equal(
        one_log("topics", "[\"" HASH "\",\"" HASH "\",\"" HASH "\",\"" HASH "\",\"" HASH "\"]")
            ->n_topics,
        EVENT_TOPICS);
}

/* A field that cannot be read costs what needs it, and the log stays. */
static void fields_that_cannot_be_read(void **state)
{
    (void)state;
    static const struct {
        const char *field, *value;
        bool unreadable, no_block, no_hash;
        int n_topics;
        size_t data_len;
    } odd[] = {
        {"address", NULL, .unreadable = true},
        {"address", "\"0x12\"", .unreadable = true},
        {"address", "5", .unreadable = true},
        {"topics", NULL, .data_len = 32},
        {"topics", "null", .data_len = 32},
        {"topics", "{\"0\":\"" HASH "\"}", .data_len = 32},
        {"topics", "[\"0x12\"]", .data_len = 32},
        {"topics", "[\"" HASH "\",null,\"" HASH "\"]", .n_topics = 1, .data_len = 32},
        {"data", NULL, .n_topics = 3},
        {"data", "null", .n_topics = 3},
        {"data", "\"\"", .n_topics = 3},
        {"data", "\"0x0\"", .n_topics = 3},
        {"data", "\"0xzz\"", .n_topics = 3},
        {"data", "\"zz00\"", .n_topics = 3},
        {"data", "7", .n_topics = 3},
        {"blockNumber", NULL, .no_block = true, .n_topics = 3, .data_len = 32},
        {"blockNumber", "null", .no_block = true, .n_topics = 3, .data_len = 32},
        {"blockNumber", "100", .no_block = true, .n_topics = 3, .data_len = 32},
        {"blockHash", "null", .no_hash = true, .n_topics = 3, .data_len = 32},
        {"blockHash", "\"0x00\"", .no_hash = true, .n_topics = 3, .data_len = 32},
        {"logIndex", "null", .n_topics = 3, .data_len = 32},
        {"logIndex", "\"0x\"", .n_topics = 3, .data_len = 32},
        {"removed", "\"true\"", .n_topics = 3, .data_len = 32},
        {"removed", "1", .n_topics = 3, .data_len = 32},
    };
    for (size_t i = 0; i < COUNT_OF(odd); i++) {
        const struct event_log *log = one_log(odd[i].field, odd[i].value);
        if (log->unreadable != odd[i].unreadable || log->no_block != odd[i].no_block ||
            log->no_hash != odd[i].no_hash || log->n_topics != odd[i].n_topics ||
            log->data_len != odd[i].data_len || log->removed)
            fail_msg("%s=%s", odd[i].field, odd[i].value ? odd[i].value : "");
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
        assert_int_equal(read(buf_str(&b), 1, &logs, &n, &err), 0);
        assert_int_equal(logs[0].data_len, EVENT_DATA_MAX);
    }
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
        {"from alone in topics", TRANSFER, 0, "0x" ALICE, BOB ONE, 0xaa},
        {"from alone in topics, to", TRANSFER, 1, "0x" ALICE, BOB ONE, 0xbb},
        {"value alone in topics", TRANSFER, 0, "0x" ONE, ALICE BOB, 0xaa},
        {"value alone in topics, to", TRANSFER, 1, "0x" ONE, ALICE BOB, 0xbb},
        {"value for to, from", TRANSFER, 0, "0x" ALICE " 0x" SMALL, BOB, 0xaa},
        {"value for to, to", TRANSFER, 1, "0x" ALICE " 0x" SMALL, BOB, 0xbb},
        {"value for to, of nothing", TRANSFER, 1, "0x" ALICE " 0x" ZERO, BOB, 0xbb},
        {"value for to, minted", TRANSFER, 1, "0x" ZERO " 0x" SMALL, BOB, 0xbb},
        {"value for to, without data", TRANSFER, 1, "0x" ALICE " 0x" SMALL, "", 0},
        {"one topic too few", TRANSFER, 0, "0x" ALICE, "", 0},
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
        struct event_layout layout = event_layout_of(log, &sig);
        bool found = event_address(log, &sig, &layout, rows[i].param, &a);
        if (found != (rows[i].expected != 0) || a.b[0] != rows[i].expected)
            fail_msg("%s: found %d, %02x", rows[i].what, found, a.b[0]);
        buf_free(&topics);
    }
}

/* Which layout a log has, and how it would be declared. */
static void layouts(void **state)
{
    (void)state;
    static const struct {
        const char *topics, *data;
        enum event_fit fit;
        const char *declaration;
    } rows[] = {
        {ALICE BOB, ONE, EVENT_AS_DECLARED, TRANSFER},
        {ALICE BOB, ONE ONE, EVENT_AS_DECLARED, TRANSFER},
        {ZERO BOB, ONE, EVENT_AS_DECLARED, TRANSFER},
        {ALICE ZERO, ONE, EVENT_AS_DECLARED, TRANSFER},
        {ALICE BURN, ONE, EVENT_AS_DECLARED, TRANSFER}, /* people send there */
        {ALICE SMALL, BOB, EVENT_AS_OTHER,
         "Transfer(address indexed from, address to, uint256 indexed value)"},
        {ALICE BOB ONE, "", EVENT_AS_OTHER,
         "Transfer(address indexed from, address indexed to, uint256 indexed value)"},
        {ALICE BURN ONE, "", EVENT_AS_OTHER,
         "Transfer(address indexed from, address indexed to, uint256 indexed value)"},
        {"", ALICE BOB ONE, EVENT_AS_OTHER, "Transfer(address from, address to, uint256 value)"},
        {ONE, ALICE BOB, EVENT_AS_OTHER,
         "Transfer(address from, address to, uint256 indexed value)"},
        {ALICE BOB, "", EVENT_AS_NONE, TRANSFER},
        {ALICE, "", EVENT_AS_NONE, TRANSFER},
        {ALICE DIRTY, ONE, EVENT_AS_NONE, TRANSFER},
        {"", "", EVENT_AS_NONE, TRANSFER},
    };
    struct signature sig;
    event(TRANSFER, &sig);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct event_log log = {.n_topics = 1};
        uint8_t data[32 * 4];
        char text[EVENT_TEXT];
        for (size_t at = 0; at < strlen(rows[i].topics); at += 64)
            assert_true(parse_hex(rows[i].topics + at, 64, log.topics[log.n_topics++].b, 32));
        log.data = data;
        log.data_len = strlen(rows[i].data) / 2;
        assert_true(parse_hex(rows[i].data, strlen(rows[i].data), data, log.data_len));
        struct event_layout layout = event_layout_of(&log, &sig);
        event_declaration(&sig, layout.indexed, text);
        if (layout.fit != rows[i].fit || strcmp(text, rows[i].declaration) != 0)
            fail_msg("row %zu: %d, %s", i, layout.fit, text);
    }
}

/* Values that a type cannot hold speak against a layout. */
static void values_and_types(void **state)
{
    (void)state;
    static const struct {
        const char *event, *data;
        bool fits;
    } rows[] = {
        {"E(bool a)", ONE, true},
        {"E(bool a)", SMALL, false},
        {"E(uint8 a)", ONE, true},
        {"E(uint8 a)", SMALL, false},
        {"E(uint16 a)", SMALL, true},
        {"E(bytes4 a)", ONE, false},
        {"E(bytes32 a)", ONE, true},
        {"E(int8 a)", "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", true},
        {"E(int8 a)", SMALL, false},
        {"E(string a)", ONE ONE, true},
        {"E(string a)", SMALL ONE, false},
        {"E(uint8[2] a)", ONE ONE, true},
        {"E(uint8[2] a)", ONE, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct signature sig;
        uint8_t data[64];
        struct event_log log = {.n_topics = 1, .data = data, .data_len = strlen(rows[i].data) / 2};
        event(rows[i].event, &sig);
        assert_true(parse_hex(rows[i].data, strlen(rows[i].data), data, log.data_len));
        if ((event_layout_of(&log, &sig).fit == EVENT_AS_DECLARED) != rows[i].fits)
            fail_msg("%s %s", rows[i].event, rows[i].data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(logs_by_viem, set_up, tear_down),
        cmocka_unit_test_setup_teardown(shapes_of_an_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(fields, set_up, tear_down),
        cmocka_unit_test_setup_teardown(fields_that_cannot_be_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(data_ceiling, set_up, tear_down),
        cmocka_unit_test_setup_teardown(matching, set_up, tear_down),
        cmocka_unit_test_setup_teardown(where_the_address_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(layouts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(values_and_types, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}
