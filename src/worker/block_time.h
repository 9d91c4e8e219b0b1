/* How long a block takes, as the last heads tell it. */
#ifndef WORKER_BLOCK_TIME_H
#define WORKER_BLOCK_TIME_H

#include <stddef.h>
#include <stdint.h>

struct anchor;

enum { BLOCK_TIME_HEADS = 16 };

struct block_time {
    struct {
        uint64_t number, timestamp;
    } heads[BLOCK_TIME_HEADS]; /* oldest first */
    size_t n;
};

void block_time_learn(struct block_time *b, const struct anchor *at);
/* −1: fewer than `heads` are known. */
int64_t block_time_ms(const struct block_time *b, size_t heads);

#endif
