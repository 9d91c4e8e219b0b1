/*
 * The job lease. A command that writes many rows beside a running daemon takes it in the store, and
 * the daemon's sweep pauses meanwhile, so that no row is read twice. The follow worker does not
 * pause. No balance depends on the lease: when it is lost in the middle, some requests are made
 * twice.
 *
 * The lease ends by the database's clock, so a killed command blocks others only for seconds. A job
 * of this machine whose process is gone is replaced at once.
 */
#ifndef TRACK_REFRESH_JOB_H
#define TRACK_REFRESH_JOB_H

#include "track/tracker.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

enum { JOB_SECONDS = 20, JOB_HOLDER = 160 };

struct job {
    struct tracker *t;
    bool held;
    char holder[JOB_HOLDER];
    int64_t renewed_ms;
};

/* job: "sweep", "backfill"; a word. Fails with ERR_FAILED, and a hint, while another job runs. */
int job_take(struct job *l, struct tracker *t, const char *job, struct err *err);
/* Call it between steps: writes only when a third of the time has passed. ERR_FAILED when another
 * job has taken it meanwhile (this process slept): stop, and say so. */
int job_renew(struct job *l, struct err *err);
/* Harmless when nothing is held. What cannot be written runs out by itself. */
void job_release(struct job *l);

/* For the daemon: the job that runs now ("sweep, process 12 on host"), in the arena; *ret NULL when
 * none does. */
int job_running(struct tracker *t, struct arena *arena, const char **ret, struct err *err);

#endif
