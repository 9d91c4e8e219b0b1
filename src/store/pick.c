#include "store/pick.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

enum { CURSOR_RESTART_MS = 10 * 60 * 1000 };

static int claim_order(const void *a, const void *b)
{
    return address_compare(a, b);
}

static bool claim_is_among(const address *sorted, size_t n, const address *wallet)
{
    return n && bsearch(wallet, sorted, n, sizeof *sorted, claim_order);
}

void claim_seal(struct claim *c)
{
    if (c->n == c->n_sealed)
        return;
    c->sealed = arena_alloc(c->arena, c->n * sizeof *c->sealed);
    c->n_sealed = c->n;
    for (size_t i = 0; i < c->n; i++)
        c->sealed[i] = c->out[i].wallet;
    qsort(c->sealed, c->n, sizeof *c->sealed, claim_order);
}

void claim_offer(struct claim *c, const struct store_stale *candidate)
{
    if (claim_full(c) ||
        claim_is_among(c->pick->in_flight, c->pick->n_in_flight, &candidate->wallet) ||
        claim_is_among(c->sealed, c->n_sealed, &candidate->wallet))
        return;
    if (!candidate->unanchored && candidate->observed_block > c->pick->max_observed)
        return;
    c->out[c->n++] = *candidate;
}

bool claim_read(const struct db_rows *rows, struct store_stale *ret)
{
    *ret = (struct store_stale){.has_row = true, .updated_us = db_get_time(rows, 1)};
    ret->unanchored = !db_get_number(rows, 2, &ret->observed_block);
    return db_get_address(rows, 0, &ret->wallet);
}

void cursor_begin_lap(struct store_cursor *cursor, int64_t db_now_us)
{
    cursor->started = true;
    cursor->updated_us = INT64_MIN;
    memset(&cursor->after, 0, sizeof cursor->after);
    cursor->lap_start_us = db_now_us;
    cursor->lap_started_ms = clock_ms();
    cursor->walk_at = 0;
}

void cursor_maybe_rewind(struct store_cursor *cursor)
{
    int64_t now = clock_ms();
    if (now - cursor->lap_started_ms < CURSOR_RESTART_MS)
        return;
    cursor->lap_started_ms = now;
    cursor->updated_us = INT64_MIN;
    memset(&cursor->after, 0, sizeof cursor->after);
}

int store_claim_stale(struct store *s, const struct store_balance *b, const struct store_pick *pick,
                      struct store_stale **ret, size_t *ret_n, struct err *err)
{
    struct claim c = {.b = b, .pick = pick, .cursor = *pick->cursor, .arena = pick->arena};
    c.out = arena_zero(pick->arena, pick->want, sizeof *c.out);
    if (s->driver->claim(s, &c, err) < 0)
        return db_rollback(s);
    *pick->cursor = c.cursor;
    pick->cursor->lap = c.lap;
    *ret = c.out;
    *ret_n = c.n;
    return 0;
}
