/*
 * Inside the SQLite driver: one connection and its prepared statements. The same text is compiled
 * once a connection.
 */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include "base/buf.h"
#include "store/driver.h"

#include <sqlite3.h>
#include <sys/types.h>

struct sq {
    struct store base;
    sqlite3 *db;
    struct {
        char *sql;
        sqlite3_stmt *stmt;
    } * cache; /* as many as there are kinds of statements times balances */
    size_t n_cache;
    dev_t dev; /* the file that is open */
    ino_t ino;
    int64_t now_us;    /* the time of the batch at hand; 0: none is */
    unsigned patience; /* ms between two looks at a lock: follow looks more often than the sweep */
};

static inline struct sq *sq_of(struct store *s)
{
    return (struct sq *)(void *)s;
}

/* The default of a time in tables that other programs insert into, too. */
#define SQ_NOW "(strftime('%Y-%m-%d %H:%M:%f','now') || '000')"

void sq_translate(const char *sql, struct buf *out);

/* NULL and an error when it does not compile. Reset and without old bindings. */
sqlite3_stmt *sq_prepare(struct sq *s, const char *sql, struct err *err);
/* 1 a row, 0 the end, −1 an error (and the statement is reset). */
int sq_step(struct sq *s, sqlite3_stmt *st, struct err *err);
/* To the end, then reset. */
int sq_run(struct sq *s, sqlite3_stmt *st, struct err *err);

int64_t sq_now_us(void);

/* The driver's verbs, each in the file of its name. */
extern const char *const sq_migrations[SCHEMA_VERSION];
int sq_apply(struct store *s, const struct store_batch *batch, struct arena *arena,
             struct store_applied *ret, struct err *err);
int sq_claim(struct store *s, struct claim *c, struct err *err);
int sq_fit_table(struct store *s, const struct store_balance *b, struct db_fit *ret,
                 struct err *err);
int sq_add_column(struct store *s, const struct store_balance *b, bool owner, struct err *err);
int sq_add_index(struct store *s, const struct store_balance *b, const struct db_fit *fit,
                 struct store_adopted *ret, struct err *err);
int sq_read_facts(struct store *s, const struct store_balance *b, struct view_facts *ret,
                  struct err *err);

#endif
