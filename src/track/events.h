/*
 * From logs to marks: which wallets the triggers name. eth/event judges a single log; here the
 * balance's rule decides whether the wallet is ours.
 */
#ifndef TRACK_EVENTS_H
#define TRACK_EVENTS_H

#include "node/logs.h"
#include "track/dirty.h"
#include "track/tracker.h"

enum { FILTER_CONTRACTS = 64, FILTER_TOPICS = 64 };

/* One filter for all balances: every trigger's contract and topic, each once. */
struct trigger_filter {
    address contracts[FILTER_CONTRACTS];
    hash32 topics[FILTER_TOPICS];
    struct log_filter filter; /* points into the arrays above: not to be copied */
};

int trigger_filter_init(struct trigger_filter *f, const struct tracker *t, struct err *err);

/* Adds a mark for every wallet that the logs name for this balance, tracked or not. *all_block is
 * raised to the block of a trigger with `wallets: all`: every row is due from there on. */
void events_mark(const struct tracked *b, const struct event_log *logs, size_t n,
                 struct dirty *dirty, uint64_t *all_block);

/* Settles the marks and drops those of wallets that are not tracked. */
int events_keep_tracked(struct tracker *t, const struct tracked *b, struct dirty *dirty,
                        struct err *err);

#endif
