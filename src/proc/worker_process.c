#include "proc/worker_process.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "proc/child.h"
#include "proc/counters.h"
#include "proc/crash_report.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum {
    RESTART_FLOOR_MS = 100,
    RESTART_CEILING_MS = 30000,
    STOP_MS = 1500,  /* to end by itself when asked */
    ABORT_MS = 3000, /* to say where it hangs */
    REASON_TEXT = 160,
};

enum { EXIT_SETTINGS = 2, EXIT_CHAIN = 4 }; /* answers, not faults */

void worker_process_init(struct worker_process *k, const struct service *service, size_t slot)
{
    *k = (struct worker_process){.service = service,
                                 .slot = slot,
                                 .state = service->settings.len ? WORKER_WAITING : WORKER_OFF};
    backoff_init(&k->backoff, RESTART_FLOOR_MS, RESTART_CEILING_MS, rng_seed_from_system());
}

/* ---- a start --------------------------------------------------------------------------------- */

static void worker_process_start(struct worker_process *k)
{
    const struct service *s = k->service;
    struct child_ask ask = {.role = s->name, .text = buf_str(&s->settings), .n = s->settings.len};
    struct err err = {0};
    counters_worker_starting(s->name);
    if (child_start(&ask, NULL, &k->pid, &err) < 0) {
        k->pid = 0;
        k->due_ms = clock_ms() + backoff_next(&k->backoff);
        log_error_err("worker cannot be started", &err);
        return;
    }
    k->state = WORKER_RUNS;
    k->started_ms = clock_ms();
    counters_worker_started(k->slot, s->name, k->pid);
    log_info("worker started", LOG_STR("name", s->name), LOG_I64("pid", k->pid));
}

/* ---- while it runs --------------------------------------------------------------------------- */

/* By when it has to have given a sign. */
static int64_t worker_process_silent_at(const struct worker_process *k)
{
    int64_t sign = counters_alive_of(k->service->name);
    if (k->service->limits.patience_ms == 0 || !counters_shared())
        return INT64_MAX;
    return (sign > k->forgiven_ms ? sign : k->forgiven_ms) + k->service->limits.patience_ms;
}

static void worker_process_signal(struct worker_process *k, enum worker_process_state state,
                                  int sig, int64_t grace_ms)
{
    k->state = state;
    k->due_ms = clock_ms() + grace_ms;
    kill(k->pid, sig);
}

static void worker_process_watch(struct worker_process *k, int64_t now)
{
    if (now >= worker_process_silent_at(k)) {
        log_error("worker hangs, killed", LOG_STR("name", k->service->name),
                  LOG_I64("silent_ms", k->service->limits.patience_ms));
        worker_process_signal(k, WORKER_HUNG, SIGABRT, ABORT_MS);
    } else if (now - k->started_ms >= k->service->limits.well_ms && k->backoff.failures > 0) {
        backoff_reset(&k->backoff);
        k->n_deaths = k->parked ? 0 : k->n_deaths;
        if (k->parked) {
            k->parked = false;
            counters_worker_parked(k->slot, 0);
            log_info("worker recovered", LOG_STR("name", k->service->name));
        }
    }
}

void worker_process_tick(struct worker_process *k)
{
    int64_t now = clock_ms();
    switch (k->state) {
    case WORKER_OFF:
        break;
    case WORKER_WAITING:
        if (now >= k->due_ms)
            worker_process_start(k);
        break;
    case WORKER_RUNS:
        worker_process_watch(k, now);
        break;
    case WORKER_STOPPING:
    case WORKER_HUNG:
        if (now >= k->due_ms)
            worker_process_signal(k, k->state, SIGKILL, ABORT_MS);
        break;
    }
}

int64_t worker_process_due(const struct worker_process *k)
{
    if (k->state == WORKER_OFF)
        return INT64_MAX;
    if (k->state != WORKER_RUNS)
        return k->due_ms;
    int64_t silent = worker_process_silent_at(k), well = k->started_ms + k->service->limits.well_ms;
    return k->backoff.failures > 0 && well < silent ? well : silent;
}

void worker_process_forgive(struct worker_process *k)
{
    k->forgiven_ms = clock_ms();
}

/* ---- its end --------------------------------------------------------------------------------- */

static enum counters_death worker_process_death_kind(const struct worker_process *k, int exit_code,
                                                     int sig)
{
    if (k->state == WORKER_HUNG)
        return DEATH_HUNG;
    if (exit_code >= 0)
        return exit_code == MEM_EXIT_STATUS ? DEATH_MEMORY : DEATH_EXIT;
    return crash_report_is_fatal(sig) ? DEATH_CRASH : DEATH_SIGNAL;
}

static void worker_process_exit_reason(const struct worker_process *k, enum counters_death how,
                                       const char *words, char out[REASON_TEXT])
{
    if (how == DEATH_HUNG)
        snprintf(out, REASON_TEXT, "hung: no sign of life for %" PRId64 " ms, ended with %s",
                 k->service->limits.patience_ms, words);
    else if (how == DEATH_MEMORY)
        snprintf(out, REASON_TEXT, "out of memory, %s", words);
    else
        snprintf(out, REASON_TEXT, "%s", words);
}

/* So many deaths in so short a time: trying again at once is of no use. */
static bool worker_process_is_spent(struct worker_process *k, int64_t now)
{
    const struct service_limits *l = &k->service->limits;
    size_t most = l->deaths < WORKER_DEATHS_MAX ? l->deaths : WORKER_DEATHS_MAX;
    if (most == 0)
        return false;
    k->deaths[k->n_deaths++ % most] = now;
    return k->n_deaths >= most && now - k->deaths[k->n_deaths % most] <= l->within_ms;
}

static int64_t worker_process_park(struct worker_process *k, const char *reason)
{
    int64_t pause = k->service->limits.parked_ms;
    log_error("worker is parked: it died too often", LOG_STR("name", k->service->name),
              LOG_STR("reason", reason), LOG_U64("deaths", k->service->limits.deaths),
              LOG_I64("within_ms", k->service->limits.within_ms), LOG_I64("next_try_in_ms", pause));
    k->parked = true;
    backoff_next(&k->backoff); /* not well again before it has run for a while */
    counters_worker_parked(k->slot, wall_seconds() + (pause + 999) / 1000);
    return pause;
}

static void worker_process_on_crash(struct worker_process *k, enum counters_death how,
                                    const char *words)
{
    char reason[REASON_TEXT], where[COUNTERS_WORDS];
    int64_t now = clock_ms(), pause;
    worker_process_exit_reason(k, how, words, reason);
    counters_crash_report_of(k->service->name, where);
    counters_worker_died(k->slot, how, reason);
    k->restarts++;
    if (worker_process_is_spent(k, now) || k->parked)
        pause = worker_process_park(k, reason);
    else
        pause = backoff_next(&k->backoff);
    k->state = WORKER_WAITING;
    k->due_ms = now + pause;
    log_warn("worker died", LOG_STR("name", k->service->name), LOG_STR("reason", reason),
             LOG_STR("kind", counters_death_names[how]), LOG_STR(where[0] ? "where" : NULL, where),
             LOG_U64("restarts", k->restarts), LOG_I64("restart_in_ms", pause));
}

int worker_process_on_exit(struct worker_process *k, int status)
{
    char words[80];
    int exit_code;
    child_status_text(status, words, sizeof words, &exit_code);
    k->pid = 0;
    if (k->state == WORKER_STOPPING) {
        bool gone = k->service->settings.len == 0;
        counters_worker_stopped(k->slot, gone);
        k->state = gone ? WORKER_OFF : WORKER_WAITING;
        k->due_ms = clock_ms();
        return 0;
    }
    if (exit_code == EXIT_CHAIN || exit_code == EXIT_SETTINGS) {
        counters_worker_died(k->slot, DEATH_EXIT, words);
        k->state = WORKER_OFF;
        log_error("worker ends the daemon", LOG_STR("name", k->service->name),
                  LOG_STR("reason", words));
        return exit_code;
    }
    worker_process_on_crash(
        k, worker_process_death_kind(k, exit_code, exit_code < 0 ? status & 0x7f : 0), words);
    return 0;
}

void worker_process_apply_settings(struct worker_process *k)
{
    bool wanted = k->service->settings.len > 0;
    k->parked = false; /* what it died of may be mended */
    k->n_deaths = 0;
    counters_worker_parked(k->slot, 0);
    backoff_reset(&k->backoff);
    if (k->state == WORKER_RUNS) {
        worker_process_signal(k, WORKER_STOPPING, SIGTERM, STOP_MS);
    } else if (k->pid == 0) {
        k->state = wanted ? WORKER_WAITING : WORKER_OFF;
        k->due_ms = clock_ms();
        if (!wanted)
            counters_worker_stopped(k->slot, true);
    }
}
