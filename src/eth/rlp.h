/*
 * Recursive length prefix (yellow paper, appendix B). Only canonical forms are read: the shortest
 * length, no single byte below 0x80 behind a prefix, no bytes left over. Two texts of one value
 * would have two hashes, so a form that no client writes is a forgery or a fault.
 */
#ifndef ETH_RLP_H
#define ETH_RLP_H

#include "num/u256.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

/* Bytes that belong to another: the decoder points into its input. */
struct rlp_bytes {
    const uint8_t *at;
    size_t n;
};

/* ---- writing --------------------------------------------------------------------------------- */

enum { RLP_U64_ROOM = 9 };

void rlp_add_bytes(struct buf *out, const void *bytes, size_t n);
/* A number: without leading zeros, and 0 is the empty string. */
void rlp_add_u64(struct buf *out, uint64_t v);
/* The same into memory of the caller's; returns the bytes written. */
size_t rlp_put_u64(uint8_t to[RLP_U64_ROOM], uint64_t v);
/* A list is written behind its start and gets its prefix at the end:
 * size_t at = rlp_begin(out); …; rlp_end(out, at). */
size_t rlp_begin(struct buf *out);
void rlp_end(struct buf *out, size_t at);

/* ---- reading --------------------------------------------------------------------------------- */

struct rlp_item {
    bool is_list;
    struct rlp_bytes body;  /* without its prefix */
    struct rlp_bytes whole; /* with it */
};

/* The sole item of these bytes. */
bool rlp_read(struct rlp_bytes in, struct rlp_item *ret);
/* How many items the sole list of these bytes has: at least one, at most `room`. 0 where it is
 * another thing. */
size_t rlp_read_list(struct rlp_bytes in, struct rlp_item *items, size_t room);
/* Numbers have no leading zeros. */
bool rlp_get_u64(const struct rlp_item *item, uint64_t *ret);
bool rlp_get_u256(const struct rlp_item *item, u256 *ret);
/* Exactly n bytes: a hash, an address. */
bool rlp_get_fixed(const struct rlp_item *item, void *ret, size_t n);

#endif
