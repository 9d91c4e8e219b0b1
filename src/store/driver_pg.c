/* PostgreSQL: the driver's functions over pg_run(), and what words stand for. */
#include "store/pg.h"

#include <string.h>

static int pg_set_scanning(struct store *s, bool on, struct err *err)
{
    if (pg_of(s)->pooled)
        return 0; /* the settings go with each transaction */
    if (on)
        return pg_exec(s, "SET statement_timeout = '10min'; SET lock_timeout = '10s'", err);
    return pg_exec(s,
                   s->fence.role ? "SET statement_timeout = '8s'; SET lock_timeout = '2s'"
                                 : "SET statement_timeout = '30s'; SET lock_timeout = '10s'",
                   err);
}

static uint64_t pg_changed_rows(PGresult *res)
{
    uint64_t n = 0;
    for (const char *p = PQcmdTuples(res); *p; p++)
        n = n * 10 + (uint64_t)(*p - '0');
    return n;
}

/* What a statement alone needs no transaction for is sent alone. */
static int pg_write(struct store *store, const struct db_query *list, size_t n, int how,
                    uint64_t *ret_changed, struct err *err)
{
    struct pg *s = pg_of(store);
    struct db_query all[PG_PIPELINE_MAX];
    PGresult *res[PG_PIPELINE_MAX];
    size_t sent = 0;
    bool fenced = store->depth == 0 && store->fence.role;
    bool whole = store->depth == 0 && (n > 1 || fenced || (how & (DB_ASYNC | DB_JOINS)));
    if (n + 5 > PG_PIPELINE_MAX)
        return err_set(err, ERR_FAILED, "a write of %zu statements", n);
    if (whole)
        all[sent++] = (struct db_query){.sql = PG_BEGIN, .hot = true};
    size_t fence = sent;
    if (fenced)
        all[sent++] = pg_fence(s);
    if (how & DB_ASYNC)
        all[sent++] = (struct db_query){.sql = "SET LOCAL synchronous_commit = off"};
    if (how & DB_JOINS)
        all[sent++] = (struct db_query){.sql = PG_ALL_JOINS};
    memcpy(&all[sent], list, n * sizeof *list);
    sent += n;
    size_t last = sent - 1;
    if (whole)
        all[sent++] = (struct db_query){.sql = "COMMIT", .hot = true};
    if ((fenced ? pg_run_commit(s, all, sent, fence, res, err) : pg_run(s, all, sent, res, err)) !=
        0)
        return -1;
    if (ret_changed)
        *ret_changed = pg_changed_rows(res[last]);
    pg_clear(res, sent);
    return 0;
}

static int pg_read(struct store *store, const struct db_query *q, struct db_rows *ret,
                   struct err *err)
{
    PGresult *res;
    if (pg_run(pg_of(store), q, 1, &res, err) != 0)
        return -1;
    ret->at = res;
    return 0;
}

bool pg_next_row(struct db_rows *rows)
{
    return ++rows->row < PQntuples(rows->at);
}

static int pg_next(struct db_rows *rows, struct err *err)
{
    (void)err;
    return pg_next_row(rows);
}

static void pg_end(struct db_rows *rows)
{
    PQclear(rows->at);
}

struct db_rows pg_rows(struct pg *s, PGresult *res)
{
    return (struct db_rows){.s = &s->base, .at = res, .row = -1};
}

/* Times in tables are without a zone, and UTC. */
#define AFTER(ms)     "((CURRENT_TIMESTAMP + " ms " * interval '1 millisecond') AT TIME ZONE 'UTC')"
#define AS_TEXT(time) "to_char(" time ", 'YYYY-MM-DD HH24:MI:SS.US')"

static const char *const pg_words[][2] = {
    {"now", "CURRENT_TIMESTAMP"},
    {"after", AFTER("@")},
    {"now_text", AS_TEXT("CURRENT_TIMESTAMP AT TIME ZONE 'UTC'")},
    {"after_text", AS_TEXT(AFTER("@"))},
    {"1970", "'1970-01-01'"},
    {"for", "FOR @"},
    {"larger", "greatest(@)"}, /* of two */
    {"exists", "to_regclass('{schema}@') IS NOT NULL"},
    {"canonical", "(length(@) = 42 AND @ ~ '^0x[0-9a-f]*$')"},
    {"kept", "strpos(" PG_MISSED ", @) = 0"},
    {"kept_all", PG_MISSED " = ''"},
    {"largest_first", "t.balance DESC"},
    /* a row a bucket */
    {"ages",
     "SELECT width_bucket(greatest(extract(epoch FROM localtimestamp - updated_at), 0)::float8, "
     "ARRAY[@]::float8[])::int8, count(*), count(observed_block), min(updated_at), "
     "max(updated_at), count(*) FILTER (WHERE updated_at < $1) FROM {t} GROUP BY 1"},
    /* an estimate, as the planner has it */
    {"unanchored_rows",
     "SELECT (greatest(c.reltuples, 0) * coalesce(st.null_frac, 1))::bigint FROM pg_class c JOIN "
     "pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stats st ON st.schemaname = n.nspname "
     "AND st.tablename = c.relname AND st.attname = 'observed_block' WHERE c.oid = "
     "to_regclass({t_text})"},
    {"check_constraints", "SET CONSTRAINTS ALL IMMEDIATE"},
    /* triggers on partitions are found one level down */
    {"traits",
     "SELECT EXISTS (SELECT 1 FROM pg_trigger g WHERE (g.tgrelid = c.oid OR g.tgrelid IN (SELECT "
     "inhrelid FROM pg_inherits WHERE inhparent = c.oid)) AND NOT g.tgisinternal AND (g.tgtype & "
     "1) = 1 AND g.tgenabled IN ('O', 'A') AND left(g.tgname::text, 7) <> 'trueup_'), "
     "c.relrowsecurity, EXISTS (SELECT 1 FROM trueup_state WHERE key = $2 AND value = $1) FROM "
     "pg_class c WHERE c.oid = to_regclass({t_text})"},
    {"create_table",
     "CREATE TABLE {t} (wallet TEXT PRIMARY KEY, balance NUMERIC NOT NULL DEFAULT 0, blocknumber "
     "BIGINT, updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, created_at TIMESTAMP NOT "
     "NULL DEFAULT CURRENT_TIMESTAMP, observed_block BIGINT)"},
    {NULL, NULL},
};

/* A writer that was stopped in the middle of a transaction keeps its locks for as long as its
 * session lasts: no timeout of the server runs while it waits for the rest of a message. */
static int pg_end_writers(struct store *s, const struct lease_view *seen, struct err *err)
{
    struct db_query q = {
        .sql = "SELECT count(pg_terminate_backend(a.pid)) FROM pg_stat_activity a WHERE "
               "a.backend_xid::text IN (SELECT xmax::text FROM trueup_lease UNION SELECT "
               "xmax::text FROM trueup_fence) AND a.pid <> pg_backend_pid() AND EXISTS (SELECT 1 "
               "FROM trueup_lease WHERE generation = $1 AND coalesce(holder, '') = $2 AND beat = "
               "$3)",
        .params = {db_number(seen->owner.generation), db_text(seen->owner.holder),
                   db_number(seen->beat)}};
    uint64_t ended;
    return db_read_number(s, &q, &ended, NULL, err);
}

const struct store_driver pg_driver = {
    .size = sizeof(struct pg),
    .words = pg_words,
    .begin = PG_BEGIN,
    .migrations = pg_migrations,
    .lock_schema = "SELECT pg_advisory_xact_lock(8390895923146846978)",
    .open_schema =
        "CREATE TABLE IF NOT EXISTS trueup_state (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    .has_schemas = true,
    .parallel_writers = true,
    .foreign_clock_us = INT64_C(12) * 60 * 60 * 1000000,
    .connect = pg_connect,
    .disconnect = pg_disconnect,
    .exec = pg_exec,
    .rollback = pg_rollback,
    .set_scanning = pg_set_scanning,
    .write = pg_write,
    .read = pg_read,
    .next = pg_next,
    .end = pg_end,
    .get_text = pg_get_text,
    .get_number = pg_get_number,
    .get_balance = pg_get_balance,
    .get_time = pg_get_time,
    .apply = pg_apply,
    .claim = pg_claim,
    .sample = pg_sample,
    .fit_table = pg_fit_table,
    .add_column = pg_add_column,
    .add_index = pg_add_index,
    .hint_rights = pg_hint_rights,
    .make_schema = pg_make_schema,
    .end_writers = pg_end_writers,
    .read_facts = pg_read_facts,
    .ask_query = pg_ask_query,
    .walk_query = pg_walk_query,
};
