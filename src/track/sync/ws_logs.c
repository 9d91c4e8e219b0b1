#include "track/sync/ws_logs.h"

#include <string.h>

static const struct ws_logs_block *ws_logs_find_block(const struct ws_logs *p, const hash32 *hash)
{
    for (size_t i = 0; i < WS_LOGS_BLOCKS; i++)
        if (p->blocks[i].used && hash_equal(&p->blocks[i].hash, hash))
            return &p->blocks[i];
    return NULL;
}

static struct ws_logs_block *ws_logs_find_or_add(struct ws_logs *p, uint64_t number,
                                                 const hash32 *hash)
{
    const struct ws_logs_block *known = ws_logs_find_block(p, hash);
    if (known)
        return &p->blocks[known - p->blocks];
    struct ws_logs_block *b = &p->blocks[p->next];
    p->next = (p->next + 1) % WS_LOGS_BLOCKS;
    *b = (struct ws_logs_block){.used = true, .number = number, .hash = *hash};
    return b;
}

static void ws_logs_set_bit(uint8_t *bits, uint64_t index)
{
    if (index < WS_LOGS_INDEXES)
        bits[index / 8] |= (uint8_t)(1u << (index % 8));
}

void ws_logs_add(struct ws_logs *p, uint64_t number, const hash32 *hash, uint64_t index)
{
    ws_logs_set_bit(ws_logs_find_or_add(p, number, hash)->heard, index);
}

void ws_logs_on_range(struct ws_logs *p, uint64_t from, uint64_t to, const struct logs *logs)
{
    for (size_t i = 0; i < WS_LOGS_BLOCKS; i++) {
        struct ws_logs_block *b = &p->blocks[i];
        if (!b->used || b->number < from || b->number > to)
            continue;
        b->answered = true;
        b->by = logs->by;
        for (size_t k = 0; k < logs->n; k++)
            if (hash_equal(&logs->list[k].block_hash, &b->hash))
                ws_logs_set_bit(b->given, logs->list[k].index);
    }
}

bool ws_logs_has_block(const struct ws_logs *p, const hash32 *hash)
{
    const struct ws_logs_block *b = ws_logs_find_block(p, hash);
    for (size_t i = 0; b && i < sizeof b->heard; i++)
        if (b->heard[i])
            return true;
    return false;
}

static size_t ws_logs_count_missing(const struct ws_logs_block *b)
{
    size_t n = 0;
    for (size_t i = 0; i < sizeof b->heard; i++)
        n += (size_t)__builtin_popcount(b->heard[i] & (unsigned)~b->given[i]);
    return n;
}

static const struct ws_logs_block *ws_logs_find_lowest_missing(const struct ws_logs *p)
{
    const struct ws_logs_block *lowest = NULL;
    for (size_t i = 0; i < WS_LOGS_BLOCKS; i++) {
        const struct ws_logs_block *b = &p->blocks[i];
        if (b->used && b->answered && ws_logs_count_missing(b) > 0 &&
            (!lowest || b->number < lowest->number))
            lowest = b;
    }
    return lowest;
}

bool ws_logs_has_missing(const struct ws_logs *p)
{
    return ws_logs_find_lowest_missing(p) != NULL;
}

const struct ws_logs_block *ws_logs_take_missing(struct ws_logs *p, size_t *ret_n, bool *ret_again)
{
    const struct ws_logs_block *found = ws_logs_find_lowest_missing(p);
    if (!found)
        return NULL;
    struct ws_logs_block *b = &p->blocks[found - p->blocks];
    *ret_n = ws_logs_count_missing(b);
    *ret_again = ++b->tries <= WS_LOGS_TRIES;
    b->answered = false; /* until it is asked again */
    if (!*ret_again)
        memset(b->heard, 0, sizeof b->heard);
    return b;
}
