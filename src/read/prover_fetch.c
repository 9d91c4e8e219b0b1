/*
 * eth_getProof and eth_getCode, and what their answers prove. An answer that proves nothing, and a
 * fault, send the same question to the next endpoint; the first one's words are the error.
 */
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "eth/keccak.h"
#include "eth/state_proof.h"
#include "read/prover_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS_MAX = 1024, PARAMS_MAX = 128 * 1024 };

/* One request: the facts of one account, or its code. */
struct prover_question {
    struct prover *prover;
    const char *method;
    struct proven_fact *account; /* what it proves, and under what the rest is proven */
    struct proven_fact **facts;  /* its slots */
    size_t n;
    struct proven_fact *code;
    int (*judge)(const struct prover_question *q, const struct rpc_answer *a, struct err *err);
};

/* ---- what an answer proves ------------------------------------------------------------------- */

static bool prover_is_empty_code(const hash32 *hash)
{
    hash32 empty;
    keccak256("", 0, &empty);
    return hash_equal(hash, &empty);
}

static int prover_judge_account(const struct prover_question *q, const struct trie_proof *proof,
                                struct err *err)
{
    struct trie_account a;
    struct proven_fact *fact = q->account;
    if (trie_prove_account(&q->prover->state_root, &fact->of, proof, &a, err) < 0)
        return err_wrap(err, "the account");
    bool empty = a.nonce == 0 && u256_is_zero(&a.balance) && prover_is_empty_code(&a.code_hash);
    fact->account = (struct evm_account){
        .exists = a.exists && !empty, .balance = a.balance, .code_hash = a.code_hash};
    fact->storage_root = a.storage_root;
    fact->proven = true;
    return 0;
}

static int prover_judge_slots(const struct prover_question *q, const struct state_proof *proof,
                              struct err *err)
{
    char slot[HASH_TEXT];
    for (size_t i = 0; i < q->n; i++) {
        struct proven_fact *fact = q->facts[i];
        hash_text(&fact->slot, slot);
        if (trie_prove_slot(&q->account->storage_root, &fact->slot, &proof->slots[i], &fact->value,
                            err) < 0)
            return err_wrap(err, "slot %s", slot);
        fact->proven = true;
    }
    return 0;
}

static int prover_judge_proof(const struct prover_question *q, const struct rpc_answer *a,
                              struct err *err)
{
    struct arena arena;
    struct state_proof proof;
    arena_init(&arena);
    int rc = state_proof_from_json(a->result, q->n, &arena, &proof, err);
    if (rc == 0)
        rc = prover_judge_account(q, &proof.account, err);
    if (rc == 0)
        rc = prover_judge_slots(q, &proof, err);
    arena_free(&arena);
    return rc;
}

static int prover_judge_code(const struct prover_question *q, const struct rpc_answer *a,
                             struct err *err)
{
    hash32 hash;
    if (!a->bytes)
        return err_set(err, ERR_FAILED, "answers null");
    keccak256(a->bytes, a->n_bytes, &hash);
    if (!hash_equal(&hash, &q->account->account.code_hash))
        return err_set(err, ERR_FAILED, "the code is not the one of the account's code hash");
    uint8_t *bytes = arena_alloc(&q->prover->arena, a->n_bytes + 1);
    memcpy(bytes, a->bytes, a->n_bytes);
    q->code->code = (struct evm_code){bytes, a->n_bytes};
    q->code->proven = true;
    return 0;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void prover_add_params(const struct prover_question *q, struct buf *out)
{
    char text[HASH_TEXT];
    address_text(&q->account->of, text);
    buf_addf(out, "[\"%s\",", text);
    for (size_t i = 0; !q->code && i < q->n; i++) {
        hash_text(&q->facts[i]->slot, text);
        buf_addf(out, "%s\"%s\"", i ? "," : "[", text);
    }
    if (!q->code)
        buf_adds(out, q->n ? "]," : "[],");
    buf_addf(out, "\"0x%" PRIx64 "\"]", q->prover->at.number);
}

static int prover_name_fault(const struct prover_question *q, enum fault fault, struct err *err)
{
    if (fault == FAULT_UNSUPPORTED) {
        err_wrap(err, "the endpoint has no %s", q->method);
        return err_hint(err, "state proofs need a node or a provider that serves %s", q->method);
    }
    if (fault == FAULT_PRUNED || fault == FAULT_BEHIND) {
        err_wrap(err, "the endpoint has pruned the state of block %" PRIu64, q->prover->at.number);
        return err_hint(err, "choose a newer block with --at, or ask an archive node");
    }
    return -1;
}

static int prover_ask_one(const struct prover_question *q, struct endpoint *e,
                          const struct buf *params, struct err *err)
{
    char account[ADDRESS_TEXT];
    struct rpc_answer a;
    struct rpc_request request = {.method = q->method,
                                  .params = params->data,
                                  .params_len = params->len,
                                  .bytes = q->code != NULL,
                                  .no_retry =
                                      RPC_NO_RETRY(FAULT_BEHIND) | RPC_NO_RETRY(FAULT_UNKNOWN),
                                  .only = e};
    q->prover->cost.requests++;
    int rc = rpc_call(q->prover->node, &request, &a, err);
    if (rc < 0)
        prover_name_fault(q, a.fault.fault, err);
    else if ((rc = q->judge(q, &a, err)) < 0) {
        address_text(&q->account->of, account);
        err_wrap(err, "endpoint \"%s\": %s of %s", endpoint_name(e), q->method, account);
    }
    rpc_answer_free(&a);
    return rc;
}

static int prover_ask(const struct prover_question *q, struct err *err)
{
    struct prover *p = q->prover;
    struct buf params = BUF_INIT(PARAMS_MAX);
    prover_add_params(q, &params);
    int rc = prover_ask_one(q, p->endpoint, &params, err);
    for (size_t i = 0; rc < 0 && err->kind != ERR_STOPPED && i < rpc_endpoints(p->node); i++) {
        struct endpoint *other = rpc_endpoint(p->node, i);
        struct err ignored;
        if (other == p->endpoint || !endpoint_may_be_asked(other))
            continue;
        rc = prover_ask_one(q, other, &params, &ignored);
        if (rc == 0)
            p->endpoint = other;
    }
    buf_free(&params);
    if (rc == 0)
        err_clear(err);
    return rc;
}

/* ---- a round --------------------------------------------------------------------------------- */

static int prover_compare_wanted(const void *a, const void *b)
{
    const struct proven_fact *x = *(struct proven_fact *const *)a;
    const struct proven_fact *y = *(struct proven_fact *const *)b;
    int order = address_compare(&x->of, &y->of);
    if (order != 0)
        return order;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    return memcmp(&x->slot, &y->slot, sizeof x->slot);
}

static int prover_fetch_slots(struct prover_question *q, struct proven_fact **facts, size_t n,
                              struct err *err)
{
    for (size_t i = 0; i == 0 || i < n; i += KEYS_MAX) {
        q->facts = facts + i;
        q->n = n - i < KEYS_MAX ? n - i : KEYS_MAX;
        if (prover_ask(q, err) < 0)
            return -1;
    }
    return 0;
}

static int prover_fetch_code(struct prover *p, struct proven_fact *account,
                             struct proven_fact *code, struct err *err)
{
    if (prover_is_empty_code(&account->account.code_hash)) {
        code->proven = true;
        return 0;
    }
    return prover_ask(&(struct prover_question){.prover = p,
                                                .method = "eth_getCode",
                                                .account = account,
                                                .code = code,
                                                .judge = prover_judge_code},
                      err);
}

/* What is wanted of one account: n facts, in the order of their kinds. */
static int prover_fetch_account(struct prover *p, struct proven_fact **facts, size_t n,
                                struct err *err)
{
    struct proven_fact *account = prover_fact(p, EVM_ACCOUNT, &facts[0]->of, NULL);
    struct proven_fact *code = NULL;
    size_t before = 0;
    for (; before < n && facts[before]->kind != EVM_SLOT; before++)
        if (facts[before]->kind == EVM_CODE)
            code = facts[before];
    struct prover_question q = {
        .prover = p, .method = "eth_getProof", .account = account, .judge = prover_judge_proof};
    if ((!account->proven || before < n) &&
        prover_fetch_slots(&q, facts + before, n - before, err) < 0)
        return -1;
    return code ? prover_fetch_code(p, account, code, err) : 0;
}

int prover_fetch(struct prover *p, struct err *err)
{
    size_t n = p->n_wanted;
    int rc = 0;
    qsort(p->wanted, n, sizeof(struct proven_fact *), prover_compare_wanted);
    for (size_t i = 0, end; rc == 0 && i < n; i = end) {
        for (end = i + 1; end < n && address_equal(&p->wanted[end]->of, &p->wanted[i]->of);)
            end++;
        rc = prover_fetch_account(p, p->wanted + i, end - i, err);
    }
    p->n_wanted = 0;
    p->cost.rounds++;
    return rc;
}
