/*
 * May this chain's header blooms be trusted to save a question? Some chains and providers answer
 * blooms that hold no log. A chain's blooms have proved themselves when BLOOM_ENOUGH blocks with
 * logs of ours were each held by their bloom. The first log that its block's bloom does not hold
 * ends that for good. Both are kept in trueup_state.
 */
#ifndef TRACK_SYNC_BLOOM_H
#define TRACK_SYNC_BLOOM_H

#include "eth/event.h"
#include "track/tracker.h"

enum { BLOOM_ENOUGH = 16 };

enum bloom_state { BLOOM_LEARNING, BLOOM_PROVEN, BLOOM_REFUTED };

struct bloom_trust {
    enum bloom_state state;
    uint64_t held;  /* LEARNING: blocks with logs of ours that their bloom held so far */
    uint64_t block; /* the newest of them, so that a block counts once; REFUTED: the block whose
                       bloom did not hold a log */
    bool moved;     /* since it was saved */
    bool news;      /* the state changed, and bloom_take_news() has not told of it */
};

int bloom_load(struct tracker *t, struct bloom_trust *ret, struct err *err);
int bloom_save(struct tracker *t, struct bloom_trust *b, struct err *err);

/* A log of ours, and the header of its block. */
void bloom_on_log(struct bloom_trust *b, const struct header *h, const struct event_log *log);
/* True once after a change of state. */
bool bloom_take_news(struct bloom_trust *b);

#endif
