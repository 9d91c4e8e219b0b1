/*
 * PostgreSQL: proving.
 *
 * A fair sample of a large table costs no walk over it: places (page, line) are drawn until enough
 * of them hold a row. Every row stands at exactly one place and every place is drawn as often as
 * any other, so every row is as likely as any other, whatever its key, its age and its neighbours,
 * and however bloated the table is. A small table, or one where places are nearly all empty, is
 * walked by key instead.
 */
#include "store/pg.h"
#include "store/prove.h"

#include "base/mem.h"

#include <string.h>

enum {
    SMALL_PAGES = 2048,
    ROUND = 20000, /* places drawn at once at most, and rows of a step of the walk */
    ROUND_FEW = 2000,
    PLACES_A_ROW = 6,      /* as a table is usually filled */
    PLACES_MOST = 4000000, /* then the table is taken to be nearly empty */
    HEADER = 24,
    LINE = 28, /* of a page; of a line: its pointer and the least of a row */
};

/* ---- walking --------------------------------------------------------------------------------- */

static int walk_from(struct pg *s, const char *table, const address *after, struct reservoir *r,
                     address *ret_last, int *ret_n, struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    struct pg_command c = {
        .sql = arena_printf(
            &arena, "SELECT wallet FROM %s WHERE wallet > $1 ORDER BY wallet LIMIT $2", table),
        .params.arena = &arena};
    pg_p_after(&c.params, after);
    pg_p_int(&c.params, true, ROUND);
    PGresult *res = pg_query(s, &c, err);
    int n = res ? PQntuples(res) : 0;
    for (int i = 0; i < n; i++) {
        address *place;
        if (!pg_get_address(res, i, 0, ret_last))
            continue;
        if ((place = reservoir_place(r)))
            *place = *ret_last;
    }
    PQclear(res);
    arena_free(&arena);
    *ret_n = n;
    return res ? 0 : -1;
}

static int walk(struct pg *s, const char *table, struct reservoir *r, struct err *err)
{
    address last = {{0}};
    const address *after = NULL;
    int n = ROUND, rc = 0;
    while (rc == 0 && n == ROUND) {
        rc = walk_from(s, table, after, r, &last, &n, err);
        after = &last;
    }
    return rc;
}

/* ---- drawing --------------------------------------------------------------------------------- */

struct draw {
    struct pg *s;
    const char *table;
    uint64_t pages, lines; /* places: pages × lines */
    address *found;
    size_t n, room;
};

static int measure(struct draw *d, struct err *err)
{
    struct arena arena;
    uint64_t bytes = 0, block = 0;
    arena_init(&arena);
    struct pg_command c = {.sql = "SELECT pg_relation_size($1::regclass), "
                                  "current_setting('block_size')::int8",
                           .params.arena = &arena};
    pg_p_text(&c.params, d->table);
    PGresult *res = pg_query(d->s, &c, err);
    bool known = res && pg_get_int(res, 0, 0, &bytes) && pg_get_int(res, 0, 1, &block) && block;
    int rc = res ? 0 : -1;
    PQclear(res);
    arena_free(&arena);
    d->pages = known ? bytes / block : 0; /* none: a view, or a table in parts */
    d->lines = known ? (block - HEADER) / LINE : 0;
    return rc;
}

static int draw_round(struct draw *d, size_t n, struct err *err)
{
    struct arena arena;
    struct pg_array places;
    struct rng *rng = &d->s->base.rng;
    arena_init(&arena);
    pg_array_begin(&places, &arena, PG_TID, n);
    for (size_t i = 0; i < n; i++) {
        uint64_t page = rng_below(rng, d->pages), line = 1 + rng_below(rng, d->lines);
        uint8_t tid[PG_TID_SIZE] = {(uint8_t)(page >> 24), (uint8_t)(page >> 16),
                                    (uint8_t)(page >> 8),  (uint8_t)page,
                                    (uint8_t)(line >> 8),  (uint8_t)line};
        pg_array_tid(&places, tid);
    }
    struct pg_command c = {
        .sql = arena_printf(&arena, "SELECT wallet FROM %s WHERE ctid = ANY($1)", d->table),
        .params.arena = &arena};
    pg_p_array(&c.params, &places);
    PGresult *res = pg_query(d->s, &c, err);
    for (int i = 0; res && i < PQntuples(res) && d->n < d->room; i++)
        d->n += pg_get_address(res, i, 0, &d->found[d->n]);
    PQclear(res);
    arena_free(&arena);
    return res ? 0 : -1;
}

/* Any `want` of those found are as good as any other. */
static void thin(struct draw *d, size_t want)
{
    for (size_t i = 0; i < want && i < d->n; i++) {
        size_t other = i + rng_below(&d->s->base.rng, d->n - i);
        address kept = d->found[other];
        d->found[other] = d->found[i];
        d->found[i] = kept;
    }
    if (d->n > want)
        d->n = want;
}

static int draw(struct draw *d, size_t want, struct err *err)
{
    size_t most = want * PLACES_A_ROW < ROUND_FEW ? ROUND_FEW : want * PLACES_A_ROW;
    size_t round = most < ROUND ? most : ROUND;
    for (size_t places = 0; d->n < want && places < PLACES_MOST; places += round) {
        if (draw_round(d, round, err) != 0)
            return -1;
        d->n = addresses_sort_unique(d->found, d->n);
    }
    if (d->n > want)
        thin(d, want);
    return 0;
}

int pg_prove_sample(struct store *store, const struct store_balance *b, size_t want,
                    struct arena *arena, address **ret, size_t *ret_n, struct err *err)
{
    struct draw d = {.s = pg_of(store), .room = want + ROUND};
    d.found = arena_alloc(arena, d.room * sizeof *d.found);
    d.table = pg_table(d.s, b->table, arena);
    if (measure(&d, err) != 0)
        return -1;
    bool drawn = d.pages > SMALL_PAGES;
    if (drawn && draw(&d, want, err) != 0)
        return -1;
    if (!drawn || d.n < want) {
        struct reservoir r = {.kept = d.found, .want = want, .rng = &d.s->base.rng};
        if (walk(d.s, d.table, &r, err) != 0)
            return -1;
        d.n = r.n;
    }
    *ret = d.found;
    *ret_n = addresses_sort_unique(d.found, d.n);
    return 0;
}

/* ---- rows and headers ------------------------------------------------------------------------ */

int pg_prove_rows(struct store *store, const struct store_balance *b, const address *wallets,
                  size_t n, struct prove_row *ret, struct err *err)
{
    struct pg *s = pg_of(store);
    struct arena arena;
    struct pg_array list;
    arena_init(&arena);
    pg_array_addresses(&list, &arena, wallets, n);
    struct pg_command c = {
        /* the uncorrelated EXISTS is asked once: an empty quarantine costs nothing */
        .sql = arena_printf(&arena,
                            "SELECT u.i, t.balance, t.blocknumber::int8, t.observed_block, "
                            "t.updated_at, t.created_at, EXISTS (SELECT 1 FROM trueup_quarantine "
                            "WHERE balance = $2) AND EXISTS (SELECT 1 FROM trueup_quarantine q "
                            "WHERE q.balance = $2 AND q.wallet = u.w) FROM unnest($1) WITH "
                            "ORDINALITY u(w, i) JOIN %s t ON t.wallet = u.w",
                            pg_table(s, b->table, &arena)),
        .params.arena = &arena,
        .prepare = true};
    pg_p_array(&c.params, &list);
    pg_p_text(&c.params, b->name);
    PGresult *res = pg_query(s, &c, err);
    memset(ret, 0, n * sizeof *ret);
    for (int i = 0; res && i < PQntuples(res); i++) {
        uint64_t at;
        if (!pg_get_int(res, i, 0, &at) || at < 1 || at > n)
            continue;
        struct prove_row *row = &ret[at - 1];
        row->found = true;
        row->odd = !pg_get_number(res, i, 1, &row->balance);
        row->has_blocknumber = pg_get_int(res, i, 2, &row->blocknumber);
        row->has_observed = pg_get_int(res, i, 3, &row->observed_block);
        row->updated_us = pg_get_time(res, i, 4);
        row->created_us = pg_get_time(res, i, 5);
        row->waiting = pg_get_bool(res, i, 6);
    }
    PQclear(res);
    arena_free(&arena);
    return res ? 0 : -1;
}

int pg_prove_replaced(struct store *store, uint64_t number, bool *ret, struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    struct pg_command c = {.sql = "SELECT 1 FROM trueup_blocks WHERE number = $1 AND NOT canonical",
                           .params.arena = &arena};
    pg_p_int(&c.params, true, number);
    PGresult *res = pg_query(pg_of(store), &c, err);
    if (res)
        *ret = PQntuples(res) > 0;
    PQclear(res);
    arena_free(&arena);
    return res ? 0 : -1;
}

/* ---- the ledger ------------------------------------------------------------------------------ */

static int run_on_records(struct pg *s, const char *sql, const uint64_t *ids, size_t n,
                          const char *cause, const char *endpoint, struct err *err)
{
    struct arena arena;
    struct pg_array list;
    arena_init(&arena);
    pg_array_begin(&list, &arena, PG_INT8, n);
    for (size_t i = 0; i < n; i++)
        pg_array_int(&list, ids[i]);
    struct pg_command c = {.sql = sql, .params.arena = &arena};
    pg_p_array(&c.params, &list);
    if (cause) {
        pg_p_text(&c.params, cause);
        pg_p_text(&c.params, endpoint ? endpoint : "");
    }
    PGresult *res = pg_query(s, &c, err);
    PQclear(res);
    arena_free(&arena);
    return res ? 0 : -1;
}

int pg_prove_drift_cause(struct store *store, const uint64_t *ids, size_t n, const char *cause,
                         const char *endpoint, struct err *err)
{
    return run_on_records(pg_of(store),
                          "UPDATE trueup_drift SET cause = $2, endpoint = nullif($3, '') WHERE id "
                          "= ANY($1)",
                          ids, n, cause, endpoint, err);
}

int pg_prove_drift_drop(struct store *store, const uint64_t *ids, size_t n, struct err *err)
{
    return run_on_records(pg_of(store), "DELETE FROM trueup_drift WHERE id = ANY($1)", ids, n, NULL,
                          NULL, err);
}

int pg_prove_drift_prune(struct store *store, struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    struct pg_command c = {
        .sql = "DELETE FROM trueup_drift WHERE id IN (SELECT id FROM trueup_drift ORDER BY id "
               "LIMIT 20000 FOR UPDATE SKIP LOCKED) AND (found_at < (CURRENT_TIMESTAMP AT TIME "
               "ZONE 'UTC') - $1 * interval '1 day' OR id <= (SELECT max(id) FROM trueup_drift) - "
               "$2)",
        .params.arena = &arena};
    pg_p_int(&c.params, true, DRIFT_DAYS);
    pg_p_int(&c.params, true, DRIFT_KEPT);
    PGresult *res = pg_query(pg_of(store), &c, err);
    PQclear(res);
    arena_free(&arena);
    return res ? 0 : -1;
}
