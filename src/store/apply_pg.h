/* Inside PostgreSQL's apply: what its two round trips share (apply_pg.c, write_pg.c). */
#ifndef STORE_APPLY_PG_H
#define STORE_APPLY_PG_H

#include "store/pg.h"
#include "store/rule.h"

struct pg_batch_row { /* beside each write */
    uint8_t tid[TID_SIZE];
    struct write_debt debt;
    struct write_plan plan;
};

struct pg_batch {
    struct pg *s;
    const struct store_batch *batch;
    struct arena *arena;   /* the caller's: results */
    struct arena *scratch; /* this attempt's */
    struct pg_batch_row *rows;
    unsigned *failures; /* beside each failure: so many before */
    struct store_applied done;
    struct err *err;
};

/* The place of a wallet among the writes, or n_writes. */
size_t pg_find_write(const struct store_batch *b, const address *wallet);

/* Writes what a->rows[].plan says, with all that goes with the batch, and commits. */
int pg_write_and_commit(struct pg_batch *a);

#endif
