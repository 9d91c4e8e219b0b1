/*
 * A step: the one way in which wallets are read and written. Start here.
 *
 *     plan (marks @ anchor)  →  read  →  judge failures  →  one store transaction
 *
 * Every feeder — live head, catch-up, reorg, sweep, and every command that writes — only plans.
 */
#ifndef TRACK_STEP_H
#define TRACK_STEP_H

#include "base/err.h"
#include "track/dirty.h"
#include "track/tracker.h"

struct step {
    struct tracked *balance;
    enum store_cause cause;
    struct anchor at;
    const struct mark *marks; /* settled: unique, in key order */
    size_t n;
    enum node_lane lane;
    bool has_checkpoint; /* the range of blocks this step answers for ends here */
    uint64_t checkpoint;
};

enum step_end {
    STEP_DONE,
    STEP_MOVED,  /* the anchor is gone or cannot be read: choose another and plan again */
    STEP_BROKEN, /* a term fails for everybody: the contract or the endpoint is bad. Nothing was
                    written, nobody quarantined */
};

struct step_report {
    enum step_end end;
    struct store_applied applied; /* counts; olds is NULL */
    size_t requests;
    struct err why; /* unless DONE */
};

/* −1: a request or the store failed; nothing was written, the same step may be tried again. */
int step_run(struct tracker *t, const struct step *s, struct step_report *ret, struct err *err);

#endif
