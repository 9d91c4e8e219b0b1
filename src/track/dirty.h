/*
 * The plan of a step: the affected wallets, each with its event block. Entries may come in any
 * order and repeat. dirty_sort_unique() leaves each wallet once, in key order, with its highest
 * event block. The store demands that order, and readers want it.
 */
#ifndef TRACK_DIRTY_H
#define TRACK_DIRTY_H

#include "eth/address.h"
#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct affected {
    address wallet; /* first: address_compare_elements() */
    bool has_event;
    uint64_t event_block;
    enum store_insert insert;
};

struct dirty {
    struct affected *list;
    size_t n, room;
    bool sorted; /* sorted and unique */
};

void dirty_add(struct dirty *d, const struct affected *m);
void dirty_sort_unique(struct dirty *d);
void dirty_clear(struct dirty *d); /* keeps the memory */
void dirty_free(struct dirty *d);

#endif
