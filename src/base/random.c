#include "base/random.h"
#include "base/clock.h"

#include <sys/random.h>
#include <unistd.h>

uint64_t rng_seed_from_system(void)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed)
        seed = (uint64_t)clock_us() * 0x9e3779b97f4a7c15u + (uint64_t)getpid();
    return seed;
}

/* Sebastiano Vigna's splitmix64: public domain constants. */
uint64_t rng_next(struct rng *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t rng_below(struct rng *r, uint64_t bound)
{
    return bound ? (uint64_t)(((unsigned __int128)rng_next(r) * bound) >> 64) : 0;
}

void rng_fill(struct rng *r, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)rng_next(r);
}
