#include "eth/rlp.h"
#include "base/buf.h"

#include <string.h>

enum {
    RLP_STRING = 0x80,
    RLP_LIST = 0xc0,
    RLP_SHORT_MAX = 55, /* longer bodies have the length of their length in the prefix */
    RLP_LONG = RLP_SHORT_MAX,
    RLP_U64_MAX = 8,
    RLP_PREFIX_ROOM = 1 + RLP_U64_MAX,
};

/* ---- writing --------------------------------------------------------------------------------- */

/* The significant bytes of v, from the first; 0 for zero. */
static size_t rlp_put_digits(uint8_t to[RLP_U64_MAX], uint64_t v)
{
    size_t n = 0;
    for (int shift = 56; shift >= 0; shift -= 8)
        if (n > 0 || v >> shift)
            to[n++] = (uint8_t)(v >> shift);
    return n;
}

static size_t rlp_put_prefix(uint8_t to[RLP_PREFIX_ROOM], uint8_t kind, size_t n)
{
    if (n <= RLP_SHORT_MAX) {
        to[0] = (uint8_t)(kind + n);
        return 1;
    }
    size_t digits = rlp_put_digits(to + 1, n);
    to[0] = (uint8_t)(kind + RLP_LONG + digits);
    return 1 + digits;
}

void rlp_add_bytes(struct buf *out, const void *bytes, size_t n)
{
    const uint8_t *b = bytes;
    uint8_t prefix[RLP_PREFIX_ROOM];
    if (n != 1 || b[0] >= RLP_STRING)
        buf_add(out, prefix, rlp_put_prefix(prefix, RLP_STRING, n));
    if (n > 0)
        buf_add(out, b, n);
}

size_t rlp_put_u64(uint8_t to[RLP_U64_ROOM], uint64_t v)
{
    size_t n = rlp_put_digits(to + 1, v);
    to[0] = (uint8_t)(RLP_STRING + n);
    if (n != 1 || to[1] >= RLP_STRING)
        return 1 + n;
    to[0] = to[1];
    return 1;
}

void rlp_add_u64(struct buf *out, uint64_t v)
{
    uint8_t bytes[RLP_U64_ROOM];
    buf_add(out, bytes, rlp_put_u64(bytes, v));
}

size_t rlp_begin(struct buf *out)
{
    return out->len;
}

void rlp_end(struct buf *out, size_t at)
{
    uint8_t prefix[RLP_PREFIX_ROOM];
    size_t n = out->len - at, more = rlp_put_prefix(prefix, RLP_LIST, n);
    if (!buf_reserve(out, more))
        return;
    memmove(out->data + at + more, out->data + at, n);
    memcpy(out->data + at, prefix, more);
    out->len += more;
    out->data[out->len] = '\0';
}

/* ---- reading --------------------------------------------------------------------------------- */

/* A long length: no leading zero, and no length that would have been short. */
static bool rlp_take_length(struct rlp_bytes *in, size_t digits, size_t *ret)
{
    uint64_t n = 0;
    if (digits > in->n || in->at[0] == 0)
        return false;
    for (size_t i = 0; i < digits; i++)
        n = n << 8 | in->at[i];
    in->at += digits;
    in->n -= digits;
    *ret = n;
    return n > RLP_SHORT_MAX;
}

/* The item at the front of *in, which moves behind it. False where there is none in canonical form
 * that ends inside. */
static bool rlp_take(struct rlp_bytes *in, struct rlp_item *ret)
{
    struct rlp_bytes left = *in;
    if (left.n == 0)
        return false;
    uint8_t first = left.at[0];
    bool is_list = first >= RLP_LIST;
    size_t n = 1;
    if (first >= RLP_STRING) {
        n = (size_t)first - (is_list ? RLP_LIST : RLP_STRING);
        left.at++;
        left.n--;
        if (n > RLP_SHORT_MAX && !rlp_take_length(&left, n - RLP_LONG, &n))
            return false;
        if (n > left.n || (first == RLP_STRING + 1 && left.at[0] < RLP_STRING))
            return false;
    }
    *ret = (struct rlp_item){.is_list = is_list,
                             .body = {left.at, n},
                             .whole = {in->at, (size_t)(left.at - in->at) + n}};
    *in = (struct rlp_bytes){left.at + n, left.n - n};
    return true;
}

bool rlp_read(struct rlp_bytes in, struct rlp_item *ret)
{
    return rlp_take(&in, ret) && in.n == 0;
}

bool rlp_get_u256(const struct rlp_item *item, u256 *ret)
{
    const struct rlp_bytes *b = &item->body;
    uint8_t word[32] = {0};
    if (item->is_list || b->n > sizeof word || (b->n > 0 && b->at[0] == 0))
        return false;
    if (b->n > 0)
        memcpy(word + sizeof word - b->n, b->at, b->n);
    u256_from_be32(ret, word);
    return true;
}

bool rlp_get_u64(const struct rlp_item *item, uint64_t *ret)
{
    u256 v;
    if (item->body.n > RLP_U64_MAX || !rlp_get_u256(item, &v))
        return false;
    *ret = v.limb[0];
    return true;
}

bool rlp_get_fixed(const struct rlp_item *item, void *ret, size_t n)
{
    if (item->is_list || item->body.n != n)
        return false;
    memcpy(ret, item->body.at, n);
    return true;
}

size_t rlp_read_list(struct rlp_bytes in, struct rlp_item *items, size_t room)
{
    struct rlp_item list;
    size_t n = 0;
    if (!rlp_read(in, &list) || !list.is_list)
        return 0;
    for (struct rlp_bytes left = list.body; left.n > 0; n++)
        if (n == room || !rlp_take(&left, &items[n]))
            return 0;
    return n;
}
