/*
 * Drift: a read found a value other than the stored one, and no answered event lies between the
 * row's block and the read's block. The write has filed it as "unknown" (store.h: files_drift).
 * After the write, drift_find_causes() asks for the logs of those blocks again, at a second
 * endpoint if there is one, and stores the cause:
 *
 *  - no_event_change: no event names the wallet or fans out to it. The contract changed the value.
 *  - missed_log: an event does, and the endpoint that answered for its block left it out.
 *  - reorg: an event does, in a block that replaced another one.
 *  - unknown: the blocks cannot be asked for, or another program wrote the row; or they are not
 *    final yet, and the cause is looked for when they are.
 *
 * A false record is worse than none. Where an event from before the wallet was tracked explains the
 * difference, the record is deleted.
 */
#ifndef TRACK_VERIFY_DRIFT_H
#define TRACK_VERIFY_DRIFT_H

#include "track/tracker.h"

struct err;

enum { DRIFT_AT_ONCE = 20000 }; /* causes looked for together */

enum drift_cause {
    DRIFT_UNKNOWN,
    DRIFT_NO_EVENT,
    DRIFT_MISSED_LOG,
    DRIFT_REORG,
    DRIFT_NONE, /* no drift: the record is deleted */
};
const char *drift_cause_name(enum drift_cause c);

struct drift {
    address wallet;    /* first: address_compare_elements() */
    uint64_t id;       /* its record; 0: none was filed */
    uint64_t observed; /* the row's block before … */
    uint64_t at;       /* … and the read's */
    u256 stored;       /* what it held */
    bool has_blocknumber;
    enum drift_cause cause; /* found by drift_search() */
    const char *endpoint;   /* of a missed log; in the arena */
    uint64_t event_block;   /* of a missed log or a reorg */
};

/* A list that grows up to DRIFT_AT_ONCE; what is beyond stays "unknown". */
struct drifts {
    struct drift *list;
    size_t n, room;
};
void drifts_add(struct drifts *d, const struct drift *one);
void drifts_free(struct drifts *d);

/* Finds the causes; asks the node, so no read may be under way. Sorts the list by wallet. −1 only
 * when asked to stop or the store failed: what cannot be found out is DRIFT_UNKNOWN. */
int drift_search(struct tracker *t, const struct tracked *b, struct drifts *d, struct arena *arena,
                 struct err *err);

/* The same for those whose blocks are final, also of earlier calls; then stores the causes, prunes
 * old records, and empties the list. */
int drift_find_causes(struct tracker *t, const struct tracked *b, struct drifts *d,
                      struct err *err);

#endif
