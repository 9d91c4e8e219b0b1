/*
 * Blocks below the checkpoint that must be synced again. The checkpoint is never lowered, so a
 * durable state key says up to which block the second look has really passed. A reorg sets it, and
 * so does a checkpoint that another program moved past the last block we synced.
 */
#ifndef TRACK_SYNC_RESCAN_H
#define TRACK_SYNC_RESCAN_H

#include "track/tracker.h"

/* Syncing goes on after `verified`. */
int rescan_set(struct tracker *t, const struct tracked *b, uint64_t verified, struct err *err);
int rescan_end(struct tracker *t, const struct tracked *b, struct err *err);

/* Before anything is synced: where another program moved a checkpoint forward, what it passed over
 * is not known to be answered for (the one we stand in for moves it even when it failed), so
 * syncing goes on from where we left it. */
int rescan_check_others(struct tracker *t, struct err *err);

#endif
