/*
 * The balances of all rows and listed wallets, or of those given, at a past block, in key order.
 * The pipeline reads them; nothing is written to the store. Rows in quarantine are read too: a
 * wallet that fails today may have been readable at that block.
 */
#ifndef TRACK_HISTORY_SNAPSHOT_H
#define TRACK_HISTORY_SNAPSHOT_H

#include "track/refresh/pipeline.h"

struct snapshot {
    struct tracker *t;
    struct tracked *b;
    struct anchor at;
    const address *wallets; /* in key order, each once; none: all rows and all listed wallets */
    size_t n_wallets;
    /* Each row's wallet once, in key order. reason: why there is no number; NULL with one. */
    int (*row)(void *ctx, const struct reading *r, const char *reason, struct err *err);
    void (*progress)(void *ctx, const struct pipeline_progress *p,
                     uint64_t total); /* may be NULL */
    void *ctx;
};

/* Fails as a whole when the node does not have the block's state (a hint says what to do), and when
 * a term fails for every wallet. ret->failed counts rows without a number. */
int snapshot_run(const struct snapshot *s, struct pipeline_progress *ret, struct err *err);

#endif
