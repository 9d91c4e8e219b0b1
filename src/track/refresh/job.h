/*
 * A job: a command that writes many rows beside a running daemon. It owns fences of its own
 * (store/lease.h), one at a time on a store, and shows each second that it lives. The daemon's
 * sweep pauses meanwhile, so that no row is read twice. The follow worker does not pause.
 *
 * A killed command is replaced when its beat stood still for three seconds of another one's clock;
 * at once, when it was of this machine and its process is gone.
 */
#ifndef TRACK_REFRESH_JOB_H
#define TRACK_REFRESH_JOB_H

#include "track/takeover.h"
#include "track/tracker.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

enum { JOB_WORDS = 160 };

struct job {
    struct tracker *t;
    bool held;
    struct lease_owner owner;
    struct beat *beat;
    char words[JOB_WORDS]; /* "sweep, process 12 on host" */
};

/* job: "sweep", "backfill"; a word. l stays where it is until its release. Fails with ERR_FAILED,
 * and a hint, while another job runs. */
int job_take(struct job *l, struct tracker *t, const char *job, struct err *err);
/* Call it between steps. ERR_FAILED when another job has taken the fences meanwhile (this process
 * slept): stop, and say so. */
int job_check(const struct job *l, struct err *err);
/* Harmless when nothing is held. */
void job_release(struct job *l);

/* For the daemon: the job that runs now, in the arena; *ret NULL when none does. w: what was seen
 * before, at first all zero. */
int job_running(struct tracker *t, struct takeover_watch *w, struct arena *arena, const char **ret,
                struct err *err);

#endif
