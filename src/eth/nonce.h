/*
 * A nonce: 16 random bytes that one try of a request carries and its execution gives back. An
 * answer without the try's nonce belongs to another request, however well it is formed.
 *
 * In a request the nonce is the lower half of a word of call data, as hex digits in a JSON text.
 * The text is built once and its digits are written anew before each try, so it comes with their
 * places.
 */
#ifndef ETH_NONCE_H
#define ETH_NONCE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NONCE_SIZE = 16, NONCE_WORD = 32, NONCE_PLACES = 2 };

struct nonce {
    uint8_t b[NONCE_SIZE];
};

/* Offsets in a text of 32 hex digits each. */
struct nonce_places {
    size_t n;
    size_t at[NONCE_PLACES];
};

/* Appends the digits of a word without a nonce, and notes the place of the nonce. */
void nonce_add_word(struct buf *hex, struct nonce_places *places);
/* Notes the lower half of the word whose digits begin at `at`. */
void nonce_add_place(struct nonce_places *places, size_t at);
/* The parameters of an eth_call of the precompile at 0x04 (identity), which answers with its call
 * data: a word with the nonce. block: the block parameter, as JSON. */
void nonce_encode_echo(const char *block, struct buf *params, struct nonce_places *places);
void nonce_write(const struct nonce *nonce, const struct nonce_places *places, char *text);
bool nonce_is_word(const struct nonce *nonce, const uint8_t word[NONCE_WORD]);

#endif
