/*
 * What keeping a table equal to the chain costs, in the units of a price list. A forecast by the
 * design: one look each freshness interval, the finalized block twice a minute, a second look each
 * minute, and the pushes of the WebSocket. Retries, catch-up and identity checks come on top.
 */
#ifndef RPC_COST_H
#define RPC_COST_H

#include "conf/conf.h"

struct cost_shape {
    int64_t block_ms; /* how long a block takes */
    int64_t look_ms;  /* how often follow looks; 0: chain.freshness auto */
    bool has_ws;      /* heads are pushed where blocks take a second or more; logs always are */
    bool by_hash;     /* ranges leave logs out: two requests a block (rpc/logs.h) */
};

struct cost_day {
    uint64_t idle;       /* no event of ours */
    uint64_t idle_bloom; /* … and blooms that have proved themselves save the questions for logs */
    uint64_t busy;       /* an event of ours in every block */
};
struct cost_day cost_of_following(const struct conf_endpoint *e, const struct cost_shape *s);

/* docs/cost.md. */
void cost_document(struct buf *out);

#endif
