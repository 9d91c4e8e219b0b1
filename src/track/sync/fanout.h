/*
 * Trigger fan-out: an event that changes wallets it does not name. `getDelegatorsList(claimer)` is
 * a view of the trigger's contract, called with an argument of the event at the event's own block.
 * The addresses it returns are affected, as if the event had named them.
 *
 * The number of calls and of addresses per answer is bounded. Beyond that, every row is due
 * instead, so that a catch-up never stops. A view that reverts names no wallet; the sweep finds
 * what it would have named.
 */
#ifndef TRACK_SYNC_FANOUT_H
#define TRACK_SYNC_FANOUT_H

#include "eth/event.h"
#include "track/dirty.h"
#include "track/tracker.h"

enum { FANOUT_ASKS_MOST = 4096, FANOUT_ADDRESSES_MOST = 50000 };

struct fanout_ask {
    address contract;
    uint8_t selector[4];
    address argument;
    uint64_t block;
    hash32 block_hash;
    bool unplaced; /* the event's block is not known: asked at the block of the read */
};

struct fanout {
    struct fanout_ask *list;
    size_t n, room;
    size_t unanswered; /* views that reverted or answered no list, of the last fanout_resolve() */
};

void fanout_add(struct fanout *f, const struct fanout_ask *ask);
/* Leaves each question once, for its highest block. A wallet that left the list before that block
 * was named by the event by which it left. */
void fanout_latest(struct fanout *f);
void fanout_clear(struct fanout *f);
void fanout_free(struct fanout *f);

enum { FANOUT_KNOWN_MOST = 1024 };
/* Drops what `known` holds: asked before, in this block. */
void fanout_drop_known(struct fanout *f, const struct fanout *known);
/* Adds what was asked; the oldest go beyond FANOUT_KNOWN_MOST. */
void fanout_remember(struct fanout *known, const struct fanout *asked);

/* More asks than may be asked: true, and the list is empty; *ret_block is the last event's block,
 * from which on every row is due. */
bool fanout_overflows(struct fanout *f, uint64_t *ret_block);

/* Asks each (at most FANOUT_ASKS_MOST) once and adds the wallets returned, for the event's block.
 * Where the node does not have the event's block or its state, the list is read at `at`. −1 when a
 * request failed: the same asks may be tried again. f->unanswered counts views that reverted or
 * answered no list.
 */
int fanout_resolve(struct tracker *t, struct fanout *f, const struct anchor *at,
                   enum store_insert insert, struct dirty *dirty, struct err *err);

#endif
