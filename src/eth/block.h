/* Block headers as far as we need them. An anchor is what a read must prove. */
#ifndef ETH_BLOCK_H
#define ETH_BLOCK_H

#include "eth/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json;
struct err;

struct anchor {
    uint64_t number;
    hash32 hash;
    hash32 parent;
    uint64_t timestamp; /* seconds */
};

struct bloom {
    uint8_t b[256];
};

struct header {
    struct anchor at;
    struct bloom logs;
    bool has_bloom; /* false where the node left it out */
};

/* From the result of eth_getBlockByNumber/Hash. A null result is not an error here: *ret_found is
 * false. Missing or malformed fields are errors that name the field. */
int header_from_json(const struct json *result, struct header *ret, bool *ret_found,
                     struct err *err);

/* The address or a topic of a log, into the filter (yellow paper 4.3.1). */
void bloom_add(struct bloom *bloom, const void *key, size_t n);
/* May the block hold a log of this contract with this topic0? (yellow paper 4.3.1: three 11-bit
 * indices from keccak256 of each). Always true when the header has no bloom. */
bool header_may_hold(const struct header *h, const address *contract, const hash32 *topic);
/* May it hold a log of anything? Also true when the header has no bloom. */
bool header_may_hold_any(const struct header *h);

#endif
