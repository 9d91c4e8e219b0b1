/* SQLite: holders found in event history, and walks over all wallets. */
#include "store/found.h"
#include "store/sqlite.h"

#include "base/err.h"

static int put_one(struct sq *s, const struct store_balance *b, const struct found *f,
                   struct err *err)
{
    sqlite3_stmt *st =
        sq_prepare(s, err,
                   "INSERT INTO trueup_found (balance, wallet, block) VALUES (?1, ?2, ?3) ON "
                   "CONFLICT (balance, wallet) DO UPDATE SET block = excluded.block WHERE block < "
                   "excluded.block");
    if (!st)
        return -1;
    sq_text(st, 1, b->name);
    sq_address(st, 2, &f->wallet);
    sq_number(st, 3, true, f->block);
    return sq_run(s, st, err);
}

int sq_found_put(struct store *store, const struct store_balance *b, const struct found *list,
                 size_t n, const char *key, const char *value, struct err *err)
{
    struct sq *s = sq_of(store);
    if (sq_begin(s, err) != 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (put_one(s, b, &list[i], err) != 0)
            return sq_rollback(s);
    if (key && sq_state_set(s, key, value, err) != 0)
        return sq_rollback(s);
    return sq_commit(s, err);
}

static sqlite3_stmt *prepare_next(struct sq *s, const struct store_balance *b,
                                  enum found_which which, struct err *err)
{
    const char *answered =
        which == FOUND_UNREAD ? "AND t.blocknumber >= f.block AND t.observed_block >= f.block" : "";
    return sq_prepare(s, err,
                      "SELECT f.wallet, f.block FROM trueup_found f WHERE f.balance = ?1 AND "
                      "f.wallet > ?2 AND NOT EXISTS (SELECT 1 FROM \"%w\" t WHERE t.wallet = "
                      "f.wallet %s) ORDER BY f.wallet LIMIT ?3",
                      b->table, answered);
}

int sq_found_next(struct store *store, const struct store_balance *b, enum found_which which,
                  const address *after, size_t limit, struct arena *arena, struct found **ret,
                  size_t *ret_n, struct err *err)
{
    struct sq *s = sq_of(store);
    struct found *out = arena_alloc(arena, limit * sizeof *out);
    size_t n = 0;
    sqlite3_stmt *st = prepare_next(s, b, which, err);
    if (!st)
        return -1;
    sq_text(st, 1, b->name);
    sq_after(st, 2, after);
    sqlite3_bind_int64(st, 3, (int64_t)limit);
    int rc;
    while ((rc = sq_step(s, st, err)) == 1)
        n += sq_get_address(st, 0, &out[n].wallet) && sq_get_number(st, 1, &out[n].block);
    sqlite3_reset(st);
    if (rc < 0)
        return -1;
    *ret = out;
    *ret_n = n;
    return 0;
}

int sq_found_count(struct store *store, const struct store_balance *b, uint64_t *ret,
                   struct err *err)
{
    struct sq *s = sq_of(store);
    sqlite3_stmt *st = sq_prepare(s, err, "SELECT count(*) FROM trueup_found WHERE balance = ?1");
    if (!st)
        return -1;
    sq_text(st, 1, b->name);
    if (sq_step(s, st, err) != 1)
        return -1;
    *ret = (uint64_t)sqlite3_column_int64(st, 0);
    sqlite3_reset(st);
    return 0;
}

int sq_found_clear(struct store *store, const struct store_balance *b, struct err *err)
{
    struct sq *s = sq_of(store);
    if (sq_begin(s, err) != 0)
        return -1;
    sqlite3_stmt *st = sq_prepare(s, err, "DELETE FROM trueup_found WHERE balance = ?1");
    if (!st)
        return sq_rollback(s);
    sq_text(st, 1, b->name);
    return sq_run(s, st, err) != 0 ? sq_rollback(s) : sq_commit(s, err);
}

int sq_keys(struct store *store, const struct store_balance *b, const address *after, size_t limit,
            struct arena *arena, address **ret, size_t *ret_n, struct err *err)
{
    struct sq *s = sq_of(store);
    sqlite3_stmt *st =
        sq_prepare(s, err, "SELECT wallet FROM \"%w\" WHERE wallet > ?1 ORDER BY wallet", b->table);
    if (!st)
        return -1;
    sq_after(st, 1, after);
    return sq_wallets(s, st, limit, arena, ret, ret_n, err);
}

int sq_without_row(struct store *store, const struct store_balance *b, const address *wallets,
                   size_t n, bool *ret_without, struct err *err)
{
    struct sq *s = sq_of(store);
    for (size_t i = 0; i < n; i++) {
        sqlite3_stmt *st = sq_prepare(s, err, "SELECT 1 FROM \"%w\" WHERE wallet = ?1", b->table);
        if (!st)
            return -1;
        sq_address(st, 1, &wallets[i]);
        int rc = sq_step(s, st, err);
        if (rc < 0)
            return -1;
        sqlite3_reset(st);
        ret_without[i] = rc == 0;
    }
    return 0;
}
