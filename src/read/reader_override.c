/*
 * Reader override: the lens at an address of no one, put there for the length of one call by
 * eth_call's third parameter (geth, erigon, nethermind, reth, besu; hosted plans vary). Nothing is
 * deployed, and the only ceilings are the endpoint's own: gas and body size.
 *
 * A node that ignores the third parameter calls an account without code and answers `0x`. A chunk
 * of no wallets is a complete question too: it proves the block and shows the gas, and so serves as
 * the probe.
 */
#include "read/reader_lens.h"

#include "base/err.h"

#include <inttypes.h>

/* Anybody can make the lens' address a wallet by sending it a token; then the lens moves on. */
static bool reader_override_taken(const struct read_chunk *chunk, const address *at)
{
    for (size_t i = 0; i < chunk->shape->n_terms; i++)
        if (address_equal(&chunk->shape->terms[i].contract, at))
            return true;
    for (size_t i = 0; i < chunk->n; i++)
        if (address_equal(&chunk->wallets[i], at))
            return true;
    return false;
}

static void reader_override_encode(const struct read_chunk *chunk, const struct buf *block_param,
                                   struct buf *params, struct nonce_places *nonce)
{
    struct lens_chunk c;
    struct lens_code code;
    address at;
    unsigned attempt = 0;
    char to[ADDRESS_TEXT];
    lens_chunk_of(chunk, LENS_CALL, &c);
    lens_assemble(&c.shape, chunk->n, &code);
    do
        lens_address(attempt++, &at);
    while (reader_override_taken(chunk, &at));
    address_text(&at, to);
    buf_addf(params, "[{\"to\":\"%s\",\"gas\":\"0x%" PRIx64 "\",\"data\":\"0x", to, chunk->gas);
    nonce_add_word(params, nonce);
    _Static_assert(sizeof(address) == 20, "an array of addresses is packed");
    buf_addhex(params, (const uint8_t *)chunk->wallets, chunk->n * sizeof(address));
    buf_adds(params, "\"},");
    buf_add(params, buf_str(block_param), block_param->len);
    buf_addf(params, ",{\"%s\":{\"code\":\"0x", to);
    buf_addhex(params, code.b, code.len);
    buf_adds(params, "\"}}]");
}

static int reader_override_decode(const struct read_chunk *chunk, const uint8_t *reply, size_t len,
                                  struct read_result *ret, struct err *err)
{
    if (len == 0)
        return err_set(err, ERR_FAILED, "eth_call answered nothing: it ignores state overrides");
    return lens_chunk_decode(chunk, LENS_CALL, NONCE_WORD + chunk->n * sizeof(address), reply, len,
                             ret, err);
}

const struct reader reader_override = {
    .name = "override",
    .kind = READER_OVERRIDE,
    .method = "eth_call",
    .first_guess = 1000,
    /* A wallet is 800 gas of call data at least (EIP-7623): more do not fit in 50 M. */
    .most = 60000,
    .doubts_failures = true,
    .encode = reader_override_encode,
    .decode = reader_override_decode,
};
