/*
 * One question at a time: the blocking verbs, each a request submitted and waited for.
 */
#include "base/err.h"
#include "base/mem.h"
#include "eth/fault_policy.h"
#include "rpc/rpc_internal.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum {
    PARAMS_MAX = 64 * 1024,
    /* Below every cap seen, and below 2^24 (EIP-7825), so that no node lowers or refuses it. */
    VIEW_GAS = 16000000,
    BOUND_TRIES = 8,
};

int rpc_wait_answer(struct rpc *n, struct rpc_answer *ret, struct err *err)
{
    int got = rpc_next(n, -1, ret, err);
    if (got > 0)
        return 0;
    rpc_abandon_all(n);
    return got < 0 ? -1 : err_set(err, ERR_STOPPED, "asked to stop while waiting for the node");
}

int rpc_ask(struct rpc *n, const struct rpc_request *q, struct rpc_answer *ret, struct err *err)
{
    if (n->in_use > 0)
        return err_set(err, ERR_FAILED, "%s asked alone while %zu requests are in flight",
                       q->method, n->in_use);
    if (rpc_submit(n, q, err) < 0)
        return -1;
    return rpc_wait_answer(n, ret, err);
}

int rpc_call(struct rpc *n, const struct rpc_request *q, struct rpc_answer *ret, struct err *err)
{
    *ret = (struct rpc_answer){.fault = fault_make(FAULT_UNKNOWN, "")};
    if (rpc_ask(n, q, ret, err) < 0)
        return -1;
    return ret->fault.fault == FAULT_NONE ? 0 : rpc_answer_err(q->method, ret, err);
}

/* ---- headers --------------------------------------------------------------------------------- */

enum { MISSING_BLOCK = RPC_NO_RETRY(FAULT_BEHIND) | RPC_NO_RETRY(FAULT_PRUNED) };

static int rpc_header_get(struct rpc *n, const char *param, unsigned missing, struct header *ret,
                          bool *ret_found, struct err *err)
{
    char params[HASH_TEXT + 16];
    const char *method =
        strlen(param) == HASH_TEXT - 1 ? "eth_getBlockByHash" : "eth_getBlockByNumber";
    int len = snprintf(params, sizeof params, "[\"%s\",false]", param);
    struct rpc_request q = {.method = method,
                            .params = params,
                            .params_len = (size_t)len,
                            .no_retry = missing ? MISSING_BLOCK : 0};
    struct rpc_answer a;
    if (rpc_ask(n, &q, &a, err) < 0)
        return -1;
    if (a.endpoint && !rpc_answer_turned_away(&a) && fault_says(a.fault.fault, missing)) {
        *ret_found = false;
        return 0;
    }
    if (a.fault.fault != FAULT_NONE)
        return rpc_answer_err(method, &a, err);
    int rc = header_from_json(a.result, ret, ret_found, err);
    if (rc < 0)
        err_wrap(err, "%s %s", method, param);
    rpc_answer_free(&a);
    return rc;
}

int rpc_header_tag(struct rpc *n, enum rpc_tag tag, struct header *ret, bool *ret_found,
                   struct err *err)
{
    static const char *const names[] = {
        [TAG_LATEST] = "latest", [TAG_SAFE] = "safe", [TAG_FINALIZED] = "finalized"};
    return rpc_header_get(n, names[tag], tag == TAG_LATEST ? 0 : FAULT_SAYS_TAG_MISSING, ret,
                          ret_found, err);
}

int rpc_header_number(struct rpc *n, uint64_t number, struct header *ret, bool *ret_found,
                      struct err *err)
{
    char param[24];
    snprintf(param, sizeof param, "0x%" PRIx64, number);
    struct header h = {0};
    bool found = false;
    if (rpc_header_get(n, param, FAULT_SAYS_BLOCK_MISSING, &h, &found, err) < 0)
        return -1;
    if (found && h.at.number != number)
        return err_set(err, ERR_FAILED, "asked for block %" PRIu64 ", got block %" PRIu64, number,
                       h.at.number);
    if (found)
        *ret = h;
    *ret_found = found;
    return 0;
}

int rpc_header_hash(struct rpc *n, const hash32 *hash, struct header *ret, bool *ret_found,
                    struct err *err)
{
    char param[HASH_TEXT], got[HASH_TEXT];
    hash_text(hash, param);
    struct header h = {0};
    bool found = false;
    if (rpc_header_get(n, param, FAULT_SAYS_BLOCK_MISSING, &h, &found, err) < 0)
        return -1;
    if (found && !hash_equal(&h.at.hash, hash)) {
        hash_text(&h.at.hash, got);
        return err_set(err, ERR_FAILED, "asked for block %s, got block %s", param, got);
    }
    if (found)
        *ret = h;
    *ret_found = found;
    return 0;
}

/* ---- views ----------------------------------------------------------------------------------- */

static void rpc_view_params(const struct endpoint *e, const struct rpc_view *v, struct buf *out)
{
    char contract[ADDRESS_TEXT];
    address_text(v->to, contract);
    buf_addf(out, "[{\"to\":\"%s\",\"gas\":\"0x%x\",\"data\":\"0x", contract, VIEW_GAS);
    buf_addhex(out, v->data, v->data_len);
    buf_adds(out, "\"},");
    if (v->at)
        endpoint_block_param(e, v->at, out);
    else
        buf_adds(out, "\"latest\"");
    buf_addc(out, ']');
}

static int rpc_view_ask(struct rpc *n, struct endpoint *e, const struct rpc_view *v,
                        struct rpc_view_answer *ret, struct err *err)
{
    struct buf params = BUF_INIT(PARAMS_MAX);
    struct rpc_answer a = {.fault = fault_make(FAULT_UNKNOWN, "")};
    rpc_view_params(e, v, &params);
    struct rpc_request q = {.method = "eth_call",
                            .params = params.data,
                            .params_len = params.len,
                            .bytes = true,
                            .no_retry = v->now ? RPC_NO_RETRY(FAULT_BEHIND) : 0,
                            .only = e};
    int rc = params.overflow ? err_set(err, ERR_TOO_LARGE, "call data of %zu bytes", v->data_len)
                             : rpc_call(n, &q, &a, err);
    buf_free(&params);
    if (rc == 0 && !a.bytes) {
        a.fault.fault = FAULT_BEHIND;
        rc = err_set(err, ERR_FAILED, "eth_call: answered null instead of data");
    }
    *ret = (struct rpc_view_answer){.fault = a.fault};
    if (rc == 0) {
        ret->data = a.bytes;
        ret->len = a.n_bytes;
        a.bytes = NULL;
    }
    rpc_answer_free(&a);
    return rc;
}

/* The precompile at 0x04 answers with its call data: a nonce. 1: with this one; 0: with another, or
 * what is no echo; −1: not at all. Where no such precompile is the answer is empty: that is 1, too,
 * because the two views around it are all there is to compare. */
static int rpc_view_echo(struct rpc *n, struct endpoint *e, struct err *err)
{
    struct buf params = BUF_INIT(PARAMS_MAX);
    struct nonce_places nonce = {0};
    struct rpc_answer a;
    nonce_encode_echo("\"latest\"", &params, &nonce);
    struct rpc_request q = {.method = "eth_call",
                            .params = params.data,
                            .params_len = params.len,
                            .nonce = nonce,
                            .bytes = true,
                            .only = e};
    int rc = rpc_ask(n, &q, &a, err);
    buf_free(&params);
    if (rc < 0)
        return -1;
    if (a.fault.fault != FAULT_NONE)
        rc = rpc_answer_err("eth_call of precompile 0x04", &a, err);
    else
        rc = a.bytes &&
             (a.n_bytes == 0 || (a.n_bytes == NONCE_WORD && nonce_is_word(&a.nonce, a.bytes)));
    rpc_answer_free(&a);
    return rc;
}

static bool rpc_view_same(int first, const struct rpc_view_answer *a, int second,
                          const struct rpc_view_answer *b)
{
    return first == second && a->fault.fault == b->fault.fault && a->len == b->len &&
           (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

/* 1: *ret is the view's own; 0: an answer was another request's; −1: as of rpc_view(). */
static int rpc_view_ask_bound(struct rpc *n, struct endpoint *e, const struct rpc_view *v,
                              struct rpc_view_answer *ret, struct err *err)
{
    struct rpc_view_answer first;
    int rc = rpc_view_ask(n, e, v, &first, err);
    *ret = first;
    if (rc < 0 && !fault_says(first.fault.fault, FAULT_SAYS_VIEW_REFUSED | FAULT_SAYS_VIEW_NO_GAS))
        return -1;
    int echo = rpc_view_echo(n, e, err);
    int again = echo > 0 ? rpc_view_ask(n, e, v, ret, err) : 0;
    bool same = echo > 0 && rpc_view_same(rc, &first, again, ret);
    if (echo > 0)
        mem_free(first.data);
    if (same)
        return rc < 0 ? -1 : 1;
    mem_free(ret->data);
    ret->data = NULL;
    return echo < 0 ? -1 : 0;
}

int rpc_view(struct rpc *n, const struct rpc_view *v, struct rpc_view_answer *ret, struct err *err)
{
    /* The block parameter is one endpoint's, so the question is that endpoint's too. */
    struct endpoint *e = rpc_best(n);
    if (!v->bound)
        return rpc_view_ask(n, e, v, ret, err);
    for (int i = 0; i < BOUND_TRIES; i++) {
        int rc = rpc_view_ask_bound(n, e, v, ret, err);
        if (rc != 0)
            return rc < 0 ? -1 : 0;
        endpoint_report_misplaced(e);
    }
    ret->fault = fault_make(FAULT_GARBLED, "misplaced");
    return err_set(err, ERR_FAILED, "eth_call: endpoint \"%s\" gives the answers of other requests",
                   endpoint_name(e));
}
