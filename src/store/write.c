/* What is written with the rows of a batch, the same on both databases. */
#include "store/write.h"

#include "base/clock.h"

#include <stddef.h>
#include <string.h>

void write_batch_begin(struct write_batch *a)
{
    const struct store_batch *b = a->batch;
    a->rows = arena_zero(a->scratch, b->n_writes, sizeof *a->rows);
    a->failures = arena_zero(a->scratch, b->n_failures, sizeof *a->failures);
    a->warned = NULL;
    a->done =
        (struct store_applied){.olds = arena_zero(a->arena, b->n_writes, sizeof *a->done.olds)};
}

void write_assign_steps(const struct write_batch *a, struct write_list *out)
{
    const struct store_batch *b = a->batch;
    out->has = arena_alloc(a->scratch, b->n_writes * sizeof *out->has);
    for (size_t i = 0; i < b->n_writes; i++) {
        const struct write_plan *plan = &a->rows[i].plan;
        bool waiting = a->rows[i].debt.waiting, block = plan->set_blocknumber;
        bool refreshed = plan->outcome == OUTCOME_REFRESHED && !plan->rewrites;
        bool changed = plan->outcome == OUTCOME_CHANGED;
        bool inserted = plan->outcome == OUTCOME_INSERTED;
        const bool has[N_STEPS] = {
            [STEP_CHANGE] = changed || plan->rewrites,
            [STEP_REFRESH] = refreshed && !block,
            [STEP_REFRESH_BLOCK] = refreshed && block,
            [STEP_BLOCK] = plan->outcome == OUTCOME_OLDER && block,
            [STEP_INSERT] = inserted && b->writes[i].insert != INSERT_IF_LISTED,
            [STEP_INSERT_LISTED] = inserted && b->writes[i].insert == INSERT_IF_LISTED,
            [STEP_LEAVE_QUARANTINE] = waiting && plan->leaves_quarantine,
            [STEP_STAY_IN_QUARANTINE] = waiting && !plan->leaves_quarantine,
            [STEP_LEAVE_PENDING] =
                b->writes[i].insert != INSERT_NEVER && plan->outcome != OUTCOME_ABSENT,
            [STEP_DRIFT] = a->done.olds[i].drifted,
            [STEP_LOG_CHANGE] = inserted || changed,
            [STEP_UNANCHOR] = plan->outcome == OUTCOME_ALTERED,
        };
        memcpy(out->has[i], has, sizeof has);
        for (int step = 0; step < N_STEPS; step++)
            out->rows[step] += has[step];
    }
}

void write_mark_altered(struct write_batch *a, size_t i, const char *held)
{
    struct write_plan *plan = &a->rows[i].plan;
    struct store_old *old = &a->done.olds[i];
    char value[U256_DEC_ROOM];
    size_t *count = plan->outcome == OUTCOME_INSERTED  ? &a->done.inserted
                    : plan->outcome == OUTCOME_CHANGED ? &a->done.changed
                                                       : &a->done.refreshed;
    --*count;
    a->done.altered++;
    a->done.drifted -= old->drifted;
    old->drifted = false;
    old->outcome = plan->outcome = OUTCOME_ALTERED;
    plan->leaves_quarantine = plan->rewrites = false;
    u256_to_dec(&a->batch->writes[i].value, value);
    old->altered = held ? arena_printf(a->arena, "it holds %s where %s was read", held, value)
                        : arena_printf(a->arena, "it has no row where %s was read", value);
}

struct db_query *write_add_statement(const struct write_batch *a, struct write_list *out,
                                     const char *sql, size_t set)
{
    struct db_query *q = &out->q[out->n++];
    *q = (struct db_query){.sql = sql, .b = a->batch->balance, .set = set, .hot = true};
    return q;
}

/* What a statement needs of each write that it is for; a column of the set each. */
struct write_values {
    uint8_t tid[TID_SIZE], xid[XID_SIZE];
    address wallet;
    u256 value, before;
    uint64_t block;
    bool has_block, has_before;
    int64_t updated_us;
};

static struct write_values *write_select_rows(const struct write_batch *a,
                                              const struct write_list *out, enum write_step step)
{
    const struct store_batch *b = a->batch;
    struct write_values *list = arena_alloc(a->scratch, out->rows[step] * sizeof *list);
    struct write_values *row = list;
    for (size_t i = 0; i < b->n_writes; i++) {
        const struct store_old *old = &a->done.olds[i];
        if (!out->has[i][step])
            continue;
        *row = (struct write_values){.wallet = b->writes[i].wallet,
                                     .value = b->writes[i].value,
                                     .before = old->balance,
                                     .has_before = old->existed && !old->odd,
                                     .block = a->rows[i].plan.blocknumber,
                                     .has_block = a->rows[i].plan.set_blocknumber,
                                     .updated_us = old->updated_us};
        memcpy(row->xid, a->rows[i].xid, XID_SIZE);
        memcpy(row++->tid, a->rows[i].tid, TID_SIZE);
    }
    return list;
}

static struct db_param write_param_of(const struct write_batch *a, const struct write_values *list,
                                      enum write_value value)
{
    static const struct {
        enum db_kind kind;
        size_t at, has; /* has: 0 of a column without NULLs */
    } columns[] = {
        [VALUE_TID] = {DB_TID, offsetof(struct write_values, tid), 0},
        [VALUE_XID] = {DB_XID, offsetof(struct write_values, xid), 0},
        [VALUE_WALLET] = {DB_ADDRESS, offsetof(struct write_values, wallet), 0},
        [VALUE_BLOCK] = {DB_NUMBER, offsetof(struct write_values, block),
                         offsetof(struct write_values, has_block)},
        [VALUE_NEW] = {DB_BALANCE, offsetof(struct write_values, value), 0},
        [VALUE_OLD] = {DB_BALANCE, offsetof(struct write_values, before),
                       offsetof(struct write_values, has_before)},
        [VALUE_UPDATED] = {DB_TIME, offsetof(struct write_values, updated_us), 0},
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

void write_add_step(const struct write_batch *a, struct write_list *out, enum write_step step,
                    const struct write_statement *statement)
{
    if (out->rows[step] == 0)
        return;
    const struct write_values *list = write_select_rows(a, out, step);
    struct db_query *q = write_add_statement(a, out, statement->sql, out->rows[step]);
    for (size_t i = 0; statement->params[i] != VALUE_NONE; i++)
        q->params[i] = write_param_of(a, list, statement->params[i]);
}

/* A first insert that was refused waits until the end of the year 9999: only an event or the list
 * names it for another try. */
static uint64_t write_choose_wait_ms(const struct write_batch *a, const struct store_failure *f,
                                     uint64_t failures)
{
    const int64_t end_s = INT64_C(253402214400);
    if (f->first_insert)
        return (uint64_t)(end_s - wall_seconds()) * 1000;
    return (uint64_t)quarantine_wait_us((unsigned)failures, &a->s->rng) / 1000;
}

/* A read that failed at a block below the row's own says nothing of the row. max(NULL, 5) is NULL
 * on SQLite, hence the coalesce on both sides. */
static void write_add_failures(struct write_batch *a, struct write_list *out)
{
    const struct store_batch *b = a->batch;
    struct counted {
        uint64_t failures, wait_ms;
    } *list = arena_alloc(a->scratch, b->n_failures * sizeof *list);
    const struct store_failure *f = b->failures;
    for (size_t i = 0; i < b->n_failures; i++) {
        list[i].failures = a->failures[i] + 1;
        list[i].wait_ms = write_choose_wait_ms(a, &f[i], list[i].failures);
    }
    if (b->n_failures == 0)
        return;
    struct db_query *q = write_add_statement(
        a, out,
        "INSERT INTO trueup_quarantine AS q (balance, wallet, failures, reason, event_block, "
        "retry_at) SELECT $1, u.w, u.f, u.r, u.b, {after u.t} FROM unnest($2, $3, $4, $5, $6) u(w, "
        "f, r, b, t) WHERE NOT EXISTS (SELECT 1 FROM {t} o WHERE o.wallet = u.w AND "
        "o.observed_block > $7) ON CONFLICT (balance, wallet) DO UPDATE SET failures = "
        "excluded.failures, reason = excluded.reason, retry_at = excluded.retry_at, event_block = "
        "{larger coalesce(q.event_block, excluded.event_block), coalesce(excluded.event_block, "
        "q.event_block)}",
        b->n_failures);
    q->params[0] = db_text(b->balance->name);
    q->params[1] = db_column(DB_ADDRESS, &f->wallet, sizeof *f);
    q->params[2] = db_column(DB_NUMBER, &list->failures, sizeof *list);
    q->params[3] = db_column(DB_TEXT, &f->reason, sizeof *f);
    q->params[4] = db_column(DB_NUMBER, &f->event_block, sizeof *f);
    q->params[4].has = &f->has_event;
    q->params[5] = db_column(DB_NUMBER, &list->wait_ms, sizeof *list);
    q->params[6] = db_number(b->at.number);
    a->done.quarantined = b->n_failures;
}

static void write_add_dirty(const struct write_batch *a, struct write_list *out)
{
    const struct store_batch *b = a->batch;
    const struct store_dirty *d = b->dirty;
    if (b->n_dirty == 0)
        return;
    struct db_query *q = write_add_statement(
        a, out,
        "INSERT INTO trueup_dirty (balance, wallet, number, hash, endpoint) SELECT $1, u.w, u.n, "
        "u.h, nullif(u.e, '') FROM unnest($2, $3, $4, $5) u(w, n, h, e) WHERE true ORDER BY u.n, "
        "u.w, u.h ON CONFLICT DO NOTHING",
        b->n_dirty);
    q->params[0] = db_text(b->balance->name);
    q->params[1] = db_column(DB_ADDRESS, &d->wallet, sizeof *d);
    q->params[2] = db_column(DB_NUMBER, &d->number, sizeof *d);
    q->params[3] = db_column(DB_HASH, &d->hash, sizeof *d);
    q->params[4] = db_column(DB_TEXT, &d->endpoint, sizeof *d);
}

/* The checkpoint; and the newest time that is ours, so that what is newer can be told to be
 * another's. A key for each connection's name: follow and sweep do not wait for each other's. */
static void write_add_state(const struct write_batch *a, struct write_list *out)
{
    const struct store_balance *b = a->batch->balance;
    char *key = arena_alloc(a->scratch, STATE_KEY), *wrote = arena_alloc(a->scratch, STATE_KEY);
    state_key(key, "checkpoint", b->name, NULL);
    state_key(wrote, "wrote", b->name, a->s->who);
    if (a->batch->has_checkpoint) {
        struct db_query *q = write_add_statement(
            a, out,
            "INSERT INTO eth_indexer_checkpoints AS c (name, last_block, updated_at) SELECT $1, "
            "$2, {now} WHERE {kept_all} ON CONFLICT (name) DO UPDATE SET last_block = {larger "
            "c.last_block, excluded.last_block}, updated_at = excluded.updated_at",
            0);
        q->params[0] = db_text(b->checkpoint);
        q->params[1] = db_number(a->batch->checkpoint);
        q = write_add_statement(
            a, out,
            "INSERT INTO trueup_state (key, value) SELECT $1, CAST(last_block AS TEXT) FROM "
            "eth_indexer_checkpoints WHERE name = $2 AND {kept_all} ON CONFLICT (key) DO UPDATE "
            "SET value = "
            "excluded.value",
            0);
        q->params[0] = db_text(key);
        q->params[1] = db_text(b->checkpoint);
    }
    if (a->batch->n_writes)
        write_add_statement(a, out,
                            "INSERT INTO trueup_state AS s (key, value) VALUES ($1, {now_text}) ON "
                            "CONFLICT (key) DO UPDATE SET value = {larger s.value, excluded.value}",
                            0)
            ->params[0] = db_text(wrote);
}

void write_add_marks(struct write_batch *a, struct write_list *out)
{
    static const struct write_statement leave = {
        "DELETE FROM trueup_quarantine AS q USING unnest($2) u(w) WHERE q.balance = $1 AND "
        "q.wallet = u.w AND {kept u.w}",
        {VALUE_NAME, VALUE_WALLET}};
    /* its event is still unanswered: up again at once */
    static const struct write_statement stay = {
        "UPDATE trueup_quarantine AS q SET retry_at = {now} FROM unnest($2) u(w) WHERE q.balance "
        "= $1 AND q.wallet = u.w AND {kept u.w}",
        {VALUE_NAME, VALUE_WALLET}};
    static const struct write_statement pending = {
        "UPDATE trueup_wallets AS l SET pending = false FROM unnest($2) u(w) WHERE l.balance = $1 "
        "AND l.wallet = u.w AND l.pending AND {kept u.w} AND EXISTS (SELECT 1 FROM trueup_wallets "
        "WHERE balance = "
        "$1 AND pending)",
        {VALUE_NAME, VALUE_WALLET}};
    write_add_step(a, out, STEP_LEAVE_QUARANTINE, &leave);
    write_add_step(a, out, STEP_STAY_IN_QUARANTINE, &stay);
    write_add_failures(a, out);
    write_add_step(a, out, STEP_LEAVE_PENDING, &pending);
    write_add_dirty(a, out);
    write_add_state(a, out);
}

bool write_prune_query(uint64_t newest, uint64_t added, struct db_query *ret)
{
    *ret = (struct db_query){
        .sql = "DELETE FROM trueup_changes WHERE id IN (SELECT id FROM trueup_changes WHERE id <= "
               "$1 ORDER BY id LIMIT $2 {for UPDATE SKIP LOCKED})",
        .params = {db_number(newest - CHANGES_KEPT), db_number(added + 2 * CHANGES_STEP)}};
    return newest > CHANGES_KEPT && added > 0 && added <= newest &&
           newest / CHANGES_STEP != (newest - added) / CHANGES_STEP;
}
