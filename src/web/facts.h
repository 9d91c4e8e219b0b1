/*
 * What the server knows without asking: figures the database threads bring from the store every so
 * often, and the counters. Every question about the daemon's health is answered from here, so a
 * database that hangs shows as such and delays nobody.
 *
 * Positions and checkpoints are fetched twice a second. Figures over all rows cost a pass over the
 * table, so they are taken at most once a minute, and even less often when a pass takes seconds; a
 * table of a few thousand rows, where that is as quick as any request, is looked at more often.
 */
#ifndef WEB_FACTS_H
#define WEB_FACTS_H

#include "conf/conf.h"
#include "store/view.h"
#include "track/sync/positions.h"

#include <pthread.h>

enum { FACTS_BALANCES = 256, FACTS_CAUSES = 64, FACTS_LIMITS = 28, HISTORY = 120 };

extern const uint32_t facts_limits[FACTS_LIMITS]; /* seconds: bounds of the buckets of ages */

struct facts_balance {
    const char *name, *table; /* the settings' */
    enum conf_wallets wallets;
    bool has_checkpoint, rescanning;
    uint64_t checkpoint, synced;
    bool has_ages;
    char silent[1024]; /* triggers without an event since the start: lines of event_silence.h */
    struct view_ages ages;
    int64_t ages_at_ms; /* monotonic */
};

struct facts {
    bool store_ok, store_seen; /* seen: it was ok once */
    char store_error[256];
    char scan_error[256]; /* why row statistics failed; "" */
    int64_t store_at_ms;  /* monotonic: when it last answered */
    bool has_positions;
    uint64_t head, finalized;
    uint64_t chain_id;    /* 0: not learnt yet */
    char anchor[8];       /* as learnt or configured; "": not learnt yet */
    uint64_t spent_today; /* of budget.per_day, as far as written down: up to a minute old */
    size_t n_balances;
    struct facts_balance balances[FACTS_BALANCES];
    struct {
        char balance[48], cause[48];
        uint64_t n;
    } drift[FACTS_CAUSES];
    size_t n_drift;
};

/* Holds the above, for the threads that fill it and the one that reads. */
struct facts_store {
    pthread_mutex_t lock;
    struct facts now; /* under the lock */
    const struct conf *conf;
    struct store_balance balances[FACTS_BALANCES]; /* unchanged after init */
    struct tracked tracked[FACTS_BALANCES];        /* only what positions_load() wants */
    size_t n_balances;
};

void facts_init(struct facts_store *k, const struct conf *conf);
void facts_copy(struct facts_store *k, struct facts *ret);
/* Its place in the settings, or −1. */
int facts_balance(const struct facts_store *k, const char *name, size_t n);

/* Rounds for a database thread (db_thread.h): positions; figures over all rows. ctx is the
 * facts. */
int64_t facts_look(void *ctx, struct store *s);
int64_t facts_scan(void *ctx, struct store *s);
void facts_failed(void *ctx, const struct err *err);
void facts_scan_failed(void *ctx, const struct err *err);

/* A row's age below which a share of the rows lies, by the buckets: seconds. */
double facts_quantile(const struct view_ages *a, double share);

#endif
