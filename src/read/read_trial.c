/*
 * Too big, or is one of them bad? A chunk that failed is cut in two, and the halves tell: if both
 * hold, it was the size; if one fails, what is bad is in there, and the size was not to blame. So
 * one wallet that burns all gas, or whose answer is a megabyte, costs a handful of requests and no
 * more: everybody else goes on in chunks as large as before.
 *
 * While a trial is under way chunks are kept as small as its halves, or as what held: most failures
 * are about the size, and then as many chunks as fly would fail in the same way.
 */
#include "base/mem.h"
#include "read/read_internal.h"

struct trial {
    struct read_learnt *learnt;
    size_t n;        /* wallets of the whole */
    unsigned halves; /* chunks that belong to it; it ends with the last */
    unsigned held, failed;
};

static void be_careful(struct read_learnt *l, size_t n)
{
    n = n > 0 ? n : 1;
    if (l->caution == 0 || n < l->caution)
        l->caution = n;
}

/* As small as the halves, which are not to be cut; what is known to hold holds all the same. */
static size_t careful_size(const struct read_learnt *l, size_t n)
{
    size_t half = n - n / 2;
    return l->held < n && l->held > half ? l->held : half;
}

void trial_begin(struct chunk *whole, struct chunk *a, struct chunk *b)
{
    struct trial *t = mem_zero(1, sizeof *t);
    *t = (struct trial){.learnt = whole->learnt, .n = whole->n, .halves = 2};
    a->half_of = b->half_of = t;
    t->learnt->trials++;
    if (!whole->half_of)
        be_careful(t->learnt, careful_size(t->learnt, whole->n));
}

static void end(struct trial *t)
{
    struct read_learnt *l = t->learnt;
    if (t->held == 2)
        learn_size_blamed(l, t->n);
    if (--l->trials == 0)
        l->caution = 0;
    mem_free(t);
}

void trial_held(struct chunk *half)
{
    if (half->half_of)
        half->half_of->held++;
}

void trial_failed(struct chunk *half)
{
    struct trial *t = half->half_of;
    if (t && ++t->failed == 2)
        be_careful(t->learnt, (t->n + 3) / 4);
}

void trial_leave(struct chunk *half)
{
    struct trial *t = half->half_of;
    half->half_of = NULL;
    if (t && --t->halves == 0)
        end(t);
}
