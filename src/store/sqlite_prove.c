/* SQLite: proving. */
#include "store/prove.h"
#include "store/sqlite.h"

#include <inttypes.h>

/* One walk over the keys, of which those that stay are put aside: the table has no row numbers that
 * could be drawn, and to draw points of the key space would favour rows that stand alone. A step of
 * the walk costs a fraction of a microsecond, and nobody waits for it. */
int sq_prove_sample(struct store *store, const struct store_balance *b, size_t want,
                    struct arena *arena, address **ret, size_t *ret_n, struct err *err)
{
    struct sq *s = sq_of(store);
    int rc;
    struct reservoir r = {
        .kept = arena_alloc(arena, (want + 1) * sizeof *r.kept), .want = want, .rng = &store->rng};
    sqlite3_stmt *st = sq_prepare(s, err, "SELECT wallet FROM \"%w\"", b->table);
    if (!st)
        return -1;
    while ((rc = sq_step(s, st, err)) == 1) {
        address wallet, *place;
        if (sq_get_address(st, 0, &wallet) && (place = reservoir_place(&r)))
            *place = wallet;
    }
    sqlite3_reset(st);
    if (rc < 0)
        return -1;
    *ret = r.kept;
    *ret_n = addresses_sort_unique(r.kept, r.n);
    return 0;
}

/* One wallet by a statement whose ?1 it is: 1 a row, to be reset by the caller. */
static int look_up(struct sq *s, sqlite3_stmt *st, const address *wallet, struct err *err)
{
    sq_address(st, 1, wallet);
    return sq_step(s, st, err);
}

static void take_row(sqlite3_stmt *st, struct prove_row *row)
{
    row->found = true;
    row->odd = !sq_get_balance(st, 0, &row->balance);
    row->has_blocknumber = sq_get_number(st, 1, &row->blocknumber);
    row->has_observed = sq_get_number(st, 2, &row->observed_block);
    row->updated_us = sq_get_time(st, 3);
    row->created_us = sq_get_time(st, 4);
}

static int mark_waiting(struct sq *s, const struct store_balance *b, const address *wallets,
                        size_t n, struct prove_row *ret, struct err *err)
{
    int rc;
    sqlite3_stmt *st = sq_prepare(s, err,
                                  "SELECT wallet FROM trueup_quarantine WHERE balance = ?1 ORDER "
                                  "BY wallet");
    if (!st)
        return -1;
    sq_text(st, 1, b->name);
    for (size_t i = 0; (rc = sq_step(s, st, err)) == 1 && i < n;) {
        address wallet;
        if (!sq_get_address(st, 0, &wallet))
            continue;
        while (i < n && address_compare(&wallets[i], &wallet) < 0)
            i++;
        if (i < n && address_equal(&wallets[i], &wallet))
            ret[i].waiting = true;
    }
    sqlite3_reset(st);
    return rc < 0 ? -1 : 0;
}

int sq_prove_rows(struct store *store, const struct store_balance *b, const address *wallets,
                  size_t n, struct prove_row *ret, struct err *err)
{
    struct sq *s = sq_of(store);
    sqlite3_stmt *st = sq_prepare(s, err,
                                  "SELECT balance, blocknumber, observed_block, updated_at, "
                                  "created_at FROM \"%w\" WHERE wallet = ?1",
                                  b->table);
    if (!st)
        return -1;
    for (size_t i = 0; i < n; i++) {
        ret[i] = (struct prove_row){0};
        int rc = look_up(s, st, &wallets[i], err);
        if (rc == 1)
            take_row(st, &ret[i]);
        sqlite3_reset(st);
        if (rc < 0)
            return -1;
    }
    return mark_waiting(s, b, wallets, n, ret, err);
}

int sq_prove_replaced(struct store *store, uint64_t number, bool *ret, struct err *err)
{
    struct sq *s = sq_of(store);
    sqlite3_stmt *st =
        sq_prepare(s, err, "SELECT 1 FROM trueup_blocks WHERE number = ?1 AND NOT canonical");
    if (!st)
        return -1;
    sq_number(st, 1, true, number);
    int rc = sq_step(s, st, err);
    sqlite3_reset(st);
    if (rc < 0)
        return -1;
    *ret = rc == 1;
    return 0;
}

/* ---- the ledger ------------------------------------------------------------------------------ */

/* The statement's ?1 is the record; further parameters stay bound. */
static int for_each(struct sq *s, sqlite3_stmt *st, const uint64_t *ids, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        sq_number(st, 1, true, ids[i]);
        if (sq_run(s, st, err) != 0)
            return sq_rollback(s);
    }
    return sq_commit(s, err);
}

int sq_prove_drift_cause(struct store *store, const uint64_t *ids, size_t n, const char *cause,
                         const char *endpoint, struct err *err)
{
    struct sq *s = sq_of(store);
    if (sq_begin(s, err) != 0)
        return -1;
    sqlite3_stmt *st =
        sq_prepare(s, err, "UPDATE trueup_drift SET cause = ?2, endpoint = ?3 WHERE id = ?1");
    if (!st)
        return sq_rollback(s);
    sq_text(st, 2, cause);
    if (endpoint)
        sq_text(st, 3, endpoint);
    return for_each(s, st, ids, n, err);
}

int sq_prove_drift_drop(struct store *store, const uint64_t *ids, size_t n, struct err *err)
{
    struct sq *s = sq_of(store);
    if (sq_begin(s, err) != 0)
        return -1;
    sqlite3_stmt *st = sq_prepare(s, err, "DELETE FROM trueup_drift WHERE id = ?1");
    return st ? for_each(s, st, ids, n, err) : sq_rollback(s);
}

int sq_prove_drift_prune(struct store *store, struct err *err)
{
    struct sq *s = sq_of(store);
    if (sq_begin(s, err) != 0)
        return -1;
    sqlite3_stmt *st =
        sq_prepare(s, err,
                   "DELETE FROM trueup_drift WHERE id IN (SELECT id FROM trueup_drift ORDER BY id "
                   "LIMIT 20000) AND (found_at < ?1 OR id <= (SELECT max(id) FROM trueup_drift) - "
                   "?2)");
    if (!st)
        return sq_rollback(s);
    sq_time(st, 1, sq_now_us() - DRIFT_DAYS * INT64_C(86400000000));
    sqlite3_bind_int64(st, 2, DRIFT_KEPT);
    return sq_run(s, st, err) != 0 ? sq_rollback(s) : sq_commit(s, err);
}
