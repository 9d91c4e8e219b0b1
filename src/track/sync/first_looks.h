/*
 * What the first looks of a balance did, kept until the second look has passed it: the events they
 * named, and up to where they were at which time. Names above the finalized block are in
 * trueup_dirty; the others, and the lists that were asked for, are in memory alone: after a restart
 * first looks begin at the checkpoint again.
 */
#ifndef TRACK_SYNC_FIRST_LOOKS_H
#define TRACK_SYNC_FIRST_LOOKS_H

#include "track/events.h"

enum {
    FIRST_LOOK_TIMES = 32,
    FIRST_LOOK_ALL = 64,
    FIRST_LOOK_NAMES = 393216, /* more make first looks wait */
    FIRST_LOOK_NOTED = 4096,
};

struct first_looks {
    struct names names;
    uint64_t top;       /* the highest block of any name kept so far */
    struct names noted; /* the last ones that went into trueup_dirty, as a ring … */
    size_t next_noted;  /* … its oldest */
    struct fanout asks;
    uint64_t all[FIRST_LOOK_ALL]; /* blocks of events by which every row is due */
    size_t n_all;
    struct {
        int64_t ms; /* monotonic */
        uint64_t block;
    } times[FIRST_LOOK_TIMES]; /* oldest first */
    size_t n_times;
    uint64_t synced; /* as last noted */
};

void first_looks_free(struct first_looks *l);

/* Before a flush resolves the set: its lists and `all` events. */
void first_looks_add_lists(struct first_looks *l, const struct affected_set *affected);
/* Before a flush, too: drops the names that are in trueup_dirty already, for ranges are repeated.
 */
void first_looks_drop_noted(const struct first_looks *l, struct names *names);
/* After the flush: those that went there are noted, the others are kept. */
void first_looks_add_names(struct first_looks *l, const struct affected_set *affected,
                           uint64_t finalized);
bool first_looks_are_many(const struct first_looks *l);

/* Now first looks have reached `synced`. Less than before: the rest was taken back. */
void first_looks_note(struct first_looks *l, uint64_t synced, int64_t now_ms);
/* The block that they had reached by then; false: not known. */
bool first_looks_reached(const struct first_looks *l, int64_t ms, uint64_t *ret);
/* The second look has passed this block. */
void first_looks_pass(struct first_looks *l, uint64_t block);

bool first_looks_have_list(const struct first_looks *l, const struct fanout_ask *ask);
bool first_looks_have_all(const struct first_looks *l, uint64_t block);

#endif
