/*
 * Reading again what became final. A block above the finalized one may be dropped, so each write
 * there also writes the wallet and the block into trueup_dirty, in the same transaction. When that
 * block is final, the wallet is read once more and the entry is deleted. The checkpoint stays at
 * the finalized block too, so a restart syncs the blocks above it again.
 *
 * After a reorg, the entries name the wallets that the dropped blocks affected.
 */
#ifndef TRACK_SYNC_REREAD_FINAL_H
#define TRACK_SYNC_REREAD_FINAL_H

#include "base/err.h"
#include "track/dirty.h"
#include "track/tracker.h"

/* The checkpoint a step may store that answers up to `to`; never below `before`. */
uint64_t reread_checkpoint(uint64_t to, uint64_t finalized, uint64_t before);

struct reread_report {
    size_t updated; /* rows read again */
    size_t drifted; /* of them: differed without an event (drift.h) */
    bool more;      /* there are further entries: continue at once */
    bool put_off;   /* they could not be read at this block (why): try at another one */
    struct err why;
};

/* Reads the wallets of one page of entries again at `at`, those at or below `finalized` (and `at`),
 * and deletes the entries. −1: a request or the store failed, the entries stay. */
int reread_page(struct tracker *t, struct tracked *b, const struct anchor *at, uint64_t finalized,
                struct reread_report *ret, struct err *err);

enum { AFFECTED_MOST = 200000 };

/* Adds the wallets that were read at blocks from `from` on, one entry a block, with the block as
 * event_block but without has_event. Beyond `most` entries the sweep finds them: a rewind makes
 * their rows due. */
int reread_load_affected(struct tracker *t, const struct tracked *b, uint64_t from, size_t most,
                         struct dirty *ret, struct err *err);

#endif
