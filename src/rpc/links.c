/*
 * What shows that one block stands on another: headers, and BLOCKHASH as an execution knows it.
 * They are asked of one endpoint, and waited for; a window of logs may be under way aside.
 */
#include "base/clock.h"
#include "base/err.h"
#include "eth/abi.h"
#include "eth/fault_policy.h"
#include "rpc/rpc_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    HEADERS_MS = 10 * 1000, /* one endpoint alone is waited for no longer */
    BLOCKHASH_MS = 2 * 1000,
    NEWEST_MS = 3 * 1000,
    PARAMS_MAX = 1024,
    LINK_WORD = 32,
    NOT_THERE = RPC_NO_RETRY(FAULT_BEHIND) | RPC_NO_RETRY(FAULT_PRUNED),
};

static int rpc_links_submit_header(struct rpc *n, struct endpoint *of, uint64_t number, void *user,
                                   struct err *err)
{
    char params[48];
    int len = snprintf(params, sizeof params, "[\"0x%" PRIx64 "\",false]", number);
    struct rpc_request q = {.method = "eth_getBlockByNumber",
                            .params = params,
                            .params_len = (size_t)len,
                            .no_retry = NOT_THERE,
                            .deadline_ms = clock_ms() + HEADERS_MS,
                            .only = of,
                            .user = user};
    return rpc_submit(n, &q, err);
}

int rpc_headers_numbers(struct rpc *n, const struct rpc_headers_ask *ask, struct header *ret,
                        bool *ret_found, struct err *err)
{
    struct rpc_answer a;
    for (size_t i = 0; i < ask->n; i++) {
        ret_found[i] = false;
        if (rpc_links_submit_header(n, ask->of, ask->numbers[i], &ret[i], err) < 0) {
            rpc_abandon_all(n);
            return -1;
        }
    }
    for (size_t left = ask->n; left > 0; left--) {
        if (rpc_wait_answer(n, &a, err) < 0)
            return -1;
        struct header *h = a.user;
        size_t i = (size_t)(h - ret);
        ret_found[i] = rpc_answer_header(&a, h) && h->at.number == ask->numbers[i];
        rpc_answer_free(&a);
    }
    return 0;
}

int rpc_header_newest(struct rpc *n, struct endpoint *of, struct header *ret,
                      struct endpoint **ret_by, struct err *err)
{
    static const char params[] = "[\"latest\",false]";
    struct rpc_request q = {.method = "eth_getBlockByNumber",
                            .params = params,
                            .params_len = sizeof params - 1,
                            .deadline_ms = of ? clock_ms() + NEWEST_MS : 0,
                            .only = of};
    struct rpc_answer a;
    bool found = false;
    if (rpc_ask(n, &q, &a, err) < 0)
        return -1;
    if (a.fault.fault != FAULT_NONE)
        return rpc_answer_err(q.method, &a, err);
    int rc = header_from_json(a.result, ret, &found, err);
    if (rc < 0)
        err_wrap(err, "eth_getBlockByNumber latest");
    if (rc == 0 && !found)
        rc = err_set(err, ERR_FAILED, "the node has no latest block");
    *ret_by = a.endpoint;
    rpc_answer_free(&a);
    return rc;
}

/* Code of a creation that returns NUMBER, BLOCKHASH(number) and BLOCKHASH(NUMBER - 1): no contract
 * is needed. What it returns begins with a zero byte, as code that is to be deployed must not begin
 * with 0xef. */
static void rpc_links_add_program(struct buf *out, uint64_t number)
{
    uint8_t word[LINK_WORD];
    abi_put_u64(word, number);
    buf_adds(out, "0x43600052"); /* NUMBER PUSH1 0 MSTORE */
    buf_adds(out, "67");         /* PUSH8 */
    buf_addhex(out, word + sizeof word - 8, 8);
    buf_adds(out, "40602052");         /* BLOCKHASH PUSH1 32 MSTORE */
    buf_adds(out, "6001430340604052"); /* PUSH1 1 NUMBER SUB BLOCKHASH PUSH1 64 MSTORE */
    buf_adds(out, "60606000f3");       /* PUSH1 96 PUSH1 0 RETURN */
}

/* Did it run at the block it was pinned to? Endpoints may pass over the pin. */
static bool rpc_links_ran_at(const struct rpc_answer *a, const struct anchor *at)
{
    uint64_t number;
    return a->fault.fault == FAULT_NONE && a->bytes && a->n_bytes == 3 * LINK_WORD &&
           abi_get_u64(a->bytes, &number) && number == at->number &&
           memcmp(a->bytes + 2 * LINK_WORD, at->parent.b, sizeof at->parent.b) == 0;
}

/* By hash where the endpoint is not known to refuse it: it may not have been asked yet. */
static void rpc_links_add_block(const struct endpoint *e, const struct anchor *at, struct buf *out)
{
    char hash[HASH_TEXT];
    hash_text(&at->hash, hash);
    if (endpoint_pins_hash(e) == CAP_NO)
        buf_addf(out, "\"0x%" PRIx64 "\"", at->number);
    else
        buf_addf(out, "{\"blockHash\":\"%s\"}", hash);
}

static int rpc_links_submit_call(struct rpc *n, struct endpoint *of, const struct anchor *at,
                                 uint64_t number, void *user, struct err *err)
{
    struct buf params = BUF_INIT(PARAMS_MAX);
    buf_adds(&params, "[{\"gas\":\"0x1e8480\",\"data\":\"");
    rpc_links_add_program(&params, number);
    buf_adds(&params, "\"},");
    rpc_links_add_block(of, at, &params);
    buf_addc(&params, ']');
    struct rpc_request q = {.method = "eth_call",
                            .params = params.data,
                            .params_len = params.len,
                            .bytes = true,
                            .deadline_ms = clock_ms() + BLOCKHASH_MS,
                            .only = of,
                            .no_retry = RPC_NO_RETRY(FAULT_UNKNOWN) | RPC_NO_RETRY(FAULT_DOWN) |
                                        RPC_NO_RETRY(FAULT_TIME),
                            .user = user};
    int rc = rpc_submit(n, &q, err);
    buf_free(&params);
    return rc;
}

int rpc_blockhash(struct rpc *n, const struct rpc_blockhash_ask *ask, hash32 *ret,
                  enum rpc_blockhash *ret_says, struct err *err)
{
    struct rpc_answer a;
    if (rpc_links_submit_call(n, ask->of, ask->at, ask->number, ret, err) < 0 ||
        rpc_wait_answer(n, &a, err) < 0)
        return -1;
    *ret_says = RPC_BLOCKHASH_UNABLE;
    if (rpc_links_ran_at(&a, ask->at)) {
        memcpy(ret->b, a.bytes + LINK_WORD, sizeof ret->b);
        *ret_says = RPC_BLOCKHASH_KNOWN;
    } else if ((a.fault.fault == FAULT_NONE && !a.bytes) ||
               fault_says(a.fault.fault, FAULT_SAYS_NOT_NOW | FAULT_SAYS_BLOCK_MISSING |
                                             FAULT_SAYS_BLOCK_DROPPED)) {
        *ret_says = RPC_BLOCKHASH_SILENT;
    }
    rpc_answer_free(&a);
    return 0;
}

bool rpc_syncing(struct rpc *n, struct endpoint *of, struct rpc_sync *ret)
{
    struct rpc_request q = {.method = "eth_syncing",
                            .params = "[]",
                            .params_len = 2,
                            .deadline_ms = clock_ms() + NEWEST_MS,
                            .only = of};
    struct rpc_answer a;
    struct err ignored = {0};
    if (rpc_ask(n, &q, &a, &ignored) < 0)
        return false;
    const struct json *at = json_get(a.result, "currentBlock"),
                      *top = json_get(a.result, "highestBlock");
    bool is_object = a.fault.fault == FAULT_NONE && json_is_object(a.result);
    *ret = (struct rpc_sync){0};
    ret->has_blocks = is_object && json_quantity(at, &ret->at) && json_quantity(top, &ret->to);
    rpc_answer_free(&a);
    return is_object;
}
