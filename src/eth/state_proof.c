#include "eth/state_proof.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/parse.h"

#include <string.h>

static bool state_proof_read_node(const struct json *v, struct arena *arena, struct rlp_bytes *ret)
{
    const char *s = json_str(v);
    size_t n = s ? strlen(s) : 0;
    if (n < 2 || n % 2 || n > 2 + 2 * TRIE_NODE_MAX)
        return false;
    uint8_t *bytes = arena_alloc(arena, n / 2);
    *ret = (struct rlp_bytes){bytes, n / 2 - 1};
    return parse_0x(s, n, bytes, ret->n);
}

static bool state_proof_read_nodes(const struct json *list, struct arena *arena,
                                   struct trie_proof *ret)
{
    size_t n = json_count(list), i = 0;
    if (!json_is_array(list) || n > TRIE_NODES_MAX)
        return false;
    struct rlp_bytes *nodes = arena_zero(arena, n + 1, sizeof *nodes);
    for (const struct json *v = json_first(list); v; v = json_next(v))
        if (!state_proof_read_node(v, arena, &nodes[i++]))
            return false;
    *ret = (struct trie_proof){nodes, n};
    return true;
}

int state_proof_from_json(const struct json *result, size_t n_slots, struct arena *arena,
                          struct state_proof *ret, struct err *err)
{
    struct state_proof p = {.n_slots = n_slots};
    const struct json *slots = json_get(result, "storageProof");
    if (!state_proof_read_nodes(json_get(result, "accountProof"), arena, &p.account))
        return err_set(err, ERR_FAILED, "eth_getProof gives no accountProof of nodes");
    if (!json_is_array(slots) || json_count(slots) != n_slots)
        return err_set(err, ERR_FAILED, "eth_getProof gives %zu proofs of slots instead of %zu",
                       json_count(slots), n_slots);
    p.slots = arena_zero(arena, n_slots + 1, sizeof *p.slots);
    const struct json *v = json_first(slots);
    for (size_t i = 0; i < n_slots; i++, v = json_next(v))
        if (!state_proof_read_nodes(json_get(v, "proof"), arena, &p.slots[i]))
            return err_set(err, ERR_FAILED, "eth_getProof gives no nodes for slot %zu", i);
    *ret = p;
    return 0;
}
