/*
 * The sweep: reads the wallets again that were observed longest ago, without end. Values that only
 * follow events always drift; the sweep bounds for how long.
 *
 * It reads at max(finalized, head − 64), never above synced. So a difference it finds is drift, and
 * few of its values need a repair. Quarantined wallets whose retry is due are read in a step of
 * their own, so that their failures do not spoil a tick.
 */
#ifndef TRACK_REFRESH_SWEEP_H
#define TRACK_REFRESH_SWEEP_H

#include "track/step.h"

enum { SWEEP_SKIPS = 4096, SWEEP_RETRIES = 16 };

/* A wallet that is skipped for a while because its failure could not be checked. */
struct sweep_skip {
    address wallet;
    int64_t until_ms;
};

struct sweep {
    struct tracker *t;
    struct tracked *b;
    struct store_cursor cursor;
    struct sweep_skip *skips; /* SWEEP_SKIPS of them, in key order */
    size_t n_skips;
    uint64_t all_block; /* a pass over all rows is under way for this block; 0 if not */
    bool all_started;
    address all_after; /* its cursor */
};

enum sweep_end {
    SWEEP_DONE,
    SWEEP_EMPTY,   /* nothing was due */
    SWEEP_WAITING, /* nothing can be read yet: why (no header yet, catching up, reorg) */
    SWEEP_BROKEN,  /* a term fails for every wallet: why */
};

struct sweep_report {
    enum sweep_end end;
    size_t requested, updated, quarantined, drifted;
    bool pass_ended;   /* the order of updated_at was started over */
    int64_t oldest_us; /* when the oldest row met was last read; 0: none was met */
    bool hurry;        /* every row is due: the next tick should follow at once */
    struct err why;
};

void sweep_open(struct sweep *s, struct tracker *t, struct tracked *b);
void sweep_close(struct sweep *s);

/* One tick: at most `batch` wallets (0: as many as one request carries). */
int sweep_tick(struct sweep *s, size_t batch, struct sweep_report *ret, struct err *err);

#endif
