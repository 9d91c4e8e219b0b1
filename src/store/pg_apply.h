/* Inside PostgreSQL's apply: what its two round trips share (pg_apply.c, pg_write.c). */
#ifndef STORE_PG_APPLY_H
#define STORE_PG_APPLY_H

#include "store/pg.h"

struct row { /* beside each write */
    uint8_t tid[PG_TID_SIZE];
    struct write_debt debt;
    struct write_plan plan;
};

struct apply {
    struct pg *s;
    const struct store_batch *batch;
    struct arena *arena;   /* the caller's: results */
    struct arena *scratch; /* this attempt's */
    const char *table;
    struct row *rows;
    unsigned *failures; /* beside each failure: so many before */
    struct store_applied done;
    struct err *err;
};

/* For bsearch(): a wallet among the writes. */
int pg_compare_write(const void *wallet, const void *write);

/* Writes what a->rows[].plan says, with all that goes with the batch, and commits. */
int pg_write_and_commit(struct apply *a);

#endif
