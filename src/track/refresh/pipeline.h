/*
 * Steps flown: planned, read and judged, several at once, and then written through the spine or
 * shown to the caller. What is read is the caller's plan; a full pass, a backfill, an audit and a
 * snapshot differ in their plan and in what becomes of the readings, and in nothing else.
 *
 * A flight is one step, as many wallets as one request carries. The number under way grows while
 * reads take no longer for it. Memory is bounded by that number, whatever the size of the table.
 */
#ifndef TRACK_REFRESH_PIPELINE_H
#define TRACK_REFRESH_PIPELINE_H

#include "track/refresh/lease.h"
#include "track/step.h"

struct pipeline_progress {
    uint64_t rows, updated, changed, failed, drifted; /* all but rows: of what was written */
    uint64_t requests, bytes_out, bytes_in;           /* of this run; HTTP headers included */
};

struct pipeline {
    struct tracker *t;
    struct tracked *b;
    enum store_cause cause;
    enum rpc_lane lane;
    const char *who;     /* names the connections of those who write */
    struct lease *lease; /* renewed on the way; NULL: none */
    void *ctx;

    /* Adds the next wallets, about `want` of them, each once in the whole run; *ret_end when none
     * come after them. */
    int (*plan)(void *ctx, size_t want, struct dirty *ret, bool *ret_end, struct err *err);
    /* A block to read at. Asked again when a minute has passed or the block went away; with
     * `fixed` only once, and then a block that cannot be read ends the run. */
    int (*anchor)(void *ctx, struct anchor *ret, struct err *err);
    bool fixed;
    /* May differences at this block be called drift (step_files_drift())? NULL: never. */
    int (*finds_drift)(void *ctx, const struct anchor *at, bool *ret, struct err *err);
    /* NULL: each step is written. Else nothing is, and each step is shown, in the order of the
     * plan: w->step.affected, w->readings and w->step.at. */
    int (*show)(void *ctx, const struct step_work *w, struct err *err);
    void (*progress)(void *ctx, const struct pipeline_progress *p); /* often; may be NULL */
};

/* ERR_STOPPED when t->stop said so; what was written or shown until then counts. *ret is set in
 * any case. */
int pipeline_run(const struct pipeline *p, struct pipeline_progress *ret, struct err *err);

#endif
