/* Schoolbook products and Knuth's algorithm D (TAOCP 2, 4.3.1) on 64-bit limbs. */
#include "num/u256_math.h"

#include <string.h>

typedef unsigned __int128 u128;

enum { LIMBS = 4, WIDE = 8, BITS = 64 };

static void u256_mul_wide(uint64_t ret[WIDE], const u256 *a, const u256 *b)
{
    uint64_t product[WIDE] = {0};
    for (int i = 0; i < LIMBS; i++) {
        uint64_t carry = 0;
        for (int k = 0; k < LIMBS; k++) {
            u128 part = (u128)a->limb[i] * b->limb[k] + product[i + k] + carry;
            product[i + k] = (uint64_t)part;
            carry = (uint64_t)(part >> BITS);
        }
        product[i + LIMBS] = carry;
    }
    memcpy(ret, product, sizeof product);
}

void u256_mul(u256 *ret, const u256 *a, const u256 *b)
{
    uint64_t product[WIDE];
    u256_mul_wide(product, a, b);
    memcpy(ret->limb, product, sizeof ret->limb);
}

/* ---- division -------------------------------------------------------------------------------- */

/* to[0 … n) = from << shift, shift below 64; returns what ran over. */
static uint64_t limbs_shift_left(uint64_t *to, const uint64_t *from, int n, unsigned shift)
{
    uint64_t over = 0;
    for (int i = 0; i < n; i++) {
        u128 part = (u128)from[i] << shift;
        to[i] = (uint64_t)part | over;
        over = (uint64_t)(part >> BITS);
    }
    return over;
}

/* One digit of the quotient, from the upper three limbs of the rest and two of the divisor: at most
 * one too large. */
static uint64_t limbs_guess_digit(const uint64_t *top, const uint64_t *divisor, int n)
{
    uint64_t high = divisor[n - 1], next = divisor[n - 2];
    u128 rest = (u128)top[0] << BITS | top[-1];
    u128 digit = top[0] >= high ? UINT64_MAX : rest / high;
    u128 left = rest - digit * high;
    while (left >> BITS == 0 && digit * next > (left << BITS | top[-2])) {
        digit--;
        left += high;
    }
    return (uint64_t)digit;
}

/* rest[0 … n] -= digit * divisor[0 … n); true if that went below zero. */
static bool limbs_subtract_product(uint64_t *rest, const uint64_t *divisor, int n, uint64_t digit)
{
    uint64_t carry = 0, borrow = 0;
    for (int i = 0; i <= n; i++) {
        u128 product = (u128)digit * (i < n ? divisor[i] : 0) + carry;
        carry = (uint64_t)(product >> BITS);
        u128 difference = (u128)rest[i] - (uint64_t)product - borrow;
        rest[i] = (uint64_t)difference;
        borrow = (uint64_t)(difference >> BITS) & 1;
    }
    return borrow != 0;
}

static void limbs_add_back(uint64_t *rest, const uint64_t *divisor, int n)
{
    u128 carry = 0;
    for (int i = 0; i <= n; i++) {
        u128 sum = (u128)rest[i] + (i < n ? divisor[i] : 0) + carry;
        rest[i] = (uint64_t)sum;
        carry = sum >> BITS;
    }
}

static uint64_t limbs_divide_by_one(const uint64_t a[WIDE], uint64_t d, uint64_t quotient[WIDE])
{
    u128 rest = 0;
    for (int i = WIDE - 1; i >= 0; i--) {
        u128 part = rest << BITS | a[i];
        quotient[i] = (uint64_t)(part / d);
        rest = part % d;
    }
    return (uint64_t)rest;
}

/* a = quotient * d + rest, d not zero. The upper half of the quotient counts for nobody. */
static void limbs_divide(const uint64_t a[WIDE], const u256 *d, uint64_t quotient[WIDE], u256 *rest)
{
    uint64_t dividend[WIDE + 1], divisor[LIMBS];
    int n = (int)(u256_bits(d) + BITS - 1) / BITS;
    memset(quotient, 0, WIDE * sizeof *quotient);
    if (n == 1) {
        *rest = u256_of(limbs_divide_by_one(a, d->limb[0], quotient));
        return;
    }
    unsigned shift = (unsigned)__builtin_clzll(d->limb[n - 1]);
    limbs_shift_left(divisor, d->limb, n, shift);
    dividend[WIDE] = limbs_shift_left(dividend, a, WIDE, shift);
    for (int i = WIDE - n; i >= 0; i--) {
        uint64_t digit = limbs_guess_digit(&dividend[i + n], divisor, n);
        if (limbs_subtract_product(&dividend[i], divisor, n, digit)) {
            limbs_add_back(&dividend[i], divisor, n);
            digit--;
        }
        quotient[i] = digit;
    }
    *rest = U256_ZERO;
    for (int i = 0; i < n; i++)
        rest->limb[i] = (uint64_t)(((u128)dividend[i + 1] << BITS | dividend[i]) >> shift);
}

static void u256_divide(const u256 *a, const u256 *b, u256 *quotient, u256 *rest)
{
    uint64_t wide[WIDE] = {a->limb[0], a->limb[1], a->limb[2], a->limb[3]}, result[WIDE] = {0};
    *rest = U256_ZERO;
    if (!u256_is_zero(b))
        limbs_divide(wide, b, result, rest);
    memcpy(quotient->limb, result, sizeof quotient->limb);
}

void u256_div(u256 *ret, const u256 *a, const u256 *b)
{
    u256 quotient, rest;
    u256_divide(a, b, &quotient, &rest);
    *ret = quotient;
}

void u256_mod(u256 *ret, const u256 *a, const u256 *b)
{
    u256 quotient, rest;
    u256_divide(a, b, &quotient, &rest);
    *ret = rest;
}

/* ---- signed forms ---------------------------------------------------------------------------- */

static bool u256_is_negative(const u256 *v)
{
    return v->limb[LIMBS - 1] >> (BITS - 1);
}

static u256 u256_negate(const u256 *v)
{
    u256 ret;
    u256_sub(&ret, &U256_ZERO, v);
    return ret;
}

static u256 u256_magnitude(const u256 *v)
{
    return u256_is_negative(v) ? u256_negate(v) : *v;
}

void u256_sdiv(u256 *ret, const u256 *a, const u256 *b)
{
    bool negative = u256_is_negative(a) != u256_is_negative(b);
    u256 x = u256_magnitude(a), y = u256_magnitude(b);
    u256_div(&x, &x, &y);
    *ret = negative ? u256_negate(&x) : x;
}

void u256_smod(u256 *ret, const u256 *a, const u256 *b)
{
    bool negative = u256_is_negative(a);
    u256 x = u256_magnitude(a), y = u256_magnitude(b);
    u256_mod(&x, &x, &y);
    *ret = negative ? u256_negate(&x) : x;
}

bool u256_less_signed(const u256 *a, const u256 *b)
{
    if (u256_is_negative(a) != u256_is_negative(b))
        return u256_is_negative(a);
    return u256_compare(a, b) < 0;
}

/* ---- modular --------------------------------------------------------------------------------- */

static void u256_mod_wide(u256 *ret, const uint64_t a[WIDE], const u256 *m)
{
    uint64_t quotient[WIDE];
    u256 rest = U256_ZERO;
    if (!u256_is_zero(m))
        limbs_divide(a, m, quotient, &rest);
    *ret = rest;
}

void u256_addmod(u256 *ret, const u256 *a, const u256 *b, const u256 *m)
{
    u256 sum;
    uint64_t wide[WIDE] = {0};
    wide[LIMBS] = u256_add(&sum, a, b);
    memcpy(wide, sum.limb, sizeof sum.limb);
    u256_mod_wide(ret, wide, m);
}

void u256_mulmod(u256 *ret, const u256 *a, const u256 *b, const u256 *m)
{
    uint64_t wide[WIDE];
    u256_mul_wide(wide, a, b);
    u256_mod_wide(ret, wide, m);
}

void u256_exp(u256 *ret, const u256 *base, const u256 *exponent)
{
    u256 result = u256_of(1), power = *base, left = *exponent;
    for (unsigned bits = u256_bits(&left), i = 0; i < bits; i++) {
        if (left.limb[i / BITS] >> (i % BITS) & 1)
            u256_mul(&result, &result, &power);
        u256_mul(&power, &power, &power);
    }
    *ret = result;
}

/* ---- bits ------------------------------------------------------------------------------------ */

unsigned u256_bits(const u256 *v)
{
    for (int i = LIMBS - 1; i >= 0; i--)
        if (v->limb[i])
            return (unsigned)(i + 1) * BITS - (unsigned)__builtin_clzll(v->limb[i]);
    return 0;
}

bool u256_get_u64(const u256 *v, uint64_t *ret)
{
    *ret = v->limb[0];
    return (v->limb[1] | v->limb[2] | v->limb[3]) == 0;
}

void u256_not(u256 *ret, const u256 *v)
{
    for (int i = 0; i < LIMBS; i++)
        ret->limb[i] = ~v->limb[i];
}

/* Bits to shift by: at most 256, which leaves nothing. */
static unsigned u256_shift_count(const u256 *by)
{
    uint64_t n;
    return u256_get_u64(by, &n) && n < LIMBS * BITS ? (unsigned)n : LIMBS * BITS;
}

void u256_shl(u256 *ret, const u256 *by, const u256 *v)
{
    unsigned count = u256_shift_count(by), limbs = count / BITS, bits = count % BITS;
    u256 shifted = U256_ZERO;
    for (unsigned i = limbs; i < LIMBS; i++) {
        uint64_t below = i > limbs ? v->limb[i - limbs - 1] : 0;
        shifted.limb[i] = (uint64_t)((((u128)v->limb[i - limbs] << BITS | below) << bits) >> BITS);
    }
    *ret = shifted;
}

/* What moves in from above is `fill`: 0, or all ones. */
static void u256_shift_right(u256 *ret, unsigned count, const u256 *v, uint64_t fill)
{
    unsigned limbs = count / BITS, bits = count % BITS;
    u256 shifted;
    for (unsigned i = 0; i < LIMBS; i++) {
        uint64_t low = i + limbs < LIMBS ? v->limb[i + limbs] : fill;
        uint64_t high = i + limbs + 1 < LIMBS ? v->limb[i + limbs + 1] : fill;
        shifted.limb[i] = (uint64_t)(((u128)high << BITS | low) >> bits);
    }
    *ret = shifted;
}

void u256_shr(u256 *ret, const u256 *by, const u256 *v)
{
    u256_shift_right(ret, u256_shift_count(by), v, 0);
}

void u256_sar(u256 *ret, const u256 *by, const u256 *v)
{
    u256_shift_right(ret, u256_shift_count(by), v, u256_is_negative(v) ? UINT64_MAX : 0);
}

void u256_byte(u256 *ret, const u256 *index, const u256 *v)
{
    uint64_t i;
    if (!u256_get_u64(index, &i) || i > 31)
        *ret = U256_ZERO;
    else
        *ret = u256_of(v->limb[3 - i / 8] >> (56 - i % 8 * 8) & 0xff);
}

void u256_signextend(u256 *ret, const u256 *index, const u256 *v)
{
    uint64_t i;
    u256 moved = *v;
    if (u256_get_u64(index, &i) && i < 31) {
        u256 by = u256_of(248 - i * 8);
        u256_shl(&moved, &by, v);
        u256_sar(&moved, &by, &moved);
    }
    *ret = moved;
}

void u256_to_be32(const u256 *v, uint8_t ret[32])
{
    for (int i = 0; i < 32; i++)
        ret[i] = (uint8_t)(v->limb[3 - i / 8] >> (56 - i % 8 * 8));
}
