/*
 * Reader multicall3: Multicall3's aggregate3 with the anchor's calls inside.
 *
 * Order within the call: an echo of the nonce; block number, parent hash, timestamp, chain id, and
 * the linked block's hash if asked for; then wallet by wallet each term; the sentinel; the echo
 * again. Everything runs in one execution, so the four prove the block of all the others, the
 * sentinel proves their gas (see reader.h), and the echoes that the answer is to this request.
 *
 * A failed call in a chunk whose sentinel could pay had half of the node's whole budget to itself:
 * that is final. Without the sentinel's payment nothing of the chunk counts.
 */
#include "base/err.h"
#include "base/mem.h"
#include "eth/abi.h"
#include "eth/aggregate3.h"
#include "read/reader.h"

#include <inttypes.h>
#include <string.h>

enum { PROOF_CALLS = 4, LINK_CALL = ABI_VIEW_CALL };

static const address identity = {.b = {[19] = 4}}; /* answers with its call data */

/* Selectors of Multicall3's own views: getBlockNumber, getLastBlockHash (the parent's: the hash of
 * a block is not known inside it), getCurrentBlockTimestamp, getChainId. */
static const uint8_t proof_selectors[PROOF_CALLS][4] = {{0x42, 0xcb, 0xb1, 0x5c},
                                                        {0x27, 0xe8, 0x6d, 0x6e},
                                                        {0x0f, 0x28, 0xc9, 0x7d},
                                                        {0x34, 0x08, 0xe4, 0x70}};

static size_t reader_multicall3_sentinel_calls(const struct read_chunk *chunk)
{
    return chunk->sentinel.kind == SENTINEL_NONE ? 0 : 1;
}

/* Calls before the first view. */
static size_t reader_multicall3_first_view(const struct read_chunk *chunk)
{
    return 1 + PROOF_CALLS + chunk->has_link;
}

static size_t reader_multicall3_call_count(const struct read_chunk *chunk)
{
    return reader_multicall3_first_view(chunk) + chunk->n * chunk->n_terms +
           reader_multicall3_sentinel_calls(chunk) + 1;
}

/* getBlockHash(link) */
static void reader_multicall3_encode_link(const struct read_chunk *chunk, uint8_t ret[LINK_CALL])
{
    static const uint8_t get_block_hash[4] = {0xee, 0x82, 0xac, 0x5e};
    memcpy(ret, get_block_hash, sizeof get_block_hash);
    abi_put_u64(ret + sizeof get_block_hash, chunk->link);
}

/* The first echo's word is the data of the first call, the last one's ends the text. */
static void reader_multicall3_add_calls(struct buf *params, const struct call3 *calls, size_t n,
                                        struct nonce_places *nonce)
{
    size_t start = params->len;
    aggregate3_encode(params, calls, n);
    nonce_add_place(nonce, start + aggregate3_first_data(n));
    nonce_add_place(nonce, params->len - 2 * (size_t)NONCE_WORD);
}

static void reader_multicall3_encode(const struct read_chunk *chunk, const struct buf *block_param,
                                     struct buf *params, struct nonce_places *nonce)
{
    static const uint8_t no_nonce[NONCE_WORD];
    const struct call3 echo = {identity, no_nonce, sizeof no_nonce};
    size_t n = reader_multicall3_call_count(chunk), at = 0;
    struct call3 *calls = mem_zero(n, sizeof *calls);
    uint8_t *views = mem_alloc(chunk->n * chunk->n_terms * ABI_VIEW_CALL);
    uint8_t sentinel[SENTINEL_CALL], link[LINK_CALL];
    calls[at++] = echo;
    for (size_t i = 0; i < PROOF_CALLS; i++)
        calls[at++] = (struct call3){chunk->shape->multicall, proof_selectors[i], 4};
    if (chunk->has_link) {
        reader_multicall3_encode_link(chunk, link);
        calls[at++] = (struct call3){chunk->shape->multicall, link, sizeof link};
    }
    uint8_t *view = views;
    for (size_t w = 0; w < chunk->n; w++) {
        for (size_t t = 0; t < chunk->n_terms; t++, view += ABI_VIEW_CALL) {
            const struct conf_term *term = &chunk->shape->terms[chunk->first_term + t];
            abi_encode_view(term->view.selector, &chunk->wallets[w], view);
            calls[at++] = (struct call3){term->contract, view, ABI_VIEW_CALL};
        }
    }
    if (reader_multicall3_sentinel_calls(chunk)) {
        static const address modexp = {.b = {[19] = 5}};
        sentinel_encode(&chunk->sentinel, sentinel);
        calls[at++] = (struct call3){modexp, sentinel, sizeof sentinel};
    }
    calls[at++] = echo;
    char to[ADDRESS_TEXT];
    address_text(&chunk->shape->multicall, to);
    buf_addf(params, "[{\"to\":\"%s\",\"gas\":\"0x%" PRIx64 "\",\"data\":\"0x", to, chunk->gas);
    reader_multicall3_add_calls(params, calls, at, nonce);
    buf_adds(params, "\"},");
    buf_add(params, buf_str(block_param), block_param->len);
    buf_addc(params, ']');
    mem_free(calls);
    mem_free(views);
}

static bool reader_multicall3_proof_word(const struct result3 *r, const uint8_t **ret)
{
    if (!r->success || r->data_len != 32)
        return false;
    *ret = r->data;
    return true;
}

static int reader_multicall3_decode_proof(const struct result3 *results, struct read_proof *ret,
                                          struct err *err)
{
    const uint8_t *word[PROOF_CALLS];
    for (size_t i = 0; i < PROOF_CALLS; i++)
        if (!reader_multicall3_proof_word(&results[i], &word[i]))
            return err_set(err, ERR_FAILED,
                           "the contract at the multicall address does not answer as Multicall3");
    if (!abi_get_u64(word[0], &ret->number) || !abi_get_u64(word[2], &ret->timestamp) ||
        !abi_get_u64(word[3], &ret->chain_id))
        return err_set(err, ERR_FAILED, "the block's numbers in the reply do not fit 64 bits");
    memcpy(ret->parent.b, word[1], 32);
    ret->present = true;
    return 0;
}

static enum cell_status reader_multicall3_view_status(const struct result3 *r)
{
    if (!r->success)
        return CELL_REVERTED;
    if (r->data_len == 0)
        return CELL_EMPTY;
    return r->data_len == 32 ? CELL_OK : CELL_BAD_LENGTH;
}

static struct read_cell reader_multicall3_decode_wallet(const struct read_chunk *chunk,
                                                        const struct result3 *views)
{
    struct read_cell cell = {.status = CELL_OK, .failed_term = -1};
    for (size_t t = 0; t < chunk->n_terms; t++) {
        u256 value;
        cell.status = reader_multicall3_view_status(&views[t]);
        if (cell.status == CELL_OK) {
            u256_from_be32(&value, views[t].data);
            if (reader_add(&cell.sum, &value))
                continue;
            cell.status = CELL_OVERFLOW; /* no term alone is to blame */
            break;
        }
        cell.failed_term = (int)(chunk->first_term + t);
        break;
    }
    return cell;
}

enum echo { ECHO_RIGHT, ECHO_OTHER, ECHO_NONE };

static enum echo reader_multicall3_echo(const struct read_chunk *chunk, const struct result3 *r)
{
    if (!r->success || r->data_len == 0)
        return ECHO_NONE;
    return r->data_len == NONCE_WORD && nonce_is_word(&chunk->nonce, r->data) ? ECHO_RIGHT
                                                                              : ECHO_OTHER;
}

static void reader_multicall3_decode_views(const struct read_chunk *chunk,
                                           const struct result3 *results, size_t n,
                                           struct read_result *ret)
{
    size_t first = reader_multicall3_first_view(chunk);
    const struct result3 *sentinel = &results[n - 2];
    const struct result3 *link = &results[first - 1];
    ret->link = (hash32){0};
    if (chunk->has_link && link->success && link->data_len == sizeof ret->link.b)
        memcpy(ret->link.b, link->data, sizeof ret->link.b);
    /* What left too little gas for the last echo left too little for the views. */
    ret->starved =
        reader_multicall3_echo(chunk, &results[n - 1]) == ECHO_NONE ||
        (reader_multicall3_sentinel_calls(chunk) && !(sentinel->success && sentinel->data_len > 0));
    ret->gas_used = ret->gas_granted = 0;
    ret->answered = chunk->n;
    for (size_t w = 0; w < chunk->n; w++)
        ret->cells[w] =
            reader_multicall3_decode_wallet(chunk, results + first + w * chunk->n_terms);
}

/* A reply of another form, or with another nonce, is another request's. */
static int reader_multicall3_decode_results(const struct read_chunk *chunk,
                                            const struct result3 *results, size_t n,
                                            struct read_result *ret, struct err *err)
{
    enum echo first = reader_multicall3_echo(chunk, &results[0]);
    if (first == ECHO_NONE)
        return err_set(err, ERR_FAILED,
                       "precompile 0x04 (identity) does not answer inside aggregate3, so no answer "
                       "can be told from another request's");
    ret->misplaced =
        first == ECHO_OTHER || reader_multicall3_echo(chunk, &results[n - 1]) == ECHO_OTHER;
    if (ret->misplaced)
        return 0;
    if (reader_multicall3_decode_proof(results + 1, &ret->proof, err) < 0)
        return -1;
    reader_multicall3_decode_views(chunk, results, n, ret);
    return 0;
}

static int reader_multicall3_decode(const struct read_chunk *chunk, const uint8_t *reply,
                                    size_t len, struct read_result *ret, struct err *err)
{
    if (len == 0) {
        char text[ADDRESS_TEXT];
        address_checksum(&chunk->shape->multicall, text);
        err_set(err, ERR_FAILED, "no Multicall3 at %s in this block", text);
        return err_hint(err, "set chain.multicall to where Multicall3 is deployed on this chain");
    }
    size_t n = reader_multicall3_call_count(chunk);
    struct result3 *results = mem_alloc(n * sizeof *results);
    struct err why;
    int rc = 0;
    ret->misplaced = aggregate3_decode(reply, len, results, n, &why) < 0;
    if (!ret->misplaced)
        rc = reader_multicall3_decode_results(chunk, results, n, ret, err);
    mem_free(results);
    return rc;
}

const struct reader reader_multicall3 = {
    .name = "multicall3",
    .kind = READER_MULTICALL3,
    .method = "eth_call",
    .first_guess = 200,
    .most = 4000,
    .encode = reader_multicall3_encode,
    .decode = reader_multicall3_decode,
};
