#include "net/memory.h"
#include "base/mem.h"

#include <openssl/crypto.h>

static void *memory_get(size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return mem_alloc(n);
}

static void memory_give_back(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    mem_free(p);
}

/* To no size at all is how OpenSSL frees. */
static void *memory_resize(void *p, size_t n, const char *file, int line)
{
    if (n > 0)
        return mem_grow(p, n, 1);
    memory_give_back(p, file, line);
    return NULL;
}

void net_memory_init(void)
{
    CRYPTO_set_mem_functions(memory_get, memory_resize, memory_give_back);
}
