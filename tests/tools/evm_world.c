#include "evm_world.h"

#include "base/mem.h"

#include <string.h>

static struct evm_world_entry **find(struct evm_world *w, enum evm_kind kind, const address *of,
                                     const hash32 *slot)
{
    uint32_t hash = 2166136261u + (uint32_t)kind;
    for (size_t i = 0; i < sizeof of->b; i++)
        hash = (hash ^ of->b[i]) * 16777619u;
    for (size_t i = 0; slot && i < sizeof slot->b; i++)
        hash = (hash ^ slot->b[i]) * 16777619u;
    struct evm_world_entry **at = &w->buckets[hash % COUNT_OF(w->buckets)];
    while (*at && ((*at)->kind != kind || !address_equal(&(*at)->of, of) ||
                   (slot && !hash_equal(&(*at)->slot, slot))))
        at = &(*at)->next;
    return at;
}

struct evm_world_entry *evm_world_put(struct evm_world *w, enum evm_kind kind, const address *of,
                                      const hash32 *slot)
{
    struct evm_world_entry **at = find(w, kind, of, slot);
    if (!*at) {
        *at = mem_zero(1, sizeof **at);
        (*at)->kind = kind;
        (*at)->of = *of;
        if (slot)
            (*at)->slot = *slot;
    }
    return *at;
}

void evm_world_put_code(struct evm_world *w, const address *of, const uint8_t *bytes, size_t n)
{
    struct evm_world_entry *e = evm_world_put(w, EVM_CODE, of, NULL);
    uint8_t *copy = mem_alloc(n ? n : 1);
    if (n)
        memcpy(copy, bytes, n);
    mem_free((void *)(uintptr_t)e->code.bytes);
    e->code = (struct evm_code){copy, n};
}

static bool get_account(void *ctx, const address *of, struct evm_account *ret)
{
    struct evm_world *w = ctx;
    const struct evm_world_entry *e = *find(w, EVM_ACCOUNT, of, NULL);
    *ret = e ? e->account : (struct evm_account){0};
    return e || w->all;
}

static bool get_code(void *ctx, const address *of, struct evm_code *ret)
{
    struct evm_world *w = ctx;
    const struct evm_world_entry *e = *find(w, EVM_CODE, of, NULL);
    *ret = e ? e->code : (struct evm_code){0};
    return e || w->all;
}

static bool get_slot(void *ctx, const address *of, const hash32 *slot, u256 *ret)
{
    struct evm_world *w = ctx;
    const struct evm_world_entry *e = *find(w, EVM_SLOT, of, slot);
    if (e || w->all)
        *ret = e ? e->value : U256_ZERO;
    return e || w->all;
}

struct evm_state evm_world_state(struct evm_world *w)
{
    return (struct evm_state){
        .ctx = w, .get_account = get_account, .get_code = get_code, .get_slot = get_slot};
}

void evm_world_clear(struct evm_world *w)
{
    for (size_t i = 0; i < COUNT_OF(w->buckets); i++)
        while (w->buckets[i]) {
            struct evm_world_entry *e = w->buckets[i];
            w->buckets[i] = e->next;
            mem_free((void *)(uintptr_t)e->code.bytes);
            mem_free(e);
        }
}
