/*
 * What a sample says of the whole: the exact (Clopper–Pearson) bounds of a share of which k of n
 * draws showed something. Pure.
 */
#ifndef NUM_INTERVAL_H
#define NUM_INTERVAL_H

#include <stdint.h>

/* The share above which k or fewer of n would be seen with a chance of less than `chance` (0.05 for
 * "95 % sure that it is not more"); 1 when k = n. */
double interval_upper(uint64_t k, uint64_t n, double chance);
/* The share below which k or more of n would be seen with a chance of less than `chance`; 0 when
 * k = 0. */
double interval_lower(uint64_t k, uint64_t n, double chance);

#endif
