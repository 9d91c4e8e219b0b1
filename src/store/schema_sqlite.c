/*
 * SQLite: our own tables and a balance's table. Balances are TEXT: a column of type NUMERIC would
 * turn a large number into a float. WITHOUT ROWID because the table is then its own index, and a
 * pass in key order is many times faster.
 */
#include "store/sqlite.h"

#include <string.h>

/* One entry a schema version; an entry is never edited once it was released. */
const char *const sq_migrations[SCHEMA_VERSION] = {
    "CREATE TABLE IF NOT EXISTS eth_indexer_checkpoints (name TEXT NOT NULL PRIMARY KEY,"
    " last_block BIGINT NOT NULL, updated_at TEXT NOT NULL DEFAULT " SQ_NOW ") WITHOUT ROWID;"
    "CREATE TABLE trueup_wallets (balance TEXT NOT NULL, wallet TEXT NOT NULL,"
    " pending INTEGER NOT NULL DEFAULT 1, added_at TEXT NOT NULL DEFAULT " SQ_NOW ","
    " PRIMARY KEY (balance, wallet)) WITHOUT ROWID;"
    "CREATE INDEX trueup_wallets_pending_idx ON trueup_wallets (balance, wallet) WHERE pending;"
    "CREATE TABLE trueup_blocks (number BIGINT NOT NULL, hash TEXT NOT NULL,"
    " parent TEXT NOT NULL, timestamp BIGINT NOT NULL, canonical INTEGER NOT NULL,"
    " PRIMARY KEY (number, hash)) WITHOUT ROWID;"
    "CREATE TABLE trueup_dirty (balance TEXT NOT NULL, wallet TEXT NOT NULL,"
    " number BIGINT NOT NULL, hash TEXT NOT NULL,"
    " PRIMARY KEY (balance, number, wallet, hash)) WITHOUT ROWID;"
    "CREATE TABLE trueup_quarantine (balance TEXT NOT NULL, wallet TEXT NOT NULL,"
    " failures INTEGER NOT NULL, reason TEXT NOT NULL, event_block BIGINT,"
    " retry_at TEXT NOT NULL, PRIMARY KEY (balance, wallet)) WITHOUT ROWID;"
    "CREATE INDEX trueup_quarantine_retry_idx ON trueup_quarantine (balance, retry_at);"
    "CREATE TABLE trueup_drift (id INTEGER PRIMARY KEY AUTOINCREMENT, balance TEXT NOT NULL,"
    " wallet TEXT NOT NULL, stored TEXT NOT NULL, actual TEXT NOT NULL, block BIGINT NOT NULL,"
    " cause TEXT NOT NULL, endpoint TEXT, age BIGINT, found_at TEXT NOT NULL DEFAULT " SQ_NOW ");"
    "CREATE TABLE trueup_changes (id INTEGER PRIMARY KEY AUTOINCREMENT, balance TEXT NOT NULL,"
    " wallet TEXT NOT NULL, old TEXT, new TEXT NOT NULL, block BIGINT NOT NULL,"
    " cause TEXT NOT NULL, at TEXT NOT NULL);"
    "CREATE INDEX trueup_changes_wallet_idx ON trueup_changes (balance, wallet, id);"
    "CREATE TABLE trueup_learned (endpoint TEXT NOT NULL, reader TEXT NOT NULL,"
    " sizes TEXT NOT NULL, updated_at TEXT NOT NULL DEFAULT " SQ_NOW ","
    " PRIMARY KEY (endpoint, reader)) WITHOUT ROWID;",
    ("CREATE TABLE trueup_found (balance TEXT NOT NULL, wallet TEXT NOT NULL,"
     " block BIGINT NOT NULL, PRIMARY KEY (balance, wallet)) WITHOUT ROWID;"),
    "ALTER TABLE trueup_dirty ADD COLUMN endpoint TEXT;",
    /* The first edition's every batch begins by reading `canonical`: it writes no row after this.
     */
    "ALTER TABLE trueup_blocks RENAME COLUMN canonical TO on_chain;"
    "CREATE TABLE trueup_lease (one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),"
    " generation BIGINT NOT NULL, holder TEXT, fingerprint TEXT NOT NULL, beat BIGINT NOT NULL,"
    " facts TEXT NOT NULL);"
    "INSERT INTO trueup_lease VALUES (1, 0, NULL, '', 0, '');"
    "CREATE TABLE trueup_fence (role TEXT NOT NULL PRIMARY KEY, generation BIGINT NOT NULL,"
    " holder TEXT, seq BIGINT NOT NULL, beat BIGINT NOT NULL, job TEXT NOT NULL) WITHOUT ROWID;"
    "INSERT INTO trueup_fence SELECT column1, 0, NULL, 0, 0, '' FROM (VALUES ('follow'), ('sweep'),"
    " ('job'), ('job2'), ('job3'));",
};

static const char *const columns[] = {"wallet",     "balance",    "blocknumber",
                                      "updated_at", "created_at", "observed_block"};
enum { N_COLUMNS = 6, OBSERVED = 5 };

static int sq_take_column(const char *table, const struct db_rows *rows, bool has[N_COLUMNS],
                          struct err *err)
{
    const char *name = db_get_text(rows, 0), *type = db_get_text(rows, 1);
    for (int i = 0; i < N_COLUMNS; i++)
        has[i] |= sqlite3_stricmp(name, columns[i]) == 0;
    if (sqlite3_stricmp(name, "balance") == 0 && !strstr(type, "TEXT") && !strstr(type, "CHAR")) {
        err_set(err, ERR_STORE, "table \"%s\": column balance is %s, not TEXT", table, type);
        return err_hint(err, "SQLite would keep large numbers as floats in it");
    }
    uint64_t key = 0;
    db_get_number(rows, 2, &key);
    if (sqlite3_stricmp(name, "wallet") == 0 && key != 1)
        return err_set(err, ERR_STORE, "table \"%s\": column wallet is not the primary key", table);
    return 0;
}

int sq_fit_table(struct store *s, const struct store_balance *b, struct db_fit *ret,
                 struct err *err)
{
    struct db_query q = {.sql = "SELECT name, upper(type), pk FROM pragma_table_info($1)",
                         .params = {db_text(b->table)}};
    bool has[N_COLUMNS] = {false};
    struct db_rows rows;
    int rc, fits = 0;
    if (db_read(s, &q, &rows, err) < 0)
        return -1;
    while (fits == 0 && (rc = db_next(&rows, err)) == 1) {
        ret->exists = true;
        fits = sq_take_column(b->table, &rows, has, err);
    }
    db_end(&rows);
    if (fits < 0 || rc < 0)
        return -1;
    for (int i = 0; ret->exists && i < OBSERVED; i++)
        if (!has[i])
            return err_set(err, ERR_STORE, "table \"%s\" has no column %s", b->table, columns[i]);
    ret->observed = has[OBSERVED];
    ret->owner = true;
    return 0;
}

int sq_add_column(struct store *s, const struct store_balance *b, bool owner, struct err *err)
{
    struct db_query q = {.sql = "ALTER TABLE {t} ADD COLUMN observed_block BIGINT", .b = b};
    (void)owner;
    return db_write(s, &q, 1, 0, NULL, err);
}

int sq_add_index(struct store *s, const struct store_balance *b, const struct db_fit *fit,
                 struct store_adopted *ret, struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    const char *name = arena_printf(&arena, "%s_updated_at_idx", b->table);
    struct db_query q = {.sql = arena_printf(&arena,
                                             "CREATE INDEX IF NOT EXISTS %s ON {t} (updated_at)",
                                             db_quote(s, name, &arena)),
                         .b = b};
    int rc = db_write(s, &q, 1, 0, NULL, err);
    arena_free(&arena);
    (void)fit, (void)ret;
    return rc;
}
