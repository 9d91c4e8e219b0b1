#include "eth/receipt.h"
#include "base/buf.h"
#include "base/mem.h"
#include "eth/block.h"
#include "eth/keccak.h"
#include "eth/rlp.h"
#include "eth/trie.h"

#include <string.h>

/* What a receipt's RLP has beside its logs, and a log's beside its data, generously. */
enum { RECEIPT_ROOM = 512, RECEIPT_LOG_ROOM = 256 };

static void receipt_add_log(struct buf *out, const struct event_log *log)
{
    size_t at = rlp_begin(out);
    rlp_add_bytes(out, log->contract.b, sizeof log->contract.b);
    size_t topics = rlp_begin(out);
    for (int i = 0; i < log->n_topics; i++)
        rlp_add_bytes(out, log->topics[i].b, sizeof log->topics[i].b);
    rlp_end(out, topics);
    rlp_add_bytes(out, log->data, log->data_len);
    rlp_end(out, at);
}

static void receipt_add_to_bloom(struct bloom *bloom, const struct event_log *log)
{
    bloom_add(bloom, log->contract.b, sizeof log->contract.b);
    for (int i = 0; i < log->n_topics; i++)
        bloom_add(bloom, log->topics[i].b, sizeof log->topics[i].b);
}

static void receipt_add_logs(struct buf *out, const struct receipt *r)
{
    struct bloom bloom = {0};
    for (size_t i = 0; i < r->n_logs; i++)
        receipt_add_to_bloom(&bloom, &r->logs[i]);
    rlp_add_bytes(out, bloom.b, sizeof bloom.b);
    size_t at = rlp_begin(out);
    for (size_t i = 0; i < r->n_logs; i++)
        receipt_add_log(out, &r->logs[i]);
    rlp_end(out, at);
}

static void receipt_encode(struct buf *out, const struct receipt *r)
{
    if (r->type != 0)
        buf_addc(out, (char)r->type);
    size_t at = rlp_begin(out);
    if (r->has_state)
        rlp_add_bytes(out, r->state.b, sizeof r->state.b);
    else
        rlp_add_u64(out, r->failed ? 0 : 1);
    rlp_add_u64(out, r->gas);
    receipt_add_logs(out, r);
    if (r->type == RECEIPT_DEPOSIT && r->has_version) {
        rlp_add_u64(out, r->deposit_nonce);
        rlp_add_u64(out, r->deposit_version);
    }
    rlp_end(out, at);
}

static size_t receipts_room(const struct receipt *list, size_t n)
{
    size_t room = n * RECEIPT_ROOM;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < list[i].n_logs; k++)
            room += RECEIPT_LOG_ROOM + list[i].logs[k].data_len;
    return room;
}

void receipts_root(const struct receipt *list, size_t n, hash32 *ret)
{
    struct buf out = BUF_INIT(receipts_room(list, n));
    struct rlp_bytes *items = mem_zero(n + 1, sizeof *items);
    for (size_t i = 0; i < n; i++) {
        size_t at = out.len;
        receipt_encode(&out, &list[i]);
        items[i].n = out.len - at;
    }
    const uint8_t *at = (const uint8_t *)out.data; /* which has moved meanwhile */
    for (size_t i = 0; i < n; at += items[i++].n)
        items[i].at = at;
    trie_root_of_list(items, n, ret);
    mem_free(items);
    buf_free(&out);
}

bool receipt_is_state_sync(const struct receipt *r, uint64_t number, const hash32 *block)
{
    static const char begins[] = "matic-bor-receipt-";
    uint8_t key[sizeof begins - 1 + 8 + sizeof block->b];
    hash32 h;
    memcpy(key, begins, sizeof begins - 1);
    for (int i = 0; i < 8; i++)
        key[sizeof begins - 1 + i] = (uint8_t)(number >> (56 - 8 * i));
    memcpy(key + sizeof begins - 1 + 8, block->b, sizeof block->b);
    keccak256(key, sizeof key, &h);
    return hash_equal(&h, &r->transaction);
}
