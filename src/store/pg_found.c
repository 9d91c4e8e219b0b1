/* PostgreSQL: holders found in event history, and walks over all wallets. */
#include "store/found.h"
#include "store/pg.h"

#include "base/err.h"

#include "base/mem.h"

#include <stdlib.h>

enum { PAGE = 20000 }; /* in one statement: bounds what its parameters take */

static int put_page(struct pg *s, const struct store_balance *b, const struct found *list, size_t n,
                    struct err *err)
{
    struct arena arena;
    struct pg_array wallets, blocks;
    arena_init(&arena);
    pg_array_begin(&wallets, &arena, PG_TEXT, n);
    pg_array_begin(&blocks, &arena, PG_INT8, n);
    for (size_t i = 0; i < n; i++) {
        pg_array_address(&wallets, &list[i].wallet);
        pg_array_int(&blocks, list[i].block);
    }
    struct pg_command c = {
        .sql = "INSERT INTO trueup_found AS f (balance, wallet, block) SELECT $1, u.w, u.n FROM "
               "unnest($2, $3) u(w, n) ON CONFLICT (balance, wallet) DO UPDATE SET block = "
               "excluded.block WHERE f.block < excluded.block",
        .params.arena = &arena,
        .prepare = true};
    pg_p_text(&c.params, b->name);
    pg_p_array(&c.params, &wallets);
    pg_p_array(&c.params, &blocks);
    int rc = pg_run(s, &c, 1, NULL, err);
    arena_free(&arena);
    return rc;
}

int pg_found_put(struct store *store, const struct store_balance *b, const struct found *list,
                 size_t n, const char *key, const char *value, struct err *err)
{
    struct pg *s = pg_of(store);
    int rc = pg_exec(s, "BEGIN ISOLATION LEVEL READ COMMITTED", err);
    for (size_t i = 0; rc == 0 && i < n; i += PAGE)
        rc = put_page(s, b, list + i, n - i < PAGE ? n - i : PAGE, err);
    if (rc == 0 && key)
        rc = pg_state_put(s, key, value, err);
    return rc == 0 ? pg_exec(s, "COMMIT", err) : -1;
}

int pg_found_next(struct store *store, const struct store_balance *b, enum found_which which,
                  const address *after, size_t limit, struct arena *arena, struct found **ret,
                  size_t *ret_n, struct err *err)
{
    struct pg *s = pg_of(store);
    const char *answered =
        which == FOUND_UNREAD ? "AND t.blocknumber >= f.block AND t.observed_block >= f.block" : "";
    struct pg_command c = {
        .sql = arena_printf(arena,
                            "SELECT f.wallet, f.block FROM trueup_found f WHERE f.balance = $1 AND "
                            "f.wallet > $2 AND NOT EXISTS (SELECT 1 FROM %s t WHERE t.wallet = "
                            "f.wallet %s) ORDER BY f.wallet LIMIT $3",
                            pg_table(s, b->table, arena), answered),
        .params.arena = arena,
        .prepare = true};
    pg_p_text(&c.params, b->name);
    pg_p_after(&c.params, after);
    pg_p_int(&c.params, true, limit);
    PGresult *res = pg_query(s, &c, err);
    if (!res)
        return -1;
    struct found *out = arena_alloc(arena, ((size_t)PQntuples(res) + 1) * sizeof *out);
    size_t n = 0;
    for (int i = 0; i < PQntuples(res); i++)
        n += pg_get_address(res, i, 0, &out[n].wallet) && pg_get_int(res, i, 1, &out[n].block);
    PQclear(res);
    *ret = out;
    *ret_n = n;
    return 0;
}

int pg_found_count(struct store *store, const struct store_balance *b, uint64_t *ret,
                   struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    struct pg_command c = {.sql = "SELECT count(*) FROM trueup_found WHERE balance = $1",
                           .params.arena = &arena};
    pg_p_text(&c.params, b->name);
    PGresult *res = pg_query(pg_of(store), &c, err);
    if (res)
        pg_get_int(res, 0, 0, ret);
    PQclear(res);
    arena_free(&arena);
    return res ? 0 : -1;
}

int pg_found_clear(struct store *store, const struct store_balance *b, struct err *err)
{
    struct pg *s = pg_of(store);
    struct arena arena;
    arena_init(&arena);
    struct pg_command c = {.sql = "DELETE FROM trueup_found WHERE balance = $1",
                           .params.arena = &arena};
    pg_p_text(&c.params, b->name);
    int rc = pg_scanning(s, true, err);
    if (rc == 0)
        rc = pg_run(s, &c, 1, NULL, err);
    if (rc == 0)
        rc = pg_scanning(s, false, err);
    arena_free(&arena);
    return rc;
}

int pg_keys(struct store *store, const struct store_balance *b, const address *after, size_t limit,
            struct arena *arena, address **ret, size_t *ret_n, struct err *err)
{
    struct pg *s = pg_of(store);
    address *out = arena_alloc(arena, (limit + 1) * sizeof *out);
    size_t n = 0, asked, got;
    char last[ADDRESS_TEXT] = "";
    const char *from = last;
    if (after)
        address_text(after, last);
    do { /* again for those that are no wallets of ours */
        struct pg_command c = {
            .sql = arena_printf(arena,
                                "SELECT t.wallet::text FROM %s t WHERE t.wallet > $1 ORDER BY "
                                "t.wallet LIMIT $2",
                                pg_table(s, b->table, arena)),
            .params.arena = arena,
            .prepare = true};
        asked = limit - n;
        pg_p_text(&c.params, from);
        pg_p_int(&c.params, true, asked);
        PGresult *res = pg_query(s, &c, err);
        if (!res)
            return -1;
        got = (size_t)PQntuples(res);
        for (size_t i = 0; i < got; i++)
            n += pg_get_address(res, (int)i, 0, &out[n]);
        if (got)
            from = arena_strdup(arena, pg_get_text(res, (int)got - 1, 0));
        PQclear(res);
    } while (n < limit && got == asked && got);
    *ret = out;
    *ret_n = n;
    return 0;
}

static int compare(const void *a, const void *b)
{
    return address_compare(a, b);
}

int pg_without_row(struct store *store, const struct store_balance *b, const address *wallets,
                   size_t n, bool *ret_without, struct err *err)
{
    struct pg *s = pg_of(store);
    struct arena arena;
    struct pg_array list;
    arena_init(&arena);
    pg_array_addresses(&list, &arena, wallets, n);
    struct pg_command c = {.sql = arena_printf(&arena,
                                               "SELECT u.w FROM unnest($1) u(w) WHERE EXISTS "
                                               "(SELECT 1 FROM %s t WHERE t.wallet = u.w)",
                                               pg_table(s, b->table, &arena)),
                           .params.arena = &arena,
                           .prepare = true};
    pg_p_array(&c.params, &list);
    PGresult *res = pg_query(s, &c, err);
    if (res) {
        for (size_t i = 0; i < n; i++)
            ret_without[i] = true;
        for (int i = 0; i < PQntuples(res); i++) {
            address w;
            const address *at = pg_get_address(res, i, 0, &w)
                                    ? bsearch(&w, wallets, n, sizeof *wallets, compare)
                                    : NULL;
            if (at)
                ret_without[at - wallets] = false;
        }
    }
    PQclear(res);
    arena_free(&arena);
    return res ? 0 : -1;
}

/* ---- everything a query names ---------------------------------------------------------------- */

static int open_cursor(struct pg *s, const struct store_balance *b, struct arena *arena,
                       struct err *err)
{
    struct pg_command c[] = {
        {.sql = "BEGIN READ ONLY"},
        {.sql = "SELECT set_config('enable_hashjoin', 'on', true), set_config('enable_mergejoin', "
                "'on', true)"},
        {.sql = arena_printf(arena, "DECLARE trueup_all NO SCROLL CURSOR FOR %s", b->query),
         .params.arena = arena},
    };
    struct pg_params *p = &c[2].params;
    p->types[0] = PG_TEXT_ARRAY;
    p->formats[0] = 1;
    p->n = 1; /* NULL: no candidates, all of them */
    if (pg_run(s, c, COUNT_OF(c), NULL, err) == 0)
        return 0;
    err_wrap(err, "wallets query of balance \"%s\"", b->name);
    return err_hint(err, "it is asked for all its wallets with a NULL for $1 (text[])");
}

/* As an application spells them: any case, checked for nothing but being 20 bytes. */
static bool wallet_of(const PGresult *res, int row, address *ret)
{
    const char *text = pg_get_text(res, row, 0);
    return text && address_parse_loose(text, (size_t)PQgetlength(res, row, 0), ret);
}

int pg_query_all(struct store *store, const struct store_balance *b,
                 void (*take)(void *ctx, const address *wallets, size_t n), void *ctx,
                 uint64_t *ret_odd, struct err *err)
{
    struct pg *s = pg_of(store);
    struct arena arena;
    uint64_t odd = 0;
    int got = 1;
    arena_init(&arena);
    int rc = pg_scanning(s, true, err);
    if (rc == 0)
        rc = open_cursor(s, b, &arena, err);
    while (rc == 0 && got > 0) {
        struct pg_command c = {.sql = "FETCH 20000 FROM trueup_all"};
        PGresult *res = pg_query(s, &c, err);
        arena_clear(&arena);
        rc = res ? 0 : -1;
        got = res ? PQntuples(res) : 0;
        address *page = arena_alloc(&arena, ((size_t)got + 1) * sizeof *page);
        size_t n = 0;
        for (int i = 0; i < got; i++) {
            bool good = wallet_of(res, i, &page[n]);
            n += good;
            odd += !good;
        }
        PQclear(res);
        take(ctx, page, n);
    }
    if (rc == 0)
        rc = pg_exec(s, "COMMIT", err);
    if (rc == 0)
        rc = pg_scanning(s, false, err);
    arena_free(&arena);
    if (rc == 0)
        *ret_odd = odd;
    return rc;
}
