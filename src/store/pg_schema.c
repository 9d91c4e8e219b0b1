/* PostgreSQL: our own tables and their versions. A balance's table is pg_adopt.c's. */
#include "store/pg.h"

#include "base/mem.h"
#include "base/parse.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NOW "TIMESTAMP NOT NULL DEFAULT (CURRENT_TIMESTAMP AT TIME ZONE 'UTC')"

/* Two programs that start at once upgrade one after the other. */
#define MIGRATE_LOCK "SELECT pg_advisory_xact_lock(8390895923146846978)"

/* One entry a schema version; an entry is never edited once it was released. */
static const char *const migrations[SCHEMA_VERSION] = {
    "CREATE TABLE IF NOT EXISTS eth_indexer_checkpoints (name TEXT PRIMARY KEY,"
    " last_block BIGINT NOT NULL, updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);"
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
    "CREATE TABLE trueup_found (balance TEXT NOT NULL, wallet TEXT NOT NULL,"
    " block BIGINT NOT NULL, PRIMARY KEY (balance, wallet));",
};

int pg_schema_version(struct pg *s, uint64_t *ret, struct err *err)
{
    struct arena arena;
    const char *text = NULL;
    arena_init(&arena);
    struct pg_command c = {.sql = "SELECT to_regclass('trueup_state') IS NOT NULL"};
    PGresult *res = pg_query(s, &c, err);
    bool exists = res && pg_get_bool(res, 0, 0);
    int rc = res ? 0 : -1;
    uint64_t version = 0;
    PQclear(res);
    if (exists)
        rc = pg_state_text(s, "schema", &arena, &text, err);
    if (rc == 0 && text && !parse_u64(text, strlen(text), &version))
        rc = err_set(err, ERR_STORE, "%s: trueup_state holds schema \"%s\"", s->base.masked, text);
    arena_free(&arena);
    if (rc != 0)
        return -1;
    if (version > SCHEMA_VERSION) {
        err_set(err, ERR_STORE, "%s: schema %" PRIu64 " is newer than this program's %d",
                s->base.masked, version, SCHEMA_VERSION);
        return err_hint(err, "run the newer trueup, or restore the backup made before it");
    }
    *ret = version;
    return 0;
}

static int upgrade(struct pg *s, struct err *err)
{
    uint64_t version;
    char text[24];
    if (pg_exec(s,
                "BEGIN; " MIGRATE_LOCK "; CREATE TABLE IF NOT EXISTS trueup_state (key TEXT "
                "PRIMARY KEY, value TEXT NOT NULL)",
                err) != 0 ||
        pg_schema_version(s, &version, err) != 0)
        return pg_rollback(s);
    for (uint64_t v = version; v < SCHEMA_VERSION; v++)
        if (pg_exec(s, migrations[v], err) != 0)
            return -1;
    snprintf(text, sizeof text, "%d", SCHEMA_VERSION);
    if (pg_state_put(s, "schema", text, err) != 0)
        return -1;
    return pg_exec(s, "COMMIT", err);
}

int pg_own_tables(struct pg *s, struct err *err)
{
    uint64_t version;
    if (pg_schema_version(s, &version, err) != 0)
        return -1;
    if (version == SCHEMA_VERSION || upgrade(s, err) == 0)
        return 0;
    if (strcmp(pg_last_state(s), "42501") == 0)
        err_hint(err, "as the schema's owner: GRANT CREATE, USAGE ON SCHEMA public TO \"%s\";",
                 PQuser(s->conn));
    return -1;
}

int pg_migrate(struct store *store, const struct store_balance *b, size_t n,
               struct store_adopted *ret, struct err *err)
{
    struct pg *s = pg_of(store);
    struct store_adopted done = {0};
    struct arena arena;
    arena_init(&arena);
    int rc = pg_scanning(s, true, err);
    if (rc == 0)
        rc = pg_own_tables(s, err);
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = pg_adopt(s, &b[i], &arena, &done, err);
    if (rc == 0)
        rc = pg_scanning(s, false, err);
    arena_free(&arena);
    if (rc == 0)
        *ret = done;
    return rc;
}

int pg_check(struct store *store, const struct store_balance *b, size_t n, struct err *err)
{
    struct pg *s = pg_of(store);
    struct arena arena;
    uint64_t version;
    int rc = 0;
    if (pg_schema_version(s, &version, err) != 0)
        return -1;
    if (version < SCHEMA_VERSION) {
        err_set(err, ERR_STORE,
                version ? "%s: the schema is older than this program's"
                        : "%s: there is no trueup schema",
                s->base.masked);
        return err_hint(err, "run trueup migrate");
    }
    arena_init(&arena);
    for (size_t i = 0; i < n && rc == 0; i++) {
        struct pg_fit fit;
        rc = pg_fit(s, &b[i], &arena, &fit, err);
        if (rc == 0 && !fit.exists)
            rc = err_set(err, ERR_STORE, "there is no table \"%s\"", b[i].table);
        else if (rc == 0 && !fit.observed)
            rc = err_set(err, ERR_STORE, "table \"%s\" has no column observed_block", b[i].table);
        if (rc != 0 && err && !err->hint[0])
            err_hint(err, "run trueup migrate");
    }
    arena_free(&arena);
    return rc;
}

int pg_reset_chain(struct store *store, const struct store_balance *b, size_t n, struct err *err)
{
    struct pg *s = pg_of(store);
    struct arena arena;
    arena_init(&arena);
    int rc = pg_scanning(s, true, err);
    if (rc == 0)
        rc = pg_exec(s,
                     "BEGIN; DELETE FROM trueup_blocks; DELETE FROM trueup_dirty; DELETE FROM "
                     "trueup_quarantine; DELETE FROM trueup_found; DELETE FROM trueup_state WHERE "
                     "key <> 'schema' AND key NOT "
                     "LIKE 'terms:%' AND key NOT LIKE 'rules:%' AND key NOT LIKE 'wrote:%' AND key "
                     "NOT LIKE 'odd:%' AND key NOT LIKE 'spent%'",
                     err);
    for (size_t i = 0; i < n && rc == 0; i++) {
        struct pg_command c[] = {
            {.sql = "DELETE FROM eth_indexer_checkpoints WHERE name = $1", .params.arena = &arena},
            {.sql = arena_printf(&arena,
                                 "UPDATE %s SET observed_block = NULL, blocknumber = NULL, "
                                 "updated_at = '1970-01-01'",
                                 pg_table(s, b[i].table, &arena))},
        };
        pg_p_text(&c[0].params, b[i].checkpoint);
        rc = pg_run(s, c, COUNT_OF(c), NULL, err);
    }
    if (rc == 0)
        rc = pg_exec(s, "COMMIT", err);
    if (rc == 0)
        rc = pg_scanning(s, false, err);
    arena_free(&arena);
    return rc;
}
