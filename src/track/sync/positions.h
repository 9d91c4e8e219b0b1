/*
 * Positions: how far syncing has got, as other processes need it, in trueup_state. They are written
 * at the end of a turn, so they may lag, but never lead.
 */
#ifndef TRACK_SYNC_POSITIONS_H
#define TRACK_SYNC_POSITIONS_H

#include "track/tracker.h"

enum { POSITIONS_STATE = 64 }; /* a full node has the state of so many blocks */

/* The block a sweep reads at: max(finalized, head − 64), which a full node still has the state of
 * and the chain hardly takes back; but never above `synced`, so that what it finds is drift, nor
 * below `first`, the block at which this store began. */
uint64_t positions_sweep_block(uint64_t head, uint64_t finalized, uint64_t synced, uint64_t first);

enum { POSITIONS_BALANCES = 256 };
struct positions {
    bool known;
    uint64_t head, finalized, first;
    uint64_t synced[POSITIONS_BALANCES]; /* 0: not known */
};
int positions_save(struct tracker *t, const struct positions *p, struct err *err);
int positions_load(struct tracker *t, struct positions *ret, struct err *err);
/* The same of one balance, in one read of the store. */
struct balance_position {
    bool known; /* head, finalized and first are */
    uint64_t head, finalized, first;
    /* The block up to which this balance's logs are answered for, as follow left it: the
     * checkpoint, or further where it is above finalized, or the rescan of a reorg below it. */
    bool has_synced;
    uint64_t synced;
    uint64_t refresh_below; /* every row observed before this block is due; 0: none is */
};
int positions_load_balance(struct tracker *t, const struct tracked *b, struct balance_position *ret,
                           struct err *err);

#endif
