/*
 * The second look: every block that is final is asked for once more, by ranges, at least 10 s after
 * its first look and from another endpoint where one can serve it. Only this look moves the
 * checkpoint.
 *
 * An answer counts together with proof that its endpoint had the block: the stored header at the
 * range's end, before and after the logs, and a head above it. An answer that lacks an event of the
 * first look does not count either. Another endpoint is asked then; after three failures the
 * endpoint of the first look; while all fail, the checkpoint is held.
 *
 * An event that only this look found is read, and filed as missed_log with the endpoint of the
 * first look.
 */
#ifndef TRACK_SYNC_SECOND_LOOK_H
#define TRACK_SYNC_SECOND_LOOK_H

#include "base/err.h"
#include "rpc/rpc.h"
#include "track/sync/range.h"

struct follow;

enum { SECOND_LOOK_ENDPOINTS = 8 };

struct second_look {
    struct range ranges[SECOND_LOOK_ENDPOINTS]; /* what each endpoint bears */
    bool open;
    int64_t passed_ms; /* when a look last counted; 0: none yet */
    int64_t retry_ms;  /* after all endpoints failed: not before */
    unsigned failures; /* in the span at hand … */
    uint32_t failed;   /* … and the endpoints that did, a bit each */
};

struct second_look_report {
    size_t passed;         /* spans that counted … */
    uint64_t from, to;     /* … from the first one's start to the last one's end */
    size_t missed;         /* events that no first look named … */
    uint64_t missed_at;    /* … the first one's block … */
    const char *missed_by; /* … and the endpoint that left it out; NULL: not known */
    size_t updated;        /* rows written */
    bool held;             /* no endpoint's answer counted: why */
    uint64_t held_from, held_to;
    struct err why;
};

/* Takes what is due of second looks, for a few seconds at most. −1: a request or the store failed.
 */
int second_look_run(struct follow *f, struct second_look_report *ret, struct err *err);

#endif
