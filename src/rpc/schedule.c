/*
 * What goes where, and when: the choice of the endpoint, the line in front of it, what runs out of
 * time there.
 *
 * Live goes before catch-up before sweep, then in order of submission. The order of preference
 * among endpoints is about price and trust, so one that is merely full, or waits for units, is
 * still the choice: a burst does not spill over to the next.
 */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "eth/fault_policy.h"
#include "proc/counters.h"
#include "rpc/price.h"
#include "rpc/rpc_internal.h"

#include <inttypes.h>
#include <stdio.h>

/* One attempt: above the slowest node's own limit on a call (besu's 30 s is the one exception), and
 * short enough that a black hole leaves time for a second try. */
enum { ATTEMPT_MS = 20 * 1000, ELSEWHERE_MS = 20 };

static bool may_serve(const struct request *r, const struct endpoint *e)
{
    return !r || !r->only || r->only == e;
}

static bool can_ask(const struct request *r, const struct endpoint *e, int64_t now)
{
    if (r && r->check != CHECK_NONE && r->check != CHECK_CONFIRM)
        return now >= e->not_before_ms;
    return endpoint_usable(e, now);
}

/* By rank: not the one that just failed r, not one that lags, in order of preference. */
struct endpoint *rpc_schedule_choose(struct rpc *n, const struct request *r,
                                     const struct endpoint * not, int64_t now)
{
    struct endpoint *best = NULL;
    unsigned best_rank = UINT32_MAX;
    for (size_t i = 0; i < n->n_endpoints; i++) {
        struct endpoint *e = &n->endpoints[i];
        if (e == not || !may_serve(r, e) || !can_ask(r, e, now))
            continue;
        unsigned rank = (r && e == r->avoid ? 2U : 0U) + (e->lag > 0 ? 1U : 0U);
        if (rank < best_rank) {
            best = e;
            best_rank = rank;
        }
    }
    return best;
}

/* When the first endpoint that may serve r is not paused any more; *ret is that endpoint, NULL when
 * all are aside. */
static int64_t pause_end(struct rpc *n, const struct request *r, struct endpoint **ret)
{
    int64_t first = INT64_MAX;
    *ret = NULL;
    for (size_t i = 0; i < n->n_endpoints; i++) {
        struct endpoint *e = &n->endpoints[i];
        if (may_serve(r, e) && e->breaker != BREAKER_ASIDE && e->not_before_ms < first) {
            first = e->not_before_ms;
            *ret = e;
        }
    }
    return first;
}

struct endpoint *rpc_best(struct rpc *n)
{
    int64_t now = clock_ms();
    for (size_t i = 0; i < n->n_endpoints; i++)
        endpoint_tick(&n->endpoints[i], now);
    struct endpoint *e = rpc_schedule_choose(n, NULL, NULL, now);
    if (!e)
        pause_end(n, NULL, &e);
    return e ? e : &n->endpoints[0];
}

struct endpoint *rpc_other(struct rpc *n, const struct endpoint *e)
{
    return rpc_schedule_choose(n, NULL, e, clock_ms());
}

/* ---- sending --------------------------------------------------------------------------------- */

/* The node's own questions about who is there are not held back: without them nothing is asked. */
static int64_t units_wait(struct rpc *n, const struct request *r, const struct endpoint *e,
                          int64_t now)
{
    bool day;
    if (r->check == CHECK_CHAIN || r->check == CHECK_GENESIS)
        return 0;
    int64_t mine = bucket_wait(&e->pace.bucket, r->lane, now);
    int64_t all = budget_wait(&n->budget, r->lane, now, wall_seconds(), &day);
    return mine > all ? mine : all;
}

static void send_to(struct rpc *n, struct request *r, struct endpoint *e, int64_t now)
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
        request_fault(n, r, FAULT_DOWN, "system", err.text, now);
        return;
    }
    uint64_t units = price_of(e->conf, r->method_name);
    r->state = REQUEST_SENT;
    r->at = e;
    r->sent_ms = now;
    r->tries++;
    e->in_flight++;
    if (e->silent_ms == 0)
        e->silent_ms = now;
    e->counters.requests++;
    e->counters.units += units;
    n->units += units;
    counters_cost(endpoint_number(e), units);
    pace_took(&e->pace, units, now);
    budget_take(&n->budget, units, now, wall_seconds());
}

/* The first in line that may go now, and where to. */
static struct request *next_to_send(struct rpc *n, int64_t now, struct endpoint **ret)
{
    struct request *best = NULL;
    for (size_t i = 0; i < SLOTS; i++) {
        struct request *r = &n->requests[i];
        if (r->state != REQUEST_QUEUED || r->parked || r->not_before_ms > now)
            continue;
        if (best && (r->lane > best->lane || (r->lane == best->lane && r->id > best->id)))
            continue;
        struct endpoint *e = rpc_schedule_choose(n, r, NULL, now);
        if (!e || !endpoint_has_place(e))
            continue;
        int64_t wait = units_wait(n, r, e, now);
        if (wait > 0) {
            n->wake_ms = n->wake_ms && n->wake_ms < now + wait ? n->wake_ms : now + wait;
            continue;
        }
        best = r;
        *ret = e;
    }
    return best;
}

/* budget.per_second is for all processes of a daemon together: what the others send is on the page
 * of counters. Where there is none, as for a command, it is ours alone. */
static void look_elsewhere(struct rpc *n, int64_t now)
{
    struct counters_endpoint_view v;
    uint64_t all = 0;
    if (n->conf->budget.per_second == 0 || now - n->elsewhere_ms < ELSEWHERE_MS)
        return;
    n->elsewhere_ms = now;
    for (size_t i = 0; i < n->n_endpoints; i++)
        if (counters_endpoint_get(i, &v))
            all += v.cost;
    budget_elsewhere(&n->budget, all - n->units, now);
}

bool rpc_schedule_dispatch(struct rpc *n, int64_t now)
{
    struct endpoint *e = NULL;
    struct request *r;
    bool any = false;
    for (size_t i = 0; i < n->n_endpoints; i++)
        endpoint_tick(&n->endpoints[i], now);
    look_elsewhere(n, now);
    rpc_identity_submit(n, now);
    rpc_hedge_submit(n, now);
    n->wake_ms = 0;
    while ((r = next_to_send(n, now, &e)) != NULL) {
        send_to(n, r, e, now);
        any = true;
    }
    return any;
}

/* ---- what runs out of time in line ----------------------------------------------------------- */

/* Nobody on our chain is left to ask. */
static bool all_aside(struct rpc *n, struct request *r, int64_t now)
{
    const struct endpoint *aside = NULL;
    if (r->check != CHECK_NONE)
        return false;
    for (size_t i = 0; i < n->n_endpoints; i++) {
        if (!may_serve(r, &n->endpoints[i]))
            continue;
        if (n->endpoints[i].breaker != BREAKER_ASIDE)
            return false;
        aside = aside ? aside : &n->endpoints[i];
    }
    if (aside)
        request_fault(n, r, FAULT_INVALID, "chain", aside->pause_text, now);
    return aside != NULL;
}

/* The day's units are spent: waiting for tomorrow would only let it time out. */
static bool day_spent(struct rpc *n, struct request *r, int64_t now)
{
    bool day;
    char text[160];
    int64_t wait = budget_wait(&n->budget, r->lane, now, wall_seconds(), &day);
    if (!day || now + wait < r->deadline_ms || r->check == CHECK_CHAIN || r->check == CHECK_GENESIS)
        return false;
    snprintf(text, sizeof text,
             "budget.per_day, %" PRIu64 " units, is spent as far as this may spend it",
             n->budget.per_day);
    request_fault(n, r, FAULT_BILLING, "budget", text, now);
    r->answer.fault.retry_after_ms = wait;
    return true;
}

/* A queued request whose time is up, or that will not be served within it because every endpoint
 * was told to wait longer, is answered with the last fault, or with the endpoint's reason to pause.
 */
static void expire(struct rpc *n, struct request *r, int64_t now)
{
    struct endpoint *e;
    if (all_aside(n, r, now) || day_spent(n, r, now))
        return;
    int64_t end = pause_end(n, r, &e);
    enum fault_endpoint means = e ? fault_policy(e->pause)->endpoint : FAULT_ENDPOINT_KEEPS;
    bool told = means == FAULT_ENDPOINT_THROTTLE || means == FAULT_ENDPOINT_SUSPEND;
    if (now < r->deadline_ms && !(told && end > now && end >= r->deadline_ms))
        return;
    if (told && end > now && r->tries > 0)
        r->answer.fault.retry_after_ms = end - now;
    if (r->tries > 0) {
        request_finish(n, r, now);
    } else if (end > now && e) {
        request_fault(n, r, e->pause, "paused", e->pause_text, now);
        r->answer.endpoint = told ? e : NULL;
        r->answer.fault.retry_after_ms = told ? end - now : -1;
    } else {
        request_fault(n, r, e ? FAULT_TIME : FAULT_DOWN, "deadline",
                      e ? "the deadline passed while waiting in line" : "no endpoint may be asked",
                      now);
    }
}

void rpc_schedule_expire(struct rpc *n, int64_t now)
{
    for (size_t i = 0; i < SLOTS; i++)
        if (n->requests[i].state == REQUEST_QUEUED)
            expire(n, &n->requests[i], now);
}

static void sooner(int64_t *first, int64_t at, int64_t now)
{
    if (at > now && at < *first)
        *first = at;
}

/* A time too many only costs a look. */
int64_t rpc_schedule_next_change(const struct rpc *n, int64_t now)
{
    int64_t first = INT64_MAX;
    for (size_t i = 0; i < SLOTS; i++) {
        const struct request *r = &n->requests[i];
        if (r->state == REQUEST_QUEUED) {
            sooner(&first, r->not_before_ms, now);
            sooner(&first, r->deadline_ms, now);
        } else if (r->state == REQUEST_SENT) {
            sooner(&first, rpc_hedge_at(n, r), now);
        }
    }
    for (size_t i = 0; i < n->n_endpoints; i++) {
        sooner(&first, n->endpoints[i].not_before_ms, now);
        if (!n->endpoints[i].sure)
            sooner(&first, n->endpoints[i].check_at_ms, now);
    }
    sooner(&first, n->wake_ms, now);
    return first;
}
