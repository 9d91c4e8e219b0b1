/* See pass.h. */
#include "track/refresh/pass.h"
#include "track/sync/chain.h"

#include <inttypes.h>

/* The header at a number, from the store if it is there, else from the node, and then stored. */
static int pass_load_header(struct tracker *t, uint64_t number, struct anchor *ret, struct err *err)
{
    struct header h;
    bool found;
    if (store_header_at(t->store, number, ret, &found, err) < 0)
        return -1;
    if (found)
        return 0;
    if (rpc_header_number(t->node, number, &h, &found, err) < 0)
        return -1;
    if (!found)
        return err_set(err, ERR_FAILED, "the node does not have block %" PRIu64, number);
    if (store_headers_put(t->store, &h.at, 1, err) < 0)
        return -1;
    *ret = h.at;
    return 0;
}

/* Where a command finds the chain. */
struct chain_view {
    uint64_t head, finalized, first, synced;
    bool has_checkpoint;
    uint64_t checkpoint; /* what is synced, however far behind */
};

static int pass_load_view(struct tracker *t, const struct tracked *b, struct chain_view *ret,
                          struct err *err)
{
    struct header head;
    struct anchor finalized;
    struct balance_position p;
    bool found, stands_in;
    if (rpc_header_tag(t->node, TAG_LATEST, &head, &found, err) < 0)
        return -1;
    if (!found)
        return err_set(err, ERR_FAILED, "the node has no latest block");
    if (chain_finalized_at(t, &head, &finalized, &stands_in, err) < 0 ||
        positions_load_balance(t, b, &p, err) < 0)
        return -1;
    ret->has_checkpoint = p.has_synced;
    ret->checkpoint = p.synced;
    ret->head = head.at.number;
    ret->finalized = finalized.number;
    bool kept_up = ret->has_checkpoint && ret->checkpoint + CHAIN_DEPTH >= ret->head;
    ret->synced = kept_up ? ret->checkpoint : UINT64_MAX;
    /* Nothing was synced yet: the store begins here, at the head. */
    ret->first = p.known && p.first < ret->head ? p.first : ret->head;
    return 0;
}

static int pass_choose_block(struct tracker *t, const struct chain_view *v, struct anchor *ret,
                             struct err *err)
{
    return pass_load_header(t, chain_sweep_block(v->head, v->finalized, v->synced, v->first), ret,
                            err);
}

int pass_find_anchor(struct tracker *t, const struct tracked *b, struct anchor *ret,
                     struct err *err)
{
    struct chain_view v;
    return pass_load_view(t, b, &v, err) < 0 ? -1 : pass_choose_block(t, &v, ret, err);
}

int pass_find_reach(struct tracker *t, const struct tracked *b, uint64_t *ret,
                    struct anchor *ret_at, struct err *err)
{
    struct chain_view v;
    if (pass_load_view(t, b, &v, err) < 0 || pass_choose_block(t, &v, ret_at, err) < 0)
        return -1;
    uint64_t reach = v.synced != UINT64_MAX && v.first > v.finalized ? v.first : v.finalized;
    *ret = reach < ret_at->number ? reach : ret_at->number;
    return 0;
}

int pass_find_synced_anchor(struct tracker *t, const struct tracked *b, bool newest,
                            struct anchor *ret, struct err *err)
{
    struct chain_view v;
    if (pass_load_view(t, b, &v, err) < 0)
        return -1;
    if (!v.has_checkpoint) {
        err_set(err, ERR_FAILED, "no block is synced yet: what differs need not be drift");
        return err_hint(err, "start trueup run, or fill the table with trueup backfill");
    }
    uint64_t synced = v.checkpoint < v.head ? v.checkpoint : v.head;
    uint64_t at = newest ? synced : chain_sweep_block(v.head, v.finalized, synced, v.first);
    return pass_load_header(t, at, ret, err);
}

/* ---- the walk over the keys ------------------------------------------------------------------ */

struct pass_walk {
    const struct pass *p;
    bool started;
    address after;
    int64_t before_us;
    uint64_t total;
};

static int pass_plan_next(void *ctx, size_t want, struct dirty *ret, bool *ret_end, struct err *err)
{
    struct pass_walk *w = ctx;
    struct arena arena;
    struct store_stale *rows;
    size_t n;
    arena_init(&arena);
    int rc = store_next_by_key(w->p->t->store, &w->p->b->store, w->started ? &w->after : NULL,
                               w->before_us, want, &arena, &rows, &n, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        dirty_add(ret, &(struct affected){.wallet = rows[i].wallet, .insert = INSERT_NEVER});
    if (rc == 0 && n > 0) {
        w->after = rows[n - 1].wallet;
        w->started = true;
    }
    *ret_end = rc == 0 && n < want;
    arena_free(&arena);
    return rc;
}

static int pass_choose_anchor(void *ctx, struct anchor *ret, struct err *err)
{
    const struct pass_walk *w = ctx;
    return pass_find_anchor(w->p->t, w->p->b, ret, err);
}

/* Has a daemon answered every event up to that block, so that a difference there is drift? */
static int pass_may_file_drift(struct tracker *t, const struct tracked *b, const struct anchor *at,
                               bool *ret, struct err *err)
{
    struct balance_position p;
    if (positions_load_balance(t, b, &p, err) < 0)
        return -1;
    *ret = p.known && p.has_synced && at->number <= p.synced;
    return 0;
}

static int pass_on_anchor(void *ctx, const struct anchor *at, bool *ret, struct err *err)
{
    const struct pass_walk *w = ctx;
    return pass_may_file_drift(w->p->t, w->p->b, at, ret, err);
}

static void pass_on_progress(void *ctx, const struct pipeline_progress *p)
{
    const struct pass_walk *w = ctx;
    if (w->p->progress)
        w->p->progress(w->p->ctx, p, w->total);
}

int pass_run(const struct pass *p, struct pipeline_progress *ret, struct err *err)
{
    struct pass_walk w = {.p = p};
    struct store_counts counts;
    struct pipeline pipeline = {.t = p->t,
                                .b = p->b,
                                .cause = CAUSE_SWEEP,
                                .lane = RPC_SWEEP,
                                .who = "trueup sweep",
                                .lease = p->lease,
                                .ctx = &w,
                                .plan = pass_plan_next,
                                .anchor = pass_choose_anchor,
                                .finds_drift = pass_on_anchor,
                                .progress = pass_on_progress};
    if (store_count(p->t->store, &p->b->store, &counts, err) < 0)
        return -1;
    w.total = counts.rows;
    w.before_us = p->max_age_ms ? counts.now_us - p->max_age_ms * 1000 : 0;
    return pipeline_run(&pipeline, ret, err);
}
