/* A fair sample of the rows. */
#include "store/sample.h"

#include "store/driver.h"

int store_sample(struct store *s, const struct store_balance *b, const struct store_page *page,
                 address **ret, size_t *ret_n, struct err *err)
{
    struct reservoir r = {.want = page->limit < STORE_SAMPLE_MOST ? page->limit : STORE_SAMPLE_MOST,
                          .rng = &s->rng};
    r.kept = arena_alloc(page->arena, (r.want + 1) * sizeof *r.kept);
    if (s->driver->sample(s, b, &r, err) < 0)
        return -1;
    *ret = r.kept;
    *ret_n = addresses_sort_unique(r.kept, r.n);
    return 0;
}

address *reservoir_place(struct reservoir *r)
{
    uint64_t place = r->seen++;
    if (r->n < r->want)
        return &r->kept[r->n++];
    place = rng_below(r->rng, place + 1);
    return place < r->want ? &r->kept[place] : NULL;
}
