/*
 * PostgreSQL: one batch, two round trips; three where a listed wallet is new.
 *
 * The first reads what the rows hold, and locks nothing; the rule decides here; the second is one
 * transaction that writes where the rows are still as they were read (write_pg.c). What was changed
 * in between is read and decided again, in a transaction of its own. The checkpoint moves with the
 * last of them.
 */
#include "store/pg.h"
#include "store/write.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { ATTEMPTS = 3, MISSES = 3 };

/* ---- first round trip ------------------------------------------------------------------------ */

/* All wallets of the batch, writes and failures, in order. */
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
        old->existed =
            pg_get_tid(&rows, 1, a->rows[at - 1].tid) && pg_get_xid(&rows, 2, a->rows[at - 1].xid);
        old->odd = !db_get_balance(&rows, 3, &old->balance);
        old->has_blocknumber = db_get_number(&rows, 4, &old->blocknumber);
        old->updated_us = db_get_time(&rows, 5);
        old->has_observed = db_get_number(&rows, 6, &old->observed_block);
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

static int pg_read_rows(struct write_batch *a, bool *ret_anchor_gone)
{
    const struct store_batch *b = a->batch;
    const struct db_param writes = db_column(
        DB_ADDRESS, b->n_writes ? &b->writes->wallet : (const void *)"", sizeof *b->writes);
    const bool all = b->n_failures > 0;
    struct db_query q[] = {
        {.sql = "SELECT 1 FROM trueup_blocks WHERE number = $1 AND hash = $2 AND on_chain",
         .hot = true,
         .params = {db_number(b->at.number), db_hash(&b->at.hash)}},
        {.sql = "SELECT u.i, t.ctid, t.xmin, t.balance, t.blocknumber, t.updated_at, "
                "t.observed_block FROM unnest($1) WITH ORDINALITY u(w, i) JOIN {t} t ON t.wallet = "
                "u.w",
         .b = b->balance,
         .hot = true,
         .set = b->n_writes,
         .params = {writes}},
        /* the uncorrelated EXISTS is asked once: an empty quarantine costs nothing */
        {.sql = "SELECT q.wallet, q.failures, q.event_block FROM unnest($2) u(w) JOIN "
                "trueup_quarantine q ON q.balance = $1 AND q.wallet = u.w WHERE EXISTS (SELECT 1 "
                "FROM trueup_quarantine WHERE balance = $1)",
         .hot = true,
         .set = b->n_writes + b->n_failures,
         .params = {db_text(b->balance->name),
                    all ? db_column(DB_ADDRESS, pg_all_wallets(a), sizeof(address)) : writes}},
    };
    PGresult *res[COUNT_OF(q)];
    if (pg_run(pg_of(a->s), q, COUNT_OF(q), res, a->err) != 0)
        return -1;
    *ret_anchor_gone = PQntuples(res[0]) == 0;
    pg_take_olds(a, pg_rows(pg_of(a->s), res[1]));
    pg_take_debts(a, pg_rows(pg_of(a->s), res[2]));
    pg_clear(res, COUNT_OF(q));
    return 0;
}

/* ---- deciding -------------------------------------------------------------------------------- */

/* Which of the wallets without a row may have one by the list. The insert asks it once more. */
static int pg_ask_list(struct write_batch *a, bool *ret_listed)
{
    const struct store_batch *b = a->batch;
    address *wanted = arena_alloc(a->scratch, b->n_writes * sizeof *wanted);
    size_t n = 0;
    for (size_t i = 0; i < b->n_writes; i++)
        if (!a->done.olds[i].existed && b->writes[i].insert == INSERT_IF_LISTED)
            wanted[n++] = b->writes[i].wallet;
    struct db_query q = {
        .sql = "SELECT l.wallet FROM unnest($2) u(w) JOIN trueup_wallets l ON l.balance = $1 AND "
               "l.wallet = u.w",
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
    return a->s->care.triggers ? pg_plan_rewrites(a) : 0;
}

/* ---- a transaction --------------------------------------------------------------------------- */

/* A range without any event is an anchor and a checkpoint, nothing else: nothing is to be read. */
static int pg_attempt(struct write_batch *a)
{
    bool any = a->batch->n_writes + a->batch->n_failures > 0, gone = false;
    write_batch_begin(a);
    if (any && pg_read_rows(a, &gone) != 0)
        return -1;
    if (!gone && any && pg_decide(a) != 0)
        return -1;
    if (!gone && pg_write_and_commit(a, &gone) != 0 && !gone)
        return -1;
    if (gone) {
        if (a->err)
            err_clear(a->err);
        a->done = (struct store_applied){.anchor_gone = true};
    }
    return 0;
}

/* What comes from meeting another writer, and is gone at the next attempt. */
static bool pg_is_worth_repeating(const struct pg *s)
{
    const char *state = s->last_state;
    return !s->broken && (strcmp(state, "23505") == 0 || strncmp(state, "40", 2) == 0);
}

static int pg_attempt_often(struct write_batch *a)
{
    int rc = pg_attempt(a);
    for (int i = 1; i < ATTEMPTS && rc != 0 && pg_is_worth_repeating(pg_of(a->s)); i++) {
        if (a->err)
            err_clear(a->err);
        arena_clear(a->scratch);
        rc = pg_attempt(a);
    }
    return rc;
}

/* ---- the verb -------------------------------------------------------------------------------- */

/* The writes that are still to be done, and where they stand in the caller's batch. */
struct pg_rest {
    struct store_batch batch;
    struct store_write *writes;
    size_t *index;
};

/* The rest becomes what this transaction missed. */
static void pg_keep_missed(struct pg_rest *r, const struct write_batch *a)
{
    size_t n = 0;
    for (size_t i = 0; i < r->batch.n_writes; i++)
        if (a->rows[i].missed) {
            r->writes[n] = r->batch.writes[i];
            r->index[n++] = r->index[i];
        }
    r->batch.writes = r->writes;
    r->batch.n_writes = n;
    r->batch.n_failures = r->batch.n_dirty = 0;
}

static void pg_take_done(const struct pg_rest *r, const struct write_batch *a,
                         struct store_applied *ret)
{
    for (size_t i = 0; i < r->batch.n_writes; i++) {
        ret->olds[r->index[i]] = a->done.olds[i];
        if (a->rows[i].missed)
            ret->olds[r->index[i]] = (struct store_old){.outcome = OUTCOME_MISSED};
    }
    ret->quarantined += a->done.quarantined;
    ret->anchor_gone = a->done.anchor_gone;
}

/* Transaction after transaction, until nothing is missed. A sweep leaves what is still missed to
 * its next tick. Nothing else may: the checkpoint or an event stands behind it. */
static int pg_apply_rest(struct write_batch *a, struct pg_rest *r, struct store_applied *ret)
{
    for (int i = 0; i <= MISSES; i++) {
        a->batch = &r->batch;
        if (pg_attempt_often(a) != 0)
            return -1;
        if (a->done.anchor_gone) {
            *ret = a->done;
            return 0;
        }
        pg_take_done(r, a, ret);
        pg_keep_missed(r, a);
        arena_clear(a->scratch);
        if (r->batch.n_writes == 0)
            return 0;
    }
    if (r->batch.cause == CAUSE_SWEEP && !r->batch.has_checkpoint)
        return 0;
    return err_set(a->err, ERR_STORE_LOST,
                   "%s: another program keeps changing %zu rows while they are written",
                   a->s->masked, r->batch.n_writes);
}

int pg_apply(struct store *store, const struct store_batch *batch, struct arena *arena,
             struct store_applied *ret, struct err *err)
{
    struct arena scratch;
    arena_init(&scratch);
    struct write_batch a = {.s = store, .arena = arena, .scratch = &scratch, .err = err};
    struct pg_rest r = {.batch = *batch,
                        .writes = arena_alloc(arena, batch->n_writes * sizeof *r.writes),
                        .index = arena_alloc(arena, batch->n_writes * sizeof *r.index)};
    struct store_applied done = {.olds = arena_zero(arena, batch->n_writes, sizeof *done.olds)};
    for (size_t i = 0; i < batch->n_writes; i++)
        r.index[i] = i;
    int rc = pg_apply_rest(&a, &r, &done);
    arena_free(&scratch);
    if (rc != 0)
        return -1;
    if (!done.anchor_gone)
        write_count(batch, &done);
    *ret = done;
    return 0;
}
