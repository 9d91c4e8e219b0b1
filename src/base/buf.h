/*
 * A growing byte buffer with a ceiling given at birth. Reaching the ceiling is a sticky flag, not a
 * crash: writers go on harmlessly and the owner looks once, at the end. The bytes are always
 * followed by a NUL that does not count, so text can be read as a C string.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    char *data; /* NULL until the first byte; else data[len] is NUL */
    size_t len, room, ceiling;
    bool overflow; /* something did not fit; what is held is a prefix */
};

#define BUF_INIT(max) ((struct buf){.ceiling = (max)})

void buf_init(struct buf *b, size_t ceiling);
void buf_free(struct buf *b);
void buf_clear(struct buf *b); /* length and overflow go, memory stays */

void buf_add(struct buf *b, const void *bytes, size_t n);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_addhex(struct buf *b, const uint8_t *bytes, size_t n); /* lower case, no 0x */
/* The same into memory of the caller's: 2n digits, no NUL. */
void hex_put(char *to, const uint8_t *bytes, size_t n);

/* Room for n more bytes to be written by the caller, who then adds to len; NULL on overflow. */
char *buf_reserve(struct buf *b, size_t n);

/* The text, never NULL. Valid until the next write. */
const char *buf_str(const struct buf *b);

#endif
