/*
 * One worker's life, as the supervisor sees it: started, watched, buried, started again.
 *
 *     OFF ──► WAITING ──► RUNS ──► (death) ──► WAITING, with back-off
 *                          │ ├──► STOPPING: asked to end, for other settings or for good
 *                          │ └──► HUNG: no sign of life for its patience; SIGABRT, so that it says
 *                          │      where it stands, and soon after SIGKILL
 *                          └──── runs for a minute: the back-off begins anew
 *
 * A worker that dies too often within a time has spent its budget and is *parked*: health is red
 * and says why, and it is tried again slowly. Nobody else stops for it.
 */
#ifndef PROC_KEEPER_H
#define PROC_KEEPER_H

#include "base/backoff.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { KEEPER_DEATHS = 32 }; /* the largest budget */

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

enum keeper_state { KEEPER_OFF, KEEPER_WAITING, KEEPER_RUNS, KEEPER_STOPPING, KEEPER_HUNG };

struct keeper {
    const struct service *service;
    size_t slot; /* its place in the counters */
    enum keeper_state state;
    pid_t pid;           /* 0: not running */
    int64_t started_ms;  /* monotonic, as all times here */
    int64_t due_ms;      /* WAITING: its start; STOPPING, HUNG: SIGKILL */
    int64_t forgiven_ms; /* silence before this does not count */
    unsigned long restarts;
    struct backoff backoff;
    int64_t deaths[KEEPER_DEATHS]; /* the last ones: a ring of limits.deaths */
    size_t n_deaths;
    bool parked;
};

void keeper_init(struct keeper *k, const struct service *service, size_t slot);
/* Does what is due: starts, kills, finds it hung, or well again. */
void keeper_tick(struct keeper *k);
/* When it wants the next tick; INT64_MAX: only a death or a wish changes anything. */
int64_t keeper_due(const struct keeper *k);
/* It is dead, with this wait status. Returns the exit status that ends the daemon, or 0. */
int keeper_bury(struct keeper *k, int status);
/* The service's settings are other ones now: ends it, starts it, or both. */
void keeper_renew(struct keeper *k);
/* We did not run ourselves for a while: nobody's silence during it counts. */
void keeper_forgive(struct keeper *k);

#endif
