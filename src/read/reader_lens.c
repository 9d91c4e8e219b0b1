#include "read/reader_lens.h"

#include <assert.h>
#include <string.h>

/* What a call costs before its first instruction (yellow paper 6.2, EIP-2028, EIP-3860): an upper
 * bound, as if no byte of the input were zero. */
enum { GAS_CALL = 21000, GAS_CREATE = 53000, GAS_BYTE = 16, GAS_INITCODE_WORD = 2 };

/* In a batch a view is given 32 times its share of the call's gas at most. What is given must be
 * free before the last view, too, where it is lost to everybody: 2,000,000 are an eighth of a call
 * of 2^24 gas. And one that burns all it gets costs no more wallets their turn than it must. A view
 * of half as much still counts, 16 times what a call of this size has for each; so where views are
 * dear, and the chunks small for it, the share is large. The floor is for the smallest of budgets.
 */
enum { BATCHED_SHARE = 32, BATCHED_LEAST = 100000, BATCHED_ENOUGH = 250000 };

static uint64_t lens_batched_limit(const struct read_chunk *chunk, uint64_t limit)
{
    uint64_t share = chunk->gas / ((chunk->n ? chunk->n : 1) * chunk->n_terms);
    uint64_t most = share < chunk->gas / 4 / BATCHED_SHARE ? share * BATCHED_SHARE : chunk->gas / 4;
    uint64_t least = chunk->gas / 64;
    least = least < BATCHED_LEAST ? BATCHED_LEAST : least > BATCHED_ENOUGH ? BATCHED_ENOUGH : least;
    most = most > least ? most : least;
    return limit < most ? limit : most;
}

void lens_chunk_of(const struct read_chunk *chunk, enum lens_mode mode, struct lens_chunk *ret)
{
    const struct read_shape *s = chunk->shape;
    assert(chunk->n_terms >= 1 && chunk->n_terms <= LENS_TERMS_MAX &&
           chunk->first_term + chunk->n_terms <= s->n_terms);
    for (size_t i = 0; i < chunk->n_terms; i++) {
        const struct conf_term *t = &s->terms[chunk->first_term + i];
        ret->terms[i].contract = t->contract;
        ret->terms[i].gas = chunk->isolated ? t->gas : lens_batched_limit(chunk, t->gas);
        memcpy(ret->terms[i].selector, t->view.selector, sizeof ret->terms[i].selector);
    }
    static const enum lens_anchor anchors[] = {
        [ANCHOR_AUTO] = LENS_ANCHOR_EVM, /* until it is learnt */
        [ANCHOR_EVM] = LENS_ANCHOR_EVM,
        [ANCHOR_ARBSYS] = LENS_ANCHOR_ARBSYS,
        [ANCHOR_NONE] = LENS_ANCHOR_NONE,
    };
    ret->shape = (struct lens_shape){
        .terms = ret->terms,
        .n_terms = chunk->n_terms,
        .anchor = anchors[s->anchor],
        .mode = mode,
        .isolated = chunk->isolated,
        .has_link = chunk->has_link && s->anchor != ANCHOR_NONE,
        .link = chunk->link,
    };
}

static enum cell_status lens_cell_status(enum lens_status s)
{
    switch (s) {
    case LENS_OK:
        return CELL_OK;
    case LENS_REVERTED:
        return CELL_REVERTED;
    case LENS_EMPTY:
        return CELL_EMPTY;
    case LENS_BAD_LENGTH:
        return CELL_BAD_LENGTH;
    case LENS_OVERFLOW:
        return CELL_OVERFLOW;
    case LENS_HEAVY:
        break;
    }
    return CELL_SUSPECT;
}

static uint64_t lens_gas_before_start(enum lens_mode mode, size_t input)
{
    uint64_t bytes = (uint64_t)input * GAS_BYTE;
    if (mode == LENS_CALL)
        return GAS_CALL + bytes;
    return GAS_CREATE + bytes + GAS_INITCODE_WORD * ((uint64_t)input + 31) / 32;
}

int lens_chunk_decode(const struct read_chunk *chunk, enum lens_mode mode, size_t input,
                      const uint8_t *reply, size_t len, struct read_result *ret, struct err *err)
{
    struct lens_chunk c;
    struct lens_reply r;
    ret->misplaced = len > 0 && !lens_answers(&chunk->nonce, reply, len);
    if (ret->misplaced)
        return 0;
    lens_chunk_of(chunk, mode, &c);
    if (lens_open(&c.shape, chunk->n, reply, len, &r, err) < 0)
        return -1;
    ret->proof = (struct read_proof){
        .present = chunk->shape->anchor != ANCHOR_NONE,
        .number = r.number,
        .timestamp = r.timestamp,
        .chain_id = r.chain_id,
        .parent = r.parent,
    };
    ret->link = r.link;
    ret->answered = r.answered;
    ret->starved = false;
    ret->gas_granted = r.gas_entry + lens_gas_before_start(mode, input);
    ret->gas_used = ret->gas_granted - r.gas_exit;
    if (mode == LENS_CREATE)
        ret->gas_used += LENS_DEPOSIT * (uint64_t)len;
    for (size_t i = 0; i < r.answered; i++) {
        struct lens_cell cell;
        lens_cell(&r, i, &cell);
        ret->cells[i].status = lens_cell_status(cell.status);
        ret->cells[i].failed_term = cell.term < 0 ? -1 : (int)chunk->first_term + cell.term;
        ret->cells[i].gas_used = cell.used;
        ret->cells[i].sum = cell.sum;
    }
    return 0;
}
