/* Proofs: nodes, each behind its length in two bytes. A reference of 32 bytes 0xee becomes the hash
 * of the node that follows, so that proofs of chance have paths. */
#include "base/err.h"
#include "eth/keccak.h"
#include "eth/trie.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

static size_t split(const uint8_t *data, size_t n, uint8_t *copies[TRIE_NODES_MAX],
                    struct rlp_bytes nodes[TRIE_NODES_MAX])
{
    size_t count = 0;
    while (n >= 2 && count < TRIE_NODES_MAX) {
        size_t len = (size_t)(data[0] << 8 | data[1]);
        len = len < n - 2 ? len : n - 2;
        copies[count] = malloc(len ? len : 1); /* of its own, so that its end is guarded */
        if (len > 0)
            memcpy(copies[count], data + 2, len);
        nodes[count] = (struct rlp_bytes){copies[count], len};
        count++;
        data += 2 + len;
        n -= 2 + len;
    }
    return count;
}

static void join(uint8_t *node, size_t n, const hash32 *next)
{
    uint8_t marker[32];
    memset(marker, 0xee, sizeof marker);
    for (size_t i = 0; i + sizeof marker <= n; i++)
        if (memcmp(node + i, marker, sizeof marker) == 0)
            memcpy(node + i, next->b, sizeof next->b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const hash32 slot;
    static const address who;
    uint8_t *copies[TRIE_NODES_MAX];
    struct rlp_bytes nodes[TRIE_NODES_MAX];
    struct trie_account account;
    struct err err;
    hash32 root = {{0}};
    u256 word;
    size_t count = split(data, n, copies, nodes);
    for (size_t i = count; i > 0; i--) {
        join(copies[i - 1], nodes[i - 1].n, &root);
        keccak256(nodes[i - 1].at, nodes[i - 1].n, &root);
    }
    struct trie_proof proof = {nodes, count};
    bool taken = trie_prove_slot(&root, &slot, &proof, &word, &err) == 0;
    trie_prove_account(&root, &who, &proof, &account, &err);
    root.b[0] ^= 1;
    HOLDS(trie_prove_slot(&root, &slot, &proof, &word, &err) < 0);
    root.b[0] ^= 1;
    /* Without its last node it proves nothing; no node at all proves an empty trie. */
    proof.n -= count > 0;
    HOLDS(!taken || proof.n == 0 || trie_prove_slot(&root, &slot, &proof, &word, &err) < 0);
    while (count > 0)
        free(copies[--count]);
    return 0;
}
