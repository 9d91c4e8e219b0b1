/* SQLite: leases, as rows of trueup_state: "2026-11-22 10:29:35.123456 HOLDER". Texts of times sort
 * as the times do. */
#include "store/sqlite.h"

#include "store/times.h"

#include <stdio.h>

static int run_lease(struct sq *s, sqlite3_stmt *st, struct err *err)
{
    return sq_run(s, st, err) != 0 ? sq_rollback(s) : sq_commit(s, err);
}

int sq_lease_take(struct store *store, const char *key, const char *holder, const char *instead_of,
                  unsigned seconds, struct err *err)
{
    struct sq *s = sq_of(store);
    int64_t now = sq_now_us();
    char until[TIME_TEXT];
    if (sq_begin(s, err) != 0)
        return -1;
    sqlite3_stmt *st = sq_prepare(s, err,
                                  "INSERT INTO trueup_state (key, value) VALUES (?1, ?2 || ' ' || "
                                  "?3) ON CONFLICT (key) DO UPDATE SET value = excluded.value "
                                  "WHERE substr(value, 1, 26) <= ?4 OR substr(value, 28) IN (?3, "
                                  "?5)");
    if (!st)
        return sq_rollback(s);
    time_to_text(now + (int64_t)seconds * 1000000, until);
    sq_text(st, 1, key);
    sq_text(st, 2, until);
    sq_text(st, 3, holder);
    sq_time(st, 4, now);
    sq_text(st, 5, instead_of ? instead_of : holder);
    return run_lease(s, st, err);
}

int sq_lease_drop(struct store *store, const char *key, const char *holder, struct err *err)
{
    struct sq *s = sq_of(store);
    if (sq_begin(s, err) != 0)
        return -1;
    sqlite3_stmt *st =
        sq_prepare(s, err, "DELETE FROM trueup_state WHERE key = ?1 AND substr(value, 28) = ?2");
    if (!st)
        return sq_rollback(s);
    sq_text(st, 1, key);
    sq_text(st, 2, holder);
    return run_lease(s, st, err);
}

int sq_lease_holder(struct store *store, const char *key, struct arena *arena, const char **ret,
                    struct err *err)
{
    struct sq *s = sq_of(store);
    sqlite3_stmt *st = sq_prepare(s, err,
                                  "SELECT substr(value, 28) FROM trueup_state WHERE key = ?1 AND "
                                  "substr(value, 1, 26) > ?2");
    if (!st)
        return -1;
    sq_text(st, 1, key);
    sq_time(st, 2, sq_now_us());
    int rc = sq_step(s, st, err);
    if (rc < 0)
        return -1;
    *ret = rc == 1 ? arena_strdup(arena, (const char *)sqlite3_column_text(st, 0)) : NULL;
    sqlite3_reset(st);
    return 0;
}
