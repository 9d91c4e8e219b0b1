/*
 * "The node" as verbs: many endpoints behind one asynchronous object.
 *
 * rpc_submit() queues a request and returns at once; rpc_next() drives the transport and hands
 * out finished answers in the order in which they finish. Retries (back-off with jitter,
 * Retry-After) of rate limits, lag and transport faults happen inside, until the request's
 * deadline; what comes out is the final answer. Requests in flight are bounded: rpc_submit()
 * refuses above the ceiling.
 *
 * A node is used by one thread. Requests hold no pointer to the caller's memory after
 * rpc_submit().
 */
#ifndef RPC_RPC_H
#define RPC_RPC_H

#include "base/arena.h"
#include "base/json.h"
#include "conf/conf.h"
#include "eth/block.h"
#include "eth/fault.h"
#include "eth/nonce.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct budget;
struct rpc;
struct endpoint;
struct event_log;
struct receipt;

enum {
    RPC_ENDPOINTS_MAX = 8,
    RPC_IN_FLIGHT_MAX = 64,
    RPC_ASIDE_MAX = 32,
    RPC_MORE_MAX = 3,      /* calls of a batch after the first */
    RPC_HEADERS_MOST = 32, /* asked together */
    RPC_REQUEST_MAX = 8 * 1024 * 1024,
    RPC_REPLY_MAX = 64 * 1024 * 1024,
    RPC_LOGS_MAX = 200000, /* in one answer */
};

/* Keeps what it needs of conf->chain; conf must outlive the node. Connects to nothing yet. */
int rpc_open(const struct conf *conf, struct rpc **ret, struct err *err);
void rpc_close(struct rpc *n);

/* How long a request without a deadline of its own is tried: 30 s unless set. A person waits less.
 */
void rpc_patience(struct rpc *n, int64_t ms);

/* For what needs its requests answered in their order: one connection to each endpoint. */
void rpc_use_one_connection(struct rpc *n);

enum rpc_lane { RPC_LIVE, RPC_CATCHUP, RPC_SWEEP }; /* first in line first */

/* A further call of a JSON-RPC batch. */
struct rpc_more {
    const char *method;
    const char *params;
    size_t params_len;
    bool logs; /* as of rpc_request */
};

struct rpc_request {
    const char *method;
    const char *params; /* JSON array text */
    size_t params_len;
    struct nonce_places nonce; /* in params: each try writes a nonce of its own there */
    enum rpc_lane lane;
    int64_t deadline_ms; /* monotonic; 0: as rpc_patience() says */
    size_t reply_max;    /* 0: RPC_REPLY_MAX */
    bool bytes; /* the result is hex data and wanted as bytes: for large replies a tenth of the time
                 */
    bool logs;  /* the result is an array of logs and wanted as such, where it can be */
    bool receipts; /* the same with the receipts of a block */
    bool reverts;  /* with bytes: the answer is the data of a revert, which is no fault then */
    struct endpoint *only;   /* NULL: the node chooses */
    struct endpoint *second; /* with only, in the live lane: who may be asked the same, word for
                                word, when `only` is slow. NULL: none */
    uint32_t no_retry;       /* faults not to retry, each as RPC_NO_RETRY(fault), or-ed */
    void *user;              /* comes back in the answer */
    /* Asked in one batch with this call, in this order. Not for the live lane. */
    const struct rpc_more *more;
    size_t n_more;
    bool aside; /* answered through rpc_take_aside() alone: blocking verbs may run meanwhile */
};
#define RPC_NO_RETRY(fault) (UINT32_C(1) << (fault))

struct rpc_answer {
    void *user;
    struct endpoint *endpoint; /* who gave it; NULL if none was reached */
    struct nonce nonce;        /* of the try that was answered, where the request has places */
    struct fault_info fault;   /* FAULT_NONE: result is set. Of FAULT_RATE and FAULT_BILLING,
                                  retry_after_ms is how long the endpoint will be left alone */
    struct json *doc;          /* owns result; the answer's, freed by rpc_answer_free() */
    const struct json *result; /* may be a JSON null: that is "ask again", never "empty" */
    uint8_t *bytes; /* with request.bytes: the result decoded, the answer's; result is NULL
                       then. A null result is still given as result, and bytes is NULL.
                       With FAULT_REVERT the revert's data, where the node passes it on */
    size_t n_bytes;
    bool has_logs; /* with request.logs, and unless only the careful way can read them: they are
                      in `arena`, the answer's, and result is NULL */
    struct event_log *logs;
    size_t n_logs;
    bool has_receipts; /* with request.receipts, as has_logs; but whatever can be read is */
    struct receipt *receipts;
    size_t n_receipts;
    struct arena arena;
    int status;     /* HTTP, of the last attempt; 0 if none came */
    char text[512]; /* the fault in words, masked; "" when there is none */
    /* With request.more: their answers, the answer's. The fault is that of the first call with one.
     */
    struct rpc_answer *more;
    bool no_batch;   /* the batch was not answered as one: the fault says why */
    int64_t took_ms; /* since it was submitted … */
    int64_t wire_ms; /* … and since the last attempt was sent; 0 if none was */
};

int rpc_submit(struct rpc *n, const struct rpc_request *q, struct err *err);
/* 1 with an answer, 0 on timeout (or when nothing is in flight), −1 only on a programming or
 * system error. */
int rpc_next(struct rpc *n, int timeout_ms, struct rpc_answer *ret, struct err *err);
void rpc_answer_free(struct rpc_answer *a);
size_t rpc_in_flight(const struct rpc *n); /* without those aside */
/* The finished answer of a request aside; false while there is none. */
bool rpc_take_aside(struct rpc *n, void *user, struct rpc_answer *ret);
/* Drives the transport until another answer aside has come, fd (−1: what rpc_stop_on() said) is
 * readable, or the monotonic time is reached. What has come before does not wake: look first. */
int rpc_drive(struct rpc *n, int fd, int64_t until_ms, struct err *err);
/* Drops what was submitted with this user: its answers never come. For stopping and for abandoned
 * steps. rpc_abandon_all() drops everything but what is aside. */
void rpc_abandon(struct rpc *n, void *user);
void rpc_abandon_all(struct rpc *n);
/* From now on, when fd is readable, rpc_next() returns 0 at once (unless it has an answer) and the
 * blocking verbs fail with ERR_STOPPED. For a pipe or signalfd that says "stop"; −1 ends it. */
void rpc_stop_on(struct rpc *n, int fd);
bool rpc_stop_asked(const struct rpc *n); /* was that why the last rpc_next() gave 0? */

/* ---- blocking verbs, for one question at a time. Nothing else may be in flight. -------------- */

/* The answer, whatever its fault; the caller's to rpc_answer_free(). */
int rpc_ask(struct rpc *n, const struct rpc_request *q, struct rpc_answer *ret, struct err *err);

/* A fault is an error: ERR_UNREACHABLE when no endpoint answered, else ERR_FAILED with the node's
 * words. The answer is the caller's to rpc_answer_free() in any case, and has the fault's class. */
int rpc_call(struct rpc *n, const struct rpc_request *q, struct rpc_answer *ret, struct err *err);

/* What is known of the chain before it is asked: from the configuration (done by rpc_open) or from
 * the store. NULL: not known. */
void rpc_expect(struct rpc *n, const uint64_t *chain_id, const hash32 *genesis);
/* The identity: eth_chainId and the genesis block's hash, asked of every endpoint. One that tells
 * another chain than is expected is not used (and asked again now and then); when all that answer
 * do, the first one's chain is returned, for the caller to refuse. Where nothing is expected they
 * must agree with each other: ERR_CHAIN when they do not. One that does not answer is identified
 * when it comes, and asked nothing before. */
int rpc_identify(struct rpc *n, uint64_t *ret_chain_id, hash32 *ret_genesis, struct err *err);

/* Another chain is concluded after so many looks, and not before so long: one answer may be wrong.
 * The second look comes at once, the others evenly. */
enum {
    RPC_WRONG_LOOKS = 5,
    RPC_WRONG_MS = 60 * 1000,
    RPC_WRONG_SOON_MS = 1000,
    RPC_WRONG_EVERY_MS = 15 * 1000,
};

enum rpc_tag { TAG_LATEST, TAG_SAFE, TAG_FINALIZED };
/* *ret_found is false for a null answer, and for a tag the node does not know. */
int rpc_header_tag(struct rpc *n, enum rpc_tag tag, struct header *ret, bool *ret_found,
                   struct err *err);
int rpc_header_number(struct rpc *n, uint64_t number, struct header *ret, bool *ret_found,
                      struct err *err);
int rpc_header_hash(struct rpc *n, const hash32 *hash, struct header *ret, bool *ret_found,
                    struct err *err);
/* ---- what links one block to another (links.c) ----------------------------------------------- */

/* The headers at some numbers, asked of one endpoint together. */
struct rpc_headers_ask {
    struct endpoint *of; /* NULL: the node chooses */
    const uint64_t *numbers;
    size_t n; /* at most RPC_HEADERS_MOST */
};
/* ret_found[i] is false where the block is not there or its question failed. */
int rpc_headers_numbers(struct rpc *n, const struct rpc_headers_ask *ask, struct header *ret,
                        bool *ret_found, struct err *err);
/* The newest header and the endpoint that gave it: `of`, which is not waited for long, or any
 * (NULL). */
int rpc_header_newest(struct rpc *n, struct endpoint *of, struct header *ret,
                      struct endpoint **ret_by, struct err *err);
/* What an execution at `at` holds to be the hash of an earlier block, one of the 256 before. */
struct rpc_blockhash_ask {
    struct endpoint *of;
    const struct anchor *at;
    uint64_t number;
};
enum rpc_blockhash {
    RPC_BLOCKHASH_KNOWN,
    RPC_BLOCKHASH_SILENT, /* the endpoint does not answer, or does not have the block `at` */
    RPC_BLOCKHASH_UNABLE, /* it does not run such a call, or ran it at another block */
};
int rpc_blockhash(struct rpc *n, const struct rpc_blockhash_ask *ask, hash32 *ret,
                  enum rpc_blockhash *ret_says, struct err *err);
/* Does the endpoint say that it is syncing? */
struct rpc_sync {
    bool has_blocks;
    uint64_t at, to;
};
bool rpc_syncing(struct rpc *n, struct endpoint *of, struct rpc_sync *ret);

/* ---- views ----------------------------------------------------------------------------------- */

/* eth_call to one contract. */
struct rpc_view {
    const address *to;
    const uint8_t *data;
    size_t data_len;
    const struct anchor *at; /* by hash or, where hashes are not honoured, number; NULL: latest */
    bool now; /* a block that the node does not know is not waited for: it may have been dropped */
    /* The answer becomes a number or a decision. It is asked for twice, with an echo of a nonce
     * between, so that no other request's is taken for it. */
    bool bound;
};
struct rpc_view_answer {
    uint8_t *data; /* the caller's to mem_free(); `0x` is success with length 0 */
    size_t len;
    struct fault_info fault;
};
int rpc_view(struct rpc *n, const struct rpc_view *v, struct rpc_view_answer *ret, struct err *err);

/* ---- endpoints ------------------------------------------------------------------------------- */

size_t rpc_endpoints(const struct rpc *n);
struct endpoint *rpc_endpoint(struct rpc *n, size_t i);
/* The endpoint the next request would go to: the first in order of preference that may be asked and
 * does not lag; when all are paused, the one whose pause ends first. Never NULL. */
struct endpoint *rpc_best(struct rpc *n);
/* The next best: who would be asked if it were not for e. NULL when there is none. */
struct endpoint *rpc_other(struct rpc *n, const struct endpoint *e);

/* NULL: no endpoint has this name any more. */
struct endpoint *rpc_find_endpoint(struct rpc *n, const char *name);
size_t endpoint_number(const struct endpoint *e); /* in the order of the settings, from 0 */
/* The best one that may be asked now and whose bit (of its number) is not in `except`; NULL when
 * there is none. */
struct endpoint *rpc_other_than(struct rpc *n, uint32_t except);
const char *endpoint_name(const struct endpoint *e);
bool endpoint_may_be_asked(const struct endpoint *e); /* now: it is not paused, and on our chain */
enum conf_reader endpoint_reader_setting(const struct endpoint *e);

enum capability { CAP_UNKNOWN, CAP_YES, CAP_NO };
/* Does eth_call honour {"blockHash":…}? Probed once with a made-up hash, which must be refused.
 * Until then CAP_UNKNOWN; endpoint_probe() asks. */
enum capability endpoint_pins_hash(const struct endpoint *e);
int endpoint_probe(struct rpc *n, struct endpoint *e, struct err *err);
/* Are the timestamps of its headers those of the EVM? On some chains they are not; then they prove
 * nothing about a read. CAP_UNKNOWN until a probe saw both of one block. */
enum capability endpoint_has_evm_time(const struct endpoint *e);
/* An execution said of its block: this number, parent and timestamp. Asks for the header. */
int endpoint_probe_time(struct rpc *n, struct endpoint *e, const struct anchor *said,
                        struct err *err);

/* The block parameter of a read at `at` for this endpoint: {"blockHash":"0x…"} or "0x…". */
void endpoint_block_param(const struct endpoint *e, const struct anchor *at, struct buf *out);

/* Counters, for logs and metrics; since start. */
struct endpoint_counters {
    uint64_t requests, faults, retries, blamed, bytes_out, bytes_in;
    uint64_t units;          /* what was sent, as priced */
    uint64_t hedges, beaten; /* second tries sent here; those that beat this endpoint */
    uint64_t missed_logs;    /* left out by it, shown by another */
    uint64_t misplaced;      /* answers of another request */
    uint64_t by_fault[FAULT_UNKNOWN + 1];
};
const struct endpoint_counters *endpoint_counters(const struct endpoint *e);
/* What went to and came from all endpoints since start. */
struct rpc_traffic {
    uint64_t requests, bytes_out, bytes_in;
};
struct rpc_traffic rpc_traffic(const struct rpc *n);
/* An answer that is not from block `at`, which was asked for. It counts against the endpoint once a
 * second source, or its own header of that number, confirms that the block is the chain's. */
void endpoint_doubt_block(struct endpoint *e, const struct anchor *at, const char *why);
/* An answer that shows by itself that it is wrong: counts against the endpoint. */
void endpoint_report_wrong_block(struct endpoint *e, const char *why);
/* An answer without its request's nonce: it belongs to another request, and was discarded. After
 * some in a row the endpoint's circuit opens. */
void endpoint_report_misplaced(struct endpoint *e);
void endpoint_report_placed(struct endpoint *e); /* one with its nonce: that ends the row */

/* ---- notices: what a person should be told once ---------------------------------------------- */

struct rpc_notice {
    const char *message;  /* the same words for the same thing */
    const char *endpoint; /* its name; NULL: it is about none */
    char why[200];        /* masked */
};
/* The oldest not yet taken; false when there is none. */
/* From now on each notice is handed to `told` at once, and none is kept. */
void rpc_on_notice(struct rpc *n, void (*told)(const struct rpc_notice *notice));
bool rpc_take_notice(struct rpc *n, struct rpc_notice *ret);

/* ---- the budget ------------------------------------------------------------------------------ */

/* False: the day's units that this lane may spend are spent; *ret_wait_ms (may be NULL) until the
 * next day. Says so once in a notice. */
bool rpc_may_spend(struct rpc *n, enum rpc_lane lane, int64_t *ret_wait_ms);
/* The account itself (rpc/budget.h), for what is kept of it across restarts and shared with other
 * processes. */
struct budget *rpc_budget(struct rpc *n);

#endif
