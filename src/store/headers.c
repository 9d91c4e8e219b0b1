/* Headers: trueup_blocks. */
#include "store/driver.h"

#include "base/mem.h"
#include "store/audit.h"

int store_headers_put(struct store *s, const struct anchor *headers, size_t n, struct err *err)
{
    if (n == 0)
        return 0;
    const struct db_param number = db_column(DB_NUMBER, &headers->number, sizeof *headers),
                          hash = db_column(DB_HASH, &headers->hash, sizeof *headers),
                          parent = db_column(DB_HASH, &headers->parent, sizeof *headers),
                          time = db_column(DB_NUMBER, &headers->timestamp, sizeof *headers);
    struct db_query list[] = {
        {.sql = "UPDATE trueup_blocks AS b SET on_chain = false FROM unnest($1, $2) u(number, "
                "hash) WHERE b.number = u.number AND b.hash <> u.hash AND b.on_chain",
         .set = n,
         .hot = true,
         .params = {number, hash}},
        {.sql = "INSERT INTO trueup_blocks AS b (number, hash, parent, timestamp, on_chain) SELECT "
                "DISTINCT u.number, u.hash, u.parent, u.time, true FROM unnest($1, $2, $3, $4) "
                "u(number, hash, parent, time) WHERE true ON CONFLICT (number, hash) DO UPDATE SET "
                "on_chain = true WHERE NOT b.on_chain",
         .set = n,
         .hot = true,
         .params = {number, hash, parent, time}},
    };
    /* Asynchronous: a crash loses the end of the database's log, so a row that was written at a
     * header is lost before the header is. */
    return db_write(s, list, COUNT_OF(list), DB_ASYNC, NULL, err);
}

static bool header_take(const struct db_rows *row, struct arena *arena, void *item)
{
    struct anchor *h = item;
    (void)arena;
    return db_get_number(row, 0, &h->number) && db_get_hash(row, 1, &h->hash) &&
           db_get_hash(row, 2, &h->parent) && db_get_number(row, 3, &h->timestamp);
}

int store_headers_below(struct store *s, const struct store_page *page, struct anchor **ret,
                        size_t *ret_n, struct err *err)
{
    struct db_query q = {.sql = "SELECT number, hash, parent, timestamp FROM trueup_blocks WHERE "
                                "number <= $1 AND on_chain ORDER BY number DESC LIMIT $2",
                         .hot = true,
                         .params = {db_number(page->up_to), db_number(page->limit)}};
    struct db_take take = {page->arena, sizeof **ret, header_take};
    return db_read_list(s, &q, &take, ret, ret_n, err);
}

int store_header_at(struct store *s, uint64_t number, struct anchor *ret, bool *ret_found,
                    struct err *err)
{
    struct arena arena;
    struct anchor *found = NULL;
    size_t n = 0;
    arena_init(&arena);
    int rc = store_headers_below(
        s, &(struct store_page){.up_to = number, .limit = 1, .arena = &arena}, &found, &n, err);
    if (rc == 0) {
        *ret_found = n == 1 && found[0].number == number;
        if (*ret_found)
            *ret = found[0];
    }
    arena_free(&arena);
    return rc;
}

int store_headers_prune(struct store *s, const struct store_prune *p, struct err *err)
{
    struct db_query q = {
        .sql = "DELETE FROM trueup_blocks WHERE timestamp < $3 AND number < (SELECT min(k.number) "
               "FROM (SELECT number FROM trueup_blocks WHERE number <= $1 AND on_chain ORDER BY "
               "number DESC LIMIT $2) k)",
        .params = {db_number(p->below), db_number(p->keep), db_number(p->before)}};
    return db_write(s, &q, 1, 0, NULL, err);
}

int store_header_replaced(struct store *s, uint64_t number, bool *ret, struct err *err)
{
    uint64_t one;
    struct db_query q = {
        .sql =
            "SELECT count(*) FROM trueup_blocks d WHERE NOT d.on_chain AND d.number >= $1 AND NOT "
            "EXISTS (SELECT 1 FROM trueup_blocks c WHERE c.on_chain AND c.number >= $1 AND "
            "c.number < d.number)",
        .params = {db_number(number)}};
    if (db_read_number(s, &q, &one, NULL, err) < 0)
        return -1;
    *ret = one > 0;
    return 0;
}

/* 1970 makes them placeholders, which every claim looks at first. Locked in the order of wallets,
 * as every writer does. */
static int headers_rewind_rows(struct store *s, const struct store_balance *b, uint64_t first_bad,
                               uint64_t *rows, struct err *err)
{
    uint64_t n;
    struct db_query q = {
        .sql =
            "WITH bad(w) AS (SELECT wallet FROM {t} WHERE observed_block >= $1 ORDER BY wallet "
            "{for NO KEY UPDATE}) UPDATE {t} AS t SET observed_block = NULL, updated_at = {1970} "
            "FROM bad WHERE t.wallet = bad.w",
        .b = b,
        .params = {db_number(first_bad)}};
    if (db_write(s, &q, 1, 0, &n, err) < 0)
        return -1;
    *rows += n;
    return 0;
}

/* The blocks first: a batch that holds one of them as its anchor commits before we go on, and is
 * then seen; a later one finds its anchor gone. */
int store_rewind(struct store *s, const struct store_balance *b, size_t n, uint64_t first_bad,
                 uint64_t *ret_rows, struct err *err)
{
    uint64_t rows = 0;
    struct db_query q = {
        .sql = "UPDATE trueup_blocks SET on_chain = false WHERE number >= $1 AND on_chain",
        .params = {db_number(first_bad)}};
    if (db_begin(s, DB_SCAN, err) < 0 || db_write(s, &q, 1, 0, NULL, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (headers_rewind_rows(s, &b[i], first_bad, &rows, err) < 0)
            return -1;
    if (db_commit(s, err) < 0)
        return -1;
    *ret_rows = rows;
    return 0;
}
