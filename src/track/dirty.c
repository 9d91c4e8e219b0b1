#include "track/dirty.h"
#include "base/mem.h"

#include <stdlib.h>

void dirty_add(struct dirty *d, const struct affected *m)
{
    if (d->n == d->room) {
        d->room = d->room ? d->room * 2 : 64;
        d->list = mem_grow(d->list, d->room, sizeof *d->list);
    }
    d->list[d->n++] = *m;
    d->sorted = false;
}

/* Of two entries of one wallet: the later event, the wider right to insert. */
static void dirty_merge(struct affected *into, const struct affected *m)
{
    if (m->has_event && (!into->has_event || m->event_block > into->event_block)) {
        into->has_event = true;
        into->event_block = m->event_block;
    }
    if (m->insert > into->insert)
        into->insert = m->insert;
}

/* As rows come that were asked for by key. */
static bool dirty_is_sorted(const struct dirty *d)
{
    for (size_t i = 1; i < d->n; i++)
        if (address_compare(&d->list[i - 1].wallet, &d->list[i].wallet) >= 0)
            return false;
    return true;
}

void dirty_sort_unique(struct dirty *d)
{
    if (d->sorted || d->n == 0) {
        d->sorted = true;
        return;
    }
    if (!dirty_is_sorted(d))
        qsort(d->list, d->n, sizeof *d->list, address_compare_elements);
    size_t kept = 0;
    for (size_t i = 1; i < d->n; i++) {
        if (address_equal(&d->list[kept].wallet, &d->list[i].wallet))
            dirty_merge(&d->list[kept], &d->list[i]);
        else
            d->list[++kept] = d->list[i];
    }
    d->n = kept + 1;
    d->sorted = true;
}

void dirty_clear(struct dirty *d)
{
    d->n = 0;
    d->sorted = false;
}

void dirty_free(struct dirty *d)
{
    mem_free(d->list);
    *d = (struct dirty){0};
}
