/*
 * One block, proven from its hash by recomputation. Three things can come out, and they mean
 * different things: proven; foreign, where what the endpoint says does not follow from the hash
 * (it is broken, or its chain hashes in another way); or it cannot be proven, because the
 * endpoint does not give what a proof needs. The last one says nothing against the endpoint.
 */
#ifndef READ_PROVE_H
#define READ_PROVE_H

#include "base/err.h"
#include "eth/header.h"
#include "rpc/rpc.h"

enum prove_outcome { PROVE_PROVEN, PROVE_FOREIGN, PROVE_CANNOT };

enum { PROVE_REPLY_MAX = 16 * 1024 * 1024 }; /* a block's receipts; mainnet's are 0.5 to 1 MB */

/* What is asked of one endpoint alone. */
struct prove_ask {
    struct rpc *rpc;
    struct endpoint *endpoint;
    int64_t deadline_ms; /* monotonic */
};

/* The header of a block: its hash, computed from its fields, is the one that the endpoint names.
 * *ret is set where it is proven. why is set where it is not. */
enum prove_outcome prove_header(const struct prove_ask *ask, uint64_t number,
                                struct full_header *ret, struct err *why);

/* The receipts of a block under its proven header: their root, computed from their logs, is the
 * header's. A state sync that Polygon keeps outside the root is left out, and counted. */
struct prove_receipts {
    size_t n_receipts, n_logs;
    bool left_out_sync;
};
enum prove_outcome prove_receipts(const struct prove_ask *ask, const struct full_header *h,
                                  struct prove_receipts *ret, struct err *why);

/* State at a block under its proven header: eth_getProof gives this contract and its first slot.
 * Presence and absence are both proven. */
enum prove_outcome prove_state(const struct prove_ask *ask, const struct full_header *h,
                               const address *contract, struct err *why);

#endif
