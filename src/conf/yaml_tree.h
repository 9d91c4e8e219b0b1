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
#ifndef CONF_YAML_TREE_H
#define CONF_YAML_TREE_H

#include "base/arena.h"
#include "conf/problem.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    YAML_TEXT_MAX = 1024 * 1024,
    YAML_DEPTH = 16,
    YAML_NODES = 100000,
    YAML_NAMES = 1000, /* each new one is looked for among the others */
    YAML_SCALAR_MAX = 65536
};

enum yaml_node_kind { YAML_NODE_NOTHING, YAML_NODE_SCALAR, YAML_NODE_LIST, YAML_NODE_MAP };

/* What a value came from, weakest first. */
enum origin { ORIGIN_DEFAULT, ORIGIN_FILE, ORIGIN_FIRST_USER, ORIGIN_ENVIRONMENT, ORIGIN_FLAG };

struct yaml_node;
struct member { /* of a map, or an item of a list (no key) */
    const char *key;
    struct position key_place;
    struct yaml_node *value;
};

struct yaml_node {
    enum yaml_node_kind kind;
    enum origin origin;
    struct position place;
    const char *text; /* of a scalar; no NUL inside */
    size_t n;
    bool exact;  /* text stands in the file letter by letter, so columns inside it can be told */
    bool quoted; /* exact and its first letter is one column after place.column */
    bool plain;  /* not quoted: an empty one is a value forgotten, not an empty text */
    struct member *members;
    size_t count, room;
};

/* The tree, or NULL with problems added. An empty file is a problem. */
struct yaml_node *yaml_tree_parse(struct arena *arena, const char *source, const char *text,
                                  size_t n, enum origin origin, struct problems *problems);

struct yaml_node *yaml_node_new(struct arena *arena, enum yaml_node_kind kind, enum origin origin,
                                const struct position *at);
struct yaml_node *yaml_node_scalar(struct arena *arena, const char *text, enum origin origin,
                                   const struct position *at);
struct member *yaml_node_add(struct arena *arena, struct yaml_node *to, const char *key,
                             struct yaml_node *value);
/* NULL if there is none. */
struct member *yaml_node_member(const struct yaml_node *map, const char *key);

/* Nothing but characters that every writer and reader of text agrees on: UTF-8 without controls,
 * but for tab and line ends, and without the invisible line separators of YAML. */
bool text_is_clean(const char *s, size_t n);

#endif
