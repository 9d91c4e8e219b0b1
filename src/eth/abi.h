/* The little of the ABI that reading needs. Every offset and length of a reply is checked against
 * the buffer in 256-bit-safe fashion: replies come from strangers. */
#ifndef ETH_ABI_H
#define ETH_ABI_H

#include "eth/address.h"
#include "num/u256.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ABI_VIEW_CALL = 4 + 32 };

/* selector(address): 36 bytes. */
void abi_encode_view(const uint8_t selector[4], const address *wallet, uint8_t ret[ABI_VIEW_CALL]);
void abi_put_u64(uint8_t word[32], uint64_t v);
void abi_put_address(uint8_t word[32], const address *a);
/* False if the word does not fit 64 bits / has a byte set above the address. */
bool abi_get_u64(const uint8_t word[32], uint64_t *ret);
bool abi_get_address(const uint8_t word[32], address *ret);

/* Decodes a sole `address[]` return value: visit is called per address and may stop the walk by
 * returning false. False when the data is malformed or the list is longer than max, in which case
 * nothing was visited. */
bool abi_decode_addresses(const uint8_t *data, size_t n, size_t max,
                          bool (*visit)(void *ctx, const address *a), void *ctx);

#endif
