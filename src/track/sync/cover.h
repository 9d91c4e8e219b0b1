/*
 * Syncing: what the blocks above `synced` name is marked, read and written, and then they are
 * synced. A piece a turn, so that a long catch-up goes on looking at the head. `synced` moves here;
 * the checkpoint moves with the second look alone (second_look.h).
 */
#ifndef TRACK_SYNC_COVER_H
#define TRACK_SYNC_COVER_H

#include "track/sync/follow.h"

/* The block up to which every balance is synced. */
uint64_t sync_find_lowest(const struct follow *f);

/* The next piece: until the head is reached, enough wallets are named, or it has taken a while. A
 * window that fails leaves the ones before it synced. ret->end and ret->why say whether there is
 * more to do, and what holds it. −1: a request or the store failed; what was written stays. */
int sync_next_blocks(struct follow *f, struct follow_report *ret, struct err *err);

/* Logs of [from, to], kept in step with what the endpoint bears. False in *ret_ok: ret->end and
 * ret->why say when to ask again. */
int sync_ask_range(struct follow *f, uint64_t from, uint64_t to, struct arena *arena,
                   struct logs *ret_logs, struct follow_report *ret, bool *ret_ok, struct err *err);
/* What the result of a range of this width means: rc, logs and why are as of rpc_logs_range(). */
int sync_judge_range(struct follow *f, uint64_t width, int rc, const struct logs *logs,
                     const struct err *why, struct follow_report *ret, bool *ret_ok,
                     struct err *err);

bool sync_has_reorg_affected(const struct follow *f);
/* Reads and writes what is affected; if it moves, every balance that is not held is synced up to
 * `to` then.
 * False in *ret_whole: one is held. */
int sync_flush_all(struct follow *f, uint64_t to, bool moves, struct follow_report *ret,
                   bool *ret_whole, struct err *err);

#endif
