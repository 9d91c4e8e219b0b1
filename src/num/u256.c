/*
 * Schoolbook arithmetic on four 64-bit limbs with a 128-bit intermediate. Text conversion works in
 * words of nineteen decimal digits, the most that fit a limb: five divisions print any number,
 * where bit-by-bit division would need 256 steps a digit.
 */
#include "num/u256.h"
#include "base/parse.h"

#include <string.h>

typedef unsigned __int128 u128;

enum { LIMBS = 4, WORD_DIGITS = 19, WORDS_MAX = 5 };
#define WORD_BASE 10000000000000000000u /* 10^19 */

u256 u256_of(uint64_t v)
{
    return (u256){{v, 0, 0, 0}};
}

bool u256_is_zero(const u256 *a)
{
    return (a->limb[0] | a->limb[1] | a->limb[2] | a->limb[3]) == 0;
}

int u256_compare(const u256 *a, const u256 *b)
{
    for (int i = LIMBS - 1; i >= 0; i--)
        if (a->limb[i] != b->limb[i])
            return a->limb[i] < b->limb[i] ? -1 : 1;
    return 0;
}

bool u256_equal(const u256 *a, const u256 *b)
{
    return u256_compare(a, b) == 0;
}

bool u256_add(u256 *ret, const u256 *a, const u256 *b)
{
    u128 carry = 0;
    for (int i = 0; i < LIMBS; i++) {
        u128 sum = (u128)a->limb[i] + b->limb[i] + carry;
        ret->limb[i] = (uint64_t)sum;
        carry = sum >> 64;
    }
    return carry != 0;
}

bool u256_sub(u256 *ret, const u256 *a, const u256 *b)
{
    uint64_t borrow = 0;
    for (int i = 0; i < LIMBS; i++) {
        u128 difference = (u128)a->limb[i] - b->limb[i] - borrow;
        ret->limb[i] = (uint64_t)difference;
        borrow = (uint64_t)(difference >> 64) & 1;
    }
    return borrow != 0;
}

uint64_t u256_mul_u64(u256 *ret, const u256 *a, uint64_t m)
{
    u128 carry = 0;
    for (int i = 0; i < LIMBS; i++) {
        u128 product = (u128)a->limb[i] * m + carry;
        ret->limb[i] = (uint64_t)product;
        carry = product >> 64;
    }
    return (uint64_t)carry;
}

uint64_t u256_div_u64(u256 *ret, const u256 *a, uint64_t d)
{
    u128 rest = 0;
    for (int i = LIMBS - 1; i >= 0; i--) {
        u128 part = rest << 64 | a->limb[i];
        ret->limb[i] = (uint64_t)(part / d);
        rest = part % d;
    }
    return (uint64_t)rest;
}

void u256_from_be32(u256 *ret, const uint8_t bytes[32])
{
    for (int i = 0; i < LIMBS; i++) {
        uint64_t limb = 0;
        for (int k = 0; k < 8; k++)
            limb = limb << 8 | bytes[(LIMBS - 1 - i) * 8 + k];
        ret->limb[i] = limb;
    }
}

size_t u256_to_dec(const u256 *a, char ret[U256_DEC_ROOM])
{
    uint64_t words[WORDS_MAX];
    int n = 0;
    u256 left = *a;
    do
        words[n++] = u256_div_u64(&left, &left, WORD_BASE);
    while (!u256_is_zero(&left));

    char digits[WORDS_MAX * WORD_DIGITS];
    for (int i = 0; i < n; i++) {
        char *end = digits + (size_t)(n - i) * WORD_DIGITS;
        for (int k = 1; k <= WORD_DIGITS; k++, words[i] /= 10)
            end[-k] = (char)('0' + words[i] % 10);
    }
    size_t have = (size_t)n * WORD_DIGITS, zeros = 0;
    while (zeros + 1 < have && digits[zeros] == '0')
        zeros++;
    memcpy(ret, digits + zeros, have - zeros);
    ret[have - zeros] = '\0';
    return have - zeros;
}

bool u256_from_dec(const char *s, size_t n, u256 *ret)
{
    u256 v = U256_ZERO;
    if (n == 0)
        return false;
    while (n > 0) {
        size_t take = n < WORD_DIGITS ? n : WORD_DIGITS;
        uint64_t word, scale = 1;
        if (!parse_u64(s, take, &word))
            return false;
        for (size_t i = 0; i < take; i++)
            scale *= 10;
        u256 w = u256_of(word);
        if (u256_mul_u64(&v, &v, scale) != 0 || u256_add(&v, &v, &w))
            return false;
        s += take;
        n -= take;
    }
    *ret = v;
    return true;
}
