#include "track/verify/explain.h"
#include "base/err.h"
#include "track/sync/positions.h"

/* ---- from the store -------------------------------------------------------------------------- */

static int explain_read_store(struct tracker *t, const struct tracked *b, struct arena *arena,
                              struct explain *s, struct err *err)
{
    struct balance_position p;
    struct store *store = t->store;
    const struct store_balance *sb = &b->store;
    struct view_ask changes = {
        .b = sb, .wallets = &s->wallet, .limit = EXPLAIN_CHANGES, .arena = arena};
    struct view_ask drift = changes;
    drift.limit = EXPLAIN_DRIFT;
    if (store_rows(store, sb, &s->wallet, 1, &s->row, err) < 0 ||
        view_quarantined(store, sb, &s->wallet, &s->quarantine, &s->quarantined, err) < 0 ||
        positions_load_balance(t, b, &p, err) < 0 ||
        view_changes_latest(store, &changes, &s->changes, &s->n_changes, err) < 0 ||
        view_drift_latest(store, &drift, &s->drift, &s->n_drift, err) < 0)
        return -1;
    s->full_refresh = p.refresh_below;
    s->has_synced = p.has_synced;
    s->synced = p.synced;
    s->finalized = p.known ? p.finalized : UINT64_MAX;
    s->tracked = s->row.found;
    return s->tracked ? 0 : store_tracked(store, sb, &s->wallet, 1, &s->tracked, err);
}

/* ---- from the chain -------------------------------------------------------------------------- */

/* The last block that is synced, so that what differs there is told from what is on its way; the
 * head where syncing is far behind, or has not begun. */
static int explain_choose_block(struct tracker *t, struct explain *s, struct err *err)
{
    struct header h;
    if (tracker_get_head(t, &h, err) < 0)
        return -1;
    bool near =
        s->has_synced && s->synced < h.at.number && s->synced + POSITIONS_STATE >= h.at.number;
    if (near && tracker_get_block(t, s->synced, &h, err) < 0)
        return -1;
    s->at = h.at;
    return 0;
}

static int explain_read_one(struct tracker *t, const struct read_shape *shape,
                            const struct explain *s, struct reading *ret, struct err *err)
{
    struct read_report report;
    struct read_ask ask = {.shape = shape,
                           .at = s->at,
                           .chain_id = t->chain_id,
                           .wallets = &s->wallet,
                           .n = 1,
                           .lane = RPC_LIVE};
    if (reads_run(t->reads, &ask, ret, &report, err) < 0)
        return -1;
    if (report.end == READ_END_DONE)
        return 0;
    *err = report.why;
    return -1;
}

static int explain_read_chain(struct tracker *t, const struct tracked *b, struct explain *s,
                              struct err *err)
{
    if (explain_choose_block(t, s, err) < 0 || explain_read_one(t, &b->shape, s, &s->sum, err) < 0)
        return -1;
    s->n_terms = b->shape.n_terms;
    for (size_t i = 0; i < s->n_terms; i++) {
        struct read_shape one = b->shape;
        one.terms += i;
        one.n_terms = 1;
        if (explain_read_one(t, &one, s, &s->terms[i], err) < 0)
            return -1;
    }
    return 0;
}

/* ---- the verdict ----------------------------------------------------------------------------- */

static bool explain_is_pending(const struct explain *s)
{
    const struct store_row *r = &s->row;
    return (r->has_blocknumber && r->blocknumber > r->observed_block) ||
           r->observed_block < s->full_refresh;
}

static enum explain_verdict explain_choose_verdict(const struct explain *s)
{
    const struct store_row *r = &s->row;
    if (s->quarantined)
        return EXPLAIN_QUARANTINED;
    if (!r->found)
        return s->tracked ? EXPLAIN_NEW : EXPLAIN_NO_ROW;
    if (s->sum.status != READ_OK)
        return EXPLAIN_UNREADABLE;
    if (!r->has_observed)
        return EXPLAIN_UNANCHORED;
    if (r->observed_block > s->at.number || (!r->odd && u256_equal(&r->balance, &s->sum.sum)))
        return EXPLAIN_RIGHT;
    if (explain_is_pending(s))
        return EXPLAIN_PENDING;
    return s->has_synced && s->at.number <= s->synced ? EXPLAIN_DRIFTED : EXPLAIN_BEHIND;
}

/* The row is looked up before the chain is asked: one that is written in between was observed later
 * or holds the same. */
int explain_gather(struct tracker *t, struct tracked *b, const address *wallet, struct arena *arena,
                   struct explain *ret, struct err *err)
{
    *ret = (struct explain){.wallet = *wallet};
    if (explain_read_store(t, b, arena, ret, err) < 0 || explain_read_chain(t, b, ret, err) < 0)
        return -1;
    ret->verdict = explain_choose_verdict(ret);
    return 0;
}
