/*
 * PostgreSQL: our own tables, and an application's table that becomes ours to keep while the
 * application uses it. Nothing here may make it wait: a column is added under a lock that is given
 * up after a moment and tried again, the index is built concurrently.
 */
#include "store/pg.h"

#include "base/backoff.h"
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    LOCK_TRY_MS = 150,       /* the application waits behind us this long at most */
    LOCK_GIVE_UP_MS = 60000, /* then the operator is told */
};

#define NOW "TIMESTAMP NOT NULL DEFAULT (CURRENT_TIMESTAMP AT TIME ZONE 'UTC')"

/* One entry a schema version; an entry is never edited once it was released. */
const char *const pg_migrations[SCHEMA_VERSION] = {
    /* IF NOT EXISTS asks for the right to create also where the table is there. */
    "DO $$ BEGIN IF to_regclass('eth_indexer_checkpoints') IS NULL THEN"
    " CREATE TABLE eth_indexer_checkpoints (name TEXT PRIMARY KEY,"
    " last_block BIGINT NOT NULL, updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);"
    " END IF; END $$;"
    "CREATE TABLE trueup_wallets (balance TEXT NOT NULL, wallet TEXT NOT NULL,"
    " pending BOOLEAN NOT NULL DEFAULT true, added_at " NOW ", PRIMARY KEY (balance, wallet));"
    "CREATE INDEX trueup_wallets_pending_idx ON trueup_wallets (balance, wallet) WHERE pending;"
    "CREATE TABLE trueup_blocks (number BIGINT NOT NULL, hash TEXT NOT NULL,"
    " parent TEXT NOT NULL, timestamp BIGINT NOT NULL, canonical BOOLEAN NOT NULL,"
    " PRIMARY KEY (number, hash));"
    "CREATE TABLE trueup_dirty (balance TEXT NOT NULL, wallet TEXT NOT NULL,"
    " number BIGINT NOT NULL, hash TEXT NOT NULL, PRIMARY KEY (balance, number, wallet, hash));"
    "CREATE TABLE trueup_quarantine (balance TEXT NOT NULL, wallet TEXT NOT NULL,"
    " failures BIGINT NOT NULL, reason TEXT NOT NULL, event_block BIGINT,"
    " retry_at TIMESTAMP NOT NULL, PRIMARY KEY (balance, wallet));"
    "CREATE INDEX trueup_quarantine_retry_idx ON trueup_quarantine (balance, retry_at);"
    "CREATE TABLE trueup_drift (id BIGSERIAL PRIMARY KEY, balance TEXT NOT NULL,"
    " wallet TEXT NOT NULL, stored NUMERIC NOT NULL, actual NUMERIC NOT NULL,"
    " block BIGINT NOT NULL, cause TEXT NOT NULL, endpoint TEXT, age BIGINT, found_at " NOW ");"
    "CREATE TABLE trueup_changes (id BIGSERIAL PRIMARY KEY, balance TEXT NOT NULL,"
    " wallet TEXT NOT NULL, old NUMERIC, new NUMERIC NOT NULL, block BIGINT NOT NULL,"
    " cause TEXT NOT NULL, at TIMESTAMP NOT NULL);"
    "CREATE INDEX trueup_changes_wallet_idx ON trueup_changes (balance, wallet, id);"
    "CREATE TABLE trueup_learned (endpoint TEXT NOT NULL, reader TEXT NOT NULL,"
    " sizes TEXT NOT NULL, updated_at " NOW ", PRIMARY KEY (endpoint, reader));",
    ("CREATE TABLE trueup_found (balance TEXT NOT NULL, wallet TEXT NOT NULL,"
     " block BIGINT NOT NULL, PRIMARY KEY (balance, wallet));"),
    "ALTER TABLE trueup_dirty ADD COLUMN endpoint TEXT;",
    /* The first edition's every batch begins by reading `canonical`: it writes no row after this.
     */
    "ALTER TABLE trueup_blocks RENAME COLUMN canonical TO on_chain;"
    "CREATE TABLE trueup_lease (one INTEGER PRIMARY KEY CHECK (one = 1), generation BIGINT NOT "
    "NULL,"
    " holder TEXT, fingerprint TEXT NOT NULL, beat BIGINT NOT NULL, facts TEXT NOT NULL)"
    " WITH (fillfactor = 10, autovacuum_vacuum_threshold = 50);"
    "INSERT INTO trueup_lease VALUES (1, 0, NULL, '', 0, '');"
    "CREATE TABLE trueup_fence (role TEXT PRIMARY KEY, generation BIGINT NOT NULL, holder TEXT,"
    " seq BIGINT NOT NULL, beat BIGINT NOT NULL, job TEXT NOT NULL)"
    " WITH (fillfactor = 10, autovacuum_vacuum_threshold = 50);"
    "INSERT INTO trueup_fence SELECT role, 0, NULL, 0, 0, '' FROM (VALUES ('follow'), ('sweep'),"
    " ('job'), ('job2'), ('job3')) r(role);",
};

void pg_hint_rights(struct store *s, struct err *err)
{
    if (strcmp(pg_of(s)->last_state, "42501") == 0 && err && !err->hint[0])
        err_hint(err, "as the schema's owner: GRANT CREATE, USAGE ON SCHEMA %s TO \"%s\";",
                 s->schema ? s->schema : "public", PQuser(pg_of(s)->conn));
}

int pg_make_schema(struct store *s, struct err *err)
{
    struct db_query there = {.sql = "SELECT count(*) FROM pg_namespace WHERE nspname = $1",
                             .params = {db_text(s->schema)}};
    char sql[96];
    uint64_t n = 0;
    if (!s->schema)
        return 0;
    if (db_read_number(s, &there, &n, NULL, err) < 0)
        return -1;
    if (n > 0)
        return 0;
    snprintf(sql, sizeof sql, "CREATE SCHEMA \"%.63s\"", s->schema);
    if (db_exec(s, sql, err) == 0)
        return 0;
    err_wrap(err, "create schema \"%s\"", s->schema);
    if (strcmp(pg_of(s)->last_state, "42501") == 0)
        err_hint(err, "as the database's owner: CREATE SCHEMA \"%s\" AUTHORIZATION \"%s\";",
                 s->schema, PQuser(pg_of(s)->conn));
    return -1;
}

static int pg_try_to_alter(struct pg *s, const char *sql, bool *ret_locked, struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    int rc = db_exec(
        &s->base,
        arena_printf(&arena, "BEGIN; SET LOCAL lock_timeout = %d; %s; COMMIT", LOCK_TRY_MS, sql),
        err);
    *ret_locked = strcmp(s->last_state, "55P03") == 0;
    arena_free(&arena);
    return rc;
}

static int pg_alter(struct pg *s, const char *table, const char *sql, struct err *err)
{
    struct backoff backoff;
    int64_t give_up = clock_ms() + LOCK_GIVE_UP_MS;
    backoff_init(&backoff, 200, 3000, rng_next(&s->base.rng));
    for (;;) {
        bool locked = false;
        if (pg_try_to_alter(s, sql, &locked, err) == 0)
            return 0;
        if (!locked || clock_ms() > give_up) {
            err_wrap(err, "add observed_block to \"%s\"", table);
            return err_hint(err, "when no transaction holds the table: %s;", sql);
        }
        if (err)
            err_clear(err);
        int64_t wait = backoff_next(&backoff);
        struct timespec t = {wait / 1000, wait % 1000 * 1000000};
        nanosleep(&t, NULL);
    }
}

int pg_add_column(struct store *s, const struct store_balance *b, bool owner, struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    const char *sql = arena_printf(&arena, "ALTER TABLE %s ADD COLUMN observed_block BIGINT",
                                   db_quote(s, b->table, &arena));
    int rc = -1;
    if (owner) {
        rc = pg_alter(pg_of(s), b->table, sql, err);
    } else {
        err_set(err, ERR_STORE, "table \"%s\" lacks observed_block, and \"%s\" does not own it",
                b->table, PQuser(pg_of(s)->conn));
        err_hint(err, "as its owner: %s;", sql);
    }
    arena_free(&arena);
    return rc;
}

static bool pg_take_name(const struct db_rows *row, struct arena *arena, void *item)
{
    *(const char **)item = db_keep_text(row, 0, arena);
    return true;
}

/* A partitioned table has no index built concurrently; its partitions have, and the table's own
 * takes those over in a moment. */
static int pg_index_partitions(struct store *s, const struct store_balance *b, struct arena *arena,
                               struct err *err)
{
    struct db_query q = {
        .sql = "WITH RECURSIVE p(oid) AS (SELECT to_regclass({t_text})::oid UNION ALL SELECT "
               "i.inhrelid FROM pg_inherits i JOIN p ON i.inhparent = p.oid) SELECT "
               "c.oid::regclass::text FROM p JOIN pg_class c ON c.oid = p.oid WHERE c.relkind = "
               "'r' AND NOT EXISTS (SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = "
               "i.indrelid AND a.attnum = i.indkey[0] WHERE i.indrelid = c.oid AND i.indisvalid "
               "AND i.indpred IS NULL AND i.indnkeyatts = 1 AND a.attname = 'updated_at')",
        .b = b};
    struct db_take take = {arena, sizeof(const char *), pg_take_name};
    const char **names;
    size_t n;
    int rc = db_read_list(s, &q, &take, &names, &n, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = db_exec(
            s, arena_printf(arena, "CREATE INDEX CONCURRENTLY ON %s (updated_at)", names[i]), err);
    return rc;
}

static int pg_add_index_in(struct store *s, const struct store_balance *b, const struct db_fit *fit,
                           struct arena *arena, struct store_adopted *ret, struct err *err)
{
    const char *table = b->table;
    bool concurrently = fit->exists && !fit->partitioned;
    const char *dot = strchr(table, '.');
    const char *name = arena_printf(arena, "%s_updated_at_idx", dot ? dot + 1 : table);
    const char *index = db_quote(s, name, arena); /* a name has no dot of its own here */
    const char *quoted = db_quote(s, table, arena);
    const char *sql = arena_printf(arena, "CREATE INDEX %s %s ON %s (updated_at)",
                                   concurrently ? "CONCURRENTLY" : "", index, quoted);
    struct err refused = {0};
    if (fit->owner && (!fit->partitioned || pg_index_partitions(s, b, arena, &refused) == 0) &&
        db_exec(s, sql, &refused) == 0) {
        ret->added_index = true;
        return 0;
    }
    if (pg_of(s)->broken) {
        if (err)
            *err = refused;
        return -1;
    }
    if (fit->owner) { /* a build that was given up leaves an invalid index behind */
        const char *whole =
            dot ? arena_printf(arena, "%.*s.%s", (int)(dot - table), table, name) : name;
        db_exec(s, arena_printf(arena, "DROP INDEX IF EXISTS %s", db_quote(s, whole, arena)), NULL);
    }
    ret->index_missing = true;
    snprintf(ret->index_sql, sizeof ret->index_sql, "CREATE INDEX %s%s ON %s (updated_at);",
             concurrently ? "CONCURRENTLY " : "", index, quoted);
    return 0;
}

/* Never a reason to refuse: without the index the sweep walks the table instead. */
int pg_add_index(struct store *s, const struct store_balance *b, const struct db_fit *fit,
                 struct store_adopted *ret, struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    int rc = pg_add_index_in(s, b, fit, &arena, ret, err);
    arena_free(&arena);
    return rc;
}
