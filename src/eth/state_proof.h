/*
 * The result of eth_getProof, as far as it is a proof: the nodes of the account and of each slot.
 * Its values (balance, nonce, codeHash, storageHash, value) are not read: they follow from the
 * nodes, or from nothing.
 */
#ifndef ETH_STATE_PROOF_H
#define ETH_STATE_PROOF_H

#include "eth/trie.h"

struct arena;
struct json;

struct state_proof {
    struct trie_proof account;
    struct trie_proof *slots; /* in the order in which they were asked for */
    size_t n_slots;
};

/* All of it is in the arena. An error where it is no such result, has other than n_slots proofs of
 * slots, or a node over TRIE_NODE_MAX. */
int state_proof_from_json(const struct json *result, size_t n_slots, struct arena *arena,
                          struct state_proof *ret, struct err *err);

#endif
