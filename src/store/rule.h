/*
 * What a write does, decided in one place for every database: given the row as it stands and an
 * anchored value, which columns change. Pure: no SQL, no clock. The databases only carry out what
 * is decided here.
 */
#ifndef STORE_RULE_H
#define STORE_RULE_H

#include "store/store.h"

struct rng;

struct write_plan {
    enum store_outcome outcome; /* INSERTED means: insert if the caller may */
    bool set_blocknumber;
    uint64_t blocknumber;
    bool rewrites;          /* REFRESHED: the balance is in the SET list all the same */
    bool leaves_quarantine; /* and its waiting event block is in `blocknumber` */
};

/* A quarantine row that was waiting for this wallet; waiting false if there is none. */
struct write_debt {
    bool waiting;
    bool has_event;
    uint64_t event_block;
};

/* What becomes of the i-th write, which meets ret->olds[i]; its outcome is counted in ret. listed:
 * the wallet stands in the list. */
struct write_plan write_decide(const struct store_batch *b, size_t i, const struct write_debt *debt,
                               bool listed, struct store_applied *ret);

/* Counts ret->olds, of a batch that was written in parts. */
void write_count(const struct store_batch *b, struct store_applied *ret);

/* The wait after the n-th failure in a row, n >= 1: 1 min doubling to 24 h, up to a quarter more by
 * chance, so that wallets which failed together do not come back together. */
int64_t quarantine_wait_us(unsigned failures, struct rng *rng);
#define QUARANTINE_FAR "9000-01-01 00:00:00" /* retry_at beyond this: such a wallet */

/* Names of trueup_state rows that belong to a balance. */
enum { STATE_KEY = 160 };
void state_key(char ret[STATE_KEY], const char *what, const char *balance, const char *who);

#endif
