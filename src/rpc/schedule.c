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
enum { ATTEMPT_MS = 20 * 1000, OTHERS_MS = 20 };

static bool rpc_schedule_may_serve(const struct rpc_entry *r, const struct endpoint *e)
{
    return !r || !r->only || r->only == e;
}

static bool rpc_schedule_may_ask(const struct rpc_entry *r, const struct endpoint *e, int64_t now)
{
    if (r && r->owner >= OWNER_CHAIN_ID)
        return now >= e->circuit.not_before_ms;
    return endpoint_usable(e, now);
}

/* By rank: not the one that just failed r, not one that leaves logs out in every form, not one that
 * lags, in order of preference. */
struct endpoint *rpc_schedule_choose(struct rpc *n, const struct rpc_entry *r,
                                     const struct endpoint * not, int64_t now)
{
    struct endpoint *best = NULL;
    unsigned best_rank = UINT32_MAX;
    for (size_t i = 0; i < n->n_endpoints; i++) {
        struct endpoint *e = &n->endpoints[i];
        if (e == not || !rpc_schedule_may_serve(r, e) || !rpc_schedule_may_ask(r, e, now))
            continue;
        unsigned rank = (r && e == r->retry.avoid ? 4U : 0U) +
                        (e->log_forms == LOG_FORMS_NONE ? 2U : 0U) + (e->head.lag > 0 ? 1U : 0U);
        if (rank < best_rank) {
            best = e;
            best_rank = rank;
        }
    }
    return best;
}

/* When the first endpoint that may serve r is not paused any more; *ret is that endpoint, NULL when
 * all are on another chain. */
static int64_t rpc_schedule_pause_end(struct rpc *n, const struct rpc_entry *r,
                                      struct endpoint **ret)
{
    int64_t first = INT64_MAX;
    *ret = NULL;
    for (size_t i = 0; i < n->n_endpoints; i++) {
        struct endpoint *e = &n->endpoints[i];
        if (rpc_schedule_may_serve(r, e) && e->circuit.state != BREAKER_WRONG_CHAIN &&
            e->circuit.not_before_ms < first) {
            first = e->circuit.not_before_ms;
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
        rpc_schedule_pause_end(n, NULL, &e);
    return e ? e : &n->endpoints[0];
}

struct endpoint *rpc_other(struct rpc *n, const struct endpoint *e)
{
    return rpc_schedule_choose(n, NULL, e, clock_ms());
}

struct endpoint *rpc_other_than(struct rpc *n, uint32_t except)
{
    int64_t now = clock_ms();
    struct endpoint *best = NULL;
    for (size_t i = 0; i < n->n_endpoints; i++) {
        struct endpoint *e = &n->endpoints[i];
        if (except & UINT32_C(1) << i || !endpoint_usable(e, now) || e->log_forms == LOG_FORMS_NONE)
            continue;
        if (!best || (best->head.lag > 0 && e->head.lag == 0))
            best = e;
    }
    return best;
}

/* ---- sending --------------------------------------------------------------------------------- */

/* Questions about an endpoint's identity are not held back: without them nothing is asked. */
static bool rpc_schedule_is_free(const struct rpc_entry *r)
{
    return r->owner == OWNER_CHAIN_ID || r->owner == OWNER_GENESIS;
}

static int64_t rpc_schedule_units_wait(struct rpc *n, const struct rpc_entry *r,
                                       const struct endpoint *e, int64_t now)
{
    bool day;
    if (rpc_schedule_is_free(r))
        return 0;
    int64_t mine = bucket_wait(&e->load.pace.bucket, r->lane, now);
    int64_t all = budget_wait(&n->spending.budget, r->lane, now, wall_seconds(), &day);
    return mine > all ? mine : all;
}

static void rpc_schedule_send(struct rpc *n, struct rpc_entry *r, struct endpoint *e, int64_t now)
{
    struct err err;
    rpc_entry_stamp(n, r);
    struct http_post post = {
        .url = e->conf->url,
        .body = r->payload.body.data,
        .body_len = r->payload.body.len,
        .deadline_ms = r->deadline_ms < now + ATTEMPT_MS ? r->deadline_ms : now + ATTEMPT_MS,
        .reply_max = r->payload.reply_max,
        .user = r,
    };
    if (http_post(n->http, &post, &r->attempt.transfer, &err) < 0) {
        rpc_entry_fail(n, r, FAULT_DOWN, "system", err.text, now);
        return;
    }
    uint64_t units = price_of(e->conf, r->payload.method);
    for (size_t i = 0; i < r->payload.n_more; i++)
        units += price_of(e->conf, r->payload.more[i].method);
    r->state = ENTRY_SENT;
    r->attempt.at = e;
    r->attempt.sent_ms = now;
    r->attempt.n++;
    e->load.in_flight++;
    e->load.aside += rpc_entry_is_aside(r);
    if (e->circuit.silent_ms == 0)
        e->circuit.silent_ms = now;
    e->counters.requests += 1 + r->payload.n_more;
    e->counters.units += units;
    n->spending.units += units;
    counters_cost(endpoint_number(e), units);
    counters_asked(endpoint_number(e));
    pace_took(&e->load.pace, units, now);
    budget_take(&n->spending.budget, units, now, wall_seconds());
}

static bool rpc_schedule_is_parked(const struct rpc_entry *r)
{
    return r->owner == OWNER_CALLER && ((const struct rpc_caller *)r)->parked;
}

/* What is aside takes no place of a live request. */
static unsigned rpc_schedule_load(const struct rpc_entry *r, const struct endpoint *e)
{
    return r->lane == RPC_LIVE ? e->load.in_flight - e->load.aside : e->load.in_flight;
}

/* The first in line that may go now, and where to. */
static struct rpc_entry *rpc_schedule_next(struct rpc *n, int64_t now, struct endpoint **ret)
{
    struct rpc_entry *best = NULL;
    for (size_t i = 0; i < QUEUE_MAX; i++) {
        struct rpc_entry *r = n->queue[i];
        if (r->state != ENTRY_QUEUED || rpc_schedule_is_parked(r) || r->retry.not_before_ms > now)
            continue;
        if (best && (r->lane > best->lane || (r->lane == best->lane && r->id > best->id)))
            continue;
        struct endpoint *e = rpc_schedule_choose(n, r, NULL, now);
        if (!e || rpc_schedule_load(r, e) >= e->load.most)
            continue;
        int64_t wait = rpc_schedule_units_wait(n, r, e, now);
        if (wait > 0) {
            n->spending.wake_ms = n->spending.wake_ms && n->spending.wake_ms < now + wait
                                      ? n->spending.wake_ms
                                      : now + wait;
            continue;
        }
        best = r;
        *ret = e;
    }
    return best;
}

/* budget.per_second is for all processes of a daemon together: what the others send is on the page
 * of counters. Where there is none, as for a command, it is ours alone. */
static void rpc_schedule_count_others(struct rpc *n, int64_t now)
{
    struct counters_endpoint_view v;
    uint64_t all = 0;
    if (n->conf->budget.per_second == 0 || now - n->spending.others_ms < OTHERS_MS)
        return;
    n->spending.others_ms = now;
    for (size_t i = 0; i < n->n_endpoints; i++)
        if (counters_endpoint_get(i, &v))
            all += v.cost;
    budget_others(&n->spending.budget, all - n->spending.units, now);
}

bool rpc_schedule_dispatch(struct rpc *n, int64_t now)
{
    struct endpoint *e = NULL;
    struct rpc_entry *r;
    bool any = false;
    for (size_t i = 0; i < n->n_endpoints; i++)
        endpoint_tick(&n->endpoints[i], now);
    rpc_schedule_count_others(n, now);
    rpc_identity_submit(n, now);
    rpc_doubt_submit(n, now);
    rpc_hedge_submit(n, now);
    n->spending.wake_ms = 0;
    while ((r = rpc_schedule_next(n, now, &e)) != NULL) {
        rpc_schedule_send(n, r, e, now);
        any = true;
    }
    return any;
}

/* ---- what runs out of time in line ----------------------------------------------------------- */

/* Are all that may serve r surely on another chain? As long as that is not sure, r waits for them
 * to be asked again. */
static bool rpc_schedule_no_chain(struct rpc *n, struct rpc_entry *r, int64_t now)
{
    const struct endpoint *rejected = NULL;
    bool sure = true;
    if (r->owner > OWNER_HEDGE)
        return false;
    for (size_t i = 0; i < n->n_endpoints; i++) {
        if (!rpc_schedule_may_serve(r, &n->endpoints[i]))
            continue;
        if (n->endpoints[i].circuit.state != BREAKER_WRONG_CHAIN)
            return false;
        rejected = rejected ? rejected : &n->endpoints[i];
        sure &= rpc_identity_is_sure(&n->endpoints[i], now);
    }
    if (!rejected || !sure)
        return false;
    rpc_entry_fail(n, r, FAULT_INVALID, "chain", rejected->circuit.text, now);
    return true;
}

/* The day's units are spent: waiting for tomorrow would only let it time out. */
static bool rpc_schedule_day_spent(struct rpc *n, struct rpc_entry *r, int64_t now)
{
    bool day;
    char text[160];
    int64_t wait = budget_wait(&n->spending.budget, r->lane, now, wall_seconds(), &day);
    if (!day || now + wait < r->deadline_ms || rpc_schedule_is_free(r))
        return false;
    snprintf(text, sizeof text,
             "budget.per_day, %" PRIu64 " units, is spent as far as this may spend it",
             n->spending.budget.per_day);
    rpc_entry_fail(n, r, FAULT_BILLING, "budget", text, now);
    r->answer.fault.retry_after_ms = wait;
    return true;
}

/* Is a request still held back by what failed before it? The pause may be over and the look at the
 * endpoint on its way. */
static bool rpc_schedule_is_held_back(const struct endpoint *e, int64_t pause_end, int64_t now)
{
    return e && (pause_end > now || e->circuit.state == BREAKER_OPEN ||
                 e->circuit.state == BREAKER_HALF_OPEN);
}

/* A queued request whose time is up, or that will not be served within it because every endpoint
 * was told to wait longer, is answered with the last fault, or with the endpoint's reason to pause.
 */
static void rpc_schedule_expire_one(struct rpc *n, struct rpc_entry *r, int64_t now)
{
    struct endpoint *e;
    if (rpc_schedule_no_chain(n, r, now) || rpc_schedule_day_spent(n, r, now))
        return;
    int64_t end = rpc_schedule_pause_end(n, r, &e);
    enum fault_endpoint means = e ? fault_policy(e->circuit.fault)->endpoint : FAULT_ENDPOINT_KEEPS;
    bool told = end > now && (means == FAULT_ENDPOINT_THROTTLE || means == FAULT_ENDPOINT_SUSPEND);
    if (now < r->deadline_ms && !(told && end >= r->deadline_ms))
        return;
    if (told && r->attempt.n > 0)
        r->answer.fault.retry_after_ms = end - now;
    if (r->attempt.n > 0) {
        rpc_entry_finish(n, r, now);
    } else if (rpc_schedule_is_held_back(e, end, now)) {
        rpc_entry_fail(n, r, e->circuit.fault, "paused", e->circuit.text, now);
        r->answer.endpoint = told ? e : NULL;
        r->answer.fault.retry_after_ms = told ? end - now : -1;
    } else {
        /* No e: all seem to be on another chain. */
        const struct endpoint *seems = r->only ? r->only : &n->endpoints[0];
        rpc_entry_fail(n, r, e ? FAULT_TIME : FAULT_DOWN, "deadline",
                       e ? "the deadline passed while waiting in line" : seems->circuit.text, now);
    }
}

void rpc_schedule_expire(struct rpc *n, int64_t now)
{
    for (size_t i = 0; i < QUEUE_MAX; i++)
        if (n->queue[i]->state == ENTRY_QUEUED)
            rpc_schedule_expire_one(n, n->queue[i], now);
}

static void rpc_schedule_sooner(int64_t *first, int64_t at, int64_t now)
{
    if (at > now && at < *first)
        *first = at;
}

/* A time too many only costs a look. */
int64_t rpc_schedule_next_change(const struct rpc *n, int64_t now)
{
    int64_t first = INT64_MAX;
    for (size_t i = 0; i < QUEUE_MAX; i++) {
        const struct rpc_entry *r = n->queue[i];
        if (r->state == ENTRY_QUEUED) {
            rpc_schedule_sooner(&first, r->retry.not_before_ms, now);
            rpc_schedule_sooner(&first, r->deadline_ms, now);
        } else if (r->state == ENTRY_SENT) {
            rpc_schedule_sooner(&first, rpc_hedge_at(n, r), now);
        }
    }
    for (size_t i = 0; i < n->n_endpoints; i++) {
        rpc_schedule_sooner(&first, n->endpoints[i].circuit.not_before_ms, now);
        if (!n->endpoints[i].identity.confirmed)
            rpc_schedule_sooner(&first, n->endpoints[i].identity.ask_at_ms, now);
    }
    rpc_schedule_sooner(&first, n->spending.wake_ms, now);
    return first;
}
