/* What the readers that send the lens share: a chunk as the lens' shape, and cells from its reply.
 */
#ifndef READ_READER_LENS_H
#define READ_READER_LENS_H

#include "eth/lens.h"
#include "read/reader.h"

struct lens_chunk {
    struct lens_term terms[LENS_TERMS_MAX];
    struct lens_shape shape; /* points at terms: do not copy */
};

void lens_chunk_of(const struct read_chunk *chunk, enum lens_mode mode, struct lens_chunk *ret);

/* The reader's decode; `input` is what was sent, in bytes, for the gas that the call paid before
 * its first instruction. */
int lens_chunk_decode(const struct read_chunk *chunk, enum lens_mode mode, size_t input,
                      const uint8_t *reply, size_t len, struct read_result *ret, struct err *err);

#endif
