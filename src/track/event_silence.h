/*
 * Triggers that no log answers. A mistyped event is a valid one that the contract never emits: the
 * table then stays empty, or as it was, and nothing fails. So the newest blocks are asked once for
 * the declared events and for events known by name. A likely meaning is named.
 *
 * A rare event is silent, too. So a trigger is told by itself only where another event of nearly
 * its name is known; the others are told together, and as a finding only where no trigger of the
 * balance was seen.
 *
 * The findings of a start stand in trueup_state as "silent:BALANCE", a line each: the bits of its
 * triggers, `?` where it is doubted or `-`, and the sentence. A line goes once one of its events is
 * seen.
 */
#ifndef TRACK_EVENT_SILENCE_H
#define TRACK_EVENT_SILENCE_H

#include "track/tracker.h"

enum { SILENCE_TRIGGERS = 32, SILENCE_TEXT = 640 };

struct event_silence {
    uint64_t blocks; /* so many newest blocks were asked about */
    size_t n;
    char rare[SILENCE_TEXT]; /* the other silent ones, where one at least was seen; "" */
    struct {
        uint32_t triggers; /* as bits */
        bool doubted;      /* the contract emits another event of nearly this name */
        char text[SILENCE_TEXT];
    } list[SILENCE_TRIGGERS];
};

/* The triggers of a balance whose event is in none of the newest blocks. */
int event_silence_find(struct tracker *t, const struct tracked *b, uint64_t head,
                       struct event_silence *ret, struct err *err);

int event_silence_save(struct tracker *t, const struct tracked *b, const struct event_silence *s,
                       struct err *err);
/* All silent triggers that are told of, as bits. */
int event_silence_load(struct tracker *t, const struct tracked *b, uint32_t *ret, struct err *err);
/* Takes out the lines with one of the triggers in `seen`. */
int event_silence_drop(struct tracker *t, const struct tracked *b, uint32_t seen, struct err *err);

#endif
