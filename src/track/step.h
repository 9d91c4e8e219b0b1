/*
 * A step: the one way in which wallets are read and written. Start here.
 *
 *     plan (affected wallets @ anchor)  →  read  →  check failures  →  one store transaction
 *
 * Every source only plans: the first look, catch-up, pushed logs, the second look, reorg, sweep,
 * and every command that writes.
 */
#ifndef TRACK_STEP_H
#define TRACK_STEP_H

#include "base/err.h"
#include "track/dirty.h"
#include "track/tracker.h"
#include "track/verify/drift.h"

struct step {
    struct tracked *balance;
    enum store_cause cause;
    struct anchor at;
    const struct affected *affected; /* unique, in key order */
    size_t n;
    enum rpc_lane lane;
    bool has_checkpoint; /* the range of blocks this step answers for ends here */
    uint64_t checkpoint;
    const struct store_dirty *named; /* for trueup_dirty, in the same transaction; may be empty */
    size_t n_named;
    bool files_drift; /* differences may be called drift: step_files_drift() */
    uint64_t explained_below;
};

enum step_end {
    STEP_DONE,
    STEP_MOVED,  /* the anchor is gone or cannot be read: choose another and plan again */
    STEP_BROKEN, /* a term fails for every wallet: the contract or the endpoint is bad; or the table
                    refuses every row. The checkpoint did not move, no wallet is quarantined */
};

struct step_report {
    enum step_end end;
    struct store_applied applied; /* counts; olds is NULL */
    size_t requests;
    bool pruned;    /* MOVED, and no other try at this block will do: its state is gone */
    struct err why; /* unless DONE */
};

/* For a step without events, at a block up to which all events of this balance are answered: what
 * it finds changed is drift (drift.h). */
int step_files_drift(struct tracker *t, struct step *s, struct err *err);

/* −1: a request or the store failed; nothing was written, the same step may be tried again. */
int step_run(struct tracker *t, const struct step *s, struct step_report *ret, struct err *err);

/* ---- the same in its stages, for a caller with several steps under way ----------------------- */

/* begin → (the read ends) → check failures → write → on_written; only while report.end is STEP_DONE
 * does the next stage follow. A step whose checkpoint moves must be written after those before it.
 */

struct step_work {
    struct step step; /* its affected wallets are the caller's */
    struct arena arena;
    struct reading *readings;
    struct step_report report;
    struct drifts drifts; /* filed by step_write(), their causes still to be found */
};

void step_open(struct step_work *w, const struct step *s);
void step_close(struct step_work *w);
/* w is the read's user, and stays where it is until the read has ended. */
int step_begin(struct tracker *t, struct step_work *w, struct read **ret, struct err *err);
int step_check_failures(struct tracker *t, struct step_work *w, const struct read_report *read,
                        struct err *err);
/* May run in another thread, with a store of its own: it touches nothing but w and the store. */
int step_write(struct step_work *w, struct store *store, struct err *err);
void step_on_written(const struct step_work *w);

/* Why a reading is no number: "held: reverted"; in the arena. */
const char *step_reason(const struct tracked *b, const struct reading *r, struct arena *arena);

#endif
