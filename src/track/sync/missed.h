/*
 * What only a second look found: its logs are compared with the names of the first looks. New
 * events are read at the newest block and filed as missed_log; an event of a first look that the
 * answer lacks makes the answer doubtful.
 */
#ifndef TRACK_SYNC_MISSED_H
#define TRACK_SYNC_MISSED_H

#include "rpc/logs.h"
#include "track/sync/follow.h"

struct missed {
    struct follow *f;
    struct follow_balance *fb;
    uint64_t from, to; /* blocks above the one, up to the other */
    const struct logs *logs;
    bool lacking_counts; /* an answer that lacks events of the first look does not count */

    bool lacks;   /* it does, and nothing was read */
    bool blocked; /* what was found could not be read or written */
    bool unsure;  /* more names than can be compared: nothing is filed */
    struct missed_known *known;
    size_t n_known;
    struct affected_set found;
};

/* *why is set when the answer lacks events, or the reading is blocked. −1: a request or the store
 * failed. */
int missed_read(struct missed *m, struct second_look_report *ret, struct err *why, struct err *err);
void missed_free(struct missed *m);

#endif
