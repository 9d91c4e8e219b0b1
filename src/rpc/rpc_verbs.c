/*
 * One question at a time: the blocking verbs, each a request submitted and waited for.
 */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "eth/fault_policy.h"
#include "eth/jsonrpc.h"
#include "rpc/rpc_internal.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum {
    IDENTIFY_MS = 5 * 1000,
    PARAMS_MAX = 64 * 1024,
    /* Below every cap seen, and below 2^24 (EIP-7825), so that no node lowers or refuses it. */
    VIEW_GAS = 16000000,
};

static int fault_err(const struct rpc_request *q, const struct rpc_answer *a, struct err *err)
{
    return answer_err(q->method, a, err);
}

static int wait_answer(struct rpc *n, struct rpc_answer *ret, struct err *err)
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
    return wait_answer(n, ret, err);
}

int rpc_call(struct rpc *n, const struct rpc_request *q, struct json **ret_doc,
             const struct json **ret_result, struct fault_info *ret_fault, struct err *err)
{
    struct rpc_answer a;
    if (rpc_ask(n, q, &a, err) < 0) {
        if (ret_fault)
            *ret_fault =
                (struct fault_info){.fault = FAULT_UNKNOWN, .rule = "", .retry_after_ms = -1};
        return -1;
    }
    if (ret_fault)
        *ret_fault = a.fault;
    if (a.fault.fault != FAULT_NONE)
        return fault_err(q, &a, err);
    *ret_doc = a.doc;
    *ret_result = a.result;
    return 0;
}

/* ---- headers --------------------------------------------------------------------------------- */

enum { MISSING_BLOCK = RPC_STRAIGHT(FAULT_BEHIND) | RPC_STRAIGHT(FAULT_PRUNED) };

static int get_header(struct rpc *n, const char *method, const char *param, unsigned missing,
                      struct header *ret, bool *ret_found, struct err *err)
{
    char params[HASH_TEXT + 16];
    int len = snprintf(params, sizeof params, "[\"%s\",false]", param);
    struct rpc_request q = {.method = method,
                            .params = params,
                            .params_len = (size_t)len,
                            .straight = missing ? MISSING_BLOCK : 0};
    struct rpc_answer a;
    if (rpc_ask(n, &q, &a, err) < 0)
        return -1;
    bool refused_us = a.status == 401 || a.status == 403 || a.status == 404;
    if (a.endpoint && !refused_us && fault_says(a.fault.fault, missing)) {
        *ret_found = false;
        return 0;
    }
    if (a.fault.fault != FAULT_NONE)
        return fault_err(&q, &a, err);
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
    return get_header(n, "eth_getBlockByNumber", names[tag],
                      tag == TAG_LATEST ? 0 : FAULT_SAYS_TAG_MISSING, ret, ret_found, err);
}

int rpc_header_number(struct rpc *n, uint64_t number, struct header *ret, bool *ret_found,
                      struct err *err)
{
    char param[24];
    snprintf(param, sizeof param, "0x%" PRIx64, number);
    struct header h = {0};
    bool found = false;
    if (get_header(n, "eth_getBlockByNumber", param, FAULT_SAYS_BLOCK_MISSING, &h, &found, err) < 0)
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
    if (get_header(n, "eth_getBlockByHash", param, FAULT_SAYS_BLOCK_MISSING, &h, &found, err) < 0)
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

static void view_params(const struct endpoint *e, const address *to, const uint8_t *data,
                        size_t data_len, const struct anchor *at, struct buf *out)
{
    char contract[ADDRESS_TEXT];
    address_text(to, contract);
    buf_addf(out, "[{\"to\":\"%s\",\"gas\":\"0x%x\",\"data\":\"0x", contract, VIEW_GAS);
    buf_addhex(out, data, data_len);
    buf_adds(out, "\"},");
    if (at)
        endpoint_block_param(e, at, out);
    else
        buf_adds(out, "\"latest\"");
    buf_addc(out, ']');
}

static int take_view(const struct rpc_request *q, struct rpc_answer *a, uint8_t **ret,
                     size_t *ret_len, struct fault_info *ret_fault, struct err *err)
{
    if (ret_fault)
        *ret_fault = a->fault;
    if (a->fault.fault != FAULT_NONE)
        return fault_err(q, a, err);
    if (!a->bytes) {
        if (ret_fault)
            ret_fault->fault = FAULT_BEHIND;
        return err_set(err, ERR_FAILED, "eth_call: answered null instead of data");
    }
    *ret = a->bytes;
    *ret_len = a->n_bytes;
    a->bytes = NULL;
    return 0;
}

static int view(struct rpc *n, const address *to, const uint8_t *data, size_t data_len,
                const struct anchor *at, uint32_t straight, uint8_t **ret, size_t *ret_len,
                struct fault_info *ret_fault, struct err *err)
{
    /* The block parameter is one endpoint's, so the question is that endpoint's too. */
    struct endpoint *e = rpc_best(n);
    struct buf params = BUF_INIT(PARAMS_MAX);
    struct rpc_answer a;
    view_params(e, to, data, data_len, at, &params);
    struct rpc_request q = {.method = "eth_call",
                            .params = params.data,
                            .params_len = params.len,
                            .bytes = true,
                            .straight = straight,
                            .only = e};
    if (ret_fault)
        *ret_fault = (struct fault_info){.fault = FAULT_UNKNOWN, .rule = "", .retry_after_ms = -1};
    int rc = params.overflow ? err_set(err, ERR_TOO_LARGE, "call data of %zu bytes", data_len)
                             : rpc_ask(n, &q, &a, err);
    if (rc == 0) {
        rc = take_view(&q, &a, ret, ret_len, ret_fault, err);
        rpc_answer_free(&a);
    }
    buf_free(&params);
    return rc;
}

int rpc_view(struct rpc *n, const address *to, const uint8_t *data, size_t data_len,
             const struct anchor *at, uint8_t **ret, size_t *ret_len, struct fault_info *ret_fault,
             struct err *err)
{
    return view(n, to, data, data_len, at, 0, ret, ret_len, ret_fault, err);
}

int rpc_view_now(struct rpc *n, const address *to, const uint8_t *data, size_t data_len,
                 const struct anchor *at, uint8_t **ret, size_t *ret_len,
                 struct fault_info *ret_fault, struct err *err)
{
    return view(n, to, data, data_len, at, RPC_STRAIGHT(FAULT_BEHIND), ret, ret_len, ret_fault,
                err);
}

/* ---- identity -------------------------------------------------------------------------------- */

struct identity {
    bool chain, genesis;
    uint64_t id;
    hash32 hash;
    char trouble[512];
};

static int read_identity(const struct rpc_answer *a, bool is_chain, struct identity *id)
{
    struct header h;
    bool found = false;
    struct err why = {0};
    if (a->fault.fault != FAULT_NONE) {
        snprintf(id->trouble, sizeof id->trouble, "%s", a->text);
        return -1;
    }
    if (is_chain) {
        id->chain = json_quantity(a->result, &id->id);
        if (!id->chain)
            snprintf(id->trouble, sizeof id->trouble, "eth_chainId answered no number");
        return id->chain ? 0 : -1;
    }
    if (header_from_json(a->result, &h, &found, &why) < 0 || !found) {
        snprintf(id->trouble, sizeof id->trouble, "block 0: %.400s",
                 why.text[0] ? why.text : "not found");
        return -1;
    }
    id->genesis = true;
    id->hash = h.at.hash;
    return 0;
}

/* Asks all endpoints at once: two questions each. */
static int gather(struct rpc *n, struct identity *ids, struct err *err)
{
    /* One byte per question: its address is what comes back. */
    char marks[ENDPOINTS_MAX * 2];
    int64_t deadline = clock_ms() + IDENTIFY_MS;
    static const char *const methods[] = {"eth_chainId", "eth_getBlockByNumber"};
    static const char *const params[] = {"[]", "[\"0x0\",false]"};
    for (size_t i = 0; i < n->n_endpoints * 2; i++) {
        struct rpc_request q = {.method = methods[i % 2],
                                .params = params[i % 2],
                                .params_len = strlen(params[i % 2]),
                                .deadline_ms = deadline,
                                .only = &n->endpoints[i / 2],
                                .user = &marks[i]};
        if (rpc_submit(n, &q, err) < 0)
            return -1;
    }
    while (n->in_use > 0) {
        struct rpc_answer a;
        if (wait_answer(n, &a, err) < 0)
            return -1;
        size_t i = (size_t)((char *)a.user - marks);
        read_identity(&a, i % 2 == 0, &ids[i / 2]);
        rpc_answer_free(&a);
    }
    return 0;
}

static int disagree(const struct endpoint *a, const struct endpoint *b, struct err *err)
{
    char ga[HASH_TEXT], gb[HASH_TEXT];
    hash_text(&a->genesis, ga);
    hash_text(&b->genesis, gb);
    if (a->chain_id != b->chain_id)
        err_set(err, ERR_CHAIN,
                "endpoint \"%s\" is on chain %" PRIu64 ", endpoint \"%s\" on chain %" PRIu64,
                endpoint_name(a), a->chain_id, endpoint_name(b), b->chain_id);
    else
        err_set(err, ERR_CHAIN, "endpoint \"%s\" has genesis %s, endpoint \"%s\" has %s",
                endpoint_name(a), ga, endpoint_name(b), gb);
    return err_hint(err, "set chain.id, or leave out the endpoint that is on the wrong chain");
}

void rpc_expect(struct rpc *n, const uint64_t *chain_id, const hash32 *genesis)
{
    if (chain_id && !n->expects_id) {
        n->expects_id = true;
        n->chain_id = *chain_id;
    }
    if (genesis) {
        n->expects_genesis = true;
        n->genesis = *genesis;
    }
}

static bool as_expected(const struct rpc *n, const struct endpoint *e)
{
    return (!n->expects_id || e->chain_id == n->chain_id) &&
           (!n->expects_genesis || hash_equal(&e->genesis, &n->genesis));
}

/* The first that is on the chain we expect; if none is, and all told, the first. */
static struct endpoint *take_identities(struct rpc *n, const struct identity *ids)
{
    struct endpoint *first = NULL, *right = NULL;
    bool all_told = true;
    for (size_t i = 0; i < n->n_endpoints; i++) {
        struct endpoint *e = &n->endpoints[i];
        e->identified = e->sure = ids[i].chain && ids[i].genesis;
        all_told &= e->identified;
        if (!e->identified)
            continue;
        e->chain_id = e->told_chain_id = ids[i].id;
        e->genesis = ids[i].hash;
        first = first ? first : e;
        if (!right && as_expected(n, e))
            right = e;
    }
    return right || !all_told ? right : first;
}

/* Nobody on our chain answered. Who is elsewhere is named; who is silent may be right. */
static int nobody(struct rpc *n, const struct identity *ids, struct err *err)
{
    struct buf words = BUF_INIT(900);
    for (size_t i = 0; i < n->n_endpoints; i++) {
        const struct endpoint *e = &n->endpoints[i];
        buf_addf(&words, "%sendpoint \"%s\": ", i ? "; " : "", endpoint_name(e));
        if (e->identified)
            buf_addf(&words, "it is on another chain (%" PRIu64 ")", e->chain_id);
        else
            buf_adds(&words, ids[i].trouble);
    }
    err_set(err, ERR_UNREACHABLE, "%s", buf_str(&words));
    buf_free(&words);
    return -1;
}

int rpc_identify(struct rpc *n, uint64_t *ret_chain_id, hash32 *ret_genesis, struct err *err)
{
    struct identity ids[ENDPOINTS_MAX] = {0};
    if (n->in_use > 0)
        return err_set(err, ERR_FAILED, "identity asked while %zu requests are in flight",
                       n->in_use);
    n->identified = false;
    for (size_t i = 0; i < n->n_endpoints; i++)
        endpoint_event(&n->endpoints[i], HEALTH_OURS, "");
    if (gather(n, ids, err) < 0)
        return -1;
    struct endpoint *chosen = take_identities(n, ids);
    if (!chosen)
        return nobody(n, ids, err);
    for (size_t i = 0; i < n->n_endpoints; i++) {
        const struct endpoint *e = &n->endpoints[i];
        bool same = e->chain_id == chosen->chain_id && hash_equal(&e->genesis, &chosen->genesis);
        /* One that is elsewhere than expected is set aside; where nothing told them apart, which of
         * them is right is not for us to guess. */
        if (e->identified && !same && as_expected(n, e) == as_expected(n, chosen))
            return disagree(chosen, e, err);
    }
    n->chain_id = chosen->chain_id;
    n->genesis = chosen->genesis;
    n->identified = true;
    rpc_identity_begin(n, clock_ms());
    *ret_chain_id = n->chain_id;
    *ret_genesis = n->genesis;
    return 0;
}
