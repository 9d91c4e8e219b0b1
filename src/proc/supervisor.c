#include "proc/supervisor.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "proc/counters.h"
#include "proc/reload.h"
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
    STOP_GRACE_MS = 1500, /* then SIGKILL: all is down within two seconds */
    /* Waking so much later than we wanted means that we stood still (a paused container, a laptop's
     * lid), and then so did the others. */
    OVERSLEPT_MS = 5000,
};

struct supervisor {
    struct supervision *ask;
    struct worker_process *processes;
    size_t n;
    struct reload reload;
    int signals;
};

/* ---- settings that were read again ----------------------------------------------------------- */

static bool supervisor_same_text(const struct buf *b, const char *text, size_t n)
{
    return b->len == n && (n == 0 || memcmp(b->data, text, n) == 0);
}

static bool supervisor_take_settings(struct supervisor *s, const char *name, const char *text,
                                     size_t n)
{
    for (size_t i = 0; i < s->n; i++) {
        struct service *service = &s->ask->services[i];
        if (strcmp(service->name, name) != 0)
            continue;
        if (supervisor_same_text(&service->settings, text, n))
            return true;
        buf_clear(&service->settings);
        buf_add(&service->settings, text, n);
        log_info("worker reconfigured", LOG_STR("name", name),
                 LOG_STR("runs", n ? "yes" : "not wanted"));
        worker_process_apply_settings(&s->processes[i]);
        return true;
    }
    return false;
}

static void supervisor_take_answer(struct supervisor *s)
{
    const char *name, *text;
    size_t at = 0, n;
    while (reload_part(&s->reload, &at, &name, &text, &n))
        if (!supervisor_take_settings(s, name, text, n) && s->ask->on_part)
            s->ask->on_part(name, text, n);
    log_info("settings were read again");
}

/* ---- the loop -------------------------------------------------------------------------------- */

/* Reaps whoever died, orphans too: we may be PID 1. Returns the exit status that ends the daemon,
 * or 0. */
static int supervisor_reap(struct supervisor *s)
{
    int ends = 0, status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == s->reload.pid) {
            if (reload_ended(&s->reload, status))
                supervisor_take_answer(s);
            reload_done(&s->reload);
        }
        for (size_t i = 0; i < s->n; i++)
            if (s->processes[i].pid == pid) {
                int code = worker_process_on_exit(&s->processes[i], status);
                ends = ends ? ends : code;
            }
    }
    return ends;
}

/* Does what is due, and returns when the next thing is. */
static int64_t supervisor_tick(struct supervisor *s)
{
    reload_tick(&s->reload);
    int64_t next = reload_due(&s->reload);
    for (size_t i = 0; i < s->n; i++) {
        worker_process_tick(&s->processes[i]);
        int64_t due = worker_process_due(&s->processes[i]);
        next = due < next ? due : next;
    }
    return next;
}

static void supervisor_sleep_until(struct supervisor *s, int64_t due_ms)
{
    struct pollfd p[] = {{.fd = s->signals, .events = POLLIN},
                         {.fd = s->reload.fd, .events = POLLIN}};
    poll(p, COUNT_OF(p), due_ms == INT64_MAX ? -1 : ms_until(due_ms));
    if (due_ms == INT64_MAX || clock_ms() - due_ms < OVERSLEPT_MS)
        return;
    log_warn("the machine was suspended for a while", LOG_I64("late_ms", clock_ms() - due_ms));
    for (size_t i = 0; i < s->n; i++)
        worker_process_forgive(&s->processes[i]);
}

/* True when asked to stop. */
static bool supervisor_take_signals(struct supervisor *s)
{
    struct signalfd_siginfo info;
    while (read(s->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
            return true;
        if (info.ssi_signo == SIGHUP && s->ask->reload)
            reload_begin(&s->reload);
    }
    return false;
}

static int supervisor_loop(struct supervisor *s)
{
    if (stop_asked()) /* before the signals were ours */
        return 0;
    for (;;) {
        supervisor_sleep_until(s, supervisor_tick(s));
        if (supervisor_take_signals(s))
            return 0;
        reload_read(&s->reload);
        int ends = supervisor_reap(s);
        if (ends)
            return ends;
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

static bool supervisor_wait_gone(pid_t pid, int64_t deadline_ms)
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
static void supervisor_stop_all(struct supervisor *s)
{
    int64_t deadline = clock_ms() + STOP_GRACE_MS;
    counters_set(CELL_STOPPING, 1);
    if (s->reload.pid)
        kill(s->reload.pid, SIGKILL);
    for (size_t i = s->n; i-- > 0;)
        if (s->processes[i].pid)
            kill(s->processes[i].pid, SIGTERM);
    for (size_t i = s->n; i-- > 0;) {
        const struct worker_process *k = &s->processes[i];
        if (!k->pid || supervisor_wait_gone(k->pid, deadline))
            continue;
        log_warn("worker did not stop in time, killed", LOG_STR("name", k->service->name));
        kill(k->pid, SIGKILL);
        waitpid(k->pid, NULL, 0);
    }
}

static int supervisor_open_signals(struct err *err)
{
    const int ours[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < COUNT_OF(ours); i++)
        sigaddset(&set, ours[i]);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return err_set(err, ERR_FAILED, "sigprocmask: %s", strerror(errno));
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd >= 0 ? fd : err_set(err, ERR_FAILED, "signalfd: %s", strerror(errno));
}

int supervisor_run(struct supervision *ask, struct err *err)
{
    struct supervisor s = {.ask = ask,
                           .n = ask->n,
                           .reload = {.text = ask->reload,
                                      .n = ask->reload_len,
                                      .patience_ms = ask->reload_ms,
                                      .fd = -1},
                           .signals = supervisor_open_signals(err)};
    if (s.signals < 0)
        return 1;
    s.processes = mem_zero(s.n + 1, sizeof *s.processes);
    for (size_t i = 0; i < s.n; i++)
        worker_process_init(&s.processes[i], &ask->services[i], i);
    int status = supervisor_loop(&s);
    log_info("stopping");
    supervisor_stop_all(&s);
    buf_free(&s.reload.answer);
    close(s.signals);
    mem_free(s.processes);
    return status;
}
