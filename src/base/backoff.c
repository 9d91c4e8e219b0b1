#include "base/backoff.h"

void backoff_init(struct backoff *b, int64_t floor_ms, int64_t ceiling_ms, uint64_t seed)
{
    *b = (struct backoff){.floor_ms = floor_ms, .ceiling_ms = ceiling_ms, .rng = {seed}};
}

int64_t backoff_next(struct backoff *b)
{
    int64_t top = b->floor_ms;
    for (unsigned i = 0; i < b->failures && top < b->ceiling_ms; i++)
        top *= 2;
    if (top > b->ceiling_ms)
        top = b->ceiling_ms;
    b->failures++;
    return b->floor_ms + (int64_t)rng_below(&b->rng, (uint64_t)(top - b->floor_ms) + 1);
}

void backoff_reset(struct backoff *b)
{
    b->failures = 0;
}
