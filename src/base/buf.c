#include "base/buf.h"
#include "base/mem.h"

#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void buf_init(struct buf *b, size_t ceiling)
{
    *b = (struct buf){.ceiling = ceiling};
}

void buf_free(struct buf *b)
{
    mem_free(b->data);
    *b = (struct buf){.ceiling = b->ceiling};
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->overflow = false;
    if (b->data)
        b->data[0] = '\0';
}

char *buf_reserve(struct buf *b, size_t n)
{
    if (b->overflow || n > b->ceiling || b->len > b->ceiling - n) {
        b->overflow = true;
        return NULL;
    }
    if (!b->data || b->room - b->len < n + 1) {
        size_t room = b->room ? b->room * 2 : 256;
        if (room < b->len + n + 1)
            room = b->len + n + 1;
        if (room > b->ceiling + 1)
            room = b->ceiling + 1;
        b->data = mem_grow(b->data, room, 1);
        b->room = room;
    }
    return b->data + b->len;
}

void buf_add(struct buf *b, const void *bytes, size_t n)
{
    char *to = buf_reserve(b, n);
    if (!to)
        return;
    if (n)
        memcpy(to, bytes, n);
    b->len += n;
    b->data[b->len] = '\0';
}

void buf_adds(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_addc(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->overflow = true;
        return;
    }
    char *to = buf_reserve(b, (size_t)n);
    if (!to)
        return;
    va_start(ap, fmt);
    vsnprintf(to, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
}

/* Requests are mostly hex, so four bytes go at once. A byte becomes two of a word, one a digit; to
 * each is added '0', and 39 more where it is a letter. */
static void buf_put_hex4(char to[8], const uint8_t from[4])
{
    uint32_t word;
    memcpy(&word, from, sizeof word);
    uint64_t v = le32toh(word);
    v = (v | v << 16) & UINT64_C(0x0000ffff0000ffff);
    v = (v | v << 8) & UINT64_C(0x00ff00ff00ff00ff);
    v = (v >> 4 | v << 8) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    uint64_t letters = (v + UINT64_C(0x0606060606060606)) >> 4 & UINT64_C(0x0101010101010101);
    v = htole64(v + UINT64_C(0x3030303030303030) + letters * ('a' - '0' - 10));
    memcpy(to, &v, sizeof v);
}

void hex_put(char *to, const uint8_t *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        buf_put_hex4(to + 2 * i, bytes + i);
    for (; i < n; i++) {
        to[2 * i] = digits[bytes[i] >> 4];
        to[2 * i + 1] = digits[bytes[i] & 15];
    }
}

void buf_addhex(struct buf *b, const uint8_t *bytes, size_t n)
{
    if (n > (size_t)-1 / 2) {
        b->overflow = true;
        return;
    }
    char *to = buf_reserve(b, n * 2);
    if (!to)
        return;
    hex_put(to, bytes, n);
    b->len += n * 2;
    b->data[b->len] = '\0';
}

const char *buf_str(const struct buf *b)
{
    return b->data ? b->data : "";
}
