/*
 * SQLite: one batch, one transaction. Row by row with prepared statements: in key order the pages
 * are in the cache, and a statement costs about a microsecond. So the statements of every row are
 * looked up once a batch (hot_statement), and the time is put into text once.
 */
#include "store/sqlite.h"

#include "base/err.h"
#include "store/times.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum hot {
    HOT_OLD,
    HOT_INSERT,
    HOT_CHANGE,
    HOT_CHANGE_BLOCK,
    HOT_REFRESH,
    HOT_REFRESH_BLOCK,
    HOT_BLOCK,
    N_HOT,
};

/* ?1 balance, ?2 now, ?3 observed_block, ?4 wallet, ?5 blocknumber. Each way of writing has its own
 * SET list: a trigger on a column fires when the column is in it. */
static const char *const hot_sql[N_HOT] = {
    [HOT_OLD] = "SELECT balance, blocknumber, updated_at, observed_block FROM \"%w\" WHERE wallet "
                "= ?4",
    [HOT_INSERT] = "INSERT INTO \"%w\" (balance, updated_at, created_at, observed_block, wallet, "
                   "blocknumber) VALUES (?1, ?2, ?2, ?3, ?4, ?5)",
    [HOT_CHANGE] = "UPDATE \"%w\" SET balance = ?1, updated_at = ?2, observed_block = ?3 WHERE "
                   "wallet = ?4",
    [HOT_CHANGE_BLOCK] = "UPDATE \"%w\" SET balance = ?1, updated_at = ?2, observed_block = ?3, "
                         "blocknumber = ?5 WHERE wallet = ?4",
    [HOT_REFRESH] = "UPDATE \"%w\" SET updated_at = ?2, observed_block = ?3 WHERE wallet = ?4",
    [HOT_REFRESH_BLOCK] =
        "UPDATE \"%w\" SET updated_at = ?2, observed_block = ?3, blocknumber = ?5 "
        "WHERE wallet = ?4",
    [HOT_BLOCK] = "UPDATE \"%w\" SET blocknumber = ?5 WHERE wallet = ?4",
};

struct apply {
    struct sq *s;
    const struct store_batch *batch;
    struct store_applied done;
    int64_t now_us;
    char now[TIME_TEXT];
    char wallet[ADDRESS_TEXT]; /* of the row at hand */
    bool any_waiting;          /* somebody is in quarantine at all */
    bool any_pending;          /* somebody on the list has no row yet */
    size_t n_changes;
    sqlite3_stmt *hot[N_HOT];
    struct err *err;
};

static sqlite3_stmt *hot_statement(struct apply *a, enum hot which)
{
    if (!a->hot[which])
        a->hot[which] = sq_prepare(a->s, a->err, hot_sql[which], a->batch->balance->table);
    if (a->hot[which])
        sqlite3_bind_text(a->hot[which], 4, a->wallet, ADDRESS_TEXT - 1, SQLITE_STATIC);
    return a->hot[which];
}

static int anchor_lives(struct apply *a, bool *ret)
{
    sqlite3_stmt *st = sq_prepare(a->s, a->err,
                                  "SELECT canonical FROM trueup_blocks WHERE "
                                  "number = ?1 AND hash = ?2");
    if (!st)
        return -1;
    sq_number(st, 1, true, a->batch->at.number);
    sq_hash(st, 2, &a->batch->at.hash);
    int rc = sq_step(a->s, st, a->err);
    if (rc < 0)
        return -1;
    *ret = rc == 1 && sqlite3_column_int(st, 0) != 0;
    sqlite3_reset(st);
    return 0;
}

/* The wallet's text is in a->wallet. */
static int read_old(struct apply *a, struct store_old *old)
{
    *old = (struct store_old){0};
    sqlite3_stmt *st = hot_statement(a, HOT_OLD);
    if (!st)
        return -1;
    int rc = sq_step(a->s, st, a->err);
    if (rc < 0)
        return -1;
    if (rc == 1) {
        old->existed = true;
        old->odd = !sq_get_balance(st, 0, &old->balance);
        old->has_blocknumber = sq_get_number(st, 1, &old->blocknumber);
        old->updated_us = sq_get_time(st, 2);
        old->has_observed = sq_get_number(st, 3, &old->observed_block);
    }
    sqlite3_reset(st);
    return 0;
}

static int read_debt(struct apply *a, const address *wallet, struct write_debt *debt)
{
    *debt = (struct write_debt){0};
    if (!a->any_waiting)
        return 0;
    sqlite3_stmt *st = sq_prepare(a->s, a->err,
                                  "SELECT event_block FROM trueup_quarantine WHERE "
                                  "balance = ?1 AND wallet = ?2");
    if (!st)
        return -1;
    sq_text(st, 1, a->batch->balance->name);
    sq_address(st, 2, wallet);
    int rc = sq_step(a->s, st, a->err);
    if (rc == 1) {
        debt->waiting = true;
        debt->has_event = sq_get_number(st, 0, &debt->event_block);
        sqlite3_reset(st);
    }
    return rc < 0 ? -1 : 0;
}

/* Leaves quarantine, or comes up again at once when its event is still unanswered. */
static int quarantine_pay_block(struct apply *a, const address *wallet, bool leaves)
{
    sqlite3_stmt *st = leaves ? sq_prepare(a->s, a->err,
                                           "DELETE FROM trueup_quarantine WHERE balance = ?1 AND "
                                           "wallet = ?2")
                              : sq_prepare(a->s, a->err,
                                           "UPDATE trueup_quarantine SET retry_at = ?3 WHERE "
                                           "balance = ?1 AND wallet = ?2");
    if (!st)
        return -1;
    sq_text(st, 1, a->batch->balance->name);
    sq_address(st, 2, wallet);
    if (!leaves)
        sq_time(st, 3, a->now_us);
    return sq_run(a->s, st, a->err);
}

static int is_listed(struct apply *a, const address *wallet, bool *ret)
{
    sqlite3_stmt *st = sq_prepare(a->s, a->err,
                                  "SELECT 1 FROM trueup_wallets WHERE balance = ?1 "
                                  "AND wallet = ?2");
    if (!st)
        return -1;
    sq_text(st, 1, a->batch->balance->name);
    sq_address(st, 2, wallet);
    int rc = sq_step(a->s, st, a->err);
    *ret = rc == 1;
    if (rc == 1)
        sqlite3_reset(st);
    return rc < 0 ? -1 : 0;
}

static int no_longer_pending(struct apply *a, const address *wallet)
{
    sqlite3_stmt *st = sq_prepare(a->s, a->err,
                                  "UPDATE trueup_wallets SET pending = 0 WHERE "
                                  "balance = ?1 AND wallet = ?2 AND pending");
    if (!st)
        return -1;
    sq_text(st, 1, a->batch->balance->name);
    sq_address(st, 2, wallet);
    return sq_run(a->s, st, a->err);
}

static enum hot way_of(const struct write_plan *plan)
{
    switch (plan->outcome) {
    case OUTCOME_INSERTED:
        return HOT_INSERT;
    case OUTCOME_CHANGED:
        return plan->set_blocknumber ? HOT_CHANGE_BLOCK : HOT_CHANGE;
    case OUTCOME_REFRESHED:
        return plan->set_blocknumber ? HOT_REFRESH_BLOCK : HOT_REFRESH;
    case OUTCOME_OLDER:
        return plan->set_blocknumber ? HOT_BLOCK : N_HOT;
    case OUTCOME_ABSENT:
        break;
    }
    return N_HOT;
}

static int write_row(struct apply *a, const struct store_write *w, const struct write_plan *plan)
{
    enum hot way = way_of(plan);
    if (way == N_HOT)
        return 0;
    sqlite3_stmt *st = hot_statement(a, way);
    if (!st)
        return -1;
    char value[U256_DEC_ROOM];
    if (way == HOT_INSERT || way == HOT_CHANGE || way == HOT_CHANGE_BLOCK) {
        u256_to_dec(&w->value, value);
        sq_text(st, 1, value);
    }
    if (way != HOT_BLOCK) {
        sqlite3_bind_text(st, 2, a->now, TIME_TEXT - 1, SQLITE_STATIC);
        sq_number(st, 3, true, a->batch->at.number);
    }
    if (plan->set_blocknumber || way == HOT_INSERT)
        sq_number(st, 5, plan->set_blocknumber, plan->blocknumber);
    return sq_run(a->s, st, a->err);
}

static int write_change(struct apply *a, const struct store_write *w, const struct store_old *old)
{
    char value[U256_DEC_ROOM];
    sqlite3_stmt *st = sq_prepare(a->s, a->err,
                                  "INSERT INTO trueup_changes (balance, wallet, old, "
                                  "new, block, cause, at) VALUES (?1, ?2, ?3, ?4, "
                                  "?5, ?6, ?7)");
    if (!st)
        return -1;
    sq_text(st, 1, a->batch->balance->name);
    sq_address(st, 2, &w->wallet);
    if (old->existed && !old->odd) {
        u256_to_dec(&old->balance, value);
        sq_text(st, 3, value);
    }
    u256_to_dec(&w->value, value);
    sq_text(st, 4, value);
    sq_number(st, 5, true, a->batch->at.number);
    sq_text(st, 6, store_cause_name(a->batch->cause));
    sq_time(st, 7, a->now_us);
    a->n_changes++;
    return sq_run(a->s, st, a->err);
}

static int write_drift(struct apply *a, const struct store_write *w, struct store_old *old)
{
    char value[U256_DEC_ROOM];
    sqlite3_stmt *st = sq_prepare(a->s, a->err,
                                  "INSERT INTO trueup_drift (balance, wallet, stored, actual, "
                                  "block, cause, age, found_at) VALUES (?1, ?2, ?3, ?4, ?5, "
                                  "'unknown', ?6, ?7)");
    if (!st)
        return -1;
    sq_text(st, 1, a->batch->balance->name);
    sq_address(st, 2, &w->wallet);
    u256_to_dec(&old->balance, value);
    sq_text(st, 3, value);
    u256_to_dec(&w->value, value);
    sq_text(st, 4, value);
    sq_number(st, 5, true, a->batch->at.number);
    int64_t age_us = a->now_us - old->updated_us;
    sq_number(st, 6, true, age_us > 0 ? (uint64_t)age_us / 1000000 : 0);
    sq_time(st, 7, a->now_us);
    if (sq_run(a->s, st, a->err) != 0)
        return -1;
    old->drifted = true;
    old->drift_id = (uint64_t)sqlite3_last_insert_rowid(a->s->db);
    a->done.drifted++;
    return 0;
}

static int apply_write(struct apply *a, const struct store_write *w, struct store_old *old)
{
    struct write_debt debt;
    address_text(&w->wallet, a->wallet);
    if (read_old(a, old) != 0 || read_debt(a, &w->wallet, &debt) != 0)
        return -1;
    struct write_plan plan = write_decide(w, old, &debt, a->batch->at.number);
    if (plan.outcome == OUTCOME_INSERTED) {
        bool may = w->insert == INSERT_ALWAYS;
        if (w->insert == INSERT_IF_LISTED && is_listed(a, &w->wallet, &may) != 0)
            return -1;
        if (!may)
            plan.outcome = OUTCOME_ABSENT;
    }
    old->outcome = plan.outcome;
    size_t *const counts[] = {
        [OUTCOME_INSERTED] = &a->done.inserted,   [OUTCOME_CHANGED] = &a->done.changed,
        [OUTCOME_REFRESHED] = &a->done.refreshed, [OUTCOME_OLDER] = &a->done.older,
        [OUTCOME_ABSENT] = &a->done.absent,
    };
    ++*counts[plan.outcome];
    if (plan.outcome != OUTCOME_ABSENT && write_row(a, w, &plan) != 0)
        return -1;
    if (debt.waiting && quarantine_pay_block(a, &w->wallet, plan.leaves_quarantine) != 0)
        return -1;
    if (a->any_pending && w->insert != INSERT_NEVER && plan.outcome != OUTCOME_ABSENT &&
        no_longer_pending(a, &w->wallet) != 0)
        return -1;
    if (write_is_drift(a->batch, old, &debt) && write_drift(a, w, old) != 0)
        return -1;
    if (plan.outcome == OUTCOME_INSERTED || plan.outcome == OUTCOME_CHANGED)
        return write_change(a, w, old);
    return 0;
}

static int apply_failure(struct apply *a, const struct store_failure *f)
{
    sqlite3_stmt *st = sq_prepare(a->s, a->err,
                                  "SELECT failures FROM trueup_quarantine WHERE "
                                  "balance = ?1 AND wallet = ?2");
    if (!st)
        return -1;
    unsigned failures = 1;
    sq_text(st, 1, a->batch->balance->name);
    sq_address(st, 2, &f->wallet);
    int rc = sq_step(a->s, st, a->err);
    if (rc < 0)
        return -1;
    if (rc == 1)
        failures = (unsigned)sqlite3_column_int(st, 0) + 1;
    sqlite3_reset(st);
    /* max(NULL, 5) is NULL here, hence the coalesce on both sides */
    st = sq_prepare(a->s, a->err,
                    "INSERT INTO trueup_quarantine (balance, wallet, failures, reason, "
                    "event_block, retry_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (balance, "
                    "wallet) DO UPDATE SET failures = excluded.failures, reason = excluded.reason, "
                    "retry_at = excluded.retry_at, event_block = "
                    "max(coalesce(event_block, excluded.event_block), "
                    "coalesce(excluded.event_block, event_block))");
    if (!st)
        return -1;
    sq_text(st, 1, a->batch->balance->name);
    sq_address(st, 2, &f->wallet);
    sqlite3_bind_int64(st, 3, failures);
    sq_text(st, 4, f->reason);
    sq_number(st, 5, f->has_event, f->event_block);
    sq_time(st, 6, a->now_us + quarantine_wait_us(failures, &a->s->base.rng));
    a->done.quarantined++;
    return sq_run(a->s, st, a->err);
}

static int apply_dirty(struct apply *a, const struct store_dirty *d)
{
    sqlite3_stmt *st = sq_prepare(a->s, a->err,
                                  "INSERT OR IGNORE INTO trueup_dirty (balance, "
                                  "wallet, number, hash) VALUES (?1, ?2, ?3, ?4)");
    if (!st)
        return -1;
    sq_text(st, 1, a->batch->balance->name);
    sq_address(st, 2, &d->wallet);
    sq_number(st, 3, true, d->number);
    sq_hash(st, 4, &d->hash);
    return sq_run(a->s, st, a->err);
}

static int apply_checkpoint(struct apply *a)
{
    const struct store_balance *b = a->batch->balance;
    char key[STATE_KEY], text[24];
    sqlite3_stmt *st = sq_prepare(a->s, a->err,
                                  "INSERT INTO eth_indexer_checkpoints (name, last_block, "
                                  "updated_at) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO UPDATE "
                                  "SET last_block = max(last_block, excluded.last_block), "
                                  "updated_at = excluded.updated_at RETURNING last_block");
    if (!st)
        return -1;
    sq_text(st, 1, b->checkpoint);
    sq_number(st, 2, true, a->batch->checkpoint);
    sq_time(st, 3, a->now_us);
    if (sq_step(a->s, st, a->err) != 1)
        return -1;
    snprintf(text, sizeof text, "%" PRId64, (int64_t)sqlite3_column_int64(st, 0));
    if (sq_run(a->s, st, a->err) != 0)
        return -1;
    state_key(key, "checkpoint", b->name, NULL);
    return sq_state_set(a->s, key, text, a->err);
}

/* The newest time that is ours, so that what is newer can be told to be another's. */
static int apply_mark(struct apply *a)
{
    char key[STATE_KEY];
    state_key(key, "wrote", a->batch->balance->name, a->s->base.who);
    sqlite3_stmt *st = sq_prepare(a->s, a->err,
                                  "INSERT INTO trueup_state (key, value) VALUES (?1, ?2) ON "
                                  "CONFLICT (key) DO UPDATE SET value = max(value, "
                                  "excluded.value)");
    if (!st)
        return -1;
    sq_text(st, 1, key);
    sq_time(st, 2, a->now_us);
    return sq_run(a->s, st, a->err);
}

static int prune_changes(struct apply *a)
{
    int64_t last = sqlite3_last_insert_rowid(a->s->db);
    if (a->n_changes == 0 || last / CHANGES_STEP == (last - (int64_t)a->n_changes) / CHANGES_STEP)
        return 0;
    sqlite3_stmt *st = sq_prepare(a->s, a->err,
                                  "DELETE FROM trueup_changes WHERE id IN (SELECT id FROM "
                                  "trueup_changes WHERE id <= ?1 ORDER BY id LIMIT ?2)");
    if (!st)
        return -1;
    sqlite3_bind_int64(st, 1, last - CHANGES_KEPT);
    sqlite3_bind_int64(st, 2, (int64_t)a->n_changes + 2 * CHANGES_STEP);
    return sq_run(a->s, st, a->err);
}

/* Whether a query by the balance's name has a row: asked once, to spare a look a row. */
static int any(struct apply *a, const char *sql, bool *ret)
{
    sqlite3_stmt *st = sq_prepare(a->s, a->err, sql);
    if (!st)
        return -1;
    sq_text(st, 1, a->batch->balance->name);
    int rc = sq_step(a->s, st, a->err);
    if (rc < 0)
        return -1;
    *ret = rc == 1;
    sqlite3_reset(st);
    return 0;
}

static int apply_all(struct apply *a)
{
    const struct store_batch *b = a->batch;
    if (any(a, "SELECT 1 FROM trueup_quarantine WHERE balance = ?1 LIMIT 1", &a->any_waiting) !=
            0 ||
        any(a, "SELECT 1 FROM trueup_wallets WHERE balance = ?1 AND pending LIMIT 1",
            &a->any_pending) != 0)
        return -1;
    for (size_t i = 0; i < b->n_writes; i++)
        if (apply_write(a, &b->writes[i], &a->done.olds[i]) != 0)
            return -1;
    if (prune_changes(a) != 0)
        return -1;
    for (size_t i = 0; i < b->n_failures; i++)
        if (apply_failure(a, &b->failures[i]) != 0)
            return -1;
    for (size_t i = 0; i < b->n_dirty; i++)
        if (apply_dirty(a, &b->dirty[i]) != 0)
            return -1;
    if (b->has_checkpoint && apply_checkpoint(a) != 0)
        return -1;
    return b->n_writes ? apply_mark(a) : 0;
}

int sq_apply(struct store *store, const struct store_batch *batch, struct arena *arena,
             struct store_applied *ret, struct err *err)
{
    struct apply a = {.s = sq_of(store), .batch = batch, .err = err};
    bool lives;
    if (sq_begin(a.s, err) != 0)
        return -1;
    a.now_us = sq_now_us();
    time_to_text(a.now_us, a.now);
    if (anchor_lives(&a, &lives) != 0)
        return sq_rollback(a.s);
    if (!lives) {
        sq_rollback(a.s);
        *ret = (struct store_applied){.anchor_gone = true};
        return 0;
    }
    a.done.olds = arena_zero(arena, batch->n_writes, sizeof *a.done.olds);
    if (apply_all(&a) != 0)
        return sq_rollback(a.s);
    if (sq_commit(a.s, err) != 0)
        return -1;
    *ret = a.done;
    return 0;
}

int sq_checkpoint_get(struct store *store, const struct store_balance *b, uint64_t *ret,
                      bool *ret_found, struct err *err)
{
    struct sq *s = sq_of(store);
    sqlite3_stmt *st =
        sq_prepare(s, err, "SELECT last_block FROM eth_indexer_checkpoints WHERE name = ?1");
    if (!st)
        return -1;
    sq_text(st, 1, b->checkpoint);
    int rc = sq_step(s, st, err);
    if (rc < 0)
        return -1;
    *ret_found = rc == 1 && sq_get_number(st, 0, ret);
    sqlite3_reset(st);
    return 0;
}
