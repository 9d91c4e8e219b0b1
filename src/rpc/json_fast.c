#include "base/mem.h"
#include "base/parse.h"
#include "eth/event.h"
#include "rpc/json_fast_internal.h"

static bool json_fast_take_id(struct json_cursor *c, uint64_t id)
{
    uint64_t got;
    const char *start;
    json_fast_skip_blanks(c);
    for (start = c->at; c->at < c->end && *c->at >= '0' && *c->at <= '9';)
        c->at++;
    return parse_u64(start, (size_t)(c->at - start), &got) && got == id;
}

static bool json_fast_decode(const char *hex, size_t n, uint8_t **ret, size_t *ret_len)
{
    if (n < 2 || n % 2 || hex[0] != '0' || hex[1] != 'x')
        return false;
    size_t len = (n - 2) / 2;
    uint8_t *bytes = mem_alloc(len);
    if (!parse_hex(hex + 2, n - 2, bytes, len)) {
        mem_free(bytes);
        return false;
    }
    *ret = bytes;
    *ret_len = len;
    return true;
}

bool json_fast_take_reply(struct json_cursor *c, uint64_t id,
                          bool (*take_result)(struct json_cursor *, void *), void *ctx)
{
    const char *key, *value;
    size_t key_len, len;
    bool has_version = false, has_id = false, has_result = false;
    if (!json_fast_take(c, '{'))
        return false;
    do {
        bool good = false;
        if (!json_fast_take_string(c, &key, &key_len) || !json_fast_take(c, ':'))
            return false;
        if (json_fast_is(key, key_len, "id") && !has_id)
            good = has_id = json_fast_take_id(c, id);
        else if (json_fast_is(key, key_len, "jsonrpc") && !has_version)
            good = has_version =
                json_fast_take_string(c, &value, &len) && json_fast_is(value, len, "2.0");
        else if (json_fast_is(key, key_len, "result") && !has_result)
            good = has_result = take_result(c, ctx);
        if (!good)
            return false;
    } while (json_fast_take(c, ','));
    bool closed = json_fast_take(c, '}');
    json_fast_skip_blanks(c);
    return closed && c->at == c->end && has_id && has_result;
}

static bool json_fast_take_text(struct json_cursor *c, void *ctx)
{
    struct json_text *t = ctx;
    return json_fast_take_string(c, &t->at, &t->n);
}

bool json_fast_bytes(const char *text, size_t n, uint64_t id, uint8_t **ret, size_t *ret_len)
{
    struct json_cursor c = {text, text + n};
    struct json_text result = {0};
    return json_fast_take_reply(&c, id, json_fast_take_text, &result) &&
           json_fast_decode(result.at, result.n, ret, ret_len);
}

/* ---- logs ------------------------------------------------------------------------------------ */

/* The shortest text of a log: its keys and quotes alone, and the digits of its two fixed fields. */
enum { LOG_TEXT_LEAST = 180 };

struct logs_out {
    struct arena *arena;
    struct event_log *list;
    size_t n, room;
    struct json_text hash,
        contract; /* as the last log spelled them: mostly the next one does, too */
};

enum json_fast_field {
    FIELD_ADDRESS = 1,
    FIELD_TOPICS = 2,
    FIELD_DATA = 4,
    FIELD_NUMBER = 8,
    FIELD_HASH = 16,
    FIELD_INDEX = 32,
    FIELD_REMOVED = 64,
    FIELDS_NEEDED = 63,
};

static bool json_fast_is_plain(const char *s, size_t n)
{
    unsigned char odd = 0;
    for (size_t i = 0; i < n; i++)
        odd |= (unsigned char)((unsigned char)s[i] < 0x20 || s[i] == '\\' || s[i] & 0x80);
    return odd == 0;
}

/* A whole number as everybody writes it. */
static bool json_fast_take_digits(struct json_cursor *c)
{
    const char *start = c->at;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
        c->at++;
    return c->at > start && (*start != '0' || c->at == start + 1);
}

/* A value we have no use for. Objects and arrays are among no log's fields that we know of. */
static bool json_fast_skip_value(struct json_cursor *c)
{
    struct json_text t;
    json_fast_skip_blanks(c);
    if (c->at == c->end)
        return false;
    if (*c->at == '"')
        return json_fast_take_string(c, &t.at, &t.n) && json_fast_is_plain(t.at, t.n);
    return json_fast_take_word(c, "null") || json_fast_take_word(c, "false") ||
           json_fast_take_word(c, "true") || json_fast_take_digits(c);
}

bool json_fast_take_hash(struct json_cursor *c, hash32 *ret)
{
    struct json_text t;
    return json_fast_take_string(c, &t.at, &t.n) && hash_parse(t.at, t.n, ret);
}

bool json_fast_take_quantity(struct json_cursor *c, uint64_t *ret)
{
    struct json_text t;
    return json_fast_take_string(c, &t.at, &t.n) && parse_hex_u64(t.at, t.n, ret);
}

bool json_fast_take_topics(struct json_cursor *c, struct event_log *log)
{
    if (!json_fast_take(c, '['))
        return false;
    if (json_fast_take(c, ']'))
        return true;
    do {
        if (log->n_topics == EVENT_TOPICS || !json_fast_take_hash(c, &log->topics[log->n_topics]))
            return false;
        log->n_topics++;
    } while (json_fast_take(c, ','));
    return json_fast_take(c, ']');
}

bool json_fast_take_data(struct json_cursor *c, struct arena *arena, struct event_log *log)
{
    struct json_text t;
    if (!json_fast_take_string(c, &t.at, &t.n) || t.n < 2 || t.n % 2)
        return false;
    log->data_len = (t.n - 2) / 2;
    uint8_t *bytes = arena_alloc(arena, log->data_len ? log->data_len : 1);
    log->data = bytes;
    return parse_0x(t.at, t.n, bytes, log->data_len);
}

static bool json_fast_same_text(const struct json_text *a, const struct json_text *b)
{
    return a->n == b->n && memcmp(a->at, b->at, a->n) == 0;
}

static bool json_fast_take_contract(struct json_cursor *c, struct logs_out *out,
                                    struct event_log *log)
{
    struct json_text t;
    if (!json_fast_take_string(c, &t.at, &t.n))
        return false;
    if (out->n > 0 && json_fast_same_text(&t, &out->contract))
        log->contract = log[-1].contract;
    else if (!address_parse_loose(t.at, t.n, &log->contract))
        return false;
    out->contract = t;
    return true;
}

static bool json_fast_take_block_hash(struct json_cursor *c, struct logs_out *out,
                                      struct event_log *log)
{
    struct json_text t;
    if (!json_fast_take_string(c, &t.at, &t.n))
        return false;
    if (out->n > 0 && json_fast_same_text(&t, &out->hash))
        log->block_hash = log[-1].block_hash;
    else if (!hash_parse(t.at, t.n, &log->block_hash))
        return false;
    out->hash = t;
    return true;
}

/* By length first: this is asked ten times a log. */
static enum json_fast_field json_fast_field_named(const char *key, size_t n)
{
#define IS(name) (n == sizeof(name) - 1 && memcmp(key, (name), sizeof(name) - 1) == 0)
    switch (n) {
    case 4:
        return IS("data") ? FIELD_DATA : 0;
    case 6:
        return IS("topics") ? FIELD_TOPICS : 0;
    case 7:
        return IS("address") ? FIELD_ADDRESS : IS("removed") ? FIELD_REMOVED : 0;
    case 8:
        return IS("logIndex") ? FIELD_INDEX : 0;
    case 9:
        return IS("blockHash") ? FIELD_HASH : 0;
    case 11:
        return IS("blockNumber") ? FIELD_NUMBER : 0;
    default:
        return 0;
    }
#undef IS
}

static bool json_fast_take_field(struct json_cursor *c, enum json_fast_field field,
                                 struct logs_out *out, struct event_log *log)
{
    switch (field) {
    case FIELD_ADDRESS:
        return json_fast_take_contract(c, out, log);
    case FIELD_TOPICS:
        return json_fast_take_topics(c, log);
    case FIELD_DATA:
        return json_fast_take_data(c, out->arena, log) && log->data_len <= EVENT_DATA_MAX;
    case FIELD_NUMBER:
        return json_fast_take_quantity(c, &log->block);
    case FIELD_HASH:
        return json_fast_take_block_hash(c, out, log);
    case FIELD_INDEX:
        return json_fast_take_quantity(c, &log->index);
    case FIELD_REMOVED:
        log->removed = json_fast_take_word(c, "true");
        return log->removed || json_fast_take_word(c, "false") || json_fast_take_word(c, "null");
    case FIELDS_NEEDED:
        break;
    }
    return json_fast_skip_value(c);
}

static bool json_fast_take_log(struct json_cursor *c, struct logs_out *out)
{
    unsigned seen = 0;
    struct json_text key;
    struct event_log *log = &out->list[out->n];
    if (out->n == out->room || !json_fast_take(c, '{'))
        return false;
    *log = (struct event_log){0};
    do {
        if (!json_fast_take_string(c, &key.at, &key.n) || !json_fast_take(c, ':'))
            return false;
        enum json_fast_field field = json_fast_field_named(key.at, key.n);
        if ((field && seen & field) || (!field && !json_fast_is_plain(key.at, key.n)) ||
            !json_fast_take_field(c, field, out, log))
            return false;
        seen |= field;
    } while (json_fast_take(c, ','));
    if (!json_fast_take(c, '}') || (seen & FIELDS_NEEDED) != FIELDS_NEEDED)
        return false;
    out->n++;
    return true;
}

static bool json_fast_take_logs(struct json_cursor *c, void *ctx)
{
    struct logs_out *out = ctx;
    if (!json_fast_take(c, '['))
        return false;
    if (json_fast_take(c, ']'))
        return true;
    do {
        if (!json_fast_take_log(c, out))
            return false;
    } while (json_fast_take(c, ','));
    return json_fast_take(c, ']');
}

bool json_fast_logs(const char *text, size_t n, uint64_t id, size_t max_logs, struct arena *arena,
                    struct event_log **ret, size_t *ret_n)
{
    struct json_cursor c = {text, text + n};
    size_t room = n / LOG_TEXT_LEAST + 1;
    struct logs_out out = {.arena = arena, .room = room < max_logs ? room : max_logs};
    /* Pages that nothing is written to cost nothing. */
    out.list = arena_alloc(arena, (out.room + 1) * sizeof *out.list);
    if (!json_fast_take_reply(&c, id, json_fast_take_logs, &out))
        return false;
    *ret = out.list;
    *ret_n = out.n;
    return true;
}
