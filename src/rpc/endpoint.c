/*
 * One endpoint: who it is, how it is doing, what it can do.
 *
 * Its state is health.h's. A pause delays requests, it does not fail them, unless it outlasts their
 * deadline. An endpoint that says "slow down" pauses for as long as it says, and is sent less at a
 * time and a second afterwards; one that does not answer, three times in a row, pauses for seconds;
 * one that answered from a wrong block, while there is another to ask, for longer each time; one
 * whose paid capacity is gone for minutes.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "base/url.h"
#include "eth/fault_policy.h"
#include "proc/counters.h"
#include "rpc/rpc_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    FAILURES_TO_PAUSE = 3,
    DOWN_FLOOR_MS = 500,
    DOWN_CEILING_MS = 5000, /* a node that restarts is found again within this */
    RATE_FLOOR_MS = 250,
    RATE_CEILING_MS = 15 * 1000,
    WRONG_FLOOR_MS = 5 * 1000,
    WRONG_CEILING_MS = 5 * 60 * 1000,
    WRONG_FORGET_MS = 10 * 60 * 1000,
    BILLING_MS = 5 * 60 * 1000,
    IDENTITY_FLOOR_MS = 250,
    IDENTITY_CEILING_MS = 5 * 1000,
    RETRY_AFTER_MAX_MS = 5 * 60 * 1000,
    GOOD_TO_GROW = 16,
    SCRUB_MAX = 4096,
    MISPLACED_TO_PAUSE = 6,
    MISPLACED_LOG_MS = 10 * 60 * 1000,
    SILENT_MS = 1000, /* beaten while it said nothing at all for so long: it does not answer */
};

void endpoint_init(struct endpoint *e, struct rpc *n, const struct conf_endpoint *conf,
                   uint64_t seed)
{
    *e = (struct endpoint){.rpc = n, .conf = conf, .load.most = ENDPOINT_IN_FLIGHT};
    backoff_init(&e->circuit.down_wait, DOWN_FLOOR_MS, DOWN_CEILING_MS, seed);
    backoff_init(&e->circuit.rate_wait, RATE_FLOOR_MS, RATE_CEILING_MS, seed + 1);
    backoff_init(&e->circuit.wrong_wait, WRONG_FLOOR_MS, WRONG_CEILING_MS, seed + 2);
    backoff_init(&e->identity.wait, IDENTITY_FLOOR_MS, IDENTITY_CEILING_MS, seed + 3);
}

size_t endpoint_number(const struct endpoint *e)
{
    return (size_t)(e - e->rpc->endpoints);
}

bool endpoint_usable(const struct endpoint *e, int64_t now)
{
    if (now < e->circuit.not_before_ms || (e->rpc->chain.identified && !e->identity.confirmed))
        return false;
    /* One that was away shows with one question that it is back. */
    return e->circuit.state == BREAKER_CLOSED ||
           (e->circuit.state == BREAKER_HALF_OPEN && e->load.in_flight == 0);
}

bool endpoint_may_be_asked(const struct endpoint *e)
{
    return endpoint_usable(e, clock_ms());
}

void endpoint_scrub(const struct endpoint *e, const char *text, char *out, size_t room)
{
    char half[SCRUB_MAX];
    url_scrub(half, sizeof half, text, e->conf->url);
    url_scrub(out, room, half, e->conf->ws ? e->conf->ws : e->conf->url);
    /* Words of strangers, on one line. */
    for (char *c = out; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
}

static void endpoint_count_pause(const struct endpoint *e, enum health_event event)
{
    static const enum counters_pause why[HEALTH_EVENTS] = {[HEALTH_FAILED] = PAUSE_SILENT,
                                                           [HEALTH_THROTTLED] = PAUSE_TOLD,
                                                           [HEALTH_WRONG_BLOCK] = PAUSE_WRONG,
                                                           [HEALTH_WRONG_CHAIN] = PAUSE_FOREIGN};
    if (e->circuit.state == BREAKER_THROTTLED || e->circuit.state == BREAKER_OPEN ||
        e->circuit.state == BREAKER_WRONG_CHAIN)
        counters_endpoint_pause(endpoint_number(e), why[event]);
}

/* The one door to another state. What an operator should know of is noticed; that an endpoint said
 * "slow down" is everyday. */
void endpoint_event(struct endpoint *e, enum health_event event, const char *why)
{
    enum breaker before = e->circuit.state;
    e->circuit.state = breaker_next(before, event);
    if (e->circuit.state == before)
        return;
    endpoint_count_pause(e, event);
    if (e->circuit.state == BREAKER_WRONG_CHAIN)
        rpc_notify(e->rpc, e, "endpoint not used: it is on another chain", why);
    else if (e->circuit.state == BREAKER_OPEN && before != BREAKER_HALF_OPEN)
        rpc_notify(e->rpc, e, "endpoint circuit opened", why);
    else if (e->circuit.state == BREAKER_CLOSED && before != BREAKER_THROTTLED)
        rpc_notify(e->rpc, e, "endpoint is used again",
                   before == BREAKER_WRONG_CHAIN ? "is on our chain again" : "answers again");
    /* What comes back may be another node. */
    if (e->circuit.state == BREAKER_OPEN || e->circuit.state == BREAKER_WRONG_CHAIN)
        e->identity.confirmed = false;
}

void endpoint_tick(struct endpoint *e, int64_t now)
{
    if (now >= e->circuit.not_before_ms &&
        (e->circuit.state == BREAKER_THROTTLED || e->circuit.state == BREAKER_OPEN))
        endpoint_event(e, HEALTH_WAITED, "");
}

static void endpoint_pause(struct endpoint *e, enum fault why, const char *text, int64_t ms,
                           int64_t now)
{
    if (e->circuit.not_before_ms < now + ms) {
        e->circuit.not_before_ms = now + ms;
        e->circuit.fault = why;
        snprintf(e->circuit.text, sizeof e->circuit.text, "%.255s", text);
    }
    e->circuit.judged_ms = now;
}

static void endpoint_throttle(struct endpoint *e, const struct fault_info *fault, const char *text,
                              bool news, int64_t now)
{
    int64_t ms = fault->retry_after_ms;
    if (ms < 0 && !news)
        return;
    if (ms < 0)
        ms = backoff_next(&e->circuit.rate_wait);
    if (news) {
        e->load.most = e->load.most > 1 ? e->load.most / 2 : 1;
        e->load.good = 0;
        pace_refused(&e->load.pace, fault->per_second, now);
    }
    endpoint_pause(e, fault->fault, text, ms < RETRY_AFTER_MAX_MS ? ms : RETRY_AFTER_MAX_MS, now);
    endpoint_event(e, HEALTH_THROTTLED, text);
}

static void endpoint_on_failure(struct endpoint *e, const char *text, bool news, int64_t now)
{
    if (!news)
        return;
    e->circuit.failures++;
    if (e->circuit.failures < FAILURES_TO_PAUSE && e->circuit.state != BREAKER_HALF_OPEN)
        return;
    endpoint_pause(e, FAULT_DOWN, text, backoff_next(&e->circuit.down_wait), now);
    endpoint_event(e, HEALTH_FAILED, text);
}

static void endpoint_on_success(struct endpoint *e, int64_t now)
{
    backoff_reset(&e->circuit.rate_wait);
    pace_on_success(&e->load.pace, now);
    if (e->load.most < ENDPOINT_IN_FLIGHT && ++e->load.good >= GOOD_TO_GROW) {
        e->load.most++;
        e->load.good = 0;
    }
    /* Where the chain is known, being the right node is what ends an absence: identity.c. */
    if (!e->rpc->chain.identified)
        endpoint_event(e, HEALTH_GOOD, "");
}

void endpoint_on_result(struct endpoint *e, const struct rpc_answer *a, bool reached,
                        int64_t sent_ms, int64_t now)
{
    const struct fault_info *fault = &a->fault;
    const char *text = a->text;
    /* Ten requests in flight that fail together are one piece of news, not ten. */
    bool news = sent_ms >= e->circuit.judged_ms;
    if (fault->fault != FAULT_NONE) {
        e->counters.faults++;
        e->counters.by_fault[fault->fault]++;
    }
    enum fault_endpoint means =
        reached ? fault_policy(fault->fault)->endpoint : FAULT_ENDPOINT_FAILS;
    if (means == FAULT_ENDPOINT_FAILS) {
        if (!reached && news && e->circuit.failures == 0 && e->circuit.state == BREAKER_CLOSED)
            rpc_notify(e->rpc, e, "endpoint does not answer, it is asked again", text);
        endpoint_on_failure(e, text, news, now);
        return;
    }
    e->circuit.failures = 0;
    e->circuit.silent_ms = 0;
    backoff_reset(&e->circuit.down_wait);
    if (means == FAULT_ENDPOINT_THROTTLE) {
        endpoint_throttle(e, fault, text, news, now);
    } else if (means == FAULT_ENDPOINT_SUSPEND) {
        endpoint_pause(e, fault->fault, text, BILLING_MS, now);
        endpoint_event(e, HEALTH_THROTTLED, text);
    } else if (fault->fault == FAULT_NONE) {
        endpoint_on_success(e, now);
    }
}

/* One that answers others meanwhile is only slow. One that says nothing to anybody would cost every
 * live request the patience before its hedge. */
void endpoint_hedge_won(struct endpoint *e, int64_t sent_ms, int64_t now)
{
    e->counters.beaten++;
    if (e->circuit.silent_ms > 0 && now - e->circuit.silent_ms >= SILENT_MS)
        endpoint_on_failure(e, "does not answer in time", sent_ms >= e->circuit.judged_ms, now);
}

/* The only endpoint is not paused for it: there is no other to ask. */
void endpoint_report_wrong_block(struct endpoint *e, const char *why)
{
    char text[sizeof e->circuit.text];
    int64_t now = clock_ms();
    e->counters.blamed++;
    endpoint_scrub(e, why, text, sizeof text);
    if (!rpc_other(e->rpc, e)) {
        endpoint_on_failure(e, text, true, now);
        return;
    }
    if (now - e->circuit.wrong_ms > WRONG_FORGET_MS)
        backoff_reset(&e->circuit.wrong_wait);
    e->circuit.wrong_ms = now;
    endpoint_pause(e, FAULT_DOWN, text, WRONG_FLOOR_MS / 2 + backoff_next(&e->circuit.wrong_wait),
                   now);
    endpoint_event(e, HEALTH_WRONG_BLOCK, text);
    counters_endpoint_paused(endpoint_number(e), wall_ms() + e->circuit.not_before_ms - now, text);
}

void endpoint_report_placed(struct endpoint *e)
{
    e->circuit.misplaced = 0;
}

void endpoint_report_misplaced(struct endpoint *e)
{
    static const char text[] = "gave the answers of other requests";
    int64_t now = clock_ms();
    e->counters.misplaced++;
    counters_misplaced(endpoint_number(e));
    if (e->circuit.misplaced_log_ms == 0 || now - e->circuit.misplaced_log_ms > MISPLACED_LOG_MS) {
        e->circuit.misplaced_log_ms = now;
        rpc_notify(e->rpc, e, "answer of another request discarded", text);
    }
    if (++e->circuit.misplaced < MISPLACED_TO_PAUSE)
        return;
    e->circuit.misplaced = 0;
    struct backoff *wait = rpc_other(e->rpc, e) ? &e->circuit.wrong_wait : &e->circuit.down_wait;
    endpoint_pause(e, FAULT_DOWN, text, backoff_next(wait), now);
    endpoint_event(e, HEALTH_WRONG_BLOCK, text);
    counters_endpoint_paused(endpoint_number(e), wall_ms() + e->circuit.not_before_ms - now, text);
}

const char *endpoint_name(const struct endpoint *e)
{
    return e->conf->name;
}

enum conf_reader endpoint_reader_setting(const struct endpoint *e)
{
    return e->conf->reader;
}

enum capability endpoint_pins_hash(const struct endpoint *e)
{
    return e->pins_hash;
}

const struct endpoint_counters *endpoint_counters(const struct endpoint *e)
{
    return &e->counters;
}

void endpoint_block_param(const struct endpoint *e, const struct anchor *at, struct buf *out)
{
    char hash[HASH_TEXT];
    if (e->pins_hash != CAP_YES) {
        buf_addf(out, "\"0x%" PRIx64 "\"", at->number);
        return;
    }
    hash_text(&at->hash, hash);
    buf_addf(out, "{\"blockHash\":\"%s\"}", hash);
}
