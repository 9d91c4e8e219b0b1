/*
 * The rest of the arithmetic of 256-bit words, with the results that the EVM defines (yellow paper,
 * appendix H): modulo 2^256, a division by zero gives zero, signed forms are two's complement. ret
 * may alias every operand.
 */
#ifndef NUM_U256_MATH_H
#define NUM_U256_MATH_H

#include "num/u256.h"

void u256_mul(u256 *ret, const u256 *a, const u256 *b);
void u256_div(u256 *ret, const u256 *a, const u256 *b);
void u256_mod(u256 *ret, const u256 *a, const u256 *b);
void u256_sdiv(u256 *ret, const u256 *a, const u256 *b);
void u256_smod(u256 *ret, const u256 *a, const u256 *b); /* the sign is that of a */
/* With the whole sum or product between: 257 and 512 bits. */
void u256_addmod(u256 *ret, const u256 *a, const u256 *b, const u256 *m);
void u256_mulmod(u256 *ret, const u256 *a, const u256 *b, const u256 *m);
void u256_exp(u256 *ret, const u256 *base, const u256 *exponent);

/* Byte `index`, counted from the lowest, is the highest of a signed number. From 31 on: v. */
void u256_signextend(u256 *ret, const u256 *index, const u256 *v);
/* Byte `index`, counted from the highest. From 32 on: 0. */
void u256_byte(u256 *ret, const u256 *index, const u256 *v);
void u256_shl(u256 *ret, const u256 *by, const u256 *v);
void u256_shr(u256 *ret, const u256 *by, const u256 *v);
void u256_sar(u256 *ret, const u256 *by, const u256 *v); /* the sign moves in */
void u256_not(u256 *ret, const u256 *v);
unsigned u256_bits(const u256 *v); /* of the number without leading zeros; 0 for 0 */
bool u256_less_signed(const u256 *a, const u256 *b);
/* False: it does not fit. */
bool u256_get_u64(const u256 *v, uint64_t *ret);
void u256_to_be32(const u256 *v, uint8_t ret[32]);

#endif
