/* The facts of a block's state that are proven, and those that are wanted. */
#include "base/mem.h"
#include "read/prover_internal.h"

#include <string.h>

/* Slots are hashes and addresses nearly so: their bytes are spread. */
static size_t prover_bucket(enum evm_kind kind, const address *of, const hash32 *slot)
{
    uint32_t hash = (uint32_t)kind;
    for (size_t i = 0; i < sizeof of->b; i++)
        hash = hash * 31 + of->b[i];
    for (size_t i = 0; slot && i < sizeof slot->b; i++)
        hash = hash * 31 + slot->b[i];
    return hash % PROVER_BUCKETS;
}

static struct proven_fact *prover_find(const struct prover *p, enum evm_kind kind,
                                       const address *of, const hash32 *slot)
{
    struct proven_fact *fact = p->buckets[prover_bucket(kind, of, slot)];
    while (fact && (fact->kind != kind || !address_equal(&fact->of, of) ||
                    (slot && !hash_equal(&fact->slot, slot))))
        fact = fact->next;
    return fact;
}

static void prover_want(struct prover *p, struct proven_fact *fact)
{
    if (p->n_wanted == p->wanted_room) {
        p->wanted_room = p->wanted_room ? p->wanted_room * 2 : 256;
        p->wanted = mem_grow(p->wanted, p->wanted_room, sizeof(struct proven_fact *));
    }
    p->wanted[p->n_wanted++] = fact;
}

struct proven_fact *prover_fact(struct prover *p, enum evm_kind kind, const address *of,
                                const hash32 *slot)
{
    struct proven_fact *fact = prover_find(p, kind, of, slot);
    if (fact)
        return fact;
    fact = arena_zero(&p->arena, 1, sizeof *fact);
    fact->kind = kind;
    fact->of = *of;
    if (slot)
        fact->slot = *slot;
    struct proven_fact **bucket = &p->buckets[prover_bucket(kind, of, slot)];
    fact->next = *bucket;
    *bucket = fact;
    prover_want(p, fact);
    return fact;
}

/* ---- as the interpreter asks ----------------------------------------------------------------- */

static const struct proven_fact *prover_get(void *ctx, enum evm_kind kind, const address *of,
                                            const hash32 *slot)
{
    const struct proven_fact *fact = prover_find(ctx, kind, of, slot);
    return fact && fact->proven ? fact : NULL;
}

static bool prover_get_account(void *ctx, const address *of, struct evm_account *ret)
{
    const struct proven_fact *fact = prover_get(ctx, EVM_ACCOUNT, of, NULL);
    if (fact)
        *ret = fact->account;
    return fact;
}

static bool prover_get_code(void *ctx, const address *of, struct evm_code *ret)
{
    const struct proven_fact *fact = prover_get(ctx, EVM_CODE, of, NULL);
    if (fact)
        *ret = fact->code;
    return fact;
}

static bool prover_get_slot(void *ctx, const address *of, const hash32 *slot, u256 *ret)
{
    const struct proven_fact *fact = prover_get(ctx, EVM_SLOT, of, slot);
    if (fact)
        *ret = fact->value;
    return fact;
}

struct evm_state prover_evm_state(struct prover *p)
{
    return (struct evm_state){.ctx = p,
                              .get_account = prover_get_account,
                              .get_code = prover_get_code,
                              .get_slot = prover_get_slot};
}
