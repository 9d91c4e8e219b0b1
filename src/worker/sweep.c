/*
 * Worker sweep: every interval, one tick per balance. A tick that comes due while the last still
 * runs is dropped and counted, so a slow node cannot pile up work.
 */
#include "track/refresh/sweep.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "proc/counters.h"
#include "proc/stop.h"
#include "track/refresh/job.h"
#include "track/refresh/learned.h"
#include "track/refresh/pace.h"
#include "worker/worker.h"

enum { NOT_READY_MS = 1000, SAY_AGAIN_MS = 600000 };
enum { FIRST_MS = 1000, FIRST_BALANCE_MS = 20 }; /* between two looks for first reads */

/* A balance and its pace. */
struct sweep_row {
    struct sweep sweep;
    struct sweep_pace pace;
    bool late;
    bool broken; /* a term failed for every wallet, and nothing was read since */
    bool failed; /* the last tick */
    int64_t said_ms;
};

/* "No row older than this" is a promise, so that it is not held is said: when it begins, now and
 * then, and when it is over. */
static void sweep_log_age(struct sweep_row *r, const struct sweep_report *done)
{
    int64_t now_us = wall_seconds() * 1000000;
    bool late = pace_is_late(&r->pace, done->oldest_us, now_us);
    if (late && (!r->late || clock_ms() - r->said_ms > SAY_AGAIN_MS)) {
        log_warn("stale refresh: rows are older than sweep.max_age, sweeping as fast as it goes",
                 LOG_STR("balance", r->sweep.b->conf->name),
                 LOG_I64("oldest_s", (now_us + r->pace.clock_us - done->oldest_us) / 1000000),
                 LOG_I64("max_age_s", r->pace.max_age_ms / 1000), LOG_U64("rows", r->pace.rows));
        r->said_ms = clock_ms();
    } else if (!late && r->late && done->oldest_us) {
        log_info("stale refresh: no row is older than sweep.max_age",
                 LOG_STR("balance", r->sweep.b->conf->name));
    }
    r->late = late || (r->late && !done->oldest_us);
}

static void sweep_count_tick(const struct sweep *s, const struct sweep_report *r, int64_t took_ms)
{
    bool read = r->end == SWEEP_DONE || r->end == SWEEP_EMPTY;
    counters_add(read ? CELL_TICKS_DONE : CELL_TICKS_FAILED, r->end != SWEEP_WAITING);
    counters_set(CELL_TICK_MS, (uint64_t)took_ms);
    counters_set(CELL_TICK_ROWS, r->requested);
    counters_set(CELL_BATCH, reads_batch_size(s->t->reads, &s->b->shape));
    worker_count_readers(s->t);
    if (read)
        counters_lap((size_t)(s->b - s->t->balances), r->pass_ended, r->updated);
}

static void sweep_log_tick(const struct tracked *b, const struct sweep_report *r)
{
    switch (r->end) {
    case SWEEP_DONE:
        log_info("stale refresh: tick complete", LOG_STR("balance", b->conf->name),
                 LOG_U64("requested", r->requested), LOG_U64("updated", r->updated),
                 LOG_U64("quarantined", r->quarantined));
        worker_log_drift(r->drifted);
        break;
    case SWEEP_EMPTY:
        log_debug("stale refresh: nothing due", LOG_STR("balance", b->conf->name));
        break;
    case SWEEP_WAITING:
        log_debug("stale refresh: waiting", LOG_STR("balance", b->conf->name),
                  LOG_STR("reason", r->why.text));
        break;
    case SWEEP_BROKEN:
        if (r->why.kind == ERR_STORE)
            log_error_err("stale refresh: the table refuses every row", &r->why);
        else
            log_error_err("stale refresh: a term fails for every wallet", &r->why);
        break;
    }
}

enum sweep_next {
    SWEEP_NEXT_TICK,
    SWEEP_NEXT_OWNER, /* the store is another connection's by now, or another daemon's */
    SWEEP_NEXT_END,   /* asked to stop */
};

static enum sweep_next sweep_on_error(struct tracker *t, const struct err *err)
{
    counters_add(CELL_TICKS_FAILED, err->kind != ERR_STOPPED);
    if (err->kind == ERR_STOPPED || (err->kind == ERR_FENCED && stop_asked()))
        return SWEEP_NEXT_END;
    counters_call_failed(CALL_SWEEP, err->text, wall_ms());
    log_warn_err("stale refresh: tick failed", err);
    return worker_reconnect(t, err) ? SWEEP_NEXT_OWNER : SWEEP_NEXT_TICK;
}

/* One tick of one balance. The next comes sooner than the interval only
 * while the store has no block to read at, the age of rows asks for it, or every row is due
 * (*hurry). */
static enum sweep_next sweep_run_tick(struct sweep_row *row, const struct conf *conf, int64_t due,
                                      int64_t *next_ms, bool *hurry)
{
    struct sweep *s = &row->sweep;
    struct sweep_report r;
    struct err err = {0};
    int64_t started = clock_ms();
    size_t batch = conf->sweep.batch;
    row->failed =
        pace_count(&row->pace, s->t, s->b, &err) < 0 || sweep_tick(s, batch, &r, &err) < 0;
    if (row->failed)
        return sweep_on_error(s->t, &err);
    sweep_count_tick(s, &r, clock_ms() - started);
    sweep_log_tick(s->b, &r);
    sweep_log_age(row, &r);
    row->broken = r.end == SWEEP_BROKEN || (row->broken && r.end != SWEEP_DONE);
    if (r.end == SWEEP_BROKEN)
        counters_call_failed(CALL_SWEEP, r.why.text, wall_ms());
    if (r.end == SWEEP_WAITING && *next_ms > clock_ms() + NOT_READY_MS)
        *next_ms = clock_ms() + NOT_READY_MS;
    /* Rows that are passed by now have an age, too. */
    if (r.end == SWEEP_EMPTY && r.passed_later && conf->sweep.max_age_ms &&
        *next_ms > clock_ms() + SWEEP_STILL_MS)
        *next_ms = clock_ms() + SWEEP_STILL_MS;
    if (r.end != SWEEP_DONE)
        return SWEEP_NEXT_TICK;
    int64_t wait = pace_wait(&row->pace, r.oldest_us, wall_seconds() * 1000000, r.requested);
    if (wait < conf->sweep.interval_ms && due + wait < *next_ms)
        *next_ms = due + wait;
    *hurry |= r.hurry || wait == 0;
    return SWEEP_NEXT_TICK;
}

/* A wallet that was listed just now, and a placeholder that was inserted, do not wait for a tick.
 * Where a tick left some, the ticks set the pace. */
static enum sweep_next sweep_read_first(struct sweep_row *row, const struct conf *conf)
{
    struct sweep *s = &row->sweep;
    struct sweep_report r;
    struct err err = {0};
    if (s->first_left)
        return SWEEP_NEXT_TICK;
    do {
        if (sweep_first_reads(s, conf->sweep.batch, &r, &err) < 0)
            return sweep_on_error(s->t, &err);
        if (r.requested > 0)
            sweep_log_tick(s->b, &r);
    } while (r.end == SWEEP_DONE && r.hurry && !stop_asked());
    return SWEEP_NEXT_TICK;
}

/* A command that reads the same rows goes first. What cannot be asked does not hold us up. */
static bool sweep_gives_way(struct tracker *t, struct takeover_watch *seen, bool *paused)
{
    struct arena arena;
    const char *job = NULL;
    struct err ignored;
    arena_init(&arena);
    if (job_running(t, seen, &arena, &job, &ignored) < 0)
        job = NULL;
    if (job && !*paused)
        log_info("stale refresh: paused while another job reads the rows", LOG_STR("job", job));
    else if (!job && *paused)
        log_info("stale refresh: resumed");
    *paused = job != NULL;
    arena_free(&arena);
    return *paused;
}

/* Sleeps until the next tick. */
static enum sweep_next sweep_wait(struct sweep_row *rows, size_t n, struct tracker *t,
                                  struct takeover_watch *job, bool *paused, int64_t due)
{
    enum sweep_next then = SWEEP_NEXT_TICK;
    int64_t look_ms = FIRST_MS + (int64_t)n * FIRST_BALANCE_MS;
    while (then == SWEEP_NEXT_TICK && clock_ms() + look_ms < due) {
        if (stop_wait(look_ms))
            return SWEEP_NEXT_END;
        bool may = housekeeping_may_spend(t, RPC_SWEEP, NULL) && !sweep_gives_way(t, job, paused);
        for (size_t i = 0; i < n && may && then == SWEEP_NEXT_TICK; i++)
            then = sweep_read_first(&rows[i], t->conf);
    }
    if (then != SWEEP_NEXT_TICK)
        return then;
    return stop_wait_until(due) ? SWEEP_NEXT_END : SWEEP_NEXT_TICK;
}

/* After a round of ticks. A broken balance passes its wallets by: that they are not asked again is
 * no success. */
static void sweep_count_round(const struct sweep_row *rows, size_t n, bool succeeded)
{
    struct counters_failing f;
    uint64_t broken = 0;
    for (size_t i = 0; i < n; i++) {
        broken += rows[i].broken;
        succeeded &= !rows[i].failed;
    }
    counters_set(CELL_BROKEN, broken);
    if (broken > 0 && counters_call_failing(CALL_SWEEP, &f))
        counters_call_failed(CALL_SWEEP, f.words, wall_ms());
    else if (succeeded)
        counters_call_succeeded(CALL_SWEEP);
}

/* Ticks are dropped behind one that took long: for what it did, or for what it waited in vain. */
static void sweep_drop_missed(int64_t *due, int64_t interval)
{
    uint64_t missed = pace_missed(due, clock_ms(), interval);
    struct counters_failing f;
    if (missed == 0)
        return;
    counters_add(CELL_TICKS_DROPPED, missed);
    if (counters_call_failing(CALL_SWEEP, &f))
        log_warn("stale refresh: ticks dropped, the last one failed", LOG_U64("dropped", missed),
                 LOG_U64("dropped_total", counters_sum(CELL_TICKS_DROPPED)),
                 LOG_STR("error", f.words));
    else
        log_warn("stale refresh: ticks dropped, the last one took too long",
                 LOG_U64("dropped", missed),
                 LOG_U64("dropped_total", counters_sum(CELL_TICKS_DROPPED)));
}

/* True: the store is to be joined anew. */
static bool sweep_run_loop(struct sweep_row *rows, size_t n, struct tracker *t,
                           struct learned *learned, bool once)
{
    enum sweep_next then = SWEEP_NEXT_TICK;
    const struct conf *conf = t->conf;
    int64_t due = clock_ms();
    bool paused = false;
    struct takeover_watch job = {0};
    do {
        int64_t next = due + conf->sweep.interval_ms;
        bool hurry = false;
        struct err ignored; /* sizes that are not kept cost some requests next time */
        bool may = housekeeping_may_spend(t, RPC_SWEEP, NULL) && !sweep_gives_way(t, &job, &paused);
        for (size_t i = 0; i < n && may && then == SWEEP_NEXT_TICK; i++)
            then = sweep_run_tick(&rows[i], conf, due, &next, &hurry);
        if (then == SWEEP_NEXT_END)
            return false;
        sweep_count_round(rows, n, may && then == SWEEP_NEXT_TICK);
        housekeeping_run(t, "sweep", false);
        learned_save(t, learned, false, &ignored);
        bool paced = hurry || next < due + conf->sweep.interval_ms;
        due = hurry || (paced && next < clock_ms()) ? clock_ms() : next;
        if (!paced)
            sweep_drop_missed(&due, conf->sweep.interval_ms);
        if (!once && then == SWEEP_NEXT_TICK)
            then = sweep_wait(rows, n, t, &job, &paused, due);
    } while (!once && then == SWEEP_NEXT_TICK);
    return then == SWEEP_NEXT_OWNER;
}

/* From what the store holds, for as long as it is ours; true: join it anew. */
static bool sweep_run_owner(struct tracker *t, bool once)
{
    const struct conf *conf = t->conf;
    struct learned learned;
    struct err ignored;
    struct sweep_row *rows = mem_zero(t->n_balances, sizeof *rows);
    for (size_t i = 0; i < t->n_balances; i++) {
        sweep_open(&rows[i].sweep, t, &t->balances[i]);
        pace_init(&rows[i].pace, conf->sweep.interval_ms, conf->sweep.max_age_ms);
    }
    learned_load(t, &learned, &ignored);
    bool again = sweep_run_loop(rows, t->n_balances, t, &learned, once);
    learned_save(t, &learned, true, &ignored);
    for (size_t i = 0; i < t->n_balances; i++)
        sweep_close(&rows[i].sweep);
    mem_free(rows);
    return again;
}

int worker_sweep(struct conf *conf, const struct worker_options *options, struct err *err)
{
    struct tracker t;
    struct takeover w;
    if (!worker_open(conf, "trueup sweep", &t, err))
        return worker_exit_status(err);
    takeover_open(&w, &t);
    log_info("starting stale-refresh sweep", LOG_I64("interval_ms", conf->sweep.interval_ms),
             LOG_U64("batch", conf->sweep.batch), LOG_I64("max_age_ms", conf->sweep.max_age_ms));
    while (worker_join(&w, FENCE_SWEEP) && sweep_run_owner(&t, options->once))
        ;
    housekeeping_run(&t, "sweep", true);
    if (!counters_shared())
        takeover_release(&w);
    takeover_close(&w);
    tracker_close(&t);
    return 0;
}
