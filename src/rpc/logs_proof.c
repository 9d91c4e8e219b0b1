/*
 * Logs with proof that the endpoint had the block they are asked up to: its header before and after
 * them, and a head above it. A backend that is behind, or on another branch, would answer a short
 * list without an error.
 */
#include "base/err.h"
#include "rpc/logs.h"
#include "rpc/rpc_internal.h"

#include <inttypes.h>
#include <stdio.h>

enum { MISSING_BLOCK = RPC_NO_RETRY(FAULT_BEHIND) | RPC_NO_RETRY(FAULT_PRUNED) };

/* block: "latest", or a number. A block that the endpoint does not know is a fault. */
static int logs_proof_header(struct rpc *n, const struct logs_ask *ask, const char *block,
                             struct header *ret, struct fault_info *ret_fault, struct err *err)
{
    static const char method[] = "eth_getBlockByNumber";
    char params[48];
    bool found;
    struct rpc_answer a;
    int len = snprintf(params, sizeof params, "[\"%s\",false]", block);
    struct rpc_request q = {.method = method,
                            .params = params,
                            .params_len = (size_t)len,
                            .lane = ask->lane,
                            .deadline_ms = ask->deadline_ms,
                            .no_retry = MISSING_BLOCK,
                            .only = ask->by};
    if (rpc_ask(n, &q, &a, err) < 0)
        return -1;
    *ret_fault = a.fault;
    if (a.fault.fault != FAULT_NONE)
        return rpc_answer_err(method, &a, err);
    int rc = header_from_json(a.result, ret, &found, err);
    rpc_answer_free(&a);
    if (rc == 0 && !found) {
        ret_fault->fault = FAULT_BEHIND;
        rc = err_set(err, ERR_FAILED, "endpoint \"%s\" does not have block %s",
                     endpoint_name(ask->by), block);
    }
    return rc;
}

static int logs_proof_at(struct rpc *n, const struct logs_ask *ask, const struct anchor *at,
                         struct fault_info *ret_fault, struct err *err)
{
    char number[24], theirs[HASH_TEXT], ours[HASH_TEXT];
    struct header h = {0};
    snprintf(number, sizeof number, "0x%" PRIx64, at->number);
    if (logs_proof_header(n, ask, number, &h, ret_fault, err) < 0)
        return -1;
    if (h.at.number == at->number && hash_equal(&h.at.hash, &at->hash))
        return 0;
    hash_text(&h.at.hash, theirs);
    hash_text(&at->hash, ours);
    return err_set(err, ERR_FAILED,
                   "endpoint \"%s\" is on another branch: its block %" PRIu64 " is %s, not %s",
                   endpoint_name(ask->by), at->number, theirs, ours);
}

static int logs_proof_head(struct rpc *n, const struct logs_ask *ask, const struct anchor *at,
                           struct fault_info *ret_fault, struct err *err)
{
    struct header head = {0};
    if (logs_proof_header(n, ask, "latest", &head, ret_fault, err) < 0)
        return -1;
    if (head.at.number > at->number)
        return 0;
    ret_fault->fault = FAULT_BEHIND;
    return err_set(err, ERR_FAILED,
                   "endpoint \"%s\" is behind: its head is block %" PRIu64
                   ", not above block %" PRIu64,
                   endpoint_name(ask->by), head.at.number, at->number);
}

int rpc_logs_proven(struct rpc *n, const struct logs_ask *ask, const struct anchor *at,
                    struct logs *ret, struct err *err)
{
    struct logs_ask alone = *ask;
    struct fault_info fault = fault_make(FAULT_NONE, "");
    alone.alone = true;
    *ret = (struct logs){.by = ask->by};
    if (logs_proof_at(n, ask, at, &fault, err) == 0 && rpc_logs_range(n, &alone, ret, err) == 0 &&
        logs_proof_at(n, ask, at, &fault, err) == 0 &&
        logs_proof_head(n, ask, at, &fault, err) == 0)
        return 0;
    if (fault.fault != FAULT_NONE)
        ret->fault = fault;
    return -1;
}
