/*
 * PostgreSQL: the second round trip of a batch. What the rule decided becomes one transaction, sent
 * as one pipeline: the server never waits for us inside it, however slow or stopped we are.
 *
 * Compare and set: a row is changed only where it is the version that was read, by its place
 * (ctid), the transaction that wrote it there (xmin) and its wallet. Each statement tells the
 * wallets it missed, and puts them into a setting of the transaction, for the statements after it
 * leave those wallets out.
 */
#include "store/pg.h"
#include "store/write.h"

#include <stdio.h>
#include <string.h>

/* Taken last in a transaction that adds to trueup_changes, so that ids are handed out in the order
 * of commits, and whoever follows them by id misses none. */
#define CHANGES_LOCK "SELECT pg_advisory_xact_lock(8390895923146846977)"

/* Around a change of rows: the wallets of $1 that it did not change. Asked only if there are any.
 */
#define MISSED(change)                                                                             \
    "WITH done AS (" change ") SELECT m.w, set_config('trueup.missed', " PG_MISSED                 \
    " || m.w || ' ', true) FROM "                                                                  \
    "unnest($1) m(w) WHERE (SELECT count(*) FROM done) <> cardinality($1) AND m.w NOT IN (SELECT " \
    "wallet FROM done)"

/* The first four each have their own SET list: an application's trigger on a column fires when the
 * column is in it. */
#define UPDATE(set, columns, names)                                                                \
    MISSED("UPDATE {t} t SET " set " FROM unnest($1, $2, $3" columns ") u(w, c, x" names           \
           ") WHERE t.ctid = u.c AND t.wallet = u.w AND t.xmin = u.x RETURNING t.wallet")
#define INSERT(from)                                                                               \
    MISSED("INSERT INTO {t} (wallet, balance, blocknumber, updated_at, created_at, "               \
           "observed_block) SELECT u.w, u.v, u.b, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP, $4 FROM "  \
           "unnest($1, $2, $3) u(w, v, b)" from " RETURNING wallet")
static const struct write_statement pg_statements[N_STEPS] = {
    [STEP_CHANGE] = {UPDATE("balance = u.v, updated_at = CURRENT_TIMESTAMP, observed_block = $6, "
                            "blocknumber = coalesce(u.b, t.blocknumber)",
                            ", $4, $5", ", b, v"),
                     {VALUE_WALLET, VALUE_TID, VALUE_XID, VALUE_BLOCK, VALUE_NEW, VALUE_ANCHOR}},
    [STEP_REFRESH] = {UPDATE("updated_at = CURRENT_TIMESTAMP, observed_block = $4", "", ""),
                      {VALUE_WALLET, VALUE_TID, VALUE_XID, VALUE_ANCHOR}},
    [STEP_REFRESH_BLOCK] = {UPDATE("updated_at = CURRENT_TIMESTAMP, observed_block = $5, "
                                   "blocknumber = u.b",
                                   ", $4", ", b"),
                            {VALUE_WALLET, VALUE_TID, VALUE_XID, VALUE_BLOCK, VALUE_ANCHOR}},
    [STEP_BLOCK] = {UPDATE("blocknumber = u.b", ", $4", ", b"),
                    {VALUE_WALLET, VALUE_TID, VALUE_XID, VALUE_BLOCK}},
    [STEP_INSERT] = {INSERT(""), {VALUE_WALLET, VALUE_NEW, VALUE_BLOCK, VALUE_ANCHOR}},
    [STEP_INSERT_LISTED] = {INSERT(" WHERE EXISTS (SELECT 1 FROM trueup_wallets l WHERE l.balance "
                                   "= $5 AND l.wallet = u.w)"),
                            {VALUE_WALLET, VALUE_NEW, VALUE_BLOCK, VALUE_ANCHOR, VALUE_NAME}},
    [STEP_DRIFT] = {"INSERT INTO trueup_drift (balance, wallet, stored, actual, block, cause, age) "
                    "SELECT $1, u.w, u.s, u.a, $6, 'unknown', greatest(0, extract(epoch FROM "
                    "CURRENT_TIMESTAMP - u.t))::bigint FROM unnest($2, $3, $4, $5) u(w, s, a, t) "
                    "WHERE {kept u.w} RETURNING id, wallet",
                    {VALUE_NAME, VALUE_WALLET, VALUE_OLD, VALUE_NEW, VALUE_UPDATED, VALUE_ANCHOR}},
    [STEP_LOG_CHANGE] = {"WITH added AS (" ADD_CHANGES " RETURNING id) SELECT max(id) FROM added",
                         {VALUE_NAME, VALUE_WALLET, VALUE_OLD, VALUE_NEW, VALUE_ANCHOR,
                          VALUE_CAUSE}},
    [STEP_UNANCHOR] = {"UPDATE {t} t SET observed_block = NULL FROM unnest($1) u(w) WHERE t.wallet "
                       "= u.w AND t.observed_block IS NOT NULL",
                       {VALUE_WALLET}},
};
#undef INSERT
#undef UPDATE
#undef MISSED

/* Removing a wallet from the list waits for us, or we see that it is gone. */
static const struct write_statement pg_lock_list = {
    "SELECT 1 FROM unnest($2) WITH ORDINALITY u(w, i) JOIN trueup_wallets l ON l.balance = $1 AND "
    "l.wallet = u.w ORDER BY u.i FOR NO KEY UPDATE OF l",
    {VALUE_NAME, VALUE_WALLET}};

/* ---- the transaction ------------------------------------------------------------------------- */

/* Where the answers stand that are looked at. */
struct pg_places {
    size_t fence, anchor;
    size_t rows, rows_end; /* answers of wallets that were missed */
    size_t drift, changes;
};

static void pg_add_frame(struct write_batch *a, struct write_list *out, struct pg_places *at)
{
    const struct anchor *anchor = &a->batch->at;
    write_add_statement(a, out, PG_BEGIN, 0);
    at->fence = PG_NO_FENCE;
    if (a->s->fence.role) {
        at->fence = out->n;
        out->q[out->n++] = pg_fence(pg_of(a->s));
    }
    if (a->s->care.triggers) /* our writers one by one: the triggers' locks cannot cross */
        write_add_statement(a, out, "SELECT pg_advisory_xact_lock(8390895923146846979)", 0);
    at->anchor = out->n;
    struct db_query *q = write_add_statement(
        a, out,
        "SELECT 1 / count(*) FROM (SELECT 1 FROM trueup_blocks WHERE number = $1 AND hash = $2 AND "
        "on_chain FOR SHARE) a",
        0);
    q->params[0] = db_number(anchor->number);
    q->params[1] = db_hash(&anchor->hash);
}

/* A statement locks its rows in the order of wallets. Two statements do not, so where there are
 * several kinds of changes all rows are locked before the first. */
static void pg_add_lock(struct write_batch *a, struct write_list *out)
{
    const struct store_batch *b = a->batch;
    size_t kinds = 0;
    for (enum write_step step = STEP_CHANGE; step <= STEP_BLOCK; step++)
        kinds += out->rows[step] > 0;
    if (kinds < 2)
        return;
    struct db_query *q = write_add_statement(
        a, out,
        "SELECT 1 FROM unnest($1) WITH ORDINALITY u(w, i) JOIN {t} t ON t.wallet = u.w ORDER BY "
        "u.i FOR NO KEY UPDATE OF t",
        b->n_writes);
    q->params[0] = db_column(DB_ADDRESS, &b->writes->wallet, sizeof *b->writes);
}

static void pg_add_rows(struct write_batch *a, struct write_list *out, struct pg_places *at)
{
    pg_add_lock(a, out);
    at->rows = out->n;
    for (enum write_step step = STEP_CHANGE; step <= STEP_INSERT; step++)
        write_add_step(a, out, step, &pg_statements[step]);
    at->rows_end = out->n;
    if (out->rows[STEP_INSERT_LISTED] == 0)
        return;
    write_add_step(a, out, STEP_INSERT_LISTED, &pg_lock_list);
    write_add_step(a, out, STEP_INSERT_LISTED, &pg_statements[STEP_INSERT_LISTED]);
    at->rows_end = out->n;
}

/* May the commit be lost in a crash of the server? A refresh may: the row is then as anchored as it
 * was, and is read again. What answers an event may not, for the checkpoint vouches for it; nor may
 * what gets an id in the ledger, which another row would get after the crash. */
static bool pg_may_be_lost(const struct write_batch *a)
{
    const struct store_batch *b = a->batch;
    if (b->cause != CAUSE_SWEEP || b->n_failures || b->n_dirty || b->has_checkpoint ||
        a->done.inserted || a->done.changed)
        return false;
    for (size_t i = 0; i < b->n_writes; i++)
        if (b->writes[i].has_event || a->rows[i].debt.waiting)
            return false;
    return true;
}

static void pg_add_ledger(struct write_batch *a, struct write_list *out, struct pg_places *at)
{
    if (pg_may_be_lost(a))
        write_add_statement(a, out, "SELECT set_config('synchronous_commit', 'off', true)", 0);
    at->drift = out->n;
    write_add_step(a, out, STEP_DRIFT, &pg_statements[STEP_DRIFT]);
    if (out->rows[STEP_LOG_CHANGE])
        write_add_statement(a, out, CHANGES_LOCK, 0);
    at->changes = out->n;
    write_add_step(a, out, STEP_LOG_CHANGE, &pg_statements[STEP_LOG_CHANGE]);
    write_add_statement(a, out, "COMMIT", 0);
}

/* ---- its answers ----------------------------------------------------------------------------- */

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

static void pg_take_missed(struct write_batch *a, struct db_rows rows)
{
    while (pg_next_row(&rows)) {
        address wallet;
        if (!db_get_address(&rows, 0, &wallet))
            continue;
        size_t at = pg_find_write(a->batch, &wallet);
        if (at < a->batch->n_writes)
            a->rows[at].missed = true;
    }
}

/* Outside of the transaction, and passing by what another process is pruning. A refusal waits for
 * the next time. */
static void pg_prune(struct write_batch *a, struct db_rows changes, size_t added)
{
    struct db_query prune;
    struct err ignored;
    uint64_t newest = 0;
    if (pg_next_row(&changes))
        db_get_number(&changes, 0, &newest);
    if (write_prune_query(newest, added, &prune))
        db_write(a->s, &prune, 1, 0, NULL, &ignored);
}

static void pg_take_answers(struct write_batch *a, const struct write_list *out,
                            const struct pg_places *at, PGresult **res)
{
    struct pg *s = pg_of(a->s);
    for (size_t i = at->rows; i < at->rows_end; i++)
        if (PQnfields(res[i]) == 2)
            pg_take_missed(a, pg_rows(s, res[i]));
    if (a->done.drifted)
        pg_take_drift(a, pg_rows(s, res[at->drift]));
    if (out->rows[STEP_LOG_CHANGE])
        pg_prune(a, pg_rows(s, res[at->changes]), out->rows[STEP_LOG_CHANGE]);
}

static bool pg_says_anchor_gone(const struct pg *s, const struct pg_places *at)
{
    return strcmp(s->last_state, "22012") == 0 && s->failed_at == at->anchor;
}

/* ---- with an application's triggers ---------------------------------------------------------- */

/* The row as the triggers left it: balance, observed_block, ctid, xmin, and the balance's text. A
 * row that was found as read and yet not changed was held back by a trigger: it was not missed. */
static void pg_compare_row(struct write_batch *a, size_t i, const struct db_rows *row)
{
    struct write_row *r = &a->rows[i];
    enum store_outcome outcome = r->plan.outcome;
    uint8_t tid[TID_SIZE], xid[XID_SIZE];
    u256 held;
    uint64_t observed = 0;
    if (r->missed && row && a->done.olds[i].existed)
        r->missed = !pg_get_tid(row, 3, tid) || !pg_get_xid(row, 4, xid) ||
                    memcmp(tid, r->tid, TID_SIZE) != 0 || memcmp(xid, r->xid, XID_SIZE) != 0;
    else if (r->missed && !row)
        r->missed = a->done.olds[i].existed;
    if (r->missed ||
        (outcome != OUTCOME_INSERTED && outcome != OUTCOME_CHANGED && outcome != OUTCOME_REFRESHED))
        return;
    if (row && db_get_balance(row, 1, &held) && u256_equal(&held, &a->batch->writes[i].value) &&
        db_get_number(row, 2, &observed) && observed == a->batch->at.number)
        return;
    write_mark_altered(a, i, row ? db_get_text(row, 5) : NULL);
}

static void pg_compare_rows(struct write_batch *a, struct db_rows rows)
{
    size_t n = a->batch->n_writes;
    bool *there = arena_zero(a->scratch, n, sizeof *there);
    uint64_t at;
    while (pg_next_row(&rows))
        if (db_get_number(&rows, 0, &at) && at >= 1 && at <= n) {
            there[at - 1] = true;
            pg_compare_row(a, at - 1, &rows);
        }
    for (size_t i = 0; i < n; i++)
        if (!there[i])
            pg_compare_row(a, i, NULL);
}

/* A trigger that swallows an error says so in a warning, and its own work is not done. */
static int pg_answer_warning(struct write_batch *a)
{
    struct pg *s = pg_of(a->s);
    struct db_refusal *r = &a->s->refusal;
    if (s->warned.n == 0)
        return 0;
    if (a->s->care.takes_warnings) {
        pg_tell_warning(s, &a->batch->writes->wallet);
        return 0;
    }
    *r = (struct db_refusal){.kind = REFUSAL_BY_WARNING};
    snprintf(r->code, sizeof r->code, "%s", s->warned.code);
    snprintf(r->words, sizeof r->words, "%s", s->warned.words);
    return err_set(a->err, ERR_STORE_LOST, "%s: a trigger warns: %s", a->s->masked, r->words);
}

/* Writes the rows, has the deferred triggers run, and looks at what has become of the rows, all
 * before anything else of the batch is written. The transaction stays open. */
static int pg_write_with_care(struct write_batch *a, bool *ret_anchor_gone)
{
    const struct store_batch *b = a->batch;
    struct write_list out = {.n = 0};
    struct pg_places at;
    PGresult *res[WRITES_MAX];
    struct pg *s = pg_of(a->s);
    write_assign_steps(a, &out);
    pg_add_frame(a, &out, &at);
    pg_add_rows(a, &out, &at);
    write_add_statement(a, &out, "SET CONSTRAINTS ALL IMMEDIATE", 0);
    struct db_query *q = write_add_statement(
        a, &out,
        "SELECT u.i, t.balance, t.observed_block, t.ctid, t.xmin, t.balance::text FROM unnest($1) "
        "WITH ORDINALITY u(w, i) JOIN {t} t ON t.wallet = u.w",
        b->n_writes);
    q->params[0] = db_column(DB_ADDRESS, &b->writes->wallet, sizeof *b->writes);
    s->warned = (struct pg_warning){.kept = true};
    int rc = pg_run_fenced(s, out.q, out.n, at.fence, res, a->err);
    s->warned.kept = false;
    *ret_anchor_gone = rc != 0 && pg_says_anchor_gone(s, &at);
    if (rc != 0)
        return -1;
    for (size_t i = at.rows; i < at.rows_end; i++)
        if (PQnfields(res[i]) == 2)
            pg_take_missed(a, pg_rows(s, res[i]));
    pg_compare_rows(a, pg_rows(s, res[out.n - 1]));
    pg_clear(res, out.n);
    return pg_answer_warning(a);
}

/* ---- the second round trip ------------------------------------------------------------------- */

int pg_write_and_commit(struct write_batch *a, bool *ret_anchor_gone)
{
    struct write_list out = {.n = 0};
    struct pg_places at = {.fence = PG_NO_FENCE, .anchor = PG_NO_FENCE};
    PGresult *res[WRITES_MAX];
    struct pg *s = pg_of(a->s);
    bool care = a->s->care.triggers && a->batch->n_writes > 0;
    if (care && pg_write_with_care(a, ret_anchor_gone) != 0)
        return -1;
    write_assign_steps(a, &out);
    if (care) {
        write_add_step(a, &out, STEP_UNANCHOR, &pg_statements[STEP_UNANCHOR]);
    } else {
        pg_add_frame(a, &out, &at);
        pg_add_rows(a, &out, &at);
    }
    write_add_marks(a, &out);
    if (care)
        pg_add_warned(a, &out, s->warned.n ? &a->batch->writes->wallet : NULL);
    pg_add_ledger(a, &out, &at);
    int rc = pg_run_commit(s, out.q, out.n, at.fence, res, a->err);
    *ret_anchor_gone = rc != 0 && pg_says_anchor_gone(s, &at);
    if (rc != 0)
        return -1;
    pg_take_answers(a, &out, &at, res);
    pg_clear(res, out.n);
    return 0;
}
