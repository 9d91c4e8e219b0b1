#include "track/sync/log_forms.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/parse.h"
#include "proc/counters.h"
#include "rpc/logs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    HOUR_MS = 3600 * 1000,
    AGAIN_MS = 60 * 1000,        /* it did not answer */
    UNTRIED_MS = 10 * 60 * 1000, /* no block with a log was found */
    BLOOM_MS = 5 * 1000,         /* … and a head says that it holds logs; doubles in vain */
    BLOOM_DOUBLES = 10,
    CONFIRM_MS = 20 * 1000, /* an index that is late would look the same at first */
    SILENT_BLOCKS = 1000,
};

static bool log_forms_is_silent(const struct log_forms_state *s, size_t i,
                                const struct header *head)
{
    return s->endpoints[i].tried_head > 0 &&
           head->at.number >= s->endpoints[i].tried_head + SILENT_BLOCKS &&
           (int64_t)counters_get(PART_FOLLOW, CELL_EVENT_AT) < s->endpoints[i].tried_at_s * 1000;
}

static bool log_forms_is_due(const struct log_forms_state *s, size_t i, const struct endpoint *e,
                             const struct header *head, int64_t now)
{
    if (!endpoint_may_be_asked(e))
        return false;
    if (now >= s->endpoints[i].next_ms)
        return true;
    if (!head)
        return false;
    return log_forms_is_silent(s, i, head) ||
           (endpoint_log_forms(e) == LOG_FORMS_UNTRIED && !s->endpoints[i].suspect &&
            now >= s->endpoints[i].tried_ms + ((int64_t)BLOOM_MS << s->endpoints[i].in_vain) &&
            head->has_bloom && header_may_hold_any(head));
}

/* How long until the next try. */
static int64_t log_forms_take(struct log_forms_state *s, size_t i, struct endpoint *e,
                              const struct logs_probe *r)
{
    enum log_forms before = endpoint_log_forms(e), now = logs_probe_judge(r);
    if (now != LOG_FORMS_UNTRIED)
        s->endpoints[i].in_vain = 0;
    if (now == LOG_FORMS_UNTRIED)
        return before == LOG_FORMS_UNTRIED ? UNTRIED_MS : HOUR_MS;
    /* Without looks everything waits: once more, first. */
    if (now == LOG_FORMS_NONE && !s->endpoints[i].suspect) {
        s->endpoints[i].suspect = true;
        return CONFIRM_MS;
    }
    s->endpoints[i].suspect = false;
    endpoint_set_log_forms(e, r);
    return now == before || now == LOG_FORMS_ALL ? HOUR_MS : CONFIRM_MS;
}

/* ---- across restarts ------------------------------------------------------------------------- */

enum { FORMS_KEY = 128 };

static void log_forms_make_key(const struct endpoint *e, char ret[FORMS_KEY])
{
    snprintf(ret, FORMS_KEY, "forms:%.100s", endpoint_name(e));
}

/* "FORMS SECONDS": what an earlier process found within the hour holds. */
static void log_forms_load(struct tracker *t, struct log_forms_state *s, size_t i,
                           struct endpoint *e, int64_t now)
{
    char key[FORMS_KEY];
    const char *text = NULL;
    uint64_t forms, at_s;
    struct arena arena;
    struct err ignored = {0};
    s->endpoints[i].loaded = true;
    arena_init(&arena);
    log_forms_make_key(e, key);
    if (store_state_get(t->store, key, &arena, &text, &ignored) == 0 && text &&
        parse_u64_next(&text, &forms) && parse_u64_next(&text, &at_s) && forms < LOG_FORMS) {
        int64_t age_ms = (wall_seconds() - (int64_t)at_s) * 1000;
        if (forms != LOG_FORMS_UNTRIED && age_ms >= 0 && age_ms < HOUR_MS) {
            endpoint_restore_log_forms(e, (enum log_forms)forms);
            s->endpoints[i].next_ms = now + HOUR_MS - age_ms;
            s->endpoints[i].tried_at_s = (int64_t)at_s;
        }
    }
    arena_free(&arena);
}

static void log_forms_save(struct tracker *t, const struct endpoint *e, int64_t at_s)
{
    char key[FORMS_KEY], text[48];
    struct err err = {0};
    log_forms_make_key(e, key);
    snprintf(text, sizeof text, "%d %" PRId64, (int)endpoint_log_forms(e), at_s);
    if (store_state_set(t->store, key, text, &err) < 0)
        log_debug("the forms of eth_getLogs cannot be stored", LOG_STR("error", err.text));
}

/* ---- the test -------------------------------------------------------------------------------- */

static void log_forms_try(struct tracker *t, struct log_forms_state *s, size_t i,
                          const struct header *head, int64_t now)
{
    struct endpoint *e = rpc_endpoint(t->node, i);
    struct logs_probe r;
    struct err err = {0};
    int64_t wait = AGAIN_MS;
    if (s->endpoints[i].tried_ms > 0 && s->endpoints[i].in_vain < BLOOM_DOUBLES)
        s->endpoints[i].in_vain++;
    if (endpoint_probe_logs(t->node, e, &r, &err) == 0)
        wait = log_forms_take(s, i, e, &r);
    else
        log_debug("the forms of eth_getLogs cannot be compared now",
                  LOG_STR("endpoint", endpoint_name(e)), LOG_STR("error", err.text));
    s->endpoints[i].next_ms = now + wait;
    s->endpoints[i].tried_ms = now;
    s->endpoints[i].tried_at_s = wall_seconds();
    s->endpoints[i].tried_head = head ? head->at.number : 0;
    log_forms_save(t, e, s->endpoints[i].tried_at_s);
}

void log_forms_run(struct tracker *t, struct log_forms_state *s, const struct header *head)
{
    for (size_t i = 0; i < rpc_endpoints(t->node) && !(t->stop && t->stop()); i++) {
        int64_t now = clock_ms();
        struct endpoint *e = rpc_endpoint(t->node, i);
        if (!s->endpoints[i].loaded)
            log_forms_load(t, s, i, e, now);
        if (head && s->endpoints[i].tried_head == 0)
            s->endpoints[i].tried_head = head->at.number;
        if (log_forms_is_due(s, i, e, head, now))
            log_forms_try(t, s, i, head, now);
    }
}
