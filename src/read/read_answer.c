/*
 * What an answer means for a chunk: done, cut smaller, asked again, or the end of the read.
 *
 * "Too big" and "this one is bad" are told apart by cutting: a chunk that fails for its size is
 * halved down to one wallet, then to one term; only there a failure is the wallet's own.
 */
#include "base/mem.h"
#include "eth/fault_policy.h"
#include "read/read_internal.h"

#include <stdio.h>
#include <string.h>

static void chunk_bisect(struct chunk *c)
{
    size_t half = c->n / 2;
    struct chunk *b = chunk_part(c, half, c->n - half), *a = chunk_part(c, 0, half);
    if (!c->isolated) /* a chunk of suspects tells nothing of the size of a batch */
        read_bisect_begin(c, a, b);
}

static enum reading_status reading_status_of(enum cell_status s)
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
static bool chunk_look_again(const struct chunk *c, const struct read_cell *cell)
{
    if (cell->status == CELL_SUSPECT)
        return !c->isolated || c->n > 1;
    return cell->status == CELL_REVERTED && !c->isolated && c->profile->reader->doubts_failures;
}

/* By itself, and the terms before it still took what this one would have needed: then each has its
 * own request. What used more than half of everything is too heavy with all of it, too. */
static bool chunk_terms_compete(const struct chunk *c, const struct read_cell *cell)
{
    return cell->status == CELL_SUSPECT && c->n == 1 && c->n_terms > 1 &&
           cell->failed_term > (int)c->first_term &&
           cell->gas_used <= read_profile_gas(c->profile) / 2;
}

/* Those of a batch go together, those of an isolated chunk one by one. */
static void chunk_isolate_suspects(struct chunk *c, const size_t *suspects, size_t n)
{
    size_t together = c->isolated ? 1 : n;
    for (size_t i = 0; i < n; i += together)
        chunk_isolated(c->read, suspects + i, together);
}

static void chunk_store_cells(struct chunk *c, const struct read_result *res)
{
    size_t *suspects = mem_alloc(res->answered * sizeof *suspects), n = 0;
    for (size_t i = 0; i < res->answered; i++) {
        const struct read_cell *cell = &res->cells[i];
        if (chunk_look_again(c, cell))
            suspects[n++] = chunk_wallet(c, i);
        else if (chunk_terms_compete(c, cell))
            chunk_split_terms(c);
        else
            read_store_value(c->read, chunk_wallet(c, i), reading_status_of(cell->status),
                             c->n_terms == 1 ? (int)c->first_term : cell->failed_term, &cell->sum);
    }
    chunk_isolate_suspects(c, suspects, n);
    if (res->answered < c->n)
        chunk_part(c, res->answered, c->n - res->answered);
    mem_free(suspects);
}

/* Gas was short: the chunk was too large, or one wallet burns everything. */
static void chunk_on_starved(struct chunk *c)
{
    read_bisect_bad(c);
    if (c->n > 1)
        chunk_bisect(c);
    else if (c->n_terms > 1)
        chunk_split_terms(c);
    else
        read_store_value(c->read, chunk_wallet(c, 0), READ_OUT_OF_GAS, (int)c->first_term, NULL);
}

/* The one place that judges a proof. All four must be those of the asked block: number and parent
 * tell branches apart, the timestamp siblings, the chain id networks. The timestamp counts only
 * where a header was seen to have the EVM's. */
static bool read_proof_holds(const struct chunk *c, const struct read_proof *p)
{
    const struct anchor *at = &c->read->ask.at;
    bool same_time =
        p->timestamp == at->timestamp || endpoint_has_evm_time(c->profile->endpoint) != CAP_YES;
    return p->number == at->number && same_time && p->chain_id == c->read->ask.chain_id &&
           hash_equal(&p->parent, &at->parent);
}

static void read_fail(struct read *read, enum read_end end, const char *what, const char *words)
{
    err_set(&read->report.why, ERR_FAILED, "%s%s%s", what, *words ? ": " : "", words);
    read_stop(read, end);
}

static void read_wrong_block(struct chunk *c, const char *words)
{
    struct read *read = c->read;
    endpoint_doubt_block(c->profile->endpoint, &read->ask.at,
                         "answered from another block than asked");
    err_set(&read->report.why, ERR_FAILED, "endpoint \"%s\" %s when asked for block %llu",
            endpoint_name(c->profile->endpoint), words, (unsigned long long)read->ask.at.number);
    read_profile_forget(read->engine, c->profile->endpoint);
    read_stop(read, READ_END_WRONG_BLOCK);
}

/* Where nothing is anchored from inside, the hash that was asked for is the proof. That it is
 * looked at was shown by asking for a made-up one, and is shown again before the read ends. */
static bool chunk_proved_by_hash(struct chunk *c)
{
    if (endpoint_pins_hash(c->profile->endpoint) != CAP_YES) {
        read_wrong_block(c, "does not look at the block it is asked for, and proves none");
        return false;
    }
    if (c->read->by_hash && c->read->by_hash != c->profile) {
        read_fail(c->read, READ_END_FAILED, "the endpoint changed in the middle of a read", "");
        return false;
    }
    c->read->by_hash = c->profile;
    c->read->n_by_hash++;
    return true;
}

static bool chunk_check_proof(struct chunk *c, const struct read_result *res)
{
    char words[96];
    if (!res->proof.present)
        return chunk_proved_by_hash(c);
    if (read_proof_holds(c, &res->proof))
        return true;
    snprintf(words, sizeof words, "answered from block %llu (chain %llu)",
             (unsigned long long)res->proof.number, (unsigned long long)res->proof.chain_id);
    read_wrong_block(c, words);
    return false;
}

/* The same question without a wallet was answered: it is about the wallet. */
static void chunk_on_control(struct chunk *c)
{
    chunk_new(c->read, c->first, 1, c->first_term, c->n_terms, true);
}

/* All chunks of a read are of one block, so there is one hash. */
static bool chunk_take_link(struct chunk *c, const struct read_result *res)
{
    static const hash32 unknown;
    struct read_report *report = &c->read->report;
    if (!c->sent.has_link || hash_equal(&res->link, &unknown))
        return true;
    if (report->has_link && !hash_equal(&res->link, &report->link)) {
        read_wrong_block(c, "showed two hashes of one earlier block");
        return false;
    }
    report->has_link = true;
    report->link = res->link;
    return true;
}

static void chunk_take_result(struct chunk *c, const struct read_result *res, int64_t took_ms)
{
    c->read->anchored = c->profile->anchored = true;
    if (c->kind == CHUNK_CONTROL) {
        chunk_on_control(c);
    } else if (res->starved || res->answered == 0) {
        chunk_on_starved(c);
    } else {
        if (!c->isolated)
            read_size_on_good(c->profile, res->answered, res, took_ms);
        read_bisect_good(c);
        chunk_store_cells(c, res);
    }
}

static void chunk_decode(struct chunk *c, const struct rpc_answer *a)
{
    struct read *read = c->read;
    struct read_result res = {.cells = mem_alloc((c->n + 1) * sizeof(struct read_cell))};
    struct err err = {0};
    c->sent.nonce = a->nonce;
    if (c->profile->reader->decode(&c->sent, a->bytes, a->n_bytes, &res, &err) < 0) {
        read->report.why = err;
        err_wrap(&read->report.why, "reader %s at endpoint \"%s\"", c->profile->reader->name,
                 endpoint_name(c->profile->endpoint));
        read_profile_forget(read->engine, c->profile->endpoint);
        read_stop(read, READ_END_FAILED);
    } else if (res.misplaced) {
        chunk_on_misplaced(c);
    } else if (chunk_check_proof(c, &res) && chunk_take_link(c, &res)) {
        if (!c->profile->reader->by_echo)
            endpoint_report_placed(c->profile->endpoint);
        chunk_take_result(c, &res, a->wire_ms);
    }
    mem_free(res.cells);
}

/* A result: bytes, or a JSON null, which is "ask again" (proxies invent it above their head). */
static void chunk_on_result(struct chunk *c, const struct rpc_answer *a)
{
    if (a->bytes && c->kind == CHUNK_CANARY)
        read_wrong_block(c, "answers for a block that does not exist");
    else if (a->bytes)
        chunk_decode(c, a);
    else if (++c->nulls <= READ_NULL_RETRIES)
        chunk_again(c)->nulls = c->nulls;
    else
        read_fail(c->read, READ_END_MOVED, "the node answers null for this block", "");
}

/* The fault of a single call of a single wallet, as the wallet's own; READ_UNANSWERED if it may
 * just as well be the endpoint's. */
static enum reading_status chunk_poison_status(const struct chunk *c, const struct rpc_answer *a)
{
    enum fault fault = a->fault.fault;
    bool single = c->profile->reader->kind == READER_SINGLE;
    /* Unknown words, or of the whole request: it takes an answer that shows the endpoint well.
     */
    bool well = c->read->anchored || (single && c->profile->anchored);
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

static void read_on_request_failed(struct read *read, const struct rpc_answer *a)
{
    err_set(&read->report.why, a->endpoint ? ERR_FAILED : ERR_UNREACHABLE, "%s", a->text);
    read_stop(read, READ_END_FAILED);
}

/* One call of one wallet failed, and nothing was answered yet in this read: is it the wallet or the
 * endpoint? A read of a bad wallet alone must come to an end, too. */
static void chunk_ask_control(struct chunk *c)
{
    struct chunk *control = chunk_new(c->read, chunk_wallet(c, 0), 0, c->first_term, 1, true);
    control->kind = CHUNK_CONTROL;
}

static void chunk_on_too_much(struct chunk *c, const struct rpc_answer *a)
{
    enum reading_status status = chunk_poison_status(c, a);
    read_bisect_bad(c);
    if (c->n > 1) {
        chunk_bisect(c);
    } else if (c->n == 1 && c->n_terms > 1) {
        chunk_split_terms(c);
    } else if (c->n == 1 && status != READ_UNANSWERED) {
        read_store_value(c->read, chunk_wallet(c, 0), status, (int)c->first_term, NULL);
    } else if (c->n == 1 && !c->read->anchored && !c->profile->reader->by_terms) {
        chunk_ask_control(c);
    } else {
        read_profile_forget(c->read->engine, c->profile->endpoint);
        read_fail(c->read, READ_END_FAILED, "a single call is too much for the endpoint", a->text);
    }
}

/* "It took too long" in a node's words is about the size. Silence is hardly: the next try is
 * smaller all the same, but a node that hangs is not asked for each half and half of a half. */
static void chunk_on_timeout(struct chunk *c, const struct rpc_answer *a)
{
    if (a->endpoint) {
        chunk_on_too_much(c, a);
        return;
    }
    if (!c->isolated)
        read_size_on_bad(c->profile, c->n);
    read_on_request_failed(c->read, a);
}

/* Of several chunks that were refused together only the first lowers what is asked for. */
static void chunk_on_gas_refused(struct chunk *c, const struct rpc_answer *a)
{
    if (fault_text_ran_out(a->text))
        chunk_on_too_much(c, a);
    else if (c->sent.gas > read_profile_gas(c->profile) || read_profile_lower_gas(c->profile))
        chunk_again(c);
    else
        chunk_on_too_much(c, a);
}

/* The made-up block must be refused for being unknown. */
static void chunk_on_canary(struct chunk *c, const struct rpc_answer *a)
{
    if (!fault_says(a->fault.fault, FAULT_SAYS_BLOCK_MISSING | FAULT_SAYS_BLOCK_DROPPED))
        read_on_request_failed(c->read, a);
}

/* What the node says of the question, though it was right once: perhaps it changed, or another one
 * answers in its place. The next read gets to know it anew. */
static void chunk_on_not_understood(struct chunk *c, const struct rpc_answer *a)
{
    read_profile_forget(c->read->engine, c->profile->endpoint);
    read_on_request_failed(c->read, a);
}

/* Another endpoint may be up. Which one is asked is chosen anew; one that fails a few times is
 * paused by the node, and so no longer the best. */
static void chunk_on_not_served(struct chunk *c, const struct rpc_answer *a)
{
    if (rpc_endpoints(c->read->engine->node) > 1 && c->moves < READ_MOVES)
        chunk_again(c)->moves = c->moves + 1;
    else
        read_on_request_failed(c->read, a);
}

void chunk_on_answer(struct chunk *c, const struct rpc_answer *a)
{
    struct read *read = c->read;
    if (c->kind == CHUNK_CANARY && a->fault.fault != FAULT_NONE) {
        chunk_on_canary(c, a);
        chunk_free(c);
        return;
    }
    if (c->profile->reader->by_echo && c->kind == CHUNK_WALLETS && chunk_echo_on_answer(c, a)) {
        chunk_free(c);
        return;
    }
    switch (fault_policy(a->fault.fault)->batch) {
    case FAULT_BATCH_NONE:
        chunk_on_result(c, a);
        break;
    case FAULT_BATCH_BISECT:
        chunk_on_too_much(c, a);
        break;
    case FAULT_BATCH_LESS_GAS:
        chunk_on_gas_refused(c, a);
        break;
    case FAULT_BATCH_TIMED_OUT:
        chunk_on_timeout(c, a);
        break;
    case FAULT_BATCH_RESEND:
        chunk_on_not_served(c, a);
        break;
    case FAULT_BATCH_MOVED:
        read_fail(read, READ_END_MOVED, "the node does not have the block", a->text);
        break;
    case FAULT_BATCH_PRUNED:
        read_fail(read, READ_END_PRUNED, "the node no longer has the block's state", a->text);
        break;
    case FAULT_BATCH_REPROBE:
        chunk_on_not_understood(c, a);
        break;
    }
    chunk_free(c);
}
