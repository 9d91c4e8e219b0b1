/*
 * PostgreSQL: the second round trip of a batch. What the rule decided becomes at most a statement a
 * kind, in the order in which locks are taken, and the commit.
 */
#include "store/apply_pg.h"

#include "base/mem.h"

#include <stddef.h>
#include <string.h>

/* Taken last in a transaction that adds to trueup_changes, so that ids are handed out in the order
 * of commits, and whoever follows them by id misses none. */
#define CHANGES_LOCK "SELECT pg_advisory_xact_lock(8390895923146846977)"

enum { WRITES_MAX = 20 };

/* ---- second round trip ----------------------------------------------------------------------- */

/* The statements for rows of the batch, in the order of locks. A write takes part in several. */
enum pg_step {
    STEP_CHANGE,
    STEP_REFRESH,
    STEP_REFRESH_BLOCK,
    STEP_BLOCK,
    STEP_INSERT,
    STEP_LEAVE_QUARANTINE,
    STEP_STAY_IN_QUARANTINE,
    STEP_LEAVE_PENDING,
    STEP_DRIFT,
    STEP_LOG_CHANGE,
    N_STEPS,
};

/* What a parameter of such a statement is; from VALUE_TID on a column of the set. */
enum pg_value {
    VALUE_NONE,
    VALUE_NAME,
    VALUE_ANCHOR,
    VALUE_CAUSE,
    VALUE_TID,
    VALUE_WALLET,
    VALUE_BLOCK,
    VALUE_NEW,
    VALUE_OLD,
    VALUE_UPDATED,
};

/* The first four each have their own SET list: an application's trigger on a column fires when the
 * column is in it. */
#define UPDATE(set, columns)                                                                       \
    "UPDATE {t} t SET " set " FROM unnest(" columns ") WHERE t.ctid = u.c AND t.wallet = u.w"
static const struct {
    const char *sql;
    enum pg_value params[DB_PARAMS];
} pg_steps[N_STEPS] = {
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
    [STEP_LEAVE_QUARANTINE] = {"DELETE FROM trueup_quarantine q USING unnest($2) u(w) WHERE "
                               "q.balance = $1 AND q.wallet = u.w",
                               {VALUE_NAME, VALUE_WALLET}},
    /* its event is still unanswered: up again at once */
    [STEP_STAY_IN_QUARANTINE] = {"UPDATE trueup_quarantine q SET retry_at = CURRENT_TIMESTAMP FROM "
                                 "unnest($2) u(w) WHERE q.balance = $1 AND q.wallet = u.w",
                                 {VALUE_NAME, VALUE_WALLET}},
    [STEP_LEAVE_PENDING] =
        {"UPDATE trueup_wallets l SET pending = false FROM unnest($2) u(w) WHERE "
         "l.balance = $1 AND l.wallet = u.w AND l.pending AND EXISTS (SELECT 1 "
         "FROM trueup_wallets WHERE balance = $1 AND pending)",
         {VALUE_NAME, VALUE_WALLET}},
    [STEP_DRIFT] = {"INSERT INTO trueup_drift (balance, wallet, stored, actual, block, cause, age) "
                    "SELECT $1, u.w, u.s, u.a, $6, 'unknown', greatest(0, extract(epoch FROM "
                    "CURRENT_TIMESTAMP - u.t))::bigint FROM unnest($2, $3, $4, $5) u(w, s, a, t) "
                    "RETURNING id, wallet",
                    {VALUE_NAME, VALUE_WALLET, VALUE_OLD, VALUE_NEW, VALUE_UPDATED, VALUE_ANCHOR}},
    [STEP_LOG_CHANGE] = {"WITH added AS (INSERT INTO trueup_changes (balance, wallet, old, new, "
                         "block, cause, at) SELECT $1, u.w, u.o, u.n, $5, $6, CURRENT_TIMESTAMP "
                         "FROM unnest($2, $3, $4) u(w, o, n) RETURNING id) SELECT max(id) FROM "
                         "added",
                         {VALUE_NAME, VALUE_WALLET, VALUE_OLD, VALUE_NEW, VALUE_ANCHOR,
                          VALUE_CAUSE}},
};
#undef UPDATE

struct writes { /* the statements of the second round trip, in the order of locks */
    struct db_query q[WRITES_MAX];
    size_t n;
    bool (*has)[N_STEPS]; /* beside each write: the steps it takes part in */
    size_t rows[N_STEPS]; /* so many writes take part */
};

/* Which steps each write takes part in, by what the rule decided. */
static void pg_assign_steps(const struct pg_batch *a, struct writes *out)
{
    const struct store_batch *b = a->batch;
    out->has = arena_alloc(a->scratch, b->n_writes * sizeof *out->has);
    for (size_t i = 0; i < b->n_writes; i++) {
        const struct write_plan *plan = &a->rows[i].plan;
        bool waiting = a->rows[i].debt.waiting, block = plan->set_blocknumber;
        bool refreshed = plan->outcome == OUTCOME_REFRESHED;
        bool changed = plan->outcome == OUTCOME_CHANGED;
        bool inserted = plan->outcome == OUTCOME_INSERTED;
        const bool has[N_STEPS] = {
            [STEP_CHANGE] = changed,
            [STEP_REFRESH] = refreshed && !block,
            [STEP_REFRESH_BLOCK] = refreshed && block,
            [STEP_BLOCK] = plan->outcome == OUTCOME_OLDER && block,
            [STEP_INSERT] = inserted,
            [STEP_LEAVE_QUARANTINE] = waiting && plan->leaves_quarantine,
            [STEP_STAY_IN_QUARANTINE] = waiting && !plan->leaves_quarantine,
            [STEP_LEAVE_PENDING] =
                b->writes[i].insert != INSERT_NEVER && plan->outcome != OUTCOME_ABSENT,
            [STEP_DRIFT] = a->done.olds[i].drifted,
            [STEP_LOG_CHANGE] = inserted || changed,
        };
        memcpy(out->has[i], has, sizeof has);
        for (int step = 0; step < N_STEPS; step++)
            out->rows[step] += has[step];
    }
}

static struct db_query *pg_add_statement(struct pg_batch *a, struct writes *out, const char *sql,
                                         size_t set)
{
    struct db_query *q = &out->q[out->n++];
    *q = (struct db_query){.sql = sql, .b = a->batch->balance, .set = set, .hot = true};
    return q;
}

/* What a statement needs of each write that it is for; a column of the set each. */
struct pg_write_row {
    uint8_t tid[TID_SIZE];
    address wallet;
    u256 value, before;
    uint64_t block;
    bool has_block, has_before;
    int64_t updated_us;
};

static struct pg_write_row *pg_select_rows(const struct pg_batch *a, const struct writes *out,
                                           enum pg_step step)
{
    const struct store_batch *b = a->batch;
    struct pg_write_row *list = arena_alloc(a->scratch, out->rows[step] * sizeof *list);
    struct pg_write_row *row = list;
    for (size_t i = 0; i < b->n_writes; i++) {
        const struct store_old *old = &a->done.olds[i];
        if (!out->has[i][step])
            continue;
        *row = (struct pg_write_row){.wallet = b->writes[i].wallet,
                                     .value = b->writes[i].value,
                                     .before = old->balance,
                                     .has_before = old->existed && !old->odd,
                                     .block = a->rows[i].plan.blocknumber,
                                     .has_block = a->rows[i].plan.set_blocknumber,
                                     .updated_us = old->updated_us};
        memcpy(row++->tid, a->rows[i].tid, TID_SIZE);
    }
    return list;
}

static struct db_param pg_param_of(const struct pg_batch *a, const struct pg_write_row *list,
                                   enum pg_value value)
{
    static const struct {
        enum db_kind kind;
        size_t at, has; /* has: 0 of a column without NULLs */
    } columns[] = {
        [VALUE_TID] = {DB_TID, offsetof(struct pg_write_row, tid), 0},
        [VALUE_WALLET] = {DB_ADDRESS, offsetof(struct pg_write_row, wallet), 0},
        [VALUE_BLOCK] = {DB_NUMBER, offsetof(struct pg_write_row, block),
                         offsetof(struct pg_write_row, has_block)},
        [VALUE_NEW] = {DB_BALANCE, offsetof(struct pg_write_row, value), 0},
        [VALUE_OLD] = {DB_BALANCE, offsetof(struct pg_write_row, before),
                       offsetof(struct pg_write_row, has_before)},
        [VALUE_UPDATED] = {DB_TIME, offsetof(struct pg_write_row, updated_us), 0},
    };
    if (value == VALUE_NAME)
        return db_text(a->batch->balance->name);
    if (value == VALUE_ANCHOR)
        return db_number(a->batch->at.number);
    if (value == VALUE_CAUSE)
        return db_text(store_cause_name(a->batch->cause));
    const uint8_t *first = (const uint8_t *)list;
    struct db_param p = db_column(columns[value].kind, first + columns[value].at, sizeof *list);
    p.has = columns[value].has ? (const bool *)(first + columns[value].has) : NULL;
    return p;
}

static void pg_add_step(struct pg_batch *a, struct writes *out, enum pg_step step)
{
    if (out->rows[step] == 0)
        return;
    const struct pg_write_row *list = pg_select_rows(a, out, step);
    struct db_query *q = pg_add_statement(a, out, pg_steps[step].sql, out->rows[step]);
    for (size_t i = 0; pg_steps[step].params[i] != VALUE_NONE; i++)
        q->params[i] = pg_param_of(a, list, pg_steps[step].params[i]);
}

static void pg_quarantine_failures(struct pg_batch *a, struct writes *out)
{
    const struct store_batch *b = a->batch;
    struct counted {
        uint64_t failures, wait_us;
    } *list = arena_alloc(a->scratch, b->n_failures * sizeof *list);
    const struct store_failure *f = b->failures;
    for (size_t i = 0; i < b->n_failures; i++) {
        list[i].failures = a->failures[i] + 1;
        list[i].wait_us = (uint64_t)quarantine_wait_us(a->failures[i] + 1, &a->s->base.rng);
    }
    if (b->n_failures == 0)
        return;
    struct db_query *q = pg_add_statement(
        a, out,
        "INSERT INTO trueup_quarantine AS q (balance, wallet, failures, reason, event_block, "
        "retry_at) SELECT $1, u.w, u.f, u.r, u.b, CURRENT_TIMESTAMP + u.t * interval '1 "
        "microsecond' FROM unnest($2, $3, $4, $5, $6) u(w, f, r, b, t) ON CONFLICT (balance, "
        "wallet) DO UPDATE SET failures = excluded.failures, reason = excluded.reason, retry_at = "
        "excluded.retry_at, event_block = greatest(q.event_block, excluded.event_block)",
        b->n_failures);
    q->params[0] = db_text(b->balance->name);
    q->params[1] = db_column(DB_ADDRESS, &f->wallet, sizeof *f);
    q->params[2] = db_column(DB_NUMBER, &list->failures, sizeof *list);
    q->params[3] = db_column(DB_TEXT, &f->reason, sizeof *f);
    q->params[4] = db_column(DB_NUMBER, &f->event_block, sizeof *f);
    q->params[4].has = &f->has_event;
    q->params[5] = db_column(DB_NUMBER, &list->wait_us, sizeof *list);
    a->done.quarantined = b->n_failures;
}

/* The checkpoint; and the newest time that is ours, so that what is newer can be told to be
 * another's. A key for each connection's name: follow and sweep do not wait for each other's. */
static void pg_write_state(struct pg_batch *a, struct writes *out)
{
    const struct store_balance *b = a->batch->balance;
    char *key = arena_alloc(a->scratch, STATE_KEY), *wrote = arena_alloc(a->scratch, STATE_KEY);
    state_key(key, "checkpoint", b->name, NULL);
    state_key(wrote, "wrote", b->name, a->s->base.who);
    if (a->batch->has_checkpoint) {
        struct db_query *q = pg_add_statement(
            a, out,
            "WITH moved AS (INSERT INTO eth_indexer_checkpoints AS c (name, last_block, "
            "updated_at) VALUES ($1, $2, CURRENT_TIMESTAMP) ON CONFLICT (name) DO UPDATE SET "
            "last_block = greatest(c.last_block, excluded.last_block), updated_at = "
            "CURRENT_TIMESTAMP RETURNING last_block) INSERT INTO trueup_state (key, value) SELECT "
            "$3, last_block::text FROM moved ON CONFLICT (key) DO UPDATE SET value = "
            "excluded.value",
            0);
        q->params[0] = db_text(b->checkpoint);
        q->params[1] = db_number(a->batch->checkpoint);
        q->params[2] = db_text(key);
    }
    if (a->batch->n_writes)
        pg_add_statement(a, out,
                         "INSERT INTO trueup_state AS s (key, value) VALUES ($1, to_char("
                         "CURRENT_TIMESTAMP, 'YYYY-MM-DD HH24:MI:SS.US')) ON CONFLICT (key) DO "
                         "UPDATE SET value = greatest(s.value, excluded.value)",
                         0)
            ->params[0] = db_text(wrote);
}

static void pg_take_drift(struct pg_batch *a, struct db_rows rows)
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
static bool pg_may_be_lost(const struct pg_batch *a)
{
    const struct store_batch *b = a->batch;
    if (b->cause != CAUSE_SWEEP || b->n_failures || b->n_dirty || b->has_checkpoint)
        return false;
    for (size_t i = 0; i < b->n_writes; i++)
        if (b->writes[i].has_event || a->rows[i].debt.waiting)
            return false;
    return true;
}

int pg_write_and_commit(struct pg_batch *a)
{
    struct writes out = {.n = 0};
    PGresult *res[WRITES_MAX];
    pg_assign_steps(a, &out);
    for (enum pg_step step = STEP_CHANGE; step <= STEP_STAY_IN_QUARANTINE; step++)
        pg_add_step(a, &out, step);
    pg_quarantine_failures(a, &out);
    pg_add_step(a, &out, STEP_LEAVE_PENDING);
    if (a->batch->n_dirty)
        out.q[out.n++] = write_dirty_query(a->batch);
    pg_write_state(a, &out);
    size_t added = a->done.inserted + a->done.changed;
    if (pg_may_be_lost(a))
        pg_add_statement(a, &out, "SELECT set_config('synchronous_commit', 'off', true)", 0);
    size_t drift_at = out.n;
    pg_add_step(a, &out, STEP_DRIFT);
    if (added)
        pg_add_statement(a, &out, CHANGES_LOCK, 0);
    pg_add_step(a, &out, STEP_LOG_CHANGE);
    size_t changes_at = out.n - 1; /* the answer with the newest id, where anything changed */
    pg_add_statement(a, &out, "COMMIT", 0);
    if (pg_run(a->s, out.q, out.n, res, a->err) != 0)
        return -1;
    uint64_t newest = 0;
    if (a->done.drifted)
        pg_take_drift(a, pg_rows(a->s, res[drift_at]));
    struct db_rows changes = pg_rows(a->s, res[changes_at]);
    if (added && pg_next_row(&changes))
        db_get_number(&changes, 0, &newest);
    pg_clear(res, out.n);
    /* Outside of the transaction, and passing by what another process is pruning. A refusal waits
     * for the next time. */
    struct db_query prune;
    if (write_prune_query(newest, added, &prune))
        pg_run(a->s, &prune, 1, NULL, NULL);
    return 0;
}
