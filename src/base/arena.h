/*
 * Memory that belongs to a unit of work: a step opens an arena, allocates freely, throws it away.
 * Nothing in it is freed singly; pointers stay valid until arena_free() or arena_clear().
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

struct arena_chunk;
struct arena {
    struct arena_chunk *chunks; /* newest first */
    size_t total;               /* bytes handed out, for tests and for ceilings of callers */
};

void arena_init(struct arena *a);
void *arena_alloc(struct arena *a, size_t n);                 /* uninitialised, 16-aligned */
void *arena_zero(struct arena *a, size_t count, size_t size); /* zeroed */
char *arena_strdup(struct arena *a, const char *s);
char *arena_printf(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), nonnull(2)));
/* Everything of `from` belongs to a now; pointers stay valid. from is empty. */
void arena_take(struct arena *a, struct arena *from);
void arena_clear(struct arena *a); /* everything gone, the largest chunk kept for reuse */
void arena_free(struct arena *a);

#endif
