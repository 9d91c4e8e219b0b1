/* PostgreSQL: what people look at. */
#include "store/pg.h"
#include "store/prove.h"
#include "store/times.h"
#include "store/view.h"

#include "base/buf.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ROW_COLUMNS                                                                                \
    "wallet::text, balance::text, blocknumber::int8, observed_block::int8, updated_at"

static const char *kept(const PGresult *r, int row, int col, struct arena *arena)
{
    const char *text = pg_get_text(r, row, col);
    return text ? arena_strdup(arena, text) : NULL;
}

static void short_text(const PGresult *r, int row, int col, char *ret, size_t room)
{
    const char *text = pg_get_text(r, row, col);
    snprintf(ret, room, "%s", text ? text : "");
}

static void take_rows(const PGresult *res, struct arena *arena, struct view_row **ret,
                      size_t *ret_n)
{
    int n = PQntuples(res);
    struct view_row *rows = arena_zero(arena, (size_t)n + 1, sizeof *rows);
    size_t found = 0;
    for (int i = 0; i < n; i++) {
        struct view_row *row = &rows[found];
        if (!pg_get_address(res, i, 0, &row->wallet))
            continue;
        short_text(res, i, 1, row->balance, sizeof row->balance);
        row->has_blocknumber = pg_get_int(res, i, 2, &row->blocknumber);
        row->has_observed = pg_get_int(res, i, 3, &row->observed_block);
        row->updated_us = pg_get_time(res, i, 4);
        found++;
    }
    *ret = rows;
    *ret_n = found;
}

int pg_view_rows(struct store *store, const struct store_balance *b, const address *wallets,
                 size_t n, struct arena *arena, struct view_row **ret, size_t *ret_n,
                 struct err *err)
{
    struct pg *s = pg_of(store);
    struct pg_array list;
    pg_array_addresses(&list, arena, wallets, n);
    struct pg_command c = {.sql = arena_printf(arena,
                                               "SELECT " ROW_COLUMNS
                                               " FROM unnest($1) u(w) JOIN %s t ON t.wallet = "
                                               "u.w",
                                               pg_table(s, b->table, arena)),
                           .params.arena = arena,
                           .prepare = true};
    pg_p_array(&c.params, &list);
    PGresult *res = pg_query(s, &c, err);
    if (!res)
        return -1;
    take_rows(res, arena, ret, ret_n);
    PQclear(res);
    return 0;
}

/* A statement that passes over the whole table. */
static PGresult *scan(struct pg *s, const struct pg_command *c, struct err *err)
{
    if (pg_scanning(s, true, err) != 0)
        return NULL;
    PGresult *res = pg_query(s, c, err);
    if (res && pg_scanning(s, false, err) != 0) {
        PQclear(res);
        return NULL;
    }
    return res;
}

int pg_view_top(struct store *store, const struct store_balance *b, size_t limit,
                struct arena *arena, struct view_row **ret, size_t *ret_n, struct err *err)
{
    struct pg *s = pg_of(store);
    struct pg_command c = {
        .sql = arena_printf(
            arena, "SELECT " ROW_COLUMNS " FROM %s t ORDER BY t.balance DESC, t.wallet LIMIT $1",
            pg_table(s, b->table, arena)),
        .params.arena = arena};
    pg_p_int(&c.params, true, limit);
    PGresult *res = scan(s, &c, err);
    if (!res)
        return -1;
    take_rows(res, arena, ret, ret_n);
    PQclear(res);
    return 0;
}

int pg_view_quarantined(struct store *store, const struct store_balance *b, const address *wallet,
                        struct view_quarantine *ret, bool *ret_found, struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    struct pg_command c = {.sql = "SELECT failures, reason, retry_at, event_block FROM "
                                  "trueup_quarantine WHERE balance = $1 AND wallet = $2",
                           .params.arena = &arena,
                           .prepare = true};
    pg_p_text(&c.params, b->name);
    pg_p_address(&c.params, wallet);
    PGresult *res = pg_query(pg_of(store), &c, err);
    if (res) {
        *ret_found = PQntuples(res) > 0;
        if (*ret_found) {
            *ret = (struct view_quarantine){.retry_us = pg_get_time(res, 0, 2)};
            pg_get_int(res, 0, 0, &ret->failures);
            ret->has_event = pg_get_int(res, 0, 3, &ret->event_block);
            short_text(res, 0, 1, ret->reason, sizeof ret->reason);
        }
    }
    PQclear(res);
    arena_free(&arena);
    return res ? 0 : -1;
}

#define CHANGE_COLUMNS "id, balance, wallet, old::text, new::text, block, cause, at"

static int take_changes(struct pg *s, const struct pg_command *c, struct arena *arena,
                        struct view_change **ret, size_t *ret_n, struct err *err)
{
    PGresult *res = pg_query(s, c, err);
    if (!res)
        return -1;
    int n = PQntuples(res);
    struct view_change *list = arena_zero(arena, (size_t)n + 1, sizeof *list);
    size_t found = 0;
    for (int i = 0; i < n; i++) {
        struct view_change *v = &list[found];
        if (!pg_get_address(res, i, 2, &v->wallet))
            continue;
        pg_get_int(res, i, 0, &v->id);
        v->balance = kept(res, i, 1, arena);
        v->old = kept(res, i, 3, arena);
        v->new_ = kept(res, i, 4, arena);
        pg_get_int(res, i, 5, &v->block);
        v->cause = kept(res, i, 6, arena);
        v->at_us = pg_get_time(res, i, 7);
        found++;
    }
    PQclear(res);
    *ret = list;
    *ret_n = found;
    return 0;
}

int pg_view_changes_after(struct store *store, uint64_t after, size_t limit, struct arena *arena,
                          struct view_change **ret, size_t *ret_n, struct err *err)
{
    struct pg_command c = {.sql = "SELECT " CHANGE_COLUMNS
                                  " FROM trueup_changes WHERE id > $1 ORDER BY id LIMIT $2",
                           .params.arena = arena,
                           .prepare = true};
    pg_p_int(&c.params, true, after);
    pg_p_int(&c.params, true, limit);
    return take_changes(pg_of(store), &c, arena, ret, ret_n, err);
}

int pg_view_changes_latest(struct store *store, const struct store_balance *b,
                           const address *wallet, size_t limit, struct arena *arena,
                           struct view_change **ret, size_t *ret_n, struct err *err)
{
    struct pg_command c = {
        .sql = b ? "SELECT " CHANGE_COLUMNS " FROM trueup_changes WHERE balance = $2 AND "
                   "wallet = $3 ORDER BY id DESC LIMIT $1"
                 : "SELECT " CHANGE_COLUMNS " FROM trueup_changes ORDER BY id DESC LIMIT $1",
        .params.arena = arena,
        .prepare = true};
    pg_p_int(&c.params, true, limit);
    if (b) {
        pg_p_text(&c.params, b->name);
        pg_p_address(&c.params, wallet);
    }
    return take_changes(pg_of(store), &c, arena, ret, ret_n, err);
}

#define DRIFT_COLUMNS                                                                              \
    "id, balance, wallet, stored::text, actual::text, block, cause, endpoint, age, found_at"

static int take_drift(struct pg *s, const struct pg_command *c, struct arena *arena,
                      struct view_drift **ret, size_t *ret_n, struct err *err)
{
    PGresult *res = pg_query(s, c, err);
    if (!res)
        return -1;
    int n = PQntuples(res);
    struct view_drift *list = arena_zero(arena, (size_t)n + 1, sizeof *list);
    size_t found = 0;
    for (int i = 0; i < n; i++) {
        struct view_drift *d = &list[found];
        if (!pg_get_address(res, i, 2, &d->wallet))
            continue;
        pg_get_int(res, i, 0, &d->id);
        d->balance = kept(res, i, 1, arena);
        d->stored = kept(res, i, 3, arena);
        d->actual = kept(res, i, 4, arena);
        pg_get_int(res, i, 5, &d->block);
        d->cause = kept(res, i, 6, arena);
        d->endpoint = kept(res, i, 7, arena);
        d->has_age = pg_get_int(res, i, 8, &d->age);
        d->found_us = pg_get_time(res, i, 9);
        found++;
    }
    PQclear(res);
    *ret = list;
    *ret_n = found;
    return 0;
}

int pg_view_drift_latest(struct store *store, size_t limit, struct arena *arena,
                         struct view_drift **ret, size_t *ret_n, struct err *err)
{
    struct pg_command c = {.sql = "SELECT " DRIFT_COLUMNS
                                  " FROM trueup_drift ORDER BY id DESC LIMIT $1",
                           .params.arena = arena,
                           .prepare = true};
    pg_p_int(&c.params, true, limit);
    return take_drift(pg_of(store), &c, arena, ret, ret_n, err);
}

int pg_prove_drift_of(struct store *store, const struct store_balance *b, const address *wallet,
                      size_t limit, struct arena *arena, struct view_drift **ret, size_t *ret_n,
                      struct err *err)
{
    struct pg_command c = {.sql = "SELECT " DRIFT_COLUMNS " FROM trueup_drift WHERE balance = $2 "
                                  "AND wallet = $3 ORDER BY id DESC LIMIT $1",
                           .params.arena = arena};
    pg_p_int(&c.params, true, limit);
    pg_p_text(&c.params, b->name);
    pg_p_address(&c.params, wallet);
    return take_drift(pg_of(store), &c, arena, ret, ret_n, err);
}

int pg_view_drift_causes(struct store *store, struct arena *arena, struct view_cause **ret,
                         size_t *ret_n, struct err *err)
{
    struct pg_command c = {.sql = "SELECT balance, cause, count(*) FROM trueup_drift GROUP BY 1, 2 "
                                  "LIMIT 200",
                           .params.arena = arena};
    PGresult *res = pg_query(pg_of(store), &c, err);
    if (!res)
        return -1;
    int n = PQntuples(res);
    struct view_cause *list = arena_zero(arena, (size_t)n + 1, sizeof *list);
    for (int i = 0; i < n; i++) {
        list[i] = (struct view_cause){kept(res, i, 0, arena), kept(res, i, 1, arena), 0};
        pg_get_int(res, i, 2, &list[i].n);
    }
    PQclear(res);
    *ret = list;
    *ret_n = (size_t)n;
    return 0;
}

/* A max_age that is off: a thousand years, which a timestamp bears. */
#define NEVER_MS INT64_C(31536000000000)

/* ---- ages ------------------------------------------------------------------------------------ */

static const char *age_sql(struct pg *s, const struct store_balance *b, const uint32_t *limits,
                           size_t n, int64_t max_age_ms, struct arena *arena)
{
    struct buf list = BUF_INIT(4096);
    for (size_t i = 0; i < n; i++)
        buf_addf(&list, "%s%" PRIu32, i ? "," : "", limits[i]);
    const char *sql = arena_printf(
        arena,
        "SELECT width_bucket(greatest(extract(epoch FROM localtimestamp - updated_at), "
        "0)::float8, ARRAY[%s]::float8[])::int8, count(*), count(observed_block), min(updated_at), "
        "max(updated_at), count(*) FILTER (WHERE updated_at < localtimestamp - interval '%" PRId64
        " milliseconds') FROM %s GROUP BY 1",
        buf_str(&list), max_age_ms > 0 ? max_age_ms : NEVER_MS, pg_table(s, b->table, arena));
    buf_free(&list);
    return sql;
}

static int small_counts(struct pg *s, const struct store_balance *b, int64_t max_age_ms,
                        struct arena *arena, struct view_ages *a, struct err *err)
{
    struct pg_command c = {
        .sql = arena_printf(
            arena,
            "SELECT (SELECT count(*) FROM trueup_quarantine WHERE balance = $1), (SELECT count(*) "
            "FROM trueup_wallets WHERE balance = $1), count(*) FILTER (WHERE t.observed_block IS "
            "NULL), count(*) FILTER (WHERE t.updated_at < localtimestamp - interval '%" PRId64
            " milliseconds'), localtimestamp FROM trueup_quarantine q JOIN %s t ON t.wallet = "
            "q.wallet WHERE q.balance = $1",
            max_age_ms > 0 ? max_age_ms : NEVER_MS, pg_table(s, b->table, arena)),
        .params.arena = arena};
    pg_p_text(&c.params, b->name);
    PGresult *res = pg_query(s, &c, err);
    if (!res)
        return -1;
    pg_get_int(res, 0, 0, &a->quarantined);
    pg_get_int(res, 0, 1, &a->listed);
    pg_get_int(res, 0, 2, &a->excused_unanchored);
    pg_get_int(res, 0, 3, &a->excused_old);
    a->now_us = pg_get_time(res, 0, 4);
    PQclear(res);
    return 0;
}

static int ages_in(struct pg *s, const struct store_balance *b, const uint32_t *limits, size_t n,
                   int64_t max_age_ms, struct arena *arena, struct view_ages *ret, struct err *err)
{
    struct view_ages a = {0};
    struct pg_command c = {.sql = age_sql(s, b, limits, n, max_age_ms, arena),
                           .params.arena = arena};
    if (small_counts(s, b, max_age_ms, arena, &a, err) < 0)
        return -1;
    PGresult *res = scan(s, &c, err);
    if (!res)
        return -1;
    for (int i = 0; i < PQntuples(res); i++) {
        uint64_t bucket = 0, rows = 0, anchored = 0, old = 0;
        int64_t oldest = pg_get_time(res, i, 3), newest = pg_get_time(res, i, 4);
        pg_get_int(res, i, 0, &bucket);
        pg_get_int(res, i, 1, &rows);
        pg_get_int(res, i, 2, &anchored);
        pg_get_int(res, i, 5, &old);
        if (bucket <= n)
            a.buckets[bucket] += rows;
        a.oldest_us = a.rows == 0 || oldest < a.oldest_us ? oldest : a.oldest_us;
        a.newest_us = newest > a.newest_us ? newest : a.newest_us;
        a.rows += rows;
        a.unanchored += rows - anchored;
        a.old += old;
    }
    PQclear(res);
    *ret = a;
    return 0;
}

int pg_view_ages(struct store *store, const struct store_balance *b, const uint32_t *limits,
                 size_t n, int64_t max_age_ms, struct view_ages *ret, struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    int rc = ages_in(pg_of(store), b, limits, n, max_age_ms, &arena, ret, err);
    arena_free(&arena);
    return rc;
}

/* ---- facts ----------------------------------------------------------------------------------- */

#define FACTS                                                                                      \
    "SELECT current_setting('server_version'), to_regclass($1) IS NOT NULL, pg_is_in_recovery(), " \
    "localtimestamp"
#define TABLE_FACTS                                                                                \
    "SELECT has_table_privilege($1, 'INSERT') AND has_table_privilege($1, 'UPDATE') AND "          \
    "has_table_privilege($1, 'DELETE') AND has_table_privilege($1, 'SELECT'), "                    \
    "pg_has_role(c.relowner, 'USAGE'), pg_total_relation_size(c.oid), "                            \
    "greatest(c.reltuples, 0)::int8, EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND " \
    "attname = 'observed_block' AND NOT attisdropped), EXISTS (SELECT FROM pg_index i JOIN "       \
    "pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] WHERE i.indrelid = c.oid "    \
    "AND a.attname = 'updated_at' AND i.indisvalid) FROM pg_class c WHERE c.oid = $1::regclass"
/* Fires on UPDATE (bit 4), limited neither by a condition nor to columns that a refresh leaves. */
#define TRIGGERS                                                                                   \
    "SELECT count(*), count(*) FILTER (WHERE careless), coalesce(min(tgname) FILTER (WHERE "       \
    "careless), '')::text FROM (SELECT tgname, tgqual IS NULL AND (tgattr = '' OR EXISTS (SELECT " \
    "FROM pg_attribute a WHERE attrelid = tgrelid AND attnum = ANY(tgattr) AND attname IN "        \
    "('updated_at', 'observed_block'))) AS careless FROM pg_trigger WHERE tgrelid = $1::regclass " \
    "AND NOT tgisinternal AND "                                                                    \
    "tgtype & 16 <> 0 AND tgenabled <> 'D') t"

static int table_facts(struct pg *s, const struct store_balance *b, struct arena *arena,
                       struct view_facts *f, struct err *err)
{
    const char *table = pg_table(s, b->table, arena);
    struct pg_command c[] = {
        {.sql = TABLE_FACTS, .params.arena = arena},
        {.sql = TRIGGERS, .params.arena = arena},
        {.sql = arena_printf(arena, "SELECT count(*) FROM %s WHERE wallet !~ '^0x[0-9a-f]{40}$'",
                             table),
         .params.arena = arena},
    };
    pg_p_text(&c[0].params, table);
    pg_p_text(&c[1].params, table);
    PGresult *res = pg_query(s, &c[0], err);
    if (!res)
        return -1;
    f->may_write = pg_get_bool(res, 0, 0);
    f->owner = pg_get_bool(res, 0, 1);
    pg_get_int(res, 0, 2, &f->bytes);
    pg_get_int(res, 0, 3, &f->rows_estimate);
    f->has_observed = pg_get_bool(res, 0, 4);
    f->has_updated_index = pg_get_bool(res, 0, 5);
    PQclear(res);
    if (!(res = pg_query(s, &c[1], err)))
        return -1;
    pg_get_int(res, 0, 0, &f->triggers);
    pg_get_int(res, 0, 1, &f->careless_triggers);
    short_text(res, 0, 2, f->careless_name, sizeof f->careless_name);
    PQclear(res);
    if (!(res = scan(s, &c[2], err)))
        return -1;
    pg_get_int(res, 0, 0, &f->non_canonical);
    PQclear(res);
    return 0;
}

static int facts_in(struct pg *s, const struct store_balance *b, struct arena *arena,
                    struct view_facts *ret, struct err *err)
{
    struct view_facts f = {0};
    struct pg_command c = {.sql = FACTS, .params.arena = arena};
    pg_p_text(&c.params, pg_table(s, b->table, arena));
    PGresult *res = pg_query(s, &c, err);
    if (!res)
        return -1;
    const char *version = pg_get_text(res, 0, 0);
    snprintf(f.version, sizeof f.version, "PostgreSQL %.60s", version ? version : "");
    f.table_exists = pg_get_bool(res, 0, 1);
    f.standby = pg_get_bool(res, 0, 2);
    f.now_us = pg_get_time(res, 0, 3);
    /* A pooler in between reports its own idea of the session, without the server's process id. */
    f.pooled = PQbackendPID(s->conn) == 0 || !PQparameterStatus(s->conn, "is_superuser");
    PQclear(res);
    if (f.table_exists && table_facts(s, b, arena, &f, err) < 0)
        return -1;
    *ret = f;
    return 0;
}

int pg_view_facts(struct store *store, const struct store_balance *b, struct view_facts *ret,
                  struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    int rc = facts_in(pg_of(store), b, &arena, ret, err);
    arena_free(&arena);
    return rc;
}
