#include "eth/event.h"
#include "base/err.h"
#include "base/json.h"
#include "base/parse.h"

#include <string.h>

/* Up to the first one that cannot be read: a log without its last topics fits no layout, and is
 * counted as such. */
static void event_read_topics(const struct json *log, struct event_log *ret)
{
    const struct json *topics = json_get(log, "topics");
    for (const struct json *t = json_is_array(topics) ? json_first(topics) : NULL;
         t && ret->n_topics < EVENT_TOPICS; t = json_next(t)) {
        const char *s = json_str(t);
        if (!s || !hash_parse(s, strlen(s), &ret->topics[ret->n_topics]))
            return;
        ret->n_topics++;
    }
}

/* Null, missing or malformed data is no data: what stands in topics can still be read. */
static void event_read_data(const struct json *log, struct arena *arena, struct event_log *ret)
{
    const char *s = json_str(json_get(log, "data"));
    size_t n = s ? strlen(s) : 0, len = n < 2 ? 0 : (n - 2) / 2;
    len = len < EVENT_DATA_MAX ? len : EVENT_DATA_MAX;
    uint8_t *bytes = arena_alloc(arena, len ? len : 1);
    ret->data = bytes;
    ret->data_len = s && parse_0x(s, 2 + 2 * len, bytes, len) ? len : 0;
}

static void event_read_place(const struct json *log, struct event_log *ret)
{
    const char *hash = json_str(json_get(log, "blockHash"));
    ret->no_block = !json_quantity(json_get(log, "blockNumber"), &ret->block);
    ret->no_hash = !hash || !hash_parse(hash, strlen(hash), &ret->block_hash);
    if (!json_quantity(json_get(log, "logIndex"), &ret->index))
        ret->index = 0;
}

static void event_read_log(const struct json *v, struct arena *arena, struct event_log *ret)
{
    const char *s = json_str(json_get(v, "address"));
    *ret = (struct event_log){0};
    if (!json_is_object(v) || !s || !address_parse_loose(s, strlen(s), &ret->contract)) {
        ret->unreadable = true;
        return;
    }
    event_read_topics(v, ret);
    event_read_data(v, arena, ret);
    event_read_place(v, ret);
    ret->removed = json_bool(json_get(v, "removed"), false);
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
        event_read_log(v, arena, &logs[i]);
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
