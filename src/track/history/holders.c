#include "track/history/holders.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum {
    PLACES_FIRST = 1024,
    PLACES_MOST = 524288,
    PAGE_MOST = 65536, /* wallets that one page of logs may name */
};

struct holder {
    address wallet;
    bool used, fresh; /* fresh: not written down as it is now */
    uint64_t block;
};

void holders_init(struct holders *h, uint64_t secret)
{
    *h = (struct holders){.n_places = PLACES_FIRST, .secret = secret};
    h->places = mem_zero(h->n_places, sizeof *h->places);
}

void holders_free(struct holders *h)
{
    mem_free(h->places);
    *h = (struct holders){0};
}

static uint64_t holders_mix_hash(uint64_t x)
{
    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return x ^ x >> 32;
}

static size_t holders_hash_slot(const struct holders *h, const address *wallet)
{
    uint64_t front, back;
    memcpy(&front, wallet->b, sizeof front);
    memcpy(&back, wallet->b + sizeof wallet->b - sizeof back, sizeof back);
    return (size_t)holders_mix_hash(holders_mix_hash(front ^ h->secret) ^ back) & (h->n_places - 1);
}

/* Where the wallet is, or where it would go. There is always a free place. */
static struct holder *holders_find_slot(const struct holders *h, const address *wallet)
{
    size_t i = holders_hash_slot(h, wallet);
    while (h->places[i].used && !address_equal(&h->places[i].wallet, wallet))
        i = (i + 1) & (h->n_places - 1);
    return &h->places[i];
}

static void holders_grow_table(struct holders *h)
{
    struct holders bigger = *h;
    bigger.n_places = h->n_places * 2;
    bigger.places = mem_zero(bigger.n_places, sizeof *bigger.places);
    for (size_t i = 0; i < h->n_places; i++)
        if (h->places[i].used)
            *holders_find_slot(&bigger, &h->places[i].wallet) = h->places[i];
    mem_free(h->places);
    *h = bigger;
}

bool holders_add(struct holders *h, const address *wallet, uint64_t block)
{
    struct holder *at = holders_find_slot(h, wallet);
    if (!at->used) {
        if (h->n == HOLDERS_MOST)
            return false;
        if (h->n >= h->n_places / 4 * 3 && h->n_places < PLACES_MOST) {
            holders_grow_table(h);
            at = holders_find_slot(h, wallet);
        }
        *at = (struct holder){.wallet = *wallet, .used = true, .fresh = true, .block = block};
        h->n++;
        h->n_new++;
    } else if (block > at->block) {
        at->block = block;
        h->n_new += !at->fresh;
        at->fresh = true;
    }
    return true;
}

bool holders_full(const struct holders *h)
{
    return h->n > HOLDERS_MOST - PAGE_MOST;
}

struct named_holder *holders_new(const struct holders *h, size_t *ret_n)
{
    struct named_holder *list = mem_alloc((h->n_new + 1) * sizeof *list);
    size_t n = 0;
    for (size_t i = 0; i < h->n_places; i++)
        if (h->places[i].used && h->places[i].fresh)
            list[n++] = (struct named_holder){h->places[i].wallet, h->places[i].block};
    if (n > 1)
        qsort(list, n, sizeof *list, address_compare_elements);
    *ret_n = n;
    return list;
}

void holders_written(struct holders *h)
{
    if (holders_full(h)) {
        uint64_t secret = h->secret;
        holders_free(h);
        holders_init(h, secret);
        return;
    }
    for (size_t i = 0; i < h->n_places; i++)
        h->places[i].fresh = false;
    h->n_new = 0;
}
