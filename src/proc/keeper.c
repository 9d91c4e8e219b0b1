#include "proc/keeper.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "proc/child.h"
#include "proc/counters.h"

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

void keeper_init(struct keeper *k, const struct service *service, size_t slot)
{
    *k = (struct keeper){.service = service,
                         .slot = slot,
                         .state = service->settings.len ? KEEPER_WAITING : KEEPER_OFF};
    backoff_init(&k->backoff, RESTART_FLOOR_MS, RESTART_CEILING_MS, rng_seed_from_system());
}

/* ---- a start --------------------------------------------------------------------------------- */

static void start(struct keeper *k)
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
    k->state = KEEPER_RUNS;
    k->started_ms = clock_ms();
    counters_worker_started(k->slot, s->name, k->pid);
    log_info("worker started", LOG_STR("name", s->name), LOG_I64("pid", k->pid));
}

/* ---- while it runs --------------------------------------------------------------------------- */

/* By when it has to have given a sign. */
static int64_t silent_at(const struct keeper *k)
{
    int64_t sign = counters_alive_of(k->service->name);
    if (k->service->limits.patience_ms == 0 || !counters_shared())
        return INT64_MAX;
    return (sign > k->forgiven_ms ? sign : k->forgiven_ms) + k->service->limits.patience_ms;
}

static void end_by(struct keeper *k, enum keeper_state state, int sig, int64_t grace_ms)
{
    k->state = state;
    k->due_ms = clock_ms() + grace_ms;
    kill(k->pid, sig);
}

static void watch(struct keeper *k, int64_t now)
{
    if (now >= silent_at(k)) {
        log_error("worker hangs, killed", LOG_STR("name", k->service->name),
                  LOG_I64("silent_ms", k->service->limits.patience_ms));
        end_by(k, KEEPER_HUNG, SIGABRT, ABORT_MS);
    } else if (now - k->started_ms >= k->service->limits.well_ms && k->backoff.failures > 0) {
        backoff_reset(&k->backoff);
        k->n_deaths = k->parked ? 0 : k->n_deaths;
        if (k->parked) {
            k->parked = false;
            counters_worker_parked(k->slot, 0);
            log_info("worker is well again", LOG_STR("name", k->service->name));
        }
    }
}

void keeper_tick(struct keeper *k)
{
    int64_t now = clock_ms();
    switch (k->state) {
    case KEEPER_OFF:
        break;
    case KEEPER_WAITING:
        if (now >= k->due_ms)
            start(k);
        break;
    case KEEPER_RUNS:
        watch(k, now);
        break;
    case KEEPER_STOPPING:
    case KEEPER_HUNG:
        if (now >= k->due_ms)
            end_by(k, k->state, SIGKILL, ABORT_MS);
        break;
    }
}

int64_t keeper_due(const struct keeper *k)
{
    if (k->state == KEEPER_OFF)
        return INT64_MAX;
    if (k->state != KEEPER_RUNS)
        return k->due_ms;
    int64_t silent = silent_at(k), well = k->started_ms + k->service->limits.well_ms;
    return k->backoff.failures > 0 && well < silent ? well : silent;
}

void keeper_forgive(struct keeper *k)
{
    k->forgiven_ms = clock_ms();
}

/* ---- its end --------------------------------------------------------------------------------- */

static enum counters_death kind_of(const struct keeper *k, int exit_code, int sig)
{
    if (k->state == KEEPER_HUNG)
        return DEATH_HUNG;
    if (exit_code >= 0)
        return exit_code == MEM_EXIT_STATUS ? DEATH_MEMORY : DEATH_EXIT;
    switch (sig) {
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE:
    case SIGABRT:
    case SIGTRAP:
    case SIGSYS:
        return DEATH_CRASH;
    default:
        return DEATH_SIGNAL;
    }
}

static void reason_of(const struct keeper *k, enum counters_death how, const char *words,
                      char out[REASON_TEXT])
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
static bool is_spent(struct keeper *k, int64_t now)
{
    const struct service_limits *l = &k->service->limits;
    size_t most = l->deaths < KEEPER_DEATHS ? l->deaths : KEEPER_DEATHS;
    if (most == 0)
        return false;
    k->deaths[k->n_deaths++ % most] = now;
    return k->n_deaths >= most && now - k->deaths[k->n_deaths % most] <= l->within_ms;
}

static int64_t park(struct keeper *k, const char *reason)
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

static void mourn(struct keeper *k, enum counters_death how, const char *words)
{
    char reason[REASON_TEXT], where[COUNTERS_WORDS];
    int64_t now = clock_ms(), pause;
    reason_of(k, how, words, reason);
    counters_last_words_of(k->service->name, where);
    counters_worker_died(k->slot, how, reason);
    k->restarts++;
    if (is_spent(k, now) || k->parked)
        pause = park(k, reason);
    else
        pause = backoff_next(&k->backoff);
    k->state = KEEPER_WAITING;
    k->due_ms = now + pause;
    log_warn("worker died", LOG_STR("name", k->service->name), LOG_STR("reason", reason),
             LOG_STR("kind", counters_death_names[how]), LOG_STR(where[0] ? "where" : NULL, where),
             LOG_U64("restarts", k->restarts), LOG_I64("restart_in_ms", pause));
}

int keeper_bury(struct keeper *k, int status)
{
    char words[80];
    int exit_code;
    child_status_text(status, words, sizeof words, &exit_code);
    k->pid = 0;
    if (k->state == KEEPER_STOPPING) {
        bool gone = k->service->settings.len == 0;
        counters_worker_stopped(k->slot, gone);
        k->state = gone ? KEEPER_OFF : KEEPER_WAITING;
        k->due_ms = clock_ms();
        return 0;
    }
    if (exit_code == EXIT_CHAIN || exit_code == EXIT_SETTINGS) {
        counters_worker_died(k->slot, DEATH_EXIT, words);
        k->state = KEEPER_OFF;
        log_error("worker ends the daemon", LOG_STR("name", k->service->name),
                  LOG_STR("reason", words));
        return exit_code;
    }
    mourn(k, kind_of(k, exit_code, exit_code < 0 ? status & 0x7f : 0), words);
    return 0;
}

void keeper_renew(struct keeper *k)
{
    bool wanted = k->service->settings.len > 0;
    k->parked = false; /* what it died of may be mended */
    k->n_deaths = 0;
    counters_worker_parked(k->slot, 0);
    backoff_reset(&k->backoff);
    if (k->state == KEEPER_RUNS) {
        end_by(k, KEEPER_STOPPING, SIGTERM, STOP_MS);
    } else if (k->pid == 0) {
        k->state = wanted ? KEEPER_WAITING : KEEPER_OFF;
        k->due_ms = clock_ms();
        if (!wanted)
            counters_worker_stopped(k->slot, true);
    }
}
