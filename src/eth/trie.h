/*
 * Merkle-Patricia tries (yellow paper, appendix D): the root of a list, and proofs of one key.
 *
 * A proof is the list of nodes from the root to where the key's path ends, as eth_getProof gives
 * it: hashed nodes only, a node below 32 bytes stands inside its parent. Every node is hashed and
 * compared with the reference above it, the first one with the root. The value is the leaf's, no
 * field of an answer is believed. Absence is proven only where the path parts from the key:
 * an empty place in a branch, or a leaf or extension of another path. Nodes left over refuse the
 * proof, and so does RLP that is not canonical.
 */
#ifndef ETH_TRIE_H
#define ETH_TRIE_H

#include "eth/address.h"
#include "eth/rlp.h"
#include "num/u256.h"

struct err;

enum {
    TRIE_NODE_MAX = 2048, /* bytes of one proof node: a branch has 532, an account's leaf 150 */
    TRIE_NODES_MAX = 65,  /* nodes of one proof: 64 nibbles and the last leaf */
};

/* The root of a list whose item i stands under the key rlp(i): receiptsRoot, transactionsRoot. */
void trie_root_of_list(const struct rlp_bytes *items, size_t n, hash32 *ret);

/* The nodes of one proof, first the root's. */
struct trie_proof {
    const struct rlp_bytes *nodes;
    size_t n;
};

struct trie_account {
    bool exists; /* false: absence is proven, and the rest is that of an empty account */
    uint64_t nonce;
    u256 balance;
    hash32 storage_root, code_hash;
};

/* The account at a state root: the key is keccak256(address). 0 with *ret set, presence and absence
 * alike; −1 with err where the proof proves neither. */
int trie_prove_account(const hash32 *state_root, const address *account,
                       const struct trie_proof *proof, struct trie_account *ret, struct err *err);

/* The word in a slot at an account's proven storage root: the key is keccak256(slot). A slot whose
 * absence is proven is zero. An empty proof proves only
 * against the root of an empty trie. */
int trie_prove_slot(const hash32 *storage_root, const hash32 *slot, const struct trie_proof *proof,
                    u256 *ret, struct err *err);

#endif
