/*
 * Backfill: finds holders in event history and writes their balances into the table.
 *
 *     events of [from, to]  →  trueup_found  →  read at one block  →  rows
 *
 * Both halves resume where they were stopped. The first half has a durable position. The second
 * half reads only holders whose row is older than their last event. Values are read from the chain;
 * events only name the holders.
 */
#ifndef TRACK_HISTORY_BACKFILL_H
#define TRACK_HISTORY_BACKFILL_H

#include "track/history/history.h"
#include "track/refresh/pipeline.h"

struct backfill {
    struct tracker *t;
    struct tracked *b;
    struct job *lease;
    bool has_from, has_to; /* as asked for; else from 0, and to the last block that is finalized */
    uint64_t from, to;
    bool once; /* no range is asked for twice */
    /* Often, in the one half and in the other; may be NULL. */
    void (*looked)(void *ctx, const struct history_progress *p);
    void (*read)(void *ctx, const struct pipeline_progress *p, uint64_t total);
    void *ctx;
    struct history_scan history; /* ours */
    char state_key[128];
};

/* What lies ahead, estimated from a few samples of the history. */
struct backfill_forecast {
    uint64_t from, to, next; /* next > from: resumed; next > to: only reading is left */
    uint64_t logs, windows, requests, units;
    uint64_t wallets; /* at most; each may name a wallet again */
    int64_t ms;
    bool sampled; /* false: too short a way to ask about */
};

/* First: what was begun before, what is asked for, what it will take. ERR_USAGE when the range is
 * none, or reaches above what is finalized. */
int backfill_plan(struct backfill *f, struct backfill_forecast *ret, struct err *err);

struct backfill_report {
    struct history_progress history;
    int64_t history_ms;
    struct pipeline_progress rows;
    bool set_checkpoint; /* there was none: a daemon goes on from `to` */
};
/* ERR_STOPPED: f->history.next says where a rerun goes on. */
int backfill_run(struct backfill *f, struct backfill_report *ret, struct err *err);

#endif
