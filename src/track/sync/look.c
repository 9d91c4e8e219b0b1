#include "track/sync/look.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/parse.h"
#include "proc/counters.h"
#include "track/sync/cover.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- what is learnt of an endpoint's log index ----------------------------------------------- */

enum { LOOK_KEY = 128 };

static void look_make_key(struct tracker *t, size_t endpoint, char ret[LOOK_KEY])
{
    snprintf(ret, LOOK_KEY, "overlap:%.100s", endpoint_name(rpc_endpoint(t->node, endpoint)));
}

static int look_load_overlap(struct tracker *t, size_t endpoint, int64_t *ret, struct err *err)
{
    char key[LOOK_KEY];
    const char *text;
    struct arena arena;
    uint64_t ms;
    arena_init(&arena);
    look_make_key(t, endpoint, key);
    int rc = store_state_get(t->store, key, &arena, &text, err);
    *ret = LOOK_OVERLAP_MS;
    if (rc == 0 && text && parse_u64(text, strlen(text), &ms) && ms > LOOK_OVERLAP_MS)
        *ret = ms < LOOK_OVERLAP_MOST_MS ? (int64_t)ms : LOOK_OVERLAP_MOST_MS;
    arena_free(&arena);
    return rc;
}

int look_load(struct tracker *t, struct first_look *ret, struct err *err)
{
    for (size_t i = 0; i < rpc_endpoints(t->node) && i < LOOK_ENDPOINTS; i++)
        if (look_load_overlap(t, i, &ret->overlap_ms[i], err) < 0)
            return -1;
    return bloom_load(t, &ret->bloom, err);
}

/* Logs showed up that the answer before lacked: the endpoint of that answer is asked for longer. */
static int look_on_late_logs(struct follow *f, size_t n, struct follow_report *ret, struct err *err)
{
    struct first_look *l = &f->look;
    char key[LOOK_KEY], text[24];
    if (n == 0 || !l->by)
        return 0;
    size_t i = endpoint_number(l->by);
    ret->late += n;
    ret->late_by = endpoint_name(l->by);
    l->overlap_ms[i] = look_span_grow_overlap(l->overlap_ms[i]);
    ret->overlap_ms = l->overlap_ms[i];
    look_make_key(f->t, i, key);
    snprintf(text, sizeof text, "%" PRId64, l->overlap_ms[i]);
    return store_state_set(f->t->store, key, text, err);
}

/* ---- the question ---------------------------------------------------------------------------- */

/* Do trusted blooms say that no block of [from, to] holds a log of ours? A pushed log says more. */
static bool look_is_silent(const struct follow *f, uint64_t from, uint64_t to)
{
    if (f->look.bloom.state != BLOOM_PROVEN)
        return false;
    for (uint64_t n = from; n <= to; n++) {
        const struct header *h = chain_near(&f->chain, n);
        if (!h || !h->has_bloom || filter_may_match(&f->filter.filter, h) ||
            ws_logs_has_block(&f->ws_logs, &h->at.hash))
            return false;
    }
    return true;
}

/* A log whose block hash is not our header's may be of another branch, or wrong: its wallets are
 * read all the same, for a log is only a reason to read. It raises no blocknumber, and says nothing
 * of blooms. */
static void look_check_logs(struct follow *f, const struct logs *logs)
{
    for (size_t i = 0; i < logs->n; i++) {
        struct event_log *log = &logs->list[i];
        const struct header *h = chain_near(&f->chain, log->block);
        if (!h || log->unplaced || log->no_hash)
            continue;
        log->unplaced = !hash_equal(&h->at.hash, &log->block_hash);
        if (log->unplaced)
            counters_add((enum cell)(CELL_LOGS_IGNORED + LOGS_OTHER_BLOCK), 1);
        else
            bloom_on_log(&f->look.bloom, h, log);
    }
}

static void look_collect(struct follow *f, const struct logs *logs)
{
    for (size_t i = 0; i < f->t->n_balances; i++) {
        struct follow_balance *fb = &f->balances[i];
        fb->affected.by = endpoint_name(logs->by);
        events_collect(fb->b, logs->list, logs->n, &fb->affected);
    }
}

/* Collects what [from, to] names. False in *ret_ok: no answer yet, ret says why. */
static int look_ask_range(struct follow *f, uint64_t from, uint64_t to, struct arena *arena,
                          struct follow_report *ret, bool *ret_ok, struct err *err)
{
    struct first_look *l = &f->look;
    struct logs logs;
    if (sync_ask_range(f, from, to, arena, &logs, ret, ret_ok, err) < 0)
        return -1;
    if (!*ret_ok)
        return 0;
    look_check_logs(f, &logs);
    size_t late = look_span_count_late(&l->span, from, to, logs.list, logs.n);
    if (look_on_late_logs(f, late, ret, err) < 0)
        return -1;
    l->by = logs.by;
    ws_logs_on_range(&f->ws_logs, from, to, &logs);
    look_collect(f, &logs);
    if (to > l->span.asked)
        log_source_set(&f->log_source, from > l->span.asked ? from : l->span.asked + 1,
                       endpoint_name(logs.by));
    return 0;
}

/* A pushed log was not in the answer: its block is asked for by hash, another form of the question.
 */
static int look_ask_doubted(struct follow *f, struct arena *arena, struct err *err)
{
    const struct header *h = chain_near(&f->chain, f->look.doubted);
    struct logs_ask ask = {.filter = &f->filter.filter, .lane = RPC_LIVE, .arena = arena};
    struct logs logs;
    f->look.doubted = 0;
    if (!h)
        return 0;
    if (rpc_logs_block(f->t->node, &ask, h, &logs, err) < 0)
        return -1;
    ws_logs_on_range(&f->ws_logs, h->at.number, h->at.number, &logs);
    look_collect(f, &logs);
    return 0;
}

/* ---- one look -------------------------------------------------------------------------------- */

/* The first block to ask about; false when the head has been looked at for good. */
static bool look_find_begin(struct follow *f, int64_t now_ms, uint64_t *ret_from)
{
    struct look_span *s = &f->look.span;
    uint64_t head = f->chain.head.at.number, lowest = legs_find_floor(f);
    look_span_begin(s, lowest);
    look_span_on_head(s, head, now_ms);
    bool due = look_span_next(s, f->range.width, now_ms, ret_from);
    if (f->legs.under_way) {
        *ret_from = *ret_from > lowest ? *ret_from : lowest + 1;
        return due && *ret_from <= head;
    }
    if (lowest < head && (!due || lowest + 1 < *ret_from))
        *ret_from = lowest + 1; /* a balance that was held */
    return due || lowest < head;
}

/* Asks range by range; *ret_to is the last block that was answered for. */
static int look_ask_all(struct follow *f, uint64_t from, struct arena *arena, uint64_t *ret_to,
                        bool *ret_silent, struct follow_report *ret, struct err *err)
{
    uint64_t head = f->chain.head.at.number;
    bool ok = true;
    *ret_to = from - 1;
    *ret_silent = f->filter.filter.n_topics == 0 || look_is_silent(f, from, head);
    if (*ret_silent)
        *ret_to = head;
    while (ok && *ret_to < head) {
        uint64_t begin = *ret_to + 1,
                 to = head - begin > f->range.width ? begin + f->range.width : head;
        if (look_ask_range(f, begin, to, arena, ret, &ok, err) < 0)
            return -1;
        if (ok)
            *ret_to = to;
        arena_clear(arena);
    }
    return 0;
}

int look_take(struct follow *f, struct follow_report *ret, struct err *err)
{
    int64_t sent_ms = clock_ms();
    uint64_t from, to;
    bool silent, whole = false;
    struct arena arena;
    struct err ask_err = {0};
    if (!look_find_begin(f, sent_ms, &from)) {
        if (!sync_has_reorg_affected(f) && f->look.doubted == 0)
            return 0;
        from = f->chain.head.at.number + 1;
    }
    arena_init(&arena);
    int asked = look_ask_all(f, from, &arena, &to, &silent, ret, &ask_err);
    if (asked == 0 && f->look.doubted > 0)
        asked = look_ask_doubted(f, &arena, &ask_err);
    arena_free(&arena);
    /* What was named before a question failed is of whole blocks: it is written. */
    int rc =
        asked < 0 && to < from ? 0 : sync_flush_all(f, to, !f->legs.under_way, ret, &whole, err);
    if (rc == 0 && whole && to >= from) {
        size_t by = f->look.by ? endpoint_number(f->look.by) : 0;
        look_span_on_answer(&f->look.span, from, to, sent_ms, silent ? 0 : f->look.overlap_ms[by]);
    }
    if (rc == 0 && asked < 0)
        *err = ask_err;
    return rc < 0 || asked < 0 ? -1 : 0;
}
