#include "eth/fault_policy.h"
#include "base/mem.h"

enum { ALWAYS = 1000000 };

/* What a fault says beside its own columns. */
enum {
    NOTHING = 0,
    NOT_NOW = FAULT_SAYS_NOT_NOW,
    NO_BLOCK = FAULT_SAYS_BLOCK_MISSING | FAULT_SAYS_TAG_MISSING,
    DROPPED = FAULT_SAYS_BLOCK_DROPPED,
    NO_TAG = FAULT_SAYS_TAG_MISSING,
    INVALID = FAULT_SAYS_TAG_MISSING | FAULT_SAYS_VIEW_REFUSED,
    REFUSED = FAULT_SAYS_VIEW_REFUSED,
    NO_GAS = FAULT_SAYS_VIEW_NO_GAS,
};

#define ROW(name, tries, floor, ceiling, endpoint, range, batch, says)                             \
    {                                                                                              \
        name, tries, floor, ceiling, FAULT_ENDPOINT_##endpoint, FAULT_RANGE_##range,               \
            FAULT_BATCH_##batch, says                                                              \
    }

/* clang-format off */
static const struct fault_policy policies[] = {
    /*                          name          tries  from  to ms endpoint  range       batch      says */
    [FAULT_NONE]          = ROW("none",            0,   0,    0, KEEPS,    GIVE_UP,    NONE,      NOTHING),
    /* The endpoint's own pause does the waiting; another endpoint may be asked at once. */
    [FAULT_RATE]          = ROW("rate",       ALWAYS,   0,    0, THROTTLE, WAIT,       RESEND,    NOT_NOW),
    [FAULT_BILLING]       = ROW("billing",         0,   0,    0, SUSPEND,  GIVE_UP,    RESEND,    NOT_NOW),
    [FAULT_WINDOW]        = ROW("window",          0,   0,    0, KEEPS,    WINDOW,     REPROBE,   NOTHING),
    [FAULT_RANGE]         = ROW("range",           0,   0,    0, KEEPS,    CEILING,    BISECT,    NOTHING),
    [FAULT_DENSITY]       = ROW("density",         0,   0,    0, KEEPS,    HALVE,      BISECT,    NOTHING),
    /* Each costs the node as much as the first: after the third it is the question. */
    [FAULT_TIME]          = ROW("time",            3, 500, 5000, KEEPS,    HALVE_WAIT, TIMED_OUT, NOT_NOW),
    [FAULT_FILTER]        = ROW("filter",          0,   0,    0, KEEPS,    GIVE_UP,    BISECT,    NOTHING),
    /* A quarter of a second to 3 s: a backend that lags catches up by itself. */
    [FAULT_BEHIND]        = ROW("behind",     ALWAYS, 250, 3000, KEEPS,    WAIT,       MOVED,     NO_BLOCK),
    [FAULT_PRUNED]        = ROW("pruned",          0,   0,    0, KEEPS,    GIVE_UP,    PRUNED,    NO_BLOCK),
    [FAULT_DOWN]          = ROW("down",       ALWAYS, 100, 5000, FAILS,    WAIT,       RESEND,    NOT_NOW),
    [FAULT_BATCH]         = ROW("batch",           0,   0,    0, KEEPS,    GIVE_UP,    REPROBE,   NOTHING),
    [FAULT_INVALID]       = ROW("invalid",         0,   0,    0, KEEPS,    HALVE_WAIT, REPROBE,   INVALID),
    /* Of a batch: Multicall3's own gas ran out, or it is no Multicall3. */
    [FAULT_REVERT]        = ROW("revert",          0,   0,    0, KEEPS,    GIVE_UP,    BISECT,    REFUSED),
    [FAULT_GAS]           = ROW("gas",             0,   0,    0, KEEPS,    GIVE_UP,    LESS_GAS,  NO_GAS),
    [FAULT_NOT_CANONICAL] = ROW("not_canonical",   0,   0,    0, KEEPS,    GIVE_UP,    MOVED,     DROPPED),
    [FAULT_UNSUPPORTED]   = ROW("unsupported",     0,   0,    0, KEEPS,    GIVE_UP,    REPROBE,   NO_TAG),
    /* Cut or mangled on its way once, or always: then perhaps for its size. */
    [FAULT_GARBLED]       = ROW("garbled",         4, 250, 3000, FAILS,    HALVE,      RESEND,    NOT_NOW),
    [FAULT_UNKNOWN]       = ROW("unknown",         3, 500, 5000, KEEPS,    HALVE_WAIT, BISECT,    NOTHING),
};
/* clang-format on */

const struct fault_policy *fault_policy(enum fault f)
{
    return &policies[(unsigned)f < COUNT_OF(policies) ? f : FAULT_UNKNOWN];
}

bool fault_says(enum fault f, unsigned says)
{
    return (fault_policy(f)->says & says) != 0;
}

const char *fault_name(enum fault f)
{
    return fault_policy(f)->name;
}
