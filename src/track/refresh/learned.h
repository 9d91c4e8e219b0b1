/*
 * What the readers learned of each endpoint, kept in trueup_learned. The next start begins with
 * requests of the right size. A loss costs a few requests, so it is no reason to fail.
 */
#ifndef TRACK_REFRESH_LEARNED_H
#define TRACK_REFRESH_LEARNED_H

#include "track/tracker.h"

struct learned {
    int64_t looked_ms; /* monotonic */
    uint64_t print;    /* of all texts as last stored */
};

/* Before the first read. */
int learned_load(struct tracker *t, struct learned *l, struct err *err);
/* Stores what has changed, at most once a minute unless it is the last time. */
int learned_save(struct tracker *t, struct learned *l, bool last, struct err *err);

#endif
