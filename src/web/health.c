#include "web/health.h"
#include "base/clock.h"
#include "base/mem.h"
#include "web/status_logs.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    ANSWER_MS = 5000,  /* beyond two polls: as long as a good node may take */
    STORE_MS = 5000,   /* the store is looked at twice a second */
    STALL_MS = 60000,  /* a turn of follow may sync for long, but not without an end */
    BEHIND_BLOCKS = 3, /* between two turns a block or two may have come */
    LEGS_BLOCKS = 64,  /* further behind, final blocks are caught up with in legs */
    HELD_MS = 8000,    /* of a failing second look */
    ASIDE_MS = 60000,  /* one that is left alone is asked for its head within this time */
};

const char *colour_name(enum colour c)
{
    static const char *const names[] = {"green", "amber", "red"};
    return names[c];
}

void reasons_add(struct reasons *r, enum colour colour, const char *fmt, ...)
{
    va_list ap;
    if (r->n == REASONS)
        return;
    va_start(ap, fmt);
    vsnprintf(r->list[r->n].text, REASON_TEXT, fmt, ap);
    va_end(ap);
    r->list[r->n++].colour = colour;
}

/* ---- gathering ------------------------------------------------------------------------------- */

/* Any worker's good answer counts: follow may be busy for long with what it was told. */
static void judge_connection(struct health *h)
{
    struct counters_endpoint_view e;
    uint64_t answered = 0;
    int64_t patience = (int64_t)counters_get(PART_FOLLOW, CELL_POLL_MS) * 2 + ANSWER_MS;
    const char *why = "no endpoint has answered yet";
    char words[REASON_TEXT] = "", since[CLOCK_TEXT];
    for (size_t i = 0; i < COUNTERS_ENDPOINTS; i++) {
        if (!counters_endpoint_get(i, &e))
            continue;
        if (e.answered_at > answered)
            answered = e.answered_at;
        if (!words[0] && e.paused_why[0])
            snprintf(words, sizeof words, "%.100s: %.140s", e.name, e.paused_why);
    }
    h->connected = answered > 0 && h->now_ms - (int64_t)answered <= patience;
    if (h->connected)
        return;
    if (answered > 0) {
        duration_text(since, h->now_ms - (int64_t)answered);
        snprintf(h->disconnected, sizeof h->disconnected,
                 "no endpoint has answered for %.20s%s%.180s", since, words[0] ? "; " : "", words);
    } else {
        snprintf(h->disconnected, sizeof h->disconnected, "%s%s%.200s", why, words[0] ? "; " : "",
                 words);
    }
}

void health_take(struct health *h, struct facts_store *k, bool has_daemon)
{
    *h = (struct health){.has_daemon = has_daemon, .now_ms = wall_ms()};
    facts_copy(k, &h->facts);
    h->max_age_ms = k->conf->sweep.max_age_ms;
    h->configured = !has_daemon || counters_get(PART_SUPERVISOR, CELL_ENDPOINTS) > 0;
    h->head = counters_get(PART_FOLLOW, CELL_HEAD);
    h->head_time = counters_get(PART_FOLLOW, CELL_HEAD_TIME);
    h->synced = counters_get(PART_FOLLOW, CELL_SYNCED);
    h->finalized = counters_get(PART_FOLLOW, CELL_FINALIZED);
    if (h->head == 0 && h->facts.has_positions) {
        h->head = h->facts.head;
        h->finalized = h->facts.finalized;
    }
    for (size_t i = 0; !has_daemon && i < h->facts.n_balances; i++)
        if (h->synced == 0 || h->facts.balances[i].synced < h->synced)
            h->synced = h->facts.balances[i].synced;
    if (has_daemon)
        judge_connection(h);
}

/* A pause that is over says nothing yet: a good answer takes it back. */
bool endpoint_is_up(const struct counters_endpoint_view *e, const struct health *h)
{
    return e->answered_at > 0 && e->paused_until == 0 && h->connected;
}

const char *endpoint_words(const struct counters_endpoint_view *e, const struct health *h)
{
    bool lately = e->answered_at > 0 && h->now_ms - (int64_t)e->answered_at < ASIDE_MS;
    if (endpoint_is_up(e, h))
        return "answers";
    return lately && h->connected ? "set aside" : "does not answer";
}

/* ---- judging --------------------------------------------------------------------------------- */

bool health_store_up(const struct health *h)
{
    return h->facts.store_ok && clock_ms() - h->facts.store_at_ms <= STORE_MS;
}

void health_store(const struct health *h, struct reasons *r)
{
    const struct facts *k = &h->facts;
    int64_t silent = clock_ms() - k->store_at_ms;
    char since[CLOCK_TEXT];
    duration_text(since, silent);
    if (!k->store_ok)
        reasons_add(r, RED, "the database does not answer: %.200s", k->store_error);
    else if (silent > STORE_MS)
        reasons_add(r, RED, "the database has not answered for %s", since);
}

/* One failure is tried again within seconds. */
static void judge_checkpoint(const struct health *h, struct reasons *r)
{
    char why[COUNTERS_TEXT], since[CLOCK_TEXT];
    int64_t at = (int64_t)counters_checkpoint_held_since(why);
    if (at == 0 || h->now_ms - at < HELD_MS)
        return;
    duration_text(since, h->now_ms - at);
    reasons_add(r, AMBER, "the checkpoint is held for %.20s, the second look fails: %.200s", since,
                why);
}

void health_following(const struct health *h, struct reasons *r)
{
    char since[CLOCK_TEXT];
    if (!h->configured) {
        reasons_add(r, RED, "no endpoint is configured: nothing is followed");
        return;
    }
    if (!h->connected)
        reasons_add(r, RED, "%s", h->disconnected);
    int64_t polled = (int64_t)counters_get(PART_FOLLOW, CELL_POLLED_AT);
    int64_t patience = (int64_t)counters_get(PART_FOLLOW, CELL_POLL_MS) * 2 + STALL_MS;
    duration_text(since, h->now_ms - polled);
    if (h->connected && polled > 0 && h->now_ms - polled > patience)
        reasons_add(r, RED, "following has made no progress for %s", since);
    if (counters_get(PART_FOLLOW, CELL_HEAD) == 0 && h->connected)
        reasons_add(r, AMBER, "the head of the chain is not known yet");
    if (counters_get(PART_FOLLOW, CELL_RESCANNING) > 0)
        reasons_add(r, AMBER, "the chain was reorganised, its events are being read again");
    if (counters_get(PART_FOLLOW, CELL_HELD) > 0)
        reasons_add(r, AMBER,
                    "event sync is blocked: it fails for every wallet; the log has the error");
    judge_checkpoint(h, r);
}

/* A worker that died too often: it waits, or runs on trial. */
static void judge_parked(const struct health *h, struct reasons *r)
{
    struct counters_worker_view w;
    char until[CLOCK_TEXT];
    for (size_t i = 0; i < COUNTERS_WORKERS; i++) {
        if (!counters_worker_get(i, &w) || w.parked_until == 0)
            continue;
        int64_t left = (int64_t)w.parked_until * 1000 - h->now_ms;
        duration_text(until, left > 0 ? left : 0);
        if (w.pid)
            reasons_add(r, AMBER, "worker %.20s died too often and runs on trial; last: %.140s",
                        w.name, w.exit_reason);
        else
            reasons_add(r, RED, "worker %.20s died too often, next try in %.20s; last: %.140s",
                        w.name, until, w.exit_reason);
    }
}

void health_ready(const struct health *h, struct reasons *ret)
{
    health_store(h, ret);
    judge_parked(h, ret);
    health_following(h, ret);
    if (h->head == 0 || h->synced >= h->head)
        return;
    uint64_t behind = h->head - h->synced;
    bool legs = behind > LEGS_BLOCKS && h->synced < h->finalized;
    reasons_add(ret,
                legs                     ? RED
                : behind > BEHIND_BLOCKS ? AMBER
                                         : GREEN,
                "%sevents are synced up to block %" PRIu64 ", %" PRIu64 " behind the head",
                legs ? "catching up: " : "", h->synced, behind);
}

static void judge_sweep(struct reasons *r)
{
    if (counters_get(PART_SWEEP, CELL_BROKEN) > 0)
        reasons_add(r, AMBER,
                    "the sweep cannot read: a term fails for every wallet, so nothing is "
                    "refreshed; the log "
                    "says what");
}

static void judge_rows(const struct health *h, const struct facts_balance *b, struct reasons *r)
{
    const struct view_ages *a = &b->ages;
    char age[CLOCK_TEXT];
    if (!b->has_ages) {
        reasons_add(r, AMBER, "%s: the rows were not looked at yet", b->name);
        return;
    }
    if (a->unanchored > a->excused_unanchored)
        reasons_add(r, AMBER, "%s: %" PRIu64 " of %" PRIu64 " rows are not anchored yet", b->name,
                    a->unanchored - a->excused_unanchored, a->rows);
    duration_text(age, h->max_age_ms);
    if (h->max_age_ms > 0 && a->old > a->excused_old)
        reasons_add(r, AMBER, "%s: %" PRIu64 " rows are older than the promised %s", b->name,
                    a->old - a->excused_old, age);
}

void health_fresh(const struct health *h, struct reasons *ret)
{
    health_store(h, ret);
    for (size_t i = 0; i < h->facts.n_balances; i++)
        judge_rows(h, &h->facts.balances[i], ret);
}

/* A wallet that its log does not tell may keep an old row: amber. Where another layout tells all
 * wallets, the wrong declaration is a note. */
static void judge_layouts(enum colour colour, struct reasons *r)
{
    struct layout_words w;
    for (size_t i = 0; status_layout_next(&i, &w);)
        if ((w.counted.lost > 0) == (colour == AMBER))
            reasons_add(r, colour,
                        "logs of %.42s do not fit \"%.40s\" (%" PRIu64 " topics, %" PRIu64
                        " bytes of data): %.120s",
                        w.contract, w.declared, w.counted.topics, w.counted.data_bytes, w.hint);
}

/* What is no reason to distrust the rows, but should be known. */
static void judge_workers(struct reasons *r)
{
    struct counters_worker_view w;
    for (size_t i = 0; i < COUNTERS_WORKERS; i++)
        if (counters_worker_get(i, &w) && w.pid == 0 && w.parked_until == 0)
            reasons_add(r, AMBER, "worker %.20s is down: %.120s", w.name, w.exit_reason);
}

enum colour health_verdict(const struct health *h, struct reasons *ret)
{
    struct reasons all = {0};
    enum colour worst = GREEN;
    if (h->has_daemon)
        health_ready(h, &all);
    else
        reasons_add(&all, RED, "no daemon is running here: the rows stand still");
    if (h->facts.scan_error[0] && h->facts.store_ok)
        reasons_add(&all, AMBER, "row statistics failed: %.200s", h->facts.scan_error);
    for (size_t i = 0; i < h->facts.n_balances; i++)
        if (h->facts.store_seen)
            judge_rows(h, &h->facts.balances[i], &all);
    if (h->has_daemon) {
        judge_sweep(&all);
        judge_layouts(AMBER, &all);
        judge_workers(&all);
    }
    *ret = (struct reasons){0};
    for (int c = RED; c > GREEN; c--)
        for (size_t i = 0; i < all.n; i++)
            if (all.list[i].colour == (enum colour)c) {
                ret->list[ret->n++] = all.list[i];
                worst = worst == GREEN ? (enum colour)c : worst;
            }
    return worst;
}

void health_notes(const struct health *h, struct reasons *r)
{
    struct counters_endpoint_view e;
    for (size_t i = 0; i < h->facts.n_balances; i++) {
        const struct facts_balance *b = &h->facts.balances[i];
        uint64_t n = b->has_ages ? b->ages.quarantined : 0;
        if (n > 0)
            reasons_add(r, GREEN,
                        "%s: %" PRIu64 " wallet%s cannot be read and wait%s in quarantine", b->name,
                        n, n == 1 ? "" : "s", n == 1 ? "s" : "");
    }
    if (h->has_daemon)
        judge_layouts(GREEN, r);
    for (size_t i = 0; h->has_daemon && h->connected && i < COUNTERS_ENDPOINTS; i++)
        if (counters_endpoint_get(i, &e) && !endpoint_is_up(&e, h))
            reasons_add(r, GREEN, "endpoint %.60s does not serve, others do%s%.150s", e.name,
                        e.paused_why[0] ? ": " : "", e.paused_why);
}

static void good_sentence(const struct health *h, char ret[REASON_TEXT])
{
    uint64_t rows = 0, excused = 0;
    int64_t oldest_us = 0;
    char age[CLOCK_TEXT], oldest[CLOCK_TEXT + 32] = "";
    for (size_t i = 0; i < h->facts.n_balances; i++) {
        const struct view_ages *a = &h->facts.balances[i].ages;
        rows += a->rows - a->excused_unanchored; /* those in quarantine are told of apart */
        excused += a->quarantined;
        if (a->rows > 0 && a->now_us - a->oldest_us > oldest_us)
            oldest_us = a->now_us - a->oldest_us;
    }
    duration_text(age, oldest_us / 1000);
    if (excused == 0) /* else it would be one of theirs */
        snprintf(oldest, sizeof oldest, ", the oldest %s ago", age);
    if (rows == 0)
        snprintf(ret, REASON_TEXT, "It equals the chain: it has no row yet.");
    else
        snprintf(ret, REASON_TEXT,
                 "It equals the chain: each of %" PRIu64 " row%s was read at an anchored block%s.",
                 rows, rows == 1 ? "" : "s", oldest);
}

void health_sentence(const struct health *h, enum colour c, char ret[REASON_TEXT])
{
    if (c == GREEN)
        good_sentence(h, ret);
    else if (c == AMBER)
        snprintf(ret, REASON_TEXT,
                 "It is catching up with the chain. What is not right yet, and why:");
    else
        snprintf(ret, REASON_TEXT,
                 "What changes on the chain does not reach it: rows may be out of date.");
}
