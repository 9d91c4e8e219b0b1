/*
 * How many blocks to ask eth_getLogs for.
 *
 * Two limits that must not be mixed: the *ceiling* is structural ("at most 10,000 blocks"), the
 * same for every window, learnt from the provider's words and kept; the *width* follows density
 * (results, bytes, time), shrinks at once and grows back. The floor is one block. Pure: no clock,
 * no I/O.
 */
#ifndef TRACK_SYNC_RANGE_H
#define TRACK_SYNC_RANGE_H

#include "eth/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Widths are `to − from`: servers that test the difference and those that count blocks both bear
 * it. */
struct range {
    uint64_t width;
    uint64_t ceiling;    /* never above */
    uint64_t too_wide;   /* the smallest width refused without a number; 0 if none: between it and
                            what works is searched once */
    unsigned ill_in_row; /* faults since the last success */
};

enum { RANGE_FIRST = 1999, RANGE_MOST = 9999999 };

enum range_advice {
    RANGE_AGAIN,   /* ask again with the new width, at once */
    RANGE_WAIT,    /* ask again after a pause, width as it now is */
    RANGE_GIVE_UP, /* not a matter of width: the caller's problem */
};

void range_init(struct range *r);
/* An answer of n logs over a window of this width came. */
void range_on_answer(struct range *r, uint64_t width, size_t n_logs);
/* A fault came for a window of this width. */
enum range_advice range_on_fault(struct range *r, uint64_t width, const struct fault_info *f);

#endif
