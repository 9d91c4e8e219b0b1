/*
 * PostgreSQL: the second round trip of a batch. What the rule decided becomes at most a statement a
 * kind, in the order in which locks are taken, and the commit.
 */
#include "store/pg_apply.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Taken last in a transaction that adds to trueup_changes, so that ids are handed out in the order
 * of commits, and whoever follows them by id misses none. */
#define CHANGES_LOCK "SELECT pg_advisory_xact_lock(8390895923146846977)"

enum { WRITES_MAX = 20 };

/* ---- second round trip ----------------------------------------------------------------------- */

struct writes { /* the statements of the second round trip, in the order of locks */
    struct pg_command c[WRITES_MAX];
    size_t n;
};

static struct pg_params *statement(struct apply *a, struct writes *out, const char *sql)
{
    struct pg_command *c = &out->c[out->n++];
    *c = (struct pg_command){.sql = sql, .params.arena = a->scratch, .prepare = true};
    return &c->params;
}

/* The four ways an existing row is written: each has its own SET list, for an application's trigger
 * on a column fires when the column is in it. */
enum way { WAY_NONE, WAY_CHANGED, WAY_REFRESHED, WAY_REFRESHED_BLOCK, WAY_BLOCK };

static enum way way_of(const struct write_plan *plan)
{
    switch (plan->outcome) {
    case OUTCOME_CHANGED:
        return WAY_CHANGED;
    case OUTCOME_REFRESHED:
        return plan->set_blocknumber ? WAY_REFRESHED_BLOCK : WAY_REFRESHED;
    case OUTCOME_OLDER:
        return plan->set_blocknumber ? WAY_BLOCK : WAY_NONE;
    case OUTCOME_INSERTED:
    case OUTCOME_ABSENT:
        break;
    }
    return WAY_NONE;
}

static void update_rows(struct apply *a, struct writes *out, enum way way, size_t expected)
{
    static const char *const sets[] = {
        [WAY_CHANGED] = "balance = u.v, updated_at = CURRENT_TIMESTAMP, observed_block = $3, "
                        "blocknumber = coalesce(u.b, t.blocknumber)",
        [WAY_REFRESHED] = "updated_at = CURRENT_TIMESTAMP, observed_block = $3",
        [WAY_REFRESHED_BLOCK] = "updated_at = CURRENT_TIMESTAMP, observed_block = $3, "
                                "blocknumber = u.b",
        [WAY_BLOCK] = "blocknumber = u.b",
    };
    const struct store_batch *b = a->batch;
    struct pg_array tid, wallet, block, value;
    bool with_block = way != WAY_REFRESHED, with_value = way == WAY_CHANGED;
    pg_array_begin(&tid, a->scratch, PG_TID, expected);
    pg_array_begin(&wallet, a->scratch, PG_TEXT, expected);
    pg_array_begin(&block, a->scratch, PG_INT8, with_block ? expected : 0);
    pg_array_begin(&value, a->scratch, PG_NUMERIC, with_value ? expected : 0);
    for (size_t i = 0; i < b->n_writes; i++) {
        if (way_of(&a->rows[i].plan) != way)
            continue;
        pg_array_tid(&tid, a->rows[i].tid);
        pg_array_address(&wallet, &b->writes[i].wallet);
        if (with_block && a->rows[i].plan.set_blocknumber)
            pg_array_int(&block, a->rows[i].plan.blocknumber);
        else if (with_block)
            pg_array_null(&block);
        if (with_value)
            pg_array_number(&value, &b->writes[i].value);
    }
    const char *source = with_value   ? "unnest($1, $2, $4, $5) u(c, w, b, v)"
                         : with_block ? "unnest($1, $2, $4) u(c, w, b)"
                                      : "unnest($1, $2) u(c, w)";
    struct pg_params *p = statement(
        a, out,
        arena_printf(a->scratch,
                     "UPDATE %s t SET %s FROM %s WHERE t.ctid = u.c AND t.wallet = u.w%s", a->table,
                     sets[way], source, way == WAY_BLOCK ? " AND $3 IS NOT NULL" : ""));
    pg_p_array(p, &tid);
    pg_p_array(p, &wallet);
    pg_p_int(p, true, b->at.number);
    if (with_block)
        pg_p_array(p, &block);
    if (with_value)
        pg_p_array(p, &value);
}

static void insert_rows(struct apply *a, struct writes *out)
{
    const struct store_batch *b = a->batch;
    struct pg_array wallet, value, block;
    pg_array_begin(&wallet, a->scratch, PG_TEXT, a->done.inserted);
    pg_array_begin(&value, a->scratch, PG_NUMERIC, a->done.inserted);
    pg_array_begin(&block, a->scratch, PG_INT8, a->done.inserted);
    for (size_t i = 0; i < b->n_writes; i++) {
        const struct write_plan *plan = &a->rows[i].plan;
        if (plan->outcome != OUTCOME_INSERTED)
            continue;
        pg_array_address(&wallet, &b->writes[i].wallet);
        pg_array_number(&value, &b->writes[i].value);
        if (plan->set_blocknumber)
            pg_array_int(&block, plan->blocknumber);
        else
            pg_array_null(&block);
    }
    struct pg_params *p = statement(
        a, out,
        arena_printf(a->scratch,
                     "INSERT INTO %s (wallet, balance, blocknumber, updated_at, created_at, "
                     "observed_block) SELECT u.w, u.v, u.b, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP, "
                     "$4 FROM unnest($1, $2, $3) u(w, v, b)",
                     a->table));
    pg_p_array(p, &wallet);
    pg_p_array(p, &value);
    pg_p_array(p, &block);
    pg_p_int(p, true, b->at.number);
}

static void quarantine_pay_blocks(struct apply *a, struct writes *out, bool leaving,
                                  const char *sql)
{
    const struct store_batch *b = a->batch;
    struct pg_array wallet;
    size_t n = 0;
    for (size_t i = 0; i < b->n_writes; i++)
        n += a->rows[i].debt.waiting && a->rows[i].plan.leaves_quarantine == leaving;
    if (n == 0)
        return;
    pg_array_begin(&wallet, a->scratch, PG_TEXT, n);
    for (size_t i = 0; i < b->n_writes; i++)
        if (a->rows[i].debt.waiting && a->rows[i].plan.leaves_quarantine == leaving)
            pg_array_address(&wallet, &b->writes[i].wallet);
    struct pg_params *p = statement(a, out, sql);
    pg_p_text(p, b->balance->name);
    pg_p_array(p, &wallet);
}

static void quarantine_failures(struct apply *a, struct writes *out)
{
    const struct store_batch *b = a->batch;
    struct pg_array wallet, failures, reason, block, wait;
    pg_array_begin(&wallet, a->scratch, PG_TEXT, b->n_failures);
    pg_array_begin(&failures, a->scratch, PG_INT8, b->n_failures);
    pg_array_begin(&reason, a->scratch, PG_TEXT, b->n_failures * PG_TEXT_ROOM);
    pg_array_begin(&block, a->scratch, PG_INT8, b->n_failures);
    pg_array_begin(&wait, a->scratch, PG_INT8, b->n_failures);
    for (size_t i = 0; i < b->n_failures; i++) {
        const struct store_failure *f = &b->failures[i];
        unsigned n = a->failures[i] + 1;
        pg_array_address(&wallet, &f->wallet);
        pg_array_int(&failures, n);
        pg_array_text(&reason, f->reason, strlen(f->reason));
        if (f->has_event)
            pg_array_int(&block, f->event_block);
        else
            pg_array_null(&block);
        pg_array_int(&wait, (uint64_t)quarantine_wait_us(n, &a->s->base.rng));
    }
    struct pg_params *p = statement(
        a, out,
        "INSERT INTO trueup_quarantine AS q (balance, wallet, failures, reason, event_block, "
        "retry_at) SELECT $1, u.w, u.f, u.r, u.b, CURRENT_TIMESTAMP + u.t * interval '1 "
        "microsecond' FROM unnest($2, $3, $4, $5, $6) u(w, f, r, b, t) ON CONFLICT (balance, "
        "wallet) DO UPDATE SET failures = excluded.failures, reason = excluded.reason, retry_at = "
        "excluded.retry_at, event_block = greatest(q.event_block, excluded.event_block)");
    pg_p_text(p, b->balance->name);
    pg_p_array(p, &wallet);
    pg_p_array(p, &failures);
    pg_p_array(p, &reason);
    pg_p_array(p, &block);
    pg_p_array(p, &wait);
    a->done.quarantined = b->n_failures;
}

static void clear_pending(struct apply *a, struct writes *out)
{
    const struct store_batch *b = a->batch;
    struct pg_array wallet;
    pg_array_begin(&wallet, a->scratch, PG_TEXT, b->n_writes);
    for (size_t i = 0; i < b->n_writes; i++)
        if (b->writes[i].insert != INSERT_NEVER && a->rows[i].plan.outcome != OUTCOME_ABSENT)
            pg_array_address(&wallet, &b->writes[i].wallet);
    if (wallet.n == 0)
        return;
    struct pg_params *p =
        statement(a, out,
                  "UPDATE trueup_wallets l SET pending = false FROM unnest($2) u(w) WHERE "
                  "l.balance = $1 AND l.wallet = u.w AND l.pending AND EXISTS (SELECT 1 FROM "
                  "trueup_wallets WHERE balance = $1 AND pending)");
    pg_p_text(p, b->balance->name);
    pg_p_array(p, &wallet);
}

static void add_dirty(struct apply *a, struct writes *out)
{
    const struct store_batch *b = a->batch;
    struct pg_array wallet, number, hash;
    pg_array_begin(&wallet, a->scratch, PG_TEXT, b->n_dirty);
    pg_array_begin(&number, a->scratch, PG_INT8, b->n_dirty);
    pg_array_begin(&hash, a->scratch, PG_TEXT, b->n_dirty);
    for (size_t i = 0; i < b->n_dirty; i++) {
        pg_array_address(&wallet, &b->dirty[i].wallet);
        pg_array_int(&number, b->dirty[i].number);
        pg_array_hash(&hash, &b->dirty[i].hash);
    }
    struct pg_params *p = statement(a, out,
                                    "INSERT INTO trueup_dirty (balance, wallet, number, hash) "
                                    "SELECT $1, u.w, u.n, u.h FROM unnest($2, $3, $4) u(w, n, h) "
                                    "ORDER BY u.n, u.w, u.h ON CONFLICT DO NOTHING");
    pg_p_text(p, b->balance->name);
    pg_p_array(p, &wallet);
    pg_p_array(p, &number);
    pg_p_array(p, &hash);
}

static void move_checkpoint(struct apply *a, struct writes *out)
{
    char key[STATE_KEY];
    const struct store_balance *b = a->batch->balance;
    struct pg_params *p = statement(
        a, out,
        "WITH moved AS (INSERT INTO eth_indexer_checkpoints AS c (name, last_block, updated_at) "
        "VALUES ($1, $2, CURRENT_TIMESTAMP) ON CONFLICT (name) DO UPDATE SET last_block = "
        "greatest(c.last_block, excluded.last_block), updated_at = CURRENT_TIMESTAMP RETURNING "
        "last_block) INSERT INTO trueup_state (key, value) SELECT $3, last_block::text FROM moved "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value");
    pg_p_text(p, b->checkpoint);
    pg_p_int(p, true, a->batch->checkpoint);
    state_key(key, "checkpoint", b->name, NULL);
    pg_p_text(p, key);
}

/* The newest time that is ours, so that what is newer can be told to be another's. A key for each
 * connection's name: follow and sweep do not wait for each other's mark. */
static void leave_mark(struct apply *a, struct writes *out)
{
    char key[STATE_KEY];
    struct pg_params *p =
        statement(a, out,
                  "INSERT INTO trueup_state AS s (key, value) VALUES ($1, to_char("
                  "CURRENT_TIMESTAMP, 'YYYY-MM-DD HH24:MI:SS.US')) ON CONFLICT (key) DO UPDATE "
                  "SET value = greatest(s.value, excluded.value)");
    state_key(key, "wrote", a->batch->balance->name, a->s->base.who);
    pg_p_text(p, key);
}

static void add_changes(struct apply *a, struct writes *out)
{
    const struct store_batch *b = a->batch;
    size_t n = a->done.inserted + a->done.changed;
    struct pg_array wallet, before, after;
    pg_array_begin(&wallet, a->scratch, PG_TEXT, n);
    pg_array_begin(&before, a->scratch, PG_NUMERIC, n);
    pg_array_begin(&after, a->scratch, PG_NUMERIC, n);
    for (size_t i = 0; i < b->n_writes; i++) {
        const struct store_old *old = &a->done.olds[i];
        if (old->outcome != OUTCOME_INSERTED && old->outcome != OUTCOME_CHANGED)
            continue;
        pg_array_address(&wallet, &b->writes[i].wallet);
        if (old->existed && !old->odd)
            pg_array_number(&before, &old->balance);
        else
            pg_array_null(&before);
        pg_array_number(&after, &b->writes[i].value);
    }
    statement(a, out, CHANGES_LOCK);
    struct pg_params *p = statement(
        a, out,
        "WITH added AS (INSERT INTO trueup_changes (balance, wallet, old, new, block, cause, at) "
        "SELECT $1, u.w, u.o, u.n, $5, $6, CURRENT_TIMESTAMP FROM unnest($2, $3, $4) u(w, o, n) "
        "RETURNING id) SELECT max(id) FROM added");
    pg_p_text(p, b->balance->name);
    pg_p_array(p, &wallet);
    pg_p_array(p, &before);
    pg_p_array(p, &after);
    pg_p_int(p, true, b->at.number);
    pg_p_text(p, store_cause_name(b->cause));
}

static void add_drift(struct apply *a, struct writes *out)
{
    const struct store_batch *b = a->batch;
    struct pg_array wallet, stored, actual, updated;
    pg_array_begin(&wallet, a->scratch, PG_TEXT, a->done.drifted);
    pg_array_begin(&stored, a->scratch, PG_NUMERIC, a->done.drifted);
    pg_array_begin(&actual, a->scratch, PG_NUMERIC, a->done.drifted);
    pg_array_begin(&updated, a->scratch, PG_TIMESTAMPTZ, a->done.drifted);
    for (size_t i = 0; i < b->n_writes; i++) {
        if (!a->done.olds[i].drifted)
            continue;
        pg_array_address(&wallet, &b->writes[i].wallet);
        pg_array_number(&stored, &a->done.olds[i].balance);
        pg_array_number(&actual, &b->writes[i].value);
        pg_array_time(&updated, a->done.olds[i].updated_us);
    }
    struct pg_params *p = statement(
        a, out,
        "INSERT INTO trueup_drift (balance, wallet, stored, actual, block, cause, age) SELECT $1, "
        "u.w, u.s, u.a, $6, 'unknown', greatest(0, extract(epoch FROM CURRENT_TIMESTAMP - "
        "u.t))::bigint FROM unnest($2, $3, $4, $5) u(w, s, a, t) RETURNING id, wallet");
    pg_p_text(p, b->balance->name);
    pg_p_array(p, &wallet);
    pg_p_array(p, &stored);
    pg_p_array(p, &actual);
    pg_p_array(p, &updated);
    pg_p_int(p, true, b->at.number);
}

static void take_drift(struct apply *a, const PGresult *res)
{
    const struct store_batch *b = a->batch;
    for (int i = 0; i < PQntuples(res); i++) {
        address wallet;
        if (!pg_get_address(res, i, 1, &wallet))
            continue;
        const struct store_write *w =
            bsearch(&wallet, b->writes, b->n_writes, sizeof *b->writes, pg_compare_write);
        if (w)
            pg_get_int(res, i, 0, &a->done.olds[w - b->writes].drift_id);
    }
}

/* Outside of the transaction, and passing by what another process is pruning. A refusal waits for
 * the next time. */
static void prune_changes(struct apply *a, uint64_t newest, size_t added)
{
    if (newest / CHANGES_STEP == (newest - added) / CHANGES_STEP || newest <= CHANGES_KEPT)
        return;
    struct pg_command c = {.sql = "DELETE FROM trueup_changes WHERE id IN (SELECT id FROM "
                                  "trueup_changes WHERE id <= $1 ORDER BY id LIMIT $2 FOR UPDATE "
                                  "SKIP LOCKED)",
                           .params.arena = a->scratch};
    pg_p_int(&c.params, true, newest - CHANGES_KEPT);
    pg_p_int(&c.params, true, added + 2 * CHANGES_STEP);
    PQclear(pg_query(a->s, &c, NULL));
}

static void plan_rows(struct apply *a, struct writes *out)
{
    size_t n[WAY_BLOCK + 1] = {0};
    for (size_t i = 0; i < a->batch->n_writes; i++)
        n[way_of(&a->rows[i].plan)]++;
    for (enum way way = WAY_CHANGED; way <= WAY_BLOCK; way++)
        if (n[way])
            update_rows(a, out, way, n[way]);
    if (a->done.inserted)
        insert_rows(a, out);
}

/* May the commit be lost in a crash of the server? A refresh may: the row is then as anchored as it
 * was, and is read again. What answers an event may not, for the checkpoint vouches for it. Waiting
 * for the disk is a third of a full pass. */
static bool may_be_lost(const struct apply *a)
{
    const struct store_batch *b = a->batch;
    if (b->cause != CAUSE_SWEEP || b->n_failures || b->n_dirty || b->has_checkpoint)
        return false;
    for (size_t i = 0; i < b->n_writes; i++)
        if (b->writes[i].has_event || a->rows[i].debt.waiting)
            return false;
    return true;
}

int pg_write_and_commit(struct apply *a)
{
    struct writes out = {.n = 0};
    PGresult *res[WRITES_MAX];
    const struct store_batch *b = a->batch;
    plan_rows(a, &out);
    quarantine_pay_blocks(
        a, &out, true,
        "DELETE FROM trueup_quarantine q USING unnest($2) u(w) WHERE q.balance = $1 AND "
        "q.wallet = u.w");
    quarantine_pay_blocks(
        a, &out, false, /* its event is still unanswered: up again at once */
        "UPDATE trueup_quarantine q SET retry_at = CURRENT_TIMESTAMP FROM unnest($2) u(w) "
        "WHERE q.balance = $1 AND q.wallet = u.w");
    if (b->n_failures)
        quarantine_failures(a, &out);
    clear_pending(a, &out);
    if (b->n_dirty)
        add_dirty(a, &out);
    if (b->has_checkpoint)
        move_checkpoint(a, &out);
    if (b->n_writes)
        leave_mark(a, &out);
    size_t added = a->done.inserted + a->done.changed;
    if (may_be_lost(a))
        statement(a, &out, "SELECT set_config('synchronous_commit', 'off', true)");
    size_t drift_at = out.n;
    if (a->done.drifted)
        add_drift(a, &out);
    size_t changes_at = out.n; /* the answer with the newest id, where anything changed */
    if (added) {
        add_changes(a, &out);
        changes_at = out.n - 1;
    }
    statement(a, &out, "COMMIT");
    if (pg_run(a->s, out.c, out.n, res, a->err) != 0)
        return -1;
    uint64_t newest = 0;
    if (a->done.drifted)
        take_drift(a, res[drift_at]);
    if (added && PQntuples(res[changes_at]) > 0)
        pg_get_int(res[changes_at], 0, 0, &newest);
    pg_clear(res, out.n);
    if (newest >= added && added)
        prune_changes(a, newest, added);
    return 0;
}
