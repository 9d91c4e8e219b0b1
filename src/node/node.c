/*
 * Requests and their way: submitted, placed with an endpoint, answered or tried again, handed out.
 *
 * The array of slots is small, so every choice is a scan of it and there are no lists to keep
 * right. In each round of node_next(): what has run out of time is ended, what can be sent is sent
 * (live before catch-up before sweep, then in order of submission), and only then a finished answer
 * is handed out, so that the wire is busy while the caller works.
 */
#include "node/node.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "eth/rpc.h"
#include "node/internal.h"
#include "proc/counters.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum {
    DEADLINE_MS = 30 * 1000,
    /* One attempt: above the slowest node's own limit on a call (besu's 30 s is the one exception),
     * and short enough that a black hole leaves time for a second try. */
    ATTEMPT_MS = 20 * 1000,
    ENVELOPE_MAX = 256,
    KEPT_BODY = 1024 * 1024, /* a larger request's memory is given back */
};

int node_open(const struct conf *conf, struct node **ret, struct err *err)
{
    if (conf->chain.n_endpoints == 0)
        return err_set(err, ERR_USAGE, "no endpoint is configured");
    if (conf->chain.n_endpoints > ENDPOINTS_MAX)
        return err_set(err, ERR_USAGE, "%zu endpoints are configured, %d is the most",
                       conf->chain.n_endpoints, ENDPOINTS_MAX);
    struct http *http;
    if (http_open(&http, err) < 0)
        return -1;
    struct node *n = mem_zero(1, sizeof *n);
    n->conf = conf;
    n->http = http;
    n->stop_fd = -1;
    n->patience_ms = DEADLINE_MS;
    n->rng.state = rng_seed_from_system();
    n->n_endpoints = conf->chain.n_endpoints;
    for (size_t i = 0; i < n->n_endpoints; i++)
        endpoint_init(&n->endpoints[i], &conf->chain.endpoints[i], rng_next(&n->rng));
    for (size_t i = 0; i < n->n_endpoints; i++)
        counters_endpoint(i, conf->chain.endpoints[i].name);
    for (size_t i = 0; i < NODE_IN_FLIGHT_MAX; i++)
        buf_init(&n->requests[i].body, NODE_REQUEST_MAX + ENVELOPE_MAX);
    *ret = n;
    return 0;
}

void node_patience(struct node *n, int64_t ms)
{
    n->patience_ms = ms;
}

void node_close(struct node *n)
{
    if (!n)
        return;
    node_abandon_all(n);
    for (size_t i = 0; i < NODE_IN_FLIGHT_MAX; i++)
        buf_free(&n->requests[i].body);
    http_close(n->http);
    mem_free(n);
}

/* ---- endpoints ---- */

size_t node_endpoints(const struct node *n)
{
    return n->n_endpoints;
}

struct endpoint *node_endpoint(struct node *n, size_t i)
{
    return i < n->n_endpoints ? &n->endpoints[i] : NULL;
}

/* One that was not there when the others told their chain is not asked before it has told its own.
 */
static bool may_serve(const struct node *n, const struct request *r, const struct endpoint *e)
{
    if (r && r->only)
        return r->only == e;
    return !n->identified || e->identified;
}

/* The first healthy one in order of preference, but not the one that just failed r if there is
 * another. One that is merely full is still the choice: the order of preference is about price and
 * trust, so a burst does not spill over to the next. NULL when all are paused. */
static struct endpoint *choose(struct node *n, const struct request *r, int64_t now)
{
    struct endpoint *last_resort = NULL;
    for (size_t i = 0; i < n->n_endpoints; i++) {
        struct endpoint *e = &n->endpoints[i];
        if (!may_serve(n, r, e) || !endpoint_healthy(e, now))
            continue;
        if (!r || e != r->avoid)
            return e;
        last_resort = e;
    }
    return last_resort;
}

/* When the first endpoint that may serve r is not paused any more; *ret is that endpoint. */
static int64_t pause_end(struct node *n, const struct request *r, struct endpoint **ret)
{
    int64_t first = INT64_MAX;
    *ret = NULL;
    for (size_t i = 0; i < n->n_endpoints; i++) {
        struct endpoint *e = &n->endpoints[i];
        if (may_serve(n, r, e) && e->not_before_ms < first) {
            first = e->not_before_ms;
            *ret = e;
        }
    }
    return first;
}

struct endpoint *node_best(struct node *n)
{
    struct endpoint *e = choose(n, NULL, clock_ms());
    if (!e)
        pause_end(n, NULL, &e);
    return e ? e : &n->endpoints[0];
}

/* ---- a request's way ---- */

static enum fault_method method_kind(const char *method)
{
    if (strcmp(method, "eth_getLogs") == 0)
        return FAULT_GETLOGS;
    if (strcmp(method, "eth_call") == 0 || strcmp(method, "eth_estimateGas") == 0)
        return FAULT_CALL;
    return FAULT_ANY;
}

static struct request *free_slot(struct node *n)
{
    for (size_t i = 0; i < NODE_IN_FLIGHT_MAX; i++)
        if (n->requests[i].state == REQUEST_FREE)
            return &n->requests[i];
    return NULL;
}

static void release(struct node *n, struct request *r)
{
    if (r->state == REQUEST_FREE)
        return;
    if (r->state == REQUEST_SENT) {
        http_cancel(n->http, r->transfer);
        r->at->in_flight--;
    }
    node_answer_free(&r->answer);
    if (r->body.room > KEPT_BODY)
        buf_free(&r->body);
    r->state = REQUEST_FREE;
    n->in_use--;
}

static void finish(struct node *n, struct request *r, int64_t now)
{
    r->state = REQUEST_DONE;
    r->done_order = ++n->last_done;
    r->answer.took_ms = now - r->submitted_ms;
}

static void finish_fault(struct node *n, struct request *r, enum fault fault, const char *rule,
                         const char *text, int64_t now)
{
    r->answer.fault = (struct fault_info){.fault = fault, .rule = rule, .retry_after_ms = -1};
    snprintf(r->answer.text, sizeof r->answer.text, "%.511s", text);
    finish(n, r, now);
}

static void count_bytes(struct endpoint *e, const struct http_reply *reply)
{
    e->counters.bytes_out += reply->bytes_out;
    e->counters.bytes_in += reply->bytes_in;
}

/* The wait before the next attempt, or −1: the fault is the answer. */
static int64_t wait_to_retry(struct node *n, struct request *r, const struct verdict *v,
                             int64_t now)
{
    enum fault fault = r->answer.fault.fault;
    if (v->permanent || (r->straight & NODE_STRAIGHT(fault)) || (r->once && !v->refused))
        return -1;
    int64_t wait = retry_wait(fault, r->failures_of, &r->wait, rng_next(&n->rng));
    return wait >= 0 && now + wait < r->deadline_ms ? wait : -1;
}

static void settle(struct node *n, struct request *r, const struct http_reply *reply, int64_t now)
{
    struct endpoint *e = r->at;
    enum fault before = r->answer.fault.fault;
    struct verdict verdict;
    e->in_flight--;
    r->at = NULL;
    r->transfer = NULL;
    count_bytes(e, reply);
    answer_read(r, e, reply, &r->answer, &verdict);
    if (verdict.reached)
        r->answer.endpoint = e;
    endpoint_judge(e, &r->answer.fault, verdict.reached, r->answer.text, r->sent_ms, now);
    counters_request((size_t)(e - n->endpoints), r->counted, r->answer.fault.fault, now - r->sent_ms,
                     reply->bytes_out, reply->bytes_in);
    if (now < e->not_before_ms)
        counters_endpoint_paused((size_t)(e - n->endpoints), wall_ms() + e->not_before_ms - now,
                                 e->pause_text);
    if (r->answer.fault.fault == FAULT_NONE) {
        finish(n, r, now);
        return;
    }
    r->failures_of = r->answer.fault.fault == before ? r->failures_of + 1 : 1;
    int64_t wait = wait_to_retry(n, r, &verdict, now);
    if (wait < 0) {
        if (now < e->not_before_ms)
            r->answer.fault.retry_after_ms = e->not_before_ms - now;
        finish(n, r, now);
        return;
    }
    e->counters.retries++;
    r->avoid = e;
    r->not_before_ms = now + wait;
    r->state = REQUEST_QUEUED;
}

static void send_to(struct node *n, struct request *r, struct endpoint *e, int64_t now)
{
    struct err err;
    struct http_post post = {
        .url = e->conf->url,
        .body = r->body.data,
        .body_len = r->body.len,
        .deadline_ms = r->deadline_ms < now + ATTEMPT_MS ? r->deadline_ms : now + ATTEMPT_MS,
        .reply_max = r->reply_max,
        .user = r,
    };
    if (http_post(n->http, &post, &r->transfer, &err) < 0) {
        finish_fault(n, r, FAULT_DOWN, "system", err.text, now);
        return;
    }
    r->state = REQUEST_SENT;
    r->at = e;
    r->sent_ms = now;
    r->tries++;
    e->in_flight++;
    e->counters.requests++;
}

/* The first in line that may go now, and where to. */
static struct request *next_to_send(struct node *n, int64_t now, struct endpoint **ret)
{
    struct request *best = NULL;
    for (size_t i = 0; i < NODE_IN_FLIGHT_MAX; i++) {
        struct request *r = &n->requests[i];
        if (r->state != REQUEST_QUEUED || r->not_before_ms > now)
            continue;
        if (best && (r->lane > best->lane || (r->lane == best->lane && r->id > best->id)))
            continue;
        struct endpoint *e = choose(n, r, now);
        if (!e || !endpoint_has_place(e))
            continue;
        best = r;
        *ret = e;
    }
    return best;
}

static bool dispatch(struct node *n, int64_t now)
{
    struct endpoint *e = NULL;
    struct request *r;
    bool any = false;
    while ((r = next_to_send(n, now, &e)) != NULL) {
        send_to(n, r, e, now);
        any = true;
    }
    return any;
}

/* A queued request whose time is up, or that will not be served within it because every endpoint
 * was told to wait longer, is answered with the last fault, or with the endpoint's reason to pause.
 */
static void expire(struct node *n, struct request *r, int64_t now)
{
    struct endpoint *e;
    int64_t end = pause_end(n, r, &e);
    bool told = e && (e->pause == FAULT_RATE || e->pause == FAULT_BILLING);
    if (now < r->deadline_ms && !(told && end > now && end >= r->deadline_ms))
        return;
    if (r->tries > 0) {
        finish(n, r, now);
    } else if (end > now && e) {
        finish_fault(n, r, e->pause, "paused", e->pause_text, now);
        if (told)
            r->answer.endpoint = e;
    } else {
        finish_fault(n, r, e ? FAULT_TIME : FAULT_DOWN, "deadline",
                     e ? "the deadline passed while waiting in line" : "no endpoint may be asked",
                     now);
    }
    if (told && end > now)
        r->answer.fault.retry_after_ms = end - now;
}

static void expire_all(struct node *n, int64_t now)
{
    for (size_t i = 0; i < NODE_IN_FLIGHT_MAX; i++)
        if (n->requests[i].state == REQUEST_QUEUED)
            expire(n, &n->requests[i], now);
}

/* When something can change without the network: an end of a wait, a pause or a deadline. */
static int64_t next_change(struct node *n, int64_t now)
{
    int64_t first = INT64_MAX;
    for (size_t i = 0; i < NODE_IN_FLIGHT_MAX; i++) {
        struct request *r = &n->requests[i];
        if (r->state != REQUEST_QUEUED)
            continue;
        struct endpoint *e;
        int64_t at = pause_end(n, r, &e);
        at = at > r->not_before_ms ? at : r->not_before_ms;
        if (at <= now || at > r->deadline_ms)
            at = r->deadline_ms; /* it waits for a place, which a reply makes */
        first = at < first ? at : first;
    }
    return first;
}

static struct request *first_done(struct node *n)
{
    struct request *first = NULL;
    for (size_t i = 0; i < NODE_IN_FLIGHT_MAX; i++) {
        struct request *r = &n->requests[i];
        if (r->state == REQUEST_DONE && (!first || r->done_order < first->done_order))
            first = r;
    }
    return first;
}

static void take_replies(struct node *n)
{
    struct http_reply reply;
    while (http_take(n->http, &reply)) {
        settle(n, reply.user, &reply, clock_ms());
        http_reply_done(n->http, &reply);
    }
}

/* ---- the verbs ---- */

int node_submit(struct node *n, const struct node_request *q, struct err *err)
{
    if (q->params_len > NODE_REQUEST_MAX)
        return err_set(err, ERR_TOO_LARGE, "a request of %zu bytes is over the ceiling of %d",
                       q->params_len, NODE_REQUEST_MAX);
    struct request *r = free_slot(n);
    if (!r)
        return err_set(err, ERR_TOO_LARGE, "%d requests are in flight already", NODE_IN_FLIGHT_MAX);
    int64_t now = clock_ms();
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
        .straight = q->straight,
        .reply_max = q->reply_max && q->reply_max < NODE_REPLY_MAX ? q->reply_max : NODE_REPLY_MAX,
        .submitted_ms = now,
        .deadline_ms = q->deadline_ms ? q->deadline_ms : now + n->patience_ms,
        .only = q->only,
        .answer.user = q->user,
    };
    n->in_use++;
    buf_clear(&r->body);
    rpc_request(&r->body, r->id, q->method, q->params, q->params_len);
    if (r->body.overflow) {
        release(n, r);
        return err_set(err, ERR_TOO_LARGE, "a request of %zu bytes is over the ceiling of %d",
                       q->params_len, NODE_REQUEST_MAX);
    }
    return dispatch(n, now) ? http_kick(n->http, err) : 0;
}

int node_next(struct node *n, int timeout_ms, struct node_answer *ret, struct err *err)
{
    int64_t end = clock_ms() + (timeout_ms < 0 ? INT_MAX : timeout_ms);
    bool waited = false;
    n->stop_asked = false;
    for (;;) {
        int64_t now = clock_ms();
        expire_all(n, now);
        if (dispatch(n, now) && http_kick(n->http, err) < 0)
            return -1;
        struct request *r = first_done(n);
        if (r) {
            *ret = r->answer;
            r->answer.doc = NULL; /* now the caller's */
            r->answer.bytes = NULL;
            release(n, r);
            return 1;
        }
        if (n->in_use == 0 || n->stop_asked || (waited && now >= end))
            return 0;
        int64_t until = next_change(n, now);
        int wait = ms_until(until < end ? until : end);
        if (http_wait(n->http, wait, n->stop_fd, &n->stop_asked, err) < 0)
            return -1;
        take_replies(n);
        waited = true;
    }
}

void node_answer_free(struct node_answer *a)
{
    if (!a)
        return;
    json_free(a->doc);
    mem_free(a->bytes);
    a->doc = NULL;
    a->bytes = NULL;
    a->result = NULL;
}

size_t node_in_flight(const struct node *n)
{
    return n->in_use;
}

void node_abandon(struct node *n, void *user)
{
    for (size_t i = 0; i < NODE_IN_FLIGHT_MAX; i++)
        if (n->requests[i].answer.user == user)
            release(n, &n->requests[i]);
}

void node_abandon_all(struct node *n)
{
    for (size_t i = 0; i < NODE_IN_FLIGHT_MAX; i++)
        release(n, &n->requests[i]);
}

void node_stop_on(struct node *n, int fd)
{
    n->stop_fd = fd;
    n->stop_asked = false;
}

bool node_stop_asked(const struct node *n)
{
    return n->stop_asked;
}
