/*
 * Back-off with full jitter, one struct for every kind of retry: the node, the database, a worker.
 * The n-th wait is drawn evenly from [floor, min(ceiling, floor * 2^n)].
 */
#ifndef BASE_BACKOFF_H
#define BASE_BACKOFF_H

#include "base/random.h"

#include <stdint.h>

struct backoff {
    int64_t floor_ms, ceiling_ms;
    unsigned failures; /* in a row */
    struct rng rng;
};

void backoff_init(struct backoff *b, int64_t floor_ms, int64_t ceiling_ms, uint64_t seed);
int64_t backoff_next(struct backoff *b); /* counts a failure; how long to wait, in ms */
void backoff_reset(struct backoff *b);   /* a success */

#endif
