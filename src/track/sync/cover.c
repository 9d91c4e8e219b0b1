#include "track/sync/cover.h"
#include "base/clock.h"
#include "base/err.h"
#include "track/sync/flush.h"

#include <inttypes.h>

enum {
    FLUSH_WALLETS = 8192, /* named and not yet read: enough, cover what is there */
    FLUSH_MS = 5000,      /* a catch-up writes at least this often */
};

uint64_t sync_find_lowest(const struct follow *f)
{
    uint64_t lowest = UINT64_MAX;
    for (size_t i = 0; i < f->t->n_balances; i++)
        if (f->balances[i].synced < lowest)
            lowest = f->balances[i].synced;
    return lowest;
}

static void sync_set_blocked(struct follow_report *ret, const struct err *why)
{
    ret->end = FOLLOW_HELD;
    ret->why = *why;
}

/* ---- what a window of blocks names ----------------------------------------------------------- */

static void sync_collect_all(struct follow *f, const struct logs *logs)
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

/* The window's last header, which came with its logs, where we know that block: an endpoint on
 * another branch would give us that branch's logs. */
static bool sync_is_our_branch(const struct chain *c, const struct header *to)
{
    const struct header *near = chain_near(c, to->at.number);
    if (near)
        return hash_equal(&near->at.hash, &to->at.hash);
    return to->at.number != c->finalized.number || hash_equal(&c->finalized.hash, &to->at.hash);
}

/* Logs of one window below finalized, or wherever headers are not known. */
static int sync_read_range(struct follow *f, uint64_t from, uint64_t to, struct arena *arena,
                           struct follow_report *ret, bool *ret_ok, struct err *err)
{
    struct logs logs;
    struct err why = {0};
    struct logs_ask ask = {
        .filter = &f->filter.filter, .from = from, .to = to, .lane = RPC_CATCHUP, .arena = arena};
    *ret_ok = false;
    if (rpc_logs_range(f->t->node, &ask, &logs, &why) == 0) {
        if (!sync_is_our_branch(&f->chain, &logs.to))
            return err_set(err, ERR_FAILED,
                           "the logs up to block %" PRIu64 " are of another branch", to);
        range_on_answer(&f->range, to - from, logs.n);
        log_source_set(&f->log_source, from, endpoint_name(logs.by));
        sync_collect_all(f, &logs);
        *ret_ok = true;
        return 0;
    }
    switch (range_on_fault(&f->range, to - from, &logs.fault)) {
    case RANGE_AGAIN:
        ret->end = FOLLOW_AGAIN;
        return 0;
    case RANGE_WAIT:
        sync_set_blocked(ret, &why);
        return 0;
    case RANGE_GIVE_UP:
        break;
    }
    *err = why;
    return -1;
}

/* Logs of one block above finalized, by hash. The bloom saves the question where it says no. */
static int sync_read_block(struct follow *f, const struct header *h, struct arena *arena,
                           struct err *err)
{
    struct logs logs;
    if (h->has_bloom && !filter_may_match(&f->filter.filter, h) &&
        !ws_logs_has_block(&f->ws_logs, &h->at.hash)) {
        ws_logs_on_answer(&f->ws_logs, h, NULL);
        return 0;
    }
    struct logs_ask ask = {.filter = &f->filter.filter, .lane = RPC_LIVE, .arena = arena};
    if (rpc_logs_block(f->t->node, &ask, h, &logs, err) < 0)
        return -1;
    ws_logs_on_answer(&f->ws_logs, h, &logs);
    log_source_set(&f->log_source, h->at.number, endpoint_name(logs.by));
    sync_collect_all(f, &logs);
    return 0;
}

/* How far a range from `from` may go: to finalized, or to where headers are known one by one. */
static uint64_t sync_find_range_end(const struct chain *c, uint64_t from)
{
    uint64_t near = c->n_near > 0 ? c->near[0].at.number : c->head.at.number + 1;
    if (from <= c->finalized.number)
        return c->finalized.number;
    return near > from ? near - 1 : c->head.at.number;
}

/* Collects what the next window names; *ret_to is the last block looked at. */
static int sync_read_window(struct follow *f, uint64_t from, struct arena *arena, uint64_t *ret_to,
                            struct follow_report *ret, bool *ret_ok, struct err *err)
{
    const struct header *h = from > f->chain.finalized.number ? chain_near(&f->chain, from) : NULL;
    uint64_t limit = sync_find_range_end(&f->chain, from);
    if (f->filter.filter.n_topics == 0) {
        *ret_to = f->chain.head.at.number;
        *ret_ok = true;
        return 0;
    }
    if (h) {
        *ret_to = from;
        *ret_ok = true;
        return sync_read_block(f, h, arena, err);
    }
    *ret_to = limit - from > f->range.width ? from + f->range.width : limit;
    return sync_read_range(f, from, *ret_to, arena, ret, ret_ok, err);
}

/* ---- reading and writing it ------------------------------------------------------------------ */

/* The block at which wallets named up to `to` are read: `to` itself while it is near the head, else
 * the sweep's block, whose state a full node still has. Never below `to`. */
static int sync_choose_anchor(struct follow *f, uint64_t to, struct anchor *ret, struct err *err)
{
    bool found;
    const struct header *h = chain_near(&f->chain, to);
    if (h) {
        *ret = h->at;
        return 0;
    }
    uint64_t at =
        chain_sweep_block(f->chain.head.at.number, f->chain.finalized.number, UINT64_MAX, 0);
    if (chain_anchor_below(f->t, at, ret, &found, err) < 0)
        return -1;
    if (!found || ret->number < to)
        *ret = f->chain.head.at;
    return 0;
}

/* What another program passed over is synced again, but nothing was reorganised there. */
static enum store_cause sync_choose_cause(const struct follow_balance *fb)
{
    bool again = fb->rescanning && fb->synced < fb->checkpoint;
    bool reorganised = again && fb->synced >= fb->passed;
    return reorganised || fb->reorg_affected.n > 0 ? CAUSE_REORG : CAUSE_EVENT;
}

/* Writes one balance's affected wallets. False in *ret_ok: blocked. */
static int sync_flush_balance(struct follow *f, struct follow_balance *fb, const struct anchor *at,
                              struct follow_report *ret, bool *ret_ok, struct err *err)
{
    struct flush flush = {.balance = fb->b,
                          .cause = sync_choose_cause(fb),
                          .at = *at,
                          .finalized = f->chain.finalized.number};
    struct flush_report r;
    *ret_ok = false;
    for (size_t i = 0; i < fb->reorg_affected.n; i++)
        dirty_add(&fb->affected.dirty, &fb->reorg_affected.list[i]);
    first_looks_add_lists(&fb->first_looks, &fb->affected);
    first_looks_drop_noted(&fb->first_looks, &fb->affected.names);
    int rc = flush_run(f->t, &flush, &fb->affected, &r, err);
    ret->updated += r.updated;
    ret->unanswered += r.unanswered;
    if (r.unanswered > 0) /* the wallets of those lists are not the endpoint's fault */
        log_source_set(&f->log_source, fb->synced + 1, NULL);
    if (rc < 0)
        return -1;
    if (r.blocked) {
        sync_set_blocked(ret, &r.why);
        return 0;
    }
    first_looks_add_names(&fb->first_looks, &fb->affected, f->chain.finalized.number);
    affected_set_clear(&fb->affected);
    dirty_clear(&fb->reorg_affected);
    *ret_ok = true;
    return 0;
}

/* A balance that is held (its contract is broken, say) does not hold the others. */
static int sync_flush_all(struct follow *f, uint64_t to, struct follow_report *ret, struct err *err)
{
    struct anchor at;
    if (sync_choose_anchor(f, to, &at, err) < 0)
        return -1;
    for (size_t i = 0; i < f->t->n_balances; i++) {
        struct follow_balance *fb = &f->balances[i];
        bool ok;
        if (fb->synced >= to && fb->reorg_affected.n == 0)
            continue;
        if (sync_flush_balance(f, fb, &at, ret, &ok, err) < 0)
            return -1;
        if (ok) {
            fb->synced = to;
            f->moved = true;
        }
    }
    return 0;
}

/* ---- one turn -------------------------------------------------------------------------------- */

static size_t sync_count_affected(const struct follow *f)
{
    size_t n = 0;
    for (size_t i = 0; i < f->t->n_balances; i++)
        n += f->balances[i].affected.dirty.n + f->balances[i].affected.fanout.n;
    return n;
}

static bool sync_has_reorg_affected(const struct follow *f)
{
    for (size_t i = 0; i < f->t->n_balances; i++)
        if (f->balances[i].reorg_affected.n > 0)
            return true;
    return false;
}

/* First looks that are far ahead of the second one wait for it: what they named is in memory. */
static bool sync_is_far_ahead(const struct follow *f, uint64_t at)
{
    bool many = false;
    for (size_t i = 0; i < f->t->n_balances; i++)
        many |= first_looks_are_many(&f->balances[i].first_looks);
    return many && at < f->chain.finalized.number;
}

int sync_next_blocks(struct follow *f, struct follow_report *ret, struct err *err)
{
    uint64_t head = f->chain.head.at.number, at = sync_find_lowest(f);
    int64_t flush_at = clock_ms() + FLUSH_MS;
    struct arena arena;
    bool ok = true, far = sync_is_far_ahead(f, at);
    int rc = 0;
    if (at + CHAIN_NEAR < head && !f->announced) {
        ret->catching_up = f->announced = true;
        ret->from = at + 1;
        ret->to = head;
    }
    for (size_t i = 0; i < f->t->n_balances; i++)
        affected_set_clear(&f->balances[i].affected);
    arena_init(&arena);
    while (rc == 0 && ok && !far && at < head && sync_count_affected(f) < FLUSH_WALLETS &&
           clock_ms() < flush_at) {
        uint64_t to;
        rc = sync_read_window(f, at + 1, &arena, &to, ret, &ok, err);
        if (rc == 0 && ok)
            at = to;
        arena_clear(&arena);
    }
    arena_free(&arena);
    /* What was marked before a window failed is still whole blocks: it may be written. */
    if (at > sync_find_lowest(f) || sync_has_reorg_affected(f)) {
        struct err flush_err = {0};
        if (sync_flush_all(f, at, ret, &flush_err) < 0) {
            *err = flush_err;
            rc = -1;
        }
    }
    if (rc == 0 && ret->end == FOLLOW_IDLE && !far && sync_find_lowest(f) < head)
        ret->end = FOLLOW_AGAIN;
    if (sync_find_lowest(f) >= head)
        f->announced = false;
    return rc;
}
