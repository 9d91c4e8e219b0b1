/*
 * Too big, or is one of them bad? A chunk that failed is cut in two, and the halves tell: if both
 * hold, it was the size; if one fails, what is bad is in there, and the size was not to blame. So
 * one wallet that burns all gas, or whose answer is a megabyte, costs a handful of requests and no
 * more: everybody else goes on in chunks as large as before.
 *
 * While a bisection is under way chunks are kept as small as its halves, or as what held: most
 * failures are about the size, and then as many chunks as fly would fail in the same way.
 */
#include "base/mem.h"
#include "read/read_internal.h"

struct read_bisect {
    struct read_profile *profile;
    size_t n;        /* wallets of the whole */
    unsigned halves; /* chunks that belong to it; it ends with the last */
    unsigned last_good, failed;
};

static void read_bisect_limit(struct read_profile *l, size_t n)
{
    n = n > 0 ? n : 1;
    if (l->bisect_size == 0 || n < l->bisect_size)
        l->bisect_size = n;
}

/* As small as the halves, which are not to be cut; what is known to hold holds all the same. */
static size_t read_bisect_size(const struct read_profile *l, size_t n)
{
    size_t half = n - n / 2;
    return l->last_good < n && l->last_good > half ? l->last_good : half;
}

void read_bisect_begin(struct chunk *whole, struct chunk *a, struct chunk *b)
{
    struct read_bisect *t = mem_zero(1, sizeof *t);
    *t = (struct read_bisect){.profile = whole->profile, .n = whole->n, .halves = 2};
    a->bisect = b->bisect = t;
    t->profile->bisects++;
    if (!whole->bisect)
        read_bisect_limit(t->profile, read_bisect_size(t->profile, whole->n));
}

static void read_bisect_end(struct read_bisect *t)
{
    struct read_profile *l = t->profile;
    if (t->last_good == 2)
        read_size_on_bisected(l, t->n);
    if (--l->bisects == 0)
        l->bisect_size = 0;
    mem_free(t);
}

void read_bisect_good(struct chunk *half)
{
    if (half->bisect)
        half->bisect->last_good++;
}

void read_bisect_bad(struct chunk *half)
{
    struct read_bisect *t = half->bisect;
    if (t && ++t->failed == 2)
        read_bisect_limit(t->profile, (t->n + 3) / 4);
}

void read_bisect_leave(struct chunk *half)
{
    struct read_bisect *t = half->bisect;
    half->bisect = NULL;
    if (t && --t->halves == 0)
        read_bisect_end(t);
}
