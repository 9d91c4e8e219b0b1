#include "worker/push_cost.h"
#include "eth/event.h"
#include "proc/counters.h"

static void push_cost_charge(struct push_cost *c, enum price_push kind, size_t bytes)
{
    counters_pushed(c->number, bytes);
    c->milli += price_of_push(c->endpoint, kind, bytes);
    counters_cost(c->number, c->milli / 1000);
    c->milli %= 1000;
}

void push_cost_take_head(struct push_cost *c, size_t bytes)
{
    push_cost_charge(c, PRICE_PUSH_HEAD, bytes);
}

void push_cost_take_log(struct push_cost *c, const struct event_log *log, size_t bytes)
{
    bool again = !log->no_block && log->block == c->charged_at;
    push_cost_charge(c, again ? PRICE_PUSH_LOG_AGAIN : PRICE_PUSH_LOG, bytes);
    if (!log->no_block)
        c->charged_at = log->block;
}

void push_cost_take_request(struct push_cost *c, const char *method)
{
    counters_cost(c->number, price_of(c->endpoint, method));
}
