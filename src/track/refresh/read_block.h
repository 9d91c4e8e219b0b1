/*
 * The block at which a command reads, chosen beside a daemon or without one.
 */
#ifndef TRACK_REFRESH_READ_BLOCK_H
#define TRACK_REFRESH_READ_BLOCK_H

#include "track/tracker.h"

/* A block to read at for a command: max(finalized, head − 64), not above synced while a daemon
 * keeps up; its header is stored. Never makes a stored header non-canonical. */
int read_block_find(struct tracker *t, const struct tracked *b, struct anchor *ret,
                    struct err *err);
/* For first reads: the node's head, at or above what is synced. */
int read_block_find_newest(struct tracker *t, const struct tracked *b, struct anchor *ret,
                           struct err *err);
/* The highest block whose logs a command may take for final and has to see to: max(finalized, the
 * block at which the daemon began), at most the block it would read at. *ret_at is that one. */
int read_block_find_reach(struct tracker *t, const struct tracked *b, uint64_t *ret,
                          struct anchor *ret_at, struct err *err);

/* A block at which what differs is drift: the same, but never above what is synced, however far
 * behind that is. newest: the last one synced. */
int read_block_find_synced(struct tracker *t, const struct tracked *b, bool newest,
                           struct anchor *ret, struct err *err);

/* *ret: the logs of all blocks up to `at` were answered, so a difference at that block is drift. */
int read_block_may_file_drift(struct tracker *t, const struct tracked *b, const struct anchor *at,
                              bool *ret, struct err *err);

#endif
