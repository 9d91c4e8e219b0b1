/*
 * PostgreSQL: an application's table becomes ours to keep, while the application uses it.
 *
 * Nothing here may make it wait: a column is added under a lock that is given up after a moment and
 * tried again, the index is built concurrently, rows are made unanchored some thousands at a time.
 * What does not fit is refused (pg_fit.c), before anything is changed.
 */
#include "store/pg.h"

#include "base/backoff.h"
#include "base/clock.h"
#include "base/mem.h"
#include "store/times.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    LOCK_TRY_MS = 150,       /* the application waits behind us this long at most */
    LOCK_GIVE_UP_MS = 60000, /* then the operator is told */
    UNPROVE_STEP = 20000,
};

/* ---- changing it ----------------------------------------------------------------------------- */

static int create_table(struct pg *s, const char *quoted, struct arena *arena, struct err *err)
{
    return pg_exec(s,
                   arena_printf(arena,
                                "CREATE TABLE %s (wallet TEXT PRIMARY KEY, balance NUMERIC NOT "
                                "NULL DEFAULT 0, blocknumber BIGINT, updated_at TIMESTAMP NOT NULL "
                                "DEFAULT CURRENT_TIMESTAMP, created_at TIMESTAMP NOT NULL DEFAULT "
                                "CURRENT_TIMESTAMP, observed_block BIGINT)",
                                quoted),
                   err);
}

static int add_column(struct pg *s, const char *table, const char *quoted, bool owner,
                      struct arena *arena, struct err *err)
{
    const char *sql =
        arena_printf(arena, "ALTER TABLE %s ADD COLUMN observed_block BIGINT", quoted);
    if (!owner) {
        err_set(err, ERR_STORE, "table \"%s\" lacks observed_block, and \"%s\" does not own it",
                table, PQuser(s->conn));
        return err_hint(err, "as its owner: %s;", sql);
    }
    struct backoff backoff;
    int64_t give_up = clock_ms() + LOCK_GIVE_UP_MS;
    backoff_init(&backoff, 200, 3000, rng_next(&s->base.rng));
    char set[64];
    snprintf(set, sizeof set, "SET lock_timeout = %d", LOCK_TRY_MS);
    for (;;) {
        struct err refused = {0};
        if (pg_exec(s, set, err) != 0)
            return -1;
        int rc = pg_exec(s, sql, &refused);
        bool locked = strcmp(pg_last_state(s), "55P03") == 0;
        if (!s->broken && pg_exec(s, "SET lock_timeout = '10s'", err) != 0)
            return -1;
        if (rc == 0)
            return 0;
        if (!locked || clock_ms() > give_up) {
            if (err)
                *err = refused;
            err_wrap(err, "add observed_block to \"%s\"", table);
            return err_hint(err, "when no transaction holds the table: %s;", sql);
        }
        int64_t wait = backoff_next(&backoff);
        struct timespec t = {wait / 1000, wait % 1000 * 1000000};
        nanosleep(&t, NULL);
    }
}

/* Never a reason to refuse: without the index the sweep walks the table instead. */
static int add_index(struct pg *s, const char *table, const char *quoted, bool fresh, bool owner,
                     struct arena *arena, struct store_adopted *ret, struct err *err)
{
    const char *dot = strchr(table, '.');
    const char *name = arena_printf(arena, "%s_updated_at_idx", dot ? dot + 1 : table);
    const char *index = pg_table(s, name, arena); /* a name has no dot of its own here */
    const char *sql = arena_printf(arena, "CREATE INDEX %s %s ON %s (updated_at)",
                                   fresh ? "" : "CONCURRENTLY", index, quoted);
    struct err refused = {0};
    if (owner && pg_exec(s, sql, &refused) == 0) {
        ret->added_index = true;
        return 0;
    }
    if (s->broken) {
        if (err)
            *err = refused;
        return -1;
    }
    if (owner) { /* a build that was given up leaves an invalid index behind */
        const char *schema =
            dot ? arena_printf(arena, "%.*s.%s", (int)(dot - table), table, name) : name;
        pg_exec(s, arena_printf(arena, "DROP INDEX IF EXISTS %s", pg_table(s, schema, arena)),
                NULL);
    }
    ret->index_missing = true;
    snprintf(ret->index_sql, sizeof ret->index_sql,
             "CREATE INDEX CONCURRENTLY %s ON %s (updated_at);", index, quoted);
    return 0;
}

/* observed_block to NULL wherever it is set, in steps by key. */
static int unprove_all(struct pg *s, const char *quoted, struct arena *arena, uint64_t *ret_rows,
                       struct err *err)
{
    const char *after = "";
    const char *sql = arena_printf(
        arena,
        "WITH pick AS (SELECT ctid, wallet FROM %s WHERE wallet > $1 AND observed_block IS NOT "
        "NULL "
        "ORDER BY wallet LIMIT $2 FOR NO KEY UPDATE), done AS (UPDATE %s t SET observed_block = "
        "NULL FROM pick WHERE t.ctid = pick.ctid AND t.wallet = pick.wallet) SELECT (SELECT "
        "count(*) FROM pick), (SELECT wallet::text FROM pick ORDER BY wallet DESC LIMIT 1)",
        quoted, quoted);
    for (;;) {
        uint64_t n = 0;
        struct pg_command c = {.sql = sql, .params.arena = arena};
        pg_p_text(&c.params, after);
        pg_p_int(&c.params, true, UNPROVE_STEP);
        PGresult *res = pg_query(s, &c, err);
        if (!res)
            return -1;
        pg_get_int(res, 0, 0, &n);
        const char *last = pg_get_text(res, 0, 1);
        if (last)
            after = arena_strdup(arena, last);
        PQclear(res);
        *ret_rows += n;
        if (n < UNPROVE_STEP)
            return 0;
    }
}

/* The few that are newer than a time, by the index on it. */
static int unprove_since(struct pg *s, const char *quoted, int64_t since_us, struct arena *arena,
                         uint64_t *ret_rows, struct err *err)
{
    uint64_t n = 0;
    struct pg_command c = {
        .sql = arena_printf(arena,
                            "WITH done AS (UPDATE %s SET observed_block = NULL WHERE updated_at > "
                            "$1 AND observed_block IS NOT NULL RETURNING 1) SELECT count(*) FROM "
                            "done",
                            quoted),
        .params.arena = arena};
    pg_p_time(&c.params, since_us);
    PGresult *res = pg_query(s, &c, err);
    if (!res)
        return -1;
    pg_get_int(res, 0, 0, &n);
    *ret_rows += n;
    PQclear(res);
    return 0;
}

/* ---- questions of every start ---------------------------------------------------------------- */

static int fingerprint(struct pg *s, const char *what, const char *balance, const hash32 *print,
                       struct arena *arena, bool *ret_known, bool *ret_same, struct err *err)
{
    char key[STATE_KEY], want[HASH_TEXT];
    const char *have;
    state_key(key, what, balance, NULL);
    hash_text(print, want);
    if (pg_state_text(s, key, arena, &have, err) != 0)
        return -1;
    *ret_known = have != NULL;
    *ret_same = have && strcmp(have, want) == 0;
    return 0;
}

static int keep_fingerprint(struct pg *s, const char *what, const char *balance,
                            const hash32 *print, struct err *err)
{
    char key[STATE_KEY], text[HASH_TEXT];
    state_key(key, what, balance, NULL);
    hash_text(print, text);
    return pg_state_put(s, key, text, err);
}

/* Times without a zone are a session's own, and another program's may lie behind UTC by this much.
 */
#define BEHIND_UTC_US (INT64_C(12) * 60 * 60 * 1000000)

/* Rows newer than anything we wrote are another program's. Where one was at work for certain, for
 * it moved the checkpoint, its clock is allowed for: a few rows of ours are then read once more. */
static int foreign_rows(struct pg *s, const struct store_balance *b, const char *quoted,
                        struct arena *arena, struct store_adopted *ret, struct err *err)
{
    char prefix[STATE_KEY], key[STATE_KEY];
    int64_t since_us = 0;
    state_key(prefix, "wrote", b->name, "");
    state_key(key, "checkpoint", b->name, NULL);
    struct pg_command c = {
        .sql =
            "SELECT max(value), (SELECT s.value <> c.last_block::text FROM trueup_state s, "
            "eth_indexer_checkpoints c WHERE s.key = $2 AND c.name = $3) FROM trueup_state WHERE "
            "starts_with(key, $1)",
        .params.arena = arena};
    pg_p_text(&c.params, prefix);
    pg_p_text(&c.params, key);
    pg_p_text(&c.params, b->checkpoint);
    PGresult *res = pg_query(s, &c, err);
    if (!res)
        return -1;
    const char *last = pg_get_text(res, 0, 0);
    bool wrote = last && time_from_text(last, strlen(last), &since_us);
    bool moved = pg_get_bool(res, 0, 1);
    ret->foreign_checkpoint |= moved;
    since_us -= moved ? BEHIND_UTC_US : 0;
    PQclear(res);
    if (wrote)
        return unprove_since(s, quoted, since_us, arena, &ret->foreign_rows, err);
    /* We never wrote here: whatever claims a proof has it from others. */
    return unprove_all(s, quoted, arena, &ret->foreign_rows, err);
}

/* Pending again: listed wallets whose row the application has deleted. A large list is compared
 * with the table as a whole, and that wants a hash join. */
static int refresh_list(struct pg *s, const struct store_balance *b, const char *quoted,
                        struct arena *arena, struct err *err)
{
    struct pg_command c[] = {
        {.sql = "BEGIN"},
        {.sql = "SELECT set_config('enable_hashjoin', 'on', true), set_config('plan_cache_mode', "
                "'auto', true)"},
        {.sql = arena_printf(arena,
                             "UPDATE trueup_wallets l SET pending = true WHERE l.balance = $1 AND "
                             "NOT l.pending AND NOT EXISTS (SELECT 1 FROM %s t WHERE t.wallet = "
                             "l.wallet)",
                             quoted),
         .params.arena = arena},
        {.sql = "COMMIT"},
    };
    pg_p_text(&c[2].params, b->name);
    return pg_run(s, c, COUNT_OF(c), NULL, err);
}

/* A pass over all rows, so at adoption only; later starts read the figure from our state. */
static int count_odd(struct pg *s, const struct store_balance *b, const char *quoted,
                     struct arena *arena, uint64_t *ret, struct err *err)
{
    char key[STATE_KEY];
    const char *known;
    uint64_t n = 0;
    state_key(key, "odd", b->name, NULL);
    if (pg_state_text(s, key, arena, &known, err) != 0)
        return -1;
    if (known) {
        for (; *known >= '0' && *known <= '9'; known++)
            n = n * 10 + (uint64_t)(*known - '0');
        *ret += n;
        return 0;
    }
    struct pg_command c = {
        .sql = arena_printf(arena, "SELECT count(*) FROM %s WHERE wallet !~ '^0x[0-9a-f]{40}$'",
                            quoted)};
    PGresult *res = pg_query(s, &c, err);
    if (!res)
        return -1;
    pg_get_int(res, 0, 0, &n);
    PQclear(res);
    *ret += n;
    return pg_state_put(s, key, arena_printf(arena, "%" PRIu64, n), err);
}

static int estimate_unanchored(struct pg *s, const char *quoted, struct arena *arena, uint64_t *ret,
                               struct err *err)
{
    struct pg_command c = {
        .sql =
            "SELECT (greatest(c.reltuples, 0) * coalesce(st.null_frac, 1))::bigint FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stats st ON st.schemaname "
            "= "
            "n.nspname AND st.tablename = c.relname AND st.attname = 'observed_block' WHERE c.oid "
            "= "
            "to_regclass($1)",
        .params.arena = arena};
    pg_p_text(&c.params, quoted);
    PGresult *res = pg_query(s, &c, err);
    if (!res)
        return -1;
    uint64_t n = 0;
    if (PQntuples(res) > 0)
        pg_get_int(res, 0, 0, &n);
    *ret += n;
    PQclear(res);
    return 0;
}

/* *ret_fresh: the column is new, and no row can claim a proof. */
static int make_it_fit(struct pg *s, const struct store_balance *b, const char *quoted,
                       struct arena *arena, struct store_adopted *ret, bool *ret_fresh,
                       struct err *err)
{
    struct pg_fit fit;
    if (pg_fit(s, b, arena, &fit, err) != 0)
        return -1;
    if (!fit.exists) {
        if (create_table(s, quoted, arena, err) != 0)
            return -1;
        ret->created = true;
        fit.owner = fit.observed = true;
    }
    *ret_fresh = !fit.exists || !fit.observed;
    if (!fit.observed) {
        if (add_column(s, b->table, quoted, fit.owner, arena, err) != 0)
            return -1;
        ret->added_column = true;
    }
    if (fit.index_on_time)
        return 0;
    return add_index(s, b->table, quoted, !fit.exists, fit.owner, arena, ret, err);
}

int pg_adopt(struct pg *s, const struct store_balance *b, struct arena *arena,
             struct store_adopted *ret, struct err *err)
{
    bool terms_known, terms_same, rules_known, rules_same, fresh;
    const char *quoted = pg_table(s, b->table, arena);
    if (make_it_fit(s, b, quoted, arena, ret, &fresh, err) != 0 ||
        fingerprint(s, "terms", b->name, &b->terms_print, arena, &terms_known, &terms_same, err) !=
            0 ||
        fingerprint(s, "rules", b->name, &b->rules_print, arena, &rules_known, &rules_same, err) !=
            0)
        return -1;
    if (terms_known && !terms_same) {
        uint64_t rows = 0;
        ret->terms_changed = true;
        if (unprove_all(s, quoted, arena, &rows, err) != 0)
            return -1;
    } else if (!fresh && foreign_rows(s, b, quoted, arena, ret, err) != 0) {
        return -1;
    }
    /* Only now: a pass that was interrupted above starts over. */
    if (!terms_same && keep_fingerprint(s, "terms", b->name, &b->terms_print, err) != 0)
        return -1;
    ret->rules_changed |= rules_known && !rules_same;
    if (!rules_same && keep_fingerprint(s, "rules", b->name, &b->rules_print, err) != 0)
        return -1;
    if (refresh_list(s, b, quoted, arena, err) != 0 ||
        count_odd(s, b, quoted, arena, &ret->non_canonical_rows, err) != 0)
        return -1;
    return estimate_unanchored(s, quoted, arena, &ret->unanchored_rows, err);
}
