/*
 * PostgreSQL: one batch, one transaction, two round trips.
 *
 * The first locks the anchor and the rows (in the order of wallets) and fetches what they hold; the
 * rule decides here; the second writes and commits. Rows are written by their place on disk (ctid):
 * we hold their locks, so they cannot move, and no index is searched twice. The wallet is compared
 * all the same: in a partitioned table a ctid is not unique.
 */
#include "store/pg_apply.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { ATTEMPTS = 3 };

/* ---- first round trip ------------------------------------------------------------------------ */

/* All wallets of the batch, writes and failures, in order: locks are taken in this order. */
static void all_wallets(const struct apply *a, struct pg_array *out)
{
    const struct store_batch *b = a->batch;
    size_t w = 0, f = 0;
    pg_array_begin(out, a->scratch, PG_TEXT, b->n_writes + b->n_failures);
    while (w < b->n_writes || f < b->n_failures)
        if (f == b->n_failures ||
            (w < b->n_writes && address_compare(&b->writes[w].wallet, &b->failures[f].wallet) < 0))
            pg_array_address(out, &b->writes[w++].wallet);
        else
            pg_array_address(out, &b->failures[f++].wallet);
}

int pg_compare_write(const void *wallet, const void *write)
{
    return address_compare(wallet, &((const struct store_write *)write)->wallet);
}

static int compare_failure(const void *wallet, const void *failure)
{
    return address_compare(wallet, &((const struct store_failure *)failure)->wallet);
}

static void take_olds(struct apply *a, const PGresult *res)
{
    for (int i = 0; i < PQntuples(res); i++) {
        uint64_t at;
        if (!pg_get_int(res, i, 0, &at) || at < 1 || at > a->batch->n_writes)
            continue;
        struct store_old *old = &a->done.olds[at - 1];
        old->existed = pg_get_tid(res, i, 1, a->rows[at - 1].tid);
        old->odd = !pg_get_number(res, i, 2, &old->balance);
        old->has_blocknumber = pg_get_int(res, i, 3, &old->blocknumber);
        old->updated_us = pg_get_time(res, i, 4);
        old->has_observed = pg_get_int(res, i, 5, &old->observed_block);
    }
}

static void take_debts(struct apply *a, const PGresult *res)
{
    const struct store_batch *b = a->batch;
    for (int i = 0; i < PQntuples(res); i++) {
        address wallet;
        uint64_t failures = 0;
        if (!pg_get_address(res, i, 0, &wallet))
            continue;
        pg_get_int(res, i, 1, &failures);
        const struct store_write *w = b->n_writes ? bsearch(&wallet, b->writes, b->n_writes,
                                                            sizeof *b->writes, pg_compare_write)
                                                  : NULL;
        if (w) {
            struct write_debt *debt = &a->rows[w - b->writes].debt;
            debt->waiting = true;
            debt->has_event = pg_get_int(res, i, 2, &debt->event_block);
            continue;
        }
        const struct store_failure *f =
            b->n_failures
                ? bsearch(&wallet, b->failures, b->n_failures, sizeof *b->failures, compare_failure)
                : NULL;
        if (f)
            a->failures[f - b->failures] = (unsigned)failures;
    }
}

static int lock_and_read(struct apply *a, bool *ret_anchor_gone)
{
    const struct store_batch *b = a->batch;
    struct pg_array writes, all;
    struct pg_command c[] = {
        {.sql = "BEGIN ISOLATION LEVEL READ COMMITTED"},
        {.sql = "SELECT 1 FROM trueup_blocks WHERE number = $1 AND hash = $2 AND canonical FOR "
                "SHARE"},
        {.sql = arena_printf(a->scratch,
                             "SELECT u.i, t.ctid, t.balance, t.blocknumber, t.updated_at, "
                             "t.observed_block FROM unnest($1) WITH ORDINALITY u(w, i) JOIN %s t "
                             "ON t.wallet = u.w ORDER BY u.i FOR NO KEY UPDATE OF t",
                             a->table)},
        /* the uncorrelated EXISTS is asked once: an empty quarantine costs nothing */
        {.sql = "SELECT q.wallet, q.failures, q.event_block FROM unnest($2) WITH ORDINALITY u(w, "
                "i) JOIN trueup_quarantine q ON q.balance = $1 AND q.wallet = u.w WHERE EXISTS "
                "(SELECT 1 FROM trueup_quarantine WHERE balance = $1) ORDER BY u.i FOR UPDATE OF "
                "q"},
    };
    PGresult *res[COUNT_OF(c)];
    for (size_t i = 0; i < COUNT_OF(c); i++) {
        c[i].params.arena = a->scratch;
        c[i].prepare = true;
    }
    pg_p_int(&c[1].params, true, b->at.number);
    pg_p_hash(&c[1].params, &b->at.hash);
    pg_array_begin(&writes, a->scratch, PG_TEXT, b->n_writes);
    for (size_t i = 0; i < b->n_writes; i++)
        pg_array_address(&writes, &b->writes[i].wallet);
    pg_p_array(&c[2].params, &writes);
    if (b->n_failures)
        all_wallets(a, &all);
    pg_p_text(&c[3].params, b->balance->name);
    pg_p_array(&c[3].params, b->n_failures ? &all : &writes);
    /* a range without any event is an anchor and a checkpoint, nothing else */
    size_t n = b->n_writes + b->n_failures ? COUNT_OF(c) : 2;
    if (pg_run(a->s, c, n, res, a->err) != 0)
        return -1;
    *ret_anchor_gone = PQntuples(res[1]) == 0;
    if (n == COUNT_OF(c)) {
        take_olds(a, res[2]);
        take_debts(a, res[3]);
    }
    pg_clear(res, n);
    return 0;
}

/* ---- deciding -------------------------------------------------------------------------------- */

/* Which of the wallets without a row may have one by the list; locked, so that a removal waits. */
static int ask_list(struct apply *a, bool *may)
{
    const struct store_batch *b = a->batch;
    struct pg_array wanted;
    pg_array_begin(&wanted, a->scratch, PG_TEXT, b->n_writes);
    for (size_t i = 0; i < b->n_writes; i++)
        if (!a->done.olds[i].existed && b->writes[i].insert == INSERT_IF_LISTED)
            pg_array_address(&wanted, &b->writes[i].wallet);
    if (wanted.n == 0)
        return 0;
    struct pg_command c = {.sql = "SELECT l.wallet FROM unnest($2) WITH ORDINALITY u(w, i) JOIN "
                                  "trueup_wallets l ON l.balance = $1 AND l.wallet = u.w ORDER BY "
                                  "u.i FOR SHARE OF l",
                           .params.arena = a->scratch,
                           .prepare = true};
    pg_p_text(&c.params, b->balance->name);
    pg_p_array(&c.params, &wanted);
    PGresult *res = pg_query(a->s, &c, a->err);
    if (!res)
        return -1;
    for (int i = 0; i < PQntuples(res); i++) {
        address wallet;
        if (!pg_get_address(res, i, 0, &wallet))
            continue;
        const struct store_write *w =
            bsearch(&wallet, b->writes, b->n_writes, sizeof *b->writes, pg_compare_write);
        if (w)
            may[w - b->writes] = true;
    }
    PQclear(res);
    return 0;
}

static int decide(struct apply *a)
{
    const struct store_batch *b = a->batch;
    bool *may = arena_zero(a->scratch, b->n_writes, sizeof *may);
    if (ask_list(a, may) != 0)
        return -1;
    size_t *const counts[] = {
        [OUTCOME_INSERTED] = &a->done.inserted,   [OUTCOME_CHANGED] = &a->done.changed,
        [OUTCOME_REFRESHED] = &a->done.refreshed, [OUTCOME_OLDER] = &a->done.older,
        [OUTCOME_ABSENT] = &a->done.absent,
    };
    for (size_t i = 0; i < b->n_writes; i++) {
        struct write_plan plan =
            write_decide(&b->writes[i], &a->done.olds[i], &a->rows[i].debt, b->at.number);
        if (plan.outcome == OUTCOME_INSERTED && b->writes[i].insert != INSERT_ALWAYS && !may[i])
            plan.outcome = OUTCOME_ABSENT;
        a->done.olds[i].outcome = plan.outcome;
        a->rows[i].plan = plan;
        a->done.olds[i].drifted = write_is_drift(b, &a->done.olds[i], &a->rows[i].debt);
        a->done.drifted += a->done.olds[i].drifted;
        ++*counts[plan.outcome];
    }
    return 0;
}

/* ---- the verb -------------------------------------------------------------------------------- */

static int attempt(struct apply *a)
{
    const struct store_batch *b = a->batch;
    bool anchor_gone = false;
    a->done = (struct store_applied){0};
    a->table = pg_table(a->s, b->balance->table, a->scratch);
    a->rows = arena_zero(a->scratch, b->n_writes, sizeof *a->rows);
    a->failures = arena_zero(a->scratch, b->n_failures, sizeof *a->failures);
    a->done.olds = arena_zero(a->arena, b->n_writes, sizeof *a->done.olds);
    if (lock_and_read(a, &anchor_gone) != 0)
        return -1;
    if (anchor_gone) {
        pg_rollback(a->s);
        a->done = (struct store_applied){.anchor_gone = true};
        return 0;
    }
    if (decide(a) != 0)
        return -1;
    return pg_write_and_commit(a);
}

/* What comes from meeting another writer, and is gone at the next attempt. */
static bool worth_repeating(const struct pg *s)
{
    const char *state = pg_last_state(s);
    return !s->broken && (strcmp(state, "23505") == 0 || strncmp(state, "40", 2) == 0);
}

int pg_apply(struct store *store, const struct store_batch *batch, struct arena *arena,
             struct store_applied *ret, struct err *err)
{
    struct arena scratch;
    arena_init(&scratch);
    struct apply a = {
        .s = pg_of(store), .batch = batch, .arena = arena, .scratch = &scratch, .err = err};
    int rc = attempt(&a);
    for (int i = 1; i < ATTEMPTS && rc != 0 && worth_repeating(a.s); i++) {
        if (err)
            err_clear(err);
        arena_clear(&scratch);
        rc = attempt(&a);
    }
    arena_free(&scratch);
    if (rc == 0)
        *ret = a.done;
    return rc;
}
