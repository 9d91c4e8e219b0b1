/*
 * The driver: one database as 13 functions, and the verbs that stand in two forms. The verbs of
 * this folder are written once, above it, in the SQL of PostgreSQL; SQLite's driver translates what
 * it spells differently (translate_sqlite.c).
 *
 * How the SQL of a verb is written:
 *  - Parameters are $1, $2 …, in the order of db_query.params.
 *  - {t} is the quoted table of db_query.b, and {t_text} that name as a text. Other words in braces
 * stand for what the two databases spell differently; each driver has a table of them
 * (store_driver.words): {now}, {now_text}, {after MILLISECONDS}, {for UPDATE} and so on. {schema}
 * is what stands before the name of a table of ours.
 *  - Names that begin with trueup_ are of our own tables. Where they have a schema, it is put
 *    before them; a name in quotes, and that of an index (…_idx), stays as it is.
 *  - A set of rows is a parameter: `unnest($2, $3) u(w, n)`, each column from a parameter with a
 *    stride; with one more name after WITH ORDINALITY it counts from 1. PostgreSQL gets arrays;
 *    SQLite runs the statement once a row, with u.w and u.n as plain parameters. So the set stands
 *    alone or first in FROM or USING, other tables follow after a comma, its name is u, and its
 *    columns are used as u.NAME only.
 *
 * Outputs are untouched on failure. Rows are decided by rule.h, never in SQL: both databases must
 * do the same. Locks are taken in one order: anchor, rows by wallet, quarantine by wallet, the
 * list, dirty marks, checkpoint, our last-write mark, drift, changes. Two writers can then wait,
 * but not deadlock.
 *
 * A write is one transaction and on PostgreSQL one round trip, whatever the number of its
 * statements. A failure of any function here rolls back the transaction that is open.
 */
#ifndef STORE_DRIVER_H
#define STORE_DRIVER_H

#include "base/err.h"
#include "base/random.h"
#include "base/url.h"
#include "store/lease.h"
#include "store/view.h"

struct claim;     /* pick.h */
struct reservoir; /* sample.h */

enum {
    SCHEMA_VERSION = 4,
    CHANGES_KEPT = 1000000,
    /* trueup_changes is pruned when its id passes a multiple of this: cheap, and seldom */
    CHANGES_STEP = 10000,
    STORE_BATCH_MAX = 1000000, /* wallets in one call: a ceiling, far above what is sensible */
    DB_PARAMS = 8,
    TID_SIZE = 6, /* a row's place in a PostgreSQL table … */
    XID_SIZE = 4, /* … and the transaction that wrote it there */
};

/* What the placeholder range is: rows an application inserted with a guess and 1970. */
#define PLACEHOLDER_END "1971-01-01 00:00:00"

/* ---- parameters ------------------------------------------------------------------------------ */

enum db_kind {
    DB_NONE,
    DB_TEXT,
    DB_NUMBER,
    DB_TIME,
    DB_ADDRESS,
    DB_HASH,
    DB_BALANCE,
    DB_TID,
    DB_XID
};

struct db_param {
    enum db_kind kind;
    size_t stride;   /* 0: one value; else a column of the set, its values this far apart */
    const void *at;  /* the value, or the column's first; NULL: `number`, or a text that is NULL */
    const bool *has; /* a column's NULLs, with the same stride; NULL: it has none */
    uint64_t number;
};

static inline struct db_param db_text(const char *text)
{
    return (struct db_param){.kind = DB_TEXT, .at = text};
}

static inline struct db_param db_number(uint64_t v)
{
    return (struct db_param){.kind = DB_NUMBER, .number = v};
}

static inline struct db_param db_time(int64_t us)
{
    return (struct db_param){.kind = DB_TIME, .number = (uint64_t)us};
}

static inline struct db_param db_address(const address *a)
{
    return (struct db_param){.kind = DB_ADDRESS, .at = a};
}

/* Where a walk in the order of keys goes on: behind this wallet; NULL: with the first one. */
static inline struct db_param db_after(const address *a)
{
    return a ? db_address(a) : db_text("");
}

static inline struct db_param db_hash(const hash32 *h)
{
    return (struct db_param){.kind = DB_HASH, .at = h};
}

/* A column of the set: a member of each element of an array, given by the first element's. */
static inline struct db_param db_column(enum db_kind kind, const void *first, size_t stride)
{
    return (struct db_param){.kind = kind, .at = first, .stride = stride};
}

struct db_query {
    const char *sql;
    const struct store_balance *b; /* whose table {t} is */
    size_t set;                    /* rows of the set */
    /* compiled once a connection: for what runs at every batch; the SQL is then a literal */
    bool hot;
    bool raw;  /* an application's SQL: taken as it is */
    bool scan; /* passes over a whole table: may take minutes */
    struct db_param params[DB_PARAMS];
};

/* ---- statements ------------------------------------------------------------------------------ */

struct db_rows { /* an answer; the query must live as long */
    struct store *s;
    const struct db_query *q;
    void *at; /* the driver's: a result, or a statement */
    int row;
    size_t element; /* SQLite: of the set */
};

enum {
    DB_ASYNC = 1, /* the commit may be lost in a crash of the server */
    DB_SCAN = 2,  /* passes over a whole table */
    DB_JOINS = 4, /* compares whole tables: the planner may choose among all joins */
};

int db_read(struct store *s, const struct db_query *q, struct db_rows *ret, struct err *err);
/* 1 a row, 0 the end, −1 a failure; after the last two the answer is closed. */
int db_next(struct db_rows *rows, struct err *err);
void db_end(struct db_rows *rows); /* before its end; else harmless */
/* One transaction, or a part of the open one. ret_changed: rows that the last statement changed;
 * may be NULL. */
int db_write(struct store *s, const struct db_query *list, size_t n, int how, uint64_t *ret_changed,
             struct err *err);
/* A transaction of several calls. Within another one it is a part of that. */
int db_begin(struct store *s, int how, struct err *err);
int db_commit(struct store *s, struct err *err);
int db_rollback(struct store *s); /* always −1 */
/* The statement a fenced transaction begins with: it changes one row, or another writer was here.
 * The words of that failure. */
#define DB_FENCE                                                                                   \
    "UPDATE trueup_fence SET seq = seq + 1 WHERE role = $1 AND generation = $2 AND holder = $3 "   \
    "AND seq = $4"
struct db_query db_fence_query(const struct store *s);
int db_fence_missed(struct store *s, struct err *err);
/* The longer deadlines, for several calls outside of a transaction. */
int db_set_scanning(struct store *s, bool on, struct err *err);
/* Statements without parameters or answers; may be several with ';'. */
int db_exec(struct store *s, const char *sql, struct err *err);

/* For the usual answers. *ret NULL, or *ret_found false: no row, or NULL. */
int db_read_text(struct store *s, const struct db_query *q, struct arena *arena, const char **ret,
                 struct err *err);
int db_read_number(struct store *s, const struct db_query *q, uint64_t *ret, bool *ret_found,
                   struct err *err);
/* The wallets of the first column; what is no wallet of ours is left out. */
int db_read_addresses(struct store *s, const struct db_query *q, struct arena *arena, address **ret,
                      size_t *ret_n, struct err *err);
/* ret[i − 1] for each number i of the first column; false for the others of the set. */
int db_mark_ordinals(struct store *s, const struct db_query *q, bool *ret, struct err *err);

/* Columns of the row at hand. False for NULL, and for what is no value of the kind. */
const char *db_get_text(const struct db_rows *r, int col); /* until db_next() */
const char *db_keep_text(const struct db_rows *r, int col, struct arena *arena);
void db_copy_text(const struct db_rows *r, int col, char *ret, size_t room);
bool db_get_address(const struct db_rows *r, int col, address *ret); /* lower case only */
bool db_get_hash(const struct db_rows *r, int col, hash32 *ret);
bool db_get_number(const struct db_rows *r, int col, uint64_t *ret); /* 0 where it is negative */
bool db_get_bool(const struct db_rows *r, int col);
bool db_get_balance(const struct db_rows *r, int col, u256 *ret);
int64_t db_get_time(const struct db_rows *r, int col); /* what is no time is 1970, and so due */

/* ---- refusals -------------------------------------------------------------------------------- */

enum db_refusal_kind {
    REFUSAL_OF_DATABASE, /* full, read-only, going down, gone: no batch would be taken */
    REFUSAL_OF_ROW,      /* a constraint, a trigger, a policy: another row may be taken */
    REFUSAL_FOR_NOW,     /* another writer, or a deadline: the same again may be taken */
    REFUSAL_OF_RIGHTS,   /* a right is missing; on a table with row security it may be the row's */
    REFUSAL_BY_WARNING,  /* a trigger warned: rolled back by us */
};

/* How a batch is written to a table with an application's row triggers. */
struct db_care {
    bool triggers;       /* there are: one writer at a time, and each row is looked at afterwards */
    bool takes_warnings; /* a warning is logged, and the transaction is committed */
};

/* Why the last statement failed. */
struct db_refusal {
    enum db_refusal_kind kind;
    char code[8];    /* SQLSTATE, or SQLite's number */
    char words[200]; /* the database's own */
};

/* ---- what a driver is ------------------------------------------------------------------------ */

struct db_fit {         /* what is there of a balance's table */
    bool exists;        /* if not, none of the others is true */
    bool observed;      /* it has observed_block */
    bool index_on_time; /* … and an index that begins with updated_at */
    bool owner;         /* we may alter it */
    bool partitioned;   /* its rows are in other tables */
};

struct store_driver {
    size_t size;                   /* of its store, which begins with a struct store */
    const char *const (*words)[2]; /* what {name} stands for, @ its argument; the last is NULL */
    const char *begin;
    const char *const *migrations; /* one a schema version, never edited once released */
    const char *lock_schema;       /* waits for another program that migrates; may be NULL */
    const char *open_schema;       /* then, before those */
    bool has_schemas;              /* a table may be named schema.table */
    bool parallel_writers;         /* several connections write at once */
    bool one_migration;            /* all of a migration is one transaction */
    int64_t foreign_clock_us;      /* so far behind ours a foreign writer's times may lie */

    int (*connect)(struct store *s, struct err *err);
    void (*disconnect)(struct store *s);
    int (*exec)(struct store *s, const char *sql, struct err *err);
    void (*rollback)(struct store *s);
    /* Sets the limits of a scan, else of a writer or a reader. May be NULL. */
    int (*set_scanning)(struct store *s, bool on, struct err *err);
    int (*write)(struct store *s, const struct db_query *list, size_t n, int how,
                 uint64_t *ret_changed, struct err *err);
    int (*read)(struct store *s, const struct db_query *q, struct db_rows *ret, struct err *err);
    int (*next)(struct db_rows *rows, struct err *err);
    void (*end)(struct db_rows *rows);
    const char *(*get_text)(const struct db_rows *r, int col, size_t *ret_n);
    bool (*get_number)(const struct db_rows *r, int col, int64_t *ret);
    bool (*get_balance)(const struct db_rows *r, int col, u256 *ret);
    int64_t (*get_time)(const struct db_rows *r, int col);

    /* Verbs that are another algorithm on each; see store.h, audit.h, view.h. */
    int (*apply)(struct store *s, const struct store_batch *batch, struct arena *arena,
                 struct store_applied *ret, struct err *err);
    int (*claim)(struct store *s, struct claim *c, struct err *err);
    /* All that the reservoir wants, drawn without a walk over the table; or nothing, where that
     * would cost more. NULL where the database cannot. */
    int (*sample)(struct store *s, const struct store_balance *b, struct reservoir *r,
                  struct err *err);
    /* Fails naming the column when the table is there and does not fit. */
    int (*fit_table)(struct store *s, const struct store_balance *b, struct db_fit *ret,
                     struct err *err);
    int (*add_column)(struct store *s, const struct store_balance *b, bool owner, struct err *err);
    int (*add_index)(struct store *s, const struct store_balance *b, const struct db_fit *fit,
                     struct store_adopted *ret, struct err *err);
    void (*hint_rights)(struct store *s, struct err *err); /* may be NULL */
    /* Makes the schema of our own tables if it is missing. NULL where there are none. */
    int (*make_schema)(struct store *s, struct err *err);
    /* Ends sessions whose open transaction holds the lease or a fence, if the lease is as seen.
     * NULL where no session can be ended. */
    int (*end_writers)(struct store *s, const struct lease_view *seen, struct err *err);
    int (*read_facts)(struct store *s, const struct store_balance *b, struct view_facts *ret,
                      struct err *err);
    /* A balance's own query; NULL where the database has none. */
    int (*ask_query)(struct store *s, const struct store_balance *b, const address *wallets,
                     size_t n, bool *ret_tracked, struct err *err);
    int (*walk_query)(struct store *s, const struct store_balance *b,
                      void (*take)(void *ctx, const address *wallets, size_t n), void *ctx,
                      uint64_t *ret_odd, struct err *err);
};

extern const struct store_driver pg_driver, sq_driver;

/* What each transaction of a store that entered a fence begins with; role NULL: it has none. */
struct db_fence {
    const char *role;
    struct lease_owner owner;
    uint64_t seq;
    bool lost; /* missed, or a commit has no answer: nothing is written before it is entered anew */
};

struct store {
    const struct store_driver *driver;
    char *url;
    char *schema; /* of our own tables; NULL: the connection's own */
    char *who;
    char masked[URL_TEXT];
    struct rng rng;
    int depth;     /* of transactions: 0 is none */
    bool scanning; /* the longer deadlines are set */
    struct db_fence fence;
    struct db_refusal refusal;
    struct db_care care;         /* of the batch at hand */
    struct traits_entry *traits; /* traits.h */
    size_t n_traits;
};

/* The statement as the database gets it; q->sql itself where it has no words in braces. */
const char *db_expand(const struct store *s, const struct db_query *q, struct arena *arena);
/* A table's name, quoted. */
const char *db_quote(const struct store *s, const char *table, struct arena *arena);
/* Room for one more element after n, in the arena. */
void *db_grow(struct arena *arena, void *list, size_t n, size_t size);

/* How a list is read: an item of `size` bytes, all zero, is filled from each row; false leaves that
 * row out. */
struct db_take {
    struct arena *arena; /* the list's, and of the texts that an item keeps */
    size_t size;
    bool (*row)(const struct db_rows *row, struct arena *arena, void *item);
};
/* Of a list of wallets, which are column 0. */
bool db_take_address(const struct db_rows *row, struct arena *arena, void *item);
/* All rows of an answer, in its order. ret points at the caller's pointer to items, which is NULL
 * for an empty list. */
int db_read_list(struct store *s, const struct db_query *q, const struct db_take *take, void *ret,
                 size_t *ret_n, struct err *err);

#endif
