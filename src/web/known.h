/*
 * What the server knows without asking: figures the clerks bring from the store every so often, and
 * the counters. Every question about the daemon's health is answered from here, so a database that
 * hangs shows as such and delays nobody.
 *
 * Positions and checkpoints are fetched twice a second. Figures over all rows cost a pass over the
 * table, so they are taken at most once a minute, and even less often when a pass takes seconds; a
 * table of a few thousand rows, where that is as quick as any request, is looked at more often.
 */
#ifndef WEB_KNOWN_H
#define WEB_KNOWN_H

#include "conf/conf.h"
#include "store/view.h"
#include "track/sync/chain.h"

#include <pthread.h>

enum { KNOWN_BALANCES = 16, KNOWN_CAUSES = 64, KNOWN_LIMITS = 28, HISTORY = 120 };

extern const uint32_t known_limits[KNOWN_LIMITS]; /* seconds: bounds of the buckets of ages */

struct known_balance {
    const char *name, *table; /* the settings' */
    bool has_checkpoint, rescanning;
    uint64_t checkpoint, synced;
    bool has_ages;
    struct view_ages ages;
    int64_t ages_at_ms; /* monotonic */
};

struct known {
    bool store_ok, store_seen; /* seen: it was ok once */
    char store_error[256];
    char scan_error[256]; /* why the rows could not be looked at; "" */
    int64_t store_at_ms;  /* monotonic: when it last answered */
    bool has_positions;
    uint64_t head, finalized;
    uint64_t chain_id;    /* 0: not learnt yet */
    uint64_t spent_today; /* of budget.per_day, as far as written down: up to a minute old */
    size_t n_balances;
    struct known_balance balances[KNOWN_BALANCES];
    struct {
        char balance[48], cause[48];
        uint64_t n;
    } drift[KNOWN_CAUSES];
    size_t n_drift;
};

/* A keeper of the above, for the threads that fill it and the one that reads. */
struct knowledge {
    pthread_mutex_t lock;
    struct known now; /* under the lock */
    const struct conf *conf;
    struct store_balance balances[KNOWN_BALANCES]; /* unchanged after init */
    struct tracked tracked[KNOWN_BALANCES];        /* only what positions_load() wants */
    size_t n_balances;
};

void knowledge_init(struct knowledge *k, const struct conf *conf);
void knowledge_copy(struct knowledge *k, struct known *ret);
/* Its place in the settings, or −1. */
int knowledge_balance(const struct knowledge *k, const char *name, size_t n);

/* Rounds for a clerk (clerk.h): positions; figures over all rows. ctx is the knowledge. */
int64_t knowledge_look(void *ctx, struct store *s);
int64_t knowledge_scan(void *ctx, struct store *s);
void knowledge_failed(void *ctx, const struct err *err);
void knowledge_scan_failed(void *ctx, const struct err *err);

/* A row's age below which a share of the rows lies, by the buckets: seconds. */
double known_quantile(const struct view_ages *a, double share);

#endif
