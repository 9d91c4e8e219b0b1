/*
 * How an endpoint is doing: a circuit breaker, its latency, its head against the others'.
 *
 *     closed        asked as it comes
 *     throttled     it said "slow down" or "pay": paused for as long as it said, then asked again
 *     open          it does not answer, or answered from a wrong block: paused for a while
 *     half open     that while is over: one question at a time, until one is answered well
 *     wrong chain   it is on another chain: asked nothing but its identity, now and then
 *
 * One table has the next state for each state and event. Lag is no state: an endpoint that lags is
 * right, only late, so it is asked after those that do not.
 *
 * Pure: time comes in as a parameter.
 */
#ifndef RPC_HEALTH_H
#define RPC_HEALTH_H

#include "eth/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum breaker {
    BREAKER_CLOSED,
    BREAKER_THROTTLED,
    BREAKER_OPEN,
    BREAKER_HALF_OPEN,
    BREAKER_WRONG_CHAIN,
};
enum { BREAKERS = BREAKER_WRONG_CHAIN + 1 };

enum health_event {
    HEALTH_GOOD,        /* a good answer to what was asked since the last change */
    HEALTH_FAILED,      /* no answer, broken, garbled, often enough */
    HEALTH_THROTTLED,   /* "too many requests", "payment required" */
    HEALTH_WRONG_BLOCK, /* answered from another block than asked */
    HEALTH_WAITED,      /* the time it is left alone is over */
    HEALTH_WRONG_CHAIN, /* it says that it is on another chain than ours */
    HEALTH_RIGHT_CHAIN, /* it says that it is on ours */
};
enum { HEALTH_EVENTS = HEALTH_RIGHT_CHAIN + 1 };

enum breaker breaker_next(enum breaker now, enum health_event event);

/* ---- latency --------------------------------------------------------------------------------- */

enum { LATENCY_SAMPLES = 32, LATENCY_ENOUGH = 8 };

struct latency {
    int64_t last_ms[LATENCY_SAMPLES];
    size_t n, next;
    int64_t mean_us; /* moving average */
};

void latency_add(struct latency *l, int64_t took_ms);
/* The 95th of a hundred, or −1 while too few were seen. */
int64_t latency_p95(const struct latency *l);

/* ---- the head -------------------------------------------------------------------------------- */

enum { LAG_BLOCKS = 3, LAG_SECONDS = 2 };

struct rpc_head {
    bool known;
    uint64_t number, timestamp;
    int64_t asked_ms, at_ms;
};

/* May the two be compared: was the other asked no later than mine, and lately? Both at once is as
 * near as it gets, and a block between them is less than what counts as lag. */
bool head_comparable(const struct rpc_head *mine, const struct rpc_head *other, int64_t fresh_ms);
/* How far mine is behind the other; 0 when it does not lag. A chain of fast blocks lags by many of
 * them in a moment: so it takes both, blocks and seconds. */
uint64_t head_lag(const struct rpc_head *mine, const struct rpc_head *other);

#endif
