/* Small seeded randomness for jitter and for tests (splitmix64). Not for secrets. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct rng {
    uint64_t state;
};

uint64_t rng_seed_from_system(void);
uint64_t rng_next(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t bound); /* 0 … bound−1; bound 0 gives 0 */
void rng_fill(struct rng *r, uint8_t *out, size_t n);

#endif
