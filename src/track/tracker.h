/*
 * What a worker or a command holds while it keeps a table equal to the chain: the settings, the
 * node, the engine that reads it, the store, and one entry per balance. Everything in track/ takes
 * it first.
 */
#ifndef TRACK_TRACKER_H
#define TRACK_TRACKER_H

#include "conf/conf.h"
#include "read/read.h"
#include "store/lease.h"
#include "store/store.h"

struct err;

enum { CONTROL_WALLETS = 16 };

/* Wallets that were read well lately: the controls when a term seems to fail for every wallet. */
struct control_wallets {
    address wallets[CONTROL_WALLETS];
    size_t n, next;
};

struct tracked {
    const struct conf_balance *conf;
    struct store_balance store;
    struct read_shape shape;
    struct control_wallets control_wallets;
    struct drifts *waiting_drifts; /* of blocks that are not final yet; NULL: none wait */
};

struct tracker {
    struct conf *conf; /* the caller's */
    struct rpc *node;
    struct reads *reads;
    struct store *store; /* NULL for commands that touch none */
    struct tracked *balances;
    size_t n_balances;
    uint64_t chain_id; /* 0 until tracker_identify() */
    hash32 genesis;
    bool adds_balances, resets_chain;    /* trueup migrate: settings may differ from the store so */
    const struct lease_owner *job;       /* of a command that owns the job's fences; else NULL */
    bool (*stop)(void);                  /* asked between steps; NULL: never */
    int64_t housekept_ms, given_back_ms; /* worker/housekeeping.c */
    uint64_t pushed_units;               /* as far as they are in the account */
};

enum tracker_needs {
    NEEDS_NODE = 1,
    NEEDS_STORE = 2,
    NEEDS_FINALITY = 4, /* what is not final yet is looked into later; a command ends before */
};

/* Opens what is needed; who names the process to the database. The store's schema is not looked at.
 */
int tracker_open(struct conf *conf, const char *who, int needs, struct tracker *ret,
                 struct err *err);
void tracker_close(struct tracker *t); /* leaves conf */

/* How sure "another chain" must be. */
enum tracker_certainty {
    CHAIN_LIKELY, /* a person waits: a few looks within a second or two */
    CHAIN_SURE,   /* a daemon would end: five looks over a minute */
};
/* Learns chain id and genesis from the node and holds them against the configuration and the store.
 * ERR_CHAIN, with the hint, when every endpoint that answers is on another chain than before, at
 * each look. At the very first time it writes them to the store, once two looks agree. */
int tracker_identify(struct tracker *t, enum tracker_certainty certainty, struct err *err);

/* The array store_migrate() and store_rewind() want; t->n_balances of them, in the arena. */
struct store_balance *tracker_store_balances(const struct tracker *t, struct arena *arena);

/* ERR_USAGE where the store was made for another token of that symbol, for other balances or for
 * another chain: before anything is written. */
int tracker_check_settings(struct tracker *t, struct err *err);
/* Creates or adopts the tables. Prints nothing: the caller reports what was done. */
int tracker_migrate(struct tracker *t, struct store_adopted *ret, struct err *err);

/* The node's block; ERR_FAILED when it does not have it. */
int tracker_get_block(struct tracker *t, uint64_t number, struct header *ret, struct err *err);
int tracker_get_head(struct tracker *t, struct header *ret, struct err *err);

/* A block number kept in trueup_state for a balance, under "what:NAME". */
int tracker_load_block(struct tracker *t, const char *what, const struct tracked *b, uint64_t *ret,
                       bool *ret_found, struct err *err);
int tracker_save_block(struct tracker *t, const char *what, const struct tracked *b, uint64_t block,
                       struct err *err);

void control_wallets_add(struct control_wallets *c, const address *wallet);

#endif
