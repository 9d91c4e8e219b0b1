/*
 * From tree to settings, by the table: unknown names are refused with the nearest known one, every
 * known one is read by its kind, missing ones get their default. Nothing here knows a name.
 */
#ifndef CONF_DECODE_H
#define CONF_DECODE_H

#include "conf/conf.h"
#include "conf/problem.h"
#include "conf/settings.h"
#include "conf/yaml_tree.h"

#include <stdbool.h>

/* A value that was set: for duplicates, for `config show`, for `config check`. */
struct given {
    const struct setting *row;
    const char *path; /* with indices */
    const struct yaml_node *node;
    const char *text; /* as expanded; "" if not a scalar */
    struct given *next;
};

struct secret_file;
struct decoder {
    struct arena *arena;
    struct problems *problems;
    struct problems *warnings;              /* names of the last edition */
    char *const *environ_;                  /* for ${NAME}; NULL: none */
    const struct secret_file *secret_files; /* what of it came from files */
    bool whole;            /* the user's settings, not a worker's part: all that is required */
    bool may_be_unnamed;   /* the one balance may lack its name */
    bool nothing_required; /* there is no configuration, and that is well */
    struct given *given, **given_tail;
};

/* One setting at one place of the tree. */
struct spot {
    const struct setting *row;
    const char *path;
    const struct yaml_node *node;
};

void decode_settings(struct decoder *d, const struct yaml_node *root, struct conf *ret);

const struct given *given_find(const struct given *list, const char *path);

/* The spot's problem: `CAUSE "TEXT"; expected WHAT THE KIND EXPECTS`. */
bool spot_refuse(struct decoder *d, const struct spot *s, const char *cause);
/* The same with the expectation in other words, and a column inside the scalar (0: its start). */
bool spot_refuse_at(struct decoder *d, const struct spot *s, size_t column, const char *cause,
                    const char *expected);

/* The node's text with ${NAME} resolved; NULL: a problem was added. */
const char *spot_text(struct decoder *d, const struct spot *s, size_t *ret_n);
/* For a node within a composite value: the spot of one item. */
struct spot spot_within(const struct spot *s, const struct yaml_node *node);

/* Was this text made of variables? Then it is not quoted in a problem: it may be a secret. */
bool yaml_node_has_variable(const struct yaml_node *n);

/* expand.c: text with ${NAME} and ${NAME:-default} resolved and $${ as ${. NULL: a problem. */
const char *expand_text(struct decoder *d, const struct spot *s, size_t *ret_n);

#endif
