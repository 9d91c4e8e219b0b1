/*
 * SQLite: one batch, one transaction. Row by row with prepared statements: in key order the pages
 * are in the cache, and a statement costs about a microsecond. So the statements of every row are
 * looked up once a batch (sq_hot_statement), and the time is put into text once.
 */
#include "store/sqlite.h"
#include "store/times.h"
#include "store/write.h"

enum sq_hot {
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
static const char *const sq_hot_sql[N_HOT] = {
    [HOT_OLD] = "SELECT balance, blocknumber, updated_at, observed_block FROM {t} WHERE wallet "
                "= ?4",
    [HOT_INSERT] = "INSERT INTO {t} (balance, updated_at, created_at, observed_block, wallet, "
                   "blocknumber) VALUES (?1, ?2, ?2, ?3, ?4, ?5)",
    [HOT_CHANGE] = "UPDATE {t} SET balance = ?1, updated_at = ?2, observed_block = ?3 WHERE "
                   "wallet = ?4",
    [HOT_CHANGE_BLOCK] = "UPDATE {t} SET balance = ?1, updated_at = ?2, observed_block = ?3, "
                         "blocknumber = ?5 WHERE wallet = ?4",
    [HOT_REFRESH] = "UPDATE {t} SET updated_at = ?2, observed_block = ?3 WHERE wallet = ?4",
    [HOT_REFRESH_BLOCK] = "UPDATE {t} SET updated_at = ?2, observed_block = ?3, blocknumber = ?5 "
                          "WHERE wallet = ?4",
    [HOT_BLOCK] = "UPDATE {t} SET blocknumber = ?5 WHERE wallet = ?4",
};

struct sq_batch {
    struct write_batch all; /* what goes with the rows */
    struct sq *s;
    const struct store_batch *batch;
    char now[TIME_TEXT];
    char wallet[ADDRESS_TEXT]; /* of the row at hand */
    bool any_waiting;          /* quarantine is not empty */
    sqlite3_stmt *hot[N_HOT];
    struct err *err;
};

static sqlite3_stmt *sq_hot_statement(struct sq_batch *a, enum sq_hot which)
{
    if (!a->hot[which]) {
        struct db_query q = {.sql = sq_hot_sql[which], .b = a->batch->balance};
        a->hot[which] = sq_prepare(a->s, db_expand(&a->s->base, &q, a->all.scratch), a->err);
    }
    if (a->hot[which])
        sqlite3_bind_text(a->hot[which], 4, a->wallet, ADDRESS_TEXT - 1, SQLITE_STATIC);
    return a->hot[which];
}

/* Whether a query has a row. */
static int sq_has_row(struct sq_batch *a, const char *sql, struct db_param one, struct db_param two,
                      bool *ret)
{
    uint64_t ignored;
    struct db_query q = {.sql = sql, .params = {one, two}};
    return db_read_number(&a->s->base, &q, &ignored, ret, a->err);
}

/* The wallet's text is in a->wallet. */
static int sq_read_old(struct sq_batch *a, struct store_old *old)
{
    *old = (struct store_old){0};
    sqlite3_stmt *st = sq_hot_statement(a, HOT_OLD);
    if (!st)
        return -1;
    int rc = sq_step(a->s, st, a->err);
    if (rc < 0)
        return -1;
    if (rc == 1) {
        const struct db_rows row = {.s = &a->s->base, .at = st};
        old->existed = true;
        old->odd = !db_get_balance(&row, 0, &old->balance);
        old->has_blocknumber = db_get_number(&row, 1, &old->blocknumber);
        old->updated_us = db_get_time(&row, 2);
        old->has_observed = db_get_number(&row, 3, &old->observed_block);
    }
    sqlite3_reset(st);
    return 0;
}

static int sq_read_debt(struct sq_batch *a, const address *wallet, struct write_debt *debt)
{
    struct db_query q = {.sql = "SELECT event_block FROM trueup_quarantine WHERE balance = $1 AND "
                                "wallet = $2",
                         .params = {db_text(a->batch->balance->name), db_address(wallet)}};
    struct db_rows rows;
    *debt = (struct write_debt){0};
    if (!a->any_waiting)
        return 0;
    if (db_read(&a->s->base, &q, &rows, a->err) < 0)
        return -1;
    int rc = db_next(&rows, a->err);
    debt->waiting = rc == 1;
    debt->has_event = rc == 1 && db_get_number(&rows, 0, &debt->event_block);
    db_end(&rows);
    return rc < 0 ? -1 : 0;
}

static int sq_write_row(struct sq_batch *a, const struct store_write *w,
                        const struct write_plan *plan)
{
    static const enum sq_hot ways[][2] = {
        [OUTCOME_INSERTED] = {HOT_INSERT, HOT_INSERT},
        [OUTCOME_CHANGED] = {HOT_CHANGE, HOT_CHANGE_BLOCK},
        [OUTCOME_REFRESHED] = {HOT_REFRESH, HOT_REFRESH_BLOCK},
        [OUTCOME_OLDER] = {N_HOT, HOT_BLOCK},
        [OUTCOME_ABSENT] = {N_HOT, N_HOT},
    };
    enum sq_hot way = ways[plan->outcome][plan->set_blocknumber];
    if (way == N_HOT)
        return 0;
    sqlite3_stmt *st = sq_hot_statement(a, way);
    if (!st)
        return -1;
    char value[U256_DEC_ROOM];
    if (way == HOT_INSERT || way == HOT_CHANGE || way == HOT_CHANGE_BLOCK) {
        u256_to_dec(&w->value, value);
        sqlite3_bind_text(st, 1, value, -1, SQLITE_STATIC);
    }
    if (way != HOT_BLOCK) {
        sqlite3_bind_text(st, 2, a->now, TIME_TEXT - 1, SQLITE_STATIC);
        sqlite3_bind_int64(st, 3, (int64_t)a->batch->at.number);
    }
    if (plan->set_blocknumber)
        sqlite3_bind_int64(st, 5, (int64_t)plan->blocknumber);
    else if (way == HOT_INSERT)
        sqlite3_bind_null(st, 5);
    return sq_run(a->s, st, a->err);
}

static struct db_param sq_balance(const u256 *v)
{
    return (struct db_param){.kind = DB_BALANCE, .at = v};
}

static int sq_write_drift(struct sq_batch *a, const struct store_write *w, struct store_old *old)
{
    int64_t age_us = a->s->now_us - old->updated_us;
    struct db_query q = {
        .sql = "INSERT INTO trueup_drift (balance, wallet, stored, actual, block, cause, age, "
               "found_at) VALUES ($1, $2, $3, $4, $5, 'unknown', $6, $7)",
        .params = {db_text(a->batch->balance->name), db_address(&w->wallet),
                   sq_balance(&old->balance), sq_balance(&w->value), db_number(a->batch->at.number),
                   db_number(age_us > 0 ? (uint64_t)age_us / 1000000 : 0), db_time(a->s->now_us)}};
    if (db_write(&a->s->base, &q, 1, 0, NULL, a->err) != 0)
        return -1;
    old->drift_id = (uint64_t)sqlite3_last_insert_rowid(a->s->db);
    return 0;
}

/* What has become of the row when the triggers are done. */
static int sq_compare_row(struct sq_batch *a, size_t i)
{
    const struct store_write *w = &a->batch->writes[i];
    enum store_outcome outcome = a->all.rows[i].plan.outcome;
    char held[U256_DEC_ROOM];
    struct store_old now;
    if (outcome != OUTCOME_INSERTED && outcome != OUTCOME_CHANGED && outcome != OUTCOME_REFRESHED)
        return 0;
    if (sq_read_old(a, &now) != 0)
        return -1;
    if (now.existed && !now.odd && u256_equal(&now.balance, &w->value) && now.has_observed &&
        now.observed_block == a->batch->at.number)
        return 0;
    u256_to_dec(&now.balance, held);
    write_mark_altered(&a->all, i, now.existed ? held : NULL);
    struct db_query q = {.sql = "UPDATE {t} SET observed_block = NULL WHERE wallet = $1",
                         .b = a->batch->balance,
                         .params = {db_address(&w->wallet)}};
    return db_write(&a->s->base, &q, 1, 0, NULL, a->err);
}

static int sq_apply_write(struct sq_batch *a, size_t i)
{
    const struct store_write *w = &a->batch->writes[i];
    struct store_old *old = &a->all.done.olds[i];
    struct write_row *row = &a->all.rows[i];
    bool listed = false;
    address_text(&w->wallet, a->wallet);
    if (sq_read_old(a, old) != 0 || sq_read_debt(a, &w->wallet, &row->debt) != 0)
        return -1;
    if (!old->existed && w->insert == INSERT_IF_LISTED &&
        sq_has_row(a, "SELECT 1 FROM trueup_wallets WHERE balance = $1 AND wallet = $2",
                   db_text(a->batch->balance->name), db_address(&w->wallet), &listed) != 0)
        return -1;
    row->plan = write_decide(a->batch, i, &row->debt, listed, &a->all.done);
    if (sq_write_row(a, w, &row->plan) != 0 ||
        (a->s->base.care.triggers && sq_compare_row(a, i) != 0))
        return -1;
    return old->drifted ? sq_write_drift(a, w, old) : 0;
}

static int sq_read_failures(struct sq_batch *a)
{
    const struct store_batch *b = a->batch;
    for (size_t i = 0; i < b->n_failures; i++) {
        struct db_query q = {
            .sql = "SELECT failures FROM trueup_quarantine WHERE balance = $1 AND wallet = $2",
            .params = {db_text(b->balance->name), db_address(&b->failures[i].wallet)}};
        if (db_read_number(&a->s->base, &q, &a->all.failures[i], NULL, a->err) < 0)
            return -1;
    }
    return 0;
}

/* What goes with the rows, and what of the ledger is due to go. */
static int sq_write_rest(struct sq_batch *a, bool any_pending)
{
    static const struct write_statement changes = {
        ADD_CHANGES, {VALUE_NAME, VALUE_WALLET, VALUE_OLD, VALUE_NEW, VALUE_ANCHOR, VALUE_CAUSE}};
    struct write_list list = {.n = 0};
    struct db_query prune;
    write_assign_steps(&a->all, &list);
    if (!any_pending)
        list.rows[STEP_LEAVE_PENDING] = 0; /* to spare a look a row */
    write_add_marks(&a->all, &list);
    write_add_step(&a->all, &list, STEP_LOG_CHANGE, &changes);
    if (list.n && db_write(&a->s->base, list.q, list.n, 0, NULL, a->err) < 0)
        return -1;
    uint64_t newest = (uint64_t)sqlite3_last_insert_rowid(a->s->db);
    if (!write_prune_query(newest, list.rows[STEP_LOG_CHANGE], &prune))
        return 0;
    return db_write(&a->s->base, &prune, 1, 0, NULL, a->err);
}

static int sq_apply_all(struct sq_batch *a)
{
    const struct store_batch *b = a->batch;
    const struct db_param name = db_text(b->balance->name), none = {0};
    bool any_pending;
    /* asked once, to spare a look a row */
    if (sq_has_row(a, "SELECT 1 FROM trueup_quarantine WHERE balance = $1 LIMIT 1", name, none,
                   &a->any_waiting) != 0 ||
        sq_has_row(a, "SELECT 1 FROM trueup_wallets WHERE balance = $1 AND pending LIMIT 1", name,
                   none, &any_pending) != 0)
        return -1;
    for (size_t i = 0; i < b->n_writes; i++)
        if (sq_apply_write(a, i) != 0)
            return -1;
    return sq_read_failures(a) != 0 ? -1 : sq_write_rest(a, any_pending);
}

static int sq_apply_in(struct sq_batch *a)
{
    const struct anchor *at = &a->batch->at;
    bool stored;
    if (db_begin(&a->s->base, 0, a->err) != 0)
        return -1;
    a->s->now_us = sq_now_us();
    time_to_text(a->s->now_us, a->now);
    if (sq_has_row(a, "SELECT 1 FROM trueup_blocks WHERE number = $1 AND hash = $2 AND on_chain",
                   db_number(at->number), db_hash(&at->hash), &stored) != 0)
        return -1;
    if (!stored) {
        db_rollback(&a->s->base);
        a->all.done.anchor_gone = true;
        return 0;
    }
    write_batch_begin(&a->all);
    return sq_apply_all(a) != 0 ? -1 : db_commit(&a->s->base, a->err);
}

int sq_apply(struct store *store, const struct store_batch *batch, struct arena *arena,
             struct store_applied *ret, struct err *err)
{
    struct arena scratch;
    arena_init(&scratch);
    struct sq_batch a = {.all = {store, batch, arena, &scratch, .err = err},
                         .s = sq_of(store),
                         .batch = batch,
                         .err = err};
    int rc = sq_apply_in(&a);
    a.s->now_us = 0;
    arena_free(&scratch);
    if (rc == 0)
        *ret = a.all.done;
    return rc;
}
