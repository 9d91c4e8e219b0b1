/* What the files of eth_getLogs share: logs.c asks by range, logs_block.c for one block,
 * logs_filter.c sorts out what was answered. */
#ifndef RPC_LOGS_INTERNAL_H
#define RPC_LOGS_INTERNAL_H

#include "base/buf.h"
#include "rpc/logs.h"

enum { FILTER_CEILING = 256 * 1024 };

/* The parameters that ask for the ask's range; without a filter, for all of its logs. */
void logs_add_range(struct buf *b, const struct logs_ask *ask);
/* … for one block, by its hash. */
void logs_add_block(struct buf *b, const hash32 *block, const struct log_filter *f);
/* One answer's fate: kept in ret when good, else the error with the fault. */
int logs_take(struct rpc_answer *a, struct arena *arena, struct logs *ret, struct err *err);
int logs_stopped(struct err *err);
/* Logs that one endpoint left out and another showed. */
void logs_count_missed(struct rpc *n, struct endpoint *e, size_t n_logs, uint64_t from,
                       uint64_t to);
bool logs_bloom_may_hold(const struct log_filter *f, const address *contract,
                         const struct header *h);

/* The endpoint leaves logs out in every form. */
int logs_err_no_form(const struct endpoint *e, struct err *err);

/* A range asked block by block (logs_walk.c). */
struct logs_walk;
int logs_walk_open(struct rpc *n, const struct logs_ask *ask, struct endpoint *by,
                   struct logs_walk **ret, struct err *err);
/* Takes one answer that has come; false when there is none. *ret has the logs once the walk has
 * ended, or the fault with −1 in *ret_rc. */
bool logs_walk_take(struct logs_walk *w, struct logs *ret, int *ret_rc, struct err *err);
bool logs_walk_ended(const struct logs_walk *w);
void logs_walk_close(struct logs_walk *w); /* NULL is fine */

struct logs_question {
    const struct log_filter *filter;
    uint64_t from, to;
    const hash32 *hash; /* one block was asked for by its hash; NULL: a range by numbers */
};

/* Leaves what the question asked for, each log once, in the order of blocks. What is left out or
 * lacks something is counted by its reason (trueup_logs_ignored_total). Never refuses an answer:
 * see logs.h. l->to is the header of block `to`. */
void logs_filter_answer(const struct logs_question *q, struct logs *l);
/* In the order of blocks, each log once. */
void logs_filter_sort(struct logs *l);

#endif
