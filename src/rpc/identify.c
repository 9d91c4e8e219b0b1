/*
 * Which chain the endpoints are on, asked of all of them at once and waited for. What becomes of an
 * endpoint afterwards is identity.c.
 */
#include "base/clock.h"
#include "base/err.h"
#include "rpc/rpc_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { IDENTIFY_MS = 5 * 1000 };

struct rpc_identity_reply {
    bool chain, genesis;
    uint64_t id;
    hash32 hash;
    char trouble[512];
};

static void rpc_identity_read(const struct rpc_answer *a, bool is_chain,
                              struct rpc_identity_reply *reply)
{
    struct header h;
    bool found = false;
    struct err why = {.text = "not found"};
    if (a->fault.fault != FAULT_NONE) {
        snprintf(reply->trouble, sizeof reply->trouble, "%s", a->text);
    } else if (is_chain) {
        reply->chain = json_quantity(a->result, &reply->id) && reply->id > 0; /* 0: no chain's */
        if (!reply->chain)
            snprintf(reply->trouble, sizeof reply->trouble, "eth_chainId answered no chain's id");
    } else if (header_from_json(a->result, &h, &found, &why) < 0 || !found) {
        snprintf(reply->trouble, sizeof reply->trouble, "block 0: %.400s", why.text);
    } else {
        reply->genesis = true;
        reply->hash = h.at.hash;
    }
}

/* Asks all endpoints at once: two questions each. */
static int rpc_identity_gather(struct rpc *n, struct rpc_identity_reply *replies, struct err *err)
{
    /* One byte per question: its address is what comes back. */
    char users[RPC_ENDPOINTS_MAX * 2];
    int64_t deadline = clock_ms() + IDENTIFY_MS;
    static const char *const methods[] = {"eth_chainId", "eth_getBlockByNumber"};
    static const char *const params[] = {"[]", "[\"0x0\",false]"};
    for (size_t i = 0; i < n->n_endpoints * 2; i++) {
        struct rpc_request q = {.method = methods[i % 2],
                                .params = params[i % 2],
                                .params_len = strlen(params[i % 2]),
                                .deadline_ms = deadline,
                                .only = &n->endpoints[i / 2],
                                .user = &users[i]};
        if (rpc_submit(n, &q, err) < 0)
            return -1;
    }
    while (n->in_use > 0) {
        struct rpc_answer a;
        if (rpc_wait_answer(n, &a, err) < 0)
            return -1;
        size_t i = (size_t)((char *)a.user - users);
        rpc_identity_read(&a, i % 2 == 0, &replies[i / 2]);
        rpc_answer_free(&a);
    }
    return 0;
}

static int rpc_identity_disagree(const struct endpoint *a, const struct endpoint *b,
                                 struct err *err)
{
    char ga[HASH_TEXT], gb[HASH_TEXT];
    hash_text(&a->identity.genesis, ga);
    hash_text(&b->identity.genesis, gb);
    if (a->identity.chain_id != b->identity.chain_id)
        err_set(err, ERR_CHAIN,
                "endpoint \"%s\" is on chain %" PRIu64 ", endpoint \"%s\" on chain %" PRIu64,
                endpoint_name(a), a->identity.chain_id, endpoint_name(b), b->identity.chain_id);
    else
        err_set(err, ERR_CHAIN, "endpoint \"%s\" has genesis %s, endpoint \"%s\" has %s",
                endpoint_name(a), ga, endpoint_name(b), gb);
    return err_hint(err, "set chain.id, or leave out the endpoint that is on the wrong chain");
}

void rpc_expect(struct rpc *n, const uint64_t *chain_id, const hash32 *genesis)
{
    if (chain_id && !n->chain.expects_id) {
        n->chain.expects_id = true;
        n->chain.id = *chain_id;
    }
    if (genesis) {
        n->chain.expects_genesis = true;
        n->chain.genesis = *genesis;
    }
}

static bool rpc_identity_expected(const struct rpc *n, const struct endpoint *e)
{
    return (!n->chain.expects_id || e->identity.chain_id == n->chain.id) &&
           (!n->chain.expects_genesis || hash_equal(&e->identity.genesis, &n->chain.genesis));
}

/* The first endpoint on the chain we expect; if none is, and all answered, the first. */
static struct endpoint *rpc_identity_take(struct rpc *n, const struct rpc_identity_reply *replies)
{
    struct endpoint *first = NULL, *right = NULL;
    bool all_known = true;
    for (size_t i = 0; i < n->n_endpoints; i++) {
        struct endpoint *e = &n->endpoints[i];
        e->identity.known = e->identity.confirmed = replies[i].chain && replies[i].genesis;
        all_known &= e->identity.known;
        if (!e->identity.known)
            continue;
        e->identity.chain_id = replies[i].id;
        e->identity.genesis = replies[i].hash;
        first = first ? first : e;
        if (!right && rpc_identity_expected(n, e))
            right = e;
    }
    return right || !all_known ? right : first;
}

/* No endpoint on our chain answered. One on another chain is named; a silent one may be right. */
static int rpc_identity_unreachable(struct rpc *n, const struct rpc_identity_reply *replies,
                                    struct err *err)
{
    struct buf words = BUF_INIT(900);
    for (size_t i = 0; i < n->n_endpoints; i++) {
        const struct endpoint *e = &n->endpoints[i];
        buf_addf(&words, "%sendpoint \"%s\": ", i ? "; " : "", endpoint_name(e));
        if (e->identity.known)
            buf_addf(&words, "it is on another chain (%" PRIu64 ")", e->identity.chain_id);
        else
            buf_adds(&words, replies[i].trouble);
    }
    err_set(err, ERR_UNREACHABLE, "%s", buf_str(&words));
    rpc_hint_plain_url(buf_str(&words), err);
    buf_free(&words);
    return -1;
}

int rpc_identify(struct rpc *n, uint64_t *ret_chain_id, hash32 *ret_genesis, struct err *err)
{
    struct rpc_identity_reply replies[RPC_ENDPOINTS_MAX] = {0};
    if (n->in_use > 0)
        return err_set(err, ERR_FAILED, "identity asked while %zu requests are in flight",
                       n->in_use);
    bool before = n->chain.identified;
    n->chain.identified = false;
    for (size_t i = 0; i < n->n_endpoints; i++)
        endpoint_event(&n->endpoints[i], HEALTH_RIGHT_CHAIN, "");
    int rc = rpc_identity_gather(n, replies, err);
    n->chain.identified = before;
    if (rc < 0)
        return -1;
    struct endpoint *chosen = rpc_identity_take(n, replies);
    if (!chosen)
        return rpc_identity_unreachable(n, replies, err);
    for (size_t i = 0; i < n->n_endpoints; i++) {
        const struct endpoint *e = &n->endpoints[i];
        bool same = e->identity.chain_id == chosen->identity.chain_id &&
                    hash_equal(&e->identity.genesis, &chosen->identity.genesis);
        /* An endpoint on another chain than expected is not used. Where nothing is expected, which
         * of them is right cannot be known. */
        if (e->identity.known && !same &&
            rpc_identity_expected(n, e) == rpc_identity_expected(n, chosen))
            return rpc_identity_disagree(chosen, e, err);
    }
    /* Another chain than expected is the caller's to refuse: it does not become ours. */
    if (rpc_identity_expected(n, chosen)) {
        n->chain.id = chosen->identity.chain_id;
        n->chain.genesis = chosen->identity.genesis;
        n->chain.identified = true;
    }
    if (n->chain.identified)
        rpc_identity_begin(n, clock_ms());
    *ret_chain_id = chosen->identity.chain_id;
    *ret_genesis = chosen->identity.genesis;
    return 0;
}
