/*
 * Hints: what worker listen heard, on a pipe to worker follow. A doorbell and no more: each says
 * where to look or which wallet to read, none is believed, and one that is lost (the pipe was full,
 * a worker was down) costs a delay.
 *
 * The supervisor makes the pipe once and keeps both ends, so that either worker may die and come
 * back. A hint is smaller than PIPE_BUF and therefore written whole or not at all. The pipe holds
 * HINT_PIPE bytes where the system allows it: more than one block's wallets.
 */
#ifndef PROC_HINT_H
#define PROC_HINT_H

#include "eth/address.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

enum {
    HINT_FD = 8, /* in a worker */
    HINT_PIPE = 256 * 1024
};

enum hint_kind {
    HINT_UP = 1,  /* subscribed: what came before may have been missed */
    HINT_DOWN,    /* not subscribed any more */
    HINT_HEAD,    /* this block is the head */
    HINT_LOG,     /* this block holds a log of a trigger */
    HINT_REMOVED, /* this block is no longer the chain's */
    HINT_WALLET,  /* a log of this block names this wallet; 0: the log names no block */
};

struct hint {
    uint32_t kind;
    uint32_t index; /* HINT_LOG: which of the block's logs; HINT_WALLET: which of the balances */
    uint64_t block;
    union {
        hash32 hash;
        address wallet; /* HINT_WALLET */
    };
};

/* The supervisor: makes the pipe. Without one there are no hints, and all goes on by polling. */
int hint_create(struct err *err);
/* The end that the worker of this name gets as HINT_FD; −1: none. */
int hint_end_for(const char *worker);
/* A worker that the supervisor started: HINT_FD, or −1 if there is no pipe on it. */
int hint_attach(void);

/* fd −1: nothing happens. False: it did not fit, and is lost. */
bool hint_send(int fd, const struct hint *h);
/* The next one, without waiting; false when there is none. */
bool hint_receive(int fd, struct hint *ret);
/* Waits for a hint, the monotonic deadline, or for being asked to stop (proc/stop.h). */
void hint_wait_until(int fd, int64_t deadline_ms);

#endif
