/*
 * Reader create: the lens as the initcode of a contract that is never made: eth_call without `to`.
 * Needs nothing of the node but eth_call itself. What a creation returns is taken for code, and so
 * has code's limits: 24,576 bytes (EIP-170), 200 gas a byte, not 0xEF at the front (EIP-3541; the
 * reply begins with the upper bytes of a block number). Initcode has 49,152 bytes (EIP-3860).
 *
 * The second variant answers by reverting, which none of these limits touch but the initcode's.
 * Its reply is the revert data, found in the error of the JSON-RPC answer, where the node passes it
 * on (`data`: geth, erigon, reth, nethermind, anvil; in other places elsewhere).
 */
#include "read/reader_lens.h"

#include <inttypes.h>

enum {
    INITCODE_MAX = 49152,
    /* The program of 16 terms with 64-bit gas limits, and the nonce: checked by the lens' test. */
    CODE_ROOM = 2560,
};

static void reader_create_encode_as(const struct read_chunk *chunk, enum lens_mode mode,
                                    const struct buf *block_param, struct buf *params,
                                    struct nonce_places *nonce)
{
    struct lens_chunk c;
    struct lens_code code;
    lens_chunk_of(chunk, mode, &c);
    lens_assemble(&c.shape, chunk->n, &code);
    buf_addf(params, "[{\"gas\":\"0x%" PRIx64 "\",\"data\":\"0x", chunk->gas);
    buf_addhex(params, code.b, code.len);
    nonce_add_word(params, nonce);
    buf_addhex(params, (const uint8_t *)chunk->wallets, chunk->n * sizeof(address));
    buf_adds(params, "\"},");
    buf_add(params, buf_str(block_param), block_param->len);
    buf_addc(params, ']');
}

static size_t reader_create_input_size(const struct read_chunk *chunk, enum lens_mode mode)
{
    struct lens_chunk c;
    struct lens_code code;
    lens_chunk_of(chunk, mode, &c);
    lens_assemble(&c.shape, chunk->n, &code);
    return code.len + NONCE_WORD + chunk->n * sizeof(address);
}

static void reader_create_encode_return(const struct read_chunk *chunk,
                                        const struct buf *block_param, struct buf *params,
                                        struct nonce_places *nonce)
{
    reader_create_encode_as(chunk, LENS_CREATE, block_param, params, nonce);
}

static int reader_create_decode_return(const struct read_chunk *chunk, const uint8_t *reply,
                                       size_t len, struct read_result *ret, struct err *err)
{
    return lens_chunk_decode(chunk, LENS_CREATE, reader_create_input_size(chunk, LENS_CREATE),
                             reply, len, ret, err);
}

static void reader_create_encode_revert(const struct read_chunk *chunk,
                                        const struct buf *block_param, struct buf *params,
                                        struct nonce_places *nonce)
{
    reader_create_encode_as(chunk, LENS_CREATE_REVERT, block_param, params, nonce);
}

static int reader_create_decode_revert(const struct read_chunk *chunk, const uint8_t *reply,
                                       size_t len, struct read_result *ret, struct err *err)
{
    return lens_chunk_decode(chunk, LENS_CREATE_REVERT,
                             reader_create_input_size(chunk, LENS_CREATE_REVERT), reply, len, ret,
                             err);
}

const struct reader reader_create = {
    .name = "create",
    .kind = READER_CREATE,
    .method = "eth_call",
    .first_guess = 500,
    .most = 1400, /* their sums take 22,656 bytes of 24,576, which leaves room for 30 notes */
    .doubts_failures = true,
    .encode = reader_create_encode_return,
    .decode = reader_create_decode_return,
};

const struct reader reader_create_revert = {
    .name = "create-revert",
    .kind = READER_CREATE,
    .method = "eth_call",
    .first_guess = 1000,
    .most = (INITCODE_MAX - CODE_ROOM) / 20,
    .by_revert = true,
    .doubts_failures = true,
    .encode = reader_create_encode_revert,
    .decode = reader_create_decode_revert,
};
