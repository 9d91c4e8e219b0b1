#include "track/sync/legs.h"
#include "base/clock.h"
#include "base/mem.h"
#include "track/sync/cover.h"

#include <inttypes.h>
#include <string.h>

enum {
    TURN_WALLETS = 8192,  /* named and not yet read: enough, write what is there */
    TURN_MS = 1000,       /* then looks above what is final have their turn */
    LOGS_AT_ONCE = 16000, /* no more are expected in what is under way */
    AHEAD_MS = 100,       /* a turn that waits for the second look */
};

struct leg {
    uint64_t from, to;
    struct logs_window *w;
    struct arena arena;
};

static void legs_close_one(struct leg *g)
{
    logs_window_close(g->w);
    arena_free(&g->arena);
    mem_free(g);
}

void legs_drop(struct legs *l)
{
    for (size_t i = 0; i < l->n; i++)
        legs_close_one(l->list[i]);
    l->n = 0;
}

static void legs_shift(struct legs *l)
{
    legs_close_one(l->list[0]);
    memmove(l->list, l->list + 1, --l->n * sizeof(struct leg *));
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* The first range alone shows how dense the logs are. */
static bool legs_may_open(const struct follow *f, uint64_t width)
{
    const struct legs *l = &f->legs;
    uint64_t blocks = width + 1;
    if (l->n == 0)
        return true;
    for (size_t i = 0; i < l->n; i++)
        blocks += l->list[i]->to - l->list[i]->from + 1;
    return l->n < LEGS_AT_ONCE && l->blocks_lately > 0 &&
           blocks * l->logs_lately / l->blocks_lately <= LOGS_AT_ONCE;
}

static int legs_open_one(struct follow *f, uint64_t from, uint64_t to, struct err *err)
{
    struct leg *g = mem_zero(1, sizeof *g);
    *g = (struct leg){.from = from, .to = to};
    arena_init(&g->arena);
    struct logs_ask ask = {.filter = &f->filter.filter,
                           .from = from,
                           .to = to,
                           .lane = RPC_CATCHUP,
                           .twice = true,
                           .arena = &g->arena};
    if (logs_window_open(f->t->node, &ask, &g->w, err) < 0) {
        legs_close_one(g);
        return -1;
    }
    f->legs.list[f->legs.n++] = g;
    return 0;
}

/* What is under way goes on from `at`; after a break it does not. */
static int legs_open_more(struct follow *f, uint64_t at, struct err *err)
{
    struct legs *l = &f->legs;
    uint64_t limit = f->samples.finality.at.number;
    if (l->n > 0 && l->list[0]->from != at + 1)
        legs_drop(l);
    for (;;) {
        uint64_t from = (l->n > 0 ? l->list[l->n - 1]->to : at) + 1;
        if (from > limit || !legs_may_open(f, f->range.width))
            return 0;
        uint64_t to = limit - from > f->range.width ? from + f->range.width : limit;
        if (legs_open_one(f, from, to, err) < 0)
            return -1;
    }
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void legs_collect(struct follow *f, const struct logs *logs)
{
    for (size_t i = 0; i < f->t->n_balances; i++) {
        struct follow_balance *fb = &f->balances[i];
        size_t skip = 0;
        fb->affected.by = endpoint_name(logs->by);
        while (skip < logs->n && logs->list[skip].block <= fb->synced)
            skip++;
        events_collect(fb->b, logs->list + skip, logs->n - skip, &fb->affected);
    }
}

/* The range's last header came with its logs. It is a sample from now on: the second look's range
 * ends there. */
static int legs_take_logs(struct follow *f, const struct leg *g, const struct logs *logs,
                          struct err *err)
{
    struct legs *l = &f->legs;
    if (store_headers_put(f->t->store, &logs->to.at, 1, err) < 0)
        return -1;
    log_source_fill(&f->log_source, g->from, g->to, endpoint_name(logs->by));
    legs_collect(f, logs);
    l->logs_lately = logs->n;
    l->blocks_lately = g->to - g->from + 1;
    l->reached = g->to > l->reached ? g->to : l->reached;
    return 0;
}

/* Takes the first range; *ret_at: its last block. False in *ret_ok: ret->end and ret->why say when
 * to ask again, and what was asked for behind it is dropped, for it may be as wide. */
static int legs_take_first(struct follow *f, uint64_t *ret_at, struct follow_report *ret,
                           bool *ret_ok, struct err *err)
{
    struct leg *g = f->legs.list[0];
    struct logs logs;
    struct err why = {0};
    int rc = logs_window_result(g->w, &logs, &why);
    if (sync_judge_range(f, g->to - g->from, rc, &logs, &why, ret, ret_ok, err) < 0 ||
        (*ret_ok && legs_take_logs(f, g, &logs, err) < 0)) {
        legs_drop(&f->legs);
        return -1;
    }
    if (*ret_ok)
        *ret_at = g->to;
    if (*ret_ok)
        legs_shift(&f->legs);
    else
        legs_drop(&f->legs);
    return 0;
}

/* ---- a turn ---------------------------------------------------------------------------------- */

static size_t legs_count_affected(const struct follow *f)
{
    size_t n = 0;
    for (size_t i = 0; i < f->t->n_balances; i++)
        n += f->balances[i].affected.dirty.n + f->balances[i].affected.fanout.n;
    return n;
}

/* First looks that are far ahead of the second one wait for it: what they named is in memory. */
static bool legs_are_far_ahead(const struct follow *f)
{
    for (size_t i = 0; i < f->t->n_balances; i++)
        if (first_looks_are_many(&f->balances[i].first_looks))
            return true;
    return false;
}

static int legs_wait(struct follow *f, int64_t until_ms, struct err *err)
{
    if (rpc_drive(f->t->node, -1, until_ms, err) < 0)
        return -1;
    return rpc_stop_asked(f->t->node) ? err_set(err, ERR_STOPPED, "asked to stop in a catch-up")
                                      : 0;
}

static int legs_collect_turn(struct follow *f, uint64_t *at, struct follow_report *ret,
                             struct err *err)
{
    int64_t until = clock_ms() + TURN_MS;
    bool ok = true;
    while (ok && *at < f->samples.finality.at.number && legs_count_affected(f) < TURN_WALLETS &&
           clock_ms() < until) {
        if (legs_open_more(f, *at, err) < 0)
            return -1;
        bool ended = logs_window_ended(f->legs.list[0]->w);
        if (!ended && second_look_is_answered(&f->second_look))
            return 0; /* the turn's end takes it */
        if (ended ? legs_take_first(f, at, ret, &ok, err) < 0 : legs_wait(f, until, err) < 0)
            return -1;
    }
    return 0;
}

uint64_t legs_find_floor(const struct follow *f)
{
    return f->legs.under_way ? f->samples.finality.at.number : sync_find_lowest(f);
}

/* What was named before a range failed is of whole blocks: it is written. */
int legs_run(struct follow *f, struct follow_report *ret, struct err *err)
{
    uint64_t begin = sync_find_lowest(f), at = begin;
    struct err flush_err = {0};
    bool whole, ahead = legs_are_far_ahead(f);
    int rc = ahead ? legs_wait(f, clock_ms() + AHEAD_MS, err) : legs_collect_turn(f, &at, ret, err);
    if ((at > begin || sync_has_reorg_affected(f)) &&
        sync_flush_all(f, at, true, ret, &whole, &flush_err) < 0) {
        *err = flush_err;
        rc = -1;
    }
    if (rc == 0 && ret->end == FOLLOW_IDLE)
        ret->end = FOLLOW_AGAIN;
    return rc;
}
