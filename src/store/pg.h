/*
 * Inside the PostgreSQL backend: one connection, parameters and results in binary, and one way to
 * talk: pg_run() sends one or several statements in a pipeline and waits for all answers, with a
 * deadline. A verb is then one or two round trips, whatever the number of its statements.
 */
#ifndef STORE_PG_H
#define STORE_PG_H

#include "base/err.h"
#include "store/backend.h"

#include <libpq-fe.h>

/* Types by their fixed object id (pg_type.dat). */
enum {
    PG_BOOL = 16,
    PG_INT8 = 20,
    PG_INT4 = 23,
    PG_TEXT = 25,
    PG_TID = 27,
    PG_TIMESTAMP = 1114,
    PG_TIMESTAMPTZ = 1184,
    PG_NUMERIC = 1700,
    PG_TEXT_ARRAY = 1009,
    PG_TID_ARRAY = 1010,
    PG_INT8_ARRAY = 1016,
    PG_NUMERIC_ARRAY = 1231,
    PG_BOOL_ARRAY = 1000,
    PG_TIMESTAMPTZ_ARRAY = 1185,
};

enum { PG_PARAMS = 12, PG_PREPARED = 128, PG_TID_SIZE = 6 };

struct pg {
    struct store base;
    PGconn *conn;
    bool broken;   /* an answer did not come: the connection cannot be trusted any more */
    bool scanning; /* statements that pass over a whole table may take minutes */
    struct {
        char *sql;
        char name[16];
    } prepared[PG_PREPARED];
    size_t n_prepared;
    unsigned statement_no;
    char last_state[6]; /* SQLSTATE of the last refusal */
};

static inline struct pg *pg_of(struct store *s)
{
    return (struct pg *)(void *)s;
}

/* ---- statements ------------------------------------------------------------------------------ */

struct pg_params {
    struct arena *arena; /* holds the values until the statement was sent */
    int n;
    Oid types[PG_PARAMS];
    const char *values[PG_PARAMS];
    int lengths[PG_PARAMS], formats[PG_PARAMS];
};

struct pg_command {
    const char *sql;
    struct pg_params params;
    bool prepare; /* compiled once a connection: for what runs at every batch */
};

/* Runs the statements as one pipeline; ret[i] is the answer to the i-th (PQclear each, or
 * pg_clear()). On failure no result is left to clear, and the transaction, if any, is rolled back.
 * ret may be NULL when no answer matters. */
int pg_run(struct pg *s, const struct pg_command *commands, size_t n, PGresult **ret,
           struct err *err);
void pg_clear(PGresult **results, size_t n);
/* One statement, its answer or NULL. */
PGresult *pg_query(struct pg *s, const struct pg_command *command, struct err *err);
/* The wallets of its first column, in the arena. */
int pg_wallets(struct pg *s, const struct pg_command *command, struct arena *arena, address **ret,
               size_t *ret_n, struct err *err);
/* Statements without parameters or answers, outside of the hot paths; may be several with ';'. */
int pg_exec(struct pg *s, const char *sql, struct err *err);
/* Longer deadlines, for statements that pass over a whole table. A verb that failed in between may
 * leave them: harmless, and the next scan ends it. */
int pg_scanning(struct pg *s, bool on, struct err *err);
int pg_rollback(struct pg *s); /* always −1 */
/* The SQLSTATE of the last failure, "" if it had none. */
const char *pg_last_state(const struct pg *s);

/* The balance's table, quoted; in the arena. */
const char *pg_table(struct pg *s, const char *table, struct arena *arena);

/* ---- parameters: each appends one ------------------------------------------------------------ */

void pg_p_text(struct pg_params *p, const char *text);
void pg_p_int(struct pg_params *p, bool has, uint64_t v);
void pg_p_time(struct pg_params *p, int64_t us); /* timestamptz */
void pg_p_address(struct pg_params *p, const address *a);
/* Where a walk in the order of keys goes on: behind this wallet; NULL: with the first one. */
void pg_p_after(struct pg_params *p, const address *after);
void pg_p_hash(struct pg_params *p, const hash32 *h);

/* Arrays grow element by element up to the room given. */
struct pg_array {
    uint8_t *data;
    size_t len;
    uint32_t n;
    Oid element;
    bool has_null;
};
void pg_array_begin(struct pg_array *a, struct arena *arena, Oid element, size_t room);
void pg_array_null(struct pg_array *a);
/* Cut to PG_ARRAY_TEXT bytes; takes up to PG_TEXT_ROOM elements of the room. */
enum { PG_ARRAY_TEXT = 200, PG_TEXT_ROOM = 3 };
void pg_array_text(struct pg_array *a, const char *text, size_t n);
void pg_array_address(struct pg_array *a, const address *w);
/* Begins an array of these wallets, and fills it. */
void pg_array_addresses(struct pg_array *a, struct arena *arena, const address *list, size_t n);
void pg_array_hash(struct pg_array *a, const hash32 *h);
void pg_array_int(struct pg_array *a, uint64_t v);
void pg_array_time(struct pg_array *a, int64_t us);
void pg_array_number(struct pg_array *a, const u256 *v);
void pg_array_tid(struct pg_array *a, const uint8_t tid[PG_TID_SIZE]);
void pg_p_array(struct pg_params *p, struct pg_array *a);

/* ---- results --------------------------------------------------------------------------------- */

bool pg_get_address(const PGresult *r, int row, int col, address *ret);
bool pg_get_hash(const PGresult *r, int row, int col, hash32 *ret);
bool pg_get_int(const PGresult *r, int row, int col, uint64_t *ret); /* false for NULL */
bool pg_get_bool(const PGresult *r, int row, int col);
bool pg_get_number(const PGresult *r, int row, int col, u256 *ret); /* false unless a u256 */
int64_t pg_get_time(const PGresult *r, int row, int col);
bool pg_get_tid(const PGresult *r, int row, int col, uint8_t ret[PG_TID_SIZE]);
/* A text as it lies in the result; not NUL-safe, lives as long as the result. */
const char *pg_get_text(const PGresult *r, int row, int col); /* NULL for NULL */

/* ---- shared by the pg_*.c files -------------------------------------------------------------- */

/* Names every row of own tables by (balance, …): creates and upgrades them. */
int pg_own_tables(struct pg *s, struct err *err);
int pg_schema_version(struct pg *s, uint64_t *ret, struct err *err);
int pg_state_text(struct pg *s, const char *key, struct arena *arena, const char **ret,
                  struct err *err);
int pg_state_put(struct pg *s, const char *key, const char *value, struct err *err);
/* Creates or adopts one balance's table; pg_adopt.c. */
int pg_adopt(struct pg *s, const struct store_balance *b, struct arena *arena,
             struct store_adopted *ret, struct err *err);
/* What is there of a balance's table. */
struct pg_fit {
    bool exists;        /* if not, none of the others is true */
    bool observed;      /* it has observed_block */
    bool index_on_time; /* … and an index that begins with updated_at */
    bool owner;         /* we may alter it */
};
/* Fails naming the column when the table is there and does not fit; pg_fit.c. */
int pg_fit(struct pg *s, const struct store_balance *b, struct arena *arena, struct pg_fit *ret,
           struct err *err);

int pg_migrate(struct store *s, const struct store_balance *b, size_t n, struct store_adopted *ret,
               struct err *err);
int pg_check(struct store *s, const struct store_balance *b, size_t n, struct err *err);
int pg_reset_chain(struct store *s, const struct store_balance *b, size_t n, struct err *err);
int pg_headers_put(struct store *s, const struct anchor *h, size_t n, struct err *err);
int pg_headers_below(struct store *s, uint64_t max, size_t limit, struct arena *arena,
                     struct anchor **ret, size_t *ret_n, struct err *err);
int pg_rewind(struct store *s, const struct store_balance *b, size_t n, uint64_t first_bad,
              uint64_t *ret_rows, struct err *err);
int pg_headers_prune(struct store *s, uint64_t below, struct err *err);
int pg_apply(struct store *s, const struct store_batch *batch, struct arena *arena,
             struct store_applied *ret, struct err *err);
int pg_checkpoint_get(struct store *s, const struct store_balance *b, uint64_t *ret,
                      bool *ret_found, struct err *err);
int pg_claim_stale(struct store *s, const struct store_balance *b, const struct store_pick *pick,
                   struct store_cursor *cursor, struct arena *arena, struct store_stale **ret,
                   size_t *ret_n, bool *ret_lap, struct err *err);
int pg_next_by_key(struct store *s, const struct store_balance *b, const address *after,
                   int64_t before_us, size_t limit, struct arena *arena, struct store_stale **ret,
                   size_t *ret_n, struct err *err);
int pg_quarantine_due(struct store *s, const struct store_balance *b, size_t limit,
                      struct arena *arena, address **ret, size_t *ret_n, struct err *err);
int pg_tracked(struct store *s, const struct store_balance *b, const address *wallets, size_t n,
               bool *ret_tracked, struct err *err);
int pg_row(struct store *s, const struct store_balance *b, const address *wallet,
           struct store_row *ret, bool *ret_found, struct err *err);
int pg_count(struct store *s, const struct store_balance *b, struct store_counts *ret,
             struct err *err);
int pg_wallets_add(struct store *s, const struct store_balance *b, const address *wallets, size_t n,
                   size_t *ret_added, struct err *err);
int pg_wallets_remove(struct store *s, const struct store_balance *b, const address *wallets,
                      size_t n, size_t *ret_removed, struct err *err);
int pg_wallets_list(struct store *s, const struct store_balance *b, const address *after,
                    size_t limit, struct arena *arena, address **ret, size_t *ret_n,
                    struct err *err);
int pg_dirty_due(struct store *s, const struct store_balance *b, uint64_t number, size_t limit,
                 struct arena *arena, struct store_dirty **ret, size_t *ret_n, struct err *err);
int pg_dirty_drop(struct store *s, const struct store_balance *b, const struct store_dirty *marks,
                  size_t n, struct err *err);
int pg_state_read(struct store *s, const char *key, struct arena *arena, const char **ret,
                  struct err *err);
int pg_state_write(struct store *s, const char *key, const char *value, struct err *err);
int pg_lease_take(struct store *s, const char *key, const char *holder, const char *instead_of,
                  unsigned seconds, struct err *err);
int pg_lease_drop(struct store *s, const char *key, const char *holder, struct err *err);
int pg_lease_holder(struct store *s, const char *key, struct arena *arena, const char **ret,
                    struct err *err);
int pg_learned_get(struct store *s, const char *endpoint, const char *reader, struct arena *arena,
                   const char **ret, struct err *err);
int pg_learned_put(struct store *s, const char *endpoint, const char *reader, const char *sizes,
                   struct err *err);

#endif
