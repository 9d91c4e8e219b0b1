/*
 * Which endpoint's answer each synced block rests on: when a log turns out to have been left out,
 * this tells who left it out. Kept as runs of blocks in trueup_state, a bounded number; what is
 * older, was synced by another program, or under other triggers, is not known.
 */
#ifndef TRACK_SYNC_LOG_SOURCE_H
#define TRACK_SYNC_LOG_SOURCE_H

#include "track/tracker.h"

enum { LOG_SOURCE_RUNS = 32, LOG_SOURCE_NAME = 81 };

struct log_source {
    struct log_source_run {
        uint64_t from; /* up to the next run's */
        char name[LOG_SOURCE_NAME];
    } runs[LOG_SOURCE_RUNS];
    size_t n;
    bool moved; /* since it was saved */
};

int log_source_load(struct tracker *t, struct log_source *ret, struct err *err);
int log_source_save(struct tracker *t, struct log_source *a, struct err *err);

/* From this block on the answers are this endpoint's; NULL: nobody's that we know. */
void log_source_set(struct log_source *a, uint64_t from, const char *endpoint);
/* NULL when it is not known. Lives as long as a. */
const char *log_source_get(const struct log_source *a, uint64_t block);

#endif
