/* Worker follow: polls the head, syncs blocks, owns the checkpoint. The work itself is
 * track/sync/follow.c. */
#include "track/sync/follow.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "proc/counters.h"
#include "proc/hint.h"
#include "proc/stop.h"
#include "track/sync/log_forms.h"
#include "worker/worker.h"

#include <stdlib.h>

enum { LOOK_LEAST_MS = 2000, LOOK_MOST_MS = 12000, HELD_LEAST_MS = 500, HELD_MOST_MS = 5000 };
enum { BLOCK_TIMES = 16 }; /* samples by which the block time is known */
enum { EVENT_BLOCKS = 3 }; /* a step further behind than this is no live one */

enum {
    PUSHED_LEAST_MS = 500, /* between looks that pushes bring forward … */
    PUSHED_PART = 4,       /* … or this part of the time between looks, if that is longer */
    FAST_BLOCKS_MS = 1000, /* faster blocks: a new head alone brings no look forward */
    WANTED_MS = 5000,      /* a block that was announced is looked for at most so long */
    WANTED_LEAST_MS = 10,
    WANTED_MOST_MS = 500,
    LACKING_MS = 100, /* before a block is asked again for logs that were pushed */
    BESIDE_MS = 200,  /* a wait with a second look under way */
    SOON_MS = 500,    /* the end of a catch-up */
};

/* What the hints say. None is believed: each only makes us ask sooner. */
struct follow_hints {
    int fd;
    bool wants; /* something was said that is not what we know */
    struct hint wanted;
    int64_t since_ms;
    int64_t pause_ms; /* until the node is asked for it again: it may lag behind its own pushes */
};

static int follow_compare_ms(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* The median block time between the last samples; 0: not known. */
static int64_t follow_find_block_ms(const struct samples *s)
{
    int64_t ms[BLOCK_TIMES];
    size_t n = 0;
    for (size_t i = s->n_near; i > 1 && n < BLOCK_TIMES; i--) {
        const struct anchor *old = &s->near[i - 2].at, *young = &s->near[i - 1].at;
        if (young->timestamp >= old->timestamp && young->number > old->number)
            ms[n++] = (int64_t)((young->timestamp - old->timestamp) * 1000 /
                                (young->number - old->number));
    }
    qsort(ms, n, sizeof *ms, follow_compare_ms);
    return n > 0 ? ms[n / 2] : 0;
}

static int64_t follow_clamp(int64_t ms, int64_t least, int64_t most)
{
    return ms < least ? least : ms < most ? ms : most;
}

/* How often a look is taken: the block time, unless the user said how often. */
static int64_t follow_choose_interval(const struct follow *f)
{
    int64_t set = f->t->conf->chain.freshness_ms;
    return set > 0 ? set
                   : follow_clamp(follow_find_block_ms(&f->samples), LOOK_LEAST_MS, LOOK_MOST_MS);
}

/* How soon after a look a push may bring the next one forward. Looks that are set to be seldom are
 * left to the pushes, so the block time bounds the wait. */
static int64_t follow_choose_push_gap(const struct follow *f)
{
    int64_t look = follow_choose_interval(f),
            block = follow_clamp(follow_find_block_ms(&f->samples), LOOK_LEAST_MS, LOOK_MOST_MS);
    int64_t gap = (look < block ? look : block) / PUSHED_PART;
    return gap > PUSHED_LEAST_MS ? gap : PUSHED_LEAST_MS;
}

static void follow_count_call(enum counters_call call, bool failed, const struct err *why)
{
    if (failed)
        counters_call_failed(call, why->text, wall_ms());
    else
        counters_call_succeeded(call);
}

static void follow_count_turn(const struct follow *f, const struct follow_report *r)
{
    uint64_t synced = UINT64_MAX, rescanning = 0;
    for (size_t i = 0; i < f->t->n_balances; i++) {
        if (f->balances[i].synced < synced)
            synced = f->balances[i].synced;
        rescanning +=
            f->balances[i].rescanning && f->balances[i].synced < f->balances[i].checkpoint;
    }
    counters_add(CELL_REORGS, r->reorg);
    counters_add(CELL_TAKEN_BACK, r->taken_back > 0);
    counters_set(CELL_RESCANNING, rescanning);
    counters_set(CELL_HELD, r->end == FOLLOW_HELD);
    if (r->end != FOLLOW_HELD)
        counters_set(CELL_POLLED_AT, (uint64_t)wall_ms());
    counters_set(CELL_POLL_MS, (uint64_t)follow_choose_interval(f));
    bool refused = r->end == FOLLOW_HELD && r->why.kind == ERR_STORE;
    follow_count_call(CALL_LOOK, r->end == FOLLOW_HELD && !refused, &r->why);
    follow_count_call(CALL_WRITE, refused, &r->why);
    if (r->second.held || r->second.passed > 0)
        counters_checkpoint_held(r->second.held ? r->second.why.text : NULL);
    if (!f->samples.known)
        return;
    /* Catching up would only tell how long we were away. */
    uint64_t before = counters_get(PART_FOLLOW, CELL_SYNCED);
    if (r->updated > 0 && before > 0 && synced == f->samples.head.at.number &&
        synced - before <= EVENT_BLOCKS)
        counters_event_to_row(wall_ms() - (int64_t)f->samples.head.at.timestamp * 1000, r->updated);
    counters_set(CELL_HEAD, f->samples.head.at.number);
    counters_set(CELL_HEAD_TIME, f->samples.head.at.timestamp);
    counters_set(CELL_SYNCED, synced);
    counters_set(CELL_FINALIZED, f->samples.finality.known ? f->samples.finality.at.number : 0);
}

/* The lights tell which of the two it was, and since when. */
static void follow_count_failure(const struct err *why, int64_t began_ms)
{
    bool store = why->kind == ERR_STORE || why->kind == ERR_STORE_LOST;
    /* A statement that waited for a lock failed from its begin on. */
    counters_call_failed(store ? CALL_WRITE : CALL_LOOK, why->text, store ? began_ms : wall_ms());
}

static void follow_log_second_look(const struct second_look_report *r)
{
    if (r->missed > 0)
        log_warn("logs were missing from the first look, their wallets are read now",
                 LOG_U64("events", r->missed), LOG_U64("block", r->missed_at),
                 LOG_STR("endpoint", r->missed_by ? r->missed_by : "unknown"));
    if (r->passed > 0)
        log_debug("second look done, the checkpoint moves", LOG_U64("from", r->from),
                  LOG_U64("to", r->to));
    if (r->held)
        log_warn_err("second look failed, the checkpoint is held", &r->why);
}

static void follow_log_pushed(size_t rows)
{
    if (rows == 0)
        return;
    counters_set(CELL_EVENT_AT, (uint64_t)wall_ms());
    log_info("refreshed balances from pushed logs", LOG_U64("updated", rows));
}

static void follow_log_turn(const struct follow *f, const struct follow_report *r)
{
    if (r->taken_back > 0)
        log_error("the chain took back a block that it had called final, its blocks are read again",
                  LOG_U64("block", r->taken_back), LOG_U64("from_block", r->reorg_at));
    if (r->reorg)
        log_warn("the chain was reorganised", LOG_U64("from_block", r->reorg_at),
                 LOG_U64("rows_to_reread", r->reorg_rows));
    if (r->missed > 0)
        log_warn(r->missed_again ? "logs that were pushed are missing from the answer, asking again"
                                 : "logs that were pushed are in no answer, their wallets are read",
                 LOG_U64("block", r->missed_at), LOG_U64("logs", r->missed));
    if (r->late > 0)
        log_warn("logs came late, blocks are asked about again for longer",
                 LOG_STR("endpoint", r->late_by), LOG_U64("logs", r->late),
                 LOG_I64("for_ms", r->overlap_ms));
    if (r->catching_up)
        log_info("backfilling missed blocks", LOG_U64("from", r->from), LOG_U64("to", r->to));
    if (r->updated > 0)
        log_info("refreshed balances from events", LOG_U64("updated", r->updated),
                 LOG_U64("synced", f->balances[0].synced),
                 LOG_U64("head", f->samples.head.at.number));
    follow_log_pushed(r->pushed);
    follow_log_second_look(&r->second);
    if (r->unanswered > 0)
        log_warn("views of triggers answered no list of wallets, left to the sweep",
                 LOG_U64("views", r->unanswered));
    if (r->end == FOLLOW_HELD)
        log_warn_err("event sync is blocked", &r->why);
}

static void follow_log_blooms(struct follow *f)
{
    const struct bloom_trust *b = &f->look.bloom;
    if (!bloom_take_news(&f->look.bloom))
        return;
    if (b->state == BLOOM_REFUTED)
        log_warn("a block's bloom does not hold its logs, blooms save no question any more",
                 LOG_U64("block", b->block));
    else
        log_info("blooms held all logs so far, they save questions from now on",
                 LOG_U64("blocks", b->held));
}

/* Said once a process for each kind: counters and log state are the globals we allow. */
static bool finality_logged[2];

static void follow_log_finality(const struct follow *f)
{
    const struct finality *fin = &f->samples.finality;
    if (!f->samples.known || !fin->stands_in || finality_logged[fin->tag_seen])
        return;
    finality_logged[fin->tag_seen] = true;
    if (fin->tag_seen)
        log_error("the finalized tag fails, a depth stands in: blocks are presumed final",
                  LOG_U64("presumed_final", fin->at.number),
                  LOG_U64("head", f->samples.head.at.number));
    else
        log_warn("there is no finalized tag, a depth stands in: blocks are presumed final",
                 LOG_U64("presumed_final", fin->at.number),
                 LOG_U64("head", f->samples.head.at.number));
}

/* ---- hints ----------------------------------------------------------------------------------- */

/* Is what the hint says what we know? A block too old to be compared counts as known. */
static bool follow_knows_hint(const struct follow *f, const struct hint *h)
{
    if (!f->samples.known || h->block > f->samples.head.at.number)
        return h->kind == HINT_REMOVED;
    const struct header *near = sample_near(&f->samples, h->block);
    return !near || hash_equal(&near->at.hash, &h->hash) == (h->kind != HINT_REMOVED);
}

/* Takes what has come. True: look at once. */
static bool follow_take_hints(struct follow_hints *heard, struct follow *f)
{
    struct hint h;
    bool look = false;
    while (hint_receive(heard->fd, &h)) {
        if (h.kind == HINT_WALLET) {
            follow_add_pushed(f, h.index, &h.wallet, h.block);
            continue;
        }
        if (h.kind == HINT_LOG)
            look |= follow_add_ws_log(f, h.block, &h.hash, h.index);
        if (h.kind == HINT_UP || h.kind == HINT_DOWN) {
            look = true;
        } else if (h.kind == HINT_HEAD && f->samples.n_near >= BLOCK_TIMES &&
                   follow_find_block_ms(&f->samples) < FAST_BLOCKS_MS) {
            continue;
        } else if (!follow_knows_hint(f, &h)) {
            heard->wants = look = true;
            heard->wanted = h;
            heard->since_ms = clock_ms();
            heard->pause_ms = WANTED_LEAST_MS;
        }
    }
    return look;
}

/* How long to wait after a turn that found nothing more to do. */
static int64_t follow_choose_pause(struct follow_hints *heard, const struct follow *f)
{
    int64_t poll = follow_choose_interval(f);
    if (second_look_is_soon(f))
        return SOON_MS < poll ? SOON_MS : poll;
    if (follow_has_missing(f))
        return LACKING_MS < poll ? LACKING_MS : poll;
    if (heard->wants &&
        (follow_knows_hint(f, &heard->wanted) || clock_ms() - heard->since_ms > WANTED_MS))
        heard->wants = false;
    if (heard->wants) {
        int64_t pause = heard->pause_ms;
        heard->pause_ms = pause * 2 < WANTED_MOST_MS ? pause * 2 : WANTED_MOST_MS;
        return pause < poll ? pause : poll;
    }
    return poll;
}

/* Between turns: pushed wallets whose block is known are read at once, without asking for the head.
 * A failure leaves them to the next turn, which tells it. */
static void follow_read_between(struct follow *f)
{
    size_t rows = 0;
    struct err err = {0};
    if (!follow_has_pushed(f))
        return;
    if (follow_read_pushed(f, &rows, &err) < 0)
        log_debug("pushed wallets are read with the next look", LOG_STR("error", err.text));
    follow_log_pushed(rows);
}

/* A second look under way moves on meanwhile; then being asked to stop is noticed a little later.
 */
static void follow_wait(const struct follow_hints *heard, struct follow *f, int64_t until_ms)
{
    struct err err = {0};
    int64_t slice = clock_ms() + BESIDE_MS;
    if (!second_look_is_under_way(&f->second_look)) {
        hint_wait_until(heard->fd, until_ms);
    } else if (rpc_drive(f->t->node, heard->fd, slice < until_ms ? slice : until_ms, &err) < 0) {
        log_debug("the second look is asked again", LOG_STR("error", err.text));
        second_look_drop(&f->second_look);
    }
}

/* Sleeps until the pause is over, or until a hint that says something new may bring the look
 * forward; true when asked to stop. */
static bool follow_wait_for_hint(struct follow_hints *heard, struct follow *f, int64_t started_ms,
                                 int64_t until_ms)
{
    int64_t earliest = started_ms + follow_choose_push_gap(f);
    while (!stop_asked()) {
        if (follow_take_hints(heard, f) && earliest < until_ms)
            until_ms = earliest;
        if (clock_ms() >= until_ms)
            return false;
        follow_read_between(f);
        if (second_look_is_answered(&f->second_look))
            return false; /* the next turn takes it */
        follow_wait(heard, f, until_ms);
    }
    return true;
}

/* What lasts longer than one ownership of the store. */
struct follow_work {
    struct tracker t;
    struct takeover takeover;
    struct backoff backoff;
    struct follow_hints heard;
    struct log_forms_state forms;
    int64_t began_ms; /* wall ms at which this turn began */
    const struct worker_options *options;
};

enum follow_next {
    FOLLOW_NEXT_TURN,
    FOLLOW_NEXT_OWNER, /* the store is another connection's by now, or another daemon's */
    FOLLOW_NEXT_END,   /* with err set unless we were asked to stop */
};

static enum follow_next follow_on_error(struct follow_work *w, const struct err *why,
                                        struct err *err)
{
    bool final = why->kind == ERR_CHAIN || why->kind == ERR_USAGE;
    if (final)
        *err = *why;
    if (final || why->kind == ERR_STOPPED)
        return FOLLOW_NEXT_END;
    follow_count_failure(why, w->began_ms);
    log_warn_err("event sync failed, retrying", why);
    return worker_reconnect(&w->t, why) ? FOLLOW_NEXT_OWNER : FOLLOW_NEXT_TURN;
}

/* One turn, and the pause that is due after it. */
static enum follow_next follow_run_turn(struct follow_work *w, struct follow *f, int64_t *ret_pause,
                                        struct err *err)
{
    struct follow_report r;
    struct err why = {0};
    w->began_ms = wall_ms();
    housekeeping_run(f->t, "follow", false);
    if (!housekeeping_may_spend(f->t, RPC_LIVE, ret_pause))
        return FOLLOW_NEXT_TURN;
    if (follow_once(f, &r, &why) < 0) {
        *ret_pause = backoff_next(&w->backoff);
        return follow_on_error(w, &why, err);
    }
    follow_count_turn(f, &r);
    follow_log_turn(f, &r);
    follow_log_finality(f);
    follow_log_blooms(f);
    if (r.end == FOLLOW_HELD) {
        *ret_pause = backoff_next(&w->backoff);
        return FOLLOW_NEXT_TURN;
    }
    backoff_reset(&w->backoff);
    *ret_pause = r.end == FOLLOW_AGAIN ? 0 : follow_choose_pause(&w->heard, f);
    return FOLLOW_NEXT_TURN;
}

static void follow_try_forms(struct follow_work *w, struct follow *f)
{
    log_forms_run(&w->t, &w->forms, f->samples.known ? &f->samples.head : NULL);
    follow_take_hints(&w->heard, f); /* those that came meanwhile */
}

/* From what the store holds, for as long as it is ours. */
static enum follow_next follow_run_owner(struct follow_work *w, struct err *err)
{
    struct follow f;
    struct err why = {0};
    enum follow_next next = FOLLOW_NEXT_TURN;
    int64_t started = clock_ms(), pause = 0;
    w->began_ms = wall_ms();
    if (follow_open(&w->t, w->options->has_from, w->options->from, &f, &why) < 0) {
        pause = backoff_next(&w->backoff);
        next = follow_on_error(w, &why, err);
        next = next == FOLLOW_NEXT_TURN ? FOLLOW_NEXT_OWNER : next;
    }
    while (next == FOLLOW_NEXT_TURN) {
        started = clock_ms();
        follow_try_forms(w, &f);
        next = takeover_is_lost(&w->takeover) ? FOLLOW_NEXT_OWNER
                                              : follow_run_turn(w, &f, &pause, err);
        if (next == FOLLOW_NEXT_TURN &&
            (w->options->once || follow_wait_for_hint(&w->heard, &f, started, started + pause)))
            next = FOLLOW_NEXT_END;
    }
    follow_close(&f);
    if (next == FOLLOW_NEXT_OWNER && worker_pause(&w->t, started + pause))
        next = FOLLOW_NEXT_END;
    return next;
}

static void follow_end_work(struct follow_work *w)
{
    housekeeping_run(&w->t, "follow", true);
    if (!counters_shared() || counters_get(PART_SUPERVISOR, CELL_STOPPING))
        takeover_release(&w->takeover);
    takeover_close(&w->takeover);
    tracker_close(&w->t);
}

int worker_follow(struct conf *conf, const struct worker_options *options, struct err *err)
{
    struct follow_work w = {.heard = {.fd = options->hint_fd}, .options = options};
    if (!worker_open(conf, "trueup follow", &w.t, err))
        return worker_exit_status(err);
    backoff_init(&w.backoff, HELD_LEAST_MS, HELD_MOST_MS, rng_seed_from_system());
    takeover_open(&w.takeover, &w.t);
    bool said = false;
    while (worker_take_over(&w.takeover, FENCE_FOLLOW)) {
        if (!said)
            log_info("following", LOG_U64("chain", w.t.chain_id));
        said = true;
        if (follow_run_owner(&w, err) == FOLLOW_NEXT_END)
            break;
    }
    follow_end_work(&w);
    return worker_exit_status(err);
}
