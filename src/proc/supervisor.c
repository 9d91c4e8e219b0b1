#include "proc/supervisor.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "proc/child.h"
#include "proc/counters.h"
#include "proc/stop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    RESTART_FLOOR_MS = 100,
    RESTART_CEILING_MS = 30000,
    HEALTHY_AFTER_MS = 60000, /* alive this long: the next death starts the back-off anew */
    STOP_GRACE_MS = 1500,     /* then SIGKILL: all is down within two seconds */
};

enum { EXIT_SETTINGS = 2, EXIT_CHAIN = 4 };

struct running {
    const struct service *service;
    size_t slot; /* its place in the counters */
    pid_t pid;   /* 0: not running */
    int64_t started_ms;
    int64_t start_at_ms; /* when not running */
    unsigned long restarts;
    struct backoff backoff;
};

static void start_one(struct running *r)
{
    struct err err = {0};
    char *argv[] = {(char *)(uintptr_t) "trueup", (char *)(uintptr_t) "worker",
                    (char *)(uintptr_t)r->service->name, NULL};
    if (child_start(argv, r->service->settings, r->service->settings_len, NULL, &r->pid, &err) <
        0) {
        r->pid = 0;
        r->start_at_ms = clock_ms() + backoff_next(&r->backoff);
        log_error_err("worker cannot be started", &err);
        return;
    }
    r->started_ms = clock_ms();
    counters_worker_started(r->slot, r->service->name, r->pid);
    log_info("worker started", LOG_STR("name", r->service->name), LOG_I64("pid", r->pid));
}

static void start_due(struct running *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (list[i].pid == 0 && clock_ms() >= list[i].start_at_ms)
            start_one(&list[i]);
}

/* Milliseconds until the next start is due; −1 when everybody runs. */
static int next_start(const struct running *list, size_t n)
{
    int soonest = -1;
    for (size_t i = 0; i < n; i++) {
        int left = list[i].pid ? -1 : ms_until(list[i].start_at_ms);
        if (left >= 0 && (soonest < 0 || left < soonest))
            soonest = left;
    }
    return soonest;
}

/* One death: the obituary, and when it is started again. Returns the exit status that ends the
 * daemon, or 0. */
static int bury(struct running *r, int status)
{
    char words[80];
    int exit_code;
    child_status_text(status, words, sizeof words, &exit_code);
    r->pid = 0;
    counters_worker_died(r->slot, exit_code < 0 ? DEATH_SIGNAL : DEATH_EXIT, words);
    if (exit_code == EXIT_CHAIN || exit_code == EXIT_SETTINGS) {
        log_error("worker ends the daemon", LOG_STR("name", r->service->name),
                  LOG_STR("reason", words));
        return exit_code;
    }
    if (clock_ms() - r->started_ms >= HEALTHY_AFTER_MS)
        backoff_reset(&r->backoff);
    int64_t pause = backoff_next(&r->backoff);
    r->start_at_ms = clock_ms() + pause;
    r->restarts++;
    log_warn("worker died", LOG_STR("name", r->service->name), LOG_STR("reason", words),
             LOG_U64("restarts", r->restarts), LOG_I64("restart_in_ms", pause));
    return 0;
}

/* Reaps whoever died, orphans too: we may be PID 1. */
static int reap(struct running *list, size_t n)
{
    int ends = 0, status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (size_t i = 0; i < n; i++)
            if (list[i].pid == pid) {
                int code = bury(&list[i], status);
                ends = ends ? ends : code;
            }
    return ends;
}

static bool wait_gone(pid_t pid, int64_t deadline_ms)
{
    while (waitpid(pid, NULL, WNOHANG) == 0) {
        struct timespec pause = {.tv_nsec = 5000000};
        if (clock_ms() >= deadline_ms)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

/* All are asked at once, last started first; those that do not go in time are killed. */
static void stop_all(struct running *list, size_t n)
{
    int64_t deadline = clock_ms() + STOP_GRACE_MS;
    for (size_t i = n; i-- > 0;)
        if (list[i].pid)
            kill(list[i].pid, SIGTERM);
    for (size_t i = n; i-- > 0;) {
        if (!list[i].pid || wait_gone(list[i].pid, deadline))
            continue;
        log_warn("worker did not stop in time, killed", LOG_STR("name", list[i].service->name));
        kill(list[i].pid, SIGKILL);
        waitpid(list[i].pid, NULL, 0);
    }
}

static int take_signals(sigset_t *set, struct err *err)
{
    sigemptyset(set);
    sigaddset(set, SIGCHLD);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    if (sigprocmask(SIG_BLOCK, set, NULL) < 0)
        return err_set(err, ERR_FAILED, "sigprocmask: %s", strerror(errno));
    int fd = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd >= 0 ? fd : err_set(err, ERR_FAILED, "signalfd: %s", strerror(errno));
}

static int loop(struct running *list, size_t n, int signals)
{
    if (stop_asked()) /* before the signals were ours */
        return 0;
    for (;;) {
        struct pollfd p = {.fd = signals, .events = POLLIN};
        struct signalfd_siginfo info;
        start_due(list, n);
        poll(&p, 1, next_start(list, n));
        while (read(signals, &info, sizeof info) == (ssize_t)sizeof info)
            if (info.ssi_signo != SIGCHLD)
                return 0;
        int ends = reap(list, n);
        if (ends)
            return ends;
    }
}

int supervise(const struct service *services, size_t n, struct err *err)
{
    sigset_t set;
    int signals = take_signals(&set, err);
    if (signals < 0)
        return 1;
    struct running *list = mem_zero(n + 1, sizeof *list);
    for (size_t i = 0; i < n; i++) {
        list[i].service = &services[i];
        list[i].slot = i;
        backoff_init(&list[i].backoff, RESTART_FLOOR_MS, RESTART_CEILING_MS,
                     rng_seed_from_system());
    }
    int status = loop(list, n, signals);
    log_info("stopping");
    stop_all(list, n);
    close(signals);
    mem_free(list);
    return status;
}
