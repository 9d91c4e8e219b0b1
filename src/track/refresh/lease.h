/*
 * The job lease: a command that writes many rows beside a running daemon says so in the store, and
 * the daemon's sweep pauses meanwhile, so that the two do not read the same rows twice. Follow does
 * not pause. Nothing that is true of a row depends on it: a lease lost in the middle costs
 * requests, never a balance.
 *
 * It ends by the database's clock, so that a killed command holds nobody up for long; a job of this
 * machine whose process is gone is taken over at once.
 */
#ifndef TRACK_REFRESH_LEASE_H
#define TRACK_REFRESH_LEASE_H

#include "track/tracker.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

enum { LEASE_SECONDS = 20, LEASE_HOLDER = 160 };

struct lease {
    struct tracker *t;
    bool held;
    char holder[LEASE_HOLDER];
    int64_t renewed_ms;
};

/* job: "sweep", "backfill"; a word. Fails with ERR_FAILED, and a hint, while another job runs. */
int lease_take(struct lease *l, struct tracker *t, const char *job, struct err *err);
/* Call it between steps: writes only when a third of the time has passed. ERR_FAILED when another
 * job has taken it meanwhile (this process slept): stop, and say so. */
int lease_renew(struct lease *l, struct err *err);
/* Harmless when nothing is held. What cannot be written runs out by itself. */
void lease_release(struct lease *l);

/* For the daemon: the job that runs now ("sweep, process 12 on host"), in the arena; *ret NULL when
 * none does. */
int lease_running(struct tracker *t, struct arena *arena, const char **ret, struct err *err);

#endif
