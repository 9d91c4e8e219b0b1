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

struct writes { /* the statements of the second round trip, in the order of locks */
    struct db_query q[WRITES_MAX];
    size_t n;
};

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

#define COLUMN(kind, list, member)                                                                 \
    db_column(kind, (const char *)(list) + offsetof(struct pg_write_row, member),                  \
              sizeof(struct pg_write_row))
#define COLUMN_OR_NULL(type, list, member, has_member)                                             \
    (struct db_param)                                                                              \
    {                                                                                              \
        .kind = (type), .at = (const char *)(list) + offsetof(struct pg_write_row, member),        \
        .has = (const bool *)((const char *)(list) + offsetof(struct pg_write_row, has_member)),   \
        .stride = sizeof(struct pg_write_row)                                                      \
    }

typedef bool pg_is_wanted(const struct pg_batch *a, size_t i);

static struct pg_write_row *pg_select_rows(const struct pg_batch *a, pg_is_wanted *wanted,
                                           size_t *ret_n)
{
    const struct store_batch *b = a->batch;
    size_t n = 0, at = 0;
    for (size_t i = 0; i < b->n_writes; i++)
        n += wanted(a, i);
    struct pg_write_row *list = arena_alloc(a->scratch, n * sizeof *list);
    for (size_t i = 0; i < b->n_writes; i++) {
        const struct store_old *old = &a->done.olds[i];
        if (!wanted(a, i))
            continue;
        struct pg_write_row *row = &list[at++];
        *row = (struct pg_write_row){.wallet = b->writes[i].wallet,
                                     .value = b->writes[i].value,
                                     .before = old->balance,
                                     .has_before = old->existed && !old->odd,
                                     .block = a->rows[i].plan.blocknumber,
                                     .has_block = a->rows[i].plan.set_blocknumber,
                                     .updated_us = old->updated_us};
        memcpy(row->tid, a->rows[i].tid, TID_SIZE);
    }
    *ret_n = n;
    return list;
}

/* The four ways an existing row is written: each has its own SET list, for an application's trigger
 * on a column fires when the column is in it. */
static bool pg_is_changed(const struct pg_batch *a, size_t i)
{
    return a->rows[i].plan.outcome == OUTCOME_CHANGED;
}

static bool pg_is_refreshed(const struct pg_batch *a, size_t i)
{
    return a->rows[i].plan.outcome == OUTCOME_REFRESHED && !a->rows[i].plan.set_blocknumber;
}

static bool pg_is_refreshed_block(const struct pg_batch *a, size_t i)
{
    return a->rows[i].plan.outcome == OUTCOME_REFRESHED && a->rows[i].plan.set_blocknumber;
}

static bool pg_is_block(const struct pg_batch *a, size_t i)
{
    return a->rows[i].plan.outcome == OUTCOME_OLDER && a->rows[i].plan.set_blocknumber;
}

static void pg_update_rows(struct pg_batch *a, struct writes *out)
{
#define UPDATE(set, columns)                                                                       \
    "UPDATE {t} t SET " set " FROM unnest(" columns ") WHERE t.ctid = u.c AND t.wallet = u.w"
    static const struct {
        pg_is_wanted *wanted;
        const char *sql;
    } ways[] = {
        {pg_is_changed, UPDATE("balance = u.v, updated_at = CURRENT_TIMESTAMP, observed_block = "
                               "$3, blocknumber = coalesce(u.b, t.blocknumber)",
                               "$1, $2, $4, $5) u(c, w, b, v")},
        {pg_is_refreshed,
         UPDATE("updated_at = CURRENT_TIMESTAMP, observed_block = $3", "$1, $2) u(c, w")},
        {pg_is_refreshed_block,
         UPDATE("updated_at = CURRENT_TIMESTAMP, observed_block = $3, blocknumber = u.b",
                "$1, $2, $4) u(c, w, b")},
        {pg_is_block, UPDATE("blocknumber = u.b", "$1, $2, $4) u(c, w, b") " AND $3 IS NOT NULL"},
    };
#undef UPDATE
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        size_t n;
        const struct pg_write_row *list = pg_select_rows(a, ways[i].wanted, &n);
        if (n == 0)
            continue;
        struct db_query *q = pg_add_statement(a, out, ways[i].sql, n);
        q->params[0] = COLUMN(DB_TID, list, tid);
        q->params[1] = COLUMN(DB_ADDRESS, list, wallet);
        q->params[2] = db_number(a->batch->at.number);
        if (ways[i].wanted != pg_is_refreshed)
            q->params[3] = COLUMN_OR_NULL(DB_NUMBER, list, block, has_block);
        if (ways[i].wanted == pg_is_changed)
            q->params[4] = COLUMN(DB_BALANCE, list, value);
    }
}

static bool pg_is_inserted(const struct pg_batch *a, size_t i)
{
    return a->rows[i].plan.outcome == OUTCOME_INSERTED;
}

static void pg_insert_rows(struct pg_batch *a, struct writes *out)
{
    size_t n;
    const struct pg_write_row *list = pg_select_rows(a, pg_is_inserted, &n);
    if (n == 0)
        return;
    struct db_query *q = pg_add_statement(
        a, out,
        "INSERT INTO {t} (wallet, balance, blocknumber, updated_at, created_at, observed_block) "
        "SELECT u.w, u.v, u.b, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP, $4 FROM unnest($1, $2, $3) "
        "u(w, v, b)",
        n);
    q->params[0] = COLUMN(DB_ADDRESS, list, wallet);
    q->params[1] = COLUMN(DB_BALANCE, list, value);
    q->params[2] = COLUMN_OR_NULL(DB_NUMBER, list, block, has_block);
    q->params[3] = db_number(a->batch->at.number);
}

/* For statements of a balance's name and wallets. */
static void pg_write_wallets(struct pg_batch *a, struct writes *out, pg_is_wanted *wanted,
                             const char *sql)
{
    size_t n;
    const struct pg_write_row *list = pg_select_rows(a, wanted, &n);
    if (n == 0)
        return;
    struct db_query *q = pg_add_statement(a, out, sql, n);
    q->params[0] = db_text(a->batch->balance->name);
    q->params[1] = COLUMN(DB_ADDRESS, list, wallet);
}

static bool pg_leaves_quarantine(const struct pg_batch *a, size_t i)
{
    return a->rows[i].debt.waiting && a->rows[i].plan.leaves_quarantine;
}

static bool pg_stays_in_quarantine(const struct pg_batch *a, size_t i)
{
    return a->rows[i].debt.waiting && !a->rows[i].plan.leaves_quarantine;
}

static bool pg_has_its_row(const struct pg_batch *a, size_t i)
{
    return a->batch->writes[i].insert != INSERT_NEVER && a->rows[i].plan.outcome != OUTCOME_ABSENT;
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

static void pg_add_dirty(struct pg_batch *a, struct writes *out)
{
    const struct store_batch *b = a->batch;
    const struct store_dirty *d = b->dirty;
    if (b->n_dirty == 0)
        return;
    struct db_query *q =
        pg_add_statement(a, out,
                         "INSERT INTO trueup_dirty (balance, wallet, number, hash) SELECT $1, u.w, "
                         "u.n, u.h FROM unnest($2, $3, $4) u(w, n, h) ORDER BY u.n, u.w, u.h ON "
                         "CONFLICT DO NOTHING",
                         b->n_dirty);
    q->params[0] = db_text(b->balance->name);
    q->params[1] = db_column(DB_ADDRESS, &d->wallet, sizeof *d);
    q->params[2] = db_column(DB_NUMBER, &d->number, sizeof *d);
    q->params[3] = db_column(DB_HASH, &d->hash, sizeof *d);
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

static bool pg_has_new_value(const struct pg_batch *a, size_t i)
{
    return pg_is_inserted(a, i) || pg_is_changed(a, i);
}

static void pg_add_changes(struct pg_batch *a, struct writes *out)
{
    size_t n;
    const struct pg_write_row *list = pg_select_rows(a, pg_has_new_value, &n);
    pg_add_statement(a, out, CHANGES_LOCK, 0);
    struct db_query *q = pg_add_statement(
        a, out,
        "WITH added AS (INSERT INTO trueup_changes (balance, wallet, old, new, block, cause, at) "
        "SELECT $1, u.w, u.o, u.n, $5, $6, CURRENT_TIMESTAMP FROM unnest($2, $3, $4) u(w, o, n) "
        "RETURNING id) SELECT max(id) FROM added",
        n);
    q->params[0] = db_text(a->batch->balance->name);
    q->params[1] = COLUMN(DB_ADDRESS, list, wallet);
    q->params[2] = COLUMN_OR_NULL(DB_BALANCE, list, before, has_before);
    q->params[3] = COLUMN(DB_BALANCE, list, value);
    q->params[4] = db_number(a->batch->at.number);
    q->params[5] = db_text(store_cause_name(a->batch->cause));
}

static bool pg_is_drift(const struct pg_batch *a, size_t i)
{
    return a->done.olds[i].drifted;
}

static void pg_add_drift(struct pg_batch *a, struct writes *out)
{
    size_t n;
    const struct pg_write_row *list = pg_select_rows(a, pg_is_drift, &n);
    struct db_query *q = pg_add_statement(
        a, out,
        "INSERT INTO trueup_drift (balance, wallet, stored, actual, block, cause, age) SELECT $1, "
        "u.w, u.s, u.a, $6, 'unknown', greatest(0, extract(epoch FROM CURRENT_TIMESTAMP - "
        "u.t))::bigint FROM unnest($2, $3, $4, $5) u(w, s, a, t) RETURNING id, wallet",
        n);
    q->params[0] = db_text(a->batch->balance->name);
    q->params[1] = COLUMN(DB_ADDRESS, list, wallet);
    q->params[2] = COLUMN(DB_BALANCE, list, before);
    q->params[3] = COLUMN(DB_BALANCE, list, value);
    q->params[4] = COLUMN(DB_TIME, list, updated_us);
    q->params[5] = db_number(a->batch->at.number);
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

/* Outside of the transaction, and passing by what another process is pruning. A refusal waits for
 * the next time. */
static void pg_prune_changes(struct pg_batch *a, uint64_t newest, size_t added)
{
    struct db_query q = {
        .sql = "DELETE FROM trueup_changes WHERE id IN (SELECT id FROM "
               "trueup_changes WHERE id <= $1 ORDER BY id LIMIT $2 FOR UPDATE "
               "SKIP LOCKED)",
        .params = {db_number(newest - CHANGES_KEPT), db_number(added + 2 * CHANGES_STEP)}};
    if (newest / CHANGES_STEP != (newest - added) / CHANGES_STEP && newest > CHANGES_KEPT)
        pg_run(a->s, &q, 1, NULL, NULL);
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
    pg_update_rows(a, &out);
    pg_insert_rows(a, &out);
    pg_write_wallets(a, &out, pg_leaves_quarantine,
                     "DELETE FROM trueup_quarantine q USING unnest($2) u(w) WHERE q.balance = $1 "
                     "AND q.wallet = u.w");
    /* its event is still unanswered: up again at once */
    pg_write_wallets(a, &out, pg_stays_in_quarantine,
                     "UPDATE trueup_quarantine q SET retry_at = CURRENT_TIMESTAMP FROM unnest($2) "
                     "u(w) WHERE q.balance = $1 AND q.wallet = u.w");
    pg_quarantine_failures(a, &out);
    pg_write_wallets(a, &out, pg_has_its_row,
                     "UPDATE trueup_wallets l SET pending = false FROM unnest($2) u(w) WHERE "
                     "l.balance = $1 AND l.wallet = u.w AND l.pending AND EXISTS (SELECT 1 FROM "
                     "trueup_wallets WHERE balance = $1 AND pending)");
    pg_add_dirty(a, &out);
    pg_write_state(a, &out);
    size_t added = a->done.inserted + a->done.changed;
    if (pg_may_be_lost(a))
        pg_add_statement(a, &out, "SELECT set_config('synchronous_commit', 'off', true)", 0);
    size_t drift_at = out.n;
    if (a->done.drifted)
        pg_add_drift(a, &out);
    if (added)
        pg_add_changes(a, &out);
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
    if (newest >= added && added)
        pg_prune_changes(a, newest, added);
    return 0;
}
