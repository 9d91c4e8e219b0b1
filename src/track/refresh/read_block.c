#include "track/refresh/read_block.h"
#include "track/sync/finality.h"
#include "track/sync/positions.h"

#include <inttypes.h>

/* The header at a number, from the store if it is there, else from the node, and then stored. */
static int read_block_load_header(struct tracker *t, uint64_t number, struct anchor *ret,
                                  struct err *err)
{
    struct header h;
    bool found;
    if (store_header_at(t->store, number, ret, &found, err) < 0)
        return -1;
    if (found)
        return 0;
    if (tracker_get_block(t, number, &h, err) < 0 || store_headers_put(t->store, &h.at, 1, err) < 0)
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

static int read_block_load_view(struct tracker *t, const struct tracked *b, struct chain_view *ret,
                                struct err *err)
{
    struct header head;
    struct anchor finalized;
    struct balance_position p;
    if (tracker_get_head(t, &head, err) < 0 || finality_find(t, &head, &finalized, err) < 0 ||
        positions_load_balance(t, b, &p, err) < 0)
        return -1;
    ret->has_checkpoint = p.has_synced;
    ret->checkpoint = p.synced;
    ret->head = head.at.number;
    ret->finalized = finalized.number;
    bool kept_up = ret->has_checkpoint && ret->checkpoint + POSITIONS_STATE >= ret->head;
    ret->synced = kept_up ? ret->checkpoint : UINT64_MAX;
    /* Nothing was synced yet: nothing older than this head is asked of the sweep. */
    ret->first = p.known && p.first < ret->head ? p.first : ret->head;
    return 0;
}

static int read_block_choose(struct tracker *t, const struct chain_view *v, struct anchor *ret,
                             struct err *err)
{
    return read_block_load_header(
        t, positions_sweep_block(v->head, v->finalized, v->synced, v->first), ret, err);
}

int read_block_find(struct tracker *t, const struct tracked *b, struct anchor *ret, struct err *err)
{
    struct chain_view v;
    return read_block_load_view(t, b, &v, err) < 0 ? -1 : read_block_choose(t, &v, ret, err);
}

int read_block_find_newest(struct tracker *t, const struct tracked *b, struct anchor *ret,
                           struct err *err)
{
    struct chain_view v;
    if (read_block_load_view(t, b, &v, err) < 0)
        return -1;
    if (v.has_checkpoint && v.checkpoint > v.head)
        return err_set(err, ERR_FAILED,
                       "the node is at block %" PRIu64 ", events are synced up to block %" PRIu64,
                       v.head, v.checkpoint);
    return read_block_load_header(t, v.head, ret, err);
}

int read_block_find_reach(struct tracker *t, const struct tracked *b, uint64_t *ret,
                          struct anchor *ret_at, struct err *err)
{
    struct chain_view v;
    if (read_block_load_view(t, b, &v, err) < 0 || read_block_choose(t, &v, ret_at, err) < 0)
        return -1;
    uint64_t reach = v.synced != UINT64_MAX && v.first > v.finalized ? v.first : v.finalized;
    *ret = reach < ret_at->number ? reach : ret_at->number;
    return 0;
}

int read_block_find_synced(struct tracker *t, const struct tracked *b, bool newest,
                           struct anchor *ret, struct err *err)
{
    struct chain_view v;
    if (read_block_load_view(t, b, &v, err) < 0)
        return -1;
    if (!v.has_checkpoint) {
        err_set(err, ERR_FAILED, "no block is synced yet: what differs need not be drift");
        return err_hint(err, "start trueup run, or fill the table with trueup backfill");
    }
    uint64_t synced = v.checkpoint < v.head ? v.checkpoint : v.head;
    uint64_t at = newest ? synced : positions_sweep_block(v.head, v.finalized, synced, v.first);
    return read_block_load_header(t, at, ret, err);
}

int read_block_may_file_drift(struct tracker *t, const struct tracked *b, const struct anchor *at,
                              bool *ret, struct err *err)
{
    struct balance_position p;
    if (positions_load_balance(t, b, &p, err) < 0)
        return -1;
    *ret = p.known && p.has_synced && at->number <= p.synced;
    return 0;
}
