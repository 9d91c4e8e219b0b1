/*
 * Keccak-256 with the original padding (first pad byte 0x01), as Ethereum uses it. It is SHA3-256
 * (FIPS 202) but for that byte, which is how the tests check it against OpenSSL.
 */
#ifndef ETH_KECCAK_H
#define ETH_KECCAK_H

#include "eth/address.h"

#include <stddef.h>
#include <stdint.h>

void keccak256(const void *data, size_t n, hash32 *ret);

#endif
