/* PostgreSQL: headers, single rows, the list, dirty marks and small state. */
#include "store/pg.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* A statement of its own whose only answer is success. */
static int run_one(struct pg *s, const struct pg_command *c, struct err *err)
{
    PGresult *res = pg_query(s, c, err);
    if (!res)
        return -1;
    PQclear(res);
    return 0;
}

/* ---- headers --------------------------------------------------------------------------------- */

int pg_headers_put(struct store *store, const struct anchor *h, size_t n, struct err *err)
{
    struct pg *s = pg_of(store);
    struct arena arena;
    struct pg_array number, hash, parent, time;
    arena_init(&arena);
    pg_array_begin(&number, &arena, PG_INT8, n);
    pg_array_begin(&hash, &arena, PG_TEXT, n);
    pg_array_begin(&parent, &arena, PG_TEXT, n);
    pg_array_begin(&time, &arena, PG_INT8, n);
    for (size_t i = 0; i < n; i++) {
        pg_array_int(&number, h[i].number);
        pg_array_hash(&hash, &h[i].hash);
        pg_array_hash(&parent, &h[i].parent);
        pg_array_int(&time, h[i].timestamp);
    }
    struct pg_command c[] = {
        {.sql = "BEGIN ISOLATION LEVEL READ COMMITTED"},
        /* The log is kept in order: whatever is written at a header is lost before the header is.
         */
        {.sql = "SET LOCAL synchronous_commit = off"},
        {.sql = "UPDATE trueup_blocks b SET canonical = false FROM unnest($1, $2) u(number, hash) "
                "WHERE b.number = u.number AND b.hash <> u.hash AND b.canonical",
         .params.arena = &arena,
         .prepare = true},
        {.sql = "INSERT INTO trueup_blocks (number, hash, parent, timestamp, canonical) SELECT "
                "DISTINCT ON (u.number, u.hash) u.number, u.hash, u.parent, u.time, true FROM "
                "unnest($1, $2, $3, $4) u(number, hash, parent, time) ON CONFLICT (number, hash) "
                "DO UPDATE SET canonical = true WHERE NOT trueup_blocks.canonical",
         .params.arena = &arena,
         .prepare = true},
        {.sql = "COMMIT"},
    };
    pg_p_array(&c[2].params, &number);
    pg_p_array(&c[2].params, &hash);
    pg_p_array(&c[3].params, &number);
    pg_p_array(&c[3].params, &hash);
    pg_p_array(&c[3].params, &parent);
    pg_p_array(&c[3].params, &time);
    int rc = pg_run(s, c, COUNT_OF(c), NULL, err);
    arena_free(&arena);
    return rc;
}

int pg_headers_below(struct store *store, uint64_t max, size_t limit, struct arena *arena,
                     struct anchor **ret, size_t *ret_n, struct err *err)
{
    struct pg_command c = {.sql = "SELECT number, hash, parent, timestamp FROM trueup_blocks WHERE "
                                  "number <= $1 AND canonical ORDER BY number DESC LIMIT $2",
                           .params.arena = arena,
                           .prepare = true};
    pg_p_int(&c.params, true, max);
    pg_p_int(&c.params, true, limit);
    PGresult *res = pg_query(pg_of(store), &c, err);
    if (!res)
        return -1;
    int rows = PQntuples(res);
    struct anchor *out = arena_zero(arena, (size_t)rows, sizeof *out);
    size_t n = 0;
    for (int i = 0; i < rows; i++)
        n += pg_get_int(res, i, 0, &out[n].number) && pg_get_hash(res, i, 1, &out[n].hash) &&
             pg_get_hash(res, i, 2, &out[n].parent) && pg_get_int(res, i, 3, &out[n].timestamp);
    PQclear(res);
    *ret = out;
    *ret_n = n;
    return 0;
}

/* The blocks first: a batch that holds one of them as its anchor commits before we go on, and is
 * then seen; a later one finds its anchor gone. */
static int rewind_rows(struct pg *s, const struct store_balance *b, uint64_t first_bad,
                       struct arena *arena, uint64_t *rows, struct err *err)
{
    /* 1970 makes them placeholders, which every claim looks at first. Locked in the order of
     * wallets, as every writer does. */
    const char *table = pg_table(s, b->table, arena);
    struct pg_command c = {
        .sql = arena_printf(arena,
                            "WITH bad AS (SELECT ctid FROM %s WHERE observed_block >= $1 ORDER BY "
                            "wallet FOR NO KEY UPDATE) UPDATE %s t SET observed_block = NULL, "
                            "updated_at = '1970-01-01' FROM bad WHERE t.ctid = bad.ctid",
                            table, table),
        .params.arena = arena};
    pg_p_int(&c.params, true, first_bad);
    PGresult *res = pg_query(s, &c, err);
    if (!res)
        return -1;
    uint64_t n = 0;
    for (const char *p = PQcmdTuples(res); *p; p++)
        n = n * 10 + (uint64_t)(*p - '0');
    *rows += n;
    PQclear(res);
    return 0;
}

int pg_rewind(struct store *store, const struct store_balance *b, size_t n, uint64_t first_bad,
              uint64_t *ret_rows, struct err *err)
{
    struct pg *s = pg_of(store);
    struct arena arena;
    uint64_t rows = 0;
    arena_init(&arena);
    struct pg_command c[] = {
        {.sql = "BEGIN ISOLATION LEVEL READ COMMITTED"},
        {.sql = "UPDATE trueup_blocks SET canonical = false WHERE number >= $1 AND canonical",
         .params.arena = &arena},
    };
    pg_p_int(&c[1].params, true, first_bad);
    int rc = pg_scanning(s, true, err);
    if (rc == 0)
        rc = pg_run(s, c, COUNT_OF(c), NULL, err);
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = rewind_rows(s, &b[i], first_bad, &arena, &rows, err);
    if (rc == 0)
        rc = pg_exec(s, "COMMIT", err);
    if (rc == 0)
        rc = pg_scanning(s, false, err);
    arena_free(&arena);
    if (rc == 0)
        *ret_rows = rows;
    return rc;
}

int pg_headers_prune(struct store *store, uint64_t below, struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    struct pg_command c = {.sql = "DELETE FROM trueup_blocks WHERE number < $1 AND NOT (canonical "
                                  "AND number = (SELECT max(number) FROM trueup_blocks WHERE "
                                  "number < $1 AND canonical))",
                           .params.arena = &arena};
    pg_p_int(&c.params, true, below);
    int rc = run_one(pg_of(store), &c, err);
    arena_free(&arena);
    return rc;
}

/* ---- rows ------------------------------------------------------------------------------------ */

int pg_row(struct store *store, const struct store_balance *b, const address *wallet,
           struct store_row *ret, bool *ret_found, struct err *err)
{
    struct pg *s = pg_of(store);
    struct arena arena;
    arena_init(&arena);
    struct pg_command c = {.sql = arena_printf(&arena,
                                               "SELECT balance, blocknumber, observed_block, "
                                               "updated_at FROM %s WHERE wallet = $1",
                                               pg_table(s, b->table, &arena)),
                           .params.arena = &arena,
                           .prepare = true};
    pg_p_address(&c.params, wallet);
    PGresult *res = pg_query(s, &c, err);
    if (res) {
        *ret_found = PQntuples(res) > 0;
        if (*ret_found) {
            *ret = (struct store_row){.wallet = *wallet};
            pg_get_number(res, 0, 0, &ret->balance);
            ret->has_blocknumber = pg_get_int(res, 0, 1, &ret->blocknumber);
            ret->has_observed = pg_get_int(res, 0, 2, &ret->observed_block);
            ret->updated_us = pg_get_time(res, 0, 3);
        }
    }
    PQclear(res);
    arena_free(&arena);
    return res ? 0 : -1;
}

int pg_count(struct store *store, const struct store_balance *b, struct store_counts *ret,
             struct err *err)
{
    struct pg *s = pg_of(store);
    struct arena arena;
    arena_init(&arena);
    struct pg_command c = {
        .sql = arena_printf(&arena,
                            "SELECT count(*), count(*) - count(observed_block), min(updated_at), "
                            "(SELECT count(*) FROM trueup_quarantine WHERE balance = $1), (SELECT "
                            "count(*) FROM trueup_wallets WHERE balance = $1), CURRENT_TIMESTAMP "
                            "FROM %s",
                            pg_table(s, b->table, &arena)),
        .params.arena = &arena};
    pg_p_text(&c.params, b->name);
    PGresult *res = NULL;
    if (pg_scanning(s, true, err) == 0)
        res = pg_query(s, &c, err);
    int rc = res && pg_scanning(s, false, err) == 0 ? 0 : -1;
    if (rc == 0) {
        struct store_counts counts = {.oldest_us = pg_get_time(res, 0, 2),
                                      .now_us = pg_get_time(res, 0, 5)};
        pg_get_int(res, 0, 0, &counts.rows);
        pg_get_int(res, 0, 1, &counts.unanchored);
        pg_get_int(res, 0, 3, &counts.quarantined);
        pg_get_int(res, 0, 4, &counts.listed);
        *ret = counts;
    }
    PQclear(res);
    arena_free(&arena);
    return rc;
}

/* ---- the list -------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    return address_compare(a, b);
}

static void sorted_array(struct pg_array *out, struct arena *arena, const address *wallets,
                         size_t n)
{
    address *sorted = arena_alloc(arena, n * sizeof *sorted);
    memcpy(sorted, wallets, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare);
    pg_array_begin(out, arena, PG_TEXT, n);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || !address_equal(&sorted[i], &sorted[i - 1]))
            pg_array_address(out, &sorted[i]);
}

static size_t affected(const PGresult *res)
{
    size_t n = 0;
    for (const char *p = PQcmdTuples((PGresult *)res); *p; p++)
        n = n * 10 + (size_t)(*p - '0');
    return n;
}

int pg_wallets_add(struct store *store, const struct store_balance *b, const address *wallets,
                   size_t n, size_t *ret_added, struct err *err)
{
    struct pg *s = pg_of(store);
    struct arena arena;
    struct pg_array list;
    arena_init(&arena);
    sorted_array(&list, &arena, wallets, n);
    struct pg_command c = {
        .sql = arena_printf(&arena,
                            "INSERT INTO trueup_wallets (balance, wallet, pending) SELECT $1, u.w, "
                            "NOT EXISTS (SELECT 1 FROM %s t WHERE t.wallet = u.w) FROM unnest($2) "
                            "u(w) ON CONFLICT DO NOTHING",
                            pg_table(s, b->table, &arena)),
        .params.arena = &arena};
    pg_p_text(&c.params, b->name);
    pg_p_array(&c.params, &list);
    PGresult *res = pg_query(s, &c, err);
    if (res)
        *ret_added = affected(res);
    PQclear(res);
    arena_free(&arena);
    return res ? 0 : -1;
}

/* Rows before the list, as in a batch; and rows once more, for one that a batch inserted while we
 * waited for its hold on the list. */
int pg_wallets_remove(struct store *store, const struct store_balance *b, const address *wallets,
                      size_t n, size_t *ret_removed, struct err *err)
{
    struct pg *s = pg_of(store);
    struct arena arena;
    struct pg_array list;
    arena_init(&arena);
    sorted_array(&list, &arena, wallets, n);
    const char *table = pg_table(s, b->table, &arena);
    const char *rows = arena_printf(&arena,
                                    "DELETE FROM %s t USING (SELECT t.wallet FROM unnest($1) u(w) "
                                    "JOIN %s t ON t.wallet = u.w ORDER BY t.wallet FOR UPDATE OF "
                                    "t) d WHERE t.wallet = d.wallet RETURNING t.wallet",
                                    table, table);
#define FROM_OWN(table)                                                                            \
    "DELETE FROM " table " d USING unnest($1) u(w) WHERE d.balance = $2 AND d.wallet = u.w "       \
    "RETURNING d.wallet"
    struct pg_command c[] = {
        {.sql = "BEGIN ISOLATION LEVEL READ COMMITTED"},
        {.sql = rows},
        {.sql = FROM_OWN("trueup_quarantine")},
        {.sql = FROM_OWN("trueup_wallets")},
        {.sql = FROM_OWN("trueup_dirty")},
        {.sql = rows},
        {.sql = "COMMIT"},
    };
#undef FROM_OWN
    PGresult *res[COUNT_OF(c)];
    for (size_t i = 1; i <= 5; i++) {
        c[i].params.arena = &arena;
        pg_p_array(&c[i].params, &list);
        if (i >= 2 && i <= 4)
            pg_p_text(&c[i].params, b->name);
    }
    int rc = pg_run(s, c, COUNT_OF(c), res, err);
    if (rc == 0) {
        address *gone = arena_alloc(&arena, (n * 3 + 1) * sizeof *gone);
        size_t n_gone = 0, distinct = 0;
        const size_t counted[] = {1, 3, 5};
        for (size_t k = 0; k < COUNT_OF(counted); k++)
            for (int i = 0; i < PQntuples(res[counted[k]]) && n_gone < n * 3; i++)
                n_gone += pg_get_address(res[counted[k]], i, 0, &gone[n_gone]);
        qsort(gone, n_gone, sizeof *gone, compare);
        for (size_t i = 0; i < n_gone; i++)
            distinct += i == 0 || !address_equal(&gone[i], &gone[i - 1]);
        *ret_removed = distinct;
        pg_clear(res, COUNT_OF(c));
    }
    arena_free(&arena);
    return rc;
}

int pg_wallets_list(struct store *store, const struct store_balance *b, const address *after,
                    size_t limit, struct arena *arena, address **ret, size_t *ret_n,
                    struct err *err)
{
    struct pg_command c = {.sql = "SELECT wallet FROM trueup_wallets WHERE balance = $1 AND wallet "
                                  "> $2 ORDER BY wallet LIMIT $3",
                           .params.arena = arena};
    pg_p_text(&c.params, b->name);
    pg_p_after(&c.params, after);
    pg_p_int(&c.params, true, limit);
    return pg_wallets(pg_of(store), &c, arena, ret, ret_n, err);
}

/* ---- dirty marks ----------------------------------------------------------------------------- */

int pg_dirty_due(struct store *store, const struct store_balance *b, uint64_t number, size_t limit,
                 struct arena *arena, struct store_dirty **ret, size_t *ret_n, struct err *err)
{
    struct pg_command c = {.sql = "SELECT wallet, number, hash FROM trueup_dirty WHERE balance = "
                                  "$1 AND number <= $2 ORDER BY number, wallet LIMIT $3",
                           .params.arena = arena,
                           .prepare = true};
    pg_p_text(&c.params, b->name);
    pg_p_int(&c.params, true, number);
    pg_p_int(&c.params, true, limit);
    PGresult *res = pg_query(pg_of(store), &c, err);
    if (!res)
        return -1;
    struct store_dirty *out = arena_alloc(arena, (size_t)PQntuples(res) * sizeof *out);
    size_t n = 0;
    for (int i = 0; i < PQntuples(res); i++)
        n += pg_get_address(res, i, 0, &out[n].wallet) && pg_get_int(res, i, 1, &out[n].number) &&
             pg_get_hash(res, i, 2, &out[n].hash);
    PQclear(res);
    *ret = out;
    *ret_n = n;
    return 0;
}

int pg_dirty_drop(struct store *store, const struct store_balance *b,
                  const struct store_dirty *marks, size_t n, struct err *err)
{
    struct arena arena;
    struct pg_array wallet, number, hash;
    arena_init(&arena);
    pg_array_begin(&wallet, &arena, PG_TEXT, n);
    pg_array_begin(&number, &arena, PG_INT8, n);
    pg_array_begin(&hash, &arena, PG_TEXT, n);
    for (size_t i = 0; i < n; i++) {
        pg_array_address(&wallet, &marks[i].wallet);
        pg_array_int(&number, marks[i].number);
        pg_array_hash(&hash, &marks[i].hash);
    }
    struct pg_command c = {.sql = "DELETE FROM trueup_dirty d USING unnest($2, $3, $4) u(wallet, "
                                  "number, hash) WHERE d.balance = $1 AND d.number = u.number AND "
                                  "d.wallet = u.wallet AND d.hash = u.hash",
                           .params.arena = &arena,
                           .prepare = true};
    pg_p_text(&c.params, b->name);
    pg_p_array(&c.params, &wallet);
    pg_p_array(&c.params, &number);
    pg_p_array(&c.params, &hash);
    int rc = run_one(pg_of(store), &c, err);
    arena_free(&arena);
    return rc;
}

/* ---- small state ----------------------------------------------------------------------------- */

static int text_of(struct pg *s, const struct pg_command *c, struct arena *arena, const char **ret,
                   struct err *err)
{
    PGresult *res = pg_query(s, c, err);
    if (!res)
        return -1;
    const char *text = PQntuples(res) > 0 ? pg_get_text(res, 0, 0) : NULL;
    *ret = text ? arena_strdup(arena, text) : NULL;
    PQclear(res);
    return 0;
}

int pg_state_text(struct pg *s, const char *key, struct arena *arena, const char **ret,
                  struct err *err)
{
    struct pg_command c = {.sql = "SELECT value FROM trueup_state WHERE key = $1",
                           .params.arena = arena,
                           .prepare = true};
    pg_p_text(&c.params, key);
    return text_of(s, &c, arena, ret, err);
}

int pg_state_put(struct pg *s, const char *key, const char *value, struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    struct pg_command c = {.sql = "INSERT INTO trueup_state (key, value) VALUES ($1, $2) ON "
                                  "CONFLICT (key) DO UPDATE SET value = excluded.value",
                           .params.arena = &arena,
                           .prepare = true};
    pg_p_text(&c.params, key);
    pg_p_text(&c.params, value);
    int rc = run_one(s, &c, err);
    arena_free(&arena);
    return rc;
}

int pg_state_read(struct store *store, const char *key, struct arena *arena, const char **ret,
                  struct err *err)
{
    return pg_state_text(pg_of(store), key, arena, ret, err);
}

int pg_state_write(struct store *store, const char *key, const char *value, struct err *err)
{
    return pg_state_put(pg_of(store), key, value, err);
}

int pg_learned_get(struct store *store, const char *endpoint, const char *reader,
                   struct arena *arena, const char **ret, struct err *err)
{
    struct pg_command c = {.sql = "SELECT sizes FROM trueup_learned WHERE endpoint = $1 AND "
                                  "reader = $2",
                           .params.arena = arena};
    pg_p_text(&c.params, endpoint);
    pg_p_text(&c.params, reader);
    return text_of(pg_of(store), &c, arena, ret, err);
}

int pg_learned_put(struct store *store, const char *endpoint, const char *reader, const char *sizes,
                   struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    struct pg_command c = {.sql = "INSERT INTO trueup_learned (endpoint, reader, sizes) VALUES "
                                  "($1, $2, $3) ON CONFLICT (endpoint, reader) DO UPDATE SET sizes "
                                  "= excluded.sizes, updated_at = CURRENT_TIMESTAMP",
                           .params.arena = &arena};
    pg_p_text(&c.params, endpoint);
    pg_p_text(&c.params, reader);
    pg_p_text(&c.params, sizes);
    int rc = run_one(pg_of(store), &c, err);
    arena_free(&arena);
    return rc;
}

int pg_checkpoint_get(struct store *store, const struct store_balance *b, uint64_t *ret,
                      bool *ret_found, struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    struct pg_command c = {.sql = "SELECT last_block FROM eth_indexer_checkpoints WHERE name = $1",
                           .params.arena = &arena,
                           .prepare = true};
    pg_p_text(&c.params, b->checkpoint);
    PGresult *res = pg_query(pg_of(store), &c, err);
    if (res)
        *ret_found = PQntuples(res) > 0 && pg_get_int(res, 0, 0, ret);
    PQclear(res);
    arena_free(&arena);
    return res ? 0 : -1;
}
