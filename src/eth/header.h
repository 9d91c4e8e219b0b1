/*
 * A whole block header, as its hash commits to it: the fields of the JSON are written as RLP, the
 * hash is computed from that, and the values are read back from the same bytes. So no value of an
 * answer is believed beside the hash.
 *
 * The 15 fields of Frontier come first. Each fork since then has added a group behind them, and a
 * group is there while its first field is: London, Shanghai, Cancun, Prague, Amsterdam.
 */
#ifndef ETH_HEADER_H
#define ETH_HEADER_H

#include "eth/block.h"
#include "eth/rlp.h"

struct buf;
struct err;
struct json;

enum { HEADER_RLP_MAX = 128 * 1024 }; /* a consortium's extraData holds its validators */

/* The RLP of the header in a result of eth_getBlockByNumber/Hash, appended to an empty buffer of at
 * least HEADER_RLP_MAX. Missing and malformed fields are errors that name the field. */
int header_encode(const struct json *block, struct buf *out, struct err *err);

struct full_header {
    struct anchor at; /* the hash is computed */
    hash32 state_root, receipts_root;
    struct bloom logs;
    /* What a view may ask of its block. */
    address miner;
    hash32 mix_hash; /* prevRandao since Paris */
    uint64_t gas_limit;
    u256 difficulty;
    u256 base_fee;            /* 0 before London */
    uint64_t excess_blob_gas; /* 0 before Cancun */
};

/* From the RLP of header_encode(), or from a file. */
int header_decode(struct rlp_bytes rlp, struct full_header *ret, struct err *err);

#endif
