#include "eth/event.h"
#include "base/err.h"
#include "base/json.h"
#include "base/parse.h"
#include "eth/abi.h"

#include <string.h>

enum { WORD = 32 };

static int event_bad_field(const char *field, const struct json *v, struct err *err)
{
    const char *s = json_str(v);
    if (!v || json_is_null(v))
        return err_set(err, ERR_FAILED, "log has no \"%s\"", field);
    return err_set(err, ERR_FAILED, "log has a malformed \"%s\": \"%.80s\"", field,
                   s ? s : "(of another type)");
}

static int event_read_topics(const struct json *log, struct event_log *ret, struct err *err)
{
    const struct json *topics = json_get(log, "topics");
    if (!json_is_array(topics))
        return event_bad_field("topics", topics, err);
    for (const struct json *t = json_first(topics); t; t = json_next(t)) {
        const char *s = json_str(t);
        if (ret->n_topics == EVENT_TOPICS)
            return err_set(err, ERR_FAILED, "log has more than %d topics", EVENT_TOPICS);
        if (!s || !hash_parse(s, strlen(s), &ret->topics[ret->n_topics]))
            return event_bad_field("topics", t, err);
        ret->n_topics++;
    }
    return 0;
}

static int event_read_data(const struct json *log, struct arena *arena, struct event_log *ret,
                           struct err *err)
{
    const struct json *v = json_get(log, "data");
    const char *s = json_str(v);
    size_t n = s ? strlen(s) : 0;
    if (n < 2 || n % 2)
        return event_bad_field("data", v, err);
    size_t len = (n - 2) / 2;
    if (len > EVENT_DATA_MAX)
        return err_set(err, ERR_TOO_LARGE, "log has %zu bytes of data, the ceiling is %d", len,
                       EVENT_DATA_MAX);
    uint8_t *bytes = arena_alloc(arena, len ? len : 1);
    if (!parse_0x(s, n, bytes, len))
        return event_bad_field("data", v, err);
    ret->data = bytes;
    ret->data_len = len;
    return 0;
}

static int event_read_removed(const struct json *log, struct event_log *ret, struct err *err)
{
    const struct json *v = json_get(log, "removed");
    if (!v || json_is_null(v))
        return 0;
    ret->removed = json_bool(v, false);
    return json_bool(v, true) == ret->removed ? 0 : event_bad_field("removed", v, err);
}

static int event_read_log(const struct json *v, struct arena *arena, struct event_log *ret,
                          struct err *err)
{
    struct event_log log = {0};
    const struct json *contract = json_get(v, "address"), *hash = json_get(v, "blockHash");
    const struct json *number = json_get(v, "blockNumber"), *index = json_get(v, "logIndex");
    const char *s = json_str(contract), *h = json_str(hash);
    if (!json_is_object(v))
        return err_set(err, ERR_FAILED, "log is not an object");
    if (!s || !address_parse_loose(s, strlen(s), &log.contract))
        return event_bad_field("address", contract, err);
    if (!json_quantity(number, &log.block))
        return event_bad_field("blockNumber", number, err);
    if (!h || !hash_parse(h, strlen(h), &log.block_hash))
        return event_bad_field("blockHash", hash, err);
    if (!json_quantity(index, &log.index))
        return event_bad_field("logIndex", index, err);
    if (event_read_topics(v, &log, err) < 0 || event_read_removed(v, &log, err) < 0 ||
        event_read_data(v, arena, &log, err) < 0)
        return -1;
    *ret = log;
    return 0;
}

int event_logs_from_json(const struct json *result, size_t max_logs, struct arena *arena,
                         struct event_log **ret_logs, size_t *ret_n, struct err *err)
{
    bool single = json_is_object(result);
    if (!single && !json_is_array(result))
        return err_set(err, ERR_FAILED, "logs are not an array");
    size_t n = single ? 1 : json_count(result);
    if (n > max_logs)
        return err_set(err, ERR_TOO_LARGE, "%zu logs in one answer, the ceiling is %zu", n,
                       max_logs);
    struct event_log *logs = arena_zero(arena, n ? n : 1, sizeof *logs);
    const struct json *v = single ? result : json_first(result);
    for (size_t i = 0; i < n; i++, v = json_next(v))
        if (event_read_log(v, arena, &logs[i], err) < 0)
            return err_wrap(err, "log %zu of %zu", i + 1, n);
    *ret_logs = logs;
    *ret_n = n;
    return 0;
}

bool event_matches(const struct event_log *log, const address *contract,
                   const struct signature *event)
{
    return log->n_topics > 0 && hash_equal(&log->topics[0], &event->hash) &&
           address_equal(&log->contract, contract);
}

/* Words a type takes in the head of the data: one, or its element count for arrays of fixed length
 * that are static throughout. Zero: more than any data of ours can hold. */
static size_t event_head_words(const char *type)
{
    size_t base = strcspn(type, "["), words = 1;
    bool bytes = base == 5 && memcmp(type, "bytes", 5) == 0;
    bool string = base == 6 && memcmp(type, "string", 6) == 0;
    if (bytes || string || strstr(type, "[]"))
        return 1;
    for (const char *open = strchr(type, '['); open; open = strchr(open + 1, '[')) {
        uint64_t count;
        if (!parse_u64(open + 1, strcspn(open + 1, "]"), &count) || count > EVENT_DATA_MAX / WORD)
            return 0;
        words *= (size_t)count;
        if (words > EVENT_DATA_MAX / WORD)
            return 0;
    }
    return words;
}

enum layout { AS_DECLARED, ALL_IN_DATA, ALL_IN_TOPICS };

static bool event_in_topics(const struct signature *event, int param, enum layout layout)
{
    return layout == ALL_IN_TOPICS || (layout == AS_DECLARED && event->params[param].indexed);
}

/* Reads the argument under the assumption that the log is laid out like that. */
static bool event_address_by_layout(const struct event_log *log, const struct signature *event,
                                    int param, enum layout layout, address *ret)
{
    int topics = 1, topic = 0;
    size_t words = 0, word = 0;
    for (int i = 0; i < event->n_params; i++) {
        bool indexed = event_in_topics(event, i, layout);
        size_t head = indexed ? 0 : event_head_words(event->params[i].type);
        if (i == param) {
            topic = topics;
            word = words;
        }
        if (!indexed && head == 0)
            return false;
        topics += indexed;
        words += indexed ? 0 : head;
    }
    if (log->n_topics != topics)
        return false;
    if (event_in_topics(event, param, layout))
        return abi_get_address(log->topics[topic].b, ret);
    return log->data_len >= WORD && word <= log->data_len / WORD - 1 &&
           abi_get_address(log->data + word * WORD, ret);
}

bool event_address(const struct event_log *log, const struct signature *event, int param,
                   address *ret)
{
    if (param < 0 || param >= event->n_params || strcmp(event->params[param].type, "address") != 0)
        return false;
    return event_address_by_layout(log, event, param, AS_DECLARED, ret) ||
           event_address_by_layout(log, event, param, ALL_IN_DATA, ret) ||
           event_address_by_layout(log, event, param, ALL_IN_TOPICS, ret);
}
