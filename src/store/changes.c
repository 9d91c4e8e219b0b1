/* trueup_changes and trueup_drift: what was written, and what nothing explains. */
#include "store/driver.h"

#include "store/audit.h"

/* The newest of a ledger: of all wallets, or of the one asked about. */
static struct db_query changes_latest(const struct view_ask *ask, const char *of_all,
                                      const char *of_wallet)
{
    struct db_query q = {.sql = of_all, .hot = true, .params = {db_number(ask->limit)}};
    if (ask->b) {
        q.sql = of_wallet;
        q.params[1] = db_text(ask->b->name);
        q.params[2] = db_address(ask->wallets);
    }
    return q;
}

#define OF_ALL    " ORDER BY id DESC LIMIT $1"
#define OF_WALLET " WHERE balance = $2 AND wallet = $3 ORDER BY id DESC LIMIT $1"

/* ---- changes --------------------------------------------------------------------------------- */

#define CHANGES                                                                                    \
    "SELECT id, balance, wallet, CAST(old AS TEXT), CAST(new AS TEXT), block, cause, at FROM "     \
    "trueup_changes"

static bool change_take(const struct db_rows *row, struct arena *arena, void *item)
{
    struct view_change *v = item;
    if (!db_get_address(row, 2, &v->wallet))
        return false;
    db_get_number(row, 0, &v->id);
    v->balance = db_keep_text(row, 1, arena);
    v->old = db_keep_text(row, 3, arena);
    v->new_ = db_keep_text(row, 4, arena);
    db_get_number(row, 5, &v->block);
    v->cause = db_keep_text(row, 6, arena);
    v->at_us = db_get_time(row, 7);
    return true;
}

static int changes_read(struct store *s, const struct db_query *q, struct arena *arena,
                        struct view_change **ret, size_t *ret_n, struct err *err)
{
    struct db_take take = {arena, sizeof **ret, change_take};
    return db_read_list(s, q, &take, ret, ret_n, err);
}

int view_changes_after(struct store *s, const struct view_ask *ask, struct view_change **ret,
                       size_t *ret_n, struct err *err)
{
    struct db_query q = {.sql = CHANGES " WHERE id > $1 ORDER BY id LIMIT $2",
                         .hot = true,
                         .params = {db_number(ask->after), db_number(ask->limit)}};
    return changes_read(s, &q, ask->arena, ret, ret_n, err);
}

int view_changes_latest(struct store *s, const struct view_ask *ask, struct view_change **ret,
                        size_t *ret_n, struct err *err)
{
    struct db_query q = changes_latest(ask, CHANGES OF_ALL, CHANGES OF_WALLET);
    return changes_read(s, &q, ask->arena, ret, ret_n, err);
}

int view_feed(struct store *s, struct arena *arena, struct view_feed *ret, struct err *err)
{
    struct db_query q = {.sql = "SELECT (SELECT min(id) FROM trueup_changes), (SELECT max(id) FROM "
                                "trueup_changes), (SELECT value FROM trueup_state WHERE key = "
                                "'epoch')",
                         .hot = true};
    struct db_rows rows;
    if (db_read(s, &q, &rows, err) < 0 || db_next(&rows, err) != 1)
        return -1;
    *ret = (struct view_feed){.epoch = db_keep_text(&rows, 2, arena)};
    db_get_number(&rows, 0, &ret->oldest);
    db_get_number(&rows, 1, &ret->newest);
    db_end(&rows);
    if (!ret->epoch)
        ret->epoch = "";
    return 0;
}

/* ---- drift ----------------------------------------------------------------------------------- */

#define DRIFT                                                                                      \
    "SELECT id, balance, wallet, CAST(stored AS TEXT), CAST(actual AS TEXT), block, cause, "       \
    "endpoint, age, found_at FROM trueup_drift"

static bool drift_take(const struct db_rows *row, struct arena *arena, void *item)
{
    struct view_drift *d = item;
    if (!db_get_address(row, 2, &d->wallet))
        return false;
    db_get_number(row, 0, &d->id);
    d->balance = db_keep_text(row, 1, arena);
    d->stored = db_keep_text(row, 3, arena);
    d->actual = db_keep_text(row, 4, arena);
    db_get_number(row, 5, &d->block);
    d->cause = db_keep_text(row, 6, arena);
    d->endpoint = db_keep_text(row, 7, arena);
    d->has_age = db_get_number(row, 8, &d->age);
    d->found_us = db_get_time(row, 9);
    return true;
}

int view_drift_latest(struct store *s, const struct view_ask *ask, struct view_drift **ret,
                      size_t *ret_n, struct err *err)
{
    struct db_query q = changes_latest(ask, DRIFT OF_ALL, DRIFT OF_WALLET);
    struct db_take take = {ask->arena, sizeof **ret, drift_take};
    return db_read_list(s, &q, &take, ret, ret_n, err);
}

static bool cause_take(const struct db_rows *row, struct arena *arena, void *item)
{
    struct view_cause *c = item;
    c->balance = db_keep_text(row, 0, arena);
    c->cause = db_keep_text(row, 1, arena);
    db_get_number(row, 2, &c->n);
    return true;
}

int view_drift_causes(struct store *s, struct arena *arena, struct view_cause **ret, size_t *ret_n,
                      struct err *err)
{
    struct db_query q = {
        .sql = "SELECT balance, cause, count(*) FROM trueup_drift GROUP BY 1, 2 LIMIT 200"};
    struct db_take take = {arena, sizeof **ret, cause_take};
    return db_read_list(s, &q, &take, ret, ret_n, err);
}

int store_drift_set_cause(struct store *s, const uint64_t *ids, size_t n, const char *cause,
                          const char *endpoint, struct err *err)
{
    struct db_query q = {
        .sql = "UPDATE trueup_drift AS d SET cause = $2, endpoint = $3 FROM unnest($1) u(id) WHERE "
               "d.id = u.id",
        .set = n,
        .params = {db_column(DB_NUMBER, ids, sizeof *ids), db_text(cause), db_text(endpoint)}};
    return n ? db_write(s, &q, 1, 0, NULL, err) : 0;
}

/* The ledger has no index by wallet: what was filed lately is looked through. */
#define DRIFT_LATELY "d.id > (SELECT coalesce(max(id), 0) - 10000 FROM trueup_drift)"

int store_drift_file_missed(struct store *s, const struct store_balance *b,
                            const struct store_missed *list, size_t n, uint64_t *ret,
                            struct err *err)
{
    const struct store_missed *m = list;
    struct db_query known = {
        .sql = "UPDATE trueup_drift AS d SET cause = 'missed_log', endpoint = u.e FROM unnest($2, "
               "$3, $4) u(w, n, e) WHERE d.balance = $1 AND d.wallet = u.w AND d.block >= u.n AND "
               "d.cause IN ('unknown', 'no_event_change') AND " DRIFT_LATELY,
        .set = n,
        .params = {db_text(b->name), db_column(DB_ADDRESS, &m->wallet, sizeof *m),
                   db_column(DB_NUMBER, &m->block, sizeof *m),
                   db_column(DB_TEXT, &m->endpoint, sizeof *m)}};
    struct db_query filed = {
        .sql = "INSERT INTO trueup_drift (balance, wallet, stored, actual, block, cause, endpoint) "
               "SELECT $1, u.w, u.s, u.a, u.n, 'missed_log', u.e FROM unnest($2, $3, $4, $5, $6) "
               "u(w, n, e, s, a) WHERE NOT EXISTS (SELECT 1 FROM trueup_drift d WHERE d.balance = "
               "$1 AND d.wallet = u.w AND d.block >= u.n AND d.cause IN ('missed_log', 'reorg') "
               "AND " DRIFT_LATELY ")",
        .set = n,
        .params = {known.params[0], known.params[1], known.params[2], known.params[3],
                   db_column(DB_BALANCE, &m->stored, sizeof *m),
                   db_column(DB_BALANCE, &m->actual, sizeof *m)}};
    uint64_t told = 0;
    *ret = 0;
    if (n == 0)
        return 0;
    if (db_write(s, &known, 1, 0, &told, err) < 0 || db_write(s, &filed, 1, 0, ret, err) < 0)
        return -1;
    *ret += told;
    return 0;
}

int store_drift_drop(struct store *s, const uint64_t *ids, size_t n, struct err *err)
{
    struct db_query q = {
        .sql = "DELETE FROM trueup_drift AS d USING unnest($1) u(id) WHERE d.id = u.id",
        .set = n,
        .params = {db_column(DB_NUMBER, ids, sizeof *ids)}};
    return n ? db_write(s, &q, 1, 0, NULL, err) : 0;
}

int store_drift_prune(struct store *s, struct err *err)
{
    struct db_query q = {
        .sql =
            "DELETE FROM trueup_drift WHERE id IN (SELECT id FROM trueup_drift ORDER BY id LIMIT "
            "20000 {for UPDATE SKIP LOCKED}) AND (found_at < {after -$1} OR id <= (SELECT "
            "max(id) FROM trueup_drift) - $2)",
        .params = {db_number(DRIFT_DAYS * UINT64_C(86400000)), db_number(DRIFT_KEPT)}};
    return db_write(s, &q, 1, 0, NULL, err);
}
