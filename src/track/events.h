/*
 * From logs to affected wallets: which wallets the triggers name. eth/event reads a single log.
 * This file applies the balance's rule, which says whether the wallet is tracked.
 */
#ifndef TRACK_EVENTS_H
#define TRACK_EVENTS_H

#include "rpc/logs.h"
#include "track/dirty.h"
#include "track/sync/fanout.h"
#include "track/tracker.h"

enum { FILTER_CONTRACTS = 1024, FILTER_TOPICS = 256 };

/* One filter for several balances: every trigger's contract and topic, each once. */
struct trigger_filter {
    address contracts[FILTER_CONTRACTS];
    hash32 topics[FILTER_TOPICS];
    struct log_filter filter; /* points into the arrays above: not to be copied */
};

int trigger_filter_init(struct trigger_filter *f, const struct tracked *b, size_t n,
                        struct err *err);

/* Each event of a wallet by itself: what a first look named, for the second one to compare with. */
struct names {
    struct store_dirty *list;
    size_t n, room;
};
void names_add(struct names *n, const struct store_dirty *name);
void names_free(struct names *n);

/* What the logs affect in one balance: wallets, lists of wallets that must be asked for, and the
 * block from which every row is due (`wallets: all`; 0 if none). */
struct affected_set {
    struct dirty dirty;
    struct fanout fanout;
    uint64_t all_block;
    uint32_t seen; /* triggers whose event was seen, as bits; kept when the set is cleared */
    struct names names;
    const char *by; /* the endpoint whose logs are collected next; outlives the set. NULL:
                        names are not kept */
};
void affected_set_clear(struct affected_set *n);
void affected_set_free(struct affected_set *n);

/* Adds what the logs name for this balance, tracked or not. */
void events_collect(const struct tracked *b, const struct event_log *logs, size_t n,
                    struct affected_set *affected);
/* How a wallet named by an event may be inserted under the balance's rule. */
enum store_insert events_insert_rule(const struct tracked *b);

/* Sorts the affected wallets and drops those that are not tracked. */
int events_keep_tracked(struct tracker *t, const struct tracked *b, struct dirty *dirty,
                        struct err *err);

/* Drops the events that were answered before (store_answered()); wallets without an event stay. */
int events_drop_answered(struct tracker *t, const struct tracked *b, struct dirty *dirty,
                         struct err *err);

#endif
