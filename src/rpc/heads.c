/*
 * The heads of the endpoints, compared: an endpoint that lags is asked after the others.
 *
 * Where there are several endpoints, those that the caller does not ask tell their head from time
 * to time, seldom while all agree, at once when something looks late.
 */
#include "proc/counters.h"
#include "rpc/rpc_internal.h"

#include "base/clock.h"
#include <inttypes.h>
#include <stdio.h>

enum {
    QUESTION_MS = 60 * 1000,
    EVERY_LEAST_MS = 2 * 1000,
    EVERY_MOST_MS = 20 * 1000,
    SOON_MS = 500,
    FRESH_MS = 60 * 1000,
    CALM_MS = 60 * 1000, /* no caller asked for the head for so long */
};

void rpc_heads_compare_soon(struct rpc *n, int64_t now)
{
    int64_t soon = now - EVERY_LEAST_MS + SOON_MS;
    n->heads.every_ms = EVERY_LEAST_MS;
    if (n->heads.compared_ms > soon)
        n->heads.compared_ms = soon;
}

static void rpc_heads_set_lag(struct endpoint *e, uint64_t lag, int64_t now)
{
    char why[64];
    if (lag > 0) {
        snprintf(why, sizeof why, "%" PRIu64 " blocks behind another", lag);
        counters_endpoint_paused(endpoint_number(e), wall_ms() + EVERY_MOST_MS, why);
        rpc_heads_compare_soon(e->rpc, now);
        if (e->head.lag == 0) {
            counters_endpoint_pause(endpoint_number(e), PAUSE_LAGS);
            rpc_notify(e->rpc, e, "endpoint lags, others are asked first", why);
        }
    } else if (e->head.lag > 0) {
        rpc_notify(e->rpc, e, "endpoint is used again", "has caught up");
    }
    e->head.lag = lag;
}

/* Lag is found whenever two heads can be compared; that it is over, only by a new head of e's own.
 */
static void rpc_heads_compare(struct endpoint *e, bool fresh, int64_t now)
{
    uint64_t most = 0;
    bool compared = false;
    for (size_t i = 0; i < e->rpc->n_endpoints; i++) {
        const struct endpoint *o = &e->rpc->endpoints[i];
        if (o == e || o->circuit.state != BREAKER_CLOSED ||
            !head_comparable(&e->head.seen, &o->head.seen, FRESH_MS))
            continue;
        uint64_t lag = head_lag(&e->head.seen, &o->head.seen);
        most = lag > most ? lag : most;
        compared = true;
    }
    if (most > 0 || (fresh && compared))
        rpc_heads_set_lag(e, most, now);
}

/* Standing still while it is asked again and again may be the chain, or may be lag. */
static void rpc_heads_note_growth(struct endpoint *e, uint64_t number, int64_t now)
{
    struct endpoint_head *head = &e->head;
    if (!head->seen.known || number > head->seen.number) {
        int64_t each =
            head->seen.known ? (now - head->grew_ms) / (int64_t)(number - head->seen.number) : 0;
        head->usual_ms = head->usual_ms ? (head->usual_ms * 7 + each) / 8 : each;
        head->grew_ms = now;
    } else if (now - head->grew_ms > 3 * head->usual_ms) {
        rpc_heads_compare_soon(e->rpc, now);
    }
}

void rpc_heads_on_header(struct endpoint *e, const struct header *h, int64_t asked_ms, int64_t now)
{
    rpc_heads_note_growth(e, h->at.number, now);
    e->head.seen = (struct rpc_head){true, h->at.number, h->at.timestamp, asked_ms, now};
    rpc_heads_compare(e, true, now);
    for (size_t i = 0; i < e->rpc->n_endpoints; i++)
        if (&e->rpc->endpoints[i] != e)
            rpc_heads_compare(&e->rpc->endpoints[i], false, now);
}

void rpc_heads_submit(struct rpc *n, int64_t now)
{
    struct rpc_heads *heads = &n->heads;
    if (n->n_endpoints < 2 || heads->wanted_ms == 0 || now - heads->wanted_ms > CALM_MS ||
        now - heads->compared_ms < heads->every_ms)
        return;
    for (size_t i = 0; i < n->n_endpoints; i++) {
        struct endpoint *e = &n->endpoints[i];
        bool lately = e->head.seen.known && now - e->head.seen.at_ms < heads->every_ms;
        if (endpoint_usable(e, now) && e->head.entry.state == ENTRY_FREE && !lately)
            rpc_question_open(e, &e->head.entry, "eth_getBlockByNumber", "[\"latest\",false]",
                              now + QUESTION_MS);
    }
    heads->compared_ms = now;
    heads->every_ms += heads->every_ms / 2;
    if (heads->every_ms < EVERY_LEAST_MS)
        heads->every_ms = EVERY_LEAST_MS;
    if (heads->every_ms > EVERY_MOST_MS)
        heads->every_ms = EVERY_MOST_MS;
}
