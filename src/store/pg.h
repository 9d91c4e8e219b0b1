/*
 * Inside the PostgreSQL driver: one connection, parameters and results in binary, and one way to
 * talk: pg_run() sends one or several statements in a pipeline and waits for all answers, with a
 * deadline. A verb is then one or two round trips, whatever the number of its statements.
 */
#ifndef STORE_PG_H
#define STORE_PG_H

#include "store/driver.h"

#include <libpq-fe.h>

enum { PG_PREPARED = 128, PG_PIPELINE_MAX = 32 };

#define PG_BEGIN "BEGIN ISOLATION LEVEL READ COMMITTED"
/* For statements that compare whole tables, and for an application's own. */
#define PG_ALL_JOINS                                                                               \
    "SELECT set_config('enable_hashjoin', 'on', true), set_config('enable_mergejoin', 'on', "      \
    "true), set_config('plan_cache_mode', 'auto', true)"

/* What the server warned of in the statements of a batch. */
struct pg_warning {
    bool kept; /* it is an answer: not logged yet */
    unsigned n;
    char code[6], words[200]; /* of the first */
};

struct pg {
    struct store base;
    PGconn *conn;
    bool pooled; /* a pooler stands in between */
    bool broken; /* an answer did not come: the connection cannot be trusted any more */
    struct {
        const char *sql; /* the query's own: two of one address are one text */
        char *table;     /* that stands in it */
        char name[16];
    } prepared[PG_PREPARED];
    size_t n_prepared;
    unsigned statement_no;
    char last_state[6]; /* SQLSTATE of the last failure, "" if it had none */
    size_t failed_at;   /* the statement of the last pipeline that failed */
    struct pg_warning warned;
};

static inline struct pg *pg_of(struct store *s)
{
    return (struct pg *)(void *)s;
}

/* Runs the statements as one pipeline; ret[i] is the answer to the i-th (PQclear each, or
 * pg_clear()). On failure no result is left to clear, and the transaction, if any, is rolled back.
 * ret may be NULL when no answer matters. */
int pg_run(struct pg *s, const struct db_query *list, size_t n, PGresult **ret, struct err *err);
void pg_clear(PGresult **results, size_t n);
/* The fence as the statement of a pipeline: a miss ends the transaction. */
struct db_query pg_fence(const struct pg *s);
/* A pipeline that commits, and whose fence stands at `fence`; PG_NO_FENCE: it has none. */
#define PG_NO_FENCE SIZE_MAX
int pg_run_fenced(struct pg *s, const struct db_query *list, size_t n, size_t fence, PGresult **ret,
                  struct err *err); /* the same, and the transaction stays open */
int pg_run_commit(struct pg *s, const struct db_query *list, size_t n, size_t fence, PGresult **ret,
                  struct err *err);
/* An answer to be read by db_get_…() and pg_next_row(); it stays the caller's. */
struct db_rows pg_rows(struct pg *s, PGresult *res);
bool pg_next_row(struct db_rows *rows);
bool pg_get_tid(const struct db_rows *r, int col, uint8_t ret[TID_SIZE]);
bool pg_get_xid(const struct db_rows *r, int col, uint8_t ret[XID_SIZE]);

/* The parameters of a statement, as libpq wants them. */
struct pg_params {
    int n;
    Oid types[DB_PARAMS];
    const char *values[DB_PARAMS];
    int lengths[DB_PARAMS], formats[DB_PARAMS];
};
void pg_bind(struct pg_params *ret, const struct db_query *q, struct arena *arena);

const char *pg_get_text(const struct db_rows *r, int col, size_t *ret_n);
bool pg_get_number(const struct db_rows *r, int col, int64_t *ret);
bool pg_get_balance(const struct db_rows *r, int col, u256 *ret);
int64_t pg_get_time(const struct db_rows *r, int col);

/* notices_pg.c: what the server says beside its answers becomes log records. */
void pg_on_notice(void *pg, const PGresult *res);
void pg_tell_warning(const struct pg *s, const address *wallet);

int pg_connect(struct store *s, struct err *err);
void pg_disconnect(struct store *s);
int pg_exec(struct store *s, const char *sql, struct err *err);
void pg_rollback(struct store *s);

struct write_batch;
struct write_list;
/* warned_pg.c */
int pg_plan_rewrites(struct write_batch *a);
void pg_add_warned(struct write_batch *a, struct write_list *out, const address *warned);
/* The place of a wallet among the writes, or n_writes. */
size_t pg_find_write(const struct store_batch *b, const address *wallet);
/* The wallets whose rows were not as they had been read, in the transaction at hand. */
#define PG_MISSED "coalesce(current_setting('trueup.missed', true), '')"
/* The second round trip of a batch: one transaction that writes what the rule decided where the
 * rows are still as they were read; the others are marked in a->rows. */
int pg_write_and_commit(struct write_batch *a, bool *ret_anchor_gone);

/* The driver's verbs, each in the file of its name. */
extern const char *const pg_migrations[SCHEMA_VERSION];
int pg_apply(struct store *s, const struct store_batch *batch, struct arena *arena,
             struct store_applied *ret, struct err *err);
int pg_claim(struct store *s, struct claim *c, struct err *err);
int pg_sample(struct store *s, const struct store_balance *b, struct reservoir *r, struct err *err);
int pg_fit_table(struct store *s, const struct store_balance *b, struct db_fit *ret,
                 struct err *err);
int pg_add_column(struct store *s, const struct store_balance *b, bool owner, struct err *err);
int pg_add_index(struct store *s, const struct store_balance *b, const struct db_fit *fit,
                 struct store_adopted *ret, struct err *err);
void pg_hint_rights(struct store *s, struct err *err);
int pg_make_schema(struct store *s, struct err *err);
int pg_read_facts(struct store *s, const struct store_balance *b, struct view_facts *ret,
                  struct err *err);
int pg_ask_query(struct store *s, const struct store_balance *b, const address *wallets, size_t n,
                 bool *ret_tracked, struct err *err);
int pg_walk_query(struct store *s, const struct store_balance *b,
                  void (*take)(void *ctx, const address *wallets, size_t n), void *ctx,
                  uint64_t *ret_odd, struct err *err);

#endif
