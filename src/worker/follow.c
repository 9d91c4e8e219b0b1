/* Worker follow: polls the head, covers blocks, owns the checkpoint. The work itself is track/follow. */
#include "track/follow.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "proc/counters.h"
#include "proc/stop.h"
#include "worker/worker.h"

enum { POLL_LEAST_MS = 1000, POLL_MOST_MS = 12000, HELD_LEAST_MS = 500, HELD_MOST_MS = 15000 };
enum { EVENT_BLOCKS = 3 }; /* a step further behind than this is no live one */

/* The block time as the last headers tell it, between 1 s and 12 s, unless the user said how often. */
static int64_t poll_interval(const struct follow *f)
{
    const struct chain *c = &f->chain;
    if (f->t->conf->chain.poll_ms > 0)
        return f->t->conf->chain.poll_ms;
    if (c->n_near < 2)
        return POLL_LEAST_MS;
    const struct anchor *old = &c->near[0].at, *young = &c->near[c->n_near - 1].at;
    if (young->number <= old->number || young->timestamp <= old->timestamp)
        return POLL_LEAST_MS;
    int64_t ms = (int64_t)((young->timestamp - old->timestamp) * 1000 / (young->number - old->number));
    return ms < POLL_LEAST_MS ? POLL_LEAST_MS : ms > POLL_MOST_MS ? POLL_MOST_MS : ms;
}

static void count(const struct follow *f, const struct follow_report *r)
{
    uint64_t covered = UINT64_MAX, rescanning = 0;
    for (size_t i = 0; i < f->t->n_balances; i++) {
        if (f->balances[i].covered < covered)
            covered = f->balances[i].covered;
        rescanning += f->balances[i].rescanning;
    }
    counters_add(CELL_REORGS, r->reorg);
    counters_set(CELL_RESCANNING, rescanning);
    counters_set(CELL_HELD, r->end == FOLLOW_HELD);
    counters_set(CELL_POLLED_AT, (uint64_t)wall_ms());
    if (r->updated > 0)
        counters_set(CELL_EVENT_AT, (uint64_t)wall_seconds());
    if (!f->chain.known)
        return;
    /* Catching up would only tell how long we were away. */
    uint64_t before = counters_get(PART_FOLLOW, CELL_COVERED);
    if (r->updated > 0 && before > 0 && covered == f->chain.head.at.number &&
        covered - before <= EVENT_BLOCKS)
        counters_event_to_row(wall_ms() - (int64_t)f->chain.head.at.timestamp * 1000, r->updated);
    counters_set(CELL_HEAD, f->chain.head.at.number);
    counters_set(CELL_HEAD_TIME, f->chain.head.at.timestamp);
    counters_set(CELL_COVERED, covered);
    counters_set(CELL_SETTLED, f->chain.settled_known ? f->chain.settled.number : 0);
}

static void report(const struct follow *f, const struct follow_report *r)
{
    if (r->reorg)
        log_warn("the chain was reorganised", LOG_U64("from_block", r->reorg_at),
                 LOG_U64("rows_to_prove_again", r->reorg_rows));
    if (r->catching_up)
        log_info("backfilling missed blocks", LOG_U64("from", r->from), LOG_U64("to", r->to));
    if (r->updated > 0)
        log_info("refreshed balances from events", LOG_U64("updated", r->updated),
                 LOG_U64("covered", f->balances[0].covered), LOG_U64("head", f->chain.head.at.number));
    if (r->unanswered > 0)
        log_warn("views of triggers answered no list of wallets, left to the sweep",
                 LOG_U64("views", r->unanswered));
    if (r->end == FOLLOW_HELD)
        log_warn_err("covering is held", &r->why);
}

static bool settle_said; /* said once a process: counters and log state are the globals we allow */

static void report_settle(const struct follow *f)
{
    if (!settle_said && f->chain.known && f->chain.settle_stands_in) {
        settle_said = true;
        log_warn("the finalized tag is missing or stale, a depth stands in",
                 LOG_U64("depth", CHAIN_DEPTH), LOG_U64("head", f->chain.head.at.number));
    }
}

/* One turn and the pause after it; false to end, with err set unless we were asked to stop. */
static bool turn(struct follow *f, struct backoff *backoff, int64_t *ret_pause, struct err *err)
{
    struct follow_report r;
    struct err why = {0};
    if (follow_once(f, &r, &why) < 0) {
        if (why.kind == ERR_CHAIN)
            *err = why;
        if (why.kind == ERR_CHAIN || why.kind == ERR_STOPPED)
            return false;
        log_warn_err("covering failed, trying again", &why);
        worker_mend(f->t, &why);
        *ret_pause = backoff_next(backoff);
        return true;
    }
    count(f, &r);
    report(f, &r);
    report_settle(f);
    if (r.end == FOLLOW_HELD) {
        *ret_pause = backoff_next(backoff);
        return true;
    }
    backoff_reset(backoff);
    *ret_pause = r.end == FOLLOW_AGAIN ? 0 : poll_interval(f);
    return true;
}

int worker_follow(struct conf *conf, const struct worker_options *options, struct err *err)
{
    struct tracker t;
    struct follow f;
    struct backoff backoff;
    if (!worker_open(conf, "trueup follow", &t, err))
        return exit_status(err);
    if (follow_open(&t, options->has_from, options->from, &f, err) == 0) {
        int64_t started, pause = 0;
        backoff_init(&backoff, HELD_LEAST_MS, HELD_MOST_MS, rng_seed_from_system());
        log_info("following", LOG_U64("chain", t.chain_id), LOG_STR("mode", "polling"));
        do
            started = clock_ms();
        while (turn(&f, &backoff, &pause, err) && !options->once &&
               !stop_wait_until(started + pause));
    }
    follow_close(&f);
    tracker_close(&t);
    return exit_status(err);
}
