/*
 * The legs of a catch-up: the first looks at final blocks, far from the head. Several ranges are
 * asked for at once, aside (rpc.h), so that the questions of the next leg are under way while what
 * this one named is read and written. Events above what is final are looked at meanwhile, as usual.
 * The second look (second_look.h) follows 10 s behind, and runs beside. A restart begins at the
 * checkpoint: it loses what is between the two looks.
 */
#ifndef TRACK_SYNC_LEGS_H
#define TRACK_SYNC_LEGS_H

#include "base/err.h"
#include "rpc/logs.h"

struct follow;
struct follow_report;
struct leg;

enum { LEGS_AT_ONCE = 4 };

struct legs {
    struct leg *list[LEGS_AT_ONCE]; /* ranges that were asked for, in the order of their blocks */
    size_t n;
    bool under_way;   /* the looks begin above what is final, and do not move `synced` */
    uint64_t reached; /* the highest block of a leg */
    int64_t look_ms;  /* when blocks above what is final were looked at last */
    uint64_t logs_lately, blocks_lately; /* of the last range */
};

/* One turn: until enough wallets are named, or it has taken a while; what they named is written. A
 * range that fails leaves the ones before it synced. */
int legs_run(struct follow *f, struct follow_report *ret, struct err *err);
/* Blocks up to here are not the looks': they belong to legs under way, or are synced. */
uint64_t legs_find_floor(const struct follow *f);
/* What is under way is dropped: the chain broke, the legs are over, or the end. */
void legs_drop(struct legs *l);

#endif
