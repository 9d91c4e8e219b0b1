/*
 * What an endpoint can do is found by asking, never believed from its name.
 *
 * Pinning by hash (EIP-1898): some proxies and old nodes drop the object and answer from the latest
 * block, without a word. So a call at a hash that no block has must be refused for that reason, and
 * the same call at the hash of a block that the endpoint just named must succeed.
 */
#include "base/err.h"
#include "eth/fault_policy.h"
#include "rpc/rpc_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* After an answer from a wrong block more tries are needed: one name may stand for many machines,
 * and not all of them look at the hash. */
enum { TRIES_AFTER_WRONG_BLOCK = 16 };

/* A call to the zero address, which has no code anywhere: success, and no data. */
static int probe_call_at(struct endpoint *e, const hash32 *at, uint32_t no_retry,
                         struct fault_info *ret_fault, bool *ret_null, struct err *err)
{
    char hash[HASH_TEXT], params[256];
    hash_text(at, hash);
    int len = snprintf(params, sizeof params,
                       "[{\"to\":\"0x0000000000000000000000000000000000000000\",\"data\":\"0x\"},"
                       "{\"blockHash\":\"%s\"}]",
                       hash);
    struct rpc_request q = {.method = "eth_call",
                            .params = params,
                            .params_len = (size_t)len,
                            .no_retry = no_retry,
                            .only = e};
    struct rpc_answer a;
    int rc = rpc_call(e->rpc, &q, &a, err);
    *ret_fault = a.fault;
    *ret_null = rc == 0 && json_is_null(a.result);
    rpc_answer_free(&a);
    return rc;
}

/* block: "latest", or a number. */
static int probe_get_header(struct rpc *n, struct endpoint *e, const char *block,
                            struct header *ret, bool *ret_found, struct err *err)
{
    char params[48];
    int len = snprintf(params, sizeof params, "[\"%s\",false]", block);
    struct rpc_request q = {.method = "eth_getBlockByNumber",
                            .params = params,
                            .params_len = (size_t)len,
                            .no_retry = RPC_NO_RETRY(FAULT_BEHIND) | RPC_NO_RETRY(FAULT_PRUNED),
                            .only = e};
    struct rpc_answer a;
    int rc = rpc_call(n, &q, &a, err);
    if (rc == 0)
        rc = header_from_json(a.result, ret, ret_found, err);
    rpc_answer_free(&a);
    return rc;
}

/* The hash of the newest block it has. */
static int endpoint_latest(struct rpc *n, struct endpoint *e, hash32 *ret, struct err *err)
{
    struct header h = {0};
    bool found = false;
    if (probe_get_header(n, e, "latest", &h, &found, err) < 0)
        return -1;
    if (!found)
        return err_set(err, ERR_FAILED, "eth_getBlockByNumber latest: not found");
    *ret = h.at.hash;
    return 0;
}

/* A hash that no block has. */
static int probe_call_nowhere(struct rpc *n, struct endpoint *e, struct fault_info *ret_fault,
                              bool *ret_null, struct err *err)
{
    hash32 at;
    rng_fill(&n->rng, at.b, sizeof at.b);
    return probe_call_at(e, &at, RPC_NO_RETRY(FAULT_BEHIND) | RPC_NO_RETRY(FAULT_UNKNOWN),
                         ret_fault, ret_null, err);
}

int endpoint_probe(struct rpc *n, struct endpoint *e, struct err *err)
{
    hash32 at;
    struct fault_info fault;
    struct err why = {0}; /* a refusal is an answer here, not an error */
    bool null = false, refused = true;
    int rc = 0, tries = e->doubt.ever ? TRIES_AFTER_WRONG_BLOCK : 1;
    for (int i = 0; i < tries && refused; i++) {
        rc = probe_call_nowhere(n, e, &fault, &null, &why);
        refused =
            rc < 0 && fault_says(fault.fault, FAULT_SAYS_BLOCK_MISSING | FAULT_SAYS_BLOCK_DROPPED);
    }
    if (refused) {
        if (endpoint_latest(n, e, &at, err) < 0)
            return err_wrap(err, "probing endpoint \"%s\"", endpoint_name(e));
        rc = probe_call_at(e, &at, 0, &fault, &null, &why);
    }
    if (rc < 0 && (why.kind == ERR_STOPPED || fault_says(fault.fault, FAULT_SAYS_NOT_NOW))) {
        err_set(err, why.kind, "%s", why.text);
        return err_wrap(err, "probing endpoint \"%s\"", endpoint_name(e));
    }
    e->pins_hash = refused && rc == 0 && !null ? CAP_YES : CAP_NO;
    return 0;
}

enum capability endpoint_has_evm_time(const struct endpoint *e)
{
    return e->has_evm_time;
}

int endpoint_probe_time(struct rpc *n, struct endpoint *e, const struct anchor *said,
                        struct err *err)
{
    char number[24], why[120];
    struct header h = {0};
    bool found = false;
    if (e->has_evm_time == CAP_YES)
        return 0;
    snprintf(number, sizeof number, "0x%" PRIx64, said->number);
    if (probe_get_header(n, e, number, &h, &found, err) < 0)
        return err_wrap(err, "probing endpoint \"%s\"", endpoint_name(e));
    /* Another block by now, or one that this backend lacks: nothing is learnt. */
    if (!found || !hash_equal(&h.at.parent, &said->parent))
        return 0;
    bool same = h.at.timestamp == said->timestamp;
    if (!same && e->has_evm_time == CAP_UNKNOWN) {
        snprintf(why, sizeof why,
                 "block %" PRIu64 " has %" PRIu64 " in its header and %" PRIu64 " in the EVM",
                 said->number, h.at.timestamp, said->timestamp);
        rpc_notify(n, e, "header timestamps are not the EVM's, they are not compared", why);
    }
    e->has_evm_time = same ? CAP_YES : CAP_NO;
    return 0;
}
