/*
 * How many wallets a request bears, found out per endpoint and balance.
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
    BLAMED_MOST = 3,
    ASK_WHOLE_AGAIN = 256,
};

struct read_profile *read_profile_find(struct reads *r, const struct endpoint *e,
                                       const struct read_shape *shape)
{
    for (size_t i = 0; i < r->n_profiles; i++) {
        struct read_profile *l = &r->profile[i];
        if (l->endpoint == e && l->terms == shape->terms && l->n_terms == shape->n_terms)
            return l;
    }
    return NULL;
}

/* Asked again, the same reader bears what it did; bisections under way end with what comes next. */
static void read_profile_keep_sizes(const struct read_profile *before, struct read_profile *l)
{
    l->bisects = before->bisects;
    l->bisect_size = before->bisect_size;
    if (before->reader != l->reader)
        return;
    l->size = before->size;
    l->last_bad = before->last_bad;
    l->patience = before->patience;
    l->gas_per_wallet = before->gas_per_wallet;
}

/* Where the gas tells the size it is no guess, until something else has set a limit. */
static bool read_size_is_guess(const struct read_profile *l, size_t n)
{
    return l->last_good && n > l->last_good && (l->gas_per_wallet == 0 || l->last_bad);
}

/* ---- across restarts ------------------------------------------------------------------------- */

enum { SAVED_NUMBERS = 4 };

const char *reads_profile_export(struct reads *r, const struct endpoint *e,
                                 const struct read_shape *shape, struct buf *out)
{
    const struct read_profile *l = read_profile_find(r, e, shape);
    if (!l || !l->anchored || l->reader->most == 1)
        return NULL;
    size_t size = read_size_is_guess(l, l->size) ? l->last_good : l->size;
    buf_addf(out, "%zu %zu %u %llu", size, l->last_bad, l->patience,
             (unsigned long long)l->gas_per_wallet);
    return l->reader->name;
}

/* Numbers with one blank between them. */
static bool read_saved_parse(const char *text, uint64_t ret[SAVED_NUMBERS])
{
    for (size_t i = 0; i < SAVED_NUMBERS; i++) {
        size_t n = strcspn(text, " ");
        if (!parse_u64(text, n, &ret[i]) || (text[n] == ' ') != (i + 1 < SAVED_NUMBERS))
            return false;
        text += n + 1;
    }
    return true;
}

void reads_profile_import(struct reads *r, const struct endpoint *e, const struct read_shape *shape,
                          const char *reader, const char *text)
{
    uint64_t v[SAVED_NUMBERS];
    if (r->n_saved == READ_PROFILES || !read_saved_parse(text, v) || v[0] < 1)
        return;
    for (const struct reader *const *at = readers; *at; at++) {
        if (strcmp((*at)->name, reader) != 0 || v[0] > (*at)->most)
            continue;
        r->saved = mem_grow(r->saved, READ_PROFILES, sizeof *r->saved);
        r->saved[r->n_saved++] = (struct read_saved_profile){
            .endpoint = e,
            .terms = shape->terms,
            .reader = *at,
            .size = (size_t)v[0],
            .last_bad = v[1] <= (*at)->most ? (size_t)v[1] : 0,
            .patience = v[2] <= PATIENCE_MOST ? (unsigned)v[2] : PATIENCE_MOST,
            .gas_per_wallet = v[3] < GAS_FIRST ? v[3] : 0,
        };
        return;
    }
}

/* Less gas than then bears fewer wallets; more is found out in the usual way. */
static void read_profile_restore(const struct reads *r, struct read_profile *l)
{
    for (size_t i = 0; i < r->n_saved; i++) {
        const struct read_saved_profile *k = &r->saved[i];
        if (k->endpoint != l->endpoint || k->terms != l->terms || k->reader != l->reader)
            continue;
        uint64_t gas = l->granted ? l->granted : l->gas;
        uint64_t bears = k->gas_per_wallet ? gas / k->gas_per_wallet : k->size;
        l->size = bears > 0 && bears < k->size ? (size_t)bears : k->size;
        l->last_bad = k->last_bad;
        l->patience = k->patience;
        l->gas_per_wallet = k->gas_per_wallet;
        return;
    }
}

int read_profile_get(struct reads *r, struct endpoint *e, const struct read_shape *shape,
                     struct read_profile **ret, struct err *err)
{
    struct read_profile *known = read_profile_find(r, e, shape);
    if (known && !known->forgotten) {
        *ret = known;
        return 0;
    }
    if (!known && r->n_profiles == READ_PROFILES)
        return err_set(err, ERR_TOO_LARGE, "more than %d endpoints and balances", READ_PROFILES);
    struct read_profile l;
    if (read_probe_endpoint(r, e, shape, known != NULL, &l, err) < 0)
        return -1;
    if (!known)
        read_profile_restore(r, &l);
    else
        read_profile_keep_sizes(known, &l);
    if (!known)
        known = &r->profile[r->n_profiles++];
    *known = l;
    *ret = known;
    return 0;
}

/* Entries are told apart by their endpoint; chunks in flight still point at theirs, so it stays
 * where it is and only stops being found. */
void read_profile_forget(struct reads *r, const struct endpoint *e)
{
    for (size_t i = 0; i < r->n_profiles; i++)
        if (r->profile[i].endpoint == e)
            r->profile[i].forgotten = true;
}

uint64_t read_profile_gas(const struct read_profile *l)
{
    return l->granted && l->granted < l->gas ? l->granted : l->gas;
}

size_t read_profile_size(const struct read_profile *l)
{
    size_t size = l->bisect_size && l->bisect_size < l->size ? l->bisect_size : l->size;
    if (l->probe_chunk && l->last_good && l->last_good < size)
        size = l->last_good;
    return size > 0 ? size : 1;
}

void read_probe_chunk_sent(const struct chunk *c)
{
    if (!c->isolated && !c->profile->probe_chunk && read_size_is_guess(c->profile, c->n))
        c->profile->probe_chunk = c;
}

void read_probe_chunk_gone(const struct chunk *c)
{
    if (c->profile && c->profile->probe_chunk == c)
        c->profile->probe_chunk = NULL;
}

/* Less than was asked for may be one of many backends, or a change: the whole is asked for again at
 * times, which costs nothing where it is lowered. */
static void read_size_take_grant(struct read_profile *l, uint64_t granted)
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
static size_t read_size_by_gas(struct read_profile *l, size_t n, const struct read_result *res)
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
static size_t read_size_next(const struct read_profile *l, size_t n, size_t goal, int64_t took_ms)
{
    size_t next = goal ? goal : l->size + l->size / 4 + 1;
    if (l->last_bad) {
        size_t half_way = (l->last_bad - l->size) / 2;
        if (next >= l->size + half_way)
            next = half_way > l->size / 16 ? l->size + half_way : l->size;
    }
    if (took_ms > 0 && next > n * SLOW_MS / (size_t)took_ms)
        next = n * SLOW_MS / (size_t)took_ms;
    return next < l->reader->most ? next : l->reader->most;
}

/* What failed is forgotten in time, since it may have been a bad moment; each time it fails again,
 * later. */
void read_size_on_good(struct read_profile *l, size_t n, const struct read_result *res,
                       int64_t took_ms)
{
    bool by_gas = res->gas_used > 0 && n >= FEW;
    size_t goal = by_gas ? read_size_by_gas(l, n, res) : 0;
    read_size_take_grant(l, res->gas_granted);
    if (n > l->last_good)
        l->last_good = n;
    if (n >= l->blamed_size)
        l->blamed = 0;
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
    size_t next = read_size_next(l, n, goal, took_ms);
    bool patient = l->successes >= GROW_AFTER || (goal && !l->last_bad);
    if (next > l->size && patient) {
        l->size = next;
        l->successes = 0;
    } else if (l->last_bad && l->successes >= (l->patience ? l->patience : PATIENCE_LEAST)) {
        l->last_bad = 0;
        l->successes = 0;
    }
}

void read_size_on_bad(struct read_profile *l, size_t n)
{
    if (n < 2)
        return;
    if (!l->last_bad || n < l->last_bad)
        l->last_bad = n;
    if (l->last_good >= n)
        l->last_good = 0; /* no longer */
    size_t back = l->last_good > n / 2 ? l->last_good : n / 2;
    if (back < l->size)
        l->size = back;
    l->blamed = 0;
    l->successes = 0;
    l->patience = l->patience ? l->patience * 2 : PATIENCE_LEAST;
    if (l->patience > PATIENCE_MOST)
        l->patience = PATIENCE_MOST;
}

/* Where larger ones held, a few wallets may be too heavy for each other: that is theirs alone. When
 * it happens again and again with nothing as large between, the endpoint bears less than it did. */
void read_size_on_bisected(struct read_profile *l, size_t n)
{
    if (n > l->last_good || ++l->blamed >= BLAMED_MOST)
        read_size_on_bad(l, n);
    else
        l->blamed_size = n;
}

bool read_profile_lower_gas(struct read_profile *l)
{
    uint64_t had = read_profile_gas(l), less = read_gas_below(had);
    if (less == 0)
        return false;
    l->gas = less;
    l->granted = 0;
    if (l->sentinel.kind != SENTINEL_NONE)
        l->sentinel.gas = less / 2;
    l->size = (size_t)(l->size * less / had);
    l->last_bad = 0;
    return true;
}
