#include "rpc/health.h"

#include <stdlib.h>
#include <string.h>

enum {
    CLOSED = BREAKER_CLOSED,
    THROTTLED = BREAKER_THROTTLED,
    OPEN = BREAKER_OPEN,
    HALF_OPEN = BREAKER_HALF_OPEN,
    WRONG = BREAKER_WRONG_CHAIN,
};

/* clang-format off */
static const unsigned char changes[BREAKERS][HEALTH_EVENTS] = {
    /*               good       failed throttled  wrong block waited     wrong chain right chain */
    [CLOSED]    = { CLOSED,    OPEN,  THROTTLED, OPEN,       CLOSED,    WRONG,      CLOSED },
    [THROTTLED] = { THROTTLED, OPEN,  THROTTLED, OPEN,       CLOSED,    WRONG,      THROTTLED },
    [OPEN]      = { OPEN,      OPEN,  OPEN,      OPEN,       HALF_OPEN, WRONG,      OPEN },
    [HALF_OPEN] = { CLOSED,    OPEN,  THROTTLED, OPEN,       HALF_OPEN, WRONG,      HALF_OPEN },
    [WRONG]     = { WRONG,     WRONG, WRONG,     WRONG,      WRONG,     WRONG,      CLOSED },
};
/* clang-format on */

enum breaker breaker_next(enum breaker now, enum health_event event)
{
    return (enum breaker)changes[now][event];
}

/* ---- latency --------------------------------------------------------------------------------- */

void latency_add(struct latency *l, int64_t took_ms)
{
    l->mean_us = l->n == 0 ? took_ms * 1000 : (l->mean_us * 15 + took_ms * 1000) / 16;
    l->last_ms[l->next] = took_ms;
    l->next = (l->next + 1) % LATENCY_SAMPLES;
    if (l->n < LATENCY_SAMPLES)
        l->n++;
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

int64_t latency_p95(const struct latency *l)
{
    int64_t sorted[LATENCY_SAMPLES];
    if (l->n < LATENCY_ENOUGH)
        return -1;
    memcpy(sorted, l->last_ms, l->n * sizeof *sorted);
    qsort(sorted, l->n, sizeof *sorted, by_size);
    return sorted[(l->n * 95 - 1) / 100];
}

/* ---- the head -------------------------------------------------------------------------------- */

bool head_comparable(const struct rpc_head *mine, const struct rpc_head *other, int64_t fresh_ms)
{
    return mine->known && other->known && other->asked_ms <= mine->asked_ms &&
           mine->asked_ms - other->asked_ms <= fresh_ms;
}

uint64_t head_lag(const struct rpc_head *mine, const struct rpc_head *other)
{
    if (other->number < mine->number + LAG_BLOCKS ||
        other->timestamp < mine->timestamp + LAG_SECONDS)
        return 0;
    return other->number - mine->number;
}
