#include "track/sync/cover.h"
#include "base/clock.h"
#include "base/err.h"
#include "track/sync/flush.h"

#include <inttypes.h>

enum { BESIDE_LEGS_MS = 1000 };

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

/* ---- the answer about a range ---------------------------------------------------------------- */

/* The window's last header, which came with its logs, where we know that block: an endpoint on
 * another branch would give us that branch's logs. */
static bool sync_is_our_branch(const struct samples *s, const struct header *to)
{
    const struct header *near = sample_near(s, to->at.number);
    const struct anchor *known = near ? &near->at : &s->finality.at;
    return to->at.number != known->number || hash_equal(&known->hash, &to->at.hash);
}

int sync_judge_range(struct follow *f, uint64_t width, int rc, const struct logs *logs,
                     const struct err *why, struct follow_report *ret, bool *ret_ok,
                     struct err *err)
{
    *ret_ok = rc == 0;
    if (rc == 0) {
        if (!sync_is_our_branch(&f->samples, &logs->to))
            return err_set(err, ERR_FAILED,
                           "the logs up to block %" PRIu64 " are of another branch",
                           logs->to.at.number);
        range_on_answer(&f->range, width, logs->n);
        return 0;
    }
    switch (range_on_fault(&f->range, width, &logs->fault)) {
    case RANGE_AGAIN:
        ret->end = FOLLOW_AGAIN;
        return 0;
    case RANGE_WAIT:
        sync_set_blocked(ret, why);
        return 0;
    case RANGE_GIVE_UP:
        break;
    }
    *err = *why;
    return -1;
}

int sync_ask_range(struct follow *f, uint64_t from, uint64_t to, struct arena *arena,
                   struct logs *ret_logs, struct follow_report *ret, bool *ret_ok, struct err *err)
{
    struct err why = {0};
    const struct header *head = &f->samples.head;
    struct logs_ask ask = {.filter = &f->filter.filter,
                           .from = from,
                           .to = to,
                           .lane = RPC_LIVE,
                           .by = f->samples.asked, /* it gave the head, so it has these blocks */
                           .to_header = to == head->at.number ? head : NULL,
                           .arena = arena};
    int rc;
    if (!look_take_window(&f->look, from, to, ret_logs, &rc, &why))
        rc = rpc_logs_range(f->t->node, &ask, ret_logs, &why);
    return sync_judge_range(f, to - from, rc, ret_logs, &why, ret, ret_ok, err);
}

/* ---- reading and writing it ------------------------------------------------------------------ */

/* The block at which wallets named up to `to` are read: `to` itself while it is near the head, else
 * the sweep's block, whose state a full node still has. Never below `to`. */
static int sync_choose_anchor(struct follow *f, uint64_t to, struct anchor *ret, struct err *err)
{
    bool found;
    const struct header *h = sample_near(&f->samples, to);
    if (h) {
        *ret = h->at;
        return 0;
    }
    uint64_t at = positions_sweep_block(f->samples.head.at.number, f->samples.finality.at.number,
                                        UINT64_MAX, 0);
    if (sample_find_below(f->t, at, ret, &found, err) < 0)
        return -1;
    if (!found || ret->number < to)
        *ret = f->samples.head.at;
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
                          .finalized = f->samples.finality.at.number};
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
    first_looks_add_names(&fb->first_looks, &fb->affected, f->samples.finality.at.number);
    fanout_remember(&fb->asked, &fb->affected.fanout);
    if (fb->affected.all_block > fb->all_block)
        fb->all_block = fb->affected.all_block;
    affected_set_clear(&fb->affected);
    dirty_clear(&fb->reorg_affected);
    *ret_ok = true;
    return 0;
}

/* A balance that is held (its contract is broken, say) does not hold the others. */
int sync_flush_all(struct follow *f, uint64_t to, bool moves, struct follow_report *ret,
                   bool *ret_whole, struct err *err)
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
        if (ok && moves && to > fb->synced) {
            fb->synced = to;
            f->moved = true;
        }
    }
    return 0;
}

/* ---- one turn -------------------------------------------------------------------------------- */

bool sync_has_reorg_affected(const struct follow *f)
{
    for (size_t i = 0; i < f->t->n_balances; i++)
        if (f->balances[i].reorg_affected.n > 0)
            return true;
    return false;
}

/* Legs run while final blocks far from the head have had no first look. */
static int sync_take_legs(struct follow *f, uint64_t at, struct follow_report *ret, struct err *err)
{
    f->legs.under_way = at + SAMPLE_NEAR < f->samples.head.at.number &&
                        at < f->samples.finality.at.number && f->filter.filter.n_topics > 0;
    if (f->legs.under_way)
        return legs_run(f, ret, err);
    legs_drop(&f->legs);
    return 0;
}

/* Beside legs, whose turns follow one another, looks keep their distance. */
static bool sync_is_time_to_look(struct follow *f)
{
    int64_t now = clock_ms();
    if (f->legs.under_way && now - f->legs.look_ms < BESIDE_LEGS_MS)
        return false;
    f->legs.look_ms = now;
    return true;
}

int sync_next_blocks(struct follow *f, struct follow_report *ret, struct err *err)
{
    uint64_t head = f->samples.head.at.number, at = sync_find_lowest(f);
    if (at + SAMPLE_NEAR < head && !f->announced) {
        ret->catching_up = f->announced = true;
        ret->from = at + 1;
        ret->to = head;
    }
    for (size_t i = 0; i < f->t->n_balances; i++)
        affected_set_clear(&f->balances[i].affected);
    struct err why = {0};
    int rc = sync_take_legs(f, at, ret, &why);
    if (sync_is_time_to_look(f) && look_take(f, ret, err) < 0)
        return -1;
    if (rc < 0) {
        *err = why;
        return -1;
    }
    if (ret->end == FOLLOW_IDLE && sync_find_lowest(f) < head)
        ret->end = FOLLOW_AGAIN;
    if (sync_find_lowest(f) >= head)
        f->announced = false;
    return 0;
}
