/*
 * A full pass over the rows, flat out, in key order: `trueup sweep`. It needs no order by age, so
 * it costs the database the least; it finds its own block to read at, so it also works beside no
 * daemon. Steps are read, judged and written several at once, in whatever order they come.
 */
#ifndef TRACK_REFRESH_PASS_H
#define TRACK_REFRESH_PASS_H

#include "track/refresh/pipeline.h"

struct pass {
    struct tracker *t;
    struct tracked *b;
    struct lease *lease; /* renewed on the way; NULL: none */
    int64_t max_age_ms;  /* only rows older; 0: all */
    /* Often; total: rows to be expected. May be NULL. */
    void (*progress)(void *ctx, const struct pipeline_progress *p, uint64_t total);
    void *ctx;
};

/* ERR_STOPPED when t->stop said so: a rerun starts over, rows already read are simply fresher. */
int pass_run(const struct pass *p, struct pipeline_progress *ret, struct err *err);

/* A block to read at for a command: max(finalized, head − 64), not above synced while a daemon
 * keeps up; its header is stored. Never makes a stored header non-canonical. */
int pass_find_anchor(struct tracker *t, const struct tracked *b, struct anchor *ret,
                     struct err *err);
/* The highest block whose logs a command may take for final and has to see to: max(finalized, the
 * block at which the daemon began), at most the block it would read at. *ret_at is that one. */
int pass_find_reach(struct tracker *t, const struct tracked *b, uint64_t *ret,
                    struct anchor *ret_at, struct err *err);

/* A block at which what differs is drift: the same, but never above what is synced, however far
 * behind that is. newest: the last one synced. */
int pass_find_synced_anchor(struct tracker *t, const struct tracked *b, bool newest,
                            struct anchor *ret, struct err *err);

#endif
