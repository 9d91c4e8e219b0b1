/* Roots of lists, and proofs: against a trie built in the plain way, whose own roots are held to
 * the vectors of ethereum/tests, and against proofs of Ethereum's mainnet. */
#include "eth/state_proof.h"
#include "eth/trie.h"
#include "reference_trie.h"
#include "vectors.h"

enum { ITEMS = 300 };

/* ---- lists ----------------------------------------------------------------------------------- */

static void check_list(const struct rlp_bytes *items, size_t n)
{
    static struct reference_item keyed[70000];
    struct reference_trie t = {.items = keyed, .n = n};
    hash32 root, expected;
    for (size_t i = 0; i < n; i++) {
        uint8_t key[RLP_U64_ROOM];
        reference_set_key(&keyed[i], key, rlp_put_u64(key, i));
        keyed[i].value = items[i];
    }
    expected = reference_root(&t);
    trie_root_of_list(items, n, &root);
    if (!hash_equal(&root, &expected))
        fail_msg("another root for a list of %zu", n);
}

static void lists_of_every_length(void **state)
{
    (void)state;
    struct rng rng = vector_rng();
    static uint8_t bytes[600];
    struct rlp_bytes items[ITEMS];
    rng_fill(&rng, bytes, sizeof bytes);
    for (size_t i = 0; i < ITEMS; i++)
        items[i] = (struct rlp_bytes){bytes, rng_below(&rng, 4) ? rng_below(&rng, 600) : 1};
    for (size_t n = 0; n <= ITEMS; n++)
        check_list(items, n);
}

static void long_lists(void **state)
{
    (void)state;
    static struct rlp_bytes items[66000];
    static const uint8_t one[] = {1, 2, 3};
    for (size_t i = 0; i < COUNT_OF(items); i++)
        items[i] = (struct rlp_bytes){one, 1 + i % 3};
    check_list(items, 1000);
    check_list(items, 65536);
    check_list(items, COUNT_OF(items));
}

/* ---- proofs ---------------------------------------------------------------------------------- */

static void to_nibbles(const uint8_t *bytes, size_t n, uint8_t ret[64])
{
    hash32 key;
    struct reference_item item;
    keccak256(bytes, n, &key);
    reference_set_key(&item, key.b, sizeof key.b);
    memcpy(ret, item.nibbles, sizeof item.nibbles);
}

static void set_hashed_key(struct reference_item *item, const uint8_t *bytes, size_t n)
{
    to_nibbles(bytes, n, item->nibbles);
    item->n = 64;
}

/* One of the vectors' tries of accounts: its root, each account, and one that is not there. */
static void check_state_trie(const struct json *v, struct arena *arena)
{
    struct reference_item items[8];
    struct reference_trie t = {.items = items, .arena = arena};
    address accounts[9] = {{{0}}};
    hash32 root;
    const char *text = json_str(json_get(v, "root"));
    assert_true(hash_parse(text, strlen(text), &root));
    for (const struct json *a = json_first(json_get(v, "in")); a; a = json_next(a), t.n++) {
        size_t n;
        assert_true(address_parse_loose(json_key(a), 42, &accounts[t.n]));
        set_hashed_key(&items[t.n], accounts[t.n].b, 20);
        items[t.n].value.at = vector_bytes(json_str(a), &n);
        items[t.n].value.n = n;
    }
    for (size_t i = 0; i <= t.n; i++) {
        uint8_t target[64];
        struct trie_account account;
        struct err err = {0};
        to_nibbles(accounts[i].b, 20, target);
        t.target = target;
        hash32 built = reference_root(&t);
        assert_true(hash_equal(&built, &root));
        struct trie_proof proof = {t.nodes, t.n_nodes};
        if (trie_prove_account(&root, &accounts[i], &proof, &account, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(account.exists, i < t.n);
    }
    for (size_t i = 0; i < t.n; i++)
        mem_free((void *)items[i].value.at);
}

static void state_tries(void **state)
{
    (void)state;
    struct json *doc = vector_json("state_tries.json");
    struct arena arena;
    int n = 0;
    arena_init(&arena);
    for (const struct json *v = json_first(doc); v; v = json_next(v), n++)
        check_state_trie(v, &arena);
    assert_int_equal(n, 3);
    arena_free(&arena);
    json_free(doc);
}

/* ---- storage --------------------------------------------------------------------------------- */

struct storage {
    struct reference_item items[ITEMS];
    uint8_t words[ITEMS][33], target[64];
    hash32 slots[ITEMS];
    u256 values[ITEMS];
    struct reference_trie t;
    struct arena arena;
    hash32 root;
};

static void storage_fill(struct storage *s, struct rng *rng, size_t n)
{
    arena_init(&s->arena);
    s->t = (struct reference_trie){.items = s->items, .n = n, .arena = &s->arena};
    for (size_t i = 0; i < n; i++) {
        struct buf rlp = BUF_INIT(40);
        uint8_t word[32] = {0};
        size_t len = rng_below(rng, 3) ? 1 + rng_below(rng, 32) : 1; /* small nodes are common */
        rng_fill(rng, word + 32 - len, len);
        word[32 - len] |= 1;
        u256_from_be32(&s->values[i], word);
        rlp_add_bytes(&rlp, word + 32 - len, len);
        memcpy(s->words[i], rlp.data, rlp.len);
        rng_fill(rng, s->slots[i].b, 32);
        set_hashed_key(&s->items[i], s->slots[i].b, 32);
        s->items[i].value = (struct rlp_bytes){s->words[i], rlp.len};
        buf_free(&rlp);
    }
}

static struct trie_proof storage_prove(struct storage *s, const hash32 *slot)
{
    arena_clear(&s->arena);
    to_nibbles(slot->b, 32, s->target);
    s->t.target = s->target;
    s->root = reference_root(&s->t);
    return (struct trie_proof){s->t.nodes, s->t.n_nodes};
}

static void slots_present_and_absent(void **state)
{
    (void)state;
    struct rng rng = vector_rng();
    static struct storage s;
    for (size_t n = 0; n <= 120; n += 1 + n / 8) {
        storage_fill(&s, &rng, n);
        for (size_t i = 0; i < n + 20; i++) {
            hash32 slot;
            u256 v;
            struct err err = {0};
            rng_fill(&rng, slot.b, sizeof slot.b);
            slot = i < n ? s.slots[i] : slot;
            struct trie_proof p = storage_prove(&s, &slot);
            if (trie_prove_slot(&s.root, &slot, &p, &v, &err) < 0)
                fail_msg("slot %zu of %zu: %s", i, n, err.text);
            assert_true(i < n ? u256_equal(&v, &s.values[i]) : u256_is_zero(&v));
        }
        arena_free(&s.arena);
    }
}

/* ---- tampering ------------------------------------------------------------------------------- */

struct forged {
    struct rlp_bytes nodes[TRIE_NODES_MAX + 2];
    uint8_t bytes[TRIE_NODE_MAX + 64];
    struct trie_proof proof;
};

static void forge(struct forged *f, const struct trie_proof *p, struct rng *rng)
{
    size_t n = p->n, at = rng_below(rng, n);
    memcpy(f->nodes, p->nodes, n * sizeof *f->nodes);
    struct rlp_bytes *node = &f->nodes[at];
    memcpy(f->bytes, node->at, node->n);
    switch (rng_below(rng, 6)) {
    case 0: /* a bit */
        f->bytes[rng_below(rng, node->n)] ^= (uint8_t)(1u << rng_below(rng, 8));
        node->at = f->bytes;
        break;
    case 1: /* a node left out */
        memmove(node, node + 1, (n - at - 1) * sizeof *node);
        n--;
        break;
    case 2: /* a node left over */
        f->nodes[n] = f->nodes[rng_below(rng, n)];
        n++;
        break;
    case 3: /* a node twice, in its place */
        memmove(node + 1, node, (n - at) * sizeof *node);
        n++;
        break;
    case 4: /* a shorter node */
        node->n -= 1 + rng_below(rng, node->n - 1);
        break;
    default: /* bytes behind it */
        f->bytes[node->n] = (uint8_t)rng_next(rng);
        node->at = f->bytes;
        node->n++;
    }
    f->proof = (struct trie_proof){f->nodes, n};
}

static void no_forged_proof_is_taken(void **state)
{
    (void)state;
    struct rng rng = vector_rng();
    static struct storage s;
    static struct forged f;
    storage_fill(&s, &rng, 80);
    for (int i = 0; i < 20000; i++) {
        u256 v;
        static struct trie_proof p;
        static hash32 slot;
        if (i % 100 == 0) {
            rng_fill(&rng, slot.b, sizeof slot.b);
            slot = i % 200 ? slot : s.slots[rng_below(&rng, 80)];
            p = storage_prove(&s, &slot);
        }
        forge(&f, &p, &rng);
        if (trie_prove_slot(&s.root, &slot, &f.proof, &v, NULL) == 0)
            fail_msg("forged proof %d is taken", i);
    }
    arena_free(&s.arena);
}

/* The proof of one slot proves nothing of another: neither its value nor its absence. */
static void no_proof_of_another_slot_is_taken(void **state)
{
    (void)state;
    struct rng rng = vector_rng();
    static struct storage s;
    u256 v;
    storage_fill(&s, &rng, 200);
    for (size_t i = 0; i < 200; i++) {
        struct trie_proof p = storage_prove(&s, &s.slots[i]);
        for (size_t k = 0; k < 200; k++)
            if (k != i && trie_prove_slot(&s.root, &s.slots[k], &p, &v, NULL) == 0)
                fail_msg("the proof of slot %zu is taken for slot %zu", i, k);
    }
    arena_free(&s.arena);
}

/* ---- forgeries that have the root, because the root is theirs ---------------------------------
 */

/* One node that is all of the trie, under the key keccak256(32 zeros). */
static int prove_sole_node(const uint8_t *node, size_t n, u256 *ret)
{
    static const hash32 slot;
    hash32 root;
    struct rlp_bytes bytes = {node, n};
    keccak256(node, n, &root);
    return trie_prove_slot(&root, &slot, &(struct trie_proof){&bytes, 1}, ret, NULL);
}

static size_t make_leaf(uint8_t ret[80], uint8_t flags, size_t key_from, const uint8_t *value,
                        size_t n_value)
{
    static const hash32 slot;
    hash32 key;
    uint8_t path[33];
    struct buf out = BUF_INIT(80);
    keccak256(slot.b, 32, &key);
    path[0] = flags;
    memcpy(path + 1, key.b + key_from, 32 - key_from);
    size_t at = rlp_begin(&out);
    rlp_add_bytes(&out, path, 33 - key_from);
    rlp_add_bytes(&out, value, n_value);
    rlp_end(&out, at);
    size_t n = out.len;
    memcpy(ret, out.data, n);
    buf_free(&out);
    return n;
}

static void leaves_are_canonical(void **state)
{
    (void)state;
    static const uint8_t seven[] = {7}, zero[] = {0x80}, leading[] = {0x82, 0, 7}, list[] = {0xc0},
                         padded[] = {0x81, 7}, two[] = {7, 7};
    uint8_t leaf[80];
    u256 v;
    assert_int_equal(prove_sole_node(leaf, make_leaf(leaf, 0x20, 0, seven, 1), &v), 0);
    assert_int_equal(v.limb[0], 7);
    assert_int_equal(prove_sole_node(leaf, make_leaf(leaf, 0x20, 0, zero, 1), &v), -1);
    assert_int_equal(prove_sole_node(leaf, make_leaf(leaf, 0x20, 0, leading, 3), &v), -1);
    assert_int_equal(prove_sole_node(leaf, make_leaf(leaf, 0x20, 0, list, 1), &v), -1);
    assert_int_equal(prove_sole_node(leaf, make_leaf(leaf, 0x20, 0, padded, 2), &v), -1);
    assert_int_equal(prove_sole_node(leaf, make_leaf(leaf, 0x20, 0, two, 2), &v), -1);
    assert_int_equal(prove_sole_node(leaf, make_leaf(leaf, 0x20, 0, NULL, 0), &v), -1);
    /* Flags that no path has, an extension over all of the key, and paths too short. */
    assert_int_equal(prove_sole_node(leaf, make_leaf(leaf, 0x21, 0, seven, 1), &v), -1);
    assert_int_equal(prove_sole_node(leaf, make_leaf(leaf, 0x40, 0, seven, 1), &v), -1);
    assert_int_equal(prove_sole_node(leaf, make_leaf(leaf, 0x00, 0, seven, 1), &v), -1);
    assert_int_equal(prove_sole_node(leaf, make_leaf(leaf, 0x20, 1, seven, 1), &v), -1);
    assert_int_equal(prove_sole_node(leaf, make_leaf(leaf, 0x20, 32, seven, 1), &v), -1);
}

/* ---- mainnet --------------------------------------------------------------------------------- */

static void check_mainnet_account(const struct json *v, const struct state_proof *p)
{
    struct trie_account a;
    struct err err = {0};
    address account;
    hash32 root, slot = {{0}}, code;
    u256 word, expected;
    uint64_t nonce;
    const char *text = json_str(json_get(v, "stateRoot"));
    assert_true(hash_parse(text, strlen(text), &root));
    assert_true(address_parse_loose(json_str(json_get(v, "address")), 42, &account));
    if (trie_prove_account(&root, &account, &p->account, &a, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(a.exists);
    assert_true(json_quantity(json_get(v, "nonce"), &nonce));
    assert_int_equal(a.nonce, nonce);
    assert_true(hash_parse(json_str(json_get(v, "codeHash")), 66, &code));
    assert_true(hash_equal(&code, &a.code_hash));
    if (p->n_slots == 0)
        return;
    const struct json *s = json_first(json_get(v, "storageProof"));
    assert_true(hash_parse(json_str(json_get(s, "key")), 66, &slot));
    if (trie_prove_slot(&a.storage_root, &slot, &p->slots[0], &word, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(hash_parse(json_str(json_get(s, "value")), 66, &code));
    u256_from_be32(&expected, code.b);
    assert_true(u256_equal(&word, &expected));
    /* The storage proof at another account's root. */
    assert_int_equal(trie_prove_slot(&root, &slot, &p->slots[0], &word, NULL), -1);
}

static void mainnet(void **state)
{
    (void)state;
    struct json *doc = vector_json("proofs.json");
    int n = 0;
    for (const struct json *v = json_first(doc); v; v = json_next(v), n++) {
        struct state_proof p;
        struct err err = {0};
        struct arena arena;
        arena_init(&arena);
        size_t slots = json_count(json_get(v, "storageProof"));
        if (state_proof_from_json(v, slots, &arena, &p, &err) < 0)
            fail_msg("%s", err.text);
        check_mainnet_account(v, &p);
        assert_int_equal(state_proof_from_json(v, slots + 1, &arena, &p, NULL), -1);
        arena_free(&arena);
    }
    assert_int_equal(n, 2);
    json_free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_of_every_length),
        cmocka_unit_test(long_lists),
        cmocka_unit_test(state_tries),
        cmocka_unit_test(slots_present_and_absent),
        cmocka_unit_test(no_forged_proof_is_taken),
        cmocka_unit_test(no_proof_of_another_slot_is_taken),
        cmocka_unit_test(leaves_are_canonical),
        cmocka_unit_test(mainnet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
