#include "eth/nonce.h"

#include <assert.h>
#include <string.h>

void nonce_add_place(struct nonce_places *places, size_t at)
{
    assert(places->n < NONCE_PLACES);
    places->at[places->n++] = at + 2 * (NONCE_WORD - NONCE_SIZE);
}

void nonce_add_word(struct buf *hex, struct nonce_places *places)
{
    static const uint8_t zeros[NONCE_WORD];
    nonce_add_place(places, hex->len);
    buf_addhex(hex, zeros, sizeof zeros);
}

void nonce_encode_echo(const char *block, struct buf *params, struct nonce_places *places)
{
    buf_adds(params, "[{\"to\":\"0x0000000000000000000000000000000000000004\",\"data\":\"0x");
    nonce_add_word(params, places);
    buf_addf(params, "\"},%s]", block);
}

void nonce_write(const struct nonce *nonce, const struct nonce_places *places, char *text)
{
    for (size_t i = 0; i < places->n; i++)
        hex_put(text + places->at[i], nonce->b, sizeof nonce->b);
}

bool nonce_is_word(const struct nonce *nonce, const uint8_t word[NONCE_WORD])
{
    static const uint8_t zeros[NONCE_WORD - NONCE_SIZE];
    return memcmp(word, zeros, sizeof zeros) == 0 &&
           memcmp(word + sizeof zeros, nonce->b, sizeof nonce->b) == 0;
}
