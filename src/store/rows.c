/* Rows of a balance's table: one, many by name, and all in the order of keys. */
#include "store/driver.h"

#include "base/mem.h"
#include "store/holders.h"
#include "store/pick.h"

#include <string.h>

int store_count(struct store *s, const struct store_balance *b, struct store_counts *ret,
                struct err *err)
{
    struct db_query q = {.sql = "SELECT count(*), count(*) - count(observed_block), "
                                "min(updated_at), (SELECT count(*) FROM trueup_quarantine WHERE "
                                "balance = $1), (SELECT count(*) FROM trueup_wallets WHERE balance "
                                "= $1), {now} FROM {t}",
                         .b = b,
                         .scan = true,
                         .params = {db_text(b->name)}};
    struct db_rows rows;
    if (db_read(s, &q, &rows, err) < 0 || db_next(&rows, err) != 1)
        return -1;
    *ret =
        (struct store_counts){.oldest_us = db_get_time(&rows, 2), .now_us = db_get_time(&rows, 5)};
    db_get_number(&rows, 0, &ret->rows);
    db_get_number(&rows, 1, &ret->unanchored);
    db_get_number(&rows, 3, &ret->quarantined);
    db_get_number(&rows, 4, &ret->listed);
    db_end(&rows);
    return 0;
}

int store_count_without_row(struct store *s, const struct store_balance *b, uint64_t *ret,
                            struct err *err)
{
    struct db_query q = {
        .sql = "SELECT (SELECT count(*) FROM trueup_wallets WHERE balance = $1 AND pending) + "
               "(SELECT count(*) FROM trueup_quarantine q WHERE q.balance = $1 AND NOT EXISTS "
               "(SELECT 1 FROM {t} t WHERE t.wallet = q.wallet) AND NOT EXISTS (SELECT 1 FROM "
               "trueup_wallets w WHERE w.balance = $1 AND w.wallet = q.wallet AND w.pending))",
        .b = b,
        .params = {db_text(b->name)}};
    return db_read_number(s, &q, ret, NULL, err);
}

/* ---- all, by key ----------------------------------------------------------------------------- */

/* A page of rows in the order of keys; asked again for those that are no wallets of ours. */
struct key_walk {
    const char *sql; /* $1 the key to go on behind, $2 how many; the wallet is column 0 */
    const struct store_balance *b;
    const struct store_page *page;
    struct db_take take;
    size_t n;
    char from[80];
    uint8_t *list;
};

static int rows_walk_once(struct store *s, struct key_walk *w, size_t *ret_got, struct err *err)
{
    int64_t before_us = w->page->before_us ? w->page->before_us : INT64_MAX;
    struct db_query q = {.sql = w->sql,
                         .b = w->b,
                         .hot = true,
                         .params = {db_text(w->from), db_number(w->page->limit - w->n),
                                    db_text(w->b->name), db_time(before_us)}};
    struct db_rows rows;
    int rc;
    *ret_got = 0;
    if (db_read(s, &q, &rows, err) < 0)
        return -1;
    while ((rc = db_next(&rows, err)) == 1) {
        w->n += w->take.row(&rows, w->take.arena, w->list + w->n * w->take.size);
        db_copy_text(&rows, 0, w->from, sizeof w->from);
        ++*ret_got;
    }
    return rc;
}

/* ret as in db_read_list(). */
static int rows_walk(struct store *s, struct key_walk *w, void *ret, size_t *ret_n, struct err *err)
{
    size_t asked, got;
    w->list = arena_alloc(w->take.arena, (w->page->limit + 1) * w->take.size);
    if (w->page->after)
        address_text(w->page->after, w->from);
    do {
        asked = w->page->limit - w->n;
        if (rows_walk_once(s, w, &got, err) < 0)
            return -1;
    } while (w->n < w->page->limit && got == asked && got > 0);
    memcpy(ret, &w->list, sizeof w->list);
    *ret_n = w->n;
    return 0;
}

int store_keys(struct store *s, const struct store_balance *b, const struct store_page *page,
               address **ret, size_t *ret_n, struct err *err)
{
    struct key_walk w = {
        .sql = "SELECT t.wallet FROM {t} t WHERE t.wallet > $1 ORDER BY t.wallet LIMIT $2",
        .b = b,
        .page = page,
        .take = {page->arena, sizeof **ret, db_take_address}};
    return rows_walk(s, &w, ret, ret_n, err);
}

/* Each half is limited by itself, so that neither is sorted whole. */
int store_keys_and_list(struct store *s, const struct store_balance *b,
                        const struct store_page *page, address **ret, size_t *ret_n,
                        struct err *err)
{
    struct key_walk w = {
        .sql = "SELECT w.wallet FROM (SELECT a.wallet FROM (SELECT wallet FROM {t} WHERE wallet > "
               "$1 ORDER BY wallet LIMIT $2) a UNION SELECT b.wallet FROM (SELECT wallet FROM "
               "trueup_wallets WHERE balance = $3 AND pending AND wallet > $1 ORDER BY wallet "
               "LIMIT $2) b) w ORDER BY w.wallet LIMIT $2",
        .b = b,
        .page = page,
        .take = {page->arena, sizeof **ret, db_take_address}};
    return rows_walk(s, &w, ret, ret_n, err);
}

static bool rows_take_stale(const struct db_rows *row, struct arena *arena, void *item)
{
    (void)arena;
    return claim_read(row, item);
}

int store_next_by_key(struct store *s, const struct store_balance *b, const struct store_page *page,
                      struct store_stale **ret, size_t *ret_n, struct err *err)
{
    struct key_walk w = {
        .sql = "SELECT t.wallet, t.updated_at, t.observed_block FROM {t} t WHERE t.wallet > $1 AND "
               "t.updated_at < $4 AND " NOT_WAITING("$3") " ORDER BY t.wallet LIMIT $2",
        .b = b,
        .page = page,
        .take = {page->arena, sizeof **ret, rows_take_stale}};
    return rows_walk(s, &w, ret, ret_n, err);
}

/* ---- many, by name --------------------------------------------------------------------------- */

int store_tracked(struct store *s, const struct store_balance *b, const address *wallets, size_t n,
                  bool *ret_tracked, struct err *err)
{
    struct db_query q = {
        .sql = "SELECT u.i FROM unnest($1) WITH ORDINALITY u(w, i) WHERE EXISTS (SELECT 1 FROM {t} "
               "t WHERE t.wallet = u.w) OR EXISTS (SELECT 1 FROM trueup_wallets l WHERE l.balance "
               "= $2 AND l.wallet = u.w)",
        .b = b,
        .set = n,
        .hot = true,
        .params = {db_column(DB_ADDRESS, wallets, sizeof *wallets), db_text(b->name)}};
    if (b->tracking == STORE_SEEN) {
        for (size_t i = 0; i < n; i++)
            ret_tracked[i] = !address_is_zero(&wallets[i]); /* minting and burning */
        return 0;
    }
    if (b->tracking == STORE_QUERY && !s->driver->ask_query) {
        err_set(err, ERR_STORE, "balance \"%s\": wallets by a query need PostgreSQL", b->name);
        return err_hint(err, "keep the list in trueup: wallets: listed, and trueup wallets import");
    }
    bool *tracked = mem_zero(n + 1, sizeof *tracked);
    int rc = n ? db_mark_ordinals(s, &q, tracked, err) : 0;
    if (rc == 0 && n && b->tracking == STORE_QUERY)
        rc = s->driver->ask_query(s, b, wallets, n, tracked, err);
    if (rc == 0)
        memcpy(ret_tracked, tracked, n * sizeof *tracked);
    mem_free(tracked);
    return rc;
}

int store_answered(struct store *s, const struct store_balance *b, const struct store_event *events,
                   size_t n, bool *ret_answered, struct err *err)
{
    struct db_query q = {
        .sql = "SELECT u.i FROM unnest($1, $2) WITH ORDINALITY u(w, n, i) WHERE EXISTS (SELECT 1 "
               "FROM {t} t WHERE t.wallet = u.w AND t.observed_block >= u.n AND t.blocknumber >= "
               "u.n) OR EXISTS (SELECT 1 FROM trueup_quarantine q WHERE q.balance = $3 AND "
               "q.wallet = u.w AND q.event_block >= u.n)",
        .b = b,
        .set = n,
        .hot = true,
        .params = {db_column(DB_ADDRESS, &events->wallet, sizeof *events),
                   db_column(DB_NUMBER, &events->block, sizeof *events), db_text(b->name)}};
    return n ? db_mark_ordinals(s, &q, ret_answered, err) : 0;
}

/* Locked in the order of wallets, as every writer does. */
int store_raise_blocknumbers(struct store *s, const struct store_balance *b,
                             const struct store_event *events, size_t n, struct err *err)
{
    uint64_t raised;
    struct db_query q = {
        .sql = "WITH low(w, n) AS (SELECT t.wallet, u.n FROM unnest($1, $2) WITH ORDINALITY "
               "u(w, n, i), {t} t WHERE t.wallet = u.w AND t.observed_block >= u.n AND "
               "(t.blocknumber IS NULL OR t.blocknumber < u.n) ORDER BY u.i {for NO KEY UPDATE OF "
               "t}) UPDATE {t} AS t SET blocknumber = low.n FROM low WHERE t.wallet = low.w",
        .b = b,
        .set = n,
        .params = {db_column(DB_ADDRESS, &events->wallet, sizeof *events),
                   db_column(DB_NUMBER, &events->block, sizeof *events)}};
    return n ? db_write(s, &q, 1, 0, &raised, err) : 0;
}

int store_rows(struct store *s, const struct store_balance *b, const address *wallets, size_t n,
               struct store_row *ret, struct err *err)
{
    struct db_query q = {
        /* the uncorrelated EXISTS is asked once: an empty quarantine costs nothing */
        .sql = "SELECT u.i, t.balance, t.blocknumber, t.observed_block, t.updated_at, "
               "t.created_at, EXISTS (SELECT 1 FROM trueup_quarantine WHERE balance = $2) AND "
               "EXISTS (SELECT 1 FROM trueup_quarantine q WHERE q.balance = $2 AND q.wallet = u.w) "
               "FROM unnest($1) WITH ORDINALITY u(w, i), {t} t WHERE t.wallet = u.w",
        .b = b,
        .set = n,
        .hot = true,
        .params = {db_column(DB_ADDRESS, wallets, sizeof *wallets), db_text(b->name)}};
    struct db_rows rows;
    uint64_t at;
    int rc;
    if (n == 0)
        return 0;
    if (db_read(s, &q, &rows, err) < 0)
        return -1;
    memset(ret, 0, n * sizeof *ret);
    while ((rc = db_next(&rows, err)) == 1) {
        if (!db_get_number(&rows, 0, &at) || at < 1 || at > n)
            continue;
        struct store_row *row = &ret[at - 1];
        row->found = true;
        row->odd = !db_get_balance(&rows, 1, &row->balance);
        row->has_blocknumber = db_get_number(&rows, 2, &row->blocknumber);
        row->has_observed = db_get_number(&rows, 3, &row->observed_block);
        row->updated_us = db_get_time(&rows, 4);
        row->created_us = db_get_time(&rows, 5);
        row->waiting = db_get_bool(&rows, 6);
    }
    return rc;
}

/* ---- for people ------------------------------------------------------------------------------ */

#define ROW_COLUMNS                                                                                \
    "SELECT t.wallet, CAST(t.balance AS TEXT), t.blocknumber, t.observed_block, t.updated_at "     \
    "FROM "

static bool row_take(const struct db_rows *row, struct arena *arena, void *item)
{
    struct view_row *v = item;
    (void)arena;
    v->updated_us = db_get_time(row, 4);
    db_copy_text(row, 1, v->balance, sizeof v->balance);
    v->has_blocknumber = db_get_number(row, 2, &v->blocknumber);
    v->has_observed = db_get_number(row, 3, &v->observed_block);
    return db_get_address(row, 0, &v->wallet);
}

static int rows_read(struct store *s, const struct db_query *q, struct arena *arena,
                     struct view_row **ret, size_t *ret_n, struct err *err)
{
    struct db_take take = {arena, sizeof **ret, row_take};
    return db_read_list(s, q, &take, ret, ret_n, err);
}

int view_rows(struct store *s, const struct view_ask *ask, struct view_row **ret, size_t *ret_n,
              struct err *err)
{
    struct db_query q = {.sql = ROW_COLUMNS "unnest($1) u(w), {t} t WHERE t.wallet = u.w",
                         .b = ask->b,
                         .set = ask->n,
                         .hot = true,
                         .params = {db_column(DB_ADDRESS, ask->wallets, sizeof *ask->wallets)}};
    *ret_n = 0;
    return ask->n ? rows_read(s, &q, ask->arena, ret, ret_n, err) : 0;
}

int view_top(struct store *s, const struct view_ask *ask, struct view_row **ret, size_t *ret_n,
             struct err *err)
{
    struct db_query q = {.sql = ROW_COLUMNS "{t} t ORDER BY {largest_first}, t.wallet LIMIT $1",
                         .b = ask->b,
                         .scan = true,
                         .params = {db_number(ask->limit)}};
    return rows_read(s, &q, ask->arena, ret, ret_n, err);
}
