/*
 * PostgreSQL: a fair sample.
 *
 * A fair sample of a large table costs no walk over it: places (page, line) are drawn until enough
 * of them hold a row. Every row stands at exactly one place and every place is drawn as often as
 * any other, so every row is as likely as any other, whatever its key, its age and its neighbours,
 * and however bloated the table is. A small table, or one where places are nearly all empty, is
 * left to the walk by key.
 */
#include "store/pg.h"
#include "store/sample.h"

#include <string.h>

enum {
    SMALL_PAGES = 2048,
    ROUND = 20000, /* places drawn at once at most */
    ROUND_FEW = 2000,
    PLACES_A_ROW = 6,      /* as a table is usually filled */
    PLACES_MOST = 4000000, /* then the table is taken to be nearly empty */
    HEADER = 24,
    LINE = 28, /* of a page; of a line: its pointer and the least of a row */
};

struct draw {
    struct store *s;
    const struct store_balance *b;
    uint64_t pages, lines; /* places: pages × lines */
    address *found;
    size_t n, room;
};

static int pg_measure_table(struct draw *d, struct err *err)
{
    struct db_query q = {.sql = "SELECT pg_relation_size({t_text}::regclass), "
                                "current_setting('block_size')::int8",
                         .b = d->b};
    uint64_t bytes = 0, block = 0;
    struct db_rows rows;
    if (db_read(d->s, &q, &rows, err) < 0)
        return -1;
    bool known = db_next(&rows, err) == 1 && db_get_number(&rows, 0, &bytes) &&
                 db_get_number(&rows, 1, &block) && block;
    db_end(&rows);
    d->pages = known ? bytes / block : 0; /* none: a view, or a table in parts */
    d->lines = known ? (block - HEADER) / LINE : 0;
    return 0;
}

static int pg_draw_round(struct draw *d, uint8_t (*places)[TID_SIZE], size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t page = rng_below(&d->s->rng, d->pages), line = 1 + rng_below(&d->s->rng, d->lines);
        const uint8_t tid[TID_SIZE] = {(uint8_t)(page >> 24), (uint8_t)(page >> 16),
                                       (uint8_t)(page >> 8),  (uint8_t)page,
                                       (uint8_t)(line >> 8),  (uint8_t)line};
        memcpy(places[i], tid, sizeof tid);
    }
    struct db_query q = {.sql = "SELECT wallet FROM {t} WHERE ctid = ANY($1)",
                         .b = d->b,
                         .set = n,
                         .params = {db_column(DB_TID, places, sizeof *places)}};
    struct db_rows rows;
    if (db_read(d->s, &q, &rows, err) < 0)
        return -1;
    while (d->n < d->room && db_next(&rows, err) == 1)
        d->n += db_get_address(&rows, 0, &d->found[d->n]);
    db_end(&rows);
    return 0;
}

/* Any `want` of those found are as good as any other. */
static void pg_draw_thin(struct draw *d, size_t want)
{
    for (size_t i = 0; i < want && i < d->n; i++) {
        size_t other = i + rng_below(&d->s->rng, d->n - i);
        address kept = d->found[other];
        d->found[other] = d->found[i];
        d->found[i] = kept;
    }
    if (d->n > want)
        d->n = want;
}

static int pg_draw(struct draw *d, size_t want, struct arena *arena, struct err *err)
{
    size_t most = want * PLACES_A_ROW < ROUND_FEW ? ROUND_FEW : want * PLACES_A_ROW;
    size_t round = most < ROUND ? most : ROUND;
    uint8_t(*places)[TID_SIZE] = arena_alloc(arena, round * sizeof *places);
    for (size_t drawn = 0; d->n < want && drawn < PLACES_MOST; drawn += round) {
        if (pg_draw_round(d, places, round, err) != 0)
            return -1;
        d->n = addresses_sort_unique(d->found, d->n);
    }
    if (d->n > want)
        pg_draw_thin(d, want);
    return 0;
}

int pg_sample(struct store *s, const struct store_balance *b, struct reservoir *r, struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    struct draw d = {.s = s, .b = b, .room = r->want + ROUND};
    d.found = arena_alloc(&arena, d.room * sizeof *d.found);
    int rc = pg_measure_table(&d, err);
    if (rc == 0 && d.pages > SMALL_PAGES)
        rc = pg_draw(&d, r->want, &arena, err);
    if (rc == 0 && d.n >= r->want) {
        memcpy(r->kept, d.found, d.n * sizeof *d.found);
        r->n = d.n;
    }
    arena_free(&arena);
    return rc;
}
