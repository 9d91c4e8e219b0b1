/* Views on proven state: each runs until it misses nothing. */
#include "read/prover.h"

#include "base/err.h"
#include "base/mem.h"
#include "eth/abi.h"
#include "read/prove.h"
#include "read/prover_internal.h"

#include <inttypes.h>
#include <string.h>

enum { ROUNDS_MAX = 64 };

/* ---- the block ------------------------------------------------------------------------------- */

static void prover_set_block(struct prover *p, const struct full_header *h, uint64_t chain_id)
{
    p->at = h->at;
    p->state_root = h->state_root;
    p->block = (struct evm_block){.number = h->at.number,
                                  .timestamp = h->at.timestamp,
                                  .chain_id = chain_id,
                                  .gas_limit = h->gas_limit,
                                  .parent = h->at.parent,
                                  .coinbase = h->miner,
                                  .prev_randao = h->difficulty,
                                  .base_fee = h->base_fee};
    if (u256_is_zero(&h->difficulty)) /* since Paris */
        u256_from_be32(&p->block.prev_randao, h->mix_hash.b);
}

/* Of the best endpoint, or else of any other one. */
static int prover_find_header(struct prover *p, uint64_t number, struct full_header *ret,
                              struct err *err)
{
    struct err why;
    p->endpoint = rpc_best(p->node);
    for (size_t i = 0; i <= rpc_endpoints(p->node); i++) {
        struct endpoint *e = i == 0 ? p->endpoint : rpc_endpoint(p->node, i - 1);
        if (i > 0 && (e == p->endpoint || !endpoint_may_be_asked(e)))
            continue;
        p->cost.requests++;
        if (prove_header(&(struct prove_ask){.rpc = p->node, .endpoint = e}, number, ret, &why) ==
            PROVE_PROVEN) {
            p->endpoint = e;
            return 0;
        }
        if (i == 0)
            *err = why;
        if (why.kind == ERR_STOPPED)
            break;
    }
    return err_wrap(err, "block %" PRIu64 " cannot be proven", number);
}

int prover_open(struct rpc *n, uint64_t number, uint64_t chain_id, struct prover **ret,
                struct err *err)
{
    struct prover *p = mem_zero(1, sizeof *p);
    struct full_header h;
    p->node = n;
    p->bytes_before = rpc_traffic(n).bytes_in;
    arena_init(&p->arena);
    if (prover_find_header(p, number, &h, err) < 0) {
        prover_close(p);
        return -1;
    }
    prover_set_block(p, &h, chain_id);
    *ret = p;
    return 0;
}

void prover_close(struct prover *p)
{
    if (!p)
        return;
    arena_free(&p->arena);
    mem_free(p->wanted);
    mem_free(p);
}

const struct anchor *prover_at(const struct prover *p)
{
    return &p->at;
}

struct prover_cost prover_cost(const struct prover *p)
{
    struct prover_cost cost = p->cost;
    cost.bytes_in = rpc_traffic(p->node).bytes_in - p->bytes_before;
    return cost;
}

/* ---- one view -------------------------------------------------------------------------------- */

static enum reading_status prover_status(const struct evm_result *r)
{
    if (r->end != EVM_RETURNED)
        return READ_REVERTED;
    if (r->n == 0)
        return READ_EMPTY;
    return r->n == sizeof(hash32) ? READ_OK : READ_BAD_LENGTH;
}

/* What the view says. Missing state is wanted from then on, and the value stays unanswered. */
static void prover_run(struct prover *p, const struct conf_term *term, const address *wallet,
                       struct term_value *ret, const char **why)
{
    uint8_t data[ABI_VIEW_CALL];
    struct evm_state state = prover_evm_state(p);
    struct evm_result r;
    abi_encode_view(term->view.selector, wallet, data);
    evm_call(&(struct evm_ask){.block = &p->block,
                               .state = &state,
                               .to = term->contract,
                               .data = data,
                               .n = sizeof data,
                               .steps_max = EVM_STEPS_MAX},
             &r);
    if (r.end == EVM_MISSING) {
        prover_fact(p, EVM_ACCOUNT, &r.missing.of, NULL);
        prover_fact(p, r.missing.kind, &r.missing.of,
                    r.missing.kind == EVM_SLOT ? &r.missing.slot : NULL);
    } else if (r.end == EVM_UNPROVABLE) {
        ret->status = READ_UNPROVEN;
        *why = arena_strdup(&p->arena, r.why);
    } else {
        ret->status = prover_status(&r);
        if (ret->status == READ_OK)
            u256_from_be32(&ret->value, r.data);
    }
    mem_free(r.data);
}

/* ---- all of them ----------------------------------------------------------------------------- */

struct prover_task {
    struct prover *prover;
    const struct read_shape *shape;
    const address *wallets;
    size_t n;
    struct term_value *values; /* n_terms of each wallet */
    const char **whys;         /* one for each value */
};

/* Runs what has no value yet. */
static void prover_run_round(const struct prover_task *t)
{
    for (size_t i = 0; i < t->n * t->shape->n_terms; i++)
        if (t->values[i].status == READ_UNANSWERED)
            prover_run(t->prover, &t->shape->terms[i % t->shape->n_terms],
                       &t->wallets[i / t->shape->n_terms], &t->values[i], &t->whys[i]);
}

static int prover_run_rounds(const struct prover_task *t, struct err *err)
{
    struct prover *p = t->prover;
    for (int round = 0; round <= ROUNDS_MAX; round++) {
        prover_run_round(t);
        if (p->n_wanted == 0)
            return 0;
        if (prover_fetch(p, err) < 0)
            return err_wrap(err, "cannot be proven at block %" PRIu64, p->at.number);
    }
    return err_set(err, ERR_FAILED, "cannot be proven at block %" PRIu64 ": more than %d rounds",
                   p->at.number, ROUNDS_MAX);
}

int prover_read(struct prover *p, const struct read_shape *shape, const address *wallets, size_t n,
                struct reading *ret, struct err *err)
{
    size_t values = n * shape->n_terms;
    struct prover_task t = {.prover = p,
                            .shape = shape,
                            .wallets = wallets,
                            .n = n,
                            .values = mem_zero(values, sizeof *t.values),
                            .whys = mem_zero(values, sizeof *t.whys)};
    for (size_t i = 0; i < values; i++)
        t.values[i].status = READ_UNANSWERED;
    p->block.foreign = shape->anchor == ANCHOR_ARBSYS || shape->anchor == ANCHOR_NONE;
    int rc = prover_run_rounds(&t, err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        size_t first = i * shape->n_terms;
        ret[i].wallet = wallets[i];
        reading_fold(&ret[i], shape, 0, &t.values[first], shape->n_terms);
        if (ret[i].status == READ_UNPROVEN)
            ret[i].why = t.whys[first + (size_t)ret[i].failed_term];
    }
    mem_free(t.values);
    mem_free(t.whys);
    return rc;
}
