/*
 * What an answer means for a chunk: finalized, cut smaller, asked again, or the end of the read.
 *
 * "Too big" and "this one is bad" are told apart by cutting: a chunk that fails for its size is
 * halved down to one wallet, then to one term; only there a failure is the wallet's own.
 */
#include "base/mem.h"
#include "eth/fault_policy.h"
#include "read/read_internal.h"

#include <stdio.h>
#include <string.h>

static void put_back_half(struct chunk *c)
{
    size_t half = c->n / 2;
    struct chunk *b = chunk_part(c, half, c->n - half), *a = chunk_part(c, 0, half);
    if (!c->alone) /* of a crowd's size a chunk of suspects tells nothing */
        trial_begin(c, a, b);
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

/* A failure within a term's limit may be a failure of the limit, so a second look decides: alone,
 * with the whole budget, first together with the others, then by itself. */
static bool look_again(const struct chunk *c, const struct read_cell *cell)
{
    if (cell->status == CELL_SUSPECT)
        return !c->alone || c->n > 1;
    return cell->status == CELL_REVERTED && !c->alone && c->learnt->reader->doubts_failures;
}

/* By itself, and the terms before it still took what this one would have needed: then each has its
 * own request. What used more than half of everything is too heavy with all of it, too. */
static bool terms_crowd(const struct chunk *c, const struct read_cell *cell)
{
    return cell->status == CELL_SUSPECT && c->n == 1 && c->n_terms > 1 &&
           cell->failed_term > (int)c->first_term && cell->gas_used <= learnt_gas(c->learnt) / 2;
}

/* Those of a crowd go together, those of a chunk that was alone already one by one. */
static void put_back_suspects(struct chunk *c, const size_t *suspects, size_t n)
{
    size_t together = c->alone ? 1 : n;
    for (size_t i = 0; i < n; i += together)
        chunk_alone(c->read, suspects + i, together);
}

static void cells_store_values(struct chunk *c, const struct read_result *res)
{
    size_t *suspects = mem_alloc(res->answered * sizeof *suspects), n = 0;
    for (size_t i = 0; i < res->answered; i++) {
        const struct read_cell *cell = &res->cells[i];
        if (look_again(c, cell))
            suspects[n++] = chunk_wallet(c, i);
        else if (terms_crowd(c, cell))
            chunk_put_back_terms(c);
        else
            read_store_value(c->read, chunk_wallet(c, i), status_of(cell->status),
                             c->n_terms == 1 ? (int)c->first_term : cell->failed_term, &cell->sum);
    }
    put_back_suspects(c, suspects, n);
    if (res->answered < c->n)
        chunk_part(c, res->answered, c->n - res->answered);
    mem_free(suspects);
}

/* Gas was short: the chunk was too large, or one wallet burns everything. */
static void starved(struct chunk *c)
{
    trial_failed(c);
    if (c->n > 1)
        put_back_half(c);
    else if (c->n_terms > 1)
        chunk_put_back_terms(c);
    else
        read_store_value(c->read, chunk_wallet(c, 0), READ_OUT_OF_GAS, (int)c->first_term, NULL);
}

/* The one place that judges a proof. All four must be those of the asked block: number and parent
 * tell branches apart, the timestamp siblings, the chain id networks. */
static bool proof_holds(const struct read *read, const struct read_proof *p)
{
    const struct anchor *at = &read->ask.at;
    return p->number == at->number && p->timestamp == at->timestamp &&
           p->chain_id == read->ask.chain_id && hash_equal(&p->parent, &at->parent);
}

static void fail(struct read *read, enum read_end end, const char *what, const char *words)
{
    err_set(&read->report.why, ERR_FAILED, "%s%s%s", what, *words ? ": " : "", words);
    read_stop(read, end);
}

static void lied(struct chunk *c, const char *words)
{
    struct read *read = c->read;
    endpoint_report_wrong_block(c->learnt->endpoint, "answered from another block than asked");
    err_set(&read->report.why, ERR_FAILED, "endpoint \"%s\" %s when asked for block %llu",
            endpoint_name(c->learnt->endpoint), words, (unsigned long long)read->ask.at.number);
    learn_forget(read->engine, c->learnt->endpoint);
    read_stop(read, READ_END_LIED);
}

/* Where nothing is anchored from inside, the hash that was asked for is the proof. That it is
 * looked at was shown by asking for a made-up one, and is shown again before the read ends
 * (succeeded()).
 */
static bool held_to_hash(struct chunk *c)
{
    if (endpoint_pins_hash(c->learnt->endpoint) != CAP_YES) {
        lied(c, "does not look at the block it is asked for, and proves none");
        return false;
    }
    if (c->read->by_hash && c->read->by_hash != c->learnt) {
        fail(c->read, READ_END_FAILED, "the endpoint changed in the middle of a read", "");
        return false;
    }
    c->read->by_hash = c->learnt;
    c->read->n_by_hash++;
    return true;
}

static bool check_proof(struct chunk *c, const struct read_result *res)
{
    char words[96];
    if (!res->proof.present)
        return held_to_hash(c);
    if (proof_holds(c->read, &res->proof))
        return true;
    snprintf(words, sizeof words, "answered from block %llu (chain %llu)",
             (unsigned long long)res->proof.number, (unsigned long long)res->proof.chain_id);
    lied(c, words);
    return false;
}

/* The same question without a wallet was answered: it is about the wallet. */
static void control_answered(struct chunk *c)
{
    chunk_new(c->read, c->first, 1, c->first_term, c->n_terms, true);
}

static void take_result(struct chunk *c, const struct read_result *res, int64_t took_ms)
{
    c->read->anchored = c->learnt->anchored = true;
    if (c->kind == CHUNK_CONTROL) {
        control_answered(c);
    } else if (res->starved || res->answered == 0) {
        starved(c);
    } else {
        if (!c->alone)
            learn_size_held(c->learnt, res->answered, res, took_ms);
        trial_held(c);
        cells_store_values(c, res);
    }
}

static void decoded(struct chunk *c, const struct rpc_answer *a)
{
    struct read *read = c->read;
    struct read_result res = {.cells = mem_alloc((c->n + 1) * sizeof(struct read_cell))};
    struct err err = {0};
    if (c->learnt->reader->decode(&c->sent, a->bytes, a->n_bytes, &res, &err) < 0) {
        read->report.why = err;
        err_wrap(&read->report.why, "reader %s at endpoint \"%s\"", c->learnt->reader->name,
                 endpoint_name(c->learnt->endpoint));
        learn_forget(read->engine, c->learnt->endpoint);
        read_stop(read, READ_END_FAILED);
    } else if (check_proof(c, &res)) {
        take_result(c, &res, a->wire_ms);
    }
    mem_free(res.cells);
}

/* A result: bytes, or a JSON null, which is "ask again" (proxies invent it above their head). */
static void succeeded(struct chunk *c, const struct rpc_answer *a)
{
    if (a->bytes && c->kind == CHUNK_CANARY)
        lied(c, "answers for a block that does not exist");
    else if (a->bytes)
        decoded(c, a);
    else if (++c->nulls <= READ_NULL_RETRIES)
        chunk_again(c)->nulls = c->nulls;
    else
        fail(c->read, READ_END_MOVED, "the node answers null for this block", "");
}

/* The fault of a single call of a single wallet, as the wallet's own; READ_UNANSWERED if it may
 * just as well be the endpoint's. */
static enum reading_status poison(const struct chunk *c, const struct rpc_answer *a)
{
    enum fault fault = a->fault.fault;
    bool single = c->learnt->reader->kind == READER_SINGLE;
    /* Words nobody knows, or of the whole request: it takes an answer that shows the endpoint well.
     */
    bool well = c->read->anchored || (single && c->learnt->anchored);
    /* A machine that stopped has used up all its gas: nothing tells it from an accident with it. */
    if (fault == FAULT_REVERT && single)
        return a->bytes || fault_text_reverted(a->text) ? READ_REVERTED : READ_OUT_OF_GAS;
    if (fault == FAULT_GAS && single)
        return READ_OUT_OF_GAS;
    if ((fault == FAULT_GAS || fault == FAULT_REVERT) && well)
        return READ_OUT_OF_GAS;
    if (fault == FAULT_DENSITY && well)
        return READ_BAD_LENGTH;
    if (fault == FAULT_UNKNOWN && c->read->anchored)
        return READ_REVERTED;
    return READ_UNANSWERED;
}

static void request_failed(struct read *read, const struct rpc_answer *a)
{
    err_set(&read->report.why, a->endpoint ? ERR_FAILED : ERR_UNREACHABLE, "%s", a->text);
    read_stop(read, READ_END_FAILED);
}

/* One call of one wallet failed, and nothing was answered yet in this read: is it the wallet or the
 * endpoint? A read of nobody but a bad wallet must come to an end, too. */
static void ask_control(struct chunk *c)
{
    struct chunk *control = chunk_new(c->read, chunk_wallet(c, 0), 0, c->first_term, 1, true);
    control->kind = CHUNK_CONTROL;
}

static void too_much(struct chunk *c, const struct rpc_answer *a)
{
    enum reading_status status = poison(c, a);
    trial_failed(c);
    if (c->n > 1) {
        put_back_half(c);
    } else if (c->n == 1 && c->n_terms > 1) {
        chunk_put_back_terms(c);
    } else if (c->n == 1 && status != READ_UNANSWERED) {
        read_store_value(c->read, chunk_wallet(c, 0), status, (int)c->first_term, NULL);
    } else if (c->n == 1 && !c->read->anchored && !c->learnt->reader->by_terms) {
        ask_control(c);
    } else {
        learn_forget(c->read->engine, c->learnt->endpoint);
        fail(c->read, READ_END_FAILED, "a single call is too much for the endpoint", a->text);
    }
}

/* "It took too long" in a node's words is about the size. Silence is hardly: the next try is
 * smaller all the same, but a node that hangs is not asked for each half and half of a half. */
static void timed_out(struct chunk *c, const struct rpc_answer *a)
{
    if (a->endpoint) {
        too_much(c, a);
        return;
    }
    if (!c->alone)
        learn_size_failed(c->learnt, c->n);
    request_failed(c->read, a);
}

/* Of several chunks that were refused together only the first lowers what is asked for. */
static void gas_refused(struct chunk *c, const struct rpc_answer *a)
{
    if (fault_text_ran_out(a->text))
        too_much(c, a);
    else if (c->sent.gas > learnt_gas(c->learnt) || learn_less_gas(c->learnt))
        chunk_again(c);
    else
        too_much(c, a);
}

/* The made-up block must be refused for being unknown. */
static void canary_refused(struct chunk *c, const struct rpc_answer *a)
{
    if (!fault_says(a->fault.fault, FAULT_SAYS_BLOCK_MISSING | FAULT_SAYS_BLOCK_DROPPED))
        request_failed(c->read, a);
}

/* What the node says of the question, though it was right once: perhaps it changed, or another one
 * answers in its place. The next read gets to know it anew. */
static void not_understood(struct chunk *c, const struct rpc_answer *a)
{
    learn_forget(c->read->engine, c->learnt->endpoint);
    request_failed(c->read, a);
}

/* Another endpoint may be up. Which one is asked is chosen anew; one that fails a few times is
 * paused by the node, and so no longer the best. */
static void not_served(struct chunk *c, const struct rpc_answer *a)
{
    if (rpc_endpoints(c->read->engine->node) > 1 && c->moves < READ_MOVES)
        chunk_again(c)->moves = c->moves + 1;
    else
        request_failed(c->read, a);
}

void chunk_answered(struct chunk *c, const struct rpc_answer *a)
{
    struct read *read = c->read;
    if (c->kind == CHUNK_CANARY && a->fault.fault != FAULT_NONE) {
        canary_refused(c, a);
        chunk_free(c);
        return;
    }
    switch (fault_policy(a->fault.fault)->batch) {
    case FAULT_BATCH_NONE:
        succeeded(c, a);
        break;
    case FAULT_BATCH_BISECT:
        too_much(c, a);
        break;
    case FAULT_BATCH_LESS_GAS:
        gas_refused(c, a);
        break;
    case FAULT_BATCH_TIMED_OUT:
        timed_out(c, a);
        break;
    case FAULT_BATCH_RESEND:
        not_served(c, a);
        break;
    case FAULT_BATCH_MOVED:
        fail(read, READ_END_MOVED, "the node does not have the block", a->text);
        break;
    case FAULT_BATCH_PRUNED:
        fail(read, READ_END_PRUNED, "the node no longer has the block's state", a->text);
        break;
    case FAULT_BATCH_REPROBE:
        not_understood(c, a);
        break;
    }
    chunk_free(c);
}
