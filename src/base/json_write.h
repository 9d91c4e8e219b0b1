/* Writing JSON. Bytes that are not UTF-8 become U+FFFD, so that what a node said can always be
 * shown. */
#ifndef BASE_JSON_WRITE_H
#define BASE_JSON_WRITE_H

#include "base/buf.h"

/* The text alone, quoted and escaped. */
void json_write_string(struct buf *b, const char *s, size_t n);

/* A member of the open object, or with key NULL an element of the open array or the whole text. The
 * comma before it is written where one is needed. */
void json_begin(struct buf *b, const char *key, char bracket); /* '{' or '[' */
void json_end(struct buf *b, char bracket);                    /* '}' or ']' */
void json_add_bool(struct buf *b, const char *key, bool value);
void json_add_text(struct buf *b, const char *key, const char *text); /* NULL: null */
void json_add_number(struct buf *b, const char *key, uint64_t n);
void json_add_number_or_null(struct buf *b, const char *key, bool has, uint64_t n);
void json_add_decimal(struct buf *b, const char *key, double value, int digits); /* NAN: null */

#endif
