/* A fair sample of the rows. */
#include "store/sample.h"

#include "store/driver.h"
#include "store/holders.h"

/* For the next row of the stream: the place it takes, or NULL. */
static address *reservoir_place(struct reservoir *r)
{
    uint64_t place = r->seen++;
    if (r->n < r->want)
        return &r->kept[r->n++];
    place = rng_below(r->rng, place + 1);
    return place < r->want ? &r->kept[place] : NULL;
}

enum { WALK_STEP = 20000 }; /* rows */

/* A walk over all rows by their keys, of which those that stay are put aside. A step of the walk
 * costs a fraction of a microsecond a row, and no request waits for it. */
static int sample_walk(struct store *s, const struct store_balance *b, struct reservoir *r,
                       struct err *err)
{
    struct arena arena;
    struct store_page page = {.limit = WALK_STEP, .arena = &arena};
    address *keys, last, *place;
    size_t n = 0;
    int rc;
    arena_init(&arena);
    do {
        arena_clear(&arena);
        rc = store_keys(s, b, &page, &keys, &n, err);
        for (size_t i = 0; rc == 0 && i < n; i++) {
            last = keys[i];
            if ((place = reservoir_place(r)))
                *place = last;
        }
        page.after = &last;
    } while (rc == 0 && n == WALK_STEP);
    arena_free(&arena);
    return rc;
}

int store_sample(struct store *s, const struct store_balance *b, const struct store_page *page,
                 address **ret, size_t *ret_n, struct err *err)
{
    struct reservoir r = {.want = page->limit < STORE_SAMPLE_MOST ? page->limit : STORE_SAMPLE_MOST,
                          .rng = &s->rng};
    r.kept = arena_alloc(page->arena, (r.want + 1) * sizeof *r.kept);
    if (s->driver->sample && s->driver->sample(s, b, &r, err) < 0)
        return -1;
    if (r.n < r.want && sample_walk(s, b, &r, err) < 0)
        return -1;
    *ret = r.kept;
    *ret_n = addresses_sort_unique(r.kept, r.n);
    return 0;
}
