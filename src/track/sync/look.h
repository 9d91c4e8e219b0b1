/*
 * The first look, for freshness: what the blocks near the head name is read and written at the
 * head. Blocks are asked about again while a log index may be late (look_span.h). What was answered
 * before is not read again (events_drop_answered()), so a repeated question costs no read.
 */
#ifndef TRACK_SYNC_LOOK_H
#define TRACK_SYNC_LOOK_H

#include "rpc/logs.h"
#include "track/sync/bloom.h"
#include "track/sync/look_span.h"

enum { LOOK_ENDPOINTS = 8 };

struct first_look {
    struct look_span span;
    struct bloom_trust bloom;
    struct endpoint *by; /* it answered the last question about logs */
    uint64_t doubted;    /* this block's answer lacks pushed logs; 0: none */
    /* How long after a block was first seen its logs may still show up, for each endpoint. */
    int64_t overlap_ms[LOOK_ENDPOINTS];
};

struct follow;
struct follow_report;

int look_load(struct tracker *t, struct first_look *ret, struct err *err);

/* Asks about the span that is due, and writes what it names. ret->why says what holds it. −1: a
 * request or the store failed; what was written stays. */
int look_take(struct follow *f, struct follow_report *ret, struct err *err);

#endif
