/* What the pushes of a WebSocket cost, charged as they come. */
#ifndef WORKER_PUSH_COST_H
#define WORKER_PUSH_COST_H

#include "conf/conf.h"
#include "rpc/price.h"

#include <stddef.h>
#include <stdint.h>

struct event_log;

struct push_cost {
    const struct conf_endpoint *endpoint;
    size_t number;       /* the endpoint's */
    uint64_t charged_at; /* the last block whose logs were charged */
    uint64_t milli;      /* thousandths of a unit not charged yet */
};

void push_cost_take_head(struct push_cost *c, size_t bytes);
void push_cost_take_log(struct push_cost *c, const struct event_log *log, size_t bytes);
/* A request that goes over the socket. */
void push_cost_take_request(struct push_cost *c, const char *method);

#endif
