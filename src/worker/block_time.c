#include "worker/block_time.h"
#include "eth/block.h"

#include <string.h>

void block_time_learn(struct block_time *b, const struct anchor *at)
{
    if (b->n &&
        (at->number <= b->heads[b->n - 1].number || at->timestamp < b->heads[b->n - 1].timestamp))
        b->n = 0; /* a reorg, or another chain */
    if (b->n == BLOCK_TIME_HEADS)
        memmove(b->heads, b->heads + 1, --b->n * sizeof b->heads[0]);
    b->heads[b->n].number = at->number;
    b->heads[b->n++].timestamp = at->timestamp;
}

int64_t block_time_ms(const struct block_time *b, size_t heads)
{
    if (b->n < heads || b->n < 2)
        return -1;
    uint64_t blocks = b->heads[b->n - 1].number - b->heads[0].number;
    uint64_t seconds = b->heads[b->n - 1].timestamp - b->heads[0].timestamp;
    return (int64_t)(seconds * 1000 / blocks);
}
