/*
 * A configuration as a tree in which every value knows where it stands.
 *
 * libyaml's events become nodes; flags and the environment are laid over the tree afterwards as
 * further nodes (overlay.c), so that decoding reads one tree and has one way to complain. Text is
 * kept as written: ${NAME} is resolved when a setting is decoded, so that a value which a flag
 * replaces does not fail for an unset variable.
 *
 * Ceilings: 1 MiB of text, 16 levels, 100,000 nodes, 1,000 names a map, 64 KiB a value. Aliases
 * (*name) share nodes.
 */
#ifndef CONF_TREE_H
#define CONF_TREE_H

#include "base/arena.h"
#include "conf/problem.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    TREE_TEXT_MAX = 1024 * 1024,
    TREE_DEPTH = 16,
    TREE_NODES = 100000,
    TREE_NAMES = 1000, /* each new one is looked for among the others */
    TREE_SCALAR = 65536
};

enum node_kind { NODE_NOTHING, NODE_SCALAR, NODE_LIST, NODE_MAP };

/* What a value came from, weakest first. */
enum origin { ORIGIN_DEFAULT, ORIGIN_FILE, ORIGIN_FIRST_USER, ORIGIN_ENVIRONMENT, ORIGIN_FLAG };

struct node;
struct member { /* of a map, or an item of a list (no key) */
    const char *key;
    struct place key_place;
    struct node *value;
};

struct node {
    enum node_kind kind;
    enum origin origin;
    struct place place;
    const char *text; /* of a scalar; no NUL inside */
    size_t n;
    bool exact;  /* text stands in the file letter by letter, so columns inside it can be told */
    bool quoted; /* exact and its first letter is one column after place.column */
    bool plain;  /* not quoted: an empty one is a value forgotten, not an empty text */
    struct member *members;
    size_t count, room;
};

/* The tree, or NULL with problems added. An empty file is a problem. */
struct node *tree_parse(struct arena *arena, const char *source, const char *text, size_t n,
                        enum origin origin, struct problems *problems);

struct node *node_new(struct arena *arena, enum node_kind kind, enum origin origin,
                      const struct place *at);
struct node *node_scalar(struct arena *arena, const char *text, enum origin origin,
                         const struct place *at);
struct member *node_add(struct arena *arena, struct node *to, const char *key, struct node *value);
/* NULL if there is none. */
struct member *node_member(const struct node *map, const char *key);

/* Nothing but characters that every writer and reader of text agrees on: UTF-8 without controls,
 * but for tab and line ends, and without the invisible line separators of YAML. */
bool text_is_clean(const char *s, size_t n);

#endif
