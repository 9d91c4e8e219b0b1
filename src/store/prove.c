/* The verbs of prove.h: to the backend, and what both share. */
#include "store/prove.h"

#include "base/random.h"

#include <stdlib.h>

#define TO_BACKEND(s, verb, ...)                                                                   \
    (store_is_sqlite(s) ? sq_prove_##verb(s, __VA_ARGS__) : pg_prove_##verb(s, __VA_ARGS__))

int prove_sample(struct store *s, const struct store_balance *b, size_t want, struct arena *arena,
                 address **ret, size_t *ret_n, struct err *err)
{
    if (want > PROVE_SAMPLE_MOST)
        want = PROVE_SAMPLE_MOST;
    return TO_BACKEND(s, sample, b, want, arena, ret, ret_n, err);
}

int prove_rows(struct store *s, const struct store_balance *b, const address *wallets, size_t n,
               struct prove_row *ret, struct err *err)
{
    return n ? TO_BACKEND(s, rows, b, wallets, n, ret, err) : 0;
}

int prove_replaced(struct store *s, uint64_t number, bool *ret, struct err *err)
{
    return TO_BACKEND(s, replaced, number, ret, err);
}

int prove_drift_cause(struct store *s, const uint64_t *ids, size_t n, const char *cause,
                      const char *endpoint, struct err *err)
{
    return n ? TO_BACKEND(s, drift_cause, ids, n, cause, endpoint, err) : 0;
}

int prove_drift_drop(struct store *s, const uint64_t *ids, size_t n, struct err *err)
{
    return n ? TO_BACKEND(s, drift_drop, ids, n, err) : 0;
}

int prove_drift_prune(struct store *s, struct err *err)
{
    return TO_BACKEND(s, drift_prune, err);
}

int prove_drift_of(struct store *s, const struct store_balance *b, const address *wallet,
                   size_t limit, struct arena *arena, struct view_drift **ret, size_t *ret_n,
                   struct err *err)
{
    return TO_BACKEND(s, drift_of, b, wallet, limit, arena, ret, ret_n, err);
}

address *reservoir_place(struct reservoir *r)
{
    uint64_t place = r->seen++;
    if (r->n < r->want)
        return &r->kept[r->n++];
    place = rng_below(r->rng, place + 1);
    return place < r->want ? &r->kept[place] : NULL;
}

static int by_address(const void *a, const void *b)
{
    return address_compare(a, b);
}

size_t addresses_sort_unique(address *list, size_t n)
{
    size_t kept = 0;
    if (n > 1)
        qsort(list, n, sizeof *list, by_address);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || !address_equal(&list[kept - 1], &list[i]))
            list[kept++] = list[i];
    return kept;
}
