/*
 * Kinds of values: how each is read from text, written back, and described when it is wrong.
 *
 * A kind reads either a scalar's text or a whole node. It writes YAML that reads back to the same
 * value. What it expects is one phrase, used in errors and in the docs.
 */
#ifndef CONF_VALUE_H
#define CONF_VALUE_H

#include "conf/decode.h"
#include "conf/settings.h"
#include "conf/yaml_tree.h"

struct kind {
    const char *name; /* for the docs */
    /* One of the two. Base is the struct the row's offset counts in. False: a problem was added. */
    bool (*read_text)(struct decoder *d, const struct spot *s, const char *text, size_t n,
                      void *base);
    bool (*read_node)(struct decoder *d, const struct spot *s, void *base);
    bool or_text; /* reads a whole node, which may be a scalar */
    /* Of a text that is kept as it is: what is wrong with it; NULL: nothing. */
    const char *(*find_flaw)(const struct setting *row, const char *text);
    bool may_be_off; /* … or is `off`, and then kept as NULL */
    /* Nothing is written when there is no value. */
    void (*write)(const struct setting *row, const void *base, struct buf *out);
    const char
        *expects; /* one phrase; {words}, {min}, {max} … stand for the row's: kind_expected() */
};

/* Is it given as text, and has an environment name? */
bool kind_is_scalar(const struct kind *kind);
/* The phrase of what a row's kind expects, its blanks filled in from the row. */
void kind_expected(const struct setting *row, struct buf *out);

extern const struct kind kind_section, kind_list, kind_number, kind_duration, kind_name,
    kind_schema, kind_label, kind_table, kind_url, kind_socket_url, kind_store, kind_address,
    kind_listen, kind_text, kind_yes_no, kind_word, kind_finality, kind_price, kind_view,
    kind_event, kind_sources, kind_wallets;

/* The word's number in a list of words with blanks between, or -1. */
int value_word(const char *words, const char *text, size_t n);

/* A YAML scalar: plain where that is safe, quoted elsewhere, ${ kept from being a variable. */
void value_quote(const char *s, struct buf *out);

#endif
