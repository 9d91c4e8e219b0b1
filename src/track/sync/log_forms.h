/*
 * Which forms of the question for logs each endpoint answers in full: tried at the start, hourly,
 * and after 1,000 blocks without an event of ours (rpc/logs.h). While no block with a log was
 * found, the next head whose bloom holds anything is a reason to try again.
 */
#ifndef TRACK_SYNC_LOG_FORMS_H
#define TRACK_SYNC_LOG_FORMS_H

#include "track/tracker.h"

struct log_forms_state {
    struct {
        bool loaded;         /* what an earlier process found */
        int64_t next_ms;     /* monotonic; 0: at once */
        int64_t tried_ms;    /* the last try … */
        int64_t tried_at_s;  /* … by the wall clock … */
        uint64_t tried_head; /* … and the head then */
        bool suspect;        /* every form left logs out: to be seen once more */
        unsigned in_vain;    /* tries for a bloom's sake that found no log: it may hold any bits */
    } endpoints[RPC_ENDPOINTS_MAX];
};

/* Tries the endpoints that are due and may be asked. head: the newest block known, or NULL. What
 * was found within the hour is kept in trueup_state and holds for the next process, too. */
void log_forms_run(struct tracker *t, struct log_forms_state *s, const struct header *head);

#endif
