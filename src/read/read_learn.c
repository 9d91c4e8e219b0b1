/*
 * How many wallets a request bears, learnt per endpoint and balance.
 *
 * Where the answer tells its gas (the lens), the size follows from it at once. Elsewhere it grows
 * while it holds, and halves when the endpoint finds a request too large, too slow or too long.
 */
#include "base/err.h"
#include "base/mem.h"
#include "base/parse.h"
#include "read/read_internal.h"

#include <string.h>

enum {
    GROW_AFTER = 3,
    PATIENCE_LEAST = 8,
    PATIENCE_MOST = 1024,
    FEW = 64,       /* a chunk of fewer says little of what a wallet costs */
    SLOW_MS = 5000, /* well below the 10 to 30 s after which nodes and proxies give up */
    STRIKES = 3,
    ASK_WHOLE_AGAIN = 256,
};

struct read_learnt *learnt_of(struct reads *r, const struct endpoint *e,
                              const struct read_shape *shape)
{
    for (size_t i = 0; i < r->n_learnt; i++) {
        struct read_learnt *l = &r->learnt[i];
        if (l->endpoint == e && l->terms == shape->terms && l->n_terms == shape->n_terms)
            return l;
    }
    return NULL;
}

/* Asked again, the same reader bears what it did; trials under way end with what comes next. */
static void keep_sizes(const struct read_learnt *before, struct read_learnt *l)
{
    l->trials = before->trials;
    l->caution = before->caution;
    if (before->reader != l->reader)
        return;
    l->size = before->size;
    l->size_failed = before->size_failed;
    l->patience = before->patience;
    l->gas_per_wallet = before->gas_per_wallet;
}

/* Where the gas tells the size it is no guess, until something else has set a limit. */
static bool is_guess(const struct read_learnt *l, size_t n)
{
    return l->held && n > l->held && (l->gas_per_wallet == 0 || l->size_failed);
}

/* ---- across restarts ------------------------------------------------------------------------- */

enum { KEPT_NUMBERS = 4 };

const char *reads_learnt_export(struct reads *r, const struct endpoint *e,
                                const struct read_shape *shape, struct buf *out)
{
    const struct read_learnt *l = learnt_of(r, e, shape);
    if (!l || !l->anchored || l->reader->most == 1)
        return NULL;
    size_t size = is_guess(l, l->size) ? l->held : l->size;
    buf_addf(out, "%zu %zu %u %llu", size, l->size_failed, l->patience,
             (unsigned long long)l->gas_per_wallet);
    return l->reader->name;
}

/* Numbers with one blank between them. */
static bool parse_numbers(const char *text, uint64_t ret[KEPT_NUMBERS])
{
    for (size_t i = 0; i < KEPT_NUMBERS; i++) {
        size_t n = strcspn(text, " ");
        if (!parse_u64(text, n, &ret[i]) || (text[n] == ' ') != (i + 1 < KEPT_NUMBERS))
            return false;
        text += n + 1;
    }
    return true;
}

void reads_learnt_import(struct reads *r, const struct endpoint *e, const struct read_shape *shape,
                         const char *reader, const char *text)
{
    uint64_t v[KEPT_NUMBERS];
    if (r->n_kept == READ_LEARNT || !parse_numbers(text, v) || v[0] < 1)
        return;
    for (const struct reader *const *at = readers; *at; at++) {
        if (strcmp((*at)->name, reader) != 0 || v[0] > (*at)->most)
            continue;
        r->kept = mem_grow(r->kept, READ_LEARNT, sizeof *r->kept);
        r->kept[r->n_kept++] = (struct read_kept){
            .endpoint = e,
            .terms = shape->terms,
            .reader = *at,
            .size = (size_t)v[0],
            .size_failed = v[1] <= (*at)->most ? (size_t)v[1] : 0,
            .patience = v[2] <= PATIENCE_MOST ? (unsigned)v[2] : PATIENCE_MOST,
            .gas_per_wallet = v[3] < GAS_FIRST ? v[3] : 0,
        };
        return;
    }
}

/* Less gas than then bears fewer wallets; more is found out in the usual way. */
static void take_kept(const struct reads *r, struct read_learnt *l)
{
    for (size_t i = 0; i < r->n_kept; i++) {
        const struct read_kept *k = &r->kept[i];
        if (k->endpoint != l->endpoint || k->terms != l->terms || k->reader != l->reader)
            continue;
        uint64_t gas = l->granted ? l->granted : l->gas;
        uint64_t bears = k->gas_per_wallet ? gas / k->gas_per_wallet : k->size;
        l->size = bears > 0 && bears < k->size ? (size_t)bears : k->size;
        l->size_failed = k->size_failed;
        l->patience = k->patience;
        l->gas_per_wallet = k->gas_per_wallet;
        return;
    }
}

int learn_endpoint(struct reads *r, struct endpoint *e, const struct read_shape *shape,
                   struct read_learnt **ret, struct err *err)
{
    struct read_learnt *known = learnt_of(r, e, shape);
    if (known && !known->forgotten) {
        *ret = known;
        return 0;
    }
    if (!known && r->n_learnt == READ_LEARNT)
        return err_set(err, ERR_TOO_LARGE, "more than %d endpoints and balances", READ_LEARNT);
    struct read_learnt l;
    if (probe_endpoint(r, e, shape, known != NULL, &l, err) < 0)
        return -1;
    if (!known)
        take_kept(r, &l);
    else
        keep_sizes(known, &l);
    if (!known)
        known = &r->learnt[r->n_learnt++];
    *known = l;
    *ret = known;
    return 0;
}

/* Entries are told apart by their endpoint; chunks in flight still point at theirs, so it stays
 * where it is and only stops being found. */
void learn_forget(struct reads *r, const struct endpoint *e)
{
    for (size_t i = 0; i < r->n_learnt; i++)
        if (r->learnt[i].endpoint == e)
            r->learnt[i].forgotten = true;
}

uint64_t learnt_gas(const struct read_learnt *l)
{
    return l->granted && l->granted < l->gas ? l->granted : l->gas;
}

size_t learnt_size(const struct read_learnt *l)
{
    size_t size = l->caution && l->caution < l->size ? l->caution : l->size;
    if (l->scout && l->held && l->held < size)
        size = l->held;
    return size > 0 ? size : 1;
}

void scout_sent(const struct chunk *c)
{
    if (!c->alone && !c->learnt->scout && is_guess(c->learnt, c->n))
        c->learnt->scout = c;
}

void scout_gone(const struct chunk *c)
{
    if (c->learnt && c->learnt->scout == c)
        c->learnt->scout = NULL;
}

/* Less than was asked for may be one of many backends, or a change: the whole is asked for again at
 * times, which costs nothing where it is lowered. */
static void take_grant(struct read_learnt *l, uint64_t granted)
{
    if (granted == 0)
        return;
    bool less = granted < l->gas;
    l->lowered = less ? l->lowered + 1 : 0;
    l->granted = less && l->lowered % ASK_WHOLE_AGAIN == 0 ? 0 : granted;
}

/* As many wallets as the gas that is granted bears, with a little to spare: a chunk that stops
 * early costs a request more. The dearest wallets seen lately set the price, cheaper ones lower it
 * slowly. */
static size_t size_by_gas(struct read_learnt *l, size_t n, const struct read_result *res)
{
    uint64_t each = res->gas_used / n;
    if (each > l->gas_per_wallet)
        l->gas_per_wallet = each;
    else
        l->gas_per_wallet -= (l->gas_per_wallet - each) / 16;
    uint64_t bears = res->gas_granted - res->gas_granted / 32;
    size_t size = l->gas_per_wallet ? (size_t)(bears / l->gas_per_wallet) : l->reader->most;
    return size > 0 ? size : 1;
}

/* What the size may become: what the gas bears, at once; by a quarter where nothing tells; where
 * something failed before, half of the way there, until that is hardly more than what holds. Never
 * so much that it would take longer than SLOW_MS, at the pace of this one. */
static size_t next_size(const struct read_learnt *l, size_t n, size_t goal, int64_t took_ms)
{
    size_t next = goal ? goal : l->size + l->size / 4 + 1;
    if (l->size_failed) {
        size_t half_way = (l->size_failed - l->size) / 2;
        if (next >= l->size + half_way)
            next = half_way > l->size / 16 ? l->size + half_way : l->size;
    }
    if (took_ms > 0 && next > n * SLOW_MS / (size_t)took_ms)
        next = n * SLOW_MS / (size_t)took_ms;
    return next < l->reader->most ? next : l->reader->most;
}

/* What failed is forgotten in time, since it may have been a bad moment; each time it fails again,
 * later. */
void learn_size_held(struct read_learnt *l, size_t n, const struct read_result *res,
                     int64_t took_ms)
{
    bool by_gas = res->gas_used > 0 && n >= FEW;
    size_t goal = by_gas ? size_by_gas(l, n, res) : 0;
    take_grant(l, res->gas_granted);
    if (n > l->held)
        l->held = n;
    if (n >= l->struck)
        l->strikes = 0;
    if (goal && goal < l->size)
        l->size = goal;
    if (n < l->size || l->reader->most == 1)
        return;
    if (took_ms > 2 * SLOW_MS) {
        l->size = n > 2 ? n / 2 : 1;
        l->successes = 0;
        return;
    }
    l->successes++;
    size_t next = next_size(l, n, goal, took_ms);
    bool patient = l->successes >= GROW_AFTER || (goal && !l->size_failed);
    if (next > l->size && patient) {
        l->size = next;
        l->successes = 0;
    } else if (l->size_failed && l->successes >= (l->patience ? l->patience : PATIENCE_LEAST)) {
        l->size_failed = 0;
        l->successes = 0;
    }
}

void learn_size_failed(struct read_learnt *l, size_t n)
{
    if (n < 2)
        return;
    if (!l->size_failed || n < l->size_failed)
        l->size_failed = n;
    if (l->held >= n)
        l->held = 0; /* no longer */
    size_t back = l->held > n / 2 ? l->held : n / 2;
    if (back < l->size)
        l->size = back;
    l->strikes = 0;
    l->successes = 0;
    l->patience = l->patience ? l->patience * 2 : PATIENCE_LEAST;
    if (l->patience > PATIENCE_MOST)
        l->patience = PATIENCE_MOST;
}

/* Where larger ones held, a few wallets may be too heavy for each other: that is theirs alone. When
 * it happens again and again with nothing as large between, the endpoint bears less than it did. */
void learn_size_blamed(struct read_learnt *l, size_t n)
{
    if (n > l->held || ++l->strikes >= STRIKES)
        learn_size_failed(l, n);
    else
        l->struck = n;
}

bool learn_less_gas(struct read_learnt *l)
{
    uint64_t had = learnt_gas(l), less = gas_below(had);
    if (less == 0)
        return false;
    l->gas = less;
    l->granted = 0;
    if (l->sentinel.kind != SENTINEL_NONE)
        l->sentinel.gas = less / 2;
    l->size = (size_t)(l->size * less / had);
    l->size_failed = 0;
    return true;
}
