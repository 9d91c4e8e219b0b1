/* A fair choice of rows: what both databases share. */
#ifndef STORE_SAMPLE_H
#define STORE_SAMPLE_H

#include "base/random.h"
#include "store/audit.h"

/* A fair choice from a stream of unknown length: each row has the same chance to be kept. */
struct reservoir {
    address *kept; /* room for `want` */
    size_t want, n;
    uint64_t seen;
    struct rng *rng;
};

#endif
