#include "read/prove.h"
#include "base/arena.h"
#include "base/json.h"
#include "eth/receipt.h"
#include "eth/state_proof.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { PARAMS_ROOM = 256 };

/* An answer that is no fault and not null; else why, which is the endpoint's to say. */
static bool prove_get(const struct prove_ask *ask, const char *method, const char *params,
                      struct rpc_answer *ret, struct err *why)
{
    struct rpc_request q = {.method = method,
                            .params = params,
                            .params_len = strlen(params),
                            .lane = RPC_CATCHUP,
                            .only = ask->endpoint,
                            .deadline_ms = ask->deadline_ms,
                            .no_retry = RPC_NO_RETRY(FAULT_BEHIND) | RPC_NO_RETRY(FAULT_UNKNOWN),
                            .receipts = strcmp(method, "eth_getBlockReceipts") == 0,
                            .reply_max = PROVE_REPLY_MAX};
    if (rpc_call(ask->rpc, &q, ret, why) == 0 && !json_is_null(ret->result))
        return true;
    if (ret->fault.fault == FAULT_NONE)
        err_set(why, ERR_FAILED, "%s answers null", method);
    rpc_answer_free(ret);
    return false;
}

/* ---- headers --------------------------------------------------------------------------------- */

static enum prove_outcome prove_foreign(struct err *why, const char *what, const hash32 *computed,
                                        const char *named)
{
    char text[HASH_TEXT];
    hash_text(computed, text);
    err_set(why, ERR_FAILED, "%s is %s by computation, and %.80s by the endpoint", what, text,
            named);
    return PROVE_FOREIGN;
}

static enum prove_outcome prove_header_json(const struct json *block, uint64_t number,
                                            struct full_header *ret, struct err *why)
{
    struct buf rlp = BUF_INIT(HEADER_RLP_MAX);
    struct full_header h = {0};
    const char *named = json_str(json_get(block, "hash"));
    hash32 said;
    int rc = header_encode(block, &rlp, why);
    if (rc == 0)
        rc = header_decode((struct rlp_bytes){(const uint8_t *)rlp.data, rlp.len}, &h, why);
    buf_free(&rlp);
    if (rc < 0)
        return PROVE_FOREIGN;
    if (!named || !hash_parse(named, strlen(named), &said) || !hash_equal(&said, &h.at.hash))
        return prove_foreign(why, "its hash", &h.at.hash, named ? named : "nothing");
    if (h.at.number != number) {
        err_set(why, ERR_FAILED, "it is block %" PRIu64, h.at.number);
        return PROVE_FOREIGN;
    }
    *ret = h;
    return PROVE_PROVEN;
}

enum prove_outcome prove_header(const struct prove_ask *ask, uint64_t number,
                                struct full_header *ret, struct err *why)
{
    char params[PARAMS_ROOM];
    struct rpc_answer a;
    snprintf(params, sizeof params, "[\"0x%" PRIx64 "\",false]", number);
    enum prove_outcome outcome = PROVE_CANNOT;
    if (prove_get(ask, "eth_getBlockByNumber", params, &a, why)) {
        outcome = prove_header_json(a.result, number, ret, why);
        rpc_answer_free(&a);
    }
    if (outcome != PROVE_PROVEN)
        err_wrap(why, "header of block %" PRIu64, number);
    return outcome;
}

/* ---- receipts -------------------------------------------------------------------------------- */

static enum prove_outcome prove_receipts_list(const struct rpc_answer *a,
                                              const struct full_header *h,
                                              struct prove_receipts *ret, struct err *why)
{
    struct prove_receipts r = {.n_receipts = a->n_receipts};
    hash32 root;
    char named[HASH_TEXT];
    receipts_root(a->receipts, r.n_receipts, &root);
    if (!hash_equal(&root, &h->receipts_root) && r.n_receipts > 0 &&
        receipt_is_state_sync(&a->receipts[r.n_receipts - 1], h->at.number, &h->at.hash)) {
        r.left_out_sync = true;
        receipts_root(a->receipts, --r.n_receipts, &root);
    }
    hash_text(&h->receipts_root, named);
    if (!hash_equal(&root, &h->receipts_root))
        return prove_foreign(why, "their root", &root, named);
    for (size_t i = 0; i < r.n_receipts; i++)
        r.n_logs += a->receipts[i].n_logs;
    *ret = r;
    return PROVE_PROVEN;
}

enum prove_outcome prove_receipts(const struct prove_ask *ask, const struct full_header *h,
                                  struct prove_receipts *ret, struct err *why)
{
    char params[PARAMS_ROOM];
    struct rpc_answer a;
    enum prove_outcome outcome = PROVE_CANNOT;
    snprintf(params, sizeof params, "[\"0x%" PRIx64 "\"]", h->at.number);
    if (prove_get(ask, "eth_getBlockReceipts", params, &a, why)) {
        if (a.has_receipts) {
            outcome = prove_receipts_list(&a, h, ret, why);
        } else {
            outcome = PROVE_FOREIGN;
            err_set(why, ERR_FAILED, "a receipt lacks type, status, gas or logs");
        }
        rpc_answer_free(&a);
    }
    if (outcome != PROVE_PROVEN)
        err_wrap(why, "receipts of block %" PRIu64, h->at.number);
    return outcome;
}

/* ---- state ----------------------------------------------------------------------------------- */

static int prove_state_json(const struct json *result, const struct full_header *h,
                            const address *contract, struct err *why)
{
    static const hash32 first_slot;
    struct trie_account account;
    struct state_proof p;
    struct arena arena;
    u256 word;
    arena_init(&arena);
    int rc = state_proof_from_json(result, 1, &arena, &p, why);
    if (rc == 0)
        rc = trie_prove_account(&h->state_root, contract, &p.account, &account, why);
    if (rc == 0)
        rc = trie_prove_slot(&account.storage_root, &first_slot, &p.slots[0], &word, why);
    arena_free(&arena);
    return rc;
}

enum prove_outcome prove_state(const struct prove_ask *ask, const struct full_header *h,
                               const address *contract, struct err *why)
{
    char params[PARAMS_ROOM], text[ADDRESS_TEXT];
    struct rpc_answer a;
    enum prove_outcome outcome = PROVE_CANNOT;
    address_text(contract, text);
    snprintf(params, sizeof params, "[\"%s\",[\"0x%064x\"],\"0x%" PRIx64 "\"]", text, 0,
             h->at.number);
    if (prove_get(ask, "eth_getProof", params, &a, why)) {
        outcome = prove_state_json(a.result, h, contract, why) == 0 ? PROVE_PROVEN : PROVE_FOREIGN;
        rpc_answer_free(&a);
    }
    if (outcome != PROVE_PROVEN)
        err_wrap(why, "state of %s at block %" PRIu64, text, h->at.number);
    return outcome;
}
