/*
 * Which faults are worth asking again for, as a table. A fault not listed goes straight to the
 * caller: it says something about the question (a range too wide, a revert, too much gas), and the
 * same question would get the same answer. What goes on at once, and how often, is one row.
 */
#include "base/mem.h"
#include "rpc/rpc_internal.h"

enum { ALWAYS = 1000000 };

static const struct {
    enum fault fault;
    unsigned tries; /* in a row, in all */
    int64_t floor_ms, ceiling_ms;
} policies[] = {
    /* The endpoint's own pause does the waiting; another endpoint may be asked at once. */
    {FAULT_RATE, ALWAYS, 0, 0},
    {FAULT_DOWN, ALWAYS, 100, 5000},
    /* Half a second to a block's time: a backend that lags catches up by itself. */
    {FAULT_BEHIND, ALWAYS, 250, 3000},
    /* Each costs the node as much as the first: after the third it is the question. */
    {FAULT_TIME, 3, 500, 5000},
    /* Cut or mangled on its way once, or always. */
    {FAULT_GARBLED, 4, 250, 3000},
    {FAULT_UNKNOWN, 3, 500, 5000},
};

int64_t retry_wait(enum fault fault, unsigned tries, struct backoff *wait, uint64_t seed)
{
    for (size_t i = 0; i < COUNT_OF(policies); i++) {
        if (policies[i].fault != fault)
            continue;
        if (tries >= policies[i].tries)
            return -1;
        if (tries <= 1)
            backoff_init(wait, policies[i].floor_ms, policies[i].ceiling_ms, seed);
        return backoff_next(wait);
    }
    return -1;
}
