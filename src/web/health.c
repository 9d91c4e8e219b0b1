#include "web/health.h"
#include "base/clock.h"
#include "base/mem.h"
#include "web/status_logs.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    ANSWER_MS = 5000,  /* beyond three polls: as long as a good node may take */
    STORE_MS = 5000,   /* the store is looked at twice a second */
    STALL_MS = 60000,  /* a turn of follow may sync for long, but not without an end */
    BEHIND_BLOCKS = 3, /* between two turns a block or two may have come */
    LEGS_BLOCKS = 64,  /* further behind, final blocks are caught up with in legs */
    HELD_MS = 8000,    /* of a failing second look */
    FAILING_MS = 8000, /* of a call that looks or writes need */
    LOOK_MS = 15000,   /* near the head: a look is due by then */
    SILENT_MS = 5000,  /* a worker gives a sign of life each second */
    STILL_MS = 120000, /* and ten blocks' time: the chain makes no block */
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

size_t reasons_against(const struct reasons *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++)
        n += r->list[i].colour > GREEN;
    return n;
}

/* ---- gathering ------------------------------------------------------------------------------- */

/* An endpoint that is not asked does not fail: while the database holds up a turn, nothing is
 * asked.
 */
static bool health_endpoint_fails(const struct health *h, const struct counters_endpoint_view *e)
{
    int64_t patience = (int64_t)counters_get(PART_FOLLOW, CELL_POLL_MS) * 3 + ANSWER_MS;
    return (e->failing_since > 0 && h->now_ms - (int64_t)e->failing_since >= FAILING_MS) ||
           (e->asked_since > 0 && h->now_ms - (int64_t)e->asked_since > patience);
}

/* Any worker's good answer counts: follow may be busy for long with what it was told. */
static void judge_connection(struct health *h)
{
    struct counters_endpoint_view e;
    uint64_t answered = 0;
    const char *why = "no endpoint has answered yet";
    bool all_fail = true;
    char words[REASON_TEXT] = "", since[CLOCK_TEXT];
    for (size_t i = 0; i < COUNTERS_ENDPOINTS; i++) {
        if (!counters_endpoint_get(i, &e))
            continue;
        if (e.answered_at > answered)
            answered = e.answered_at;
        all_fail &= health_endpoint_fails(h, &e);
        if (!words[0] && e.paused_why[0])
            snprintf(words, sizeof words, "%.100s: %.140s", e.name, e.paused_why);
    }
    h->connected = answered > 0 && !all_fail;
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

const char *health_role(const struct health *h)
{
    if (!h->has_daemon)
        return NULL;
    return counters_get(PART_FOLLOW, CELL_ROLE) == ROLE_WRITES ? "writer" : "standby";
}

void health_take(struct health *h, struct facts_store *k, bool has_daemon)
{
    *h = (struct health){.has_daemon = has_daemon, .now_ms = wall_ms()};
    facts_copy(k, &h->facts);
    h->standby = has_daemon && counters_get(PART_FOLLOW, CELL_ROLE) == ROLE_OTHER_WRITES;
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
    h->subscribed = counters_get(PART_SUPERVISOR, CELL_WS_WANTED) == 0
                        ? h->connected
                        : counters_get(PART_LISTEN, CELL_SOCKETS) > 0;
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

/* Red 8 s after the first failure with no success of its kind since. The sweep has its own pace, so
 * that one failed tick says little. */
static void judge_calls(const struct health *h, struct reasons *r)
{
    static const char *const what[] = {[CALL_LOOK] = "looking for events fails",
                                       [CALL_WRITE] = "writing fails",
                                       [CALL_SWEEP] = "refreshing rows fails"};
    struct counters_failing f;
    char since[CLOCK_TEXT];
    for (int call = 0; call < CALL_WORKER; call++) {
        if (!counters_call_failing((enum counters_call)call, &f) ||
            h->now_ms - (int64_t)f.since < FAILING_MS || (call == CALL_SWEEP && f.times < 2))
            continue;
        duration_text(since, h->now_ms - (int64_t)f.since);
        reasons_add(r, RED, "%s since %.20s: %.200s", what[call], since, f.words);
    }
}

/* While catching up a turn may last; near the head none does. */
static int64_t health_look_patience(const struct health *h)
{
    int64_t poll = (int64_t)counters_get(PART_FOLLOW, CELL_POLL_MS);
    if (h->head > h->synced + LEGS_BLOCKS)
        return poll * 2 + STALL_MS;
    return poll * 3 > LOOK_MS ? poll * 3 : LOOK_MS;
}

/* A look without a new block is a good look, but not for ever. And a node that replays its past has
 * a new block at every look: then the block's own time tells. */
static void judge_head(const struct health *h, struct reasons *r)
{
    char since[CLOCK_TEXT];
    int64_t seen = (int64_t)counters_get(PART_FOLLOW, CELL_HEAD_AT), made = h->now_ms;
    int64_t blocks = (int64_t)counters_get(PART_FOLLOW, CELL_POLL_MS) * 10;
    int64_t patience = blocks > STILL_MS ? blocks : STILL_MS;
    if (h->head_time > 0 && h->head_time < (uint64_t)h->now_ms / 1000)
        made = (int64_t)h->head_time * 1000;
    if (!h->connected || seen == 0)
        return;
    if (h->now_ms - seen >= patience) {
        duration_text(since, h->now_ms - seen);
        reasons_add(r, AMBER, "the chain made no block for %.20s: its head is still %" PRIu64,
                    since, h->head);
    } else if (h->now_ms - made >= patience) {
        duration_text(since, h->now_ms - made);
        reasons_add(r, AMBER,
                    "the node's head, block %" PRIu64 ", is %.20s old: the node is behind, or the "
                    "chain stood still",
                    h->head, since);
    }
}

/* Why no look succeeds, as far as it is known here: the worker stands still, or an endpoint was set
 * aside. */
static void health_find_look_cause(const struct health *h, char ret[REASON_TEXT])
{
    struct counters_endpoint_view e;
    ret[0] = '\0';
    if (!h->standby && clock_ms() - counters_alive_of("follow") > SILENT_MS)
        snprintf(ret, REASON_TEXT, ": worker follow gives no sign of life");
    for (size_t i = 0; !ret[0] && i < COUNTERS_ENDPOINTS; i++)
        if (counters_endpoint_get(i, &e) && !endpoint_is_up(&e, h) && e.paused_why[0])
            snprintf(ret, REASON_TEXT, ": endpoint %.60s: %.150s", e.name, e.paused_why);
}

void health_following(const struct health *h, struct reasons *r)
{
    char since[CLOCK_TEXT], why[REASON_TEXT];
    if (!h->configured) {
        reasons_add(r, RED, "no endpoint is configured: nothing is followed");
        return;
    }
    if (!h->connected)
        reasons_add(r, RED, "%s%s",
                    h->standby ? "this daemon stands by and could not take over: " : "",
                    h->disconnected);
    int64_t polled = (int64_t)counters_get(PART_FOLLOW, CELL_POLLED_AT);
    duration_text(since, h->now_ms - polled);
    if (h->connected && polled > 0 && h->now_ms - polled > health_look_patience(h)) {
        health_find_look_cause(h, why);
        reasons_add(r, RED, "no look at the chain has succeeded for %s%s", since, why);
    }
    judge_calls(h, r);
    if (counters_get(PART_FOLLOW, CELL_HEAD) == 0 && h->connected)
        reasons_add(r, AMBER, "the head of the chain is not known yet");
    if (counters_get(PART_FOLLOW, CELL_RESCANNING) > 0)
        reasons_add(r, AMBER, "the chain was reorganised, its events are being read again");
    if (counters_get(PART_FOLLOW, CELL_HELD) > 0)
        reasons_add(r, AMBER, "event sync is blocked; the log has the error");
    judge_checkpoint(h, r);
}

/* A worker that died too often: it waits, or runs on trial. */
static void judge_parked(const struct health *h, struct reasons *r)
{
    struct counters_worker_view w;
    struct counters_failing f;
    char until[CLOCK_TEXT];
    if (h->standby && counters_call_failing(CALL_WORKER, &f))
        reasons_add(r, RED, "a worker of the daemon that writes died too often; %.200s", f.words);
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

static void judge_sweep(struct reasons *r)
{
    if (counters_sum(CELL_BROKEN) > 0)
        reasons_add(r, AMBER,
                    "the sweep cannot read: a term fails for every wallet, so nothing is "
                    "refreshed; the log "
                    "says what");
}

static uint64_t rows_right(const struct view_ages *a)
{
    uint64_t excused =
        a->unanchored < a->excused_unanchored ? a->unanchored : a->excused_unanchored;
    uint64_t doubtful = a->unanchored - excused + a->unreadable;
    return a->rows > doubtful ? a->rows - doubtful : 0;
}

/* At least half of 8 or more rows, or all of fewer: then the table is at fault. */
static bool rows_mostly_refused(const struct facts_balance *b)
{
    const struct view_ages *a = &b->ages;
    return b->has_ages && a->refused > 0 &&
           (a->refused >= 8 ? a->refused * 2 >= a->rows : a->refused >= a->rows);
}

static void judge_refused(const struct facts_balance *b, enum colour colour, struct reasons *r)
{
    const struct view_ages *a = &b->ages;
    if (a->refused > 0)
        reasons_add(r, colour,
                    "%s: %" PRIu64 " of %" PRIu64 " rows are right; the database refuses %" PRIu64
                    " row%s, which keep%s the last value: %.120s",
                    b->name, rows_right(a), a->rows, a->refused, a->refused == 1 ? "" : "s",
                    a->refused == 1 ? "s" : "", a->refused_why);
}

/* Rows of wallets in quarantine keep their last value, which may be any; a wallet whose first read
 * failed, or whose first row was refused, has none. */
static void judge_unreadable(const struct facts_balance *b, enum colour colour, struct reasons *r)
{
    const struct view_ages *a = &b->ages;
    uint64_t unreadable = a->unreadable - (a->refused < a->unreadable ? a->refused : a->unreadable);
    uint64_t without = a->quarantined > a->unreadable ? a->quarantined - a->unreadable : 0;
    uint64_t unread = without > a->refused_new ? without - a->refused_new : 0;
    if (!b->has_ages)
        return;
    if (unreadable > 0)
        reasons_add(r, colour,
                    "%s: %" PRIu64 " of %" PRIu64 " rows are right; %" PRIu64
                    " wallet%s cannot be read and keep%s %s last value",
                    b->name, rows_right(a), a->rows, unreadable, unreadable == 1 ? "" : "s",
                    unreadable == 1 ? "s" : "", unreadable == 1 ? "its" : "their");
    if (unread > 0)
        reasons_add(r, colour, "%s: %" PRIu64 " wallet%s cannot be read and ha%s no row yet",
                    b->name, unread, unread == 1 ? "" : "s", unread == 1 ? "s" : "ve");
    if (a->refused_new > 0)
        reasons_add(r, colour,
                    "%s: the database refuses the first row of %" PRIu64 " wallet%s: %.120s",
                    b->name, a->refused_new, a->refused_new == 1 ? "" : "s", a->refused_why);
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

/* One that dies at each start is down, however soon the next one comes. only: its name, or NULL. */
static void judge_dying(const struct health *h, const char *only, struct reasons *r)
{
    struct counters_worker_view w;
    char since[CLOCK_TEXT];
    for (size_t i = 0; i < COUNTERS_WORKERS; i++) {
        if (!counters_worker_get(i, &w) || w.parked_until > 0 || w.dying_times < 2 ||
            h->now_ms - (int64_t)w.dying_since < FAILING_MS || (only && strcmp(only, w.name) != 0))
            continue;
        duration_text(since, h->now_ms - (int64_t)w.dying_since);
        reasons_add(r, RED, "worker %.20s died %" PRIu64 " times since %.20s: %.140s", w.name,
                    w.dying_times, since, w.exit_reason);
    }
}

void health_ready(const struct health *h, struct reasons *ret)
{
    health_store(h, ret);
    judge_parked(h, ret);
    judge_dying(h, NULL, ret);
    health_following(h, ret);
    for (size_t i = 0; i < h->facts.n_balances; i++)
        if (rows_mostly_refused(&h->facts.balances[i]))
            judge_refused(&h->facts.balances[i], RED, ret);
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

void health_fresh(const struct health *h, struct reasons *ret)
{
    health_store(h, ret);
    judge_dying(h, "sweep", ret);
    for (size_t i = 0; i < h->facts.n_balances; i++) {
        judge_rows(h, &h->facts.balances[i], ret);
        judge_unreadable(&h->facts.balances[i], GREEN, ret);
        judge_refused(&h->facts.balances[i],
                      rows_mostly_refused(&h->facts.balances[i]) ? RED : GREEN, ret);
    }
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

/* A trigger whose event was not seen: amber where another one may be meant, else a note. */
static void judge_silence(const struct facts_balance *b, enum colour colour, struct reasons *r)
{
    for (const char *line = b->silent; *line;) {
        size_t n = strcspn(line, "\n"), digits = strspn(line, "0123456789");
        bool doubted = line[digits] == ' ' && line[digits + 1] == '?';
        if (n > digits + 3 && doubted == (colour == AMBER))
            reasons_add(r, colour, "%s: %.*s", b->name, (int)(n - digits - 3), line + digits + 3);
        line += n + (line[n] == '\n');
    }
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
        if (h->facts.store_seen) {
            judge_rows(h, &h->facts.balances[i], &all);
            judge_unreadable(&h->facts.balances[i], AMBER, &all);
            if (!rows_mostly_refused(&h->facts.balances[i]))
                judge_refused(&h->facts.balances[i], AMBER, &all);
            judge_silence(&h->facts.balances[i], AMBER, &all);
        }
    if (h->has_daemon) {
        judge_head(h, &all);
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

static void note_standby(const struct health *h, struct reasons *r)
{
    char terms[COUNTERS_TEXT];
    if (!h->standby)
        return;
    counters_role_terms(terms);
    if (terms[0])
        reasons_add(r, GREEN, "this daemon stands by: will take over with other terms: %.200s",
                    terms);
    else
        reasons_add(r, GREEN, "this daemon stands by: another daemon writes");
}

void health_notes(const struct health *h, struct reasons *r)
{
    struct counters_endpoint_view e;
    note_standby(h, r);
    for (size_t i = 0; i < h->facts.n_balances; i++)
        judge_silence(&h->facts.balances[i], GREEN, r);
    if (h->has_daemon)
        judge_layouts(GREEN, r);
    size_t up = 0;
    for (size_t i = 0; i < COUNTERS_ENDPOINTS; i++)
        up += counters_endpoint_get(i, &e) && endpoint_is_up(&e, h);
    for (size_t i = 0; h->has_daemon && h->connected && i < COUNTERS_ENDPOINTS; i++)
        if (counters_endpoint_get(i, &e) && !endpoint_is_up(&e, h))
            reasons_add(r, GREEN, "endpoint %.60s does not serve%s%s%.150s", e.name,
                        up > 0 ? ", others do" : "", e.paused_why[0] ? ": " : "", e.paused_why);
}

/* What would fill a table without a row. */
static void empty_sentence(const struct health *h, char ret[REASON_TEXT])
{
    const struct facts_balance *b = &h->facts.balances[0];
    size_t mark = strspn(b->silent, "0123456789 ?-"), n = strcspn(b->silent, "\n");
    if (n > mark && n < REASON_TEXT - 30) {
        snprintf(ret, REASON_TEXT, "The table is empty: %.*s", (int)(n - mark), b->silent + mark);
        return;
    }
    static const char *const filled_by[] = {
        [WALLETS_SEEN] =
            "a wallet gets its row with the next event that names it; `trueup backfill` "
            "finds the holders of the past",
        [WALLETS_LISTED] = "`trueup wallets add` lists the wallets to keep",
        [WALLETS_QUERY] = "a wallet of the query gets its row with the next event that names it; "
                          "`trueup wallets sync` takes all of them"};
    if (b->wallets == WALLETS_LISTED && b->ages.listed > 0)
        snprintf(ret, REASON_TEXT, "The table is empty: %" PRIu64 " listed wallets are read next.",
                 b->ages.listed);
    else
        snprintf(ret, REASON_TEXT, "The table is empty: %s.", filled_by[b->wallets]);
}

static void good_sentence(const struct health *h, char ret[REASON_TEXT])
{
    uint64_t rows = 0;
    int64_t oldest_us = 0;
    char oldest[CLOCK_TEXT];
    for (size_t i = 0; i < h->facts.n_balances; i++) {
        const struct view_ages *a = &h->facts.balances[i].ages;
        rows += a->rows;
        if (a->rows > 0 && a->now_us - a->oldest_us > oldest_us)
            oldest_us = a->now_us - a->oldest_us;
    }
    duration_text(oldest, oldest_us / 1000);
    if (rows == 0)
        empty_sentence(h, ret);
    else
        snprintf(ret, REASON_TEXT,
                 "It equals the chain: each of %" PRIu64
                 " row%s was read at an anchored block, the oldest %s ago.",
                 rows, rows == 1 ? "" : "s", oldest);
}

void health_sentence(const struct health *h, enum colour c, char ret[REASON_TEXT])
{
    if (c == GREEN)
        good_sentence(h, ret);
    else if (c == AMBER)
        snprintf(ret, REASON_TEXT, "What is not right yet, and why:");
    else
        snprintf(ret, REASON_TEXT,
                 "What changes on the chain does not reach it: rows may be out of date.");
}
