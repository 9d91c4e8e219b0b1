#include "track/sync/ws_logs.h"

#include <string.h>

static const struct pushed_block *find(const struct pushed *p, const hash32 *hash)
{
    for (size_t i = 0; i < PUSHED_BLOCKS; i++)
        if (p->blocks[i].used && hash_equal(&p->blocks[i].hash, hash))
            return &p->blocks[i];
    return NULL;
}

static struct pushed_block *find_or_add(struct pushed *p, uint64_t number, const hash32 *hash)
{
    const struct pushed_block *known = find(p, hash);
    if (known)
        return &p->blocks[known - p->blocks];
    struct pushed_block *b = &p->blocks[p->next];
    p->next = (p->next + 1) % PUSHED_BLOCKS;
    *b = (struct pushed_block){.used = true, .number = number, .hash = *hash};
    return b;
}

static void set(uint8_t *bits, uint64_t index)
{
    if (index < PUSHED_INDEXES)
        bits[index / 8] |= (uint8_t)(1u << (index % 8));
}

void pushed_heard(struct pushed *p, uint64_t number, const hash32 *hash, uint64_t index)
{
    set(find_or_add(p, number, hash)->heard, index);
}

void pushed_answered(struct pushed *p, const struct header *h, const struct logs *logs)
{
    struct pushed_block *b = find_or_add(p, h->at.number, &h->at.hash);
    b->answered = true;
    b->by = logs ? logs->by : NULL;
    memset(b->given, 0, sizeof b->given);
    for (size_t i = 0; logs && i < logs->n; i++)
        set(b->given, logs->list[i].index);
}

bool pushed_any(const struct pushed *p, const hash32 *hash)
{
    const struct pushed_block *b = find(p, hash);
    for (size_t i = 0; b && i < sizeof b->heard; i++)
        if (b->heard[i])
            return true;
    return false;
}

static size_t missing(const struct pushed_block *b)
{
    size_t n = 0;
    for (size_t i = 0; i < sizeof b->heard; i++)
        n += (size_t)__builtin_popcount(b->heard[i] & (unsigned)~b->given[i]);
    return n;
}

static const struct pushed_block *lowest_lacking(const struct pushed *p)
{
    const struct pushed_block *lowest = NULL;
    for (size_t i = 0; i < PUSHED_BLOCKS; i++) {
        const struct pushed_block *b = &p->blocks[i];
        if (b->used && b->answered && missing(b) > 0 && (!lowest || b->number < lowest->number))
            lowest = b;
    }
    return lowest;
}

bool pushed_lacks(const struct pushed *p)
{
    return lowest_lacking(p) != NULL;
}

const struct pushed_block *pushed_missing(struct pushed *p, size_t *ret_n, bool *ret_again)
{
    const struct pushed_block *found = lowest_lacking(p);
    if (!found)
        return NULL;
    struct pushed_block *b = &p->blocks[found - p->blocks];
    *ret_n = missing(b);
    *ret_again = ++b->tries <= PUSHED_TRIES;
    b->answered = false; /* until it is asked again */
    if (!*ret_again)
        memset(b->heard, 0, sizeof b->heard);
    return b;
}
