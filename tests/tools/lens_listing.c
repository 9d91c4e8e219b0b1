/* The assembler is reached from inside its file: the program itself never asks for its listing. */
#include "lens_listing.h"

#include "eth/lens_program.c"

void lens_listing(const struct lens_shape *s, size_t n_wallets, struct buf *text)
{
    struct lens_code code;
    lens_build(s, n_wallets, &code, text);
}
