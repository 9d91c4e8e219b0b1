/*
 * A second try for a live request that is slow: the same question to another endpoint, and the
 * first good answer wins. Only where the answer does not depend on who gives it.
 *
 * "Slow" is twice what 95 of 100 such requests took there lately, and at least 250 ms: so one in
 * twenty at most is asked twice. The hedge is a request of its own, tied to its twin; whatever
 * comes of it becomes of the twin, and the caller sees one request.
 */
#include "base/mem.h"
#include "rpc/rpc_internal.h"

#include <string.h>

enum {
    LEAST_MS = 250,
    UNKNOWN_MS = 1000, /* while too little is known of an endpoint */
};

static int64_t patience(const struct request *r)
{
    int64_t p95 = latency_p95(&r->at->latency[r->method]);
    if (p95 < 0)
        return UNKNOWN_MS;
    return p95 * 2 > LEAST_MS ? p95 * 2 : LEAST_MS;
}

int64_t rpc_hedge_at(const struct rpc *n, const struct request *r)
{
    if (n->n_endpoints < 2 || r->state != REQUEST_SENT || r->lane != RPC_LIVE ||
        r->check != CHECK_NONE || r->is_hedge || r->hedged || (r->only && !r->second) ||
        n->hedges == HEDGES_MAX)
        return INT64_MAX;
    return r->sent_ms + patience(r);
}

static struct endpoint *whom(struct rpc *n, const struct request *r, int64_t now)
{
    struct endpoint *e = r->second;
    if (!e)
        e = rpc_schedule_choose(n, NULL, r->at, now);
    else if (e == r->at || !endpoint_usable(e, now))
        e = NULL;
    return e && e->lag == 0 ? e : NULL;
}

static void hedge(struct rpc *n, struct request *r, struct endpoint *e, int64_t now)
{
    struct rpc_request q = {.method = r->method_name,
                            .lane = r->lane,
                            .deadline_ms = r->deadline_ms,
                            .reply_max = r->reply_max,
                            .bytes = r->bytes,
                            .logs = r->logs,
                            .once = true,
                            .only = e};
    struct request *h = request_new(n, &q, now);
    if (!h)
        return;
    buf_clear(&h->body);
    buf_add(&h->body, r->body.data, r->body.len);
    h->id = r->id; /* as in the body */
    h->asks_head = r->asks_head;
    h->is_hedge = r->hedged = true;
    h->twin = r;
    r->twin = h;
    n->hedges++;
    e->counters.hedges++;
}

void rpc_hedge_submit(struct rpc *n, int64_t now)
{
    for (size_t i = 0; i < SLOTS; i++) {
        struct request *r = &n->requests[i];
        if (r->state != REQUEST_SENT || rpc_hedge_at(n, r) > now)
            continue;
        struct endpoint *e = whom(n, r, now);
        if (e)
            hedge(n, r, e, now);
    }
}

static bool is_good(const struct rpc_answer *a)
{
    return a->fault.fault == FAULT_NONE &&
           (a->bytes || a->has_logs || (a->result && !json_is_null(a->result)));
}

static void win(struct rpc *n, struct request *r, struct request *h, int64_t now)
{
    void *user = r->answer.user;
    if (r->state == REQUEST_SENT) {
        endpoint_hedge_won(r->at, r->sent_ms, now);
        request_recall(n, r);
    }
    rpc_answer_free(&r->answer);
    r->answer = h->answer;
    r->answer.user = user;
    h->answer.doc = NULL; /* r's now */
    h->answer.bytes = NULL;
    h->answer.arena = (struct arena){0};
    request_finish(n, r, now);
}

void rpc_hedge_on_reply(struct rpc *n, struct request *h, int64_t now)
{
    struct request *r = h->twin;
    h->twin = NULL;
    if (!r)
        return;
    r->twin = NULL;
    if (is_good(&h->answer))
        win(n, r, h, now);
    else if (r->parked)
        request_finish(n, r, now);
}
