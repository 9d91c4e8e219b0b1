/* eth_getLogs of one block: by its hash, or by number where the endpoint refuses hashes. */
#include "base/clock.h"
#include "base/err.h"
#include "proc/counters.h"
#include "rpc/logs_internal.h"
#include "rpc/rpc_internal.h"

#include <inttypes.h>
#include <stdio.h>

enum { HASH_AGAIN_MS = 3600 * 1000 }; /* the node behind a URL may be upgraded */

/* ---- by hash --------------------------------------------------------------------------------- */

static int logs_block_by_hash(struct rpc *n, const struct logs_ask *ask, const struct header *h,
                              struct logs *ret, struct err *err)
{
    struct buf params = BUF_INIT(FILTER_CEILING);
    struct rpc_answer a;
    int rc, got = 0;
    logs_add_block(&params, &h->at.hash, ask->filter);
    struct rpc_request q = {.method = "eth_getLogs",
                            .params = params.data,
                            .params_len = params.len,
                            .lane = ask->lane,
                            .only = ask->by,
                            .reply_max = LOGS_REPLY_MAX,
                            .logs = true,
                            .user = ret,
                            /* It may be reorged away: no waiting for it. */
                            .no_retry = RPC_NO_RETRY(FAULT_BEHIND)};
    rc = rpc_submit(n, &q, err);
    while (rc == 0 && got == 0) {
        got = rpc_next(n, 1000, &a, err);
        if (got < 0 || (got == 0 && rpc_stop_asked(n)))
            rc = got < 0 ? -1 : logs_stopped(err);
    }
    if (rc < 0)
        rpc_abandon(n, ret);
    if (got > 0) {
        rc = logs_take(&a, ask->arena, ret, err);
        rpc_answer_free(&a);
    }
    buf_free(&params);
    if (rc == 0)
        logs_filter_answer(
            &(struct logs_question){ask->filter, h->at.number, h->at.number, &h->at.hash}, ret);
    return rc;
}

/* ---- by number ------------------------------------------------------------------------------- */

/* The range of this one block. The header that goes with it says of which block the logs are. */
static int logs_block_by_number(struct rpc *n, const struct logs_ask *ask, struct endpoint *by,
                                const struct header *h, struct logs *ret, struct err *err)
{
    struct logs_ask range = *ask;
    range.from = range.to = h->at.number;
    range.by = by;
    if (rpc_logs_range(n, &range, ret, err) < 0)
        return -1;
    if (hash_equal(&ret->to.at.hash, &h->at.hash))
        return 0;
    ret->fault.fault = FAULT_BEHIND;
    return err_set(err, ERR_FAILED, "endpoint \"%s\" shows another block %" PRIu64,
                   endpoint_name(by), h->at.number);
}

/* Faults by which an endpoint says that it does not take the question, rather than that it cannot
 * answer now. */
static bool logs_hash_refused(enum fault f)
{
    return f == FAULT_INVALID || f == FAULT_UNSUPPORTED || f == FAULT_FILTER || f == FAULT_WINDOW ||
           f == FAULT_RANGE || f == FAULT_UNKNOWN;
}

enum capability endpoint_logs_by_hash(const struct endpoint *e)
{
    return e->logs_by_hash == CAP_NO && clock_ms() >= e->logs_hash_at_ms ? CAP_UNKNOWN
                                                                         : e->logs_by_hash;
}

static void logs_keep_refusal(struct rpc *n, struct endpoint *e, const char *words)
{
    if (e->logs_by_hash != CAP_NO)
        rpc_notify(n, e, "endpoint refuses eth_getLogs by blockHash, asked by number instead",
                   words);
    e->logs_by_hash = CAP_NO;
    e->logs_hash_at_ms = clock_ms() + HASH_AGAIN_MS;
}

static int logs_block_ask(struct rpc *n, const struct logs_ask *ask, const struct header *h,
                          struct logs *ret, struct err *err)
{
    struct endpoint *by = ask->by ? ask->by : rpc_best(n);
    struct err refusal = {0};
    *ret = (struct logs){.by = by, .to = *h};
    if (endpoint_logs_by_hash(by) == CAP_NO || by->log_forms == LOG_FORMS_RANGE)
        return logs_block_by_number(n, ask, by, h, ret, err);
    if (logs_block_by_hash(n, ask, h, ret, &refusal) == 0) {
        ret->by->logs_by_hash = CAP_YES;
        return 0;
    }
    by = ret->by;
    if (by && logs_hash_refused(ret->fault.fault) &&
        logs_block_by_number(n, ask, by, h, ret, err) == 0) {
        logs_keep_refusal(n, by, refusal.text);
        return 0;
    }
    *err = refusal;
    return -1;
}

/* ---- doubt ----------------------------------------------------------------------------------- */

static bool logs_has_contract(const struct logs *l, const address *contract)
{
    for (size_t i = 0; i < l->n; i++)
        if (address_equal(&l->list[i].contract, contract))
            return true;
    return false;
}

/* Does the bloom speak of a contract that the answer has no log of? */
static bool logs_contradict_bloom(const struct log_filter *f, const struct header *h,
                                  const struct logs *l)
{
    for (size_t c = 0; h->has_bloom && c < f->n_contracts; c++)
        if (!logs_has_contract(l, &f->contracts[c]) && logs_bloom_may_hold(f, &f->contracts[c], h))
            return true;
    return false;
}

int rpc_logs_block(struct rpc *n, const struct logs_ask *ask, const struct header *h,
                   struct logs *ret, struct err *err)
{
    struct logs_ask again = *ask;
    if (logs_block_ask(n, ask, h, ret, err) < 0)
        return -1;
    if (ret->other_block == 0 && !logs_contradict_bloom(ask->filter, h, ret))
        return 0;
    struct endpoint *first = ret->by;
    struct logs second;
    struct err why = {0};
    /* Of another endpoint, if there is one that can answer. */
    again.by = rpc_other(n, first);
    if (!again.by || logs_block_ask(n, &again, h, &second, &why) < 0) {
        if (why.kind == ERR_STOPPED)
            return err_set(err, why.kind, "%s", why.text);
        if (logs_block_ask(n, ask, h, &second, err) < 0)
            return -1;
    }
    if (second.n > ret->n) {
        logs_count_missed(n, first, second.n - ret->n, h->at.number, h->at.number);
        *ret = second;
    }
    return 0;
}
