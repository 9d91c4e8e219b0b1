/*
 * Reading n wallets × t terms at one block: packing into chunks, bisecting, suspects, proofs.
 *
 * `struct reads` is the engine over a node: what it knows of each endpoint (reader, chunk size,
 * gas that can be had) and the reads under way. Several reads may be under way at once; each has
 * several chunks in flight. It knows no store and logs nothing.
 */
#ifndef READ_READ_H
#define READ_READ_H

#include "base/err.h"
#include "read/reader.h"
#include "rpc/rpc.h"

struct reads;
struct read;

int reads_open(struct rpc *n, struct reads **ret, struct err *err);
void reads_close(struct reads *r); /* abandons what is under way */

/* reads_run() ends with ERR_STOPPED soon after this says so. */
void reads_stop_when(struct reads *r, bool (*asked)(void));

struct read_ask {
    const struct read_shape *shape; /* outlives the read */
    struct anchor at;
    uint64_t chain_id;
    const address *wallets; /* the caller's until the read is finished; unique */
    size_t n;
    enum rpc_lane lane;
    int64_t deadline_ms; /* monotonic; 0: two minutes */
    void *user;          /* the caller's, for telling reads apart */
    bool has_link;       /* the execution's hash of the earlier block `link` is wanted, too */
    uint64_t link;
};

enum read_end {
    READ_END_DONE,        /* every reading is set; none is READ_UNANSWERED */
    READ_END_FAILED,      /* a request failed for good: why, as an error */
    READ_END_MOVED,       /* the block is not (or no longer) there: choose another anchor */
    READ_END_PRUNED,      /* its state is gone: choose a newer anchor */
    READ_END_WRONG_BLOCK, /* the answer was from another block than asked: nothing counts */
};

struct read_report {
    enum read_end end;
    struct endpoint *by; /* the endpoint that answered last, or failed */
    size_t requests;
    /* What the execution holds to be the hash of block ask.link. False where none was asked for, or
     * the reader cannot say, or the block is not one of the last 256. */
    bool has_link;
    hash32 link;
    struct err why; /* unless DONE */
};

/* Starts a read. readings: the caller's n elements, written as answers come; they count only after
 * the read ended with READ_END_DONE. Asks the endpoint a few questions first when it is not known
 * yet; then nothing else may be in flight on the node. */
int reads_begin(struct reads *r, const struct read_ask *ask, struct reading *readings,
                struct read **ret, struct err *err);

/* Drives everything for at most timeout_ms. 1: *ret has ended (the caller calls read_end() on it);
 * 0: timeout or nothing under way. */
int reads_next(struct reads *r, int timeout_ms, struct read **ret, struct err *err);

void *read_user(const struct read *read);
/* The report, and the end of the read: it is freed. */
void read_end(struct read *read, struct read_report *ret);
/* The end of a read that is still under way: its readings mean nothing. */
void read_abandon(struct read *read);

/* Begin, drive, end: of this read; others go on beside it. 0 with the report, −1 when it could not
 * begin. */
int reads_run(struct reads *r, const struct read_ask *ask, struct reading *readings,
              struct read_report *ret, struct err *err);

/* How many wallets one request carries now, for sizing a sweep's batch. */
size_t reads_batch_size(struct reads *r, const struct read_shape *shape);
/* What is known, for keeping across restarts: a short text for an endpoint and the terms of a
 * balance, and the name of the reader it holds for; NULL if there is nothing worth keeping yet.
 * Import comes before the first read and takes back what export gave; anything else is ignored. The
 * endpoint is asked all the same which reader it bears. */
const char *reads_profile_export(struct reads *r, const struct endpoint *e,
                                 const struct read_shape *shape, struct buf *out);
void reads_profile_import(struct reads *r, const struct endpoint *e, const struct read_shape *shape,
                          const char *reader, const char *text);

/* How an endpoint is read from, as far as it was asked: false when it was not yet. */
struct read_size {
    const char *reader; /* static */
    size_t wallets;     /* a call */
    uint64_t gas;       /* a call: what it was seen to grant, else what is asked for */
};
bool reads_size(const struct reads *r, const struct endpoint *e, struct read_size *ret);

#endif
