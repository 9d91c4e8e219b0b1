/* Holders named by event history, and walks over all wallets. */
#include "store/holders.h"

#include "store/driver.h"

enum { HOLDERS_PAGE = 20000 }; /* in one statement: bounds what its parameters take */

int store_holders_put(struct store *s, const struct store_balance *b,
                      const struct named_holder *list, size_t n, const struct store_note *note,
                      struct err *err)
{
    if (db_begin(s, 0, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i += HOLDERS_PAGE) {
        struct db_query q = {
            .sql =
                "INSERT INTO trueup_found AS f (balance, wallet, block) SELECT $1, u.w, u.n FROM "
                "unnest($2, $3) u(w, n) WHERE true ON CONFLICT (balance, wallet) DO UPDATE SET "
                "block = excluded.block WHERE f.block < excluded.block",
            .set = n - i < HOLDERS_PAGE ? n - i : HOLDERS_PAGE,
            .hot = true,
            .params = {db_text(b->name), db_column(DB_ADDRESS, &list[i].wallet, sizeof *list),
                       db_column(DB_NUMBER, &list[i].block, sizeof *list)}};
        if (db_write(s, &q, 1, 0, NULL, err) < 0)
            return -1;
    }
    if (note && store_state_set(s, note->key, note->value, err) < 0)
        return db_rollback(s);
    return db_commit(s, err);
}

static bool holder_take(const struct db_rows *row, struct arena *arena, void *item)
{
    struct named_holder *h = item;
    (void)arena;
    return db_get_address(row, 0, &h->wallet) && db_get_number(row, 1, &h->block);
}

int store_holders_next(struct store *s, const struct store_balance *b,
                       const struct holders_page *page, struct named_holder **ret, size_t *ret_n,
                       struct err *err)
{
#define WITHOUT_ROW(answered)                                                                      \
    "SELECT f.wallet, f.block FROM trueup_found f WHERE f.balance = $1 AND f.wallet > $2 AND NOT " \
    "EXISTS (SELECT 1 FROM {t} t WHERE t.wallet = f.wallet" answered                               \
    ") ORDER BY f.wallet LIMIT $3"
    struct db_query q = {
        .sql = page->which == HOLDERS_UNREAD
                   ? WITHOUT_ROW(" AND t.blocknumber >= f.block AND t.observed_block >= f.block")
                   : WITHOUT_ROW(""),
        .b = b,
        .hot = true,
        .params = {db_text(b->name), db_after(page->after), db_number(page->limit)}};
#undef WITHOUT_ROW
    struct db_take take = {page->arena, sizeof **ret, holder_take};
    return db_read_list(s, &q, &take, ret, ret_n, err);
}

int store_holders_count(struct store *s, const struct store_balance *b, uint64_t *ret,
                        struct err *err)
{
    struct db_query q = {.sql = "SELECT count(*) FROM trueup_found WHERE balance = $1",
                         .params = {db_text(b->name)}};
    return db_read_number(s, &q, ret, NULL, err);
}

int store_holders_clear(struct store *s, const struct store_balance *b, struct err *err)
{
    struct db_query q = {.sql = "DELETE FROM trueup_found WHERE balance = $1",
                         .params = {db_text(b->name)}};
    return db_write(s, &q, 1, DB_SCAN, NULL, err);
}

int store_without_row(struct store *s, const struct store_balance *b, const address *wallets,
                      size_t n, bool *ret_without, struct err *err)
{
    struct db_query q = {.sql = "SELECT u.i FROM unnest($1) WITH ORDINALITY u(w, i) WHERE NOT "
                                "EXISTS (SELECT 1 FROM {t} t WHERE t.wallet = u.w)",
                         .b = b,
                         .set = n,
                         .hot = true,
                         .params = {db_column(DB_ADDRESS, wallets, sizeof *wallets)}};
    return n ? db_mark_ordinals(s, &q, ret_without, err) : 0;
}

int store_walk_query(struct store *s, const struct store_balance *b,
                     void (*take)(void *ctx, const address *wallets, size_t n), void *ctx,
                     uint64_t *ret_odd, struct err *err)
{
    if (!s->driver->walk_query)
        return err_set(err, ERR_STORE, "a wallets query needs PostgreSQL");
    return s->driver->walk_query(s, b, take, ctx, ret_odd, err);
}
