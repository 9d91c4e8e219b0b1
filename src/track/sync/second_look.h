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
 *
 * Pieces are asked for aside (rpc.h), several at once where much is due, and taken in order.
 */
#ifndef TRACK_SYNC_SECOND_LOOK_H
#define TRACK_SYNC_SECOND_LOOK_H

#include "base/arena.h"
#include "base/err.h"
#include "rpc/rpc.h"
#include "track/sync/range.h"
#include "track/sync/second_choice.h"

struct follow;

enum {
    SECOND_LOOK_ENDPOINTS = RPC_ENDPOINTS_MAX,
    SECOND_LOOK_PIECES = 4, /* under way at once, in the order of their blocks */
};

/* The blocks above `from`, up to `end`, for the balances that had their first look at them. */
struct second_look_piece {
    uint64_t from;
    uint64_t limit;         /* due up to here */
    struct endpoint *first; /* gave the first look; NULL: not known */
    uint64_t first_end;     /* … up to this block */
    struct endpoint *by;    /* gives this look */
    struct anchor end;
    struct logs_proof *proof; /* NULL: no log can be of ours */
    struct arena arena;
};

struct second_look {
    struct range ranges[SECOND_LOOK_ENDPOINTS]; /* what each endpoint bears */
    bool open;
    struct second_look_piece *pieces[SECOND_LOOK_PIECES];
    size_t n_pieces;
    uint64_t target;             /* pieces are asked for up to here */
    int64_t passed_ms;           /* when a look last counted; 0: none yet */
    int64_t retry_ms;            /* after a failure: not before */
    struct second_choice choice; /* of the first piece: what has failed */
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

/* Takes what was answered, and asks for what is due. It waits for no answer: second looks run
 * beside the first ones. −1: a request or the store failed. */
int second_look_run(struct follow *f, struct second_look_report *ret, struct err *err);
bool second_look_is_under_way(const struct second_look *l);
/* Is the rest of a catch-up due as soon as its first looks are old enough? */
bool second_look_is_soon(const struct follow *f);
/* Was a piece answered? Then another run is due. */
bool second_look_is_answered(const struct second_look *l);
/* What is under way is dropped: the chain broke, or the end. */
void second_look_drop(struct second_look *l);

#endif
