/* The list of wallets, dirty marks, and quarantine. */
#include "store/pick.h"
#include "store/rule.h"

#include <string.h>

/* ---- the list -------------------------------------------------------------------------------- */

/* In the order of keys, as all writers lock them, and each once. */
static size_t wallets_sorted(const address *wallets, size_t n, struct arena *arena, address **ret)
{
    *ret = arena_alloc(arena, n * sizeof **ret);
    memcpy(*ret, wallets, n * sizeof **ret);
    return addresses_sort_unique(*ret, n);
}

int store_wallets_add(struct store *s, const struct store_balance *b, const address *wallets,
                      size_t n, size_t *ret_added, struct err *err)
{
    struct arena arena;
    address *list;
    uint64_t added = 0;
    int rc = 0;
    arena_init(&arena);
    n = wallets_sorted(wallets, n, &arena, &list);
    struct db_query q = {
        .sql = "INSERT INTO trueup_wallets (balance, wallet, pending) SELECT $1, u.w, NOT EXISTS "
               "(SELECT 1 FROM {t} t WHERE t.wallet = u.w) FROM unnest($2) u(w) WHERE true ON "
               "CONFLICT DO NOTHING",
        .b = b,
        .set = n,
        .params = {db_text(b->name), db_column(DB_ADDRESS, list, sizeof *list)}};
    struct db_query all[] = {q, q};
    /* Named again: a first insert that was refused has its next try. */
    all[0].sql = "UPDATE trueup_quarantine AS q SET retry_at = {now} FROM unnest($2) u(w) WHERE "
                 "q.balance = $1 AND q.wallet = u.w AND q.retry_at > '" QUARANTINE_FAR "'";
    if (n)
        rc = db_write(s, all, 2, 0, &added, err);
    if (rc == 0)
        *ret_added = added;
    arena_free(&arena);
    return rc;
}

struct removal {
    struct arena *arena;
    address *gone; /* had a row, or stood in the list */
    size_t n;
};

/* Locks what is there of the wallets, in their order; then removes it. */
static int wallets_remove_from(struct store *s, const struct db_query *lock,
                               const struct db_query *removals, struct removal *r, struct err *err)
{
    struct db_rows rows;
    int rc;
    if (db_read(s, lock, &rows, err) < 0)
        return -1;
    while ((rc = db_next(&rows, err)) == 1) {
        r->gone = db_grow(r->arena, r->gone, r->n, sizeof *r->gone);
        r->n += db_get_address(&rows, 0, &r->gone[r->n]);
    }
    return rc < 0 ? -1 : db_write(s, removals, 2, 0, NULL, err);
}

/* Rows before the list, as in a batch; and rows once more, for one that a batch inserted while we
 * waited for its hold on the list. */
static int wallets_remove_all(struct store *s, const struct db_query *q, struct arena *arena,
                              size_t *ret_removed, struct err *err)
{
#define FROM_OWN(table)                                                                            \
    "DELETE FROM " table " AS d USING unnest($1) u(w) WHERE d.balance = $2 AND d.wallet = u.w"
    struct db_query rows = *q, list = *q, first[] = {*q, *q}, second[] = {*q, *q};
    struct removal r = {.arena = arena};
    rows.sql = "SELECT t.wallet FROM unnest($1) WITH ORDINALITY u(w, i), {t} t WHERE t.wallet = "
               "u.w ORDER BY u.i {for UPDATE OF t}";
    list.sql = "SELECT l.wallet FROM unnest($1) WITH ORDINALITY u(w, i), trueup_wallets l WHERE "
               "l.balance = $2 AND l.wallet = u.w ORDER BY u.i {for UPDATE OF l}";
    first[0].sql = "DELETE FROM {t} AS d USING unnest($1) u(w) WHERE d.wallet = u.w";
    first[1].sql = FROM_OWN("trueup_quarantine");
    second[0].sql = FROM_OWN("trueup_wallets");
    second[1].sql = FROM_OWN("trueup_dirty");
#undef FROM_OWN
    if (db_begin(s, 0, err) < 0 || wallets_remove_from(s, &rows, first, &r, err) < 0 ||
        wallets_remove_from(s, &list, second, &r, err) < 0 ||
        wallets_remove_from(s, &rows, first, &r, err) < 0 || db_commit(s, err) < 0)
        return -1;
    *ret_removed = addresses_sort_unique(r.gone, r.n);
    return 0;
}

int store_wallets_remove(struct store *s, const struct store_balance *b, const address *wallets,
                         size_t n, size_t *ret_removed, struct err *err)
{
    struct arena arena;
    address *list;
    int rc = 0;
    arena_init(&arena);
    n = wallets_sorted(wallets, n, &arena, &list);
    struct db_query q = {
        .b = b, .set = n, .params = {db_column(DB_ADDRESS, list, sizeof *list), db_text(b->name)}};
    if (n)
        rc = wallets_remove_all(s, &q, &arena, ret_removed, err);
    else
        *ret_removed = 0;
    arena_free(&arena);
    return rc;
}

int store_wallets_list(struct store *s, const struct store_balance *b,
                       const struct store_page *page, address **ret, size_t *ret_n, struct err *err)
{
    struct db_query q = {
        .sql = "SELECT wallet FROM trueup_wallets WHERE balance = $1 AND wallet > "
               "$2 ORDER BY wallet LIMIT $3",
        .params = {db_text(b->name), db_after(page->after), db_number(page->limit)}};
    return db_read_addresses(s, &q, page->arena, ret, ret_n, err);
}

int store_pending(struct store *s, const struct store_balance *b, const struct store_page *page,
                  address **ret, size_t *ret_n, struct err *err)
{
    struct db_query q = {
        .sql = "SELECT t.wallet FROM trueup_wallets t WHERE t.balance = $1 AND t.pending AND "
               "t.wallet > $2 AND " NOT_WAITING("$1") " ORDER BY t.wallet LIMIT $3",
        .params = {db_text(b->name), db_after(page->after), db_number(page->limit)}};
    return db_read_addresses(s, &q, page->arena, ret, ret_n, err);
}

/* ---- dirty marks ----------------------------------------------------------------------------- */

static bool dirty_take(const struct db_rows *row, struct arena *arena, void *item)
{
    struct store_dirty *d = item;
    d->endpoint = db_keep_text(row, 3, arena);
    return db_get_address(row, 0, &d->wallet) && db_get_number(row, 1, &d->number) &&
           db_get_hash(row, 2, &d->hash);
}

int store_dirty_due(struct store *s, const struct store_balance *b, const struct store_page *page,
                    struct store_dirty **ret, size_t *ret_n, struct err *err)
{
    struct db_query q = {
        .sql = "SELECT wallet, number, hash, endpoint FROM trueup_dirty WHERE balance = $1 "
               "AND number <= $2 ORDER BY number, wallet LIMIT $3",
        .hot = true,
        .params = {db_text(b->name), db_number(page->up_to), db_number(page->limit)}};
    struct db_take take = {page->arena, sizeof **ret, dirty_take};
    return db_read_list(s, &q, &take, ret, ret_n, err);
}

int store_dirty_drop(struct store *s, const struct store_balance *b, uint64_t up_to,
                     struct err *err)
{
    struct db_query q = {.sql = "DELETE FROM trueup_dirty WHERE balance = $1 AND number <= $2",
                         .hot = true,
                         .params = {db_text(b->name), db_number(up_to)}};
    return db_write(s, &q, 1, 0, NULL, err);
}

/* ---- quarantine ------------------------------------------------------------------------------ */

int store_quarantine_due(struct store *s, const struct store_balance *b,
                         const struct store_page *page, address **ret, size_t *ret_n,
                         struct err *err)
{
    struct db_query q = {.sql = "SELECT wallet FROM trueup_quarantine WHERE balance = $1 AND "
                                "retry_at <= {now} ORDER BY retry_at LIMIT $2",
                         .hot = true,
                         .params = {db_text(b->name), db_number(page->limit)}};
    return db_read_addresses(s, &q, page->arena, ret, ret_n, err);
}

int view_quarantined(struct store *s, const struct store_balance *b, const address *wallet,
                     struct view_quarantine *ret, bool *ret_found, struct err *err)
{
    struct db_query q = {.sql = "SELECT failures, reason, retry_at, event_block FROM "
                                "trueup_quarantine WHERE balance = $1 AND wallet = $2",
                         .hot = true,
                         .params = {db_text(b->name), db_address(wallet)}};
    struct db_rows rows;
    if (db_read(s, &q, &rows, err) < 0)
        return -1;
    int rc = db_next(&rows, err);
    if (rc == 1) {
        *ret = (struct view_quarantine){.retry_us = db_get_time(&rows, 2)};
        db_get_number(&rows, 0, &ret->failures);
        ret->has_event = db_get_number(&rows, 3, &ret->event_block);
        db_copy_text(&rows, 1, ret->reason, sizeof ret->reason);
        db_end(&rows);
    }
    *ret_found = rc == 1;
    return rc < 0 ? -1 : 0;
}
