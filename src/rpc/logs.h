/*
 * eth_getLogs, asked so that a wrong answer is noticed.
 *
 * A log is a reason to read a wallet. Only an answer that is no list is a failure; nothing about a
 * log rejects the logs beside it. What does not belong to the question is left out and counted by
 * its reason (trueup_logs_ignored_total): a log that is `removed`, a duplicate, of a foreign
 * contract or topic, unreadable, or of another block than the one asked for by hash. A log of ours
 * with a block number outside the asked range, or with none, is kept as `unplaced`: it names its
 * wallets, and its block becomes the last of the range.
 *
 * A range is asked together with the header of its last block, of the same endpoint in the same
 * breath: a backend that does not have that block would answer a short or empty list without an
 * error. An empty answer over more than 1,000 blocks is asked once more of another endpoint, if
 * there is one. A range of an endpoint whose ranges leave logs out is asked block by block.
 */
#ifndef RPC_LOGS_H
#define RPC_LOGS_H

#include "base/buf.h"
#include "eth/event.h"
#include "rpc/rpc.h"

enum {
    LOGS_MAX = RPC_LOGS_MAX,
    LOGS_REPLY_MAX = 64 * 1024 * 1024,
    /* Over several blocks more is refused as too dense: what can be had in pieces need not be held
     * as a whole. */
    LOGS_WINDOW_MAX = 8 * 1024 * 1024,
};

struct log_filter {
    const address *contracts;
    size_t n_contracts;
    const hash32 *topics; /* any of them as topic0 */
    size_t n_topics;
    const hash32 *words; /* if any: one of them as the topic at `position`, 1 to 3 */
    size_t n_words;
    int position;
};

struct logs {
    struct event_log *list; /* in the arena */
    size_t n;
    struct header to; /* rpc_logs_range(): header of the last block */
    struct endpoint *by;
    size_t other_block;      /* logs of another block than the one asked for by hash: left out */
    struct fault_info fault; /* why it failed, for the range controller */
};

struct logs_ask {
    const struct log_filter *filter;
    uint64_t from, to; /* both inclusive; rpc_logs_block() leaves them out */
    enum rpc_lane lane;
    struct endpoint *by; /* NULL: the best */
    /* The header of the last block, where `by` gave it before: it is not asked for again. */
    const struct header *to_header;
    bool twice;          /* the caller asks again: no second endpoint checks an empty answer */
    int64_t deadline_ms; /* of each request of a range, monotonic; 0: as rpc_patience() says */
    struct arena *arena; /* the logs come to lie in it */
};

/* −1 with ret->fault set: FAULT_NONE there means an answer that is no list. */
int rpc_logs_range(struct rpc *n, const struct logs_ask *ask, struct logs *ret, struct err *err);

/* The logs of one block: by its hash, and of an endpoint that refuses hashes by its number,
 * together with its header. An answer without a log of a contract that the header's bloom speaks
 * of, or with logs of another block, is asked once more; a second such answer is believed (blooms
 * give false positives), and of two the longer one. */
int rpc_logs_block(struct rpc *n, const struct logs_ask *ask, const struct header *h,
                   struct logs *ret, struct err *err);

/* Does eth_getLogs take {"blockHash":…}? As the last answer showed; CAP_NO is forgotten after an
 * hour. */
enum capability endpoint_logs_by_hash(const struct endpoint *e);

/* ---- the forms of the question ----------------------------------------------------------------
 */

enum logs_form { FORM_RANGE, FORM_HASH, FORM_RECEIPTS };
enum { LOGS_FORMS = FORM_RECEIPTS + 1, LOGS_PROBE_TEXT = 160 };

/* How many logs of one contract and topic each form names of one recent block. */
struct logs_probe {
    bool tried; /* false: none of the last 1,000 blocks holds a log */
    uint64_t block;
    bool served[LOGS_FORMS];
    size_t n[LOGS_FORMS];
    size_t most;
};
/* −1: the endpoint does not answer now. */
int endpoint_probe_logs(struct rpc *n, struct endpoint *e, struct logs_probe *ret, struct err *err);

/* Which forms leave no log out (counters.h has the names). */
enum log_forms {
    LOG_FORMS_UNTRIED,
    LOG_FORMS_ALL,
    LOG_FORMS_RANGE, /* block hashes are refused, or leave logs out */
    LOG_FORMS_HASH,  /* ranges leave logs out: it is asked block by block */
    LOG_FORMS_NONE,  /* it gives no looks */
};
enum { LOG_FORMS = LOG_FORMS_NONE + 1 };
enum log_forms logs_probe_judge(const struct logs_probe *r);
/* "logs of block 7: 0 by range, 1 by block hash, 1 in receipts" */
void logs_probe_describe(const struct logs_probe *r, char ret[LOGS_PROBE_TEXT]);
enum log_forms endpoint_log_forms(const struct endpoint *e);
/* As found by an earlier process. */
void endpoint_restore_log_forms(struct endpoint *e, enum log_forms forms);
/* From now on it is asked as the probe shows. A change is noticed. */
void endpoint_set_log_forms(struct endpoint *e, const struct logs_probe *r);

/* ---- ranges, several at once -----------------------------------------------------------------
 * open → rpc_drive() until it has ended → result → close. Blocking verbs may run meanwhile. */

struct logs_window;
/* Filter and arena are the window's until it is closed. */
int logs_window_open(struct rpc *n, const struct logs_ask *ask, struct logs_window **ret,
                     struct err *err);
/* Takes what has come. */
bool logs_window_ended(struct logs_window *w);
/* Waits for its end. −1: asked to stop. */
int logs_window_wait(struct logs_window *w, struct err *err);
/* As rpc_logs_range() would have answered; once it has ended. */
int logs_window_result(const struct logs_window *w, struct logs *ret, struct err *err);
void logs_window_close(struct logs_window *w); /* also of one under way; NULL is fine */

/* The same for the logs of a range from ask->by alone, with proof that it had the block `at`, which
 * is the range's last one or above it: that endpoint shows this hash at this number before and
 * after the logs, and a head above it. The result is −1 when any of this fails or differs, with
 * ret->fault as above. Filter and arena are the proof's until it is closed. */
struct logs_proof;
int logs_proof_open(struct rpc *n, const struct logs_ask *ask, const struct anchor *at,
                    struct logs_proof **ret, struct err *err);
bool logs_proof_ended(struct logs_proof *p);
int logs_proof_result(const struct logs_proof *p, struct logs *ret, struct err *err);
void logs_proof_close(struct logs_proof *p);

/* The parameters of eth_subscribe to the filter's logs; some nodes refuse any further member. */
void logs_add_subscription(struct buf *b, const struct log_filter *f);

/* May this block hold a log for the filter, by its bloom? */
bool filter_may_match(const struct log_filter *f, const struct header *h);

#endif
