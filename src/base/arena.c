#include "base/arena.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { FIRST_CHUNK = 16 * 1024, LARGEST_STEP = 1024 * 1024, ALIGN = 16 };

struct arena_chunk {
    struct arena_chunk *older;
    size_t used, size;
    _Alignas(ALIGN) unsigned char bytes[];
};

void arena_init(struct arena *a)
{
    *a = (struct arena){0};
}

/* Chunks double up to a limit, so that a small step costs one malloc and a large one few. */
static struct arena_chunk *arena_chunk_new(struct arena *a, size_t need)
{
    size_t size = a->chunks ? a->chunks->size * 2 : FIRST_CHUNK;
    if (size > LARGEST_STEP)
        size = LARGEST_STEP;
    if (size < need)
        size = need;
    struct arena_chunk *c = mem_alloc(sizeof *c + size);
    c->older = a->chunks;
    c->used = 0;
    c->size = size;
    a->chunks = c;
    return c;
}

void *arena_alloc(struct arena *a, size_t n)
{
    size_t need = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (need < n)
        need = n; /* cannot be met; mem_alloc says so */
    struct arena_chunk *c = a->chunks;
    if (!c || c->size - c->used < need)
        c = arena_chunk_new(a, need);
    void *p = c->bytes + c->used;
    c->used += need;
    a->total += need;
    return p;
}

void *arena_zero(struct arena *a, size_t count, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n))
        n = (size_t)-1;
    return memset(arena_alloc(a, n), 0, n);
}

char *arena_strdup(struct arena *a, const char *s)
{
    size_t n = strlen(s) + 1;
    return memcpy(arena_alloc(a, n), s, n);
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0)
        n = 0;
    char *p = arena_alloc(a, (size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return p;
}

/* The chunk in use stays in front, unless there is none. */
void arena_take(struct arena *a, struct arena *from)
{
    struct arena_chunk **end = &from->chunks;
    if (!from->chunks)
        return;
    while (*end)
        end = &(*end)->older;
    if (a->chunks) {
        *end = a->chunks->older;
        a->chunks->older = from->chunks;
    } else {
        a->chunks = from->chunks;
    }
    a->total += from->total;
    arena_init(from);
}

void arena_clear(struct arena *a)
{
    struct arena_chunk *keep = NULL;
    for (struct arena_chunk *c = a->chunks; c; c = c->older)
        if (!keep || c->size > keep->size)
            keep = c;
    for (struct arena_chunk *c = a->chunks, *older; c; c = older) {
        older = c->older;
        if (c != keep)
            mem_free(c);
    }
    if (keep) {
        keep->older = NULL;
        keep->used = 0;
    }
    a->chunks = keep;
    a->total = 0;
}

void arena_free(struct arena *a)
{
    for (struct arena_chunk *c = a->chunks, *older; c; c = older) {
        older = c->older;
        mem_free(c);
    }
    *a = (struct arena){0};
}
