/*
 * "Every row is due": an event with `wallets: all` (an upgrade, a new implementation) may have
 * changed any balance. Follow notes the block, durably and before the checkpoint passes it; sweep
 * reads the whole table at that block or later, in key order and without pauses, and then clears
 * the note.
 */
#ifndef TRACK_REFRESH_FULL_REFRESH_H
#define TRACK_REFRESH_FULL_REFRESH_H

#include "track/tracker.h"

/* Raises the note to block; never lowers it. */
int full_refresh_set(struct tracker *t, const struct tracked *b, uint64_t block, struct err *err);
/* *ret is 0 when nothing is due. */
int full_refresh_get(struct tracker *t, const struct tracked *b, uint64_t *ret, struct err *err);
/* Clears the note, unless it has been raised above block meanwhile. */
int full_refresh_clear(struct tracker *t, const struct tracked *b, uint64_t block, struct err *err);

#endif
