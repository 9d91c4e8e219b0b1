/*
 * PostgreSQL: the second round trip of a batch. What the rule decided becomes at most a statement a
 * kind, in the order in which locks are taken, and the commit.
 */
#include "store/pg.h"
#include "store/write.h"

/* Taken last in a transaction that adds to trueup_changes, so that ids are handed out in the order
 * of commits, and whoever follows them by id misses none. */
#define CHANGES_LOCK "SELECT pg_advisory_xact_lock(8390895923146846977)"

/* The first four each have their own SET list: an application's trigger on a column fires when the
 * column is in it. */
#define UPDATE(set, columns)                                                                       \
    "UPDATE {t} t SET " set " FROM unnest(" columns ") WHERE t.ctid = u.c AND t.wallet = u.w"
static const struct write_statement pg_statements[N_STEPS] = {
    [STEP_CHANGE] = {UPDATE("balance = u.v, updated_at = CURRENT_TIMESTAMP, observed_block = $3, "
                            "blocknumber = coalesce(u.b, t.blocknumber)",
                            "$1, $2, $4, $5) u(c, w, b, v"),
                     {VALUE_TID, VALUE_WALLET, VALUE_ANCHOR, VALUE_BLOCK, VALUE_NEW}},
    [STEP_REFRESH] = {UPDATE("updated_at = CURRENT_TIMESTAMP, observed_block = $3",
                             "$1, $2) u(c, w"),
                      {VALUE_TID, VALUE_WALLET, VALUE_ANCHOR}},
    [STEP_REFRESH_BLOCK] = {UPDATE("updated_at = CURRENT_TIMESTAMP, observed_block = $3, "
                                   "blocknumber = u.b",
                                   "$1, $2, $4) u(c, w, b"),
                            {VALUE_TID, VALUE_WALLET, VALUE_ANCHOR, VALUE_BLOCK}},
    [STEP_BLOCK] = {UPDATE("blocknumber = u.b", "$1, $2, $4) u(c, w, b") " AND $3 IS NOT NULL",
                    {VALUE_TID, VALUE_WALLET, VALUE_ANCHOR, VALUE_BLOCK}},
    [STEP_INSERT] = {"INSERT INTO {t} (wallet, balance, blocknumber, updated_at, created_at, "
                     "observed_block) SELECT u.w, u.v, u.b, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP, "
                     "$4 FROM unnest($1, $2, $3) u(w, v, b)",
                     {VALUE_WALLET, VALUE_NEW, VALUE_BLOCK, VALUE_ANCHOR}},
    [STEP_DRIFT] = {"INSERT INTO trueup_drift (balance, wallet, stored, actual, block, cause, age) "
                    "SELECT $1, u.w, u.s, u.a, $6, 'unknown', greatest(0, extract(epoch FROM "
                    "CURRENT_TIMESTAMP - u.t))::bigint FROM unnest($2, $3, $4, $5) u(w, s, a, t) "
                    "RETURNING id, wallet",
                    {VALUE_NAME, VALUE_WALLET, VALUE_OLD, VALUE_NEW, VALUE_UPDATED, VALUE_ANCHOR}},
    [STEP_LOG_CHANGE] = {"WITH added AS (" ADD_CHANGES " RETURNING id) SELECT max(id) FROM added",
                         {VALUE_NAME, VALUE_WALLET, VALUE_OLD, VALUE_NEW, VALUE_ANCHOR,
                          VALUE_CAUSE}},
};
#undef UPDATE

static void pg_take_drift(struct write_batch *a, struct db_rows rows)
{
    while (pg_next_row(&rows)) {
        address wallet;
        if (!db_get_address(&rows, 1, &wallet))
            continue;
        size_t at = pg_find_write(a->batch, &wallet);
        if (at < a->batch->n_writes)
            db_get_number(&rows, 0, &a->done.olds[at].drift_id);
    }
}

/* May the commit be lost in a crash of the server? A refresh may: the row is then as anchored as it
 * was, and is read again. What answers an event may not, for the checkpoint vouches for it. Waiting
 * for the disk is a third of a full pass. */
static bool pg_may_be_lost(const struct write_batch *a)
{
    const struct store_batch *b = a->batch;
    if (b->cause != CAUSE_SWEEP || b->n_failures || b->n_dirty || b->has_checkpoint)
        return false;
    for (size_t i = 0; i < b->n_writes; i++)
        if (b->writes[i].has_event || a->rows[i].debt.waiting)
            return false;
    return true;
}

int pg_write_and_commit(struct write_batch *a)
{
    struct write_list out = {.n = 0};
    PGresult *res[WRITES_MAX];
    write_assign_steps(a, &out);
    for (enum write_step step = STEP_CHANGE; step <= STEP_INSERT; step++)
        write_add_step(a, &out, step, &pg_statements[step]);
    write_add_marks(a, &out);
    size_t added = a->done.inserted + a->done.changed;
    if (pg_may_be_lost(a))
        write_add_statement(a, &out, "SELECT set_config('synchronous_commit', 'off', true)", 0);
    size_t drift_at = out.n;
    write_add_step(a, &out, STEP_DRIFT, &pg_statements[STEP_DRIFT]);
    if (added)
        write_add_statement(a, &out, CHANGES_LOCK, 0);
    write_add_step(a, &out, STEP_LOG_CHANGE, &pg_statements[STEP_LOG_CHANGE]);
    size_t changes_at = out.n - 1; /* the answer with the newest id, where anything changed */
    write_add_statement(a, &out, "COMMIT", 0);
    if (pg_run(pg_of(a->s), out.q, out.n, res, a->err) != 0)
        return -1;
    uint64_t newest = 0;
    if (a->done.drifted)
        pg_take_drift(a, pg_rows(pg_of(a->s), res[drift_at]));
    struct db_rows changes = pg_rows(pg_of(a->s), res[changes_at]);
    if (added && pg_next_row(&changes))
        db_get_number(&changes, 0, &newest);
    pg_clear(res, out.n);
    /* Outside of the transaction, and passing by what another process is pruning. A refusal waits
     * for the next time. */
    struct db_query prune;
    if (write_prune_query(newest, added, &prune))
        pg_run(pg_of(a->s), &prune, 1, NULL, NULL);
    return 0;
}
