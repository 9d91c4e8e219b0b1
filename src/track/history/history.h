/*
 * The scan of event history for holders. Several windows of eth_getLogs are under way at once, each
 * as wide as its endpoint allows (range.h) and checked as rpc/logs.h says, and each is asked for
 * once more (history_again.h). Every few seconds one
 * transaction writes the wallets found into trueup_found, together with the block reached. A kill
 * loses only what came since then.
 *
 * Memory: a few pages of logs and a bounded table of holders, however many logs there are.
 */
#ifndef TRACK_HISTORY_HISTORY_H
#define TRACK_HISTORY_HISTORY_H

#include "track/events.h"
#include "track/history/holders.h"
#include "track/refresh/job.h"
#include "track/sync/range.h"

struct history_progress {
    uint64_t blocks, logs, holders; /* blocks done of this walk; holders: written down so far and
                                       met again counted again */
    uint64_t requests;
    uint64_t missed;       /* names and lists that only the second look found … */
    uint64_t missed_at;    /* … the first one's block … */
    const char *missed_by; /* … and the endpoint that left it out; NULL: none was missed */
};

struct history_scan {
    struct tracker *t;
    struct tracked *b;
    struct job *lease;
    uint64_t from, to;     /* what is asked for … */
    uint64_t next;         /* … and the first block still to be looked at */
    bool once;             /* no range is asked for twice */
    const char *state_key; /* what is durable: "FROM TO NEXT PRINT", see backfill.c */
    struct range ranges[RPC_ENDPOINTS_MAX]; /* by endpoint; range_init() each */
    void (*progress)(void *ctx, const struct history_progress *p); /* often; may be NULL */
    void *ctx;
};

/* ERR_STOPPED when t->stop said so; what was found until then is durable, h->next says where a
 * rerun goes on. After any failure the same may be tried again. */
int history_scan_run(struct history_scan *h, struct history_progress *ret, struct err *err);

/* The endpoint's limits. */
struct range *history_range(struct history_scan *h, const struct endpoint *e);

#endif
