/*
 * A request's way: submitted, placed with an endpoint (schedule.c), answered or tried again, handed
 * out.
 *
 * The queue is small, so every choice is a scan of it and there are no lists to keep right. In each
 * round of rpc_next(): what has run out of time is ended, what can be sent is sent, and only then a
 * finished answer is handed out, so that the wire is busy while the caller works.
 */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "eth/fault_policy.h"
#include "proc/counters.h"
#include "rpc/rpc_internal.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

enum {
    ENVELOPE_MAX = 256,
    CUT_SHORT_MS = 1000,
    KEPT_BODY = 1024 * 1024, /* a larger request's memory is given back */
};

static void rpc_queue_add(struct rpc *n, size_t *at, struct rpc_entry *r, enum rpc_owner owner)
{
    r->owner = owner;
    buf_init(&r->payload.body, RPC_REQUEST_MAX + ENVELOPE_MAX);
    n->queue[(*at)++] = r;
}

void rpc_queue_init(struct rpc *n)
{
    size_t at = 0;
    for (size_t i = 0; i < COUNT_OF(n->callers); i++)
        rpc_queue_add(n, &at, &n->callers[i].entry, OWNER_CALLER);
    for (size_t i = 0; i < COUNT_OF(n->hedges); i++)
        rpc_queue_add(n, &at, &n->hedges[i].entry, OWNER_HEDGE);
    for (size_t i = 0; i < COUNT_OF(n->endpoints); i++) {
        rpc_queue_add(n, &at, &n->endpoints[i].identity.chain_id_entry, OWNER_CHAIN_ID);
        rpc_queue_add(n, &at, &n->endpoints[i].identity.genesis_entry, OWNER_GENESIS);
        rpc_queue_add(n, &at, &n->endpoints[i].head.entry, OWNER_HEAD);
        rpc_queue_add(n, &at, &n->endpoints[i].doubt.entry, OWNER_DOUBT);
    }
}

bool rpc_entry_is_aside(const struct rpc_entry *r)
{
    return r->owner == OWNER_CALLER && r->lane != RPC_LIVE && ((const struct rpc_caller *)r)->aside;
}

static void rpc_entry_leave(struct rpc_entry *r)
{
    r->attempt.at->load.in_flight--;
    r->attempt.at->load.aside -= rpc_entry_is_aside(r);
}

void rpc_entry_recall(struct rpc *n, struct rpc_entry *r)
{
    if (r->state != ENTRY_SENT)
        return;
    http_cancel(n->http, r->attempt.transfer);
    rpc_entry_leave(r);
    r->state = ENTRY_QUEUED;
}

static void rpc_entry_release(struct rpc *n, struct rpc_entry *r)
{
    if (r->state == ENTRY_FREE)
        return;
    rpc_entry_recall(n, r);
    rpc_answer_free(&r->answer);
    if (r->payload.body.room > KEPT_BODY)
        buf_free(&r->payload.body);
    r->state = ENTRY_FREE;
    if (r->owner == OWNER_HEDGE && ((struct rpc_hedge *)r)->of)
        ((struct rpc_hedge *)r)->of->hedge = NULL;
}

static void rpc_hedge_release(struct rpc *n, struct rpc_caller *c)
{
    if (c->hedge)
        rpc_entry_release(n, &c->hedge->entry);
}

static void rpc_caller_release(struct rpc *n, struct rpc_caller *c)
{
    rpc_hedge_release(n, c);
    rpc_entry_release(n, &c->entry);
}

void rpc_queue_free(struct rpc *n)
{
    for (size_t i = 0; i < QUEUE_MAX; i++) {
        rpc_entry_release(n, n->queue[i]);
        buf_free(&n->queue[i]->payload.body);
    }
}

/* ---- an entry's end -------------------------------------------------------------------------- */

static void rpc_caller_done(struct rpc *n, struct rpc_caller *c, int64_t now)
{
    c->entry.state = ENTRY_DONE;
    c->done_order = ++n->last_done;
    c->entry.answer.took_ms = now - c->submitted_ms;
    rpc_hedge_release(n, c);
}

/* A caller's goes out through rpc_next(); of the others, what they were for is done here. */
void rpc_entry_finish(struct rpc *n, struct rpc_entry *r, int64_t now)
{
    switch (r->owner) {
    case OWNER_CALLER:
        rpc_caller_done(n, (struct rpc_caller *)r, now);
        return;
    case OWNER_HEDGE:
        rpc_hedge_on_reply(n, (struct rpc_hedge *)r, now);
        break;
    case OWNER_CHAIN_ID:
    case OWNER_GENESIS:
        rpc_identity_on_reply(r, now);
        break;
    case OWNER_DOUBT:
        rpc_doubt_on_reply(r);
        break;
    case OWNER_HEAD:
        break; /* its answer was noted like any */
    }
    rpc_entry_release(n, r);
}

void rpc_entry_fail(struct rpc *n, struct rpc_entry *r, enum fault fault, const char *rule,
                    const char *text, int64_t now)
{
    r->answer.fault = fault_make(fault, rule);
    snprintf(r->answer.text, sizeof r->answer.text, "%.511s", text);
    rpc_entry_finish(n, r, now);
}

/* ---- a reply --------------------------------------------------------------------------------- */

static void rpc_reply_count(struct endpoint *e, const struct rpc_entry *r,
                            const struct http_reply *reply, int64_t now)
{
    size_t number = endpoint_number(e);
    e->counters.bytes_out += reply->bytes_out;
    e->counters.bytes_in += reply->bytes_in;
    counters_request(number, r->payload.counted, r->answer.fault.fault, now - r->attempt.sent_ms,
                     reply->bytes_out, reply->bytes_in);
    for (size_t i = 0; i < r->payload.n_more; i++)
        counters_request(number, r->payload.more[i].counted, r->answer.fault.fault,
                         now - r->attempt.sent_ms, 0, 0);
    if (now < e->circuit.not_before_ms)
        counters_endpoint_paused(number, wall_ms() + e->circuit.not_before_ms - now,
                                 e->circuit.text);
}

/* A request that is tried again until its deadline is a call that fails from its first attempt on:
 * the lights do not wait for the end. */
static void rpc_reply_show(struct rpc *n, const struct endpoint *e, const struct rpc_entry *r)
{
    char words[COUNTERS_TEXT];
    size_t kind = r->payload.counted;
    if (r->owner != OWNER_CALLER || r->lane != RPC_LIVE ||
        (n->live_fails && n->live_failing != kind))
        return;
    if (r->answer.fault.fault != FAULT_NONE) {
        snprintf(words, sizeof words, "endpoint %.60s: %s: %.140s", endpoint_name(e),
                 counters_methods[kind], r->answer.text);
        counters_call_failed(CALL_LOOK, words, wall_ms());
    } else if (n->live_fails) {
        counters_call_succeeded(CALL_LOOK);
    }
    n->live_fails = r->answer.fault.fault != FAULT_NONE;
    n->live_failing = kind;
}

/* What an answer tells besides what was asked: how fast the endpoint is, where its head is. */
static void rpc_reply_learn(struct rpc *n, struct endpoint *e, const struct rpc_entry *r,
                            int64_t now)
{
    struct header h;
    if (r->answer.fault.fault == FAULT_BEHIND)
        rpc_heads_compare_soon(n, now);
    if (r->answer.fault.fault != FAULT_NONE)
        return;
    if (r->lane == RPC_LIVE && r->owner <= OWNER_HEDGE)
        latency_add(&e->latency[r->payload.kind], now - r->attempt.sent_ms);
    if (n->n_endpoints > 1 && r->payload.newest && rpc_answer_header(&r->answer, &h))
        rpc_heads_on_header(e, &h, r->attempt.sent_ms, now);
}

/* The wait before the next attempt, or −1: the fault is the answer. */
static int64_t rpc_retry_wait(struct rpc *n, struct rpc_entry *r,
                              const struct transport_result *transport, int64_t now)
{
    enum fault fault = r->answer.fault.fault;
    const struct fault_policy *p = fault_policy(fault);
    struct rpc_retry *retry = &r->retry;
    if (transport->permanent || retry->no_retry & RPC_NO_RETRY(fault) || r->owner != OWNER_CALLER ||
        retry->failures >= p->tries)
        return -1;
    if (retry->failures == 1)
        backoff_init(&retry->wait, p->floor_ms, p->ceiling_ms, rng_next(&n->rng));
    int64_t wait = backoff_next(&retry->wait);
    return now + wait < r->deadline_ms ? wait : -1;
}

/* A fault, for good: the answer, unless a hedge is still out, which may bring a better one. */
static void rpc_reply_fault(struct rpc *n, struct rpc_entry *r, const struct endpoint *e,
                            int64_t now)
{
    struct rpc_caller *c = r->owner == OWNER_CALLER ? (struct rpc_caller *)r : NULL;
    if (now < e->circuit.not_before_ms)
        r->answer.fault.retry_after_ms = e->circuit.not_before_ms - now;
    if (c && c->hedge && c->hedge->entry.state == ENTRY_SENT)
        c->parked = true;
    else
        rpc_entry_finish(n, r, now);
}

/* Did the deadline end an attempt that had hardly begun? Then the attempt before says more: a node
 * where nothing listens is down, however late the last attempt was made. */
static bool rpc_reply_is_cut_short(const struct rpc_entry *r, const struct http_reply *reply,
                                   enum fault before)
{
    return reply->trouble == HTTP_TIMED_OUT && before != FAULT_NONE &&
           r->deadline_ms - r->attempt.sent_ms < CUT_SHORT_MS;
}

static void rpc_on_reply(struct rpc *n, struct rpc_entry *r, const struct http_reply *reply,
                         int64_t now)
{
    struct endpoint *e = r->attempt.at;
    const struct rpc_answer earlier = r->answer;
    enum fault before = earlier.fault.fault;
    struct transport_result transport;
    rpc_entry_leave(r);
    r->state = ENTRY_QUEUED;
    rpc_answer_read(r, e, reply, &transport);
    r->answer.nonce = r->attempt.nonce;
    enum fault fault = r->answer.fault.fault;
    if (transport.reached)
        r->answer.endpoint = e;
    /* An own question may have waited for us, not we for it. */
    if (r->owner <= OWNER_HEDGE || fault != FAULT_TIME)
        endpoint_on_result(e, &r->answer, transport.reached, r->attempt.sent_ms, now);
    /* Nothing listens there: what comes back may be another node. */
    if (transport.refused)
        e->identity.confirmed = false;
    rpc_reply_count(e, r, reply, now);
    rpc_reply_learn(n, e, r, now);
    if (fault == FAULT_NONE) {
        rpc_reply_show(n, e, r);
        rpc_entry_finish(n, r, now);
        return;
    }
    r->retry.failures = fault == before ? r->retry.failures + 1 : 1;
    int64_t wait = rpc_retry_wait(n, r, &transport, now);
    if (wait < 0) {
        if (rpc_reply_is_cut_short(r, reply, before)) {
            r->answer.fault = earlier.fault;
            memcpy(r->answer.text, earlier.text, sizeof earlier.text);
        }
        rpc_reply_fault(n, r, e, now);
        return;
    }
    rpc_reply_show(n, e, r);
    e->counters.retries++;
    r->retry.avoid = e;
    r->retry.not_before_ms = now + wait;
}

static void rpc_take_replies(struct rpc *n)
{
    struct http_reply reply;
    while (http_take(n->http, &reply)) {
        rpc_on_reply(n, reply.user, &reply, clock_ms());
        http_reply_done(n->http, &reply);
    }
}

/* ---- in and out ------------------------------------------------------------------------------ */

static size_t *rpc_caller_count(struct rpc *n, const struct rpc_caller *c)
{
    return c->aside ? &n->aside : &n->in_use;
}

static struct rpc_caller *rpc_caller_new(struct rpc *n, const struct rpc_request *q, int64_t now)
{
    bool full = q->aside ? n->aside == RPC_ASIDE_MAX : n->in_use == RPC_IN_FLIGHT_MAX;
    for (size_t i = 0; i < CALLERS_MAX && !full; i++) {
        struct rpc_caller *c = &n->callers[i];
        if (c->entry.state != ENTRY_FREE)
            continue;
        rpc_entry_open(n, &c->entry, q, now);
        c->aside = q->aside;
        c->submitted_ms = now;
        c->second = q->second;
        c->hedge = NULL;
        c->hedged = c->parked = false;
        return c;
    }
    return NULL;
}

int rpc_submit(struct rpc *n, const struct rpc_request *q, struct err *err)
{
    int64_t now = clock_ms();
    bool too_long = q->params_len > RPC_REQUEST_MAX;
    struct rpc_caller *c = too_long ? NULL : rpc_caller_new(n, q, now);
    if (c && c->entry.payload.body.overflow) {
        rpc_caller_release(n, c);
        too_long = true;
    }
    if (too_long)
        return err_set(err, ERR_TOO_LARGE, "a request of %zu bytes is over the ceiling of %d",
                       q->params_len, RPC_REQUEST_MAX);
    if (!c)
        return err_set(err, ERR_TOO_LARGE, "%d requests are in flight already",
                       q->aside ? RPC_ASIDE_MAX : RPC_IN_FLIGHT_MAX);
    *rpc_caller_count(n, c) += 1;
    if (c->entry.payload.newest)
        n->heads.wanted_ms = now;
    return rpc_schedule_dispatch(n, now) ? http_kick(n->http, err) : 0;
}

static struct rpc_caller *rpc_first_done(struct rpc *n)
{
    struct rpc_caller *first = NULL;
    for (size_t i = 0; i < CALLERS_MAX; i++) {
        struct rpc_caller *c = &n->callers[i];
        if (c->entry.state == ENTRY_DONE && !c->aside &&
            (!first || c->done_order < first->done_order))
            first = c;
    }
    return first;
}

static void rpc_hand_out(struct rpc *n, struct rpc_caller *c, struct rpc_answer *ret)
{
    *ret = c->entry.answer;
    c->entry.answer = (struct rpc_answer){0}; /* what it owns is the caller's now */
    rpc_caller_release(n, c);
    *rpc_caller_count(n, c) -= 1;
}

/* Sends what can be sent, then waits for the network, until a request may change by itself, or
 * until `end`. */
static int rpc_wait(struct rpc *n, int fd, int64_t end, bool *ret_woken, struct err *err)
{
    int64_t now = clock_ms(), until = rpc_schedule_next_change(n, now);
    if (http_wait(n->http, ms_until(until < end ? until : end), fd, ret_woken, err) < 0)
        return -1;
    rpc_take_replies(n);
    return 0;
}

static int rpc_send_due(struct rpc *n, struct err *err)
{
    int64_t now = clock_ms();
    rpc_schedule_expire(n, now);
    return rpc_schedule_dispatch(n, now) ? http_kick(n->http, err) : 0;
}

int rpc_next(struct rpc *n, int timeout_ms, struct rpc_answer *ret, struct err *err)
{
    int64_t end = clock_ms() + (timeout_ms < 0 ? INT_MAX : timeout_ms);
    bool waited = false;
    n->stop_asked = false;
    for (;;) {
        if (rpc_send_due(n, err) < 0)
            return -1;
        struct rpc_caller *c = rpc_first_done(n);
        if (c) {
            rpc_hand_out(n, c, ret);
            return 1;
        }
        if (n->in_use == 0 || n->stop_asked || (waited && clock_ms() >= end))
            return 0;
        if (rpc_wait(n, n->stop_fd, end, &n->stop_asked, err) < 0)
            return -1;
        waited = true;
    }
}

/* ---- aside ----------------------------------------------------------------------------------- */

static struct rpc_caller *rpc_aside_done(struct rpc *n, const void *user)
{
    for (size_t i = 0; i < CALLERS_MAX; i++) {
        struct rpc_caller *c = &n->callers[i];
        if (c->entry.state == ENTRY_DONE && c->aside && c->entry.answer.user == user)
            return c;
    }
    return NULL;
}

/* Has one been answered since this was last asked? What its owner does not take wakes once. */
static bool rpc_aside_has_news(struct rpc *n)
{
    bool news = false;
    for (size_t i = 0; i < CALLERS_MAX; i++) {
        const struct rpc_caller *c = &n->callers[i];
        news |= c->entry.state == ENTRY_DONE && c->aside && c->done_order > n->last_told;
    }
    n->last_told = n->last_done;
    return news;
}

bool rpc_take_aside(struct rpc *n, void *user, struct rpc_answer *ret)
{
    struct rpc_caller *c = rpc_aside_done(n, user);
    if (c)
        rpc_hand_out(n, c, ret);
    return c != NULL;
}

int rpc_drive(struct rpc *n, int fd, int64_t until_ms, struct err *err)
{
    bool woken = false;
    n->stop_asked = false;
    do {
        if (rpc_send_due(n, err) < 0)
            return -1;
        if (rpc_aside_has_news(n))
            return 0;
        if (rpc_wait(n, fd < 0 ? n->stop_fd : fd, until_ms, &woken, err) < 0)
            return -1;
    } while (!woken && clock_ms() < until_ms);
    n->stop_asked = woken && fd < 0;
    return 0;
}

static void rpc_answer_free_one(struct rpc_answer *a)
{
    json_free(a->doc);
    mem_free(a->bytes);
    arena_free(&a->arena);
    a->doc = NULL;
    a->bytes = NULL;
    a->result = NULL;
}

void rpc_answer_free(struct rpc_answer *a)
{
    for (size_t i = 0; a->more && i < RPC_MORE_MAX; i++)
        rpc_answer_free_one(&a->more[i]);
    mem_free(a->more);
    a->more = NULL;
    rpc_answer_free_one(a);
}

size_t rpc_in_flight(const struct rpc *n)
{
    return n->in_use;
}

static void rpc_caller_abandon(struct rpc *n, struct rpc_caller *c)
{
    if (c->entry.state == ENTRY_FREE)
        return;
    rpc_caller_release(n, c);
    *rpc_caller_count(n, c) -= 1;
}

void rpc_abandon(struct rpc *n, void *user)
{
    for (size_t i = 0; i < CALLERS_MAX; i++)
        if (n->callers[i].entry.answer.user == user)
            rpc_caller_abandon(n, &n->callers[i]);
}

void rpc_abandon_all(struct rpc *n)
{
    for (size_t i = 0; i < CALLERS_MAX; i++)
        if (!n->callers[i].aside)
            rpc_caller_abandon(n, &n->callers[i]);
}
