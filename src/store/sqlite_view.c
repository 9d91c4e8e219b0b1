/* SQLite: what people look at. Readers never wait for a writer here (WAL). */
#include "store/prove.h"
#include "store/sqlite.h"
#include "store/times.h"
#include "store/view.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char *column(sqlite3_stmt *st, int col, struct arena *arena)
{
    const char *text = (const char *)sqlite3_column_text(st, col);
    return text ? arena_strdup(arena, text) : NULL;
}

static void short_column(sqlite3_stmt *st, int col, char *ret, size_t room)
{
    const char *text = (const char *)sqlite3_column_text(st, col);
    snprintf(ret, room, "%s", text ? text : "");
}

/* wallet, balance, blocknumber, observed_block, updated_at */
static bool take_row(sqlite3_stmt *st, struct view_row *row)
{
    *row = (struct view_row){0};
    if (!sq_get_address(st, 0, &row->wallet))
        return false;
    short_column(st, 1, row->balance, sizeof row->balance);
    row->has_blocknumber = sq_get_number(st, 2, &row->blocknumber);
    row->has_observed = sq_get_number(st, 3, &row->observed_block);
    row->updated_us = sq_get_time(st, 4);
    return true;
}

int sq_view_rows(struct store *store, const struct store_balance *b, const address *wallets,
                 size_t n, struct arena *arena, struct view_row **ret, size_t *ret_n,
                 struct err *err)
{
    struct sq *s = sq_of(store);
    struct view_row *rows = arena_zero(arena, n + 1, sizeof *rows);
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        sqlite3_stmt *st = sq_prepare(s, err,
                                      "SELECT wallet, balance, blocknumber, observed_block, "
                                      "updated_at FROM \"%w\" WHERE wallet = ?1",
                                      b->table);
        if (!st)
            return -1;
        sq_address(st, 1, &wallets[i]);
        int rc = sq_step(s, st, err);
        if (rc < 0)
            return -1;
        found += rc == 1 && take_row(st, &rows[found]);
        sqlite3_reset(st);
    }
    *ret = rows;
    *ret_n = found;
    return 0;
}

int sq_view_top(struct store *store, const struct store_balance *b, size_t limit,
                struct arena *arena, struct view_row **ret, size_t *ret_n, struct err *err)
{
    struct sq *s = sq_of(store);
    struct view_row *rows = arena_zero(arena, limit + 1, sizeof *rows);
    size_t n = 0;
    int rc;
    /* Decimal text without leading zeros: the longer one is the larger number. */
    sqlite3_stmt *st = sq_prepare(s, err,
                                  "SELECT wallet, balance, blocknumber, observed_block, updated_at "
                                  "FROM \"%w\" ORDER BY length(balance) DESC, balance DESC, wallet "
                                  "LIMIT ?1",
                                  b->table);
    if (!st)
        return -1;
    sq_number(st, 1, true, limit);
    while ((rc = sq_step(s, st, err)) == 1)
        n += n < limit && take_row(st, &rows[n]);
    sqlite3_reset(st);
    if (rc < 0)
        return -1;
    *ret = rows;
    *ret_n = n;
    return 0;
}

int sq_view_quarantined(struct store *store, const struct store_balance *b, const address *wallet,
                        struct view_quarantine *ret, bool *ret_found, struct err *err)
{
    struct sq *s = sq_of(store);
    sqlite3_stmt *st = sq_prepare(s, err,
                                  "SELECT failures, reason, retry_at, event_block FROM "
                                  "trueup_quarantine WHERE balance = ?1 AND wallet = ?2");
    if (!st)
        return -1;
    sq_text(st, 1, b->name);
    sq_address(st, 2, wallet);
    int rc = sq_step(s, st, err);
    if (rc < 0)
        return -1;
    *ret_found = rc == 1;
    if (rc == 1) {
        *ret = (struct view_quarantine){.retry_us = sq_get_time(st, 2)};
        sq_get_number(st, 0, &ret->failures);
        ret->has_event = sq_get_number(st, 3, &ret->event_block);
        short_column(st, 1, ret->reason, sizeof ret->reason);
    }
    sqlite3_reset(st);
    return 0;
}

#define CHANGE_COLUMNS "id, balance, wallet, old, new, block, cause, at"

static int take_changes(struct sq *s, sqlite3_stmt *st, size_t limit, struct arena *arena,
                        struct view_change **ret, size_t *ret_n, struct err *err)
{
    struct view_change *list = arena_zero(arena, limit + 1, sizeof *list);
    size_t n = 0;
    int rc;
    while ((rc = sq_step(s, st, err)) == 1 && n < limit) {
        struct view_change *c = &list[n];
        if (!sq_get_address(st, 2, &c->wallet))
            continue;
        sq_get_number(st, 0, &c->id);
        c->balance = column(st, 1, arena);
        c->old = column(st, 3, arena);
        c->new_ = column(st, 4, arena);
        sq_get_number(st, 5, &c->block);
        c->cause = column(st, 6, arena);
        c->at_us = sq_get_time(st, 7);
        n++;
    }
    sqlite3_reset(st);
    if (rc < 0)
        return -1;
    *ret = list;
    *ret_n = n;
    return 0;
}

int sq_view_changes_after(struct store *store, uint64_t after, size_t limit, struct arena *arena,
                          struct view_change **ret, size_t *ret_n, struct err *err)
{
    struct sq *s = sq_of(store);
    sqlite3_stmt *st = sq_prepare(
        s, err, "SELECT " CHANGE_COLUMNS " FROM trueup_changes WHERE id > ?1 ORDER BY id LIMIT ?2");
    if (!st)
        return -1;
    sq_number(st, 1, true, after);
    sq_number(st, 2, true, limit);
    return take_changes(s, st, limit, arena, ret, ret_n, err);
}

int sq_view_changes_latest(struct store *store, const struct store_balance *b,
                           const address *wallet, size_t limit, struct arena *arena,
                           struct view_change **ret, size_t *ret_n, struct err *err)
{
    struct sq *s = sq_of(store);
    sqlite3_stmt *st = sq_prepare(s, err,
                                  b ? "SELECT " CHANGE_COLUMNS " FROM trueup_changes WHERE "
                                      "balance = ?2 AND wallet = ?3 ORDER BY id DESC LIMIT ?1"
                                    : "SELECT " CHANGE_COLUMNS " FROM trueup_changes ORDER BY id "
                                      "DESC LIMIT ?1");
    if (!st)
        return -1;
    sq_number(st, 1, true, limit);
    if (b) {
        sq_text(st, 2, b->name);
        sq_address(st, 3, wallet);
    }
    return take_changes(s, st, limit, arena, ret, ret_n, err);
}

#define DRIFT_COLUMNS "id, balance, wallet, stored, actual, block, cause, endpoint, age, found_at"

static int take_drift(struct sq *s, sqlite3_stmt *st, size_t limit, struct arena *arena,
                      struct view_drift **ret, size_t *ret_n, struct err *err)
{
    struct view_drift *list = arena_zero(arena, limit + 1, sizeof *list);
    size_t n = 0;
    int rc;
    while ((rc = sq_step(s, st, err)) == 1 && n < limit) {
        struct view_drift *d = &list[n];
        if (!sq_get_address(st, 2, &d->wallet))
            continue;
        sq_get_number(st, 0, &d->id);
        d->balance = column(st, 1, arena);
        d->stored = column(st, 3, arena);
        d->actual = column(st, 4, arena);
        sq_get_number(st, 5, &d->block);
        d->cause = column(st, 6, arena);
        d->endpoint = column(st, 7, arena);
        d->has_age = sq_get_number(st, 8, &d->age);
        d->found_us = sq_get_time(st, 9);
        n++;
    }
    sqlite3_reset(st);
    if (rc < 0)
        return -1;
    *ret = list;
    *ret_n = n;
    return 0;
}

int sq_view_drift_latest(struct store *store, size_t limit, struct arena *arena,
                         struct view_drift **ret, size_t *ret_n, struct err *err)
{
    struct sq *s = sq_of(store);
    sqlite3_stmt *st =
        sq_prepare(s, err, "SELECT " DRIFT_COLUMNS " FROM trueup_drift ORDER BY id DESC LIMIT ?1");
    if (!st)
        return -1;
    sq_number(st, 1, true, limit);
    return take_drift(s, st, limit, arena, ret, ret_n, err);
}

int sq_prove_drift_of(struct store *store, const struct store_balance *b, const address *wallet,
                      size_t limit, struct arena *arena, struct view_drift **ret, size_t *ret_n,
                      struct err *err)
{
    struct sq *s = sq_of(store);
    sqlite3_stmt *st = sq_prepare(s, err,
                                  "SELECT " DRIFT_COLUMNS " FROM trueup_drift WHERE balance = ?2 "
                                  "AND wallet = ?3 ORDER BY id DESC LIMIT ?1");
    if (!st)
        return -1;
    sq_number(st, 1, true, limit);
    sq_text(st, 2, b->name);
    sq_address(st, 3, wallet);
    return take_drift(s, st, limit, arena, ret, ret_n, err);
}

int sq_view_drift_causes(struct store *store, struct arena *arena, struct view_cause **ret,
                         size_t *ret_n, struct err *err)
{
    enum { MOST = 200 };
    struct sq *s = sq_of(store);
    struct view_cause *list = arena_zero(arena, MOST, sizeof *list);
    size_t n = 0;
    int rc;
    sqlite3_stmt *st = sq_prepare(
        s, err, "SELECT balance, cause, count(*) FROM trueup_drift GROUP BY 1, 2 LIMIT 200");
    if (!st)
        return -1;
    while ((rc = sq_step(s, st, err)) == 1 && n < MOST) {
        list[n] = (struct view_cause){column(st, 0, arena), column(st, 1, arena), 0};
        sq_get_number(st, 2, &list[n++].n);
    }
    sqlite3_reset(st);
    if (rc < 0)
        return -1;
    *ret = list;
    *ret_n = n;
    return 0;
}

/* One number by a query with up to two text parameters. */
static int one(struct sq *s, sqlite3_stmt *st, const char *a, const char *b, uint64_t *ret,
               struct err *err)
{
    if (!st)
        return -1;
    if (a)
        sq_text(st, 1, a);
    if (b)
        sq_text(st, 2, b);
    int rc = sq_step(s, st, err);
    if (rc < 0)
        return -1;
    if (rc == 1)
        sq_get_number(st, 0, ret);
    sqlite3_reset(st);
    return 0;
}

/* Placed in a bucket here: the library has no array to search in, and a column less to sort. */
static int scan_ages(struct sq *s, const struct store_balance *b, const uint32_t *limits, size_t n,
                     int64_t max_age_us, struct view_ages *a, struct err *err)
{
    int rc;
    sqlite3_stmt *st =
        sq_prepare(s, err, "SELECT updated_at, observed_block IS NULL FROM \"%w\"", b->table);
    if (!st)
        return -1;
    while ((rc = sq_step(s, st, err)) == 1) {
        int64_t at = sq_get_time(st, 0), age = a->now_us > at ? (a->now_us - at) : 0;
        size_t i = 0;
        while (i < n && age >= (int64_t)limits[i] * 1000000)
            i++;
        a->buckets[i]++;
        a->oldest_us = a->rows == 0 || at < a->oldest_us ? at : a->oldest_us;
        a->newest_us = at > a->newest_us ? at : a->newest_us;
        a->rows++;
        a->unanchored += sqlite3_column_int(st, 1) != 0;
        a->old += max_age_us > 0 && age > max_age_us;
    }
    sqlite3_reset(st);
    return rc;
}

int sq_view_ages(struct store *store, const struct store_balance *b, const uint32_t *limits,
                 size_t n, int64_t max_age_ms, struct view_ages *ret, struct err *err)
{
    struct sq *s = sq_of(store);
    struct view_ages a = {.now_us = sq_now_us()};
    char before[TIME_TEXT];
    time_to_text(max_age_ms > 0 ? a.now_us - max_age_ms * 1000 : 0, before);
    const char *excused = "SELECT count(*) FROM trueup_quarantine q JOIN \"%w\" t ON "
                          "t.wallet = q.wallet WHERE q.balance = ?1 AND %s";
    if (one(s, sq_prepare(s, err, "SELECT count(*) FROM trueup_quarantine WHERE balance = ?1"),
            b->name, NULL, &a.quarantined, err) < 0 ||
        one(s, sq_prepare(s, err, "SELECT count(*) FROM trueup_wallets WHERE balance = ?1"),
            b->name, NULL, &a.listed, err) < 0 ||
        one(s, sq_prepare(s, err, excused, b->table, "t.observed_block IS NULL"), b->name, NULL,
            &a.excused_unanchored, err) < 0 ||
        one(s, sq_prepare(s, err, excused, b->table, "t.updated_at < ?2"), b->name, before,
            &a.excused_old, err) < 0 ||
        scan_ages(s, b, limits, n, max_age_ms * 1000, &a, err) < 0)
        return -1;
    *ret = a;
    return 0;
}

/* ---- facts ----------------------------------------------------------------------------------- */

/* A trigger without OF and WHEN fires on every refresh. */
static int look_at_triggers(struct sq *s, const struct store_balance *b, struct view_facts *f,
                            struct err *err)
{
    int rc;
    sqlite3_stmt *st = sq_prepare(s, err,
                                  "SELECT name, upper(sql) FROM sqlite_master WHERE type = "
                                  "'trigger' AND tbl_name = ?1 AND sql LIKE '%%update%%'");
    if (!st)
        return -1;
    sq_text(st, 1, b->table);
    while ((rc = sq_step(s, st, err)) == 1) {
        const char *sql = (const char *)sqlite3_column_text(st, 1);
        f->triggers++;
        if (!sql || strstr(sql, "UPDATE OF BALANCE") || strstr(sql, " WHEN "))
            continue;
        f->careless_triggers++;
        short_column(st, 0, f->careless_name, sizeof f->careless_name);
    }
    sqlite3_reset(st);
    return rc;
}

int sq_view_facts(struct store *store, const struct store_balance *b, struct view_facts *ret,
                  struct err *err)
{
    struct sq *s = sq_of(store);
    struct view_facts f = {.may_write = true, .owner = true, .now_us = sq_now_us()};
    struct stat st;
    uint64_t n = 0;
    snprintf(f.version, sizeof f.version, "SQLite %s", sqlite3_libversion());
    if (stat(store->url + strlen("sqlite:"), &st) == 0)
        f.bytes = (uint64_t)st.st_size;
    if (one(s,
            sq_prepare(s, err,
                       "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?1"),
            b->table, NULL, &n, err) < 0)
        return -1;
    f.table_exists = n > 0;
    if (f.table_exists) {
        uint64_t observed = 0, index = 0;
        if (one(s,
                sq_prepare(s, err,
                           "SELECT count(*) FROM pragma_table_info(?1) WHERE name = "
                           "'observed_block'"),
                b->table, NULL, &observed, err) < 0 ||
            one(s,
                sq_prepare(s, err,
                           "SELECT count(*) FROM pragma_index_list(?1) l, pragma_index_info(l.name)"
                           " i WHERE i.seqno = 0 AND i.name = 'updated_at'"),
                b->table, NULL, &index, err) < 0 ||
            one(s, sq_prepare(s, err, "SELECT count(*) FROM \"%w\"", b->table), NULL, NULL,
                &f.rows_estimate, err) < 0 ||
            one(s,
                sq_prepare(s, err,
                           "SELECT count(*) FROM \"%w\" WHERE wallet NOT GLOB '0x' || "
                           "replace(hex(zeroblob(20)), '00', '[0-9a-f][0-9a-f]')",
                           b->table),
                NULL, NULL, &f.non_canonical, err) < 0 ||
            look_at_triggers(s, b, &f, err) < 0)
            return -1;
        f.has_observed = observed > 0;
        f.has_updated_index = index > 0;
    }
    *ret = f;
    return 0;
}
