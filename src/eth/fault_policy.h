/*
 * What each fault asks of us, as one table: a row a fault, a column for each part that acts on it.
 * Whoever decides anything by the kind of a fault reads its row.
 */
#ifndef ETH_FAULT_POLICY_H
#define ETH_FAULT_POLICY_H

#include "eth/fault.h"

/* The endpoint. */
enum fault_endpoint {
    FAULT_ENDPOINT_KEEPS,    /* it did its part */
    FAULT_ENDPOINT_FAILS,    /* counts towards opening its circuit */
    FAULT_ENDPOINT_THROTTLE, /* paused for as long as it says, sent less afterwards */
    FAULT_ENDPOINT_SUSPEND,  /* paused for minutes: its paid capacity is gone */
};

/* The width of eth_getLogs. */
enum fault_range {
    FAULT_RANGE_GIVE_UP,    /* not a matter of width */
    FAULT_RANGE_WINDOW,     /* the window that the server names, else half; again at once */
    FAULT_RANGE_CEILING,    /* the cap that the server names, else half; again at once */
    FAULT_RANGE_HALVE,      /* again at once */
    FAULT_RANGE_HALVE_WAIT, /* again after a pause */
    FAULT_RANGE_WAIT,       /* the same width after a pause */
};

/* A batch of wallets in one eth_call. */
enum fault_batch {
    FAULT_BATCH_NONE,      /* no fault */
    FAULT_BATCH_BISECT,    /* too much, or one wallet is bad */
    FAULT_BATCH_LESS_GAS,  /* the endpoint grants less, or else BISECT */
    FAULT_BATCH_TIMED_OUT, /* BISECT where the endpoint said so, else shrink the next ones */
    FAULT_BATCH_RESEND,    /* the same again, of whichever endpoint is best then */
    FAULT_BATCH_MOVED,     /* the block is not there: another anchor */
    FAULT_BATCH_PRUNED,    /* its state is gone: a newer anchor */
    FAULT_BATCH_REPROBE,   /* the reader is not understood (any more) */
};

/* What else it says. */
enum fault_says {
    FAULT_SAYS_NOT_NOW = 1,       /* nothing of what the endpoint is able to do */
    FAULT_SAYS_BLOCK_MISSING = 2, /* the endpoint does not have the block, or its state */
    FAULT_SAYS_BLOCK_DROPPED = 4, /* the block was reorged away */
    FAULT_SAYS_TAG_MISSING = 8,   /* as clients say that they do not know a tag ("finalized") */
    FAULT_SAYS_VIEW_REFUSED = 16, /* this view of a contract fails, now and later … */
    FAULT_SAYS_VIEW_NO_GAS = 32,  /* … or takes too much gas */
};

struct fault_policy {
    const char *name; /* for logs and metrics */
    /* The same request again: attempts in a row that end so, in all; 0: the fault is the answer.
     * Between them a back-off from floor_ms to ceiling_ms. */
    unsigned tries;
    int64_t floor_ms, ceiling_ms;
    enum fault_endpoint endpoint;
    enum fault_range range;
    enum fault_batch batch;
    unsigned says; /* of enum fault_says, or-ed */
};

const struct fault_policy *fault_policy(enum fault f);
/* Does it say any of these? */
bool fault_says(enum fault f, unsigned says);

#endif
