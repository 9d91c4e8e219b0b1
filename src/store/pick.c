#include "store/pick.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

enum { CURSOR_RESTART_MS = 10 * 60 * 1000 };

static bool claim_is_among(const address *sorted, size_t n, const address *wallet)
{
    return n && bsearch(wallet, sorted, n, sizeof *sorted, address_compare_elements);
}

void claim_seal(struct claim *c)
{
    if (c->n == c->n_sealed)
        return;
    c->sealed = arena_alloc(c->arena, c->n * sizeof *c->sealed);
    c->n_sealed = c->n;
    for (size_t i = 0; i < c->n; i++)
        c->sealed[i] = c->out[i].wallet;
    qsort(c->sealed, c->n, sizeof *c->sealed, address_compare_elements);
}

void claim_offer(struct claim *c, const struct store_stale *candidate)
{
    if (claim_full(c) ||
        claim_is_among(c->pick->in_flight, c->pick->n_in_flight, &candidate->wallet) ||
        claim_is_among(c->sealed, c->n_sealed, &candidate->wallet))
        return;
    if (!candidate->unanchored && candidate->observed_block > c->pick->max_observed) {
        c->cursor.passed_later = true;
        return;
    }
    c->out[c->n++] = *candidate;
}

bool claim_read(const struct db_rows *rows, struct store_stale *ret)
{
    *ret = (struct store_stale){.has_row = true, .updated_us = db_get_time(rows, 1)};
    ret->unanchored = !db_get_number(rows, 2, &ret->observed_block);
    return db_get_address(rows, 0, &ret->wallet);
}

/* The lower bound goes back to the start. */
static void cursor_restart(struct store_cursor *cursor)
{
    cursor->lap_started_ms = clock_ms();
    cursor->updated_us = INT64_MIN;
    memset(&cursor->after, 0, sizeof cursor->after);
}

static void cursor_begin_lap(struct store_cursor *cursor, int64_t now_us)
{
    cursor_restart(cursor);
    cursor->started = true;
    cursor->lap_start_us = now_us;
    cursor->walk_at = 0;
}

/* Every ten minutes the bound goes back, so that rows it has passed by (failed, in flight, inserted
 * with an old time) get their turn; the lap goes on. */
void claim_begin(struct claim *c)
{
    if (!c->cursor.started)
        cursor_begin_lap(&c->cursor, c->now_us);
    else if (clock_ms() - c->cursor.lap_started_ms >= CURSOR_RESTART_MS)
        cursor_restart(&c->cursor);
}

int store_claim_stale(struct store *s, const struct store_balance *b, const struct store_pick *pick,
                      struct store_stale **ret, size_t *ret_n, struct err *err)
{
    struct claim c = {.b = b, .pick = pick, .cursor = *pick->cursor, .arena = pick->arena};
    c.cursor.passed_later = false;
    c.out = arena_zero(pick->arena, pick->want, sizeof *c.out);
    if (s->driver->claim(s, &c, err) < 0)
        return db_rollback(s);
    if (c.lap) {
        cursor_begin_lap(&c.cursor, c.now_us);
        c.cursor.laps++;
    }
    *pick->cursor = c.cursor;
    pick->cursor->lap = c.lap;
    *ret = c.out;
    *ret_n = c.n;
    return 0;
}
