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

enum { LOOK_KEY = 128, LOOK_WINDOW_MS = 10000, LOOK_DOUBT_MS = 3000 };

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

/* Do trusted blooms say that no block of [from, head] holds a log of ours? A pushed log says more.
 */
static bool look_is_silent(const struct follow *f, uint64_t from, const struct header *head)
{
    if (f->look.bloom.state != BLOOM_PROVEN || head->at.number - from > SAMPLE_NEAR)
        return false;
    for (uint64_t n = from; n <= head->at.number; n++) {
        const struct header *h = n == head->at.number ? head : sample_near(&f->samples, n);
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
        const struct header *h = sample_near(&f->samples, log->block);
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

/* Two answers show another number of logs of one block: it is asked for in another form. */
static void look_doubt_changed(struct first_look *l, uint64_t from, uint64_t to,
                               const struct logs *logs)
{
    struct anchor at;
    if (l->doubted.at.number == 0 &&
        look_span_find_changed(&l->span, from, to, logs->list, logs->n, &at))
        l->doubted = (struct header){.at = at};
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
    look_doubt_changed(l, from, to, &logs);
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

/* A pushed log was not in the answer, or two answers differ: the block is asked for by hash,
 * another form of the question. A second chance: where it fails, the block is asked for by range
 * again anyway. */
static int look_ask_doubted(struct follow *f, struct arena *arena, struct err *err)
{
    struct header h = f->look.doubted;
    const struct header *sample = sample_near(&f->samples, h.at.number);
    struct logs_ask ask = {.filter = &f->filter.filter,
                           .lane = RPC_LIVE,
                           .deadline_ms = clock_ms() + LOOK_DOUBT_MS,
                           .arena = arena};
    struct logs logs;
    struct err why = {0};
    f->look.doubted = (struct header){0};
    if (sample && hash_equal(&sample->at.hash, &h.at.hash))
        h = *sample;
    if (rpc_logs_block(f->t->node, &ask, &h, &logs, &why) < 0)
        return why.kind == ERR_STOPPED ? err_set(err, ERR_STOPPED, "%s", why.text) : 0;
    ws_logs_on_range(&f->ws_logs, h.at.number, h.at.number, &logs);
    look_collect(f, &logs);
    return 0;
}

/* ---- one look -------------------------------------------------------------------------------- */

/* The first block to ask about; false when the head has been looked at for good. */
static bool look_find_begin(struct follow *f, uint64_t head, int64_t now_ms, uint64_t *ret_from)
{
    struct look_span *s = &f->look.span;
    uint64_t lowest = legs_find_floor(f);
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
    uint64_t head = f->samples.head.at.number;
    bool ok = true;
    *ret_to = from - 1;
    *ret_silent = f->filter.filter.n_topics == 0 || look_is_silent(f, from, &f->samples.head);
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

/* ---- the question beside the link ------------------------------------------------------------ */

static void look_close_window(struct first_look *l)
{
    logs_window_close(l->window);
    l->window = NULL;
    arena_clear(&l->window_arena);
}

void look_close(struct first_look *l)
{
    look_close_window(l);
    arena_free(&l->window_arena);
}

struct logs_window *look_open_window(struct follow *f, const struct header *head)
{
    struct first_look *l = &f->look;
    struct logs_window *w = NULL;
    struct err ignored = {0};
    uint64_t from;
    look_close_window(l);
    l->window_ms = clock_ms();
    if (!f->begun || f->filter.filter.n_topics == 0 ||
        sync_find_lowest(f) + SAMPLE_NEAR < head->at.number || /* a catch-up has its own turns */
        !look_find_begin(f, head->at.number, l->window_ms, &from) ||
        head->at.number - from > f->range.width || look_is_silent(f, from, head))
        return NULL;
    bool alone = rpc_endpoints(f->t->node) == 1;
    struct logs_ask ask = {.filter = &f->filter.filter,
                           .from = from,
                           .to = head->at.number,
                           .lane = RPC_LIVE,
                           .by = f->samples.asked,
                           .to_header = head,
                           .deadline_ms = alone ? 0 : l->window_ms + LOOK_WINDOW_MS,
                           .arena = &l->window_arena};
    l->window_from = from;
    l->window_to = head->at.number;
    return logs_window_open(f->t->node, &ask, &w, &ignored) == 0 ? w : NULL;
}

int look_keep_window(struct follow *f, struct logs_window *w, struct err *err)
{
    if (w && logs_window_wait(w, err) < 0) {
        logs_window_close(w);
        return -1;
    }
    f->look.window = w;
    return 0;
}

void look_drop_window(struct follow *f, struct logs_window *w, const struct header *head)
{
    logs_window_close(w);
    if (!f->samples.known || head->at.number > f->samples.head.at.number)
        look_span_drop_head(&f->look.span, head->at.number);
}

bool look_take_window(struct first_look *l, uint64_t from, uint64_t to, struct logs *ret,
                      int *ret_rc, struct err *err)
{
    bool same = l->window && l->window_from == from && l->window_to == to;
    if (same)
        *ret_rc = logs_window_result(l->window, ret, err);
    logs_window_close(l->window);
    l->window = NULL;
    return same;
}

int look_take(struct follow *f, struct follow_report *ret, struct err *err)
{
    int64_t sent_ms = f->look.window ? f->look.window_ms : clock_ms();
    uint64_t from, to;
    bool silent, whole = false;
    struct arena arena;
    struct err ask_err = {0};
    if (!look_find_begin(f, f->samples.head.at.number, sent_ms, &from)) {
        if (!sync_has_reorg_affected(f) && f->look.doubted.at.number == 0)
            return 0;
        from = f->samples.head.at.number + 1;
    }
    arena_init(&arena);
    int asked = look_ask_all(f, from, &arena, &to, &silent, ret, &ask_err);
    if (asked == 0 && f->look.doubted.at.number > 0)
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
