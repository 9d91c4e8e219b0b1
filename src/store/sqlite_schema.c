/*
 * SQLite: our own tables, a balance's table, and the questions asked at every start: have the terms
 * changed, has another program written here since we did?
 *
 * All of it is one transaction, DDL included. Balances are TEXT: a column of type NUMERIC would
 * turn a large number into a float. WITHOUT ROWID because the table is then its own index, and a
 * pass in key order is many times faster.
 */
#include "store/sqlite.h"

#include "base/err.h"
#include "base/parse.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NOW "(strftime('%Y-%m-%d %H:%M:%f','now') || '000')"

/* One entry a schema version; an entry is never edited once it was released. */
static const char *const migrations[SCHEMA_VERSION] = {
    "CREATE TABLE IF NOT EXISTS eth_indexer_checkpoints (name TEXT NOT NULL PRIMARY KEY,"
    " last_block BIGINT NOT NULL, updated_at TEXT NOT NULL DEFAULT " NOW ") WITHOUT ROWID;"
    "CREATE TABLE trueup_wallets (balance TEXT NOT NULL, wallet TEXT NOT NULL,"
    " pending INTEGER NOT NULL DEFAULT 1, added_at TEXT NOT NULL DEFAULT " NOW ","
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
    " cause TEXT NOT NULL, endpoint TEXT, age BIGINT, found_at TEXT NOT NULL DEFAULT " NOW ");"
    "CREATE TABLE trueup_changes (id INTEGER PRIMARY KEY AUTOINCREMENT, balance TEXT NOT NULL,"
    " wallet TEXT NOT NULL, old TEXT, new TEXT NOT NULL, block BIGINT NOT NULL,"
    " cause TEXT NOT NULL, at TEXT NOT NULL);"
    "CREATE INDEX trueup_changes_wallet_idx ON trueup_changes (balance, wallet, id);"
    "CREATE TABLE trueup_learned (endpoint TEXT NOT NULL, reader TEXT NOT NULL,"
    " sizes TEXT NOT NULL, updated_at TEXT NOT NULL DEFAULT " NOW ","
    " PRIMARY KEY (endpoint, reader)) WITHOUT ROWID;",
    "CREATE TABLE trueup_found (balance TEXT NOT NULL, wallet TEXT NOT NULL,"
    " block BIGINT NOT NULL, PRIMARY KEY (balance, wallet)) WITHOUT ROWID;",
};

int sq_state_set(struct sq *s, const char *key, const char *value, struct err *err)
{
    sqlite3_stmt *st = sq_prepare(s, err,
                                  "INSERT INTO trueup_state (key, value) VALUES (?1, ?2) "
                                  "ON CONFLICT (key) DO UPDATE SET value = excluded.value");
    if (!st)
        return -1;
    sq_text(st, 1, key);
    sq_text(st, 2, value);
    return sq_run(s, st, err);
}

/* One text by a query with one text parameter; empty and false when there is none. */
static int one_text(struct sq *s, sqlite3_stmt *st, const char *arg, char *ret, size_t room,
                    bool *ret_found, struct err *err)
{
    if (!st)
        return -1;
    if (arg)
        sq_text(st, 1, arg);
    int rc = sq_step(s, st, err);
    if (rc < 0)
        return -1;
    const char *text = rc == 1 ? (const char *)sqlite3_column_text(st, 0) : NULL;
    *ret_found = text != NULL;
    snprintf(ret, room, "%s", text ? text : "");
    sqlite3_reset(st);
    return 0;
}

static int state_text(struct sq *s, const char *key, char *ret, size_t room, bool *ret_found,
                      struct err *err)
{
    return one_text(s, sq_prepare(s, err, "SELECT value FROM trueup_state WHERE key = ?1"), key,
                    ret, room, ret_found, err);
}

/* ret 0: there is no schema yet. */
static int schema_version(struct sq *s, uint64_t *ret, struct err *err)
{
    char text[64];
    bool found;
    *ret = 0;
    if (one_text(s,
                 sq_prepare(s, err,
                            "SELECT name FROM sqlite_master WHERE type = 'table' AND "
                            "name = 'trueup_state'"),
                 NULL, text, sizeof text, &found, err) != 0)
        return -1;
    if (!found)
        return 0;
    if (state_text(s, "schema", text, sizeof text, &found, err) != 0)
        return -1;
    if (found && !parse_u64(text, strlen(text), ret))
        return err_set(err, ERR_STORE, "%s: trueup_state holds schema \"%s\"", s->base.masked,
                       text);
    if (*ret > SCHEMA_VERSION) {
        err_set(err, ERR_STORE, "%s: schema %" PRIu64 " is newer than this program's %d",
                s->base.masked, *ret, SCHEMA_VERSION);
        return err_hint(err, "run the newer trueup, or restore the backup made before it");
    }
    return 0;
}

static int own_tables(struct sq *s, struct err *err)
{
    uint64_t version;
    char text[24];
    if (sq_exec(s, err,
                "CREATE TABLE IF NOT EXISTS trueup_state (key TEXT NOT NULL PRIMARY KEY,"
                " value TEXT NOT NULL) WITHOUT ROWID") != 0 ||
        schema_version(s, &version, err) != 0)
        return -1;
    for (uint64_t v = version; v < SCHEMA_VERSION; v++)
        if (sq_exec(s, err, migrations[v]) != 0)
            return -1;
    snprintf(text, sizeof text, "%d", SCHEMA_VERSION);
    return version == SCHEMA_VERSION ? 0 : sq_state_set(s, "schema", text, err);
}

/* ---- a balance's table ----------------------------------------------------------------------- */

static const char *const columns[] = {"wallet",     "balance",    "blocknumber",
                                      "updated_at", "created_at", "observed_block"};
enum { N_COLUMNS = 6, OBSERVED = 5 };

static int read_columns(struct sq *s, const char *table, bool has[N_COLUMNS], bool *exists,
                        struct err *err)
{
    sqlite3_stmt *st =
        sq_prepare(s, err, "SELECT name, upper(type), pk FROM pragma_table_info(?1)");
    if (!st)
        return -1;
    int rc;
    sq_text(st, 1, table);
    while ((rc = sq_step(s, st, err)) == 1) {
        const char *name = (const char *)sqlite3_column_text(st, 0);
        const char *type = (const char *)sqlite3_column_text(st, 1);
        *exists = true;
        for (int i = 0; i < N_COLUMNS; i++)
            has[i] |= sqlite3_stricmp(name, columns[i]) == 0;
        if (sqlite3_stricmp(name, "balance") == 0 && !strstr(type, "TEXT") &&
            !strstr(type, "CHAR")) {
            err_set(err, ERR_STORE, "table \"%s\": column balance is %s, not TEXT", table, type);
            sqlite3_reset(st);
            return err_hint(err, "SQLite would keep large numbers as floats in it");
        }
        if (sqlite3_stricmp(name, "wallet") == 0 && sqlite3_column_int(st, 2) != 1) {
            sqlite3_reset(st);
            return err_set(err, ERR_STORE, "table \"%s\": column wallet is not the primary key",
                           table);
        }
    }
    sqlite3_reset(st);
    return rc;
}

static int create_table(struct sq *s, const struct store_balance *b, struct err *err)
{
    return sq_run(s,
                  sq_prepare(s, err,
                             "CREATE TABLE \"%w\" (wallet TEXT NOT NULL PRIMARY KEY,"
                             " balance TEXT NOT NULL DEFAULT '0', blocknumber BIGINT,"
                             " updated_at TEXT NOT NULL DEFAULT %s,"
                             " created_at TEXT NOT NULL DEFAULT %s,"
                             " observed_block BIGINT) WITHOUT ROWID",
                             b->table, NOW, NOW),
                  err);
}

static int table_fits(struct sq *s, const struct store_balance *b, struct store_adopted *ret,
                      struct err *err)
{
    bool has[N_COLUMNS] = {false}, exists = false;
    if (read_columns(s, b->table, has, &exists, err) != 0)
        return -1;
    if (!exists) {
        ret->created = true;
        if (create_table(s, b, err) != 0)
            return -1;
    } else {
        for (int i = 0; i < OBSERVED; i++)
            if (!has[i])
                return err_set(err, ERR_STORE, "table \"%s\" has no column %s", b->table,
                               columns[i]);
        if (!has[OBSERVED]) {
            ret->added_column = true;
            if (sq_run(s,
                       sq_prepare(s, err, "ALTER TABLE \"%w\" ADD COLUMN observed_block BIGINT",
                                  b->table),
                       err) != 0)
                return -1;
        }
    }
    return sq_run(s,
                  sq_prepare(s, err,
                             "CREATE INDEX IF NOT EXISTS \"%w_updated_at_idx\" "
                             "ON \"%w\" (updated_at)",
                             b->table, b->table),
                  err);
}

static int count_into(struct sq *s, sqlite3_stmt *st, uint64_t *ret, struct err *err)
{
    if (!st || sq_step(s, st, err) != 1)
        return -1;
    *ret = (uint64_t)sqlite3_column_int64(st, 0);
    sqlite3_reset(st);
    return 0;
}

/* Compares a fingerprint with what is stored and stores the new one. */
static int fingerprint(struct sq *s, const char *what, const char *balance, const hash32 *print,
                       bool *ret_known, bool *ret_same, struct err *err)
{
    char key[STATE_KEY], want[HASH_TEXT], have[HASH_TEXT + 1];
    state_key(key, what, balance, NULL);
    hash_text(print, want);
    if (state_text(s, key, have, sizeof have, ret_known, err) != 0)
        return -1;
    *ret_same = *ret_known && strcmp(have, want) == 0;
    return *ret_same ? 0 : sq_state_set(s, key, want, err);
}

/* Rows newer than anything we wrote are another program's. */
static int foreign_rows(struct sq *s, const struct store_balance *b, struct store_adopted *ret,
                        struct err *err)
{
    char prefix[STATE_KEY + 1], last[64];
    bool found;
    state_key(prefix, "wrote", b->name, "");
    sqlite3_stmt *st = sq_prepare(s, err,
                                  "SELECT max(value) FROM trueup_state WHERE "
                                  "substr(key, 1, length(?1)) = ?1");
    if (one_text(s, st, prefix, last, sizeof last, &found, err) != 0)
        return -1;
    st = sq_prepare(s, err,
                    "UPDATE \"%w\" SET observed_block = NULL WHERE updated_at > ?1 AND "
                    "observed_block IS NOT NULL",
                    b->table);
    if (!st)
        return -1;
    sq_text(st, 1, found ? last : ""); /* never wrote: whatever claims a proof has it from others */
    if (sq_run(s, st, err) != 0)
        return -1;
    ret->foreign_rows += (uint64_t)sqlite3_changes64(s->db);

    char key[STATE_KEY], ours[32], theirs[32];
    bool has_ours, has_theirs;
    state_key(key, "checkpoint", b->name, NULL);
    if (state_text(s, key, ours, sizeof ours, &has_ours, err) != 0 ||
        one_text(s,
                 sq_prepare(s, err,
                            "SELECT CAST(last_block AS TEXT) FROM "
                            "eth_indexer_checkpoints WHERE name = ?1"),
                 b->checkpoint, theirs, sizeof theirs, &has_theirs, err) != 0)
        return -1;
    ret->foreign_checkpoint |= has_ours && has_theirs && strcmp(ours, theirs) != 0;
    return 0;
}

static int adopt(struct sq *s, const struct store_balance *b, struct store_adopted *ret,
                 struct err *err)
{
    bool known, same;
    uint64_t odd, unanchored;
    if (table_fits(s, b, ret, err) != 0 ||
        fingerprint(s, "terms", b->name, &b->terms_print, &known, &same, err) != 0)
        return -1;
    if (known && !same) {
        ret->terms_changed = true;
        if (sq_run(s,
                   sq_prepare(s, err,
                              "UPDATE \"%w\" SET observed_block = NULL WHERE "
                              "observed_block IS NOT NULL",
                              b->table),
                   err) != 0)
            return -1;
    } else if (foreign_rows(s, b, ret, err) != 0) {
        return -1;
    }
    if (fingerprint(s, "rules", b->name, &b->rules_print, &known, &same, err) != 0)
        return -1;
    ret->rules_changed |= known && !same;
    /* The list may name wallets whose row the application has deleted since. */
    sqlite3_stmt *st = sq_prepare(s, err,
                                  "UPDATE trueup_wallets SET pending = 1 WHERE "
                                  "balance = ?1 AND NOT pending AND NOT EXISTS (SELECT 1 "
                                  "FROM \"%w\" t WHERE t.wallet = trueup_wallets.wallet)",
                                  b->table);
    if (!st)
        return -1;
    sq_text(st, 1, b->name);
    if (sq_run(s, st, err) != 0)
        return -1;
    if (count_into(s,
                   sq_prepare(s, err,
                              "SELECT count(*) FROM \"%w\" WHERE length(wallet) <> 42 "
                              "OR substr(wallet, 1, 2) <> '0x' OR "
                              "substr(wallet, 3) GLOB '*[^0-9a-f]*'",
                              b->table),
                   &odd, err) != 0 ||
        count_into(s,
                   sq_prepare(s, err, "SELECT count(*) FROM \"%w\" WHERE observed_block IS NULL",
                              b->table),
                   &unanchored, err) != 0)
        return -1;
    ret->non_canonical_rows += odd;
    ret->unanchored_rows += unanchored;
    return 0;
}

int sq_migrate(struct store *store, const struct store_balance *b, size_t n,
               struct store_adopted *ret, struct err *err)
{
    struct sq *s = sq_of(store);
    struct store_adopted done = {0};
    if (sq_begin(s, err) != 0)
        return -1;
    if (own_tables(s, err) != 0)
        return sq_rollback(s);
    for (size_t i = 0; i < n; i++)
        if (adopt(s, &b[i], &done, err) != 0)
            return sq_rollback(s);
    if (sq_commit(s, err) != 0)
        return -1;
    *ret = done;
    return 0;
}

int sq_check(struct store *store, const struct store_balance *b, size_t n, struct err *err)
{
    struct sq *s = sq_of(store);
    uint64_t version;
    if (schema_version(s, &version, err) != 0)
        return -1;
    if (version < SCHEMA_VERSION) {
        err_set(err, ERR_STORE,
                version ? "%s: the schema is older than this program's"
                        : "%s: there is no trueup schema",
                s->base.masked);
        return err_hint(err, "run trueup migrate");
    }
    for (size_t i = 0; i < n; i++) {
        bool has[N_COLUMNS] = {false}, exists = false;
        if (read_columns(s, b[i].table, has, &exists, err) != 0)
            return -1;
        for (int c = 0; c < N_COLUMNS; c++)
            if (!has[c]) {
                if (exists)
                    err_set(err, ERR_STORE, "table \"%s\" has no column %s", b[i].table,
                            columns[c]);
                else
                    err_set(err, ERR_STORE, "there is no table \"%s\"", b[i].table);
                return err_hint(err, "run trueup migrate");
            }
    }
    return 0;
}

int sq_reset_chain(struct store *store, const struct store_balance *b, size_t n, struct err *err)
{
    struct sq *s = sq_of(store);
    if (sq_begin(s, err) != 0)
        return -1;
    if (sq_exec(s, err,
                "DELETE FROM trueup_blocks; DELETE FROM trueup_dirty;"
                "DELETE FROM trueup_quarantine; DELETE FROM trueup_found;"
                "DELETE FROM trueup_state WHERE key <> 'schema' AND key NOT LIKE 'terms:%'"
                " AND key NOT LIKE 'rules:%' AND key NOT LIKE 'wrote:%'"
                " AND key NOT LIKE 'spent%'") != 0)
        return sq_rollback(s);
    for (size_t i = 0; i < n; i++) {
        sqlite3_stmt *st =
            sq_prepare(s, err, "DELETE FROM eth_indexer_checkpoints WHERE name = ?1");
        if (st)
            sq_text(st, 1, b[i].checkpoint);
        if (sq_run(s, st, err) != 0 ||
            sq_run(s,
                   sq_prepare(s, err,
                              "UPDATE \"%w\" SET observed_block = NULL, blocknumber = "
                              "NULL, updated_at = '1970-01-01 00:00:00.000000'",
                              b[i].table),
                   err) != 0)
            return sq_rollback(s);
    }
    return sq_commit(s, err);
}
