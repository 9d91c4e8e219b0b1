/* The lens's program as text, as docs/lens.md shows it. */
#ifndef TEST_LENS_LISTING_H
#define TEST_LENS_LISTING_H

#include "base/buf.h"
#include "eth/lens.h"

/* Offset, instruction, and the stack after it, top first. */
void lens_listing(const struct lens_shape *s, size_t n_wallets, struct buf *text);

#endif
