#include "track/sync/first_looks.h"

#include <string.h>

enum { TIME_STEP_MS = 500 };

void first_looks_free(struct first_looks *l)
{
    names_free(&l->names);
    names_free(&l->noted);
    fanout_free(&l->asks);
    *l = (struct first_looks){0};
}

/* An older one that is forgotten is asked for once more by the second look: it costs a request. */
void first_looks_add_lists(struct first_looks *l, const struct affected_set *affected)
{
    if (l->asks.n >= FANOUT_ASKS_MOST)
        fanout_clear(&l->asks);
    for (size_t i = 0; i < affected->fanout.n && i < FANOUT_ASKS_MOST; i++)
        fanout_add(&l->asks, &affected->fanout.list[i]);
    if (affected->all_block == 0 || first_looks_have_all(l, affected->all_block))
        return;
    if (l->n_all == FIRST_LOOK_ALL)
        memmove(l->all, l->all + 1, --l->n_all * sizeof l->all[0]);
    l->all[l->n_all++] = affected->all_block;
}

static bool first_looks_is_same(const struct store_dirty *a, const struct store_dirty *b)
{
    return a->number == b->number && address_equal(&a->wallet, &b->wallet) &&
           hash_equal(&a->hash, &b->hash);
}

/* Looks ask about a block several times. A catch-up does not: its blocks rise, so only the names of
 * the block at hand are compared, however many there are. */
static bool first_looks_have_name(const struct first_looks *l, const struct store_dirty *name)
{
    bool rises = name->number >= l->top;
    for (size_t i = l->names.n; i > 0; i--) {
        const struct store_dirty *known = &l->names.list[i - 1];
        if (first_looks_is_same(known, name))
            return true;
        if (rises && known->number < name->number)
            return false;
    }
    return false;
}

static void first_looks_keep_name(struct first_looks *l, const struct store_dirty *name)
{
    names_add(&l->names, name);
    l->top = name->number > l->top ? name->number : l->top;
}

void first_looks_add_names(struct first_looks *l, const struct affected_set *affected,
                           uint64_t finalized)
{
    for (size_t i = 0; i < affected->names.n; i++) {
        const struct store_dirty *name = &affected->names.list[i];
        if (name->number <= finalized && first_looks_have_name(l, name))
            continue;
        if (name->number <= finalized)
            first_looks_keep_name(l, name);
        else if (l->noted.n < FIRST_LOOK_NOTED)
            names_add(&l->noted, name);
        else
            l->noted.list[l->next_noted++ % FIRST_LOOK_NOTED] = *name;
    }
}

static bool first_looks_have_noted(const struct first_looks *l, const struct store_dirty *name)
{
    for (size_t i = 0; i < l->noted.n; i++)
        if (first_looks_is_same(&l->noted.list[i], name))
            return true;
    return false;
}

void first_looks_drop_noted(const struct first_looks *l, struct names *names)
{
    size_t kept = 0;
    for (size_t i = 0; i < names->n; i++)
        if (!first_looks_have_noted(l, &names->list[i]))
            names->list[kept++] = names->list[i];
    names->n = kept;
}

bool first_looks_are_many(const struct first_looks *l)
{
    return l->names.n >= FIRST_LOOK_NAMES;
}

static void first_looks_drop(struct first_looks *l, uint64_t from, uint64_t to)
{
    size_t names = 0, asks = 0, all = 0;
    for (size_t i = 0; i < l->names.n; i++)
        if (l->names.list[i].number < from || l->names.list[i].number > to)
            l->names.list[names++] = l->names.list[i];
    for (size_t i = 0; i < l->asks.n; i++)
        if (l->asks.list[i].block < from || l->asks.list[i].block > to)
            l->asks.list[asks++] = l->asks.list[i];
    for (size_t i = 0; i < l->n_all; i++)
        if (l->all[i] < from || l->all[i] > to)
            l->all[all++] = l->all[i];
    l->names.n = names;
    l->asks.n = asks;
    l->n_all = all;
}

void first_looks_note(struct first_looks *l, uint64_t synced, int64_t now_ms)
{
    if (synced < l->synced) {
        first_looks_drop(l, synced + 1, UINT64_MAX);
        for (size_t i = 0; i < l->n_times; i++)
            if (l->times[i].block > synced)
                l->times[i].block = synced;
    }
    l->synced = synced;
    if (l->n_times > 0 && (l->times[l->n_times - 1].block == synced ||
                           now_ms - l->times[l->n_times - 1].ms < TIME_STEP_MS))
        return;
    if (l->n_times == FIRST_LOOK_TIMES)
        memmove(l->times, l->times + 1, --l->n_times * sizeof l->times[0]);
    l->times[l->n_times].ms = now_ms;
    l->times[l->n_times++].block = synced;
}

bool first_looks_reached(const struct first_looks *l, int64_t ms, uint64_t *ret)
{
    size_t i = l->n_times;
    while (i > 0 && l->times[i - 1].ms > ms)
        i--;
    if (i > 0)
        *ret = l->times[i - 1].block;
    return i > 0;
}

void first_looks_pass(struct first_looks *l, uint64_t block)
{
    first_looks_drop(l, 0, block);
}

bool first_looks_have_list(const struct first_looks *l, const struct fanout_ask *ask)
{
    for (size_t i = 0; i < l->asks.n; i++) {
        const struct fanout_ask *a = &l->asks.list[i];
        if (a->block == ask->block && hash_equal(&a->block_hash, &ask->block_hash) &&
            address_equal(&a->contract, &ask->contract) &&
            address_equal(&a->argument, &ask->argument) &&
            memcmp(a->selector, ask->selector, sizeof a->selector) == 0)
            return true;
    }
    return false;
}

bool first_looks_have_all(const struct first_looks *l, uint64_t block)
{
    for (size_t i = 0; i < l->n_all; i++)
        if (l->all[i] >= block) /* a refresh at a later block answers this event, too */
            return true;
    return false;
}
