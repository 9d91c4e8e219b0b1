/*
 * Requests and their way: submitted, placed with an endpoint (place.c), answered or tried again,
 * handed out.
 *
 * The array of slots is small, so every choice is a scan of it and there are no lists to keep
 * right. In each round of rpc_next(): what has run out of time is ended, what can be sent is sent,
 * and only then a finished answer is handed out, so that the wire is busy while the caller works.
 */
#include "rpc/rpc.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "eth/fault_policy.h"
#include "eth/jsonrpc.h"
#include "proc/counters.h"
#include "rpc/rpc_internal.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum {
    DEADLINE_MS = 30 * 1000,
    ENVELOPE_MAX = 256,
    KEPT_BODY = 1024 * 1024, /* a larger request's memory is given back */
};

int rpc_open(const struct conf *conf, struct rpc **ret, struct err *err)
{
    if (conf->chain.n_endpoints == 0)
        return err_set(err, ERR_USAGE, "no endpoint is configured");
    if (conf->chain.n_endpoints > ENDPOINTS_MAX)
        return err_set(err, ERR_USAGE, "%zu endpoints are configured, %d is the most",
                       conf->chain.n_endpoints, ENDPOINTS_MAX);
    struct http *http;
    if (http_open(&http, err) < 0)
        return -1;
    struct rpc *n = mem_zero(1, sizeof *n);
    n->conf = conf;
    n->http = http;
    n->stop_fd = -1;
    n->patience_ms = DEADLINE_MS;
    n->rng.state = rng_seed_from_system();
    n->n_endpoints = conf->chain.n_endpoints;
    n->expects_id = conf->chain.has_id;
    n->chain_id = conf->chain.id;
    budget_init(&n->budget, conf->budget.per_second, conf->budget.per_day, clock_ms(),
                wall_seconds());
    for (size_t i = 0; i < n->n_endpoints; i++)
        endpoint_init(&n->endpoints[i], n, &conf->chain.endpoints[i], rng_next(&n->rng));
    for (size_t i = 0; i < n->n_endpoints; i++)
        counters_endpoint(i, conf->chain.endpoints[i].name);
    for (size_t i = 0; i < SLOTS; i++)
        buf_init(&n->requests[i].body, RPC_REQUEST_MAX + ENVELOPE_MAX);
    *ret = n;
    return 0;
}

void rpc_patience(struct rpc *n, int64_t ms)
{
    n->patience_ms = ms;
}

void request_recall(struct rpc *n, struct request *r)
{
    if (r->state != REQUEST_SENT)
        return;
    http_cancel(n->http, r->transfer);
    r->at->in_flight--;
    r->at = NULL;
    r->transfer = NULL;
    r->state = REQUEST_QUEUED;
}

static void request_release(struct rpc *n, struct request *r)
{
    if (r->state == REQUEST_FREE)
        return;
    request_recall(n, r);
    rpc_answer_free(&r->answer);
    if (r->body.room > KEPT_BODY)
        buf_free(&r->body);
    r->state = REQUEST_FREE;
    n->hedges -= r->is_hedge;
    if (r->twin) {
        struct request *twin = r->twin;
        twin->twin = r->twin = NULL;
        if (!r->is_hedge)
            request_release(n, twin);
    }
}

void rpc_close(struct rpc *n)
{
    if (!n)
        return;
    for (size_t i = 0; i < SLOTS; i++) {
        request_release(n, &n->requests[i]);
        buf_free(&n->requests[i].body);
    }
    http_close(n->http);
    mem_free(n);
}

/* ---- endpoints ------------------------------------------------------------------------------- */

size_t rpc_endpoints(const struct rpc *n)
{
    return n->n_endpoints;
}

struct endpoint *rpc_endpoint(struct rpc *n, size_t i)
{
    return i < n->n_endpoints ? &n->endpoints[i] : NULL;
}

/* ---- notices --------------------------------------------------------------------------------- */

void rpc_notify(struct rpc *n, const struct endpoint *e, const char *message, const char *why)
{
    if (n->n_notices == NOTICES)
        memmove(n->notices, n->notices + 1, --n->n_notices * sizeof *n->notices);
    struct rpc_notice *at = &n->notices[n->n_notices++];
    *at = (struct rpc_notice){.message = message, .endpoint = e ? endpoint_name(e) : NULL};
    snprintf(at->why, sizeof at->why, "%.199s", why);
}

bool rpc_take_notice(struct rpc *n, struct rpc_notice *ret)
{
    if (n->n_notices == 0)
        return false;
    *ret = n->notices[0];
    memmove(n->notices, n->notices + 1, --n->n_notices * sizeof *n->notices);
    return true;
}

/* ---- the budget ------------------------------------------------------------------------------ */

bool rpc_may_spend(struct rpc *n, enum rpc_lane lane, int64_t *ret_wait_ms)
{
    bool day;
    char why[160];
    static const char *const words[LANES] = {
        [RPC_LIVE] = "nothing is asked",
        [RPC_CATCHUP] = "catching up and the sweep stop",
        [RPC_SWEEP] = "the sweep stops",
    };
    int64_t wait = budget_wait(&n->budget, lane, clock_ms(), wall_seconds(), &day);
    if (ret_wait_ms)
        *ret_wait_ms = day ? wait : 0;
    if (day && !n->day_told[lane]) {
        snprintf(why, sizeof why,
                 "%" PRIu64 " of budget.per_day's %" PRIu64 " units are spent: %s until 00:00 UTC",
                 n->budget.spent + n->budget.others, n->budget.per_day, words[lane]);
        rpc_notify(n, NULL, "the day's budget is short", why);
    }
    n->day_told[lane] = day;
    return !day;
}

void rpc_spent_export(const struct rpc *n, char out[BUDGET_TEXT])
{
    budget_export(&n->budget, out);
}

void rpc_spent_import(struct rpc *n, const char *mine)
{
    budget_import(&n->budget, mine, true);
}

void rpc_spent_others(struct rpc *n, const char *const *texts, size_t n_texts)
{
    budget_forget_others(&n->budget);
    for (size_t i = 0; i < n_texts; i++)
        if (texts[i])
            budget_import(&n->budget, texts[i], false);
}

/* ---- a request's way ------------------------------------------------------------------------- */

static enum fault_method method_kind(const char *method)
{
    if (strcmp(method, "eth_getLogs") == 0)
        return FAULT_GETLOGS;
    if (strcmp(method, "eth_call") == 0 || strcmp(method, "eth_estimateGas") == 0)
        return FAULT_CALL;
    return FAULT_ANY;
}

static struct request *free_slot(struct rpc *n)
{
    for (size_t i = 0; i < SLOTS; i++)
        if (n->requests[i].state == REQUEST_FREE)
            return &n->requests[i];
    return NULL;
}

static bool is_callers(const struct request *r)
{
    return r->check == CHECK_NONE && !r->is_hedge;
}

/* A caller's goes out through rpc_next(); of the others, what they were for is done here. */
void request_finish(struct rpc *n, struct request *r, int64_t now)
{
    if (is_callers(r)) {
        r->state = REQUEST_DONE;
        r->done_order = ++n->last_done;
        r->answer.took_ms = now - r->submitted_ms;
        if (r->twin)
            request_release(n, r->twin);
        return;
    }
    if (r->is_hedge)
        rpc_hedge_on_reply(n, r, now);
    else
        rpc_identity_on_reply(n, r, now);
    request_release(n, r);
}

void request_fault(struct rpc *n, struct request *r, enum fault fault, const char *rule,
                   const char *text, int64_t now)
{
    r->answer.fault = (struct fault_info){.fault = fault, .rule = rule, .retry_after_ms = -1};
    snprintf(r->answer.text, sizeof r->answer.text, "%.511s", text);
    request_finish(n, r, now);
}

static void count(struct endpoint *e, const struct request *r, const struct http_reply *reply,
                  int64_t now)
{
    size_t number = endpoint_number(e);
    e->counters.bytes_out += reply->bytes_out;
    e->counters.bytes_in += reply->bytes_in;
    counters_request(number, r->counted, r->answer.fault.fault, now - r->sent_ms, reply->bytes_out,
                     reply->bytes_in);
    if (now < e->not_before_ms)
        counters_endpoint_paused(number, wall_ms() + e->not_before_ms - now, e->pause_text);
}

/* What an answer tells besides what was asked: how fast the endpoint is, where its head is. */
static void learn(struct rpc *n, struct endpoint *e, const struct request *r, int64_t now)
{
    struct header h;
    bool found = false;
    const struct rpc_answer *a = &r->answer;
    if (a->fault.fault == FAULT_BEHIND)
        rpc_heads_compare_soon(n, now);
    if (a->fault.fault != FAULT_NONE)
        return;
    if (r->lane == RPC_LIVE && r->check == CHECK_NONE)
        latency_add(&e->latency[r->method], now - r->sent_ms);
    if (n->n_endpoints > 1 && r->asks_head && a->result &&
        header_from_json(a->result, &h, &found, NULL) == 0 && found)
        head_told(n, e, h.at.number, h.at.timestamp, r->sent_ms, now);
}

/* The wait before the next attempt, or −1: the fault is the answer. */
static int64_t wait_to_retry(struct rpc *n, struct request *r, const struct verdict *v, int64_t now)
{
    enum fault fault = r->answer.fault.fault;
    if (v->permanent || (r->straight & RPC_STRAIGHT(fault)) || (r->once && !v->refused) ||
        !is_callers(r))
        return -1;
    const struct fault_policy *p = fault_policy(fault);
    if (r->failures_of >= p->tries)
        return -1;
    if (r->failures_of <= 1)
        backoff_init(&r->wait, p->floor_ms, p->ceiling_ms, rng_next(&n->rng));
    int64_t wait = backoff_next(&r->wait);
    return wait >= 0 && now + wait < r->deadline_ms ? wait : -1;
}

/* A fault, for good: the answer, unless a hedge is still out, which may bring a better one. */
static void fail(struct rpc *n, struct request *r, const struct endpoint *e, int64_t now)
{
    if (now < e->not_before_ms)
        r->answer.fault.retry_after_ms = e->not_before_ms - now;
    if (r->is_hedge || !r->twin || r->twin->state != REQUEST_SENT) {
        request_finish(n, r, now);
        return;
    }
    r->parked = true;
    r->state = REQUEST_QUEUED;
}

static void rpc_on_reply(struct rpc *n, struct request *r, const struct http_reply *reply,
                         int64_t now)
{
    struct endpoint *e = r->at;
    enum fault before = r->answer.fault.fault;
    struct verdict verdict;
    e->in_flight--;
    r->at = NULL;
    r->transfer = NULL;
    r->state = REQUEST_QUEUED;
    answer_read(r, e, reply, &r->answer, &verdict);
    if (verdict.reached)
        r->answer.endpoint = e;
    /* An own question may have waited for us, not we for it. */
    if (r->check == CHECK_NONE || r->answer.fault.fault != FAULT_TIME)
        endpoint_on_result(e, &r->answer.fault, verdict.reached, r->answer.text, r->sent_ms, now);
    /* Nobody listens: it may be another who will. */
    if (verdict.refused)
        e->sure = false;
    count(e, r, reply, now);
    learn(n, e, r, now);
    if (r->answer.fault.fault == FAULT_NONE) {
        request_finish(n, r, now);
        return;
    }
    r->failures_of = r->answer.fault.fault == before ? r->failures_of + 1 : 1;
    int64_t wait = wait_to_retry(n, r, &verdict, now);
    if (wait < 0) {
        fail(n, r, e, now);
        return;
    }
    e->counters.retries++;
    r->avoid = e;
    r->not_before_ms = now + wait;
}

static struct request *first_done(struct rpc *n)
{
    struct request *first = NULL;
    for (size_t i = 0; i < SLOTS; i++) {
        struct request *r = &n->requests[i];
        if (r->state == REQUEST_DONE && (!first || r->done_order < first->done_order))
            first = r;
    }
    return first;
}

static void take_replies(struct rpc *n)
{
    struct http_reply reply;
    while (http_take(n->http, &reply)) {
        rpc_on_reply(n, reply.user, &reply, clock_ms());
        http_reply_done(n->http, &reply);
    }
}

/* ---- the verbs ------------------------------------------------------------------------------- */

static bool is_latest(const struct rpc_request *q)
{
    static const char latest[] = "[\"latest\"";
    return strcmp(q->method, "eth_getBlockByNumber") == 0 && q->params_len >= sizeof latest - 1 &&
           memcmp(q->params, latest, sizeof latest - 1) == 0;
}

struct request *request_new(struct rpc *n, const struct rpc_request *q, int64_t now)
{
    struct request *r = free_slot(n);
    if (!r)
        return NULL;
    struct buf body = r->body;
    *r = (struct request){
        .state = REQUEST_QUEUED,
        .id = ++n->last_id,
        .body = body,
        .method = method_kind(q->method),
        .counted = counters_method(q->method),
        .lane = q->lane,
        .once = q->once,
        .bytes = q->bytes,
        .logs = q->logs,
        .reverts = q->reverts,
        .asks_head = is_latest(q),
        .straight = q->straight,
        .reply_max = q->reply_max && q->reply_max < RPC_REPLY_MAX ? q->reply_max : RPC_REPLY_MAX,
        .submitted_ms = now,
        .deadline_ms = q->deadline_ms ? q->deadline_ms : now + n->patience_ms,
        .only = q->only,
        .second = q->second,
        .answer.user = q->user,
    };
    snprintf(r->method_name, sizeof r->method_name, "%s", q->method);
    buf_clear(&r->body);
    jsonrpc_request(&r->body, r->id, q->method, q->params, q->params_len);
    return r;
}

int rpc_submit(struct rpc *n, const struct rpc_request *q, struct err *err)
{
    if (q->params_len > RPC_REQUEST_MAX)
        return err_set(err, ERR_TOO_LARGE, "a request of %zu bytes is over the ceiling of %d",
                       q->params_len, RPC_REQUEST_MAX);
    int64_t now = clock_ms();
    struct request *r = n->in_use < RPC_IN_FLIGHT_MAX ? request_new(n, q, now) : NULL;
    if (!r)
        return err_set(err, ERR_TOO_LARGE, "%d requests are in flight already", RPC_IN_FLIGHT_MAX);
    if (r->body.overflow) {
        request_release(n, r);
        return err_set(err, ERR_TOO_LARGE, "a request of %zu bytes is over the ceiling of %d",
                       q->params_len, RPC_REQUEST_MAX);
    }
    n->in_use++;
    if (r->asks_head)
        n->live_ms = now;
    return rpc_schedule_dispatch(n, now) ? http_kick(n->http, err) : 0;
}

int rpc_next(struct rpc *n, int timeout_ms, struct rpc_answer *ret, struct err *err)
{
    int64_t end = clock_ms() + (timeout_ms < 0 ? INT_MAX : timeout_ms);
    bool waited = false;
    n->stop_asked = false;
    for (;;) {
        int64_t now = clock_ms();
        rpc_schedule_expire(n, now);
        if (rpc_schedule_dispatch(n, now) && http_kick(n->http, err) < 0)
            return -1;
        struct request *r = first_done(n);
        if (r) {
            *ret = r->answer;
            r->answer.doc = NULL; /* now the caller's */
            r->answer.bytes = NULL;
            r->answer.arena = (struct arena){0};
            request_release(n, r);
            n->in_use--;
            return 1;
        }
        if (n->in_use == 0 || n->stop_asked || (waited && now >= end))
            return 0;
        int64_t until = rpc_schedule_next_change(n, now);
        int wait = ms_until(until < end ? until : end);
        if (http_wait(n->http, wait, n->stop_fd, &n->stop_asked, err) < 0)
            return -1;
        take_replies(n);
        waited = true;
    }
}

void rpc_answer_free(struct rpc_answer *a)
{
    if (!a)
        return;
    json_free(a->doc);
    mem_free(a->bytes);
    arena_free(&a->arena);
    a->doc = NULL;
    a->bytes = NULL;
    a->result = NULL;
}

size_t rpc_in_flight(const struct rpc *n)
{
    return n->in_use;
}

static void abandon(struct rpc *n, struct request *r)
{
    if (r->state == REQUEST_FREE || !is_callers(r))
        return;
    request_release(n, r);
    n->in_use--;
}

void rpc_abandon(struct rpc *n, void *user)
{
    for (size_t i = 0; i < SLOTS; i++)
        if (n->requests[i].answer.user == user)
            abandon(n, &n->requests[i]);
}

void rpc_abandon_all(struct rpc *n)
{
    for (size_t i = 0; i < SLOTS; i++)
        abandon(n, &n->requests[i]);
}

void rpc_stop_on(struct rpc *n, int fd)
{
    n->stop_fd = fd;
    n->stop_asked = false;
}

bool rpc_stop_asked(const struct rpc *n)
{
    return n->stop_asked;
}
