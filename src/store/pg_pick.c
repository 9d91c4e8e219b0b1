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
#include <stdlib.h>
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

struct look {
    struct pg *s;
    const struct store_balance *b;
    const char *table;
    struct arena *arena;
    struct claim claim;
    struct store_cursor cursor;
    int64_t now_us;  /* the database's */
    uint64_t blocks; /* of the heap */
    struct err *err;
};

#define ROW_COLUMNS "t.wallet::text, t.updated_at, t.observed_block"

/* The uncorrelated EXISTS is asked once a statement, so an empty quarantine costs nothing; then a
 * scalar subquery and not a join: it is looked up row by row whatever the planner thinks. */
#define NOT_WAITING                                                                                \
    "(NOT EXISTS (SELECT 1 FROM trueup_quarantine WHERE balance = $1) OR coalesce((SELECT "        \
    "q.retry_at <= CURRENT_TIMESTAMP FROM trueup_quarantine q WHERE q.balance = $1 AND q.wallet "  \
    "= t.wallet), true))"

static bool read_stale(const PGresult *res, int i, struct store_stale *ret)
{
    *ret = (struct store_stale){.has_row = true};
    ret->updated_us = pg_get_time(res, i, 1);
    ret->unanchored = !pg_get_int(res, i, 2, &ret->observed_block);
    return pg_get_address(res, i, 0, &ret->wallet);
}

/* Listed wallets without a row; and the database's time, which every claim needs. */
static int look_listed(struct look *l)
{
    struct pg_command c = {
        .sql = arena_printf(l->arena,
                            "SELECT n.now, w.wallet, t.updated_at, t.observed_block, t.wallet IS "
                            "NOT NULL, pg_relation_size(to_regclass($3)) / "
                            "current_setting('block_size')::bigint FROM (SELECT CURRENT_TIMESTAMP "
                            "AS now) n LEFT JOIN (SELECT "
                            "wallet FROM trueup_wallets l WHERE l.balance = $1 AND l.pending AND "
                            "coalesce((SELECT q.retry_at <= CURRENT_TIMESTAMP FROM "
                            "trueup_quarantine q WHERE q.balance = $1 AND q.wallet = l.wallet), "
                            "true) LIMIT $2) w ON true LEFT JOIN %s t ON t.wallet = w.wallet",
                            l->table),
        .params.arena = l->arena,
        .prepare = true};
    const struct store_pick *pick = l->claim.pick;
    pg_p_text(&c.params, l->b->name);
    pg_p_int(&c.params, true, pick->want + pick->n_in_flight);
    pg_p_text(&c.params, l->table);
    PGresult *res = pg_query(l->s, &c, l->err);
    if (!res)
        return -1;
    l->now_us = pg_get_time(res, 0, 0);
    pg_get_int(res, 0, 5, &l->blocks);
    for (int i = 0; i < PQntuples(res); i++) {
        struct store_stale row = {.has_row = pg_get_bool(res, i, 4)};
        row.updated_us = pg_get_time(res, i, 2);
        row.unanchored = !pg_get_int(res, i, 3, &row.observed_block);
        if (pg_get_address(res, i, 1, &row.wallet))
            claim_offer(&l->claim, &row);
    }
    PQclear(res);
    return 0;
}

static int look_ms(const struct look *l)
{
    return l->blocks < SMALL_BLOCKS ? SMALL_MS : LOOK_MS;
}

/* Runs a look by the index under its own short deadline. *ret_res NULL: it was cut off. The plan is
 * forced: a planner that does not know about the dead would rather read the table. */
static int timed(struct look *l, const struct pg_command *look, PGresult **ret_res,
                 int64_t *ret_took_ms)
{
    char deadline[160];
    snprintf(deadline, sizeof deadline,
             "SELECT set_config('statement_timeout', '%d', true), set_config('enable_seqscan', "
             "'off', true), set_config('enable_bitmapscan', 'off', true)",
             look_ms(l));
    struct pg_command c[] = {
        {.sql = "BEGIN READ ONLY"}, {.sql = deadline}, *look, {.sql = "COMMIT"}};
    PGresult *res[COUNT_OF(c)];
    struct err cut = {0};
    int64_t start = clock_ms();
    int rc = pg_run(l->s, c, COUNT_OF(c), res, &cut);
    *ret_took_ms = clock_ms() - start;
    if (rc == 0) {
        *ret_res = res[2];
        res[2] = NULL;
        pg_clear(res, COUNT_OF(c));
        return 0;
    }
    *ret_res = NULL;
    if (!l->s->broken && strcmp(pg_last_state(l->s), "57014") == 0)
        return 0;
    if (l->err)
        *l->err = cut;
    return -1;
}

static size_t look_rows(const struct look *l)
{
    return l->claim.pick->want + l->claim.pick->n_in_flight + LOOK_ROWS;
}

/* *ret_end: the placeholders were seen to their last. *ret_cut: they were not, for lack of time. */
static int look_placeholders(struct look *l, bool *ret_cut, bool *ret_end)
{
    PGresult *res = NULL;
    int64_t took;
    struct pg_command c = {
        .sql =
            arena_printf(l->arena,
                         "SELECT " ROW_COLUMNS " FROM %s t WHERE t.updated_at < '" PLACEHOLDER_END
                         "' AND " NOT_WAITING " ORDER BY t.updated_at %s LIMIT %zu",
                         l->table, l->cursor.from_end ? "DESC" : "ASC", look_rows(l)),
        .params.arena = l->arena};
    *ret_end = false;
    *ret_cut = clock_ms() < l->cursor.placeholders_not_before_ms;
    if (*ret_cut)
        return 0;
    pg_p_text(&c.params, l->b->name);
    if (timed(l, &c, &res, &took) != 0)
        return -1;
    if (!res) {
        *ret_cut = true;
        l->cursor.from_end = !l->cursor.from_end;
        l->cursor.placeholders_not_before_ms = clock_ms() + REST_FACTOR * took;
        return 0;
    }
    for (int i = 0; i < PQntuples(res) && !claim_full(&l->claim); i++) {
        struct store_stale row;
        if (read_stale(res, i, &row))
            claim_offer(&l->claim, &row);
    }
    *ret_end = (size_t)PQntuples(res) < look_rows(l);
    if (took >= LOOK_SLOW_MS && l->claim.n == l->claim.n_sealed && l->blocks >= SMALL_BLOCKS)
        l->cursor.placeholders_not_before_ms = clock_ms() + REST_FACTOR * took;
    PQclear(res);
    return 0;
}

/* From the cursor on. *ret_cut: too slow. *ret_end: the lap is over. */
static int look_by_time(struct look *l, int64_t *ret_took_ms, bool *ret_cut, bool *ret_end)
{
    PGresult *res = NULL;
    struct pg_command c = {
        .sql = arena_printf(l->arena,
                            "SELECT " ROW_COLUMNS " FROM %s t WHERE t.updated_at >= $2 AND "
                            "t.updated_at < $3 AND " NOT_WAITING " ORDER BY t.updated_at LIMIT %zu",
                            l->table, look_rows(l)),
        .params.arena = l->arena};
    pg_p_text(&c.params, l->b->name);
    pg_p_time(&c.params, l->cursor.updated_us);
    pg_p_time(&c.params, l->cursor.lap_start_us);
    if (timed(l, &c, &res, ret_took_ms) != 0)
        return -1;
    *ret_cut = res == NULL;
    *ret_end = false;
    if (!res)
        return 0;
    int i = 0, rows = PQntuples(res);
    for (; i < rows && !claim_full(&l->claim); i++) {
        struct store_stale row;
        bool ours = read_stale(res, i, &row);
        l->cursor.updated_us = row.updated_us;
        if (ours)
            claim_offer(&l->claim, &row);
    }
    *ret_end = i == rows && (size_t)rows < look_rows(l);
    /* All that was looked at shares one time and none could be taken: the bound cannot pass it. */
    *ret_cut = !*ret_end && l->claim.n == l->claim.n_sealed && i == rows;
    PQclear(res);
    return 0;
}

/* At a lap's end: rows dated ahead of the database's clock. */
static int look_ahead(struct look *l)
{
    PGresult *res = NULL;
    int64_t took;
    struct pg_command c = {.sql = arena_printf(l->arena,
                                               "SELECT " ROW_COLUMNS " FROM %s t WHERE "
                                               "t.updated_at > $2 AND " NOT_WAITING
                                               " ORDER BY t.updated_at LIMIT %zu",
                                               l->table, look_rows(l)),
                           .params.arena = l->arena};
    pg_p_text(&c.params, l->b->name);
    pg_p_time(&c.params, l->now_us + AHEAD_US);
    claim_seal(&l->claim, l->arena);
    if (timed(l, &c, &res, &took) != 0)
        return -1;
    for (int i = 0; res && i < PQntuples(res); i++) {
        struct store_stale row;
        if (read_stale(res, i, &row))
            claim_offer(&l->claim, &row);
    }
    PQclear(res);
    return 0;
}

/* The next blocks of the heap: rows of this lap, in the order of the disk. */
static int walk_blocks(struct look *l, bool *ret_end)
{
    uint64_t block = l->cursor.walk_at >> TID_BITS;
    struct pg_command c = {
        .sql = arena_printf(l->arena,
                            "SELECT " ROW_COLUMNS ", t.ctid FROM %s t WHERE t.ctid > "
                            "'(%" PRIu64 ",%u)'::tid AND t.ctid < '(%" PRIu64 ",0)'::tid AND "
                            "t.updated_at < $2 AND " NOT_WAITING,
                            l->table, block, (unsigned)(l->cursor.walk_at & ((1U << TID_BITS) - 1)),
                            block + WALK_BLOCKS),
        .params.arena = l->arena};
    pg_p_text(&c.params, l->b->name);
    pg_p_time(&c.params, l->cursor.lap_start_us);
    PGresult *res = pg_query(l->s, &c, l->err);
    if (!res)
        return -1;
    for (int i = 0; i < PQntuples(res) && !claim_full(&l->claim); i++) {
        struct store_stale row;
        uint8_t tid[PG_TID_SIZE];
        if (read_stale(res, i, &row))
            claim_offer(&l->claim, &row);
        if (pg_get_tid(res, i, 3, tid)) {
            l->cursor.walk_at = 0;
            for (int k = 0; k < PG_TID_SIZE; k++)
                l->cursor.walk_at = l->cursor.walk_at << 8 | tid[k];
        }
    }
    PQclear(res);
    if (!claim_full(&l->claim))
        l->cursor.walk_at = (block + WALK_BLOCKS) << TID_BITS;
    *ret_end = l->cursor.walk_at >> TID_BITS >= l->blocks;
    return 0;
}

static int walk(struct look *l, bool *ret_end)
{
    *ret_end = false;
    for (int i = 0; i < WALK_STEPS && !*ret_end && !claim_full(&l->claim); i++)
        if (walk_blocks(l, ret_end) != 0)
            return -1;
    return 0;
}

static int look(struct look *l, bool *ret_lap)
{
    const int64_t end_us = (int64_t)NEVER_BEFORE_1971 * 1000000;
    bool cut = false, all_placeholders = false;
    int64_t took = 0;
    if (look_listed(l) != 0)
        return -1;
    if (!l->cursor.started)
        cursor_begin_lap(&l->cursor, l->now_us);
    else
        cursor_maybe_rewind(&l->cursor);
    claim_seal(&l->claim, l->arena);
    if (!claim_full(&l->claim) && look_placeholders(l, &cut, &all_placeholders) != 0)
        return -1;
    claim_seal(&l->claim, l->arena);
    if (claim_full(&l->claim))
        return 0;
    if (all_placeholders && l->cursor.updated_us < end_us)
        l->cursor.updated_us = end_us;
    if (cut && l->cursor.updated_us < end_us)
        return walk(l, ret_lap); /* it would get lost among the same dead */
    if (clock_ms() >= l->cursor.walk_until_ms) {
        if (look_by_time(l, &took, &cut, ret_lap) != 0)
            return -1;
        if (!cut)
            return 0;
        l->cursor.walk_until_ms = clock_ms() + REST_FACTOR * took;
        claim_seal(&l->claim, l->arena);
    }
    return walk(l, ret_lap);
}

int pg_claim_stale(struct store *store, const struct store_balance *b,
                   const struct store_pick *pick, struct store_cursor *cursor, struct arena *arena,
                   struct store_stale **ret, size_t *ret_n, bool *ret_lap, struct err *err)
{
    struct arena scratch;
    arena_init(&scratch);
    struct look l = {.s = pg_of(store), .b = b, .arena = &scratch, .cursor = *cursor, .err = err};
    bool lap = false;
    l.table = pg_table(l.s, b->table, &scratch);
    claim_init(&l.claim, pick, arena);
    int rc = look(&l, &lap);
    if (rc == 0 && lap && !claim_full(&l.claim))
        rc = look_ahead(&l);
    if (rc == 0) {
        if (lap) {
            cursor_begin_lap(&l.cursor, l.now_us);
            l.cursor.laps++;
        }
        *cursor = l.cursor;
        *ret = l.claim.out;
        *ret_n = l.claim.n;
        *ret_lap = lap;
    }
    arena_free(&scratch);
    return rc;
}

/* ---- by key, by quarantine, by rule ---------------------------------------------------------- */

int pg_next_by_key(struct store *store, const struct store_balance *b, const address *after,
                   int64_t before_us, size_t limit, struct arena *arena, struct store_stale **ret,
                   size_t *ret_n, struct err *err)
{
    struct pg *s = pg_of(store);
    struct store_stale *out = arena_alloc(arena, limit * sizeof *out);
    size_t n = 0, asked, got;
    char last[ADDRESS_TEXT] = "";
    const char *from = last;
    if (after)
        address_text(after, last);
    const char *sql =
        arena_printf(arena,
                     "SELECT " ROW_COLUMNS " FROM %s t WHERE t.wallet > $2 AND t.updated_at < $3 "
                     "AND " NOT_WAITING " ORDER BY t.wallet LIMIT $4",
                     pg_table(s, b->table, arena));
    do { /* again for those that are no wallets of ours */
        struct pg_command c = {.sql = sql, .params.arena = arena, .prepare = true};
        asked = limit - n;
        pg_p_text(&c.params, b->name);
        pg_p_text(&c.params, from);
        pg_p_time(&c.params, before_us ? before_us : INT64_MAX);
        pg_p_int(&c.params, true, asked);
        PGresult *res = pg_query(s, &c, err);
        if (!res)
            return -1;
        got = (size_t)PQntuples(res);
        for (size_t i = 0; i < got; i++)
            n += read_stale(res, (int)i, &out[n]);
        if (got)
            from = arena_strdup(arena, pg_get_text(res, (int)got - 1, 0));
        PQclear(res);
    } while (n < limit && got == asked && got);
    *ret = out;
    *ret_n = n;
    return 0;
}

int pg_quarantine_due(struct store *store, const struct store_balance *b, size_t limit,
                      struct arena *arena, address **ret, size_t *ret_n, struct err *err)
{
    struct pg_command c = {.sql = "SELECT wallet FROM trueup_quarantine WHERE balance = $1 AND "
                                  "retry_at <= CURRENT_TIMESTAMP ORDER BY retry_at LIMIT $2",
                           .params.arena = arena,
                           .prepare = true};
    pg_p_text(&c.params, b->name);
    pg_p_int(&c.params, true, limit);
    return pg_wallets(pg_of(store), &c, arena, ret, ret_n, err);
}

struct candidate {
    address wallet; /* first: compared as one */
    size_t at;
};

static int compare(const void *a, const void *b)
{
    return address_compare(a, b);
}

/* Marks each candidate that the result names, in whatever case. */
static void mark(const PGresult *res, const address *wallets, size_t n, bool *ret_tracked,
                 struct arena *arena)
{
    struct candidate *sorted = arena_alloc(arena, n * sizeof *sorted);
    for (size_t i = 0; i < n; i++)
        sorted[i] = (struct candidate){wallets[i], i};
    qsort(sorted, n, sizeof *sorted, compare);
    for (int i = 0; i < PQntuples(res); i++) {
        address found;
        const char *text = pg_get_text(res, i, 0);
        if (!text || !address_parse_loose(text, (size_t)PQgetlength(res, i, 0), &found))
            continue;
        struct candidate *c = bsearch(&found, sorted, n, sizeof *sorted, compare);
        while (c && c > sorted && address_equal(&c[-1].wallet, &found))
            c--; /* a candidate may be given twice */
        for (; c && c < sorted + n && address_equal(&c->wallet, &found); c++)
            ret_tracked[c->at] = true;
    }
}

static void candidates(struct pg_params *p, const address *wallets, size_t n)
{
    struct pg_array list;
    pg_array_addresses(&list, p->arena, wallets, n);
    pg_p_array(p, &list);
}

/* The user's SQL, as it is, with the planner's own choices and no right to write. */
static int ask_query(struct pg *s, const struct store_balance *b, const address *wallets, size_t n,
                     bool *ret_tracked, struct arena *arena, struct err *err)
{
    struct pg_command c[] = {
        {.sql = "BEGIN READ ONLY"},
        {.sql = "SELECT set_config('enable_hashjoin', 'on', true), set_config('enable_mergejoin', "
                "'on', true), set_config('plan_cache_mode', 'auto', true)"},
        {.sql = b->query, .params.arena = arena},
        {.sql = "COMMIT"},
    };
    PGresult *res[COUNT_OF(c)];
    candidates(&c[2].params, wallets, n);
    if (pg_run(s, c, COUNT_OF(c), res, err) != 0) {
        err_wrap(err, "wallets query of balance \"%s\"", b->name);
        return err_hint(err, "it takes the candidates as $1 (text[]) and returns wallets in its "
                             "first column");
    }
    mark(res[2], wallets, n, ret_tracked, arena);
    pg_clear(res, COUNT_OF(c));
    return 0;
}

int pg_tracked(struct store *store, const struct store_balance *b, const address *wallets, size_t n,
               bool *ret_tracked, struct err *err)
{
    struct pg *s = pg_of(store);
    struct arena arena;
    arena_init(&arena);
    struct pg_command c = {
        .sql = arena_printf(&arena,
                            "SELECT u.w FROM unnest($2) u(w) WHERE EXISTS (SELECT 1 FROM %s t "
                            "WHERE t.wallet = u.w) OR EXISTS (SELECT 1 FROM trueup_wallets l WHERE "
                            "l.balance = $1 AND l.wallet = u.w)",
                            pg_table(s, b->table, &arena)),
        .params.arena = &arena,
        .prepare = true};
    bool *tracked = arena_zero(&arena, n, sizeof *tracked);
    int rc = -1;
    pg_p_text(&c.params, b->name);
    candidates(&c.params, wallets, n);
    PGresult *res = pg_query(s, &c, err);
    if (res) {
        mark(res, wallets, n, tracked, &arena);
        rc = b->tracking == STORE_QUERY ? ask_query(s, b, wallets, n, tracked, &arena, err) : 0;
    }
    PQclear(res);
    if (rc == 0)
        memcpy(ret_tracked, tracked, n * sizeof *tracked);
    arena_free(&arena);
    return rc;
}
