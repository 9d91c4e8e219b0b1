/*
 * One worker process, as the supervisor sees it: started, watched, reaped, started again.
 *
 *     OFF ──► WAITING ──► RUNS ──► (death) ──► WAITING, with back-off
 *                          │ ├──► STOPPING: asked to end, for other settings or for good
 *                          │ └──► HUNG: no sign of life for its patience; SIGABRT, so that it
 *                          │      reports where it stands, and soon after SIGKILL
 *                          └──── runs for a minute: the back-off begins anew
 *
 * A worker that dies too often within a time has spent its budget and is *parked*: health is red
 * with the reason, and it is tried again slowly. The other workers go on.
 */
#ifndef PROC_WORKER_PROCESS_H
#define PROC_WORKER_PROCESS_H

#include "base/backoff.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { WORKER_DEATHS_MAX = 32 }; /* the largest budget */

struct service_limits {
    size_t deaths;       /* so many within … */
    int64_t within_ms;   /* … this time spend the budget */
    int64_t parked_ms;   /* then this long until each next try */
    int64_t patience_ms; /* without a sign of life: it hangs (proc/alive.h) */
    int64_t well_ms;     /* alive this long: the next death starts the back-off anew */
};

struct service {         /* in the order of start; stopped in the reverse order */
    const char *name;    /* "follow": run as `trueup worker follow` */
    struct buf settings; /* the text it gets; empty: it is not wanted, and does not run */
    struct service_limits limits;
};

enum worker_process_state { WORKER_OFF, WORKER_WAITING, WORKER_RUNS, WORKER_STOPPING, WORKER_HUNG };

struct worker_process {
    const struct service *service;
    size_t slot; /* its place in the counters */
    enum worker_process_state state;
    pid_t pid;           /* 0: not running */
    int64_t started_ms;  /* monotonic, as all times here */
    int64_t due_ms;      /* WAITING: its start; STOPPING, HUNG: SIGKILL */
    int64_t forgiven_ms; /* silence before this does not count */
    unsigned long restarts;
    struct backoff backoff;
    int64_t deaths[WORKER_DEATHS_MAX]; /* the last ones: a ring of limits.deaths */
    size_t n_deaths;
    bool parked;
};

void worker_process_init(struct worker_process *k, const struct service *service, size_t slot);
/* Does what is due: starts, kills, finds it hung, or well again. */
void worker_process_tick(struct worker_process *k);
/* When the next tick is due; INT64_MAX: only an exit or other settings change anything. */
int64_t worker_process_due(const struct worker_process *k);
/* The process has ended with this wait status. Returns the exit status that ends the daemon, or 0.
 */
int worker_process_on_exit(struct worker_process *k, int status);
/* The service's settings have changed: ends the process, starts it, or both. */
void worker_process_apply_settings(struct worker_process *k);
/* The supervisor itself stood still: silence before now does not count. */
void worker_process_forgive(struct worker_process *k);

#endif
