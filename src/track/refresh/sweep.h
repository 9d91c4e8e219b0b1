/*
 * The sweep: reads the wallets again that were observed longest ago, without end. Values that only
 * follow events always drift; the sweep bounds for how long.
 *
 * It reads at max(finalized, head − 64), never above synced. So a difference it finds is drift, and
 * few of its values need a repair. A first read, of a wallet without a row or of a row without an
 * anchor, is at the newest block, which has the events that passed before the wallet was tracked.
 * Quarantined wallets whose retry is due are read in a step of their own, so that their failures do
 * not spoil a tick.
 */
#ifndef TRACK_REFRESH_SWEEP_H
#define TRACK_REFRESH_SWEEP_H

#include "track/step.h"

enum {
    SWEEP_SKIPS = 4096,
    SWEEP_RETRIES = 16,
    SWEEP_STILL_MS = 5000, /* without a new block: rows observed at the newest are read there */
};

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
    uint64_t newest; /* the newest header stored, and since when it is */
    int64_t newest_since_ms;
    bool first_left;    /* the last tick left first reads for the next one */
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
    size_t without_row; /* of those requested: listed, and read for the first time */
    bool passed_later;  /* rows were passed by, for they were observed above the sweep's block */
    bool pass_ended;    /* the order of updated_at was started over */
    int64_t oldest_us;  /* when the oldest row met was last read; 0: none was met */
    bool hurry;         /* every row is due, or wallets have none: the next tick follows at once */
    struct err why;
};

void sweep_open(struct sweep *s, struct tracker *t, struct tracked *b);
void sweep_close(struct sweep *s);

/* One tick: at most `batch` wallets (0: as many as one request carries). */
int sweep_tick(struct sweep *s, size_t batch, struct sweep_report *ret, struct err *err);
/* Between ticks: only wallets without a row and placeholders. */
int sweep_first_reads(struct sweep *s, size_t batch, struct sweep_report *ret, struct err *err);

#endif
