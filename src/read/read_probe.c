/*
 * Which reader an endpoint bears, and with how much gas: found by asking it, best first.
 *
 * A lens reader is asked for no wallets at all: the answer proves the block and shows the gas that
 * was granted, or is no lens' answer. Multicall3 is asked the same, with a sentinel that is priced
 * so (read/reader.h). Each of these answers carries the nonce of its request, or is asked again.
 * What a node cannot do is concluded from its words only; a bad moment concludes nothing.
 */
#include "base/err.h"
#include "base/mem.h"
#include "eth/fault_policy.h"
#include "eth/lens.h"
#include "read/read_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Faults of the moment, from which nothing is learnt: what was asked may have been right. */
enum { READ_PROBE_SAYS_NOTHING = FAULT_SAYS_NOT_NOW | FAULT_SAYS_BLOCK_MISSING };

/* Below every cap seen, and below 2^24 (EIP-7825), so that no node lowers or refuses it. */
enum { LEAST_CAP = 16000000 };

/* Caps that are known: geth's default and its kin, blocks of 30 M, EIP-7825's 2^24, hosted plans.
 */
uint64_t read_gas_below(uint64_t gas)
{
    static const uint64_t caps[] = {GAS_FIRST, 30000000, 25000000, 20000000, 16777216, 12500000,
                                    10000000,  8000000,  6000000,  4500000,  3000000,  GAS_FLOOR};
    for (size_t i = 0; i < COUNT_OF(caps); i++)
        if (caps[i] < gas)
            return caps[i];
    return 0;
}

/* ---- a question without a wallet ------------------------------------------------------------- */

enum read_probe_result { DOES_NOT = 0, DOES = 1, NO_ANSWER = -1, LESS_GAS = 2, ASK_AGAIN = 3 };

enum { PROBE_TRIES = 5 };

static enum read_probe_result read_probe_judge(const struct reader *reader,
                                               struct read_chunk *chunk, const struct rpc_answer *a,
                                               struct read_result *ret, struct err *err)
{
    if (a->fault.fault != FAULT_NONE) {
        err_set(err, a->endpoint ? ERR_FAILED : ERR_UNREACHABLE, "%s", a->text);
        if (!a->endpoint || fault_says(a->fault.fault, READ_PROBE_SAYS_NOTHING))
            return NO_ANSWER;
        return a->fault.fault == FAULT_GAS && read_gas_below(chunk->gas) ? LESS_GAS : DOES_NOT;
    }
    if (!a->bytes) {
        err_set(err, ERR_FAILED, "eth_call answered null");
        return ASK_AGAIN;
    }
    chunk->nonce = a->nonce;
    if (reader->decode(chunk, a->bytes, a->n_bytes, ret, err) < 0)
        return DOES_NOT;
    if (ret->misplaced) {
        err_set(err, ERR_FAILED, "the answer carries no nonce of the request");
        return ASK_AGAIN;
    }
    return DOES;
}

/* A node may lower the gas silently, which the answer shows, or refuse it, which is LESS_GAS. */
static enum read_probe_result read_probe_ask_once(struct reads *r, struct endpoint *e,
                                                  const struct reader *reader,
                                                  struct read_chunk *chunk, struct read_result *ret,
                                                  struct err *err)
{
    struct buf latest = BUF_INIT(16), params = BUF_INIT(RPC_REQUEST_MAX);
    struct nonce_places nonce = {0};
    struct rpc_answer a;
    enum read_probe_result v = NO_ANSWER;
    buf_adds(&latest, "\"latest\"");
    reader->encode(chunk, &latest, &params, &nonce);
    struct rpc_request q = {.method = reader->method,
                            .params = params.data,
                            .params_len = params.len,
                            .nonce = nonce,
                            .bytes = true,
                            .reverts = reader->by_revert,
                            .only = e};
    if (rpc_ask(r->node, &q, &a, err) == 0) {
        v = read_probe_judge(reader, chunk, &a, ret, err);
        rpc_answer_free(&a);
    }
    buf_free(&latest);
    buf_free(&params);
    return v;
}

/* An answer without the nonce may be another request's, and a null may be invented: both are asked
 * for again. */
static enum read_probe_result read_probe_ask(struct reads *r, struct endpoint *e,
                                             const struct reader *reader, struct read_chunk *chunk,
                                             struct read_result *ret, struct err *err)
{
    enum read_probe_result v = ASK_AGAIN;
    for (int i = 0; i < PROBE_TRIES && v == ASK_AGAIN; i++)
        v = read_probe_ask_once(r, e, reader, chunk, ret, err);
    return v;
}

static enum read_probe_result read_probe_judge_echo(const struct rpc_answer *a, struct err *err)
{
    if (a->fault.fault != FAULT_NONE) {
        err_set(err, a->endpoint ? ERR_FAILED : ERR_UNREACHABLE,
                "precompile 0x04 (identity) does not answer: %s", a->text);
        return !a->endpoint || fault_says(a->fault.fault, READ_PROBE_SAYS_NOTHING) ? NO_ANSWER
                                                                                   : DOES_NOT;
    }
    if (a->bytes && a->n_bytes == NONCE_WORD && nonce_is_word(&a->nonce, a->bytes))
        return DOES;
    err_set(err, ERR_FAILED,
            "precompile 0x04 (identity) does not answer with its call data, so no answer could be "
            "told from another request's");
    return ASK_AGAIN;
}

/* Does precompile 0x04 (identity) answer with its call data? */
static enum read_probe_result read_probe_echo(struct reads *r, struct endpoint *e, struct err *err)
{
    struct buf params = BUF_INIT(256);
    struct nonce_places nonce = {0};
    enum read_probe_result v = ASK_AGAIN;
    nonce_encode_echo("\"latest\"", &params, &nonce);
    struct rpc_request q = {.method = "eth_call",
                            .params = params.data,
                            .params_len = params.len,
                            .nonce = nonce,
                            .bytes = true,
                            .only = e};
    for (int i = 0; i < PROBE_TRIES && v == ASK_AGAIN; i++) {
        struct rpc_answer a;
        v = NO_ANSWER;
        if (rpc_ask(r->node, &q, &a, err) == 0) {
            v = read_probe_judge_echo(&a, err);
            rpc_answer_free(&a);
        }
    }
    buf_free(&params);
    return v == ASK_AGAIN ? DOES_NOT : v;
}

/* ---- Multicall3's gas ------------------------------------------------------------------------ */

/* Does a sentinel's price get paid out of `gas`? 1 yes, 0 no, −1 when there was no answer. */
static int read_probe_sentinel_pays(struct reads *r, const struct read_profile *l,
                                    const struct read_shape *shape, const struct sentinel *s,
                                    uint64_t gas, struct err *err)
{
    struct read_chunk chunk = {
        .shape = shape, .n_terms = shape->n_terms, .gas = gas, .sentinel = *s};
    struct read_result res = {0};
    enum read_probe_result v =
        read_probe_ask(r, l->endpoint, &reader_multicall3, &chunk, &res, err);
    if (v == NO_ANSWER || v == ASK_AGAIN)
        return -1;
    return v == DOES && !res.starved;
}

/* A kind is right when its sentinel is paid out of the whole and not out of less than its price:
 * both ways are asked, so a client that prices it otherwise is noticed. */
static int read_probe_sentinel(struct reads *r, struct read_profile *l,
                               const struct read_shape *shape, enum sentinel_kind kind,
                               uint64_t gas, struct err *err)
{
    struct sentinel s = {kind, gas / 2};
    int pays = read_probe_sentinel_pays(r, l, shape, &s, gas, err);
    if (pays <= 0)
        return pays;
    int pays_too_easily = read_probe_sentinel_pays(r, l, shape, &s, gas / 2 - gas / 20, err);
    if (pays_too_easily < 0)
        return -1;
    if (pays_too_easily)
        return 0;
    l->gas = gas;
    l->sentinel = s;
    return 1;
}

static int read_probe_gas(struct reads *r, struct read_profile *l, const struct read_shape *shape,
                          struct err *err)
{
    static const enum sentinel_kind kinds[] = {SENTINEL_EIP2565, SENTINEL_EIP7883};
    for (uint64_t gas = GAS_FIRST; gas; gas = read_gas_below(gas)) {
        for (size_t i = 0; i < COUNT_OF(kinds); i++) {
            int rc = read_probe_sentinel(r, l, shape, kinds[i], gas, err);
            if (rc != 0)
                return rc < 0 ? -1 : 0;
        }
    }
    /* It is priced otherwise: without a sentinel only one call a request is safe. */
    l->sentinel = (struct sentinel){SENTINEL_NONE, 0};
    l->gas = GAS_FIRST;
    l->size = 1;
    return 0;
}

/* ---- the lens -------------------------------------------------------------------------------- */

/* Code at the lens' address is of an owner who found a hash: then the override is not used,
 * and the others need no address. */
static enum read_probe_result read_probe_address_free(struct reads *r, struct endpoint *e,
                                                      struct err *err)
{
    address at;
    char text[ADDRESS_TEXT], params[ADDRESS_TEXT + 16];
    struct rpc_answer a;
    lens_address(0, &at);
    address_text(&at, text);
    int len = snprintf(params, sizeof params, "[\"%s\",\"latest\"]", text);
    struct rpc_request q = {.method = "eth_getCode",
                            .params = params,
                            .params_len = (size_t)len,
                            .bytes = true,
                            .only = e};
    if (rpc_ask(r->node, &q, &a, err) < 0)
        return NO_ANSWER;
    enum read_probe_result v = DOES;
    if (a.fault.fault != FAULT_NONE) {
        err_set(err, a.endpoint ? ERR_FAILED : ERR_UNREACHABLE, "%s", a.text);
        v = !a.endpoint || fault_says(a.fault.fault, READ_PROBE_SAYS_NOTHING) ? NO_ANSWER
                                                                              : DOES_NOT;
    } else if (!a.bytes || a.n_bytes > 0) {
        err_set(err, ERR_FAILED, "there is code at the lens' address %s", text);
        v = DOES_NOT;
    }
    rpc_answer_free(&a);
    return v;
}

/* Does what the execution said of its block hold for the header? Timestamps alone may differ. */
static int read_probe_time(struct reads *r, struct endpoint *e, const struct read_proof *proof,
                           struct err *err)
{
    struct anchor said = {
        .number = proof->number, .parent = proof->parent, .timestamp = proof->timestamp};
    return proof->present ? endpoint_probe_time(r->node, e, &said, err) : 0;
}

static enum read_probe_result read_probe_lens(struct reads *r, struct endpoint *e,
                                              const struct reader *reader,
                                              const struct read_shape *shape,
                                              struct read_profile *ret, struct err *err)
{
    struct read_chunk chunk = {.shape = shape, .n_terms = shape->n_terms};
    struct read_result res = {0};
    enum read_probe_result v = LESS_GAS;
    for (uint64_t gas = GAS_FIRST; v == LESS_GAS; gas = read_gas_below(gas)) {
        chunk.gas = gas;
        v = read_probe_ask(r, e, reader, &chunk, &res, err);
    }
    if (v == DOES && read_probe_time(r, e, &res.proof, err) < 0)
        return NO_ANSWER;
    if (v == DOES)
        *ret =
            (struct read_profile){.reader = reader, .gas = chunk.gas, .granted = res.gas_granted};
    return v == ASK_AGAIN ? DOES_NOT : v;
}

/* ---- the choice ------------------------------------------------------------------------------ */

static enum read_probe_result read_probe_multicall3(struct reads *r, struct endpoint *e,
                                                    const struct read_shape *shape,
                                                    struct read_profile *ret, struct err *err)
{
    struct read_chunk chunk = {.shape = shape, .n_terms = shape->n_terms, .gas = LEAST_CAP};
    struct read_profile l = {.endpoint = e, .reader = &reader_multicall3};
    struct read_result res = {0};
    if (shape->anchor == ANCHOR_ARBSYS) {
        err_set(err, ERR_FAILED, "it tells the EVM's block number, not the chain's");
        return DOES_NOT;
    }
    enum read_probe_result v = read_probe_ask(r, e, &reader_multicall3, &chunk, &res, err);
    /* A node that refuses this much gas for a view grants less: how much is asked next. */
    if (v != DOES && v != LESS_GAS)
        return v == ASK_AGAIN ? DOES_NOT : v;
    if (v == DOES && read_probe_time(r, e, &res.proof, err) < 0)
        return NO_ANSWER;
    if (read_probe_gas(r, &l, shape, err) < 0)
        return NO_ANSWER;
    *ret = l;
    return DOES;
}

static enum read_probe_result read_probe_reader(struct reads *r, struct endpoint *e,
                                                const struct reader *reader,
                                                const struct read_shape *shape,
                                                struct read_profile *ret, struct err *err)
{
    bool pins = endpoint_pins_hash(e) == CAP_YES;
    if ((reader->needs_pin || shape->anchor == ANCHOR_NONE) && !pins) {
        err_set(err, ERR_FAILED,
                "block hashes are not honoured there, so nothing would prove the block");
        return DOES_NOT;
    }
    enum read_probe_result v = DOES;
    if (reader->kind == READER_OVERRIDE)
        v = read_probe_address_free(r, e, err);
    else if (reader->kind == READER_MULTICALL3 || reader->kind == READER_SINGLE)
        v = read_probe_echo(r, e, err);
    if (v != DOES)
        return v;
    if (reader->kind == READER_MULTICALL3)
        return read_probe_multicall3(r, e, shape, ret, err);
    if (reader->kind != READER_SINGLE)
        return read_probe_lens(r, e, reader, shape, ret, err);
    *ret = (struct read_profile){.reader = reader, .gas = GAS_FIRST};
    return DOES;
}

int read_probe_endpoint(struct reads *r, struct endpoint *e, const struct read_shape *shape,
                        bool again, struct read_profile *ret, struct err *err)
{
    enum conf_reader wanted = endpoint_reader_setting(e);
    struct buf reasons = BUF_INIT(700);
    enum read_probe_result v = DOES_NOT;
    /* That hashes are not honoured is asked anew each time: one backend's bad moment would else be
     * held against the endpoint for good. */
    if ((again || endpoint_pins_hash(e) != CAP_YES) && endpoint_probe(r->node, e, err) < 0)
        return -1;
    for (const struct reader *const *at = readers; *at && v == DOES_NOT; at++) {
        if (wanted != READER_AUTO && (*at)->kind != wanted)
            continue;
        v = read_probe_reader(r, e, *at, shape, ret, err);
        if (v == DOES_NOT)
            buf_addf(&reasons, "%s%s: %.150s", reasons.len ? "; " : "", (*at)->name, err->text);
    }
    if (v == DOES) {
        ret->endpoint = e;
        ret->terms = shape->terms;
        ret->n_terms = shape->n_terms;
        /* A view, its echo and the view again say something only in this order. */
        if (ret->reader->by_echo)
            rpc_use_one_connection(r->node);
        if (!ret->size)
            ret->size = ret->reader->first_guess;
    } else if (v == DOES_NOT) {
        char hint[sizeof err->hint];
        snprintf(hint, sizeof hint, "%s", err->hint);
        err_set(err, ERR_FAILED, "endpoint \"%s\" bears no reader (%s)", endpoint_name(e),
                buf_str(&reasons));
        snprintf(err->hint, sizeof err->hint, "%s", hint);
    }
    buf_free(&reasons);
    return v == DOES ? 0 : -1;
}
