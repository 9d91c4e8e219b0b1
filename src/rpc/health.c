#include "rpc/health.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    enum breaker from;
    enum health_event event;
    enum breaker to;
    const char *why;
} changes[] = {
    {BREAKER_CLOSED, HEALTH_FAILED, BREAKER_OPEN, "does not answer"},
    {BREAKER_CLOSED, HEALTH_THROTTLED, BREAKER_THROTTLED, "said to slow down"},
    {BREAKER_CLOSED, HEALTH_WRONG_BLOCK, BREAKER_OPEN, "gave a wrong answer"},
    {BREAKER_CLOSED, HEALTH_WRONG_CHAIN, BREAKER_WRONG_CHAIN, "is on another chain"},

    {BREAKER_THROTTLED, HEALTH_FAILED, BREAKER_OPEN, "does not answer"},
    {BREAKER_THROTTLED, HEALTH_WRONG_BLOCK, BREAKER_OPEN, "gave a wrong answer"},
    {BREAKER_THROTTLED, HEALTH_WAITED, BREAKER_CLOSED, "has rested"},
    {BREAKER_THROTTLED, HEALTH_WRONG_CHAIN, BREAKER_WRONG_CHAIN, "is on another chain"},

    {BREAKER_OPEN, HEALTH_WAITED, BREAKER_HALF_OPEN, "is tried again"},
    {BREAKER_OPEN, HEALTH_WRONG_CHAIN, BREAKER_WRONG_CHAIN, "is on another chain"},

    {BREAKER_HALF_OPEN, HEALTH_GOOD, BREAKER_CLOSED, "answers again"},
    {BREAKER_HALF_OPEN, HEALTH_FAILED, BREAKER_OPEN, "still does not answer"},
    {BREAKER_HALF_OPEN, HEALTH_THROTTLED, BREAKER_THROTTLED, "said to slow down"},
    {BREAKER_HALF_OPEN, HEALTH_WRONG_BLOCK, BREAKER_OPEN, "gave a wrong answer again"},
    {BREAKER_HALF_OPEN, HEALTH_WRONG_CHAIN, BREAKER_WRONG_CHAIN, "is on another chain"},

    {BREAKER_WRONG_CHAIN, HEALTH_RIGHT_CHAIN, BREAKER_CLOSED, "is on our chain again"},
};

enum breaker breaker_next(enum breaker now, enum health_event event, const char **ret_why)
{
    *ret_why = NULL;
    for (size_t i = 0; i < COUNT_OF(changes); i++) {
        if (changes[i].from != now || changes[i].event != event)
            continue;
        *ret_why = changes[i].why;
        return changes[i].to;
    }
    return now;
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
