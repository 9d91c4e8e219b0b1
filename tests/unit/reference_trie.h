/* A Merkle-Patricia trie built as the yellow paper has it, from any keys that do not begin each
 * other: the oracle for roots, and what proofs are made with. */
#ifndef REFERENCE_TRIE_H
#define REFERENCE_TRIE_H

#include "base/arena.h"
#include "base/buf.h"
#include "eth/keccak.h"
#include "eth/trie.h"

#include <stdlib.h>
#include <string.h>

struct reference_item {
    uint8_t nibbles[64];
    size_t n;
    struct rlp_bytes value;
};

struct reference_trie {
    struct reference_item *items; /* in the order of their keys */
    size_t n;
    const uint8_t *target; /* 64 nibbles whose proof is collected; NULL: none */
    struct arena *arena;
    struct rlp_bytes nodes[TRIE_NODES_MAX]; /* from the end of the path up */
    size_t n_nodes;
};

static inline void reference_set_key(struct reference_item *item, const uint8_t *key, size_t n)
{
    item->n = 2 * n;
    for (size_t i = 0; i < n; i++) {
        item->nibbles[2 * i] = key[i] >> 4;
        item->nibbles[2 * i + 1] = key[i] & 15;
    }
}

static inline int reference_compare(const void *a, const void *b)
{
    const struct reference_item *x = a, *y = b;
    int order = memcmp(x->nibbles, y->nibbles, x->n < y->n ? x->n : y->n);
    return order ? order : (x->n > y->n) - (x->n < y->n);
}

static inline void reference_add_path(struct buf *out, const uint8_t *nibbles, size_t n, bool leaf)
{
    uint8_t path[33], flag = (uint8_t)((leaf ? 2 : 0) + n % 2);
    size_t len = 0, i = n % 2;
    path[len++] = (uint8_t)(flag << 4 | (n % 2 ? nibbles[0] : 0));
    for (; i < n; i += 2)
        path[len++] = (uint8_t)(nibbles[i] << 4 | nibbles[i + 1]);
    rlp_add_bytes(out, path, len);
}

static inline void reference_refer(struct buf *out, const struct buf *node)
{
    hash32 h;
    keccak256(node->data, node->len, &h);
    if (node->len < 32)
        buf_add(out, node->data, node->len);
    else
        rlp_add_bytes(out, h.b, sizeof h.b);
}

static inline void reference_collect(struct reference_trie *t, const struct buf *node, bool is_root)
{
    if (node->len < 32 && !is_root)
        return;
    uint8_t *copy = arena_alloc(t->arena, node->len);
    memcpy(copy, node->data, node->len);
    t->nodes[t->n_nodes++] = (struct rlp_bytes){copy, node->len};
}

static void reference_add(struct reference_trie *t, size_t from, size_t to, size_t depth,
                          bool on_path, struct buf *out);

static inline void reference_add_branch(struct reference_trie *t, size_t from, size_t to,
                                        size_t depth, bool on_path, struct buf *out)
{
    for (uint8_t nibble = 0; nibble < 16; nibble++) {
        size_t end = from;
        struct buf child = BUF_INIT(1024 * 1024);
        while (end < to && t->items[end].nibbles[depth] == nibble)
            end++;
        if (end > from) {
            reference_add(t, from, end, depth + 1, on_path && t->target[depth] == nibble, &child);
            reference_refer(out, &child);
        } else {
            rlp_add_bytes(out, NULL, 0);
        }
        buf_free(&child);
        from = end;
    }
    rlp_add_bytes(out, NULL, 0);
}

/* The node over the items [from, to), which share `depth` nibbles. */
static void reference_add(struct reference_trie *t, size_t from, size_t to, size_t depth,
                          bool on_path, struct buf *out)
{
    const struct reference_item *first = &t->items[from], *last = &t->items[to - 1];
    size_t at = rlp_begin(out), same = depth;
    while (to - from > 1 && first->nibbles[same] == last->nibbles[same])
        same++;
    if (to - from == 1) {
        reference_add_path(out, first->nibbles + depth, first->n - depth, true);
        rlp_add_bytes(out, first->value.at, first->value.n);
    } else if (same > depth) {
        struct buf child = BUF_INIT(1024 * 1024);
        bool follows =
            on_path && memcmp(t->target + depth, first->nibbles + depth, same - depth) == 0;
        reference_add_path(out, first->nibbles + depth, same - depth, false);
        reference_add(t, from, to, same, follows, &child);
        reference_refer(out, &child);
        buf_free(&child);
    } else {
        reference_add_branch(t, from, to, depth, on_path, out);
    }
    rlp_end(out, at);
    if (on_path)
        reference_collect(t, out, depth == 0);
}

/* Sorts the items. With a target, its proof is in t->nodes, the root's first. */
static inline hash32 reference_root(struct reference_trie *t)
{
    hash32 h;
    struct buf root = BUF_INIT(1024 * 1024);
    qsort(t->items, t->n, sizeof *t->items, reference_compare);
    t->n_nodes = 0;
    if (t->n > 0)
        reference_add(t, 0, t->n, 0, t->target != NULL, &root);
    else
        rlp_add_bytes(&root, NULL, 0);
    keccak256(root.data, root.len, &h);
    buf_free(&root);
    for (size_t i = 0; i < t->n_nodes / 2; i++) {
        struct rlp_bytes other = t->nodes[t->n_nodes - 1 - i];
        t->nodes[t->n_nodes - 1 - i] = t->nodes[i];
        t->nodes[i] = other;
    }
    return h;
}

#endif
