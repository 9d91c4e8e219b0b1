/*
 * The second look of a scan: each range that was answered is asked for once more, at least 10 s
 * later and from another endpoint where one can serve it, with proof that the endpoint had the
 * blocks (rpc/logs.h). The first answer is kept as one key for each name, so that the second one's
 * new names are known.
 *
 * add (a range was answered) → open what is due → rpc_drive() → take what was answered.
 */
#ifndef TRACK_HISTORY_HISTORY_AGAIN_H
#define TRACK_HISTORY_HISTORY_AGAIN_H

#include "base/backoff.h"
#include "rpc/logs.h"
#include "track/events.h"
#include "track/sync/second_choice.h"

struct err;
struct again_span;

struct again {
    struct rpc *node;
    const struct tracked *b;
    const struct log_filter *filter;
    struct range *ranges; /* by endpoint, the scan's */
    struct anchor at;     /* at or above every range */
    uint64_t secret;
    struct again_span **spans; /* in no order */
    size_t n, room, n_open;
    size_t n_keys;   /* of all of them */
    unsigned rounds; /* in which every endpoint failed, in a row */
    struct backoff wait;
    int64_t not_before_ms;
    uint64_t missed;       /* names that only a second answer held … */
    uint64_t missed_at;    /* … the first one's block … */
    const char *missed_by; /* … and the endpoint that left it out */
};

void again_init(struct again *a);
void again_free(struct again *a);

/* The endpoint has shown these names and lists in [from, to]. */
void again_add(struct again *a, uint64_t from, uint64_t to, struct endpoint *by,
               const struct affected_set *shown);
/* Enough waits: nothing more should be added. */
bool again_is_full(const struct again *a);
/* The lowest block still to be asked for again; `above` when there is none. */
uint64_t again_find_lowest(const struct again *a, uint64_t above);
/* Asks for what is due. What again_take() took before is done now. */
int again_open_due(struct again *a, struct err *err);
/* Takes one answer; *ret_new: what it named that the first one did not, added. Its range is done
 * only with the next call. False in *ret_taken: none has come. −1 when a range cannot be had. */
int again_take(struct again *a, struct affected_set *ret_new, bool *ret_taken, struct err *err);

#endif
