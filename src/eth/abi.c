#include "eth/abi.h"

#include <string.h>

enum { WORD = 32 };

static bool abi_all_zero(const uint8_t *bytes, size_t n)
{
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++)
        any |= bytes[i];
    return any == 0;
}

void abi_put_u64(uint8_t word[WORD], uint64_t v)
{
    memset(word, 0, WORD);
    for (int i = 0; i < 8; i++)
        word[WORD - 1 - i] = (uint8_t)(v >> (8 * i));
}

void abi_put_address(uint8_t word[WORD], const address *a)
{
    memset(word, 0, WORD);
    memcpy(word + WORD - sizeof a->b, a->b, sizeof a->b);
}

bool abi_get_u64(const uint8_t word[WORD], uint64_t *ret)
{
    if (!abi_all_zero(word, WORD - 8))
        return false;
    uint64_t v = 0;
    for (int i = WORD - 8; i < WORD; i++)
        v = v << 8 | word[i];
    *ret = v;
    return true;
}

bool abi_get_address(const uint8_t word[WORD], address *ret)
{
    if (!abi_all_zero(word, WORD - sizeof ret->b))
        return false;
    memcpy(ret->b, word + WORD - sizeof ret->b, sizeof ret->b);
    return true;
}

void abi_encode_view(const uint8_t selector[4], const address *wallet, uint8_t ret[ABI_VIEW_CALL])
{
    memcpy(ret, selector, 4);
    abi_put_address(ret + 4, wallet);
}

bool abi_decode_addresses(const uint8_t *data, size_t n, size_t max,
                          bool (*visit)(void *ctx, const address *a), void *ctx)
{
    uint64_t offset, count;
    address a;
    if (n < 2 * WORD || !abi_get_u64(data, &offset) || offset > n - WORD ||
        !abi_get_u64(data + offset, &count))
        return false;
    const uint8_t *list = data + offset + WORD;
    if (count > max || count > (n - WORD - offset) / WORD)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!abi_get_address(list + i * WORD, &a))
            return false;
    for (size_t i = 0; i < count; i++) {
        abi_get_address(list + i * WORD, &a);
        if (!visit(ctx, &a))
            break;
    }
    return true;
}
