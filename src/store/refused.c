/* Rows that the database refuses: is it the table's doing, and what becomes of their rows. */
#include "store/parts.h"

#include "store/rule.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    CONTROLS = 16,
    FIRST_INSERTS_KEPT = 100000, /* a balance */
};

/* ---- controls -------------------------------------------------------------------------------- */

static int refused_find_controls(struct store *s, const struct store_balance *b,
                                 struct arena *arena, address **ret, size_t *ret_n, struct err *err)
{
    struct db_query q = {.sql = "SELECT wallet FROM {t} WHERE observed_block IS NOT NULL ORDER BY "
                                "updated_at DESC LIMIT $1",
                         .b = b,
                         .params = {db_number(CONTROLS)}};
    return db_read_addresses(s, &q, arena, ret, ret_n, err);
}

/* The update that a refresh is, with the columns that a trigger may watch. */
static bool refused_takes_rows(struct store *s, const struct store_balance *b,
                               const address *wallets, size_t n, struct err *err)
{
    struct db_query q[] = {
        {.sql = "UPDATE {t} AS t SET balance = t.balance, blocknumber = t.blocknumber, updated_at "
                "= {now}, observed_block = t.observed_block FROM unnest($1) u(w) WHERE t.wallet = "
                "u.w",
         .b = b,
         .set = n,
         .params = {db_column(DB_ADDRESS, wallets, sizeof *wallets)}},
        {.sql = "{check_constraints}"},
    };
    bool taken = db_begin(s, 0, err) == 0 && db_write(s, q, 2, 0, NULL, err) == 0;
    db_rollback(s);
    return taken;
}

/* The database failed, or another writer has the store: that says nothing of the rows. */
static bool refused_is_no_answer(const struct store *s, const struct err *err)
{
    return (err->kind != ERR_STORE && err->kind != ERR_STORE_LOST) ||
           s->refusal.kind == REFUSAL_OF_DATABASE;
}

/* A refused one among them may have been written before it came to be refused: then each by itself.
 */
static int refused_try_rows(struct store *s, const struct store_balance *b, const address *wallets,
                            size_t n, bool *ret_taken, struct err *err)
{
    *ret_taken = n == 0 || refused_takes_rows(s, b, wallets, n, err);
    for (size_t i = 0; n > 1 && i < n && !*ret_taken; i++) {
        if (refused_is_no_answer(s, err))
            return -1;
        *ret_taken = refused_takes_rows(s, b, &wallets[i], 1, err);
    }
    return !*ret_taken && refused_is_no_answer(s, err) ? -1 : 0;
}

int refused_try_controls(struct store *s, const struct store_balance *b, bool *ret_taken,
                         struct err *err)
{
    struct arena arena;
    address *wallets = NULL;
    size_t n = 0;
    arena_init(&arena);
    int rc = refused_find_controls(s, b, &arena, &wallets, &n, err);
    if (rc == 0)
        rc = refused_try_rows(s, b, wallets, n, ret_taken, err);
    arena_free(&arena);
    return rc;
}

/* ---- rows that exist, and rows that do not --------------------------------------------------- */

/* Best effort: a table that refuses this as well keeps an anchor that is right for its block. */
static void refused_unanchor(struct store *s, const struct refused_rows *r, uint64_t read_at)
{
    struct err ignored = {0};
    for (size_t i = 0; i < r->n; i++) {
        struct db_query q = {.sql = "UPDATE {t} SET observed_block = NULL WHERE wallet = $1 AND "
                                    "balance <> $2 AND observed_block <= $3",
                             .b = r->b,
                             .hot = true,
                             .params = {db_address(&r->writes[i].wallet),
                                        {.kind = DB_BALANCE, .at = &r->writes[i].value},
                                        db_number(read_at)}};
        if (!r->failures[i].first_insert && db_write(s, &q, 1, 0, NULL, &ignored) < 0 &&
            s->refusal.kind == REFUSAL_OF_DATABASE)
            return;
    }
}

static int refused_mark_first_inserts(struct store *s, struct refused_rows *r, struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    address *wallets = arena_alloc(&arena, r->n * sizeof *wallets);
    struct store_row *rows = arena_zero(&arena, r->n, sizeof *rows);
    for (size_t i = 0; i < r->n; i++)
        wallets[i] = r->writes[i].wallet;
    int rc = store_rows(s, r->b, wallets, r->n, rows, err);
    for (size_t i = 0; rc == 0 && i < r->n; i++)
        r->failures[i].first_insert = !rows[i].found;
    arena_free(&arena);
    return rc;
}

/* ---- how many are kept ----------------------------------------------------------------------- */

static int refused_count_kept(struct store *s, const struct store_balance *b, uint64_t *ret,
                              struct err *err)
{
    struct db_query q = {.sql = "SELECT count(*) FROM trueup_quarantine WHERE balance = $1 AND "
                                "retry_at > '" QUARANTINE_FAR "'",
                         .hot = true,
                         .params = {db_text(b->name)}};
    return db_read_number(s, &q, ret, NULL, err);
}

static int refused_count_dropped(struct store *s, const struct store_balance *b, uint64_t n,
                                 struct err *err)
{
    char key[STATE_KEY];
    state_key(key, "refused", b->name, NULL);
    struct db_query q = {
        .sql = "INSERT INTO trueup_state AS s (key, value) VALUES ($1, CAST(CAST($2 AS BIGINT) AS "
               "TEXT)) ON CONFLICT (key) DO UPDATE SET value = CAST(CAST(s.value AS BIGINT) + "
               "CAST(excluded.value AS BIGINT) AS TEXT)",
        .params = {db_text(key), db_number(n)}};
    return n ? db_write(s, &q, 1, 0, NULL, err) : 0;
}

/* Leaves the first inserts out for which there is no room. */
static int refused_keep_room(struct store *s, struct refused_rows *r, struct err *err)
{
    uint64_t there = 0, dropped = 0;
    size_t kept = 0;
    if (refused_count_kept(s, r->b, &there, err) < 0)
        return -1;
    for (size_t i = 0; i < r->n; i++) {
        bool first = r->failures[i].first_insert;
        if (first && there >= FIRST_INSERTS_KEPT) {
            dropped++;
            continue;
        }
        there += first;
        r->failures[kept++] = r->failures[i];
    }
    r->n = kept;
    return refused_count_dropped(s, r->b, dropped, err);
}

int refused_prepare(struct store *s, struct refused_rows *r, uint64_t read_at, struct err *err)
{
    if (refused_mark_first_inserts(s, r, err) < 0)
        return -1;
    refused_unanchor(s, r, read_at);
    return refused_keep_room(s, r, err);
}
