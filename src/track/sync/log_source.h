/*
 * Which endpoint's answer each synced block rests on: when a log turns out to have been left out,
 * this tells who left it out. Kept as runs of blocks in trueup_state, a bounded number; what is
 * older, was synced by another program, or under other triggers, is not known.
 */
#ifndef TRACK_SYNC_LOG_SOURCE_H
#define TRACK_SYNC_LOG_SOURCE_H

#include "track/tracker.h"

enum { ANSWERED_RUNS = 32, ANSWERED_NAME = 81 };

struct answered {
    struct answered_run {
        uint64_t from; /* up to the next run's */
        char name[ANSWERED_NAME];
    } runs[ANSWERED_RUNS];
    size_t n;
    bool moved; /* since it was saved */
};

int answered_load(struct tracker *t, struct answered *ret, struct err *err);
int answered_save(struct tracker *t, struct answered *a, struct err *err);

/* From this block on the answers are this endpoint's; NULL: nobody's that we know. */
void answered_by(struct answered *a, uint64_t from, const char *endpoint);
/* NULL when it is not known. Lives as long as a. */
const char *answered_whose(const struct answered *a, uint64_t block);

#endif
