/*
 * Inside the SQLite backend: one connection, its prepared statements, times as text.
 *
 * Every statement comes from sq_prepare(), which keeps it: the same text is compiled once a
 * connection. %w in the format quotes a name that stands between double quotes.
 */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include "store/backend.h"

#include <sqlite3.h>

struct sq {
    struct store base;
    sqlite3 *db;
    struct {
        char *sql;
        sqlite3_stmt *stmt;
    } * cache; /* as many as there are kinds of statements times balances */
    size_t n_cache;
    unsigned patience; /* ms between two looks at a lock: follow looks more often than the sweep */
};

static inline struct sq *sq_of(struct store *s)
{
    return (struct sq *)(void *)s;
}

/* NULL and an error when it does not compile. Reset and without old bindings. */
sqlite3_stmt *sq_prepare(struct sq *s, struct err *err, const char *fmt, ...);
/* 1 a row, 0 the end, −1 an error (and the statement is reset). */
int sq_step(struct sq *s, sqlite3_stmt *st, struct err *err);
/* The wallets of the first column, the first `limit` of them, in the arena. Resets st. */
int sq_wallets(struct sq *s, sqlite3_stmt *st, size_t limit, struct arena *arena, address **ret,
               size_t *ret_n, struct err *err);
/* To the end, then reset. */
int sq_run(struct sq *s, sqlite3_stmt *st, struct err *err);
/* Prepares and runs a statement without parameters. */
int sq_exec(struct sq *s, struct err *err, const char *sql);
int sq_fail(struct sq *s, struct err *err, const char *doing);

int sq_begin(struct sq *s, struct err *err); /* IMMEDIATE: a writer from the start */
int sq_commit(struct sq *s, struct err *err);
int sq_rollback(struct sq *s); /* always −1, to end a failing verb with */

void sq_text(sqlite3_stmt *st, int i, const char *text); /* copied */
void sq_address(sqlite3_stmt *st, int i, const address *a);
/* Where a walk in the order of keys goes on: behind this wallet; NULL: with the first one. */
void sq_after(sqlite3_stmt *st, int i, const address *after);
void sq_hash(sqlite3_stmt *st, int i, const hash32 *h);
void sq_number(sqlite3_stmt *st, int i, bool has, uint64_t v);
void sq_time(sqlite3_stmt *st, int i, int64_t us);

/* False for NULL and for what is no wallet of ours. */
bool sq_get_address(sqlite3_stmt *st, int col, address *ret);
bool sq_get_number(sqlite3_stmt *st, int col, uint64_t *ret);
bool sq_get_balance(sqlite3_stmt *st, int col, u256 *ret);
int64_t sq_get_time(sqlite3_stmt *st, int col); /* what is no time is 1970, and so due */

int64_t sq_now_us(void);

/* state rows, also for the other files here; inside the caller's transaction if there is one */
int sq_state_set(struct sq *s, const char *key, const char *value, struct err *err);

int sq_migrate(struct store *s, const struct store_balance *b, size_t n, struct store_adopted *ret,
               struct err *err);
int sq_check(struct store *s, const struct store_balance *b, size_t n, struct err *err);
int sq_reset_chain(struct store *s, const struct store_balance *b, size_t n, struct err *err);

int sq_headers_put(struct store *s, const struct anchor *h, size_t n, struct err *err);
int sq_headers_below(struct store *s, uint64_t max, size_t limit, struct arena *arena,
                     struct anchor **ret, size_t *ret_n, struct err *err);
int sq_rewind(struct store *s, const struct store_balance *b, size_t n, uint64_t first_bad,
              uint64_t *ret_rows, struct err *err);
int sq_headers_prune(struct store *s, uint64_t below, struct err *err);

int sq_apply(struct store *s, const struct store_batch *batch, struct arena *arena,
             struct store_applied *ret, struct err *err);
int sq_checkpoint_get(struct store *s, const struct store_balance *b, uint64_t *ret,
                      bool *ret_found, struct err *err);

int sq_claim_stale(struct store *s, const struct store_balance *b, const struct store_pick *pick,
                   struct store_cursor *cursor, struct arena *arena, struct store_stale **ret,
                   size_t *ret_n, bool *ret_lap, struct err *err);
int sq_next_by_key(struct store *s, const struct store_balance *b, const address *after,
                   int64_t before_us, size_t limit, struct arena *arena, struct store_stale **ret,
                   size_t *ret_n, struct err *err);
int sq_quarantine_due(struct store *s, const struct store_balance *b, size_t limit,
                      struct arena *arena, address **ret, size_t *ret_n, struct err *err);
int sq_tracked(struct store *s, const struct store_balance *b, const address *wallets, size_t n,
               bool *ret_tracked, struct err *err);

int sq_row(struct store *s, const struct store_balance *b, const address *wallet,
           struct store_row *ret, bool *ret_found, struct err *err);
int sq_count(struct store *s, const struct store_balance *b, struct store_counts *ret,
             struct err *err);
int sq_wallets_add(struct store *s, const struct store_balance *b, const address *wallets, size_t n,
                   size_t *ret_added, struct err *err);
int sq_wallets_remove(struct store *s, const struct store_balance *b, const address *wallets,
                      size_t n, size_t *ret_removed, struct err *err);
int sq_wallets_list(struct store *s, const struct store_balance *b, const address *after,
                    size_t limit, struct arena *arena, address **ret, size_t *ret_n,
                    struct err *err);
int sq_dirty_due(struct store *s, const struct store_balance *b, uint64_t number, size_t limit,
                 struct arena *arena, struct store_dirty **ret, size_t *ret_n, struct err *err);
int sq_dirty_drop(struct store *s, const struct store_balance *b, const struct store_dirty *marks,
                  size_t n, struct err *err);
int sq_state_read(struct store *s, const char *key, struct arena *arena, const char **ret,
                  struct err *err);
int sq_state_write(struct store *s, const char *key, const char *value, struct err *err);
int sq_lease_take(struct store *s, const char *key, const char *holder, const char *instead_of,
                  unsigned seconds, struct err *err);
int sq_lease_drop(struct store *s, const char *key, const char *holder, struct err *err);
int sq_lease_holder(struct store *s, const char *key, struct arena *arena, const char **ret,
                    struct err *err);
int sq_learned_get(struct store *s, const char *endpoint, const char *reader, struct arena *arena,
                   const char **ret, struct err *err);
int sq_learned_put(struct store *s, const char *endpoint, const char *reader, const char *sizes,
                   struct err *err);

#endif
