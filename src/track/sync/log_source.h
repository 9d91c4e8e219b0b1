/*
 * Which endpoint answered for each synced block. When a log was left out, this names the endpoint
 * that left it out. It is kept as a bounded number of runs of blocks in trueup_state. Older blocks,
 * and blocks synced by another program or under other triggers, have no known source.
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

/* From this block on the answers are this endpoint's; NULL: not known. */
void log_source_set(struct log_source *a, uint64_t from, const char *endpoint);
/* The answer about [from, to] is this endpoint's; what is known of blocks above stays. */
void log_source_fill(struct log_source *a, uint64_t from, uint64_t to, const char *endpoint);
/* The last block of the run that this one lies in. */
uint64_t log_source_end(const struct log_source *a, uint64_t block);
/* NULL when it is not known. Lives as long as a. */
const char *log_source_get(const struct log_source *a, uint64_t block);

#endif
