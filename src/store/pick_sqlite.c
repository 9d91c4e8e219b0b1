/*
 * SQLite: which wallets are next. The index on updated_at carries the key behind it, so a cursor of
 * (time, wallet) stands exactly between two rows, also when millions share one time.
 */
#include "store/pick.h"
#include "store/sqlite.h"

#include <stdio.h>
#include <string.h>

enum { LOOK = 5000 }; /* rows looked at in one claim beyond those wanted: a ceiling on its time */

#define COLUMNS                                                                                    \
    "SELECT t.wallet, t.updated_at, t.observed_block, EXISTS (SELECT 1 FROM trueup_quarantine q "  \
    "WHERE q.balance = $1 AND q.wallet = t.wallet AND q.retry_at > $2), 1 FROM {t} t WHERE "

struct sq_look {
    struct store *s;
    struct claim *c;
    struct err *err;
};

static size_t sq_look_rows(const struct sq_look *l)
{
    return l->c->pick->want + l->c->pick->n_in_flight + LOOK;
}

/* Rows of a statement: those of a range in time, or listed ones. *ret_end: it was seen to its end.
 */
static int sq_claim_range(struct sq_look *l, const char *sql, int64_t from_us, bool *ret_end)
{
    struct db_query q = {.sql = sql,
                         .b = l->c->b,
                         .params = {db_text(l->c->b->name), db_time(l->c->now_us),
                                    db_number(sq_look_rows(l)), db_time(from_us)}};
    struct db_rows rows;
    size_t looked = 0;
    int rc;
    if (db_read(l->s, &q, &rows, l->err) < 0)
        return -1;
    while ((rc = db_next(&rows, l->err)) == 1 && !claim_full(l->c)) {
        struct store_stale row;
        looked++;
        bool ours = claim_read(&rows, &row);
        row.has_row = db_get_bool(&rows, 4);
        if (ours && !db_get_bool(&rows, 3))
            claim_offer(l->c, &row);
    }
    db_end(&rows);
    *ret_end = rc == 0 && looked < sq_look_rows(l);
    return rc < 0 ? -1 : 0;
}

/* Those without a row, for the most part. */
static int sq_claim_listed(struct sq_look *l)
{
    bool end;
    return sq_claim_range(
        l,
        "SELECT w.wallet, t.updated_at, t.observed_block, 0, t.wallet IS NOT NULL FROM "
        "trueup_wallets w LEFT JOIN {t} t ON t.wallet = w.wallet WHERE w.balance = $1 AND "
        "w.pending AND NOT EXISTS (SELECT 1 FROM trueup_quarantine q WHERE q.balance = $1 AND "
        "q.wallet = w.wallet AND q.retry_at > $2) LIMIT $3",
        0, &end);
}

static int sq_claim_placeholders(struct sq_look *l, bool *ret_end)
{
    return sq_claim_range(
        l, COLUMNS "t.updated_at < '" PLACEHOLDER_END "' ORDER BY t.updated_at, t.wallet LIMIT $3",
        0, ret_end);
}

/* At a lap's end: rows dated ahead of the clock. */
static int sq_claim_ahead(struct sq_look *l)
{
    bool end;
    return sq_claim_range(l, COLUMNS "t.updated_at > $4 ORDER BY t.updated_at, t.wallet LIMIT $3",
                          l->c->now_us + AHEAD_US, &end);
}

static int sq_claim_by_time(struct sq_look *l, bool *ret_end)
{
    struct store_cursor *cursor = &l->c->cursor;
    struct db_query q = {.sql = COLUMNS "(t.updated_at, t.wallet) > ($4, $5) ORDER BY "
                                        "t.updated_at, t.wallet LIMIT $3",
                         .b = l->c->b,
                         .params = {db_text(l->c->b->name), db_time(l->c->now_us),
                                    db_number(sq_look_rows(l)), db_text(cursor->after.time),
                                    db_text(cursor->after.wallet)}};
    struct db_rows rows;
    size_t looked = 0;
    bool end = false;
    int rc = 1;
    if (db_read(l->s, &q, &rows, l->err) < 0)
        return -1;
    while (!claim_full(l->c) && (rc = db_next(&rows, l->err)) == 1) {
        struct store_stale row;
        looked++;
        bool ours = claim_read(&rows, &row);
        end = row.updated_us >= cursor->lap_start_us;
        if (end)
            break;
        if (ours && !db_get_bool(&rows, 3))
            claim_offer(l->c, &row);
        /* as text: an application may write its times without a fraction */
        db_copy_text(&rows, 0, cursor->after.wallet, sizeof cursor->after.wallet);
        db_copy_text(&rows, 1, cursor->after.time, sizeof cursor->after.time);
    }
    db_end(&rows);
    *ret_end = end || (rc == 0 && looked < sq_look_rows(l));
    return rc < 0 ? -1 : 0;
}

static int sq_claim_rows(struct sq_look *l, bool all_placeholders)
{
    struct claim *c = l->c;
    if (all_placeholders && strcmp(c->cursor.after.time, PLACEHOLDER_END) < 0) {
        snprintf(c->cursor.after.time, sizeof c->cursor.after.time, "%s", PLACEHOLDER_END);
        c->cursor.after.wallet[0] = '\0';
    }
    if (sq_claim_by_time(l, &c->lap) != 0)
        return -1;
    claim_seal(c);
    return c->lap && !claim_full(c) ? sq_claim_ahead(l) : 0;
}

int sq_claim(struct store *s, struct claim *c, struct err *err)
{
    struct sq_look l = {.s = s, .c = c, .err = err};
    bool all_placeholders = false;
    c->now_us = sq_now_us();
    claim_begin(c);
    if (sq_claim_listed(&l) != 0)
        return -1;
    claim_seal(c);
    if (!claim_full(c) && sq_claim_placeholders(&l, &all_placeholders) != 0)
        return -1;
    claim_seal(c);
    return claim_full(c) || c->pick->first_reads ? 0 : sq_claim_rows(&l, all_placeholders);
}
