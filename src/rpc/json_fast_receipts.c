#include "base/arena.h"
#include "base/mem.h"
#include "eth/receipt.h"
#include "rpc/json_fast_internal.h"

enum { RECEIPT_TYPE_MAX = 0x7f, RECEIPT_LIST_LEAST = 64 };

/* Where the arrays lie is known only at the end, so a receipt's logs are a number until then. */
struct receipts_out {
    struct arena *arena;
    struct receipt *list;
    struct event_log *logs;
    size_t n, room, n_logs, logs_room;
};

/* ---- members of no use ----------------------------------------------------------------------- */

/* From its opening quote. A quote behind an odd number of backslashes is inside. */
static bool json_fast_skip_string(struct json_cursor *c)
{
    const char *start = ++c->at, *quote, *slash;
    while ((quote = memchr(c->at, '"', (size_t)(c->end - c->at)))) {
        for (slash = quote; slash > start && slash[-1] == '\\';)
            slash--;
        c->at = quote + 1;
        if ((quote - slash) % 2 == 0)
            return true;
    }
    return false;
}

static bool json_fast_skip_scalar(struct json_cursor *c)
{
    const char *start = c->at;
    while (c->at < c->end && !strchr(",]} \t\r\n", *c->at))
        c->at++;
    return c->at > start;
}

/* A value, of which only the end matters: strings are told from brackets, and nothing else is. */
static bool json_fast_skip_any(struct json_cursor *c)
{
    size_t depth = 0;
    json_fast_skip_blanks(c);
    do {
        if (c->at == c->end)
            return false;
        char at = *c->at;
        if (at == '"') {
            if (!json_fast_skip_string(c))
                return false;
            continue;
        }
        if (depth == 0 && at != '{' && at != '[')
            return json_fast_skip_scalar(c);
        depth += at == '{' || at == '[';
        depth -= at == '}' || at == ']';
        c->at++;
    } while (depth > 0);
    return true;
}

/* ---- logs ------------------------------------------------------------------------------------ */

enum receipt_log_member {
    LOG_MEMBER_ADDRESS = 1,
    LOG_MEMBER_TOPICS = 2,
    LOG_MEMBER_DATA = 4,
    LOG_MEMBERS = 7,
};

static enum receipt_log_member json_fast_log_member(const struct json_text *key)
{
    return json_fast_is(key->at, key->n, "address")  ? LOG_MEMBER_ADDRESS
           : json_fast_is(key->at, key->n, "topics") ? LOG_MEMBER_TOPICS
           : json_fast_is(key->at, key->n, "data")   ? LOG_MEMBER_DATA
                                                     : 0;
}

static bool json_fast_take_log_member(struct json_cursor *c, enum receipt_log_member m,
                                      struct arena *arena, struct event_log *log)
{
    struct json_text t;
    switch (m) {
    case LOG_MEMBER_ADDRESS:
        return json_fast_take_string(c, &t.at, &t.n) &&
               address_parse_loose(t.at, t.n, &log->contract);
    case LOG_MEMBER_TOPICS:
        return json_fast_take_topics(c, log);
    case LOG_MEMBER_DATA:
        return json_fast_take_data(c, arena, log);
    case LOG_MEMBERS:
        break;
    }
    return json_fast_skip_any(c);
}

static bool json_fast_take_receipt_log(struct json_cursor *c, struct receipts_out *out)
{
    unsigned seen = 0;
    struct json_text key;
    if (out->n_logs == out->logs_room) {
        out->logs_room = out->logs_room ? out->logs_room * 2 : RECEIPT_LIST_LEAST;
        out->logs = mem_grow(out->logs, out->logs_room, sizeof *out->logs);
    }
    struct event_log *log = &out->logs[out->n_logs++];
    *log = (struct event_log){0};
    if (!json_fast_take(c, '{'))
        return false;
    do {
        if (!json_fast_take_string(c, &key.at, &key.n) || !json_fast_take(c, ':'))
            return false;
        enum receipt_log_member m = json_fast_log_member(&key);
        json_fast_skip_blanks(c);
        if (seen & m || !json_fast_take_log_member(c, m, out->arena, log))
            return false;
        seen |= m;
    } while (json_fast_take(c, ','));
    return json_fast_take(c, '}') && seen == LOG_MEMBERS;
}

static bool json_fast_take_receipt_logs(struct json_cursor *c, struct receipts_out *out)
{
    size_t before = out->n_logs;
    if (!json_fast_take(c, '['))
        return false;
    if (!json_fast_take(c, ']')) {
        do {
            if (!json_fast_take_receipt_log(c, out))
                return false;
        } while (json_fast_take(c, ','));
        if (!json_fast_take(c, ']'))
            return false;
    }
    out->list[out->n - 1].n_logs = out->n_logs - before;
    return true;
}

/* ---- receipts -------------------------------------------------------------------------------- */

enum receipt_member {
    RECEIPT_MEMBER_NONE,
    RECEIPT_MEMBER_TYPE = 1,
    RECEIPT_MEMBER_STATUS = 2,
    RECEIPT_MEMBER_STATE = 4,
    RECEIPT_MEMBER_GAS = 8,
    RECEIPT_MEMBER_LOGS = 16,
    RECEIPT_MEMBER_HASH = 32,
    RECEIPT_MEMBER_NONCE = 64,
    RECEIPT_MEMBER_VERSION = 128,
};

static enum receipt_member json_fast_receipt_member(const struct json_text *key)
{
    static const struct {
        const char *name;
        enum receipt_member member;
    } members[] = {
        {"type", RECEIPT_MEMBER_TYPE},          {"status", RECEIPT_MEMBER_STATUS},
        {"root", RECEIPT_MEMBER_STATE},         {"cumulativeGasUsed", RECEIPT_MEMBER_GAS},
        {"logs", RECEIPT_MEMBER_LOGS},          {"transactionHash", RECEIPT_MEMBER_HASH},
        {"depositNonce", RECEIPT_MEMBER_NONCE}, {"depositReceiptVersion", RECEIPT_MEMBER_VERSION},
    };
    for (size_t i = 0; i < COUNT_OF(members); i++)
        if (json_fast_is(key->at, key->n, members[i].name))
            return members[i].member;
    return RECEIPT_MEMBER_NONE;
}

/* A small number, at most `max`. */
static bool json_fast_take_small(struct json_cursor *c, uint64_t max, uint64_t *ret)
{
    return json_fast_take_quantity(c, ret) && *ret <= max;
}

static bool json_fast_take_member(struct json_cursor *c, enum receipt_member m,
                                  struct receipts_out *out)
{
    struct receipt *r = &out->list[out->n - 1];
    uint64_t v = 0;
    bool good = false;
    switch (m) {
    case RECEIPT_MEMBER_TYPE:
        good = json_fast_take_small(c, RECEIPT_TYPE_MAX, &v);
        r->type = (uint8_t)v;
        return good;
    case RECEIPT_MEMBER_STATUS:
        good = json_fast_take_small(c, 1, &v);
        r->failed = v == 0;
        return good;
    case RECEIPT_MEMBER_STATE:
        return json_fast_take_hash(c, &r->state);
    case RECEIPT_MEMBER_GAS:
        return json_fast_take_quantity(c, &r->gas);
    case RECEIPT_MEMBER_LOGS:
        return json_fast_take_receipt_logs(c, out);
    case RECEIPT_MEMBER_HASH:
        return json_fast_take_hash(c, &r->transaction);
    case RECEIPT_MEMBER_NONCE:
        return json_fast_take_quantity(c, &r->deposit_nonce);
    case RECEIPT_MEMBER_VERSION:
        r->has_version = json_fast_take_quantity(c, &r->deposit_version);
        return r->has_version;
    case RECEIPT_MEMBER_NONE:
        break;
    }
    return json_fast_skip_any(c);
}

/* Nodes write null, and of a root also "0x", for a member that a receipt does not have. */
static bool json_fast_take_nothing(struct json_cursor *c)
{
    return json_fast_take_word(c, "null") || json_fast_take_word(c, "\"0x\"") ||
           json_fast_take_word(c, "\"\"");
}

static bool json_fast_take_receipt(struct json_cursor *c, struct receipts_out *out)
{
    static const unsigned needed = RECEIPT_MEMBER_GAS | RECEIPT_MEMBER_LOGS;
    unsigned seen = 0;
    struct json_text key;
    if (out->n == out->room) {
        out->room = out->room ? out->room * 2 : RECEIPT_LIST_LEAST;
        out->list = mem_grow(out->list, out->room, sizeof *out->list);
    }
    out->list[out->n++] = (struct receipt){0};
    if (!json_fast_take(c, '{'))
        return false;
    do {
        if (!json_fast_take_string(c, &key.at, &key.n) || !json_fast_take(c, ':'))
            return false;
        enum receipt_member m = json_fast_receipt_member(&key);
        if (json_fast_take_nothing(c))
            continue;
        if (seen & m || !json_fast_take_member(c, m, out))
            return false;
        seen |= m;
    } while (json_fast_take(c, ','));
    out->list[out->n - 1].has_state = !(seen & RECEIPT_MEMBER_STATUS);
    return json_fast_take(c, '}') && (seen & needed) == needed &&
           seen & (RECEIPT_MEMBER_STATUS | RECEIPT_MEMBER_STATE);
}

static bool json_fast_take_receipts(struct json_cursor *c, void *ctx)
{
    if (!json_fast_take(c, '['))
        return false;
    if (json_fast_take(c, ']'))
        return true;
    do {
        if (!json_fast_take_receipt(c, ctx))
            return false;
    } while (json_fast_take(c, ','));
    return json_fast_take(c, ']');
}

/* Into the arena, and each receipt gets its logs. */
static void json_fast_keep_receipts(struct receipts_out *out, struct receipt **ret, size_t *ret_n)
{
    struct receipt *list = arena_alloc(out->arena, (out->n + 1) * sizeof *list);
    struct event_log *logs = arena_alloc(out->arena, (out->n_logs + 1) * sizeof *logs);
    if (out->n > 0)
        memcpy(list, out->list, out->n * sizeof *list);
    if (out->n_logs > 0)
        memcpy(logs, out->logs, out->n_logs * sizeof *logs);
    for (size_t i = 0; i < out->n; logs += list[i++].n_logs)
        list[i].logs = logs;
    *ret = list;
    *ret_n = out->n;
}

bool json_fast_receipt_list(const char *text, size_t n, struct arena *arena, struct receipt **ret,
                            size_t *ret_n)
{
    struct json_cursor c = {text, text + n};
    struct receipts_out out = {.arena = arena};
    bool good = json_fast_take_receipts(&c, &out);
    if (good)
        json_fast_keep_receipts(&out, ret, ret_n);
    mem_free(out.list);
    mem_free(out.logs);
    return good;
}

bool json_fast_receipts(const char *text, size_t n, uint64_t id, struct arena *arena,
                        struct receipt **ret, size_t *ret_n)
{
    struct json_cursor c = {text, text + n};
    struct receipts_out out = {.arena = arena};
    bool good = json_fast_take_reply(&c, id, json_fast_take_receipts, &out);
    if (good)
        json_fast_keep_receipts(&out, ret, ret_n);
    mem_free(out.list);
    mem_free(out.logs);
    return good;
}
