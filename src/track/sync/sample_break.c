/* A head that does not link, or is lower than the newest sample: which samples are gone, and by
 * which endpoints' word. */
#include "base/clock.h"
#include "base/err.h"
#include "track/sync/sample_internal.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- words of endpoints ---------------------------------------------------------------------- */

/* The first endpoint besides the head's that shows this block; NULL: there is none. */
static int sample_find_witness(const struct sample_question *q, const struct anchor *a,
                               struct endpoint **ret)
{
    *ret = NULL;
    for (size_t i = 0; i < rpc_endpoints(q->t->node) && !*ret; i++) {
        struct endpoint *e = rpc_endpoint(q->t->node, i);
        enum sample_word word;
        if (e == q->s->asked)
            continue;
        if (sample_ask_word(q, a, e, &word) < 0)
            return -1;
        *ret = word == WORD_SAME ? e : NULL;
    }
    return 0;
}

/* From now on this endpoint is asked for its head. */
static void sample_prefer(struct samples *s, struct endpoint *e)
{
    int64_t now = clock_ms();
    bool failed = s->by_failed_ms > 0 && now - s->by_failed_ms < SAMPLE_PREFER_MS;
    if (s->by != e || !failed)
        s->prefer_until_ms = now + SAMPLE_PREFER_MS;
    s->by = e;
}

/* ---- the break ------------------------------------------------------------------------------- */

/* The newest of these samples, newest first, that the chain holds: steps that double, all asked
 * together, then halves. *ret is n when it holds none. */
static int sample_find_common(const struct sample_question *q, const struct anchor *list, size_t n,
                              size_t *ret)
{
    enum { STEPS = 32 };
    uint64_t numbers[STEPS] = {0};
    size_t at[STEPS], steps = 0, bad = 0, good = n;
    struct header h[STEPS];
    bool found[STEPS];
    for (size_t i = 0; i < n && steps < STEPS; i = i * 2 + 1) {
        numbers[steps] = list[i].number;
        at[steps++] = i;
    }
    if (sample_ask_headers(q, q->s->asked, numbers, steps, h, found) < 0)
        return -1;
    for (size_t k = 0; k < steps && good == n; k++) {
        if (!found[k])
            return sample_err_gap(q, numbers[k]);
        if (hash_equal(&h[k].at.hash, &list[at[k]].hash))
            good = at[k];
        else
            bad = at[k];
    }
    while (good > bad + 1) {
        size_t middle = bad + (good - bad) / 2;
        enum sample_word word;
        if (sample_ask_word(q, &list[middle], q->s->asked, &word) < 0)
            return -1;
        if (word == WORD_NONE)
            return sample_err_gap(q, list[middle].number);
        if (word == WORD_SAME)
            good = middle;
        else
            bad = middle;
    }
    *ret = good;
    return 0;
}

/* No stored sample is on the chain: the same chain took all of it back, or it is another one. */
static int sample_check_chain(const struct sample_question *q)
{
    return tracker_identify(q->t, CHAIN_SURE, q->err);
}

/* The head's chain does not hold the final block. That counts when no other endpoint shows the
 * block, and not at once. */
static int sample_may_take_back(const struct sample_question *q)
{
    struct samples *s = q->s;
    const struct anchor *final = &s->finality.at;
    struct endpoint *witness;
    int64_t now = clock_ms();
    if (sample_find_witness(q, final, &witness) < 0)
        return -1;
    if (witness) {
        sample_prefer(s, witness);
        return err_set(q->err, ERR_FAILED,
                       "endpoint \"%s\" does not have final block %" PRIu64
                       " as endpoint \"%s\" shows it",
                       endpoint_name(s->asked), final->number, endpoint_name(witness));
    }
    if (s->final_denied_ms == 0)
        s->final_denied_ms = now;
    if (now - s->final_denied_ms >= SAMPLE_FINAL_MS)
        return 0;
    return err_set(q->err, ERR_FAILED,
                   "the node shows another block at the number of final block %" PRIu64
                   ", it is asked again",
                   final->number);
}

static int sample_describe_break(const struct sample_question *q, const struct anchor *list,
                                 size_t n, struct sample_news *ret)
{
    size_t common = 0;
    if (n > 0 && sample_find_common(q, list, n, &common) < 0)
        return -1;
    if (common == n && sample_check_chain(q) < 0)
        return -1;
    ret->what = SAMPLE_BROKE;
    ret->none_links = common == n;
    ret->first_bad = common < n ? list[common].number + 1 : n > 0 ? list[n - 1].number : 0;
    bool taken_back = q->s->finality.known && ret->first_bad <= q->s->finality.at.number;
    return taken_back ? sample_may_take_back(q) : 0;
}

static int sample_on_break(const struct sample_question *q, struct sample_news *ret)
{
    struct arena arena;
    struct anchor *list;
    size_t n;
    arena_init(&arena);
    struct store_page page = {.up_to = q->head->at.number, .limit = SAMPLE_KEEP, .arena = &arena};
    int rc = store_headers_below(q->t->store, &page, &list, &n, q->err);
    if (rc == 0)
        rc = sample_describe_break(q, list, n, ret);
    arena_free(&arena);
    return rc;
}

/* The sample `top`, which this head denies, was another endpoint's: that endpoint's own word
 * counts, or the word of two others; while it is silent, the head's endpoint at its next look.
 * After a restart the sample's endpoint is not known: no other one may show the sample. */
static int sample_may_break(const struct sample_question *q, const struct anchor *top, bool *ret)
{
    struct samples *s = q->s;
    struct endpoint *witness = NULL;
    enum sample_word word = WORD_OTHER;
    *ret = true;
    if (s->by == s->asked)
        return 0;
    if (!s->by && sample_find_witness(q, top, &witness) < 0)
        return -1;
    if (s->by && sample_ask_word(q, top, s->by, &word) < 0)
        return -1;
    if (word == WORD_NONE)
        *ret = s->denied_by == s->asked;
    s->denied_by = word == WORD_NONE ? s->asked : NULL;
    if (word == WORD_SAME)
        witness = s->by;
    if (!witness)
        return 0;
    *ret = false;
    for (size_t i = 0; i < rpc_endpoints(q->t->node) && !*ret; i++) {
        struct endpoint *e = rpc_endpoint(q->t->node, i);
        if (e == witness || e == s->asked)
            continue;
        if (sample_ask_word(q, top, e, &word) < 0)
            return -1;
        *ret = word == WORD_OTHER;
    }
    if (!*ret)
        sample_prefer(s, witness);
    return 0;
}

int sample_on_denial(const struct sample_question *q, const struct anchor *top,
                     struct sample_news *ret)
{
    bool may_break;
    if (sample_may_break(q, top, &may_break) < 0)
        return -1;
    ret->what = SAMPLE_BEHIND;
    if (!may_break)
        return 0;
    if (sample_on_break(q, ret) < 0)
        return -1;
    if (ret->first_bad <= top->number)
        return 0;
    return err_set(q->err, ERR_FAILED,
                   "the node shows block %" PRIu64 ", but its head %" PRIu64
                   " does not stand on it",
                   top->number, q->head->at.number);
}

/* ---- a low head ------------------------------------------------------------------------------ */

static int sample_err_low(const struct sample_question *q)
{
    struct rpc_sync sync;
    char words[96] = "";
    uint64_t final = q->s->finality.at.number;
    if (rpc_syncing(q->t->node, q->s->asked, &sync))
        snprintf(words, sizeof words, " (it says that it is syncing)");
    if (words[0] && sync.has_blocks)
        snprintf(words, sizeof words,
                 " (it says that it is syncing, at block %" PRIu64 " of %" PRIu64 ")", sync.at,
                 sync.to);
    return err_set(q->err, ERR_FAILED,
                   "the node's head is block %" PRIu64 ", below finalized block %" PRIu64
                   ": it has to catch up first%s",
                   q->head->at.number, final, words);
}

/* What the endpoint shows at the newest sample that its head could hold; *ret_above is the block
 * above it. */
static int sample_ask_below(const struct sample_question *q, enum sample_word *ret,
                            uint64_t *ret_above)
{
    struct anchor below;
    bool found;
    *ret = WORD_SAME;
    *ret_above = q->head->at.number + 1;
    if (sample_find_below(q->t, q->head->at.number, &below, &found, q->err) < 0)
        return -1;
    if (!found)
        return sample_check_chain(q);
    *ret_above = below.number + 1;
    if (below.number < q->head->at.number)
        return sample_ask_word(q, &below, q->s->asked, ret);
    *ret = hash_equal(&below.hash, &q->head->at.hash) ? WORD_SAME : WORD_OTHER;
    return 0;
}

/* After a restart the newest sample's endpoint is not known: the first one that shows it is. */
static int sample_find_by(const struct sample_question *q)
{
    struct anchor top;
    bool found;
    if (q->s->by)
        return 0;
    if (sample_find_below(q->t, UINT64_MAX, &top, &found, q->err) < 0)
        return -1;
    return found ? sample_find_witness(q, &top, &q->s->by) : 0;
}

int sample_on_low_head(const struct sample_question *q, struct sample_news *ret)
{
    struct samples *s = q->s;
    uint64_t head = q->head->at.number, above;
    enum sample_word word;
    int64_t now = clock_ms();
    ret->what = SAMPLE_BEHIND;
    if (sample_find_by(q) < 0 || sample_ask_below(q, &word, &above) < 0)
        return -1;
    if (s->by && s->by != s->asked) {
        sample_prefer(s, s->by);
        return 0;
    }
    if (word == WORD_OTHER)
        return sample_on_break(q, ret);
    if (s->finality.known && head < s->finality.at.number)
        return sample_err_low(q);
    if (s->behind_since_ms == 0 || head > s->behind_at) {
        s->behind_since_ms = now;
        s->behind_at = head;
    }
    if (now - s->behind_since_ms >= SAMPLE_BEHIND_MS)
        *ret = (struct sample_news){.what = SAMPLE_BROKE, .first_bad = above};
    return 0;
}
