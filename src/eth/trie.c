#include "eth/trie.h"
#include "base/buf.h"
#include "base/err.h"
#include "eth/keccak.h"

#include <string.h>

enum {
    BRANCH_ITEMS = 17,
    PATH_ITEMS = 2, /* a leaf's or an extension's: path, and value or reference */
    HASH_BYTES = 32,
    KEY_NIBBLES = 2 * HASH_BYTES,
    PATH_BYTES_MAX = HASH_BYTES + 1,
};

/* Flags of a hex-prefix path. */
enum { PATH_ODD = 1, PATH_LEAF = 2 };

/* keccak256(0x80). */
static const hash32 trie_empty_root = {{0x56, 0xe8, 0x1f, 0x17, 0x1b, 0xcc, 0x55, 0xa6,
                                        0xff, 0x83, 0x45, 0xe6, 0x92, 0xc0, 0xf8, 0x6e,
                                        0x5b, 0x48, 0xe0, 0x1b, 0x99, 0x6c, 0xad, 0xc0,
                                        0x01, 0x62, 0x2f, 0xb5, 0xe3, 0x63, 0xb4, 0x21}};

static uint8_t trie_nibble(const uint8_t *bytes, size_t i)
{
    return i % 2 ? bytes[i / 2] & 15 : bytes[i / 2] >> 4;
}

/* ---- the root of a list ----------------------------------------------------------------------
 * The keys are rlp(0), rlp(1), …, and none begins another. In the order of
 * their bytes 0, which is 0x80, stands between 127 and 128. So position p of that order is known
 * without sorting, and the trie is never built: a node is written where its parent stands, and its
 * hash takes its place. */

enum { NODE_ROOM = 1024, LIST_DEPTH = 2 * RLP_U64_ROOM };

struct list_trie {
    const struct rlp_bytes *items;
    size_t n;
    struct buf out;
};

struct list_key {
    uint8_t bytes[RLP_U64_ROOM];
    size_t nibbles;
};

static size_t trie_list_index(const struct list_trie *t, size_t position)
{
    size_t zero = t->n < 128 ? t->n - 1 : 127;
    return position < zero ? position + 1 : position == zero ? 0 : position;
}

static struct list_key trie_list_key(const struct list_trie *t, size_t position)
{
    struct list_key k = {0};
    k.nibbles = 2 * rlp_put_u64(k.bytes, trie_list_index(t, position));
    return k;
}

/* The hex-prefix form of the nibbles [from, to) of a key. */
static void trie_add_path(struct buf *out, const uint8_t *key, size_t from, size_t to, bool is_leaf)
{
    uint8_t path[PATH_BYTES_MAX];
    size_t n = 0;
    uint8_t flags = is_leaf ? PATH_LEAF : 0;
    if ((to - from) % 2)
        path[n++] = (uint8_t)((flags | PATH_ODD) << 4 | trie_nibble(key, from++));
    else
        path[n++] = (uint8_t)(flags << 4);
    for (; from < to; from += 2)
        path[n++] = (uint8_t)(trie_nibble(key, from) << 4 | trie_nibble(key, from + 1));
    rlp_add_bytes(out, path, n);
}

/* What stands in a parent for the node that begins at `at`: the node itself below 32 bytes, else
 * its hash. */
static void trie_refer(struct buf *out, size_t at)
{
    hash32 h;
    if (out->len - at < sizeof h.b)
        return;
    keccak256(out->data + at, out->len - at, &h);
    out->len = at;
    rlp_add_bytes(out, h.b, sizeof h.b);
}

static void trie_add_list_node(struct list_trie *t, size_t from, size_t to, size_t depth);

/* The positions [from, to) have the same `depth` nibbles, and there are two at least. */
static void trie_add_list_branch(struct list_trie *t, size_t from, size_t to, size_t depth)
{
    size_t at = rlp_begin(&t->out);
    for (int nibble = 0; nibble < BRANCH_ITEMS - 1; nibble++) {
        size_t end = from, child = t->out.len;
        while (end < to && trie_nibble(trie_list_key(t, end).bytes, depth) == nibble)
            end++;
        if (end == from) {
            rlp_add_bytes(&t->out, NULL, 0);
            continue;
        }
        trie_add_list_node(t, from, end, depth + 1);
        trie_refer(&t->out, child);
        from = end;
    }
    rlp_add_bytes(&t->out, NULL, 0); /* no key ends in a branch */
    rlp_end(&t->out, at);
}

/* Recurses once a nibble of the longest key. */
static void trie_add_list_node(struct list_trie *t, size_t from, size_t to, size_t depth)
{
    struct list_key first = trie_list_key(t, from), last = trie_list_key(t, to - 1);
    size_t at = rlp_begin(&t->out), same = depth;
    if (to - from == 1) {
        const struct rlp_bytes *item = &t->items[trie_list_index(t, from)];
        trie_add_path(&t->out, first.bytes, depth, first.nibbles, true);
        rlp_add_bytes(&t->out, item->at, item->n);
        rlp_end(&t->out, at);
        return;
    }
    while (trie_nibble(first.bytes, same) == trie_nibble(last.bytes, same))
        same++;
    if (same == depth) {
        trie_add_list_branch(t, from, to, depth);
        return;
    }
    trie_add_path(&t->out, first.bytes, depth, same, false);
    size_t child = t->out.len;
    trie_add_list_branch(t, from, to, same);
    trie_refer(&t->out, child);
    rlp_end(&t->out, at);
}

void trie_root_of_list(const struct rlp_bytes *items, size_t n, hash32 *ret)
{
    size_t longest = 0;
    for (size_t i = 0; i < n; i++)
        longest = items[i].n > longest ? items[i].n : longest;
    struct list_trie t = {
        .items = items, .n = n, .out = BUF_INIT(longest + LIST_DEPTH * (size_t)NODE_ROOM)};
    if (n > 0)
        trie_add_list_node(&t, 0, n, 0);
    else
        rlp_add_bytes(&t.out, NULL, 0);
    keccak256(t.out.data, t.out.len, ret);
    buf_free(&t.out);
}

/* ---- proofs ---------------------------------------------------------------------------------- */

struct trie_walk {
    const hash32 *key;
    const struct trie_proof *proof;
    size_t used;  /* nodes */
    size_t depth; /* nibbles of the key behind us */
    struct rlp_bytes node;
    bool ended;
    struct rlp_bytes value; /* of the leaf; none where the path parts */
};

/* To the next node of the proof, which must have this hash. */
static int trie_enter(struct trie_walk *w, const uint8_t reference[HASH_BYTES], struct err *err)
{
    hash32 h;
    if (w->used == w->proof->n)
        return err_set(err, ERR_FAILED, "the proof ends after node %zu, above its leaf", w->used);
    w->node = w->proof->nodes[w->used++];
    if (w->node.n > TRIE_NODE_MAX)
        return err_set(err, ERR_FAILED, "node %zu of the proof has %zu bytes", w->used, w->node.n);
    keccak256(w->node.at, w->node.n, &h);
    if (memcmp(h.b, reference, sizeof h.b) != 0)
        return err_set(err, ERR_FAILED, "node %zu of the proof does not have the hash above it",
                       w->used);
    return 0;
}

static int trie_refuse(const struct trie_walk *w, struct err *err)
{
    return err_set(err, ERR_FAILED, "node %zu of the proof is malformed", w->used);
}

/* A node below 32 bytes stands inside its parent, and only such a one does. */
static int trie_descend(struct trie_walk *w, const struct rlp_item *child, struct err *err)
{
    if (!child->is_list)
        return child->body.n == HASH_BYTES ? trie_enter(w, child->body.at, err)
                                           : trie_refuse(w, err);
    if (child->whole.n >= HASH_BYTES)
        return trie_refuse(w, err);
    w->node = child->whole;
    return 0;
}

/* All keys have 64 nibbles, so none ends in a branch. */
static int trie_pass_branch(struct trie_walk *w, const struct rlp_item *items, struct err *err)
{
    if (w->depth == KEY_NIBBLES)
        return trie_refuse(w, err);
    const struct rlp_item *child = &items[trie_nibble(w->key->b, w->depth++)];
    w->ended = !child->is_list && child->body.n == 0;
    return w->ended ? 0 : trie_descend(w, child, err);
}

struct trie_path {
    const uint8_t *bytes;
    size_t from, to; /* nibbles */
    bool is_leaf;
};

/* The hex-prefix form: two flags, and an empty nibble behind them where the path is even. */
static bool trie_read_path(const struct rlp_item *item, struct trie_path *ret)
{
    if (item->is_list || item->body.n == 0 || item->body.n > PATH_BYTES_MAX)
        return false;
    uint8_t flags = item->body.at[0] >> 4;
    bool odd = flags & PATH_ODD;
    *ret = (struct trie_path){.bytes = item->body.at,
                              .from = odd ? 1 : 2,
                              .to = 2 * item->body.n,
                              .is_leaf = flags & PATH_LEAF};
    return flags <= (PATH_ODD | PATH_LEAF) && (odd || (item->body.at[0] & 15) == 0);
}

static int trie_pass_path(struct trie_walk *w, const struct rlp_item *items, struct err *err)
{
    struct trie_path p;
    if (!trie_read_path(&items[0], &p))
        return trie_refuse(w, err);
    size_t n = p.to - p.from, left = KEY_NIBBLES - w->depth;
    if (p.is_leaf ? n != left || items[1].is_list : n == 0 || n >= left)
        return trie_refuse(w, err);
    for (size_t i = 0; i < n && !w->ended; i++)
        w->ended = trie_nibble(p.bytes, p.from + i) != trie_nibble(w->key->b, w->depth + i);
    if (w->ended)
        return 0;
    w->depth += n;
    if (!p.is_leaf)
        return trie_descend(w, &items[1], err);
    w->ended = true;
    w->value = items[1].body;
    return w->value.n > 0 ? 0 : trie_refuse(w, err);
}

static int trie_step(struct trie_walk *w, struct err *err)
{
    struct rlp_item items[BRANCH_ITEMS];
    size_t n = rlp_read_list(w->node, items, BRANCH_ITEMS);
    return n == BRANCH_ITEMS ? trie_pass_branch(w, items, err)
           : n == PATH_ITEMS ? trie_pass_path(w, items, err)
                             : trie_refuse(w, err);
}

/* The value under a key; ret->n is 0 where absence is proven. */
static int trie_prove(const hash32 *root, const hash32 *key, const struct trie_proof *proof,
                      struct rlp_bytes *ret, struct err *err)
{
    struct trie_walk w = {.key = key, .proof = proof};
    bool is_empty = hash_equal(root, &trie_empty_root);
    if (is_empty && proof->n == 0) {
        *ret = (struct rlp_bytes){0};
        return 0;
    }
    if (trie_enter(&w, root->b, err) < 0)
        return -1;
    w.ended = is_empty;
    while (!w.ended)
        if (trie_step(&w, err) < 0)
            return -1;
    if (w.used < proof->n)
        return err_set(err, ERR_FAILED, "%zu nodes of the proof are left over", proof->n - w.used);
    *ret = w.value;
    return 0;
}

static bool trie_read_account(struct rlp_bytes leaf, struct trie_account *ret)
{
    enum { NONCE, BALANCE, STORAGE, CODE, FIELDS };
    struct rlp_item items[FIELDS];
    ret->exists = true;
    return rlp_read_list(leaf, items, FIELDS) == FIELDS &&
           rlp_get_u64(&items[NONCE], &ret->nonce) &&
           rlp_get_u256(&items[BALANCE], &ret->balance) &&
           rlp_get_fixed(&items[STORAGE], ret->storage_root.b, HASH_BYTES) &&
           rlp_get_fixed(&items[CODE], ret->code_hash.b, HASH_BYTES);
}

int trie_prove_account(const hash32 *state_root, const address *account,
                       const struct trie_proof *proof, struct trie_account *ret, struct err *err)
{
    struct trie_account a = {.storage_root = trie_empty_root};
    struct rlp_bytes leaf;
    hash32 key;
    keccak256(account->b, sizeof account->b, &key);
    keccak256("", 0, &a.code_hash);
    if (trie_prove(state_root, &key, proof, &leaf, err) < 0)
        return -1;
    if (leaf.n > 0 && !trie_read_account(leaf, &a))
        return err_set(err, ERR_FAILED, "the leaf of the proof is no account");
    *ret = a;
    return 0;
}

int trie_prove_slot(const hash32 *storage_root, const hash32 *slot, const struct trie_proof *proof,
                    u256 *ret, struct err *err)
{
    struct rlp_bytes leaf;
    struct rlp_item word;
    hash32 key;
    u256 v = U256_ZERO;
    keccak256(slot->b, sizeof slot->b, &key);
    if (trie_prove(storage_root, &key, proof, &leaf, err) < 0)
        return -1;
    if (leaf.n > 0 && (!rlp_read(leaf, &word) || !rlp_get_u256(&word, &v) || u256_is_zero(&v)))
        return err_set(err, ERR_FAILED, "the leaf of the proof is no storage word");
    *ret = v;
    return 0;
}
