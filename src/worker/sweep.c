/*
 * Worker sweep: every interval, one tick per balance. A tick that comes due while the last still runs
 * is dropped and counted, so a slow node cannot pile up work.
 */
#include "track/sweep.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "proc/counters.h"
#include "proc/stop.h"
#include "worker/worker.h"

enum { NOT_READY_MS = 1000 };

static void count(const struct sweep *s, const struct sweep_report *r, int64_t took_ms)
{
    bool read = r->end == SWEEP_DONE || r->end == SWEEP_EMPTY;
    counters_add(read ? CELL_TICKS_DONE : CELL_TICKS_FAILED, r->end != SWEEP_WAITING);
    counters_set(CELL_TICK_MS, (uint64_t)took_ms);
    counters_set(CELL_TICK_ROWS, r->requested);
    counters_set(CELL_BATCH, reads_batch_size(s->t->reads, &s->b->shape));
    worker_note_readers(s->t);
    if (read)
        counters_lap((size_t)(s->b - s->t->balances), r->lap, r->updated);
}

static void report(const struct tracked *b, const struct sweep_report *r)
{
    switch (r->end) {
    case SWEEP_DONE:
        log_info("stale refresh: tick complete", LOG_STR("balance", b->conf->name),
                 LOG_U64("requested", r->requested), LOG_U64("updated", r->updated),
                 LOG_U64("quarantined", r->quarantined));
        break;
    case SWEEP_EMPTY:
        log_debug("stale refresh: nothing due", LOG_STR("balance", b->conf->name));
        break;
    case SWEEP_WAITING:
        log_debug("stale refresh: waiting", LOG_STR("balance", b->conf->name),
                  LOG_STR("reason", r->why.text));
        break;
    case SWEEP_BROKEN:
        log_error_err("stale refresh: a term fails for everybody", &r->why);
        break;
    }
}

/* One tick of one balance; false when asked to stop. The next comes sooner than the interval only
 * while the store has no block to read at (*next_ms) or every row is due (*hurry). */
static bool tick(struct sweep *s, size_t batch, int64_t *next_ms, bool *hurry)
{
    struct sweep_report r;
    struct err err = {0};
    int64_t started = clock_ms();
    if (sweep_tick(s, batch, &r, &err) < 0) {
        counters_add(CELL_TICKS_FAILED, err.kind != ERR_STOPPED);
        if (err.kind == ERR_STOPPED)
            return false;
        log_warn_err("stale refresh: tick failed", &err);
        worker_mend(s->t, &err);
        return true;
    }
    count(s, &r, clock_ms() - started);
    report(s->b, &r);
    if (r.end == SWEEP_WAITING && *next_ms > clock_ms() + NOT_READY_MS)
        *next_ms = clock_ms() + NOT_READY_MS;
    *hurry |= r.hurry && r.end == SWEEP_DONE;
    return true;
}

static void drop_missed(int64_t *due, int64_t interval)
{
    int64_t now = clock_ms();
    if (*due > now)
        return;
    uint64_t missed = (uint64_t)((now - *due) / interval) + 1;
    counters_add(CELL_TICKS_DROPPED, missed);
    *due += (int64_t)missed * interval;
    log_warn("stale refresh: ticks dropped, the last one took too long", LOG_U64("dropped", missed),
             LOG_U64("dropped_total", counters_sum(CELL_TICKS_DROPPED)));
}

static void loop(struct sweep *sweeps, size_t n, const struct conf *conf, bool once)
{
    int64_t due = clock_ms();
    do {
        int64_t next = due + conf->sweep.interval_ms;
        bool hurry = false;
        for (size_t i = 0; i < n; i++)
            if (!tick(&sweeps[i], conf->sweep.batch, &next, &hurry))
                return;
        due = hurry ? clock_ms() : next;
        if (!hurry)
            drop_missed(&due, conf->sweep.interval_ms);
    } while (!once && !stop_wait_until(due));
}

int worker_sweep(struct conf *conf, const struct worker_options *options, struct err *err)
{
    struct tracker t;
    if (!worker_open(conf, "trueup sweep", &t, err))
        return exit_status(err);
    struct sweep *sweeps = mem_zero(t.n_balances, sizeof *sweeps);
    for (size_t i = 0; i < t.n_balances; i++)
        sweep_open(&sweeps[i], &t, &t.balances[i]);
    log_info("starting stale-refresh sweep", LOG_I64("interval_ms", conf->sweep.interval_ms),
             LOG_U64("batch", conf->sweep.batch));
    loop(sweeps, t.n_balances, conf, options->once);
    for (size_t i = 0; i < t.n_balances; i++)
        sweep_close(&sweeps[i]);
    mem_free(sweeps);
    tracker_close(&t);
    return 0;
}
