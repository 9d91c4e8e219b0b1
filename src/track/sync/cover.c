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

int sync_ask_range(struct follow *f, uint64_t from, uint64_t to, enum rpc_lane lane,
                   struct arena *arena, struct logs *ret_logs, struct follow_report *ret,
                   bool *ret_ok, struct err *err)
{
    struct err why = {0};
    struct logs_ask ask = {
        .filter = &f->filter.filter, .from = from, .to = to, .lane = lane, .arena = arena};
    *ret_ok = false;
    if (rpc_logs_range(f->t->node, &ask, ret_logs, &why) == 0) {
        if (!sync_is_our_branch(&f->chain, &ret_logs->to))
            return err_set(err, ERR_FAILED,
                           "the logs up to block %" PRIu64 " are of another branch", to);
        range_on_answer(&f->range, to - from, ret_logs->n);
        *ret_ok = true;
        return 0;
    }
    switch (range_on_fault(&f->range, to - from, &ret_logs->fault)) {
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

/* Collects what the next window of a catch-up names; *ret_to is its last block. */
static int sync_read_window(struct follow *f, uint64_t from, struct arena *arena, uint64_t *ret_to,
                            struct follow_report *ret, bool *ret_ok, struct err *err)
{
    struct logs logs;
    uint64_t limit = f->chain.finalized.number;
    *ret_to = limit - from > f->range.width ? from + f->range.width : limit;
    if (sync_ask_range(f, from, *ret_to, RPC_CATCHUP, arena, &logs, ret, ret_ok, err) < 0)
        return -1;
    if (*ret_ok) {
        log_source_set(&f->log_source, from, endpoint_name(logs.by));
        sync_collect_all(f, &logs);
    }
    return 0;
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
    fanout_drop_known(&fb->affected.fanout, &fb->asked);
    if (fb->affected.all_block <= fb->all_block)
        fb->affected.all_block = 0;
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
    fanout_remember(&fb->asked, &fb->affected.fanout);
    if (fb->affected.all_block > fb->all_block)
        fb->all_block = fb->affected.all_block;
    affected_set_clear(&fb->affected);
    dirty_clear(&fb->reorg_affected);
    *ret_ok = true;
    return 0;
}

/* A balance that is held (its contract is broken, say) does not hold the others. */
int sync_flush_all(struct follow *f, uint64_t to, struct follow_report *ret, bool *ret_whole,
                   struct err *err)
{
    struct anchor at;
    *ret_whole = true;
    if (sync_choose_anchor(f, to, &at, err) < 0)
        return -1;
    for (size_t i = 0; i < f->t->n_balances; i++) {
        struct follow_balance *fb = &f->balances[i];
        bool ok;
        if (sync_flush_balance(f, fb, &at, ret, &ok, err) < 0)
            return -1;
        *ret_whole &= ok;
        if (ok && to > fb->synced) {
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

bool sync_has_reorg_affected(const struct follow *f)
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

/* Below finalized and far from the head: range by range. What was named before a range failed is
 * of whole blocks: it is written. */
static int sync_catch_up(struct follow *f, struct follow_report *ret, struct err *err)
{
    uint64_t at = sync_find_lowest(f), begin = at;
    int64_t flush_at = clock_ms() + FLUSH_MS;
    struct arena arena;
    bool ok = true, whole, ahead = sync_is_far_ahead(f, at);
    int rc = 0;
    arena_init(&arena);
    while (rc == 0 && ok && !ahead && at < f->chain.finalized.number &&
           sync_count_affected(f) < FLUSH_WALLETS && clock_ms() < flush_at) {
        uint64_t to;
        rc = sync_read_window(f, at + 1, &arena, &to, ret, &ok, err);
        if (rc == 0 && ok)
            at = to;
        arena_clear(&arena);
    }
    arena_free(&arena);
    struct err flush_err = {0};
    if ((at > begin || sync_has_reorg_affected(f)) &&
        sync_flush_all(f, at, ret, &whole, &flush_err) < 0) {
        *err = flush_err;
        rc = -1;
    }
    if (rc == 0 && ret->end == FOLLOW_IDLE && !ahead)
        ret->end = FOLLOW_AGAIN;
    return rc;
}

int sync_next_blocks(struct follow *f, struct follow_report *ret, struct err *err)
{
    uint64_t head = f->chain.head.at.number, at = sync_find_lowest(f);
    bool far = at + CHAIN_NEAR < head;
    if (far && !f->announced) {
        ret->catching_up = f->announced = true;
        ret->from = at + 1;
        ret->to = head;
    }
    for (size_t i = 0; i < f->t->n_balances; i++)
        affected_set_clear(&f->balances[i].affected);
    bool legs = far && at < f->chain.finalized.number && f->filter.filter.n_topics > 0;
    int rc = legs ? sync_catch_up(f, ret, err) : look_take(f, ret, err);
    if (rc == 0 && ret->end == FOLLOW_IDLE && !legs && sync_find_lowest(f) < head)
        ret->end = FOLLOW_AGAIN;
    if (sync_find_lowest(f) >= head)
        f->announced = false;
    return rc;
}
