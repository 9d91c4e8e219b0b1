/* PostgreSQL: a balance's own query, as it is, with the planner's own choices. */
#include "store/pg.h"

#include "base/mem.h"

#include <stdlib.h>

/* As an application spells them: any case, checked for nothing but being 20 bytes. */
static bool pg_get_any_address(const struct db_rows *rows, address *ret)
{
    size_t n;
    const char *text = pg_get_text(rows, 0, &n);
    return text && address_parse_loose(text, n, ret);
}

/* ---- which of these -------------------------------------------------------------------------- */

struct candidate {
    address wallet; /* first: compared as one */
    size_t at;
};

/* Marks each candidate that the answer names; one may be given twice. */
static void pg_mark_candidates(struct db_rows *rows, const address *wallets, size_t n,
                               bool *ret_tracked, struct arena *arena)
{
    struct candidate *sorted = arena_alloc(arena, n * sizeof *sorted);
    for (size_t i = 0; i < n; i++)
        sorted[i] = (struct candidate){wallets[i], i};
    qsort(sorted, n, sizeof *sorted, address_compare_elements);
    while (pg_next_row(rows)) {
        address wallet;
        if (!pg_get_any_address(rows, &wallet))
            continue;
        struct candidate *c = bsearch(&wallet, sorted, n, sizeof *sorted, address_compare_elements);
        while (c && c > sorted && address_equal(&c[-1].wallet, &wallet))
            c--;
        for (; c && c < sorted + n && address_equal(&c->wallet, &wallet); c++)
            ret_tracked[c->at] = true;
    }
}

int pg_ask_query(struct store *s, const struct store_balance *b, const address *wallets, size_t n,
                 bool *ret_tracked, struct err *err)
{
    struct db_query q[] = {
        {.sql = "BEGIN READ ONLY"},
        {.sql = PG_ALL_JOINS},
        {.sql = b->query,
         .raw = true,
         .set = n,
         .params = {db_column(DB_ADDRESS, wallets, sizeof *wallets)}},
        {.sql = "COMMIT"},
    };
    PGresult *res[COUNT_OF(q)];
    if (pg_run(pg_of(s), q, COUNT_OF(q), res, err) != 0) {
        err_wrap(err, "wallets query of balance \"%s\"", b->name);
        return err_hint(err, "it takes the candidates as $1 (text[]) and returns wallets in its "
                             "first column");
    }
    struct arena arena;
    struct db_rows rows = pg_rows(pg_of(s), res[2]);
    arena_init(&arena);
    pg_mark_candidates(&rows, wallets, n, ret_tracked, &arena);
    arena_free(&arena);
    pg_clear(res, COUNT_OF(q));
    return 0;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static int pg_open_cursor(struct store *s, const struct store_balance *b, struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    struct db_query q[] = {
        {.sql = PG_ALL_JOINS},
        {.sql = arena_printf(&arena, "DECLARE tracked_wallets NO SCROLL CURSOR FOR %s", b->query),
         .raw = true,
         .params = {db_column(DB_TEXT, NULL, 1)}}, /* NULL: no candidates, all of them */
    };
    int rc = db_write(s, q, COUNT_OF(q), 0, NULL, err);
    arena_free(&arena);
    if (rc == 0)
        return 0;
    err_wrap(err, "wallets query of balance \"%s\"", b->name);
    return err_hint(err, "it is asked for all its wallets with a NULL for $1 (text[])");
}

int pg_walk_query(struct store *s, const struct store_balance *b,
                  void (*take)(void *ctx, const address *wallets, size_t n), void *ctx,
                  uint64_t *ret_odd, struct err *err)
{
    enum { PAGE = 20000 };
    const struct db_query fetch = {.sql = "FETCH 20000 FROM tracked_wallets"};
    struct db_rows rows;
    uint64_t odd = 0;
    int got = 1;
    if (db_begin(s, DB_SCAN, err) < 0 || pg_open_cursor(s, b, err) < 0)
        return -1;
    address *page = mem_alloc(PAGE * sizeof *page);
    while (got > 0 && db_read(s, &fetch, &rows, err) == 0) {
        size_t n = 0;
        for (got = 0; pg_next_row(&rows) && got < PAGE; got++)
            n += pg_get_any_address(&rows, &page[n]);
        odd += (size_t)got - n;
        db_end(&rows);
        take(ctx, page, n);
    }
    mem_free(page);
    if (got > 0 || db_commit(s, err) < 0)
        return -1;
    *ret_odd = odd;
    return 0;
}
