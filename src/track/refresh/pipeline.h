/*
 * The pipeline: many steps planned, read and checked, several at once, and then written or shown to
 * the caller. A full pass, a backfill, an audit and a snapshot differ only in their plan and in the
 * use of the readings.
 *
 * A batch is one step, with as many wallets as one request carries. The number of batches under way
 * grows while reads take no longer for it. It bounds the memory, whatever the size of the table.
 */
#ifndef TRACK_REFRESH_PIPELINE_H
#define TRACK_REFRESH_PIPELINE_H

#include "track/refresh/job.h"
#include "track/step.h"

struct pipeline_progress {
    uint64_t rows, updated, changed, failed, drifted; /* all but rows: of what was written */
    uint64_t requests, bytes_out, bytes_in;           /* of this run; HTTP headers included */
};

struct pipeline {
    struct tracker *t;
    struct tracked *b;
    enum store_cause cause;
    const char *who;   /* the name of the writers' connections */
    struct job *lease; /* renewed on the way; NULL: none */

    /* Adds the next wallets, about `want` of them, each once in the whole run; *ret_end when none
     * come after them. */
    int (*plan)(void *ctx, size_t want, struct dirty *ret, bool *ret_end, struct err *err);
    /* NULL: each step is written. Else nothing is, and each step is shown, in the order of the
     * plan: w->step.affected, w->readings and w->step.at. */
    int (*show)(void *ctx, const struct step_work *w, struct err *err);
    void *ctx; /* of plan and show */

    /* The block to read at; when its state is gone, the run ends. NULL: one by read_block_find(),
     * chosen again when a minute has passed or the block went away. */
    const struct anchor *fixed;
    bool first_reads;   /* the head instead, at or above what is synced */
    uint64_t not_below; /* a chosen block below this one ends the run */
    bool files_drift;   /* differences are drift where the block is synced; always with `fixed` */

    /* Often; may be NULL. total is handed through: the rows to be expected. */
    void (*progress)(void *ctx, const struct pipeline_progress *p, uint64_t total);
    void *progress_ctx;
    uint64_t total;
};

/* A plan of all rows in key order; ctx is a struct pipeline_rows. */
struct pipeline_rows {
    struct tracker *t;
    const struct tracked *b;
    int64_t before_us; /* only rows updated before; 0: all */
    bool all;          /* also those in quarantine, and listed wallets without a row; only with
                          before_us 0 */
    bool started;
    address after; /* the last one planned */
};
int pipeline_plan_rows(void *ctx, size_t want, struct dirty *ret, bool *ret_end, struct err *err);
/* Of the listed wallets that have no row, with the same ctx. */
int pipeline_plan_pending(void *ctx, size_t want, struct dirty *ret, bool *ret_end,
                          struct err *err);

/* ERR_STOPPED when t->stop said so; what was written or shown until then counts. *ret is set in
 * any case. */
int pipeline_run(const struct pipeline *p, struct pipeline_progress *ret, struct err *err);

#endif
