/* SHA-256 (FIPS 180-4), for the precompile at address 2. */
#ifndef ETH_SHA256_H
#define ETH_SHA256_H

#include "eth/address.h"

void sha256(const void *data, size_t n, hash32 *ret);

#endif
