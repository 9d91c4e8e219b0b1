#include "store/pick.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

enum { CURSOR_RESTART_MS = 10 * 60 * 1000 };

static int compare(const void *a, const void *b)
{
    return address_compare(a, b);
}

static bool among(const address *sorted, size_t n, const address *wallet)
{
    return n && bsearch(wallet, sorted, n, sizeof *sorted, compare);
}

void claim_init(struct claim *c, const struct store_pick *pick, struct arena *arena)
{
    *c = (struct claim){.pick = pick};
    c->out = arena_zero(arena, pick->want, sizeof *c->out);
}

void claim_seal(struct claim *c, struct arena *arena)
{
    if (c->n == c->n_sealed)
        return;
    c->sealed = arena_alloc(arena, c->n * sizeof *c->sealed);
    c->n_sealed = c->n;
    for (size_t i = 0; i < c->n; i++)
        c->sealed[i] = c->out[i].wallet;
    qsort(c->sealed, c->n, sizeof *c->sealed, compare);
}

void claim_offer(struct claim *c, const struct store_stale *candidate)
{
    if (claim_full(c) || among(c->pick->in_flight, c->pick->n_in_flight, &candidate->wallet) ||
        among(c->sealed, c->n_sealed, &candidate->wallet))
        return;
    if (!candidate->unanchored && candidate->observed_block > c->pick->max_observed)
        return;
    c->out[c->n++] = *candidate;
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
