#include "track/sync/second_choice.h"

enum {
    OTHERS_TRIES = 3, /* failures of others, before the first answer's endpoint is asked */
    NARROW = 4,       /* an endpoint that needs more requests than this times is not asked */
};

static uint32_t second_choice_bit(const struct endpoint *e)
{
    return UINT32_C(1) << endpoint_number(e);
}

static uint32_t second_choice_find_narrow(struct rpc *n, const struct range *ranges, uint64_t width)
{
    uint32_t narrow = 0;
    for (size_t i = 0; i < rpc_endpoints(n) && i < RPC_ENDPOINTS_MAX; i++)
        if (ranges[i].width + 1 < width / NARROW)
            narrow |= UINT32_C(1) << i;
    return narrow;
}

struct endpoint *second_choice_get(struct rpc *n, const struct second_choice *c,
                                   const struct range *ranges, uint64_t width)
{
    uint32_t first = c->first ? second_choice_bit(c->first) : 0;
    uint32_t except = first | second_choice_find_narrow(n, ranges, width);
    struct endpoint *e = NULL;
    if (c->failures < OTHERS_TRIES) {
        e = rpc_other_than(n, except | c->failed);
        if (!e)
            e = rpc_other_than(n, except);
    }
    return e ? e : c->first ? c->first : rpc_best(n);
}

bool second_choice_is_last(const struct second_choice *c, const struct endpoint *by)
{
    return by == c->first || (!c->first && c->failures + 1 >= OTHERS_TRIES);
}

bool second_choice_on_failure(struct second_choice *c, const struct endpoint *by)
{
    c->failures++;
    c->failed |= second_choice_bit(by);
    if (by != c->first && (c->first || c->failures < OTHERS_TRIES))
        return true;
    c->failures = 0;
    c->failed = 0;
    return false;
}
