/*
 * Readings that follow from a block's hash by recomputation. The header hashes to the block's hash,
 * accounts and storage hash to the header's state root, code hashes to its account's code hash, and
 * the views run here (eth/evm.h). What a view needs and is not there yet is asked for by
 * eth_getProof and eth_getCode, and the view runs again: a round. No value of an answer is taken
 * beside its proof.
 */
#ifndef READ_PROVER_H
#define READ_PROVER_H

#include "read/reader.h"
#include "rpc/rpc.h"

struct prover;

/* Fetches and proves the header of block `number`. */
int prover_open(struct rpc *n, uint64_t number, uint64_t chain_id, struct prover **ret,
                struct err *err);
void prover_close(struct prover *p);
/* The proven block. */
const struct anchor *prover_at(const struct prover *p);

/* Every reading is set. READ_UNPROVEN: the view does what cannot be proven, `why` says what, as
 * long as the prover is open. An error where what the endpoints gave proves nothing. */
int prover_read(struct prover *p, const struct read_shape *shape, const address *wallets, size_t n,
                struct reading *ret, struct err *err);

/* What it took so far. */
struct prover_cost {
    size_t requests, rounds;
    uint64_t bytes_in;
};
struct prover_cost prover_cost(const struct prover *p);

#endif
