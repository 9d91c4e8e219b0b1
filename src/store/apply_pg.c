/*
 * PostgreSQL: one batch, one transaction, two round trips; three where a listed wallet is new.
 *
 * The first locks the anchor and the rows (in the order of wallets) and fetches what they hold; the
 * rule decides here; the second writes and commits. Rows are written by their place on disk (ctid):
 * we hold their locks, so they cannot move, and no index is searched twice. The wallet is compared
 * all the same: in a partitioned table a ctid is not unique.
 */
#include "store/pg.h"
#include "store/write.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { ATTEMPTS = 3 };

/* ---- first round trip ------------------------------------------------------------------------ */

/* All wallets of the batch, writes and failures, in order: locks are taken in this order. */
static address *pg_all_wallets(const struct write_batch *a)
{
    const struct store_batch *b = a->batch;
    size_t n = 0;
    address *all = arena_alloc(a->scratch, (b->n_writes + b->n_failures) * sizeof *all);
    for (size_t i = 0; i < b->n_writes; i++)
        all[n++] = b->writes[i].wallet;
    for (size_t i = 0; i < b->n_failures; i++)
        all[n++] = b->failures[i].wallet;
    addresses_sort_unique(all, n);
    return all;
}

/* The place of a wallet among the writes, or n_writes. */
size_t pg_find_write(const struct store_batch *b, const address *wallet)
{
    const struct store_write *w = b->n_writes ? bsearch(wallet, b->writes, b->n_writes,
                                                        sizeof *b->writes, address_compare_elements)
                                              : NULL;
    return w ? (size_t)(w - b->writes) : b->n_writes;
}

static void pg_take_olds(struct write_batch *a, struct db_rows rows)
{
    while (pg_next_row(&rows)) {
        uint64_t at;
        if (!db_get_number(&rows, 0, &at) || at < 1 || at > a->batch->n_writes)
            continue;
        struct store_old *old = &a->done.olds[at - 1];
        old->existed = pg_get_tid(&rows, 1, a->rows[at - 1].tid);
        old->odd = !db_get_balance(&rows, 2, &old->balance);
        old->has_blocknumber = db_get_number(&rows, 3, &old->blocknumber);
        old->updated_us = db_get_time(&rows, 4);
        old->has_observed = db_get_number(&rows, 5, &old->observed_block);
    }
}

static void pg_take_debts(struct write_batch *a, struct db_rows rows)
{
    const struct store_batch *b = a->batch;
    while (pg_next_row(&rows)) {
        address wallet;
        uint64_t failures = 0;
        if (!db_get_address(&rows, 0, &wallet))
            continue;
        db_get_number(&rows, 1, &failures);
        size_t at = pg_find_write(b, &wallet);
        if (at < b->n_writes) {
            struct write_debt *debt = &a->rows[at].debt;
            debt->waiting = true;
            debt->has_event = db_get_number(&rows, 2, &debt->event_block);
            continue;
        }
        const struct store_failure *f = b->n_failures
                                            ? bsearch(&wallet, b->failures, b->n_failures,
                                                      sizeof *b->failures, address_compare_elements)
                                            : NULL;
        if (f)
            a->failures[f - b->failures] = failures;
    }
}

static int pg_lock_and_read(struct write_batch *a, bool *ret_anchor_gone)
{
    const struct store_batch *b = a->batch;
    const struct db_param writes = db_column(
        DB_ADDRESS, b->n_writes ? &b->writes->wallet : (const void *)"", sizeof *b->writes);
    const bool all = b->n_failures > 0;
    struct db_query q[] = {
        {.sql = "BEGIN ISOLATION LEVEL READ COMMITTED", .hot = true},
        {.sql = "SELECT 1 FROM trueup_blocks WHERE number = $1 AND hash = $2 AND canonical FOR "
                "SHARE",
         .hot = true,
         .params = {db_number(b->at.number), db_hash(&b->at.hash)}},
        {.sql = "SELECT u.i, t.ctid, t.balance, t.blocknumber, t.updated_at, t.observed_block FROM "
                "unnest($1) WITH ORDINALITY u(w, i) JOIN {t} t ON t.wallet = u.w ORDER BY u.i FOR "
                "NO KEY UPDATE OF t",
         .b = b->balance,
         .hot = true,
         .set = b->n_writes,
         .params = {writes}},
        /* the uncorrelated EXISTS is asked once: an empty quarantine costs nothing */
        {.sql = "SELECT q.wallet, q.failures, q.event_block FROM unnest($2) WITH ORDINALITY u(w, "
                "i) JOIN trueup_quarantine q ON q.balance = $1 AND q.wallet = u.w WHERE EXISTS "
                "(SELECT 1 FROM trueup_quarantine WHERE balance = $1) ORDER BY u.i FOR UPDATE OF "
                "q",
         .hot = true,
         .set = b->n_writes + b->n_failures,
         .params = {db_text(b->balance->name),
                    all ? db_column(DB_ADDRESS, pg_all_wallets(a), sizeof(address)) : writes}},
    };
    PGresult *res[COUNT_OF(q)];
    /* a range without any event is an anchor and a checkpoint, nothing else */
    size_t n = b->n_writes + b->n_failures ? COUNT_OF(q) : 2;
    if (pg_run(pg_of(a->s), q, n, res, a->err) != 0)
        return -1;
    *ret_anchor_gone = PQntuples(res[1]) == 0;
    if (n == COUNT_OF(q)) {
        pg_take_olds(a, pg_rows(pg_of(a->s), res[2]));
        pg_take_debts(a, pg_rows(pg_of(a->s), res[3]));
    }
    pg_clear(res, n);
    return 0;
}

/* ---- deciding -------------------------------------------------------------------------------- */

/* Which of the wallets without a row may have one by the list; locked, so that a removal waits. */
static int pg_ask_list(struct write_batch *a, bool *ret_listed)
{
    const struct store_batch *b = a->batch;
    address *wanted = arena_alloc(a->scratch, b->n_writes * sizeof *wanted);
    size_t n = 0;
    for (size_t i = 0; i < b->n_writes; i++)
        if (!a->done.olds[i].existed && b->writes[i].insert == INSERT_IF_LISTED)
            wanted[n++] = b->writes[i].wallet;
    struct db_query q = {
        .sql = "SELECT l.wallet FROM unnest($2) WITH ORDINALITY u(w, i) JOIN "
               "trueup_wallets l ON l.balance = $1 AND l.wallet = u.w ORDER BY "
               "u.i FOR SHARE OF l",
        .hot = true,
        .set = n,
        .params = {db_text(b->balance->name), db_column(DB_ADDRESS, wanted, sizeof *wanted)}};
    PGresult *res;
    if (n == 0)
        return 0;
    if (pg_run(pg_of(a->s), &q, 1, &res, a->err) != 0)
        return -1;
    for (struct db_rows rows = pg_rows(pg_of(a->s), res); pg_next_row(&rows);) {
        address wallet;
        if (!db_get_address(&rows, 0, &wallet))
            continue;
        size_t at = pg_find_write(b, &wallet);
        if (at < b->n_writes)
            ret_listed[at] = true;
    }
    PQclear(res);
    return 0;
}

static int pg_decide(struct write_batch *a)
{
    const struct store_batch *b = a->batch;
    bool *listed = arena_zero(a->scratch, b->n_writes, sizeof *listed);
    if (pg_ask_list(a, listed) != 0)
        return -1;
    for (size_t i = 0; i < b->n_writes; i++)
        a->rows[i].plan = write_decide(b, i, &a->rows[i].debt, listed[i], &a->done);
    return 0;
}

/* ---- the verb -------------------------------------------------------------------------------- */

static int pg_attempt(struct write_batch *a)
{
    bool anchor_gone = false;
    write_batch_begin(a);
    if (pg_lock_and_read(a, &anchor_gone) != 0)
        return -1;
    if (anchor_gone) {
        db_rollback(a->s);
        a->done = (struct store_applied){.anchor_gone = true};
        return 0;
    }
    if (pg_decide(a) != 0)
        return -1;
    return pg_write_and_commit(a);
}

/* What comes from meeting another writer, and is gone at the next attempt. */
static bool pg_is_worth_repeating(const struct pg *s)
{
    const char *state = s->last_state;
    return !s->broken && (strcmp(state, "23505") == 0 || strncmp(state, "40", 2) == 0);
}

int pg_apply(struct store *store, const struct store_batch *batch, struct arena *arena,
             struct store_applied *ret, struct err *err)
{
    struct arena scratch;
    arena_init(&scratch);
    struct write_batch a = {
        .s = store, .batch = batch, .arena = arena, .scratch = &scratch, .err = err};
    int rc = pg_attempt(&a);
    for (int i = 1; i < ATTEMPTS && rc != 0 && pg_is_worth_repeating(pg_of(store)); i++) {
        if (err)
            err_clear(err);
        arena_clear(&scratch);
        rc = pg_attempt(&a);
    }
    arena_free(&scratch);
    if (rc == 0)
        *ret = a.done;
    return rc;
}
