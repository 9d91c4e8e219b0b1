#include "base/mem.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void mem_out(void)
{
    static const char words[] = "trueup: out of memory\n";
    ssize_t ignored = write(STDERR_FILENO, words, sizeof words - 1);
    (void)ignored;
    _exit(MEM_EXIT_STATUS);
}

static size_t mem_checked_product(size_t count, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n))
        mem_out();
    return n ? n : 1;
}

void *mem_alloc(size_t n)
{
    void *p = malloc(n ? n : 1);
    if (!p)
        mem_out();
    return p;
}

void *mem_zero(size_t count, size_t size)
{
    void *p = calloc(1, mem_checked_product(count, size));
    if (!p)
        mem_out();
    return p;
}

void *mem_grow(void *p, size_t count, size_t size)
{
    void *q = realloc(p, mem_checked_product(count, size));
    if (!q)
        mem_out();
    return q;
}

char *mem_strdup(const char *s)
{
    return mem_strndup(s, strlen(s));
}

char *mem_strndup(const char *s, size_t n)
{
    char *p = mem_alloc(n + 1);
    memcpy(p, s, n);
    p[n] = '\0';
    return p;
}

void mem_free(void *p)
{
    free(p);
}

void mem_give_back(void)
{
    malloc_trim(0);
}
