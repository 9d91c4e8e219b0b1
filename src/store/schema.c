/*
 * The schema: our own tables and their versions, the balances' tables, and the questions asked at
 * every start: have the terms changed, has another program written here since we did?
 */
#include "store/driver.h"

#include "base/parse.h"
#include "store/rule.h"
#include "store/times.h"
#include "store/traits.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { UNANCHOR_STEP = 20000 };

/* ---- our own tables -------------------------------------------------------------------------- */

static int schema_hint_rights(struct store *s, struct err *err)
{
    if (s->driver->hint_rights)
        s->driver->hint_rights(s, err);
    return -1;
}

static int schema_read_version(struct store *s, uint64_t *ret, struct err *err)
{
    struct db_query there = {.sql = "SELECT {exists trueup_state}"};
    struct arena arena;
    const char *text = NULL;
    uint64_t version = 0, exists = 0;
    if (db_read_number(s, &there, &exists, NULL, err) < 0)
        return schema_hint_rights(s, err);
    arena_init(&arena);
    int rc = exists ? store_state_get(s, "schema", &arena, &text, err) : 0;
    if (rc == 0 && text && !parse_u64(text, strlen(text), &version))
        rc = err_set(err, ERR_STORE, "%s: trueup_state holds schema \"%s\"", s->masked, text);
    arena_free(&arena);
    if (rc != 0)
        return -1;
    if (version > SCHEMA_VERSION) {
        err_set(err, ERR_STORE, "%s: schema %" PRIu64 " is newer than this program's %d", s->masked,
                version, SCHEMA_VERSION);
        return err_hint(err, "run the newer trueup, or restore the backup made before it");
    }
    *ret = version;
    return 0;
}

static int schema_upgrade(struct store *s, struct err *err)
{
    uint64_t version = 0;
    char text[24];
    if (db_begin(s, 0, err) < 0 ||
        (s->driver->lock_schema && db_exec(s, s->driver->lock_schema, err) < 0) ||
        (s->driver->make_schema && s->driver->make_schema(s, err) < 0) ||
        db_exec(s, s->driver->open_schema, err) < 0)
        return -1;
    if (schema_read_version(s, &version, err) < 0)
        return db_rollback(s);
    for (uint64_t v = version; v < SCHEMA_VERSION; v++)
        if (db_exec(s, s->driver->migrations[v], err) < 0)
            return -1;
    /* A daemon of an older version wakes up fenced. */
    if (db_exec(s,
                "UPDATE trueup_lease SET generation = generation + 1, holder = NULL; UPDATE "
                "trueup_fence SET holder = NULL",
                err) < 0)
        return -1;
    snprintf(text, sizeof text, "%d", SCHEMA_VERSION);
    return store_state_set(s, "schema", text, err) < 0 ? -1 : db_commit(s, err);
}

int store_upgrade(struct store *s, struct err *err)
{
    uint64_t version;
    if (schema_read_version(s, &version, err) < 0)
        return -1;
    if (version == SCHEMA_VERSION || schema_upgrade(s, err) == 0)
        return 0;
    return schema_hint_rights(s, err);
}

/* ---- a balance's table ----------------------------------------------------------------------- */

/* *ret_fresh: the column is new, and no row can claim a proof. */
static int schema_make_table(struct store *s, const struct store_balance *b,
                             struct store_adopted *ret, bool *ret_fresh, struct err *err)
{
    struct db_query create = {.sql = "{create_table}", .b = b};
    struct db_fit fit = {0};
    if (s->driver->fit_table(s, b, &fit, err) < 0)
        return -1;
    *ret_fresh = !fit.observed;
    if (!fit.exists) {
        if (db_write(s, &create, 1, 0, NULL, err) < 0)
            return -1;
        if (traits_keep_made(s, b, err) < 0)
            return -1;
        ret->created = true;
        fit.owner = true;
    } else if (!fit.observed) {
        if (s->driver->add_column(s, b, fit.owner, err) < 0)
            return -1;
        ret->added_column = true;
    }
    return fit.index_on_time ? 0 : s->driver->add_index(s, b, &fit, ret, err);
}

/* The last wallet of the next step, and how many have an anchor up to there. */
static int schema_find_anchored(struct store *s, const struct store_balance *b, char last[80],
                                uint64_t *ret_n, struct err *err)
{
    struct db_query q = {
        .sql = "SELECT count(*), coalesce(max(w), '') FROM (SELECT wallet AS w FROM {t} WHERE "
               "wallet > $1 AND observed_block IS NOT NULL ORDER BY wallet LIMIT $2) AS n",
        .b = b,
        .params = {db_text(last), db_number(UNANCHOR_STEP)}};
    struct db_rows rows;
    int rc = -1;
    if (db_read(s, &q, &rows, err) < 0)
        return -1;
    if ((rc = db_next(&rows, err)) == 1) {
        db_get_number(&rows, 0, ret_n);
        db_copy_text(&rows, 1, last, 80);
        db_end(&rows);
    }
    return rc < 0 ? -1 : 0;
}

/* observed_block to NULL wherever it is set, in steps by key: an application that uses the table
 * waits for one step at most. Each step is a write behind the fence. */
static int schema_unanchor_all(struct store *s, const struct store_balance *b, uint64_t *rows,
                               struct err *err)
{
    char after[80] = "", last[80] = "";
    uint64_t found = UNANCHOR_STEP, n = 0;
    struct db_query q = {
        .sql = "WITH bad(w) AS (SELECT wallet FROM {t} WHERE wallet > $1 AND wallet <= $2 AND "
               "observed_block IS NOT NULL ORDER BY wallet {for NO KEY UPDATE}) UPDATE {t} AS t "
               "SET observed_block = NULL FROM bad WHERE t.wallet = bad.w",
        .b = b};
    for (; found == UNANCHOR_STEP; *rows += n) {
        memcpy(after, last, sizeof after);
        if (schema_find_anchored(s, b, last, &found, err) < 0)
            return -1;
        if (found == 0)
            return 0;
        q.params[0] = db_text(after);
        q.params[1] = db_text(last);
        if (db_write(s, &q, 1, 0, &n, err) < 0)
            return -1;
    }
    return 0;
}

/* The few that are newer than a time, by the index on it. */
static int schema_unanchor_since(struct store *s, const struct store_balance *b, int64_t since_us,
                                 uint64_t *rows, struct err *err)
{
    struct db_query q = {.sql = "UPDATE {t} SET observed_block = NULL WHERE updated_at > $1 AND "
                                "observed_block IS NOT NULL",
                         .b = b,
                         .params = {db_time(since_us)}};
    uint64_t n;
    if (db_write(s, &q, 1, 0, &n, err) < 0)
        return -1;
    *rows += n;
    return 0;
}

/* Rows newer than anything we wrote are another program's. Where one was at work for certain, for
 * it moved the checkpoint, its clock is allowed for: a few rows of ours are then read once more. */
static int schema_find_foreign_rows(struct store *s, const struct store_balance *b,
                                    struct store_adopted *ret, struct err *err)
{
    char prefix[STATE_KEY], key[STATE_KEY];
    int64_t since_us = 0;
    state_key(prefix, "wrote", b->name, "");
    state_key(key, "checkpoint", b->name, NULL);
    struct db_query q = {
        .sql = "SELECT max(value), (SELECT s.value <> CAST(c.last_block AS TEXT) FROM trueup_state "
               "s, eth_indexer_checkpoints c WHERE s.key = $2 AND c.name = $3) FROM trueup_state "
               "WHERE substr(key, 1, length($1)) = $1",
        .params = {db_text(prefix), db_text(key), db_text(b->checkpoint)}};
    struct db_rows rows;
    if (db_read(s, &q, &rows, err) < 0 || db_next(&rows, err) != 1)
        return -1;
    const char *last = db_get_text(&rows, 0);
    bool wrote = last && time_from_text(last, strlen(last), &since_us);
    bool moved = db_get_bool(&rows, 1);
    db_end(&rows);
    ret->foreign_checkpoint |= moved;
    since_us -= moved ? s->driver->foreign_clock_us : 0;
    if (wrote)
        return schema_unanchor_since(s, b, since_us, &ret->foreign_rows, err);
    /* We never wrote here: whatever claims a proof has it from others. */
    return schema_unanchor_all(s, b, &ret->foreign_rows, err);
}

static int schema_compare_print(struct store *s, const char *key, const hash32 *print,
                                bool *ret_known, bool *ret_same, struct err *err)
{
    char want[HASH_TEXT];
    const char *have;
    struct arena arena;
    arena_init(&arena);
    hash_text(print, want);
    int rc = store_state_get(s, key, &arena, &have, err);
    if (rc == 0) {
        *ret_known = have != NULL;
        *ret_same = have && strcmp(have, want) == 0;
    }
    arena_free(&arena);
    return rc;
}

static int schema_keep_print(struct store *s, const char *key, const hash32 *print, struct err *err)
{
    char text[HASH_TEXT];
    hash_text(print, text);
    return store_state_set(s, key, text, err);
}

/* Other terms make every row unanchored; the new fingerprint is kept only then, so that a pass that
 * was interrupted starts over. */
static int schema_compare_config(struct store *s, const struct store_balance *b, bool fresh,
                                 struct store_adopted *ret, struct err *err)
{
    bool terms_known = false, terms_same = false, rules_known = false, rules_same = false;
    char terms[STATE_KEY], rules[STATE_KEY];
    uint64_t rows = 0;
    state_key(terms, "terms", b->name, NULL);
    state_key(rules, "rules", b->name, NULL);
    if (schema_compare_print(s, terms, &b->terms_print, &terms_known, &terms_same, err) < 0 ||
        schema_compare_print(s, rules, &b->rules_print, &rules_known, &rules_same, err) < 0)
        return -1;
    if (terms_known && !terms_same) {
        ret->terms_changed = true;
        if (schema_unanchor_all(s, b, &rows, err) < 0)
            return -1;
    } else if (!fresh && schema_find_foreign_rows(s, b, ret, err) < 0) {
        return -1;
    }
    if (!terms_same && schema_keep_print(s, terms, &b->terms_print, err) < 0)
        return -1;
    ret->rules_changed |= rules_known && !rules_same;
    return rules_same ? 0 : schema_keep_print(s, rules, &b->rules_print, err);
}

/* Pending again: listed wallets whose row the application has deleted. A large list is compared
 * with the table as a whole. */
static int schema_refresh_list(struct store *s, const struct store_balance *b, struct err *err)
{
    struct db_query q = {.sql = "UPDATE trueup_wallets AS l SET pending = true WHERE l.balance = "
                                "$1 AND NOT l.pending AND NOT EXISTS (SELECT 1 FROM {t} t WHERE "
                                "t.wallet = l.wallet)",
                         .b = b,
                         .params = {db_text(b->name)}};
    return db_write(s, &q, 1, DB_JOINS, NULL, err);
}

/* A pass over all rows, so at adoption only; later starts read the figure from our state. */
static int schema_count_odd(struct store *s, const struct store_balance *b, uint64_t *sum,
                            struct err *err)
{
    struct db_query q = {.sql = "SELECT count(*) FROM {t} WHERE NOT {canonical wallet}", .b = b};
    char key[STATE_KEY], text[24];
    const char *known;
    uint64_t n = 0;
    struct arena arena;
    state_key(key, "odd", b->name, NULL);
    arena_init(&arena);
    int rc = store_state_get(s, key, &arena, &known, err);
    if (rc == 0 && !(known && parse_u64(known, strlen(known), &n))) {
        rc = db_read_number(s, &q, &n, NULL, err);
        snprintf(text, sizeof text, "%" PRIu64, n);
        if (rc == 0)
            rc = store_state_set(s, key, text, err);
    }
    arena_free(&arena);
    *sum += n;
    return rc;
}

static int schema_count_unanchored(struct store *s, const struct store_balance *b, uint64_t *sum,
                                   struct err *err)
{
    struct db_query q = {.sql = "{unanchored_rows}", .b = b};
    uint64_t n = 0;
    int rc = db_read_number(s, &q, &n, NULL, err);
    *sum += n;
    return rc;
}

/* Creates or adopts one balance's table. */
static int schema_adopt(struct store *s, const struct store_balance *b, struct store_adopted *ret,
                        struct err *err)
{
    bool fresh;
    if (schema_make_table(s, b, ret, &fresh, err) < 0 ||
        schema_compare_config(s, b, fresh, ret, err) < 0 || schema_refresh_list(s, b, err) < 0 ||
        schema_count_odd(s, b, &ret->non_canonical_rows, err) < 0)
        return -1;
    return schema_count_unanchored(s, b, &ret->unanchored_rows, err);
}

/* ---- the verbs ------------------------------------------------------------------------------- */

/* A reader of the change feed tells by it that the database went back, and ids are given again. */
static int schema_begin_epoch(struct store *s, struct err *err)
{
    static const char epoch_key[] = "epoch";
    char text[24];
    snprintf(text, sizeof text, "%016" PRIx64, rng_next(&s->rng));
    struct db_query q = {.sql = "INSERT INTO trueup_state (key, value) VALUES ($1, $2) ON CONFLICT "
                                "(key) DO NOTHING",
                         .params = {db_text(epoch_key), db_text(text)}};
    return db_write(s, &q, 1, 0, NULL, err);
}

static int schema_migrate_all(struct store *s, const struct store_balance *b, size_t n,
                              struct store_adopted *ret, struct err *err)
{
    if (store_upgrade(s, err) < 0 || schema_begin_epoch(s, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (schema_adopt(s, &b[i], ret, err) < 0)
            return -1;
    return 0;
}

int store_migrate(struct store *s, const struct store_balance *b, size_t n,
                  struct store_adopted *ret, struct err *err)
{
    struct store_adopted done = {0};
    bool whole = s->driver->one_migration;
    if ((whole ? db_begin(s, 0, err) : db_set_scanning(s, true, err)) < 0)
        return -1;
    if (schema_migrate_all(s, b, n, &done, err) < 0)
        return db_rollback(s);
    if ((whole ? db_commit(s, err) : db_set_scanning(s, false, err)) < 0)
        return -1;
    *ret = done;
    return 0;
}

static int schema_check_table(struct store *s, const struct store_balance *b, struct err *err)
{
    struct db_fit fit = {0};
    int rc = s->driver->fit_table(s, b, &fit, err);
    if (rc == 0 && !fit.exists)
        rc = err_set(err, ERR_STORE, "there is no table \"%s\"", b->table);
    else if (rc == 0 && !fit.observed)
        rc = err_set(err, ERR_STORE, "table \"%s\" has no column observed_block", b->table);
    if (rc != 0 && err && !err->hint[0])
        err_hint(err, "run trueup migrate");
    return rc;
}

int store_check_made(struct store *s, struct err *err)
{
    uint64_t version;
    if (schema_read_version(s, &version, err) < 0)
        return -1;
    if (version > 0)
        return 0;
    if (s->schema)
        err_set(err, ERR_STORE, "%s: schema \"%s\" has no table of trueup", s->masked, s->schema);
    else
        err_set(err, ERR_STORE, "%s: there is no trueup schema", s->masked);
    return err_hint(err, "run trueup migrate");
}

int store_check(struct store *s, const struct store_balance *b, size_t n, struct err *err)
{
    uint64_t version;
    if (store_check_made(s, err) < 0 || schema_read_version(s, &version, err) < 0)
        return -1;
    if (version < SCHEMA_VERSION) {
        err_set(err, ERR_STORE, "%s: the schema is older than this program's", s->masked);
        return err_hint(err, "run trueup migrate");
    }
    for (size_t i = 0; i < n; i++)
        if (schema_check_table(s, &b[i], err) < 0)
            return -1;
    return 0;
}

int store_forget_balance(struct store *s, const char *name, struct err *err)
{
    const struct db_param n = db_text(name);
    struct db_query q[] = {
        {.sql = "DELETE FROM trueup_wallets WHERE balance = $1", .params = {n}},
        {.sql = "DELETE FROM trueup_dirty WHERE balance = $1", .params = {n}},
        {.sql = "DELETE FROM trueup_quarantine WHERE balance = $1", .params = {n}},
        {.sql = "DELETE FROM trueup_found WHERE balance = $1", .params = {n}},
        {.sql = "DELETE FROM trueup_state WHERE substr(key, length(key) - length($1)) = ':' || $1 "
                "OR substr(key, 1, 7 + length($1)) = 'wrote:' || $1 || ':'",
         .params = {n}},
    };
    return db_write(s, q, sizeof q / sizeof *q, 0, NULL, err);
}

static int schema_reset_balance(struct store *s, const struct store_balance *b, struct err *err)
{
    struct db_query q[] = {
        {.sql = "DELETE FROM eth_indexer_checkpoints WHERE name = $1",
         .params = {db_text(b->checkpoint)}},
        {.sql = "UPDATE {t} SET observed_block = NULL, blocknumber = NULL, updated_at = {1970}",
         .b = b},
    };
    return db_write(s, q, 2, 0, NULL, err);
}

int store_reset_chain(struct store *s, const struct store_balance *b, size_t n, struct err *err)
{
    if (db_begin(s, DB_SCAN, err) < 0 ||
        db_exec(
            s,
            "DELETE FROM trueup_blocks; DELETE FROM trueup_dirty; DELETE FROM "
            "trueup_quarantine; DELETE FROM trueup_found; DELETE FROM trueup_state WHERE key "
            "<> 'schema' AND key NOT LIKE 'terms:%' AND key NOT LIKE 'rules:%' AND key NOT "
            "LIKE 'wrote:%' AND key NOT LIKE 'odd:%' AND key NOT LIKE 'spent%' AND key NOT LIKE "
            "'made:%'",
            err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (schema_reset_balance(s, &b[i], err) < 0)
            return -1;
    return db_commit(s, err);
}
