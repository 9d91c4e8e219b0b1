/* SQLite: headers, single rows, the list, dirty marks and small state. */
#include "store/sqlite.h"
#include "store/times.h"

#include <string.h>

/* ---- headers --------------------------------------------------------------------------------- */

int sq_headers_put(struct store *store, const struct anchor *h, size_t n, struct err *err)
{
    struct sq *s = sq_of(store);
    if (sq_begin(s, err) != 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        sqlite3_stmt *st = sq_prepare(s, err,
                                      "UPDATE trueup_blocks SET canonical = 0 WHERE "
                                      "number = ?1 AND hash <> ?2 AND canonical");
        if (!st)
            return sq_rollback(s);
        sq_number(st, 1, true, h[i].number);
        sq_hash(st, 2, &h[i].hash);
        if (sq_run(s, st, err) != 0)
            return sq_rollback(s);
        st = sq_prepare(s, err,
                        "INSERT INTO trueup_blocks (number, hash, parent, timestamp, "
                        "canonical) VALUES (?1, ?2, ?3, ?4, 1) ON CONFLICT (number, hash) "
                        "DO UPDATE SET canonical = 1");
        if (!st)
            return sq_rollback(s);
        sq_number(st, 1, true, h[i].number);
        sq_hash(st, 2, &h[i].hash);
        sq_hash(st, 3, &h[i].parent);
        sq_number(st, 4, true, h[i].timestamp);
        if (sq_run(s, st, err) != 0)
            return sq_rollback(s);
    }
    return sq_commit(s, err);
}

static bool get_hash(sqlite3_stmt *st, int col, hash32 *ret)
{
    const char *text = (const char *)sqlite3_column_text(st, col);
    return text && hash_parse(text, (size_t)sqlite3_column_bytes(st, col), ret);
}

int sq_headers_below(struct store *store, uint64_t max, size_t limit, struct arena *arena,
                     struct anchor **ret, size_t *ret_n, struct err *err)
{
    struct sq *s = sq_of(store);
    struct anchor *out = arena_zero(arena, limit, sizeof *out);
    size_t n = 0;
    sqlite3_stmt *st = sq_prepare(s, err,
                                  "SELECT number, hash, parent, timestamp FROM "
                                  "trueup_blocks WHERE number <= ?1 AND canonical ORDER BY "
                                  "number DESC LIMIT ?2");
    if (!st)
        return -1;
    sq_number(st, 1, true, max);
    sqlite3_bind_int64(st, 2, (int64_t)limit);
    int rc;
    while ((rc = sq_step(s, st, err)) == 1)
        n += sq_get_number(st, 0, &out[n].number) && get_hash(st, 1, &out[n].hash) &&
             get_hash(st, 2, &out[n].parent) && sq_get_number(st, 3, &out[n].timestamp);
    sqlite3_reset(st);
    if (rc < 0)
        return -1;
    *ret = out;
    *ret_n = n;
    return 0;
}

int sq_rewind(struct store *store, const struct store_balance *b, size_t n, uint64_t first_bad,
              uint64_t *ret_rows, struct err *err)
{
    struct sq *s = sq_of(store);
    uint64_t rows = 0;
    if (sq_begin(s, err) != 0)
        return -1;
    sqlite3_stmt *st = sq_prepare(
        s, err, "UPDATE trueup_blocks SET canonical = 0 WHERE number >= ?1 AND canonical");
    if (!st)
        return sq_rollback(s);
    sq_number(st, 1, true, first_bad);
    if (sq_run(s, st, err) != 0)
        return sq_rollback(s);
    for (size_t i = 0; i < n; i++) {
        /* 1970 makes them placeholders, which every claim looks at first */
        st = sq_prepare(s, err,
                        "UPDATE \"%w\" SET observed_block = NULL, updated_at = "
                        "'1970-01-01 00:00:00.000000' WHERE observed_block >= ?1",
                        b[i].table);
        if (!st)
            return sq_rollback(s);
        sq_number(st, 1, true, first_bad);
        if (sq_run(s, st, err) != 0)
            return sq_rollback(s);
        rows += (uint64_t)sqlite3_changes64(s->db);
    }
    if (sq_commit(s, err) != 0)
        return -1;
    *ret_rows = rows;
    return 0;
}

int sq_headers_prune(struct store *store, uint64_t below, struct err *err)
{
    struct sq *s = sq_of(store);
    if (sq_begin(s, err) != 0)
        return -1;
    sqlite3_stmt *st = sq_prepare(s, err,
                                  "DELETE FROM trueup_blocks WHERE number < ?1 AND NOT "
                                  "(canonical AND number = (SELECT max(number) FROM "
                                  "trueup_blocks WHERE number < ?1 AND canonical))");
    if (!st)
        return sq_rollback(s);
    sq_number(st, 1, true, below);
    if (sq_run(s, st, err) != 0)
        return sq_rollback(s);
    return sq_commit(s, err);
}

/* ---- rows ------------------------------------------------------------------------------------ */

int sq_row(struct store *store, const struct store_balance *b, const address *wallet,
           struct store_row *ret, bool *ret_found, struct err *err)
{
    struct sq *s = sq_of(store);
    sqlite3_stmt *st = sq_prepare(s, err,
                                  "SELECT balance, blocknumber, observed_block, updated_at "
                                  "FROM \"%w\" WHERE wallet = ?1",
                                  b->table);
    if (!st)
        return -1;
    sq_address(st, 1, wallet);
    int rc = sq_step(s, st, err);
    if (rc < 0)
        return -1;
    *ret_found = rc == 1;
    if (rc == 1) {
        *ret = (struct store_row){.wallet = *wallet};
        sq_get_balance(st, 0, &ret->balance);
        ret->has_blocknumber = sq_get_number(st, 1, &ret->blocknumber);
        ret->has_observed = sq_get_number(st, 2, &ret->observed_block);
        ret->updated_us = sq_get_time(st, 3);
        sqlite3_reset(st);
    }
    return 0;
}

int sq_count(struct store *store, const struct store_balance *b, struct store_counts *ret,
             struct err *err)
{
    struct sq *s = sq_of(store);
    sqlite3_stmt *st = sq_prepare(
        s, err,
        "SELECT count(*), count(*) - count(observed_block), min(updated_at), (SELECT count(*) FROM "
        "trueup_quarantine WHERE balance = ?1), (SELECT count(*) FROM trueup_wallets WHERE "
        "balance = ?1) FROM \"%w\"",
        b->table);
    if (!st)
        return -1;
    sq_text(st, 1, b->name);
    if (sq_step(s, st, err) != 1)
        return -1;
    *ret = (struct store_counts){.rows = (uint64_t)sqlite3_column_int64(st, 0),
                                 .unanchored = (uint64_t)sqlite3_column_int64(st, 1),
                                 .oldest_us = sq_get_time(st, 2),
                                 .quarantined = (uint64_t)sqlite3_column_int64(st, 3),
                                 .listed = (uint64_t)sqlite3_column_int64(st, 4),
                                 .now_us = sq_now_us()};
    sqlite3_reset(st);
    return 0;
}

/* ---- the list -------------------------------------------------------------------------------- */

/* Runs a statement of (balance, wallet) for each; *ret_changed counts those that changed a row. */
static int each_wallet(struct sq *s, const struct store_balance *b, sqlite3_stmt *st,
                       const address *wallet, bool *ret_changed, struct err *err)
{
    if (!st)
        return -1;
    int before = sqlite3_total_changes(s->db);
    if (sqlite3_bind_parameter_count(st) > 1)
        sq_text(st, 1, b->name);
    sq_address(st, sqlite3_bind_parameter_count(st), wallet);
    if (sq_run(s, st, err) != 0)
        return -1;
    *ret_changed |= sqlite3_total_changes(s->db) != before;
    return 0;
}

int sq_wallets_add(struct store *store, const struct store_balance *b, const address *wallets,
                   size_t n, size_t *ret_added, struct err *err)
{
    struct sq *s = sq_of(store);
    size_t added = 0;
    if (sq_begin(s, err) != 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        bool changed = false;
        sqlite3_stmt *st =
            sq_prepare(s, err,
                       "INSERT OR IGNORE INTO trueup_wallets (balance, wallet, pending) "
                       "VALUES (?1, ?2, NOT EXISTS (SELECT 1 FROM \"%w\" WHERE wallet = "
                       "?2))",
                       b->table);
        if (each_wallet(s, b, st, &wallets[i], &changed, err) != 0)
            return sq_rollback(s);
        added += changed;
    }
    if (sq_commit(s, err) != 0)
        return -1;
    *ret_added = added;
    return 0;
}

int sq_wallets_remove(struct store *store, const struct store_balance *b, const address *wallets,
                      size_t n, size_t *ret_removed, struct err *err)
{
    struct sq *s = sq_of(store);
    size_t removed = 0;
    if (sq_begin(s, err) != 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        bool changed = false, rest = false;
        if (each_wallet(s, b,
                        sq_prepare(s, err,
                                   "DELETE FROM trueup_wallets WHERE balance = ?1 "
                                   "AND wallet = ?2"),
                        &wallets[i], &changed, err) != 0 ||
            each_wallet(s, b, sq_prepare(s, err, "DELETE FROM \"%w\" WHERE wallet = ?1", b->table),
                        &wallets[i], &changed, err) != 0 ||
            each_wallet(s, b,
                        sq_prepare(s, err,
                                   "DELETE FROM trueup_quarantine WHERE balance = ?1 "
                                   "AND wallet = ?2"),
                        &wallets[i], &rest, err) != 0 ||
            each_wallet(s, b,
                        sq_prepare(s, err,
                                   "DELETE FROM trueup_dirty WHERE balance = ?1 AND "
                                   "wallet = ?2"),
                        &wallets[i], &rest, err) != 0)
            return sq_rollback(s);
        removed += changed;
    }
    if (sq_commit(s, err) != 0)
        return -1;
    *ret_removed = removed;
    return 0;
}

int sq_wallets_list(struct store *store, const struct store_balance *b, const address *after,
                    size_t limit, struct arena *arena, address **ret, size_t *ret_n,
                    struct err *err)
{
    struct sq *s = sq_of(store);
    sqlite3_stmt *st = sq_prepare(s, err,
                                  "SELECT wallet FROM trueup_wallets WHERE balance = ?1 "
                                  "AND wallet > ?2 ORDER BY wallet LIMIT ?3");
    if (!st)
        return -1;
    sq_text(st, 1, b->name);
    sq_after(st, 2, after);
    sqlite3_bind_int64(st, 3, (int64_t)limit);
    return sq_wallets(s, st, limit, arena, ret, ret_n, err);
}

/* ---- dirty marks ----------------------------------------------------------------------------- */

int sq_dirty_due(struct store *store, const struct store_balance *b, uint64_t number, size_t limit,
                 struct arena *arena, struct store_dirty **ret, size_t *ret_n, struct err *err)
{
    struct sq *s = sq_of(store);
    struct store_dirty *out = arena_alloc(arena, limit * sizeof *out);
    size_t n = 0;
    sqlite3_stmt *st = sq_prepare(s, err,
                                  "SELECT wallet, number, hash FROM trueup_dirty WHERE "
                                  "balance = ?1 AND number <= ?2 ORDER BY number, wallet "
                                  "LIMIT ?3");
    if (!st)
        return -1;
    sq_text(st, 1, b->name);
    sq_number(st, 2, true, number);
    sqlite3_bind_int64(st, 3, (int64_t)limit);
    int rc;
    while ((rc = sq_step(s, st, err)) == 1)
        n += sq_get_address(st, 0, &out[n].wallet) && sq_get_number(st, 1, &out[n].number) &&
             get_hash(st, 2, &out[n].hash);
    sqlite3_reset(st);
    if (rc < 0)
        return -1;
    *ret = out;
    *ret_n = n;
    return 0;
}

int sq_dirty_drop(struct store *store, const struct store_balance *b,
                  const struct store_dirty *marks, size_t n, struct err *err)
{
    struct sq *s = sq_of(store);
    if (sq_begin(s, err) != 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        sqlite3_stmt *st = sq_prepare(s, err,
                                      "DELETE FROM trueup_dirty WHERE balance = ?1 AND "
                                      "number = ?2 AND wallet = ?3 AND hash = ?4");
        if (!st)
            return sq_rollback(s);
        sq_text(st, 1, b->name);
        sq_number(st, 2, true, marks[i].number);
        sq_address(st, 3, &marks[i].wallet);
        sq_hash(st, 4, &marks[i].hash);
        if (sq_run(s, st, err) != 0)
            return sq_rollback(s);
    }
    return sq_commit(s, err);
}

/* ---- small state ----------------------------------------------------------------------------- */

static int text_of(struct sq *s, sqlite3_stmt *st, struct arena *arena, const char **ret,
                   struct err *err)
{
    int rc = sq_step(s, st, err);
    if (rc < 0)
        return -1;
    const char *text = rc == 1 ? (const char *)sqlite3_column_text(st, 0) : NULL;
    *ret = text ? arena_strdup(arena, text) : NULL;
    sqlite3_reset(st);
    return 0;
}

int sq_state_read(struct store *store, const char *key, struct arena *arena, const char **ret,
                  struct err *err)
{
    struct sq *s = sq_of(store);
    sqlite3_stmt *st = sq_prepare(s, err, "SELECT value FROM trueup_state WHERE key = ?1");
    if (!st)
        return -1;
    sq_text(st, 1, key);
    return text_of(s, st, arena, ret, err);
}

int sq_state_write(struct store *store, const char *key, const char *value, struct err *err)
{
    struct sq *s = sq_of(store);
    if (sq_begin(s, err) != 0)
        return -1;
    if (sq_state_set(s, key, value, err) != 0)
        return sq_rollback(s);
    return sq_commit(s, err);
}

int sq_learned_get(struct store *store, const char *endpoint, const char *reader,
                   struct arena *arena, const char **ret, struct err *err)
{
    struct sq *s = sq_of(store);
    sqlite3_stmt *st =
        sq_prepare(s, err, "SELECT sizes FROM trueup_learned WHERE endpoint = ?1 AND reader = ?2");
    if (!st)
        return -1;
    sq_text(st, 1, endpoint);
    sq_text(st, 2, reader);
    return text_of(s, st, arena, ret, err);
}

int sq_learned_put(struct store *store, const char *endpoint, const char *reader, const char *sizes,
                   struct err *err)
{
    struct sq *s = sq_of(store);
    if (sq_begin(s, err) != 0)
        return -1;
    sqlite3_stmt *st = sq_prepare(s, err,
                                  "INSERT INTO trueup_learned (endpoint, reader, sizes, "
                                  "updated_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT "
                                  "(endpoint, reader) DO UPDATE SET sizes = "
                                  "excluded.sizes, updated_at = excluded.updated_at");
    if (!st)
        return sq_rollback(s);
    sq_text(st, 1, endpoint);
    sq_text(st, 2, reader);
    sq_text(st, 3, sizes);
    sq_time(st, 4, sq_now_us());
    if (sq_run(s, st, err) != 0)
        return sq_rollback(s);
    return sq_commit(s, err);
}
