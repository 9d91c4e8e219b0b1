/*
 * Reader single: the view itself, one (wallet, term) a request. The last resort, where an endpoint
 * refuses everything else.
 *
 * It proves nothing from inside: the block is anchored by the hash it is pinned to, so it is for
 * endpoints that were shown to honour one. Nor can it see how much gas was used. Each call has the
 * whole budget to itself; a view that needs more than the endpoint's cap and hides it is believed.
 *
 * Nor can a view give a nonce back. So each is asked twice with an echo between, one after the
 * other: a gateway that hands out the answer of another request is seen by the echo, or by two
 * answers that differ. That is three requests a term, and one at a time.
 */
#include "read/reader.h"

#include "base/err.h"
#include "eth/abi.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

static void reader_single_encode(const struct read_chunk *chunk, const struct buf *block_param,
                                 struct buf *params, struct nonce_places *nonce)
{
    (void)nonce; /* a view takes its argument and nothing else */
    assert(chunk->n == 1 && chunk->n_terms == 1);
    const struct conf_term *term = &chunk->shape->terms[chunk->first_term];
    uint8_t view[ABI_VIEW_CALL];
    char to[ADDRESS_TEXT];
    abi_encode_view(term->view.selector, &chunk->wallets[0], view);
    address_text(&term->contract, to);
    buf_addf(params, "[{\"to\":\"%s\",\"gas\":\"0x%" PRIx64 "\",\"data\":\"0x", to, chunk->gas);
    buf_addhex(params, view, sizeof view);
    buf_adds(params, "\"},");
    buf_add(params, buf_str(block_param), block_param->len);
    buf_addc(params, ']');
}

/* Some endpoints answer a revert as a success whose result is the reason, Error(string). */
static bool reader_single_is_reason(const uint8_t *reply, size_t len)
{
    static const uint8_t error_string[4] = {0x08, 0xc3, 0x79, 0xa0};
    return len % 32 == sizeof error_string && memcmp(reply, error_string, sizeof error_string) == 0;
}

static int reader_single_decode(const struct read_chunk *chunk, const uint8_t *reply, size_t len,
                                struct read_result *ret, struct err *err)
{
    (void)err; /* any bytes are an answer of this reader */
    struct read_cell cell = {.status = CELL_OK, .failed_term = (int)chunk->first_term};
    if (len == 32) {
        u256_from_be32(&cell.sum, reply);
        cell.failed_term = -1;
    } else if (len == 0) {
        cell.status = CELL_EMPTY;
    } else {
        cell.status = reader_single_is_reason(reply, len) ? CELL_REVERTED : CELL_BAD_LENGTH;
    }
    ret->misplaced = false; /* the echo between two views tells */
    ret->link = (hash32){0};
    ret->proof = (struct read_proof){.present = false};
    ret->answered = 1;
    ret->starved = false;
    ret->gas_used = ret->gas_granted = 0;
    ret->cells[0] = cell;
    return 0;
}

const struct reader reader_single = {
    .name = "single",
    .kind = READER_SINGLE,
    .method = "eth_call",
    .first_guess = 1,
    .most = 1,
    .needs_pin = true,
    .by_terms = true,
    .by_echo = true,
    .encode = reader_single_encode,
    .decode = reader_single_decode,
};
