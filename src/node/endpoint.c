/*
 * One endpoint: who it is, how it is doing, what it can do.
 *
 * Health is a pause with a reason. An endpoint that says "slow down" pauses for as long as it says
 * and takes fewer requests at a time afterwards; one that does not answer, three times in a row,
 * pauses for seconds; one whose paid capacity is gone pauses for minutes. A pause delays requests,
 * it does not fail them, unless it outlasts their deadline.
 */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/url.h"
#include "node/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    FAILURES_TO_PAUSE = 3,
    DOWN_FLOOR_MS = 500,
    DOWN_CEILING_MS = 5000, /* a node that restarts is found again within this */
    RATE_FLOOR_MS = 250,
    RATE_CEILING_MS = 15 * 1000,
    BILLING_MS = 5 * 60 * 1000,
    GOOD_TO_GROW = 16,
    SCRUB_MAX = 4096,
};

void endpoint_init(struct endpoint *e, const struct conf_endpoint *conf, uint64_t seed)
{
    *e = (struct endpoint){.conf = conf, .in_flight_max = ENDPOINT_IN_FLIGHT};
    backoff_init(&e->down_wait, DOWN_FLOOR_MS, DOWN_CEILING_MS, seed);
    backoff_init(&e->rate_wait, RATE_FLOOR_MS, RATE_CEILING_MS, seed + 1);
}

bool endpoint_healthy(const struct endpoint *e, int64_t now)
{
    return now >= e->not_before_ms;
}

bool endpoint_has_place(const struct endpoint *e)
{
    return e->in_flight < e->in_flight_max;
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

static void pause_for(struct endpoint *e, enum fault why, const char *text, int64_t ms, int64_t now)
{
    if (e->not_before_ms < now + ms) {
        e->not_before_ms = now + ms;
        e->pause = why;
        snprintf(e->pause_text, sizeof e->pause_text, "%s", text);
    }
    e->judged_ms = now;
}

static void slow_down(struct endpoint *e, const struct fault_info *fault, const char *text,
                      bool news, int64_t now)
{
    int64_t ms = fault->retry_after_ms;
    if (ms < 0 && !news)
        return;
    if (ms < 0)
        ms = backoff_next(&e->rate_wait);
    if (news) {
        e->in_flight_max = e->in_flight_max > 1 ? e->in_flight_max / 2 : 1;
        e->good = 0;
    }
    pause_for(e, FAULT_RATE, text, ms < RETRY_AFTER_MAX_MS ? ms : RETRY_AFTER_MAX_MS, now);
}

static void failed(struct endpoint *e, const char *text, bool news, int64_t now)
{
    if (!news)
        return;
    e->failures++;
    if (e->failures >= FAILURES_TO_PAUSE)
        pause_for(e, FAULT_DOWN, text, backoff_next(&e->down_wait), now);
}

static void good(struct endpoint *e)
{
    backoff_reset(&e->rate_wait);
    if (e->in_flight_max < ENDPOINT_IN_FLIGHT && ++e->good >= GOOD_TO_GROW) {
        e->in_flight_max++;
        e->good = 0;
    }
}

void endpoint_judge(struct endpoint *e, const struct fault_info *fault, bool reached,
                    const char *text, int64_t sent_ms, int64_t now)
{
    /* Ten requests in flight that fail together are one piece of news, not ten. */
    bool news = sent_ms >= e->judged_ms;
    if (fault->fault != FAULT_NONE) {
        e->counters.faults++;
        e->counters.by_fault[fault->fault]++;
    }
    if (!reached || fault->fault == FAULT_DOWN || fault->fault == FAULT_GARBLED) {
        failed(e, text, news, now);
        return;
    }
    e->failures = 0;
    backoff_reset(&e->down_wait);
    if (fault->fault == FAULT_RATE)
        slow_down(e, fault, text, news, now);
    else if (fault->fault == FAULT_BILLING)
        pause_for(e, FAULT_BILLING, text, BILLING_MS, now);
    else if (fault->fault == FAULT_NONE)
        good(e);
}

void endpoint_blame(struct endpoint *e, const char *why)
{
    char text[sizeof e->pause_text];
    e->counters.blamed++;
    endpoint_scrub(e, why, text, sizeof text);
    failed(e, text, true, clock_ms());
}

const char *endpoint_name(const struct endpoint *e)
{
    return e->conf->name;
}

enum conf_reader endpoint_reader_setting(const struct endpoint *e)
{
    return e->conf->reader;
}

uint64_t endpoint_chain_id(const struct endpoint *e)
{
    return e->chain_id;
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
