#include "num/interval.h"

#include <math.h>

/* The chance of k or fewer of n. Terms are summed from the k-th down, where they are largest as
 * long as k is below n × p, and the sum is cut off when they no longer matter. */
static double interval_at_most(uint64_t k, uint64_t n, double p)
{
    double term = exp(lgamma((double)n + 1) - lgamma((double)k + 1) - lgamma((double)(n - k) + 1) +
                      (double)k * log(p) + (double)(n - k) * log1p(-p));
    double sum = term;
    for (uint64_t i = k; i > 0 && term > sum * 1e-12; i--) {
        term *= (double)i / (double)(n - i + 1) * (1 - p) / p;
        sum += term;
    }
    return sum < 1 ? sum : 1;
}

double interval_upper(uint64_t k, uint64_t n, double chance)
{
    if (k >= n)
        return 1;
    double low = (double)k / (double)n, high = 1;
    for (int i = 0; i < 60; i++) {
        double p = (low + high) / 2;
        if (p > 0 && p < 1 && interval_at_most(k, n, p) > chance)
            low = p;
        else
            high = p;
    }
    return high;
}

double interval_lower(uint64_t k, uint64_t n, double chance)
{
    return k == 0 ? 0 : 1 - interval_upper(n - k, n, chance);
}
