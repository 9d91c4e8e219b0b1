/*
 * Unsigned 256-bit integers, as balances are.
 *
 * Invariant: limb[0] is the least significant. Addition returns its carry, because a sum that does
 * not fit is an error that somebody must see, never a wrapped number. No allocation, no state.
 */
#ifndef NUM_U256_H
#define NUM_U256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct u256 {
    uint64_t limb[4];
} u256;

#define U256_ZERO ((u256){{0, 0, 0, 0}})

enum {
    U256_DEC_MAX = 78,  /* digits of 2^256 − 1 */
    U256_DEC_ROOM = 79, /* with the NUL */
};

u256 u256_of(uint64_t v);
bool u256_is_zero(const u256 *a);
int u256_compare(const u256 *a, const u256 *b); /* −1, 0, 1 */
bool u256_equal(const u256 *a, const u256 *b);

/* ret = a + b mod 2^256; returns the carry out. ret may alias a or b. */
bool u256_add(u256 *ret, const u256 *a, const u256 *b);
/* ret = a − b mod 2^256; returns the borrow. ret may alias a or b. */
bool u256_sub(u256 *ret, const u256 *a, const u256 *b);
/* ret = a * m mod 2^256; returns the limb that overflowed (0 if the product fits). */
uint64_t u256_mul_u64(u256 *ret, const u256 *a, uint64_t m);
/* ret = a / d, d > 0; returns the remainder. */
uint64_t u256_div_u64(u256 *ret, const u256 *a, uint64_t d);

void u256_from_be32(u256 *ret, const uint8_t bytes[32]);

/* Decimal without leading zeros, NUL-terminated; returns the number of digits. */
size_t u256_to_dec(const u256 *a, char ret[U256_DEC_ROOM]);
/* Digits only, at least one, value below 2^256; leading zeros are accepted. */
bool u256_from_dec(const char *s, size_t n, u256 *ret);

#endif
