/* Writing JSON: strings escaped, the rest is the caller's buf_add*. Bytes that are not UTF-8 become
 * U+FFFD, so that what a node said can always be shown. */
#ifndef BASE_JSON_WRITE_H
#define BASE_JSON_WRITE_H

#include "base/buf.h"

void json_write_string(struct buf *b, const char *s, size_t n);

#endif
