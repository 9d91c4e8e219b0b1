/*
 * The header chain: what follow knows of the head, and how it notices that the chain broke.
 *
 * Truth is linkage: a new head counts when its parents lead, hash by hash, to a header already
 * stored. Headers are durable before anything is read at them.
 */
#ifndef TRACK_SYNC_CHAIN_H
#define TRACK_SYNC_CHAIN_H

#include "eth/block.h"
#include "track/tracker.h"

enum {
    CHAIN_NEAR = 64,         /* closer than this to the head, every header is walked and stored */
    CHAIN_DEPTH = 64,        /* the depth that stands in for a missing or stalled `finalized` */
    CHAIN_LIVE = 4,          /* behind by no more: the finalized block is asked for after syncing */
    CHAIN_STALE = 256,       /* a `finalized` further behind than this is not waited for */
    CHAIN_KEEP = 1024,       /* headers kept below the last second look */
    CHAIN_BEHIND_MS = 20000, /* a node behind us for longer has not lagged: its chain was cut */
    CHAIN_AWAY_MS = 600000,  /* below finalized: it crashed, and has to look for others first */
};

struct chain {
    bool known; /* a head has been seen */
    struct header head;
    bool finalized_known;
    struct anchor finalized;            /* the block the chain will not take back */
    bool finality_due;                  /* the chain grew since it was asked for */
    bool depth_stands_in;               /* the depth is used because the tag is missing or stale */
    struct header near[CHAIN_NEAR + 1]; /* the newest headers with their blooms, oldest first */
    size_t n_near;
    int64_t behind_since_ms; /* monotonic, of its last rise; 0 when the node is not behind us */
    uint64_t behind_at;      /* the highest head it had meanwhile */
};

/* Takes up what the store knows of the finalized block, so that another chain is noticed at once.
 */
int chain_open(struct tracker *t, struct chain *ret, struct err *err);

enum chain_news {
    CHAIN_SAME,   /* nothing new */
    CHAIN_GREW,   /* head and headers are stored and canonical */
    CHAIN_BEHIND, /* the node is behind what we already know: wait */
    CHAIN_BROKE,  /* headers from *ret_first_bad on are no longer the chain's */
};

/* Asks for the head and the finalized block and connects them to what is stored. ERR_CHAIN when the
 * finalized part itself differs, or the head stays below it for too long: another chain.
 * ERR_FAILED, as when the node cannot be asked, while such a head is waited for. On CHAIN_BROKE
 * nothing has been changed yet: the caller rewinds and asks again. */
int chain_poll(struct tracker *t, struct chain *c, enum chain_news *ret, uint64_t *ret_first_bad,
               struct err *err);

/* The finalized block by the configured rule, as seen from this head. Where the tag is missing, or
 * older than CHAIN_STALE blocks (no finality, or a development chain), a depth stands in. */
int chain_finalized_at(struct tracker *t, const struct header *head, struct anchor *ret,
                       bool *ret_stands_in, struct err *err);

/* Asks for the finalized block, if the head moved since; the head's own news do not wait for it
 * while we keep up. */
int chain_advance_finalized(struct tracker *t, struct chain *c, struct err *err);

/* The header of a block near the head with its bloom, or NULL. */
const struct header *chain_near(const struct chain *c, uint64_t number);

/* The newest canonical stored anchor at or below number; *ret_found false if none. */
int chain_anchor_below(struct tracker *t, uint64_t number, struct anchor *ret, bool *ret_found,
                       struct err *err);

/* The block a sweep reads at: max(finalized, head − 64), which a full node still has the state of
 * and the chain hardly takes back; but never above `synced`, so that what it finds is drift, nor
 * below `first`, the block at which this store began. */
uint64_t chain_sweep_block(uint64_t head, uint64_t finalized, uint64_t synced, uint64_t first);

/* Positions that other processes need, in trueup_state: head, finalized, first, and what is synced
 * of each of the tracker's balances. Written at the end of a turn, so they may lag, but never lead.
 */
enum { POSITIONS_BALANCES = 256 };
struct positions {
    bool known;
    uint64_t head, finalized, first;
    uint64_t synced[POSITIONS_BALANCES]; /* 0: not known */
};
int positions_save(struct tracker *t, const struct positions *p, struct err *err);
int positions_load(struct tracker *t, struct positions *ret, struct err *err);
/* The same of one balance, in one read of the store. */
struct balance_position {
    bool known; /* head, finalized and first are */
    uint64_t head, finalized, first;
    /* The block up to which this balance had its first look, as follow left it: at or above the
     * checkpoint, or below it during a rescan. */
    bool has_synced;
    uint64_t synced;
    uint64_t refresh_below; /* every row observed before this block is due; 0: none is */
};
int positions_load_balance(struct tracker *t, const struct tracked *b, struct balance_position *ret,
                           struct err *err);

#endif
