/*
 * Which endpoint gives the second answer about a range: another one than gave the first. One that
 * has not failed at this range comes first, then one that has, until OTHERS_TRIES have failed; then
 * the first one's own second answer counts.
 */
#ifndef TRACK_SYNC_SECOND_CHOICE_H
#define TRACK_SYNC_SECOND_CHOICE_H

#include "rpc/rpc.h"
#include "track/sync/range.h"

struct second_choice {
    struct endpoint *first; /* gave the first answer; NULL: not known */
    unsigned failures;      /* at this range … */
    uint32_t failed;        /* … and the endpoints that failed, a bit each */
};

/* Endpoints that would need far more requests than a range of this width did are left out, by their
 * ranges. */
struct endpoint *second_choice_get(struct rpc *n, const struct second_choice *c,
                                   const struct range *ranges, uint64_t width);
/* Is no other endpoint left to ask? Then the answer counts, whatever it lacks. */
bool second_choice_is_last(const struct second_choice *c, const struct endpoint *by);
/* False when no endpoint is left: the choice begins anew. */
bool second_choice_on_failure(struct second_choice *c, const struct endpoint *by);

#endif
