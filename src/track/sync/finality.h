/*
 * Finality: the block that the chain will not take back. `auto` and `safe` take the node's tag.
 * Where the tag fails, or stays far behind the head, a depth stands in; it leaves at the first good
 * tag. Neither lowers what was final.
 */
#ifndef TRACK_SYNC_FINALITY_H
#define TRACK_SYNC_FINALITY_H

#include "eth/block.h"
#include "track/tracker.h"

enum {
    FINALITY_DEPTH_BLOCKS = 64,         /* the stand-in: so many blocks and … */
    FINALITY_DEPTH_S = 15 * 60,         /* … so much header time below the head */
    FINALITY_OLD_S = 2 * 3600,          /* a tag's block so far behind the head's, … */
    FINALITY_OLD_MS = 2 * 3600 * 1000,  /* … for so long, is not waited for */
    FINALITY_ERRORS = 5,                /* a tag that failed so often, … */
    FINALITY_ERRORS_MS = 2 * 60 * 1000, /* … for so long, is missing */
    FINALITY_EVERY_MS = 30 * 1000,      /* the tag is asked for at most so often */
    FINALITY_NEAR = 2, /* a tag less far behind the head is no promise on a chain that has reorgs */
};

struct finality {
    bool known;
    struct anchor at;
    struct endpoint *of;  /* gave the head: blocks below it are asked of it; NULL: of any */
    bool stands_in;       /* `at` is presumed final: the tag is missing or old */
    bool tag_seen;        /* the tag was there before */
    bool has_reorgs;      /* the chain took back blocks before */
    int64_t asked_ms;     /* monotonic, of the last question; 0: none yet */
    int64_t old_since_ms; /* the tag is far behind the head since then; 0: it is not */
    unsigned errors;      /* of the tag, in a row … */
    int64_t error_ms;     /* … since then */
};

/* Takes up what the store knows of it. */
int finality_load(struct tracker *t, struct finality *ret, struct err *err);

/* Asks for the final block as seen from this head, unless it was asked for `every_ms` ago or less.
 * *ret is at or above f->at, which finality_raise() moves. −1: no block can be called final yet, or
 * the node failed. */
int finality_poll(struct tracker *t, struct finality *f, const struct header *head,
                  int64_t every_ms, struct anchor *ret, struct err *err);
void finality_raise(struct finality *f, const struct anchor *at);
/* The chain took back blocks: kept in the store. */
int finality_note_reorg(struct tracker *t, struct finality *f, struct err *err);

/* The same for a command: one question, and the depth where the tag does not serve. */
int finality_find(struct tracker *t, const struct header *head, struct anchor *ret,
                  struct err *err);

#endif
