/*
 * SQLite: which wallets are next. The index on updated_at carries the key behind it, so a cursor of
 * (time, wallet) stands exactly between two rows, also when millions share one time.
 */
#include "store/pick.h"
#include "store/sqlite.h"
#include "store/times.h"

#include "base/err.h"

#include <stdio.h>
#include <string.h>

enum { LOOK = 5000 }; /* rows looked at in one claim beyond those wanted: a ceiling on its time */

#define WAITS                                                                                      \
    "EXISTS (SELECT 1 FROM trueup_quarantine q WHERE q.balance = ?1 AND q.wallet = t.wallet AND "  \
    "q.retry_at > ?2)"

/* Columns: wallet, updated_at, observed_block, … */
static bool read_stale(sqlite3_stmt *st, struct store_stale *ret)
{
    *ret = (struct store_stale){.has_row = true};
    if (!sq_get_address(st, 0, &ret->wallet))
        return false;
    ret->updated_us = sq_get_time(st, 1);
    ret->unanchored = !sq_get_number(st, 2, &ret->observed_block);
    return true;
}

static int64_t look_of(const struct store_pick *pick)
{
    return (int64_t)(pick->want + pick->n_in_flight) + LOOK;
}

static int claim_listed(struct sq *s, const struct store_balance *b, struct claim *c,
                        int64_t now_us, struct err *err)
{
    sqlite3_stmt *st = sq_prepare(
        s, err,
        "SELECT w.wallet, t.updated_at, t.observed_block, t.wallet IS NOT NULL FROM "
        "trueup_wallets w LEFT JOIN \"%w\" t ON t.wallet = w.wallet WHERE w.balance = ?1 AND "
        "w.pending AND NOT EXISTS (SELECT 1 FROM trueup_quarantine q WHERE q.balance = ?1 AND "
        "q.wallet = w.wallet AND q.retry_at > ?2) LIMIT ?3",
        b->table);
    if (!st)
        return -1;
    sq_text(st, 1, b->name);
    sq_time(st, 2, now_us);
    sqlite3_bind_int64(st, 3, look_of(c->pick));
    int rc;
    while ((rc = sq_step(s, st, err)) == 1 && !claim_full(c)) {
        struct store_stale row;
        if (!read_stale(st, &row))
            continue;
        row.has_row = sqlite3_column_int(st, 3) != 0;
        claim_offer(c, &row);
    }
    sqlite3_reset(st);
    return rc < 0 ? -1 : 0;
}

/* Rows of a range in time, which st selects. *ret_end: it was seen to its end. */
static int claim_range(struct sq *s, const struct store_balance *b, struct claim *c, int64_t now_us,
                       sqlite3_stmt *st, bool *ret_end, struct err *err)
{
    int64_t looked = 0;
    sq_text(st, 1, b->name);
    sq_time(st, 2, now_us);
    sqlite3_bind_int64(st, 3, look_of(c->pick));
    int rc;
    while ((rc = sq_step(s, st, err)) == 1 && !claim_full(c)) {
        struct store_stale row;
        looked++;
        if (read_stale(st, &row) && sqlite3_column_int(st, 3) == 0)
            claim_offer(c, &row);
    }
    sqlite3_reset(st);
    *ret_end = rc == 0 && looked < look_of(c->pick);
    return rc < 0 ? -1 : 0;
}

static int claim_placeholders(struct sq *s, const struct store_balance *b, struct claim *c,
                              int64_t now_us, bool *ret_end, struct err *err)
{
    sqlite3_stmt *st =
        sq_prepare(s, err,
                   "SELECT t.wallet, t.updated_at, t.observed_block, " WAITS " FROM \"%w\" "
                   "t WHERE t.updated_at < '" PLACEHOLDER_END "' ORDER BY t.updated_at, "
                   "t.wallet LIMIT ?3",
                   b->table);
    return st ? claim_range(s, b, c, now_us, st, ret_end, err) : -1;
}

/* At a lap's end: rows dated ahead of the clock. */
static int claim_ahead(struct sq *s, const struct store_balance *b, struct claim *c, int64_t now_us,
                       struct err *err)
{
    bool end;
    sqlite3_stmt *st =
        sq_prepare(s, err,
                   "SELECT t.wallet, t.updated_at, t.observed_block, " WAITS " FROM \"%w\" "
                   "t WHERE t.updated_at > ?4 ORDER BY t.updated_at, t.wallet LIMIT ?3",
                   b->table);
    if (!st)
        return -1;
    sq_time(st, 4, now_us + AHEAD_US);
    return claim_range(s, b, c, now_us, st, &end, err);
}

static void keep_text(char *to, size_t room, sqlite3_stmt *st, int col)
{
    const char *text = (const char *)sqlite3_column_text(st, col);
    snprintf(to, room, "%s", text ? text : "");
}

static int claim_by_time(struct sq *s, const struct store_balance *b, struct claim *c,
                         struct store_cursor *cursor, int64_t now_us, bool *ret_end,
                         struct err *err)
{
    sqlite3_stmt *st =
        sq_prepare(s, err,
                   "SELECT t.wallet, t.updated_at, t.observed_block, " WAITS " FROM \"%w\" "
                   "t WHERE (t.updated_at, t.wallet) > (?3, ?4) ORDER BY t.updated_at, "
                   "t.wallet LIMIT ?5",
                   b->table);
    if (!st)
        return -1;
    int64_t looked = 0;
    bool end = false;
    int rc = 1;
    sq_text(st, 1, b->name);
    sq_time(st, 2, now_us);
    sq_text(st, 3, cursor->after.time);
    sq_text(st, 4, cursor->after.wallet);
    sqlite3_bind_int64(st, 5, look_of(c->pick));
    while (!end && !claim_full(c) && (rc = sq_step(s, st, err)) == 1) {
        struct store_stale row;
        looked++;
        bool ours = read_stale(st, &row);
        end = row.updated_us >= cursor->lap_start_us;
        if (end)
            break;
        if (ours && sqlite3_column_int(st, 3) == 0)
            claim_offer(c, &row);
        /* as text: an application may write its times without a fraction */
        keep_text(cursor->after.wallet, sizeof cursor->after.wallet, st, 0);
        keep_text(cursor->after.time, sizeof cursor->after.time, st, 1);
    }
    sqlite3_reset(st);
    *ret_end = end || (rc == 0 && looked < look_of(c->pick));
    return rc < 0 ? -1 : 0;
}

int sq_claim_stale(struct store *store, const struct store_balance *b,
                   const struct store_pick *pick, struct store_cursor *cursor, struct arena *arena,
                   struct store_stale **ret, size_t *ret_n, bool *ret_lap, struct err *err)
{
    struct sq *s = sq_of(store);
    struct store_cursor next = *cursor;
    struct claim c;
    int64_t now_us = sq_now_us();
    bool all_placeholders = false, lap = false;
    claim_init(&c, pick, arena);
    if (!next.started)
        cursor_begin_lap(&next, now_us);
    else
        cursor_maybe_rewind(&next);

    if (claim_listed(s, b, &c, now_us, err) != 0)
        return -1;
    claim_seal(&c, arena);
    if (!claim_full(&c) && claim_placeholders(s, b, &c, now_us, &all_placeholders, err) != 0)
        return -1;
    claim_seal(&c, arena);
    if (!claim_full(&c)) {
        if (all_placeholders && strcmp(next.after.time, PLACEHOLDER_END) < 0) {
            snprintf(next.after.time, sizeof next.after.time, "%s", PLACEHOLDER_END);
            next.after.wallet[0] = '\0';
        }
        if (claim_by_time(s, b, &c, &next, now_us, &lap, err) != 0)
            return -1;
        claim_seal(&c, arena);
        if (lap && !claim_full(&c) && claim_ahead(s, b, &c, now_us, err) != 0)
            return -1;
    }
    if (lap) {
        cursor_begin_lap(&next, now_us);
        next.laps++;
    }
    *cursor = next;
    *ret = c.out;
    *ret_n = c.n;
    *ret_lap = lap;
    return 0;
}

int sq_next_by_key(struct store *store, const struct store_balance *b, const address *after,
                   int64_t before_us, size_t limit, struct arena *arena, struct store_stale **ret,
                   size_t *ret_n, struct err *err)
{
    struct sq *s = sq_of(store);
    struct store_stale *out = arena_alloc(arena, limit * sizeof *out);
    size_t n = 0;
    sqlite3_stmt *st = sq_prepare(
        s, err,
        "SELECT t.wallet, t.updated_at, t.observed_block FROM \"%w\" t WHERE "
        "t.wallet > ?3 AND (?4 OR t.updated_at < ?5) AND NOT " WAITS " ORDER BY t.wallet",
        b->table);
    if (!st)
        return -1;
    sq_text(st, 1, b->name);
    sq_time(st, 2, sq_now_us());
    sq_after(st, 3, after);
    sqlite3_bind_int(st, 4, before_us == 0);
    sq_time(st, 5, before_us);
    int rc = 1;
    while (n < limit && (rc = sq_step(s, st, err)) == 1)
        if (read_stale(st, &out[n])) /* what is no wallet of ours is left alone */
            n++;
    sqlite3_reset(st);
    if (rc < 0)
        return -1;
    *ret = out;
    *ret_n = n;
    return 0;
}

int sq_quarantine_due(struct store *store, const struct store_balance *b, size_t limit,
                      struct arena *arena, address **ret, size_t *ret_n, struct err *err)
{
    struct sq *s = sq_of(store);
    sqlite3_stmt *st = sq_prepare(s, err,
                                  "SELECT wallet FROM trueup_quarantine WHERE balance = ?1 "
                                  "AND retry_at <= ?2 ORDER BY retry_at LIMIT ?3");
    if (!st)
        return -1;
    sq_text(st, 1, b->name);
    sq_time(st, 2, sq_now_us());
    sqlite3_bind_int64(st, 3, (int64_t)limit);
    return sq_wallets(s, st, limit, arena, ret, ret_n, err);
}

int sq_tracked(struct store *store, const struct store_balance *b, const address *wallets, size_t n,
               bool *ret_tracked, struct err *err)
{
    struct sq *s = sq_of(store);
    if (b->tracking == STORE_QUERY) {
        err_set(err, ERR_STORE, "balance \"%s\": wallets by a query need PostgreSQL", b->name);
        return err_hint(err, "keep the list in trueup: wallets: listed, and trueup wallets import");
    }
    sqlite3_stmt *st = sq_prepare(s, err,
                                  "SELECT EXISTS (SELECT 1 FROM \"%w\" WHERE wallet = ?2) OR "
                                  "EXISTS (SELECT 1 FROM trueup_wallets WHERE balance = ?1 AND "
                                  "wallet = ?2)",
                                  b->table);
    if (!st)
        return -1;
    sq_text(st, 1, b->name);
    for (size_t i = 0; i < n; i++) {
        sqlite3_reset(st);
        sq_address(st, 2, &wallets[i]);
        if (sq_step(s, st, err) != 1)
            return -1;
        ret_tracked[i] = sqlite3_column_int(st, 0) != 0;
    }
    sqlite3_reset(st);
    return 0;
}
