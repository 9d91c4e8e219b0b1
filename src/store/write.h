/*
 * Inside apply: a batch on its way, and the statements that write what the rule decided. Rows are
 * written in each database's own way (apply_sqlite.c, write_pg.c); what goes with them in ours.
 */
#ifndef STORE_WRITE_H
#define STORE_WRITE_H

#include "store/driver.h"
#include "store/rule.h"

struct write_row { /* beside each write */
    uint8_t tid[TID_SIZE], xid[XID_SIZE];
    bool missed; /* the row was not as read: nothing of this write was done */
    struct write_debt debt;
    struct write_plan plan;
};

struct write_batch {
    struct store *s;
    const struct store_batch *batch;
    struct arena *arena;   /* the caller's: results */
    struct arena *scratch; /* this attempt's */
    struct write_row *rows;
    uint64_t *failures; /* beside each failure: so many before */
    const char *warned; /* PostgreSQL: the list of warned_pg.c; NULL: there is none */
    struct store_applied done;
    struct err *err;
};

/* Room for what is gathered of a batch, at the begin of each attempt. */
void write_batch_begin(struct write_batch *a);

/* The statements for some of the writes. A write takes part in several. */
enum write_step {
    STEP_CHANGE,
    STEP_REFRESH,
    STEP_REFRESH_BLOCK,
    STEP_BLOCK,
    STEP_INSERT,
    STEP_INSERT_LISTED, /* if the wallet still stands in the list */
    STEP_LEAVE_QUARANTINE,
    STEP_STAY_IN_QUARANTINE,
    STEP_LEAVE_PENDING,
    STEP_DRIFT,
    STEP_LOG_CHANGE,
    STEP_UNANCHOR,
    N_STEPS,
};

/* What a parameter of such a statement is; from VALUE_TID on a column of the set. */
enum write_value {
    VALUE_NONE,
    VALUE_NAME,
    VALUE_ANCHOR,
    VALUE_CAUSE,
    VALUE_TID,
    VALUE_XID,
    VALUE_WALLET,
    VALUE_BLOCK,
    VALUE_NEW,
    VALUE_OLD,
    VALUE_UPDATED,
};

struct write_statement {
    const char *sql;
    enum write_value params[DB_PARAMS];
};

enum { WRITES_MAX = 32 };
struct write_list { /* statements in the order of locks */
    struct db_query q[WRITES_MAX];
    size_t n;
    bool (*has)[N_STEPS]; /* beside each write: the steps it takes part in */
    size_t rows[N_STEPS]; /* so many writes take part */
};

/* Which steps each write takes part in, by what the rule decided. */
void write_assign_steps(const struct write_batch *a, struct write_list *out);
/* The i-th row is not what was written: it holds `held`, or none was written (NULL). Nothing goes
 * with it any more; it loses its anchor in this transaction. */
void write_mark_altered(struct write_batch *a, size_t i, const char *held);
/* Nothing where no write takes part. */
void write_add_step(const struct write_batch *a, struct write_list *out, enum write_step step,
                    const struct write_statement *statement);
struct db_query *write_add_statement(const struct write_batch *a, struct write_list *out,
                                     const char *sql, size_t set);
/* All that goes with the rows: quarantine, the list, dirty marks, the checkpoint and our mark. */
void write_add_marks(struct write_batch *a, struct write_list *out);

/* Parameters of VALUE_NAME, VALUE_WALLET, VALUE_OLD, VALUE_NEW, VALUE_ANCHOR and VALUE_CAUSE. */
#define ADD_CHANGES                                                                                \
    "INSERT INTO trueup_changes (balance, wallet, old, new, block, cause, at) SELECT $1, u.w, "    \
    "u.o, u.n, $5, $6, {now} FROM unnest($2, $3, $4) u(w, o, n) WHERE {kept u.w}"

/* The statement that prunes trueup_changes after `added` more, the newest of that id. False: not
 * due yet. */
bool write_prune_query(uint64_t newest, uint64_t added, struct db_query *ret);

#endif
