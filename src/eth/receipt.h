/*
 * Transaction receipts as the receiptsRoot of their block's header commits to them.
 *
 * A root holds of each receipt its type, its status (or state root, before Byzantium), the gas used
 * so far, the bloom, and of each log its contract, topics and data. The bloom is computed from the
 * logs, never taken from the answer. What else an answer says (logIndex, blockHash,
 * transactionHash) is in no root, so nothing here reads it.
 *
 * Two chains differ. On the OP stack a deposit (0x7e) also has its nonce and version in the root,
 * where the version is there (since Canyon). Polygon appends a receipt for its state sync to the
 * answer that is not in the root.
 */
#ifndef ETH_RECEIPT_H
#define ETH_RECEIPT_H

#include "eth/event.h"

enum { RECEIPT_DEPOSIT = 0x7e };

struct receipt {
    uint8_t type;   /* 0: without a type byte */
    bool has_state; /* before Byzantium: a state root, and no status */
    bool has_version;
    bool failed; /* the status is 0 */
    hash32 state;
    uint64_t gas; /* cumulativeGasUsed */
    uint64_t deposit_nonce, deposit_version;
    hash32 transaction;           /* tells a state sync by its hash; it is not in the root */
    const struct event_log *logs; /* their contract, topics and data */
    size_t n_logs;
};

/* The root of the receipts of one block, in the order of its transactions. */
void receipts_root(const struct receipt *list, size_t n, hash32 *ret);

/* Is it the receipt of the state sync that a Polygon block of this number and hash may end with? */
bool receipt_is_state_sync(const struct receipt *r, uint64_t number, const hash32 *block);

#endif
