/*
 * Settling. What is written above the settled block may be taken back, so each such write leaves a
 * mark in trueup_dirty, in the same transaction: the wallet and the block it was read at. When that
 * block settles the wallet is read once more and the mark goes. The checkpoint, too, stays at what
 * is settled: a restart covers again what lies above it.
 *
 * A reorg finds here whom the dropped blocks touched.
 */
#ifndef TRACK_SETTLE_H
#define TRACK_SETTLE_H

#include "base/err.h"
#include "track/dirty.h"
#include "track/tracker.h"

/* The checkpoint a step may store that answers up to `to`; never below `before`. */
uint64_t settle_checkpoint(uint64_t to, uint64_t settled, uint64_t before);

struct settle_report {
    size_t updated; /* rows read again */
    size_t drifted; /* of them: differed without an event (drift.h) */
    bool more;      /* there are further marks: go on at once */
    bool put_off;   /* they could not be read at this block (why): try at another one */
    struct err why;
};

/* Reads the wallets of one page of marks again at `at`, those of marks at or below `settled` (and
 * `at`), and drops the marks. −1: a request or the store failed, the marks stay. */
int settle_page(struct tracker *t, struct tracked *b, const struct anchor *at, uint64_t settled,
                struct settle_report *ret, struct err *err);

/* Adds whom blocks from first_bad on touched; a ceiling holds, beyond it the sweep finds them,
 * since a rewind makes their rows due. */
int settle_touched(struct tracker *t, const struct tracked *b, uint64_t first_bad,
                   struct dirty *touched, struct err *err);

#endif
