/*
 * What an answer means for a chunk: settled, cut smaller, asked again, or the end of the read.
 *
 * "Too big" and "this one is bad" are told apart by cutting: a chunk that fails for its size is
 * halved down to one wallet, then to one term; only there a failure is the wallet's own.
 */
#include "base/mem.h"
#include "node/read_internal.h"

#include <assert.h>
#include <string.h>

static void put_back_half(struct chunk *c)
{
    size_t half = c->n / 2;
    learn_size_failed(c->learnt, c->n);
    chunk_part(c, half, c->n - half);
    chunk_part(c, 0, half);
}

static struct piecemeal *piecemeal_of(struct read *read, size_t wallet)
{
    if (!read->piecemeal)
        read->piecemeal = mem_zero(read->ask.n, sizeof *read->piecemeal);
    return &read->piecemeal[wallet];
}

/* One wallet, its terms one by one: the sum is gathered in the reading as they come. */
void chunk_put_back_terms(struct chunk *c)
{
    size_t wallet = chunk_wallet(c, 0);
    struct reading *r = &c->read->readings[wallet];
    piecemeal_of(c->read, wallet)->left = (uint8_t)c->n_terms;
    r->status = READ_OK;
    r->sum = U256_ZERO;
    r->failed_term = -1;
    for (size_t t = 0; t < c->n_terms; t++)
        chunk_new(c->read, wallet, 1, c->first_term + t, 1, true);
}

static void settle(struct read *read, size_t wallet, enum reading_status status, int term,
                   const u256 *value)
{
    struct reading *r = &read->readings[wallet];
    bool gathering = read->piecemeal && read->piecemeal[wallet].left > 0;
    if (!gathering) {
        r->status = status;
        r->failed_term = status == READ_OK ? -1 : term;
        r->sum = value ? *value : U256_ZERO;
        return;
    }
    read->piecemeal[wallet].left--;
    if (r->status == READ_OK && status == READ_OK && !reader_add(&r->sum, value))
        status = READ_OVERFLOW;
    if (status != READ_OK && (r->status == READ_OK || term < r->failed_term)) {
        r->status = status;
        r->failed_term = term;
    }
}

static enum reading_status status_of(enum cell_status s)
{
    switch (s) {
    case CELL_OK:
        return READ_OK;
    case CELL_REVERTED:
        return READ_REVERTED;
    case CELL_EMPTY:
        return READ_EMPTY;
    case CELL_BAD_LENGTH:
        return READ_BAD_LENGTH;
    case CELL_OVERFLOW:
        return READ_OVERFLOW;
    case CELL_SUSPECT:
        break;
    }
    return READ_OUT_OF_GAS;
}

/* A failure within a term's limit may be a failure of the limit, so a second look decides: alone, with
 * the whole budget, first together with the others, then by itself. */
static bool look_again(const struct chunk *c, const struct read_cell *cell)
{
    if (cell->status == CELL_SUSPECT)
        return !c->alone || c->n > 1;
    return cell->status == CELL_REVERTED && !c->alone && c->learnt->reader->doubts_failures;
}

/* Those of a crowd go together, those of a chunk that was alone already one by one. */
static void put_back_suspects(struct chunk *c, const size_t *suspects, size_t n)
{
    size_t together = c->alone ? 1 : n;
    for (size_t i = 0; i < n; i += together)
        chunk_alone(c->read, suspects + i, together);
}

static void settle_cells(struct chunk *c, const struct read_result *res)
{
    size_t *suspects = mem_alloc(res->answered * sizeof *suspects), n = 0;
    for (size_t i = 0; i < res->answered; i++) {
        const struct read_cell *cell = &res->cells[i];
        if (look_again(c, cell))
            suspects[n++] = chunk_wallet(c, i);
        else
            settle(c->read, chunk_wallet(c, i), status_of(cell->status), cell->failed_term,
                   &cell->sum);
    }
    put_back_suspects(c, suspects, n);
    if (res->answered < c->n)
        chunk_part(c, res->answered, c->n - res->answered);
    mem_free(suspects);
}

/* Gas was short: the chunk was too large, or one wallet burns everything. */
static void starved(struct chunk *c)
{
    if (c->n > 1)
        put_back_half(c);
    else if (c->n_terms > 1)
        chunk_put_back_terms(c);
    else
        settle(c->read, chunk_wallet(c, 0), READ_OUT_OF_GAS, (int)c->first_term, NULL);
}

/* The one place that judges a proof. All four must be those of the asked block: number and parent
 * tell branches apart, the timestamp siblings, the chain id networks. */
static bool proof_holds(const struct read *read, const struct read_proof *p)
{
    const struct anchor *at = &read->ask.at;
    return p->number == at->number && p->timestamp == at->timestamp &&
           p->chain_id == read->ask.chain_id && hash_equal(&p->parent, &at->parent);
}

static bool check_proof(struct chunk *c, const struct read_result *res)
{
    struct read *read = c->read;
    if (!res->proof.present && endpoint_pins_hash(c->learnt->endpoint) == CAP_YES)
        return true;
    if (res->proof.present && proof_holds(read, &res->proof))
        return true;
    endpoint_blame(c->learnt->endpoint, "answered from another block than asked");
    err_set(&read->report.why, ERR_FAILED,
            "endpoint \"%s\" answered from block %llu (chain %llu) when asked for block %llu",
            endpoint_name(c->learnt->endpoint), (unsigned long long)res->proof.number,
            (unsigned long long)res->proof.chain_id, (unsigned long long)read->ask.at.number);
    read_stop(read, READ_END_LIED);
    return false;
}

static void fail(struct read *read, enum read_end end, const char *what, const char *words)
{
    err_set(&read->report.why, ERR_FAILED, "%s%s%s", what, *words ? ": " : "", words);
    read_stop(read, end);
}

static void decoded(struct chunk *c, const uint8_t *reply, size_t len)
{
    struct read *read = c->read;
    struct read_result res = {.cells = mem_alloc(c->n * sizeof(struct read_cell))};
    struct err err = {0};
    if (c->learnt->reader->decode(&c->sent, reply, len, &res, &err) < 0) {
        read->report.why = err;
        err_wrap(&read->report.why, "reader %s at endpoint \"%s\"", c->learnt->reader->name,
                 endpoint_name(c->learnt->endpoint));
        learn_forget(read->engine, c->learnt->endpoint);
        read_stop(read, READ_END_FAILED);
    } else if (check_proof(c, &res)) {
        read->proven = c->learnt->proven = true;
        if (res.starved || res.answered == 0)
            starved(c);
        else {
            learn_size_held(c->learnt, res.answered, &res);
            settle_cells(c, &res);
        }
    }
    mem_free(res.cells);
}

/* A result: bytes, or a JSON null, which is "ask again" (proxies invent it above their head). */
static void succeeded(struct chunk *c, const struct node_answer *a)
{
    if (a->bytes)
        decoded(c, a->bytes, a->n_bytes);
    else if (++c->nulls <= READ_NULL_RETRIES)
        chunk_part(c, 0, c->n)->nulls = c->nulls;
    else
        fail(c->read, READ_END_MOVED, "the node answers null for this block", "");
}

/* The fault of a single call of a single wallet, as the wallet's own; READ_UNANSWERED if it may just
 * as well be the endpoint's. Multicall3 itself fails where it is not deployed, so there it takes an
 * answer that this endpoint gave before; words nobody knows take one of this very read. */
static enum reading_status poison(const struct chunk *c, enum fault fault)
{
    bool single = c->learnt->reader->kind == READER_SINGLE;
    bool known_good = c->learnt->reader->kind != READER_MULTICALL3 || c->learnt->proven;
    if (fault == FAULT_REVERT && single)
        return READ_REVERTED;
    if ((fault == FAULT_GAS || fault == FAULT_REVERT) && known_good)
        return READ_OUT_OF_GAS;
    if (fault == FAULT_DENSITY && c->learnt->proven)
        return READ_BAD_LENGTH;
    if (fault == FAULT_UNKNOWN && c->read->proven)
        return READ_REVERTED;
    return READ_UNANSWERED;
}

static void too_much(struct chunk *c, const struct node_answer *a)
{
    enum reading_status status = poison(c, a->fault.fault);
    if (c->n > 1)
        put_back_half(c);
    else if (c->n_terms > 1)
        chunk_put_back_terms(c);
    else if (status != READ_UNANSWERED)
        settle(c->read, chunk_wallet(c, 0), status, (int)c->first_term, NULL);
    else
        fail(c->read, READ_END_FAILED, "a single call is too much for the endpoint", a->text);
}

static void request_failed(struct read *read, const struct node_answer *a)
{
    err_set(&read->report.why, a->endpoint ? ERR_FAILED : ERR_UNREACHABLE, "%s", a->text);
    read_stop(read, READ_END_FAILED);
}

/* "It took too long" in a node's words is about the size. Silence is hardly: the next try is smaller
 * all the same, but a node that hangs is not asked for each half and half of a half. */
static void timed_out(struct chunk *c, const struct node_answer *a)
{
    if (a->endpoint) {
        too_much(c, a);
        return;
    }
    learn_size_failed(c->learnt, c->n);
    request_failed(c->read, a);
}

/* The node refuses the gas asked for, or lowers it below what a chunk needs. */
static void gas_refused(struct chunk *c, const struct node_answer *a)
{
    if (c->n > 1 || c->n_terms > 1 || c->sent.gas != c->learnt->gas)
        too_much(c, a);
    else if (learn_less_gas(c->learnt))
        chunk_part(c, 0, c->n);
    else
        too_much(c, a);
}

void chunk_answered(struct chunk *c, const struct node_answer *a)
{
    struct read *read = c->read;
    switch (a->fault.fault) {
    case FAULT_NONE:
        succeeded(c, a);
        break;
    case FAULT_GAS:
        gas_refused(c, a);
        break;
    case FAULT_REVERT: /* aggregate3 itself: its own gas ran out, or it is no Multicall3 */
    case FAULT_DENSITY:
    case FAULT_FILTER:
    case FAULT_RANGE:
    case FAULT_UNKNOWN:
        too_much(c, a);
        break;
    case FAULT_TIME:
        timed_out(c, a);
        break;
    case FAULT_BEHIND:
    case FAULT_NOT_CANONICAL:
        fail(read, READ_END_MOVED, "the node does not have the block", a->text);
        break;
    case FAULT_PRUNED:
        fail(read, READ_END_PRUNED, "the node no longer has the block's state", a->text);
        break;
    case FAULT_RATE:
    case FAULT_BILLING:
    case FAULT_WINDOW:
    case FAULT_DOWN:
    case FAULT_BATCH:
    case FAULT_INVALID:
    case FAULT_UNSUPPORTED:
    case FAULT_GARBLED:
        request_failed(read, a);
        break;
    }
    chunk_free(c);
}
