/*
 * The beat of the lease: a thread with a connection of its own shows twice a second that this
 * daemon lives, also while a write of the follow worker waits for a lock. It carries what another
 * daemon needs to answer in this one's place.
 */
#ifndef TRACK_BEAT_H
#define TRACK_BEAT_H

#include "store/lease.h"

#include <stdbool.h>

struct beat;

struct beat_ask {
    const char *url;    /* of the store … */
    const char *schema; /* … and of its tables; may be NULL */
    int64_t every_ms;
    struct lease_owner owner;
    /* lease_beat() or fence_job_beat(), and its words; NULL: the follow worker's facts. */
    int (*beat)(struct store *s, const struct lease_owner *o, const char *text, bool *ret_held,
                struct err *err);
    const char *text;
};
/* The texts of ask stay the caller's. NULL: no thread is to be had. */
struct beat *beat_start(const struct beat_ask *ask, struct err *err);
/* The lease, or the job's fence, is another's by now. */
bool beat_is_lost(const struct beat *b);
void beat_stop(struct beat *b); /* NULL is fine */

#endif
