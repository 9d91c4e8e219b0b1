/*
 * A second try for a live request that is slow: the same question to another endpoint, and the
 * first good answer wins. Only where the answer does not depend on who gives it.
 *
 * "Slow" is twice what 95 of 100 such requests took there lately, and at least 250 ms: so one in
 * twenty at most is asked twice. The hedge is an entry of its own, tied to the caller's; whatever
 * comes of it becomes the caller's answer, and the caller sees one request.
 */
#include "rpc/rpc_internal.h"

#include <string.h>

enum {
    LEAST_MS = 250,
    UNKNOWN_MS = 1000, /* while too little is known of an endpoint */
};

static int64_t rpc_hedge_patience(const struct rpc_entry *r)
{
    int64_t p95 = latency_p95(&r->attempt.at->latency[r->payload.kind]);
    if (p95 < 0)
        return UNKNOWN_MS;
    return p95 * 2 > LEAST_MS ? p95 * 2 : LEAST_MS;
}

static struct rpc_hedge *rpc_hedge_free(struct rpc *n)
{
    for (size_t i = 0; i < HEDGES_MAX; i++)
        if (n->hedges[i].entry.state == ENTRY_FREE)
            return &n->hedges[i];
    return NULL;
}

static bool rpc_hedge_may(const struct rpc_caller *c)
{
    return c->entry.state == ENTRY_SENT && c->entry.lane == RPC_LIVE && !c->hedged &&
           (!c->entry.only || c->second);
}

int64_t rpc_hedge_at(const struct rpc *n, const struct rpc_entry *r)
{
    if (n->n_endpoints < 2 || r->owner != OWNER_CALLER || !rpc_hedge_may((const void *)r))
        return INT64_MAX;
    return r->attempt.sent_ms + rpc_hedge_patience(r);
}

static struct endpoint *rpc_hedge_choose(struct rpc *n, const struct rpc_caller *c, int64_t now)
{
    const struct endpoint *at = c->entry.attempt.at;
    struct endpoint *e = c->second;
    if (!e)
        e = rpc_schedule_choose(n, NULL, at, now);
    else if (e == at || !endpoint_usable(e, now))
        e = NULL;
    return e && e->head.lag == 0 ? e : NULL;
}

static void rpc_hedge_open(struct rpc *n, struct rpc_hedge *h, struct rpc_caller *c,
                           struct endpoint *e, int64_t now)
{
    const struct rpc_payload *p = &c->entry.payload;
    struct rpc_request q = {.method = p->method,
                            .lane = c->entry.lane,
                            .deadline_ms = c->entry.deadline_ms,
                            .reply_max = p->reply_max,
                            .bytes = p->bytes,
                            .logs = p->logs,
                            .receipts = p->receipts,
                            .only = e};
    rpc_entry_open(n, &h->entry, &q, now);
    struct buf *body = &h->entry.payload.body;
    buf_clear(body);
    buf_add(body, p->body.data, p->body.len);
    h->entry.id = c->entry.id;         /* as in the body */
    h->entry.payload.nonce = p->nonce; /* the places; each try has its own nonce */
    h->entry.payload.newest = p->newest;
    h->of = c;
    c->hedge = h;
    c->hedged = true;
    e->counters.hedges++;
}

void rpc_hedge_submit(struct rpc *n, int64_t now)
{
    for (size_t i = 0; i < CALLERS_MAX; i++) {
        struct rpc_caller *c = &n->callers[i];
        if (rpc_hedge_at(n, &c->entry) > now)
            continue;
        struct endpoint *e = rpc_hedge_choose(n, c, now);
        struct rpc_hedge *h = e ? rpc_hedge_free(n) : NULL;
        if (h)
            rpc_hedge_open(n, h, c, e, now);
    }
}

static bool rpc_answer_is_good(const struct rpc_answer *a)
{
    return a->fault.fault == FAULT_NONE &&
           (a->bytes || a->has_logs || a->has_receipts || (a->result && !json_is_null(a->result)));
}

static void rpc_hedge_win(struct rpc *n, struct rpc_caller *c, struct rpc_hedge *h, int64_t now)
{
    struct rpc_entry *r = &c->entry;
    void *user = r->answer.user;
    if (r->state == ENTRY_SENT) {
        endpoint_hedge_won(r->attempt.at, r->attempt.sent_ms, now);
        rpc_entry_recall(n, r);
    }
    rpc_answer_free(&r->answer);
    r->answer = h->entry.answer;
    r->answer.user = user;
    h->entry.answer = (struct rpc_answer){0}; /* what it owned is r's now */
    rpc_entry_finish(n, r, now);
}

void rpc_hedge_on_reply(struct rpc *n, struct rpc_hedge *h, int64_t now)
{
    struct rpc_caller *c = h->of;
    h->of = NULL;
    c->hedge = NULL;
    if (rpc_answer_is_good(&h->entry.answer))
        rpc_hedge_win(n, c, h, now);
    else if (c->parked)
        rpc_entry_finish(n, &c->entry, now);
}
