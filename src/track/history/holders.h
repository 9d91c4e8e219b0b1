/*
 * Holders found in event history, each once, with the highest block whose event named it. Millions
 * of logs name the same wallets again. Memory is bounded by the number of wallets and by a ceiling;
 * at the ceiling the owner saves them and starts with an empty table.
 *
 * It is an open hash table. A secret of the table is mixed into each hash, so an attacker cannot
 * choose addresses that collide.
 */
#ifndef TRACK_HISTORY_HOLDERS_H
#define TRACK_HISTORY_HOLDERS_H

#include "store/holders.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HOLDERS_MOST = 393216 }; /* three quarters of 2^19 places of 32 bytes */

struct holder;
struct holders {
    struct holder *places;
    size_t n, n_places; /* the latter a power of two */
    size_t n_new;       /* met or raised since holders_written() */
    uint64_t secret;
};

void holders_init(struct holders *h, uint64_t secret);
void holders_free(struct holders *h);

/* Remembers the wallet, or raises its block. False when the table is at its ceiling and the wallet
 * is not in it. */
bool holders_add(struct holders *h, const address *wallet, uint64_t block);
bool holders_full(const struct holders *h); /* nearly: a page of logs may still be added */

/* Those met or raised since the last holders_written(), in key order; the caller's to mem_free().
 */
struct named_holder *holders_new(const struct holders *h, size_t *ret_n);
/* They are durable. At the ceiling all are forgotten; else they stay, so that what is named again
 * at no higher block is not written again. */
void holders_written(struct holders *h);

#endif
