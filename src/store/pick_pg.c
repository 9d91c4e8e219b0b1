/*
 * PostgreSQL: which wallets are next.
 *
 * The order is updated_at's, by its index, from a lower bound that moves with the lap: without it
 * every look would begin among the dead entries of rows refreshed since the last vacuum. Two things
 * no bound can help against: millions of rows that share one time (a backfill's 1970), and an old
 * snapshot that keeps vacuum and the index's own clean-up from removing what is dead. A look is
 * therefore cut off by the server after LOOK_MS, and then the heap is walked instead, from place to
 * place: every row has its turn in a walk, at a cost that does not depend on dead entries. The
 * index is asked again soon, and about placeholders from the other end: among equal times the
 * entries lie in the order of the disk, so rows inserted since are at the end when the dead are at
 * the start.
 *
 * A tie-break by wallet was tried and costs a sort of all ties; a walk by key costs a random heap
 * page a row.
 */
#include "store/pg.h"
#include "store/pick.h"

#include "base/clock.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    LOOK_MS = 8,      /* the server ends a look by the index after this */
    LOOK_SLOW_MS = 6, /* one that took so long is not repeated at every tick either */
    SMALL_MS = 2000,  /* in a table of fewer than so many blocks there is nothing to get lost in */
    SMALL_BLOCKS = 2000,
    LOOK_ROWS = 100,  /* looked at beyond those wanted */
    REST_FACTOR = 25, /* a slow look is followed by so many times its own time without one */
    WALK_BLOCKS = 64, /* of the heap in one statement; about 5,000 rows */
    WALK_STEPS = 6,   /* statements in one claim */
    TID_BITS = 16,    /* an offset in its block */
    NEVER_BEFORE_1971 = 31536000, /* seconds */
};

struct pg_look {
    struct pg *s;
    struct claim *c;
    struct arena *arena;
    uint64_t blocks; /* of the heap */
    struct err *err;
};

#define COLUMNS "SELECT t.wallet, t.updated_at, t.observed_block"

/* Listed wallets without a row; and the database's time, which every claim needs. */
static int pg_look_listed(struct pg_look *l)
{
    struct claim *c = l->c;
    struct db_query q = {
        .sql =
            "SELECT w.wallet, t.updated_at, t.observed_block, t.wallet IS NOT NULL, n.now, "
            "pg_relation_size(to_regclass({t_text})) / current_setting('block_size')::bigint FROM "
            "(SELECT CURRENT_TIMESTAMP AS now) n LEFT JOIN (SELECT wallet FROM trueup_wallets l "
            "WHERE l.balance = $1 AND l.pending AND coalesce((SELECT q.retry_at <= "
            "CURRENT_TIMESTAMP FROM trueup_quarantine q WHERE q.balance = $1 AND q.wallet = "
            "l.wallet), true) LIMIT $2) w ON true LEFT JOIN {t} t ON t.wallet = w.wallet",
        .b = c->b,
        .hot = true,
        .params = {db_text(c->b->name), db_number(c->pick->want + c->pick->n_in_flight)}};
    struct db_rows rows;
    int rc = db_read(&l->s->base, &q, &rows, l->err);
    while (rc == 0 && pg_next_row(&rows)) {
        struct store_stale row;
        bool listed = claim_read(&rows, &row);
        row.has_row = db_get_bool(&rows, 3);
        l->c->now_us = db_get_time(&rows, 4);
        db_get_number(&rows, 5, &l->blocks);
        if (listed)
            claim_offer(c, &row);
    }
    db_end(&rows);
    return rc;
}

static int pg_look_ms(const struct pg_look *l)
{
    return l->blocks < SMALL_BLOCKS ? SMALL_MS : LOOK_MS;
}

/* Runs a look by the index under its own short deadline; without an answer in *ret it was cut off.
 * The plan is forced: a planner that does not know about the dead would rather read the table. */
static int pg_look_timed(struct pg_look *l, const struct db_query *look, struct db_rows *ret,
                         int64_t *ret_took_ms)
{
    char deadline[160];
    snprintf(deadline, sizeof deadline,
             "SELECT set_config('statement_timeout', '%d', true), set_config('enable_seqscan', "
             "'off', true), set_config('enable_bitmapscan', 'off', true)",
             pg_look_ms(l));
    struct db_query q[] = {{.sql = "BEGIN READ ONLY"}, {.sql = deadline}, *look, {.sql = "COMMIT"}};
    PGresult *res[COUNT_OF(q)];
    struct err cut = {0};
    int64_t start = clock_ms();
    int rc = pg_run(l->s, q, COUNT_OF(q), res, &cut);
    *ret_took_ms = clock_ms() - start;
    *ret = pg_rows(l->s, NULL);
    if (rc == 0) {
        ret->at = res[2];
        res[2] = NULL;
        pg_clear(res, COUNT_OF(q));
        return 0;
    }
    if (!l->s->broken && strcmp(l->s->last_state, "57014") == 0)
        return 0;
    if (l->err)
        *l->err = cut;
    return -1;
}

static size_t pg_look_rows(const struct pg_look *l)
{
    return l->c->pick->want + l->c->pick->n_in_flight + LOOK_ROWS;
}

/* Offers what the answer has while there is room; how many rows were looked at. */
static size_t pg_look_take(struct pg_look *l, struct db_rows *rows)
{
    size_t n = 0;
    while (!claim_full(l->c) && pg_next_row(rows)) {
        struct store_stale row;
        if (claim_read(rows, &row))
            claim_offer(l->c, &row);
        l->c->cursor.updated_us = row.updated_us;
        n++;
    }
    return n;
}

#define PLACEHOLDERS                                                                               \
    COLUMNS " FROM {t} t WHERE t.updated_at < '" PLACEHOLDER_END                                   \
            "' AND " NOT_WAITING("$1") " ORDER BY t.updated_at %s LIMIT %zu"

/* *ret_end: the placeholders were seen to their last. *ret_cut: they were not, for lack of time. */
static int pg_look_placeholders(struct pg_look *l, bool *ret_cut, bool *ret_end)
{
    struct store_cursor *cursor = &l->c->cursor;
    struct db_rows rows;
    int64_t took, updated_us = cursor->updated_us;
    struct db_query q = {.sql = arena_printf(l->arena, PLACEHOLDERS,
                                             cursor->from_end ? "DESC" : "ASC", pg_look_rows(l)),
                         .b = l->c->b,
                         .params = {db_text(l->c->b->name)}};
    *ret_end = false;
    *ret_cut = clock_ms() < cursor->placeholders_not_before_ms;
    if (*ret_cut)
        return 0;
    if (pg_look_timed(l, &q, &rows, &took) != 0)
        return -1;
    if (!rows.at) {
        *ret_cut = true;
        cursor->from_end = !cursor->from_end;
        cursor->placeholders_not_before_ms = clock_ms() + REST_FACTOR * took;
        return 0;
    }
    pg_look_take(l, &rows);
    cursor->updated_us = updated_us;
    *ret_end = (size_t)PQntuples(rows.at) < pg_look_rows(l);
    if (took >= LOOK_SLOW_MS && l->c->n == l->c->n_sealed && l->blocks >= SMALL_BLOCKS)
        cursor->placeholders_not_before_ms = clock_ms() + REST_FACTOR * took;
    db_end(&rows);
    return 0;
}

/* From the cursor on. *ret_cut: too slow. The lap may be over. */
static int pg_look_by_time(struct pg_look *l, int64_t *ret_took_ms, bool *ret_cut)
{
    struct store_cursor *cursor = &l->c->cursor;
    struct db_rows rows;
    struct db_query q = {
        .sql = arena_printf(
            l->arena,
            COLUMNS " FROM {t} t WHERE t.updated_at >= $2 AND t.updated_at < $3 AND " NOT_WAITING(
                "$1") " ORDER BY t.updated_at LIMIT %zu",
            pg_look_rows(l)),
        .b = l->c->b,
        .params = {db_text(l->c->b->name), db_time(cursor->updated_us),
                   db_time(cursor->lap_start_us)}};
    if (pg_look_timed(l, &q, &rows, ret_took_ms) != 0)
        return -1;
    *ret_cut = rows.at == NULL;
    if (!rows.at)
        return 0;
    size_t all = (size_t)PQntuples(rows.at), looked = pg_look_take(l, &rows);
    l->c->lap = looked == all && all < pg_look_rows(l);
    /* All that was looked at shares one time and none could be taken: the bound cannot pass it. */
    *ret_cut = !l->c->lap && l->c->n == l->c->n_sealed && looked == all;
    db_end(&rows);
    return 0;
}

/* At a lap's end: rows dated ahead of the database's clock. */
static int pg_look_ahead(struct pg_look *l)
{
    struct db_rows rows;
    int64_t took;
    struct db_query q = {.sql = arena_printf(l->arena,
                                             COLUMNS
                                             " FROM {t} t WHERE t.updated_at > $2 AND " NOT_WAITING(
                                                 "$1") " ORDER BY t.updated_at LIMIT %zu",
                                             pg_look_rows(l)),
                         .b = l->c->b,
                         .params = {db_text(l->c->b->name), db_time(l->c->now_us + AHEAD_US)}};
    claim_seal(l->c);
    if (pg_look_timed(l, &q, &rows, &took) != 0)
        return -1;
    if (rows.at)
        pg_look_take(l, &rows); /* the lap that begins now has its own bound */
    db_end(&rows);
    return 0;
}

/* The next blocks of the heap: rows of this lap, in the order of the disk. */
static int pg_walk_blocks(struct pg_look *l)
{
    struct store_cursor *cursor = &l->c->cursor;
    uint64_t block = cursor->walk_at >> TID_BITS;
    struct db_query q = {
        .sql = arena_printf(l->arena,
                            COLUMNS ", t.ctid FROM {t} t WHERE t.ctid > '(%" PRIu64
                                    ",%u)'::tid AND t.ctid < '(%" PRIu64
                                    ",0)'::tid AND t.updated_at < $2 AND " NOT_WAITING("$1"),
                            block, (unsigned)(cursor->walk_at & ((1U << TID_BITS) - 1)),
                            block + WALK_BLOCKS),
        .b = l->c->b,
        .params = {db_text(l->c->b->name), db_time(cursor->lap_start_us)}};
    struct db_rows rows;
    if (db_read(&l->s->base, &q, &rows, l->err) < 0)
        return -1;
    while (!claim_full(l->c) && pg_next_row(&rows)) {
        struct store_stale row;
        uint8_t tid[TID_SIZE];
        if (claim_read(&rows, &row))
            claim_offer(l->c, &row);
        if (pg_get_tid(&rows, 3, tid)) {
            cursor->walk_at = 0;
            for (int k = 0; k < TID_SIZE; k++)
                cursor->walk_at = cursor->walk_at << 8 | tid[k];
        }
    }
    db_end(&rows);
    if (!claim_full(l->c))
        cursor->walk_at = (block + WALK_BLOCKS) << TID_BITS;
    l->c->lap = cursor->walk_at >> TID_BITS >= l->blocks;
    return 0;
}

static int pg_walk(struct pg_look *l)
{
    l->c->lap = false;
    for (int i = 0; i < WALK_STEPS && !l->c->lap && !claim_full(l->c); i++)
        if (pg_walk_blocks(l) != 0)
            return -1;
    return 0;
}

static int pg_look(struct pg_look *l)
{
    const int64_t end_us = (int64_t)NEVER_BEFORE_1971 * 1000000;
    struct store_cursor *cursor = &l->c->cursor;
    bool cut = false, all_placeholders = false;
    int64_t took = 0;
    if (pg_look_listed(l) != 0)
        return -1;
    claim_begin(l->c);
    claim_seal(l->c);
    if (!claim_full(l->c) && pg_look_placeholders(l, &cut, &all_placeholders) != 0)
        return -1;
    claim_seal(l->c);
    if (claim_full(l->c) || l->c->pick->first_reads)
        return 0;
    if (all_placeholders && cursor->updated_us < end_us)
        cursor->updated_us = end_us;
    if (cut && cursor->updated_us < end_us)
        return pg_walk(l); /* it would get lost among the same dead */
    if (clock_ms() >= cursor->walk_until_ms) {
        if (pg_look_by_time(l, &took, &cut) != 0)
            return -1;
        if (!cut)
            return 0;
        cursor->walk_until_ms = clock_ms() + REST_FACTOR * took;
        claim_seal(l->c);
    }
    return pg_walk(l);
}

int pg_claim(struct store *s, struct claim *c, struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    struct pg_look l = {.s = pg_of(s), .c = c, .arena = &arena, .err = err};
    int rc = pg_look(&l);
    if (rc == 0 && c->lap && !claim_full(c))
        rc = pg_look_ahead(&l);
    arena_free(&arena);
    return rc;
}
