#include "base/clock.h"
#include "base/err.h"
#include "proc/counters.h"
#include "track/sync/positions.h"
#include "track/sync/sample_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const struct header *sample_near(const struct samples *s, uint64_t number)
{
    for (size_t i = s->n_near; i > 0; i--)
        if (s->near[i - 1].at.number == number)
            return &s->near[i - 1];
    return NULL;
}

int sample_find_below(struct tracker *t, uint64_t number, struct anchor *ret, bool *ret_found,
                      struct err *err)
{
    struct arena arena;
    struct anchor *list;
    size_t n;
    arena_init(&arena);
    struct store_page page = {.up_to = number, .limit = 1, .arena = &arena};
    int rc = store_headers_below(t->store, &page, &list, &n, err);
    *ret_found = rc == 0 && n > 0;
    if (*ret_found)
        *ret = list[0];
    arena_free(&arena);
    return rc;
}

bool sample_has_other(const struct samples *s)
{
    return s->by && s->by != s->asked && clock_ms() < s->prefer_until_ms;
}

/* The head is what the node says, also while nothing can be read or written at it. */
static void sample_count_head(const struct header *head)
{
    if (head->at.number <= counters_get(PART_FOLLOW, CELL_HEAD))
        return;
    counters_set(CELL_HEAD, head->at.number);
    counters_set(CELL_HEAD_TIME, head->at.timestamp);
    counters_set(CELL_HEAD_AT, (uint64_t)wall_ms());
}

/* An endpoint whose head could not be linked is left alone for a while, longer each time. */
static void sample_on_odd_head(struct samples *s)
{
    int64_t longer = s->odd_ms * 2 < SAMPLE_PREFER_MS ? s->odd_ms * 2 : SAMPLE_PREFER_MS;
    s->odd_ms = s->odd == s->asked ? longer : SAMPLE_ODD_MS;
    s->odd = s->asked;
    s->odd_until_ms = clock_ms() + s->odd_ms;
}

/* The endpoint whose turn it is; NULL: any. */
static struct endpoint *sample_choose_endpoint(struct tracker *t, const struct samples *s)
{
    int64_t now = clock_ms();
    size_t n = rpc_endpoints(t->node);
    if (now < s->prefer_until_ms)
        return s->by;
    if (!s->odd || now >= s->odd_until_ms || n < 2)
        return NULL;
    return rpc_endpoint(t->node, (endpoint_number(s->odd) + 1) % n);
}

static int sample_ask_any_head(struct tracker *t, struct samples *s, struct header *ret,
                               struct err *err)
{
    struct err ignored = {0};
    struct endpoint *only = sample_choose_endpoint(t, s);
    if (only && rpc_header_newest(t->node, only, ret, &s->asked, &ignored) == 0)
        return 0;
    if (only && only == s->by)
        s->by_failed_ms = clock_ms();
    s->prefer_until_ms = s->odd_until_ms = 0;
    return rpc_header_newest(t->node, NULL, ret, &s->asked, err);
}

int sample_ask_head(struct tracker *t, struct samples *s, struct header *ret, struct err *err)
{
    if (sample_ask_any_head(t, s, ret, err) < 0)
        return -1;
    sample_count_head(ret);
    return 0;
}

static void sample_keep_near(struct samples *s, const struct header *h)
{
    while (s->n_near > 0 && s->near[s->n_near - 1].at.number >= h->at.number)
        s->n_near--;
    if (s->n_near == SAMPLE_NEAR)
        memmove(s->near, s->near + 1, --s->n_near * sizeof s->near[0]);
    s->near[s->n_near++] = *h;
}

void sample_rewind(struct samples *s, uint64_t first_bad)
{
    while (s->n_near > 0 && s->near[s->n_near - 1].at.number >= first_bad)
        s->n_near--;
    if (s->finality.known && s->finality.at.number >= first_bad)
        s->finality.known = false;
    s->known = false;
    s->by = s->denied_by = NULL;
    s->behind_since_ms = s->final_denied_ms = s->unlinked_ms = 0;
}

/* ---- what an endpoint shows ------------------------------------------------------------------ */

int sample_ask_headers(const struct sample_question *q, struct endpoint *of,
                       const uint64_t *numbers, size_t n, struct header *ret, bool *ret_found)
{
    struct rpc_headers_ask ask = {.of = of, .numbers = numbers, .n = n};
    return rpc_headers_numbers(q->t->node, &ask, ret, ret_found, q->err);
}

int sample_ask_word(const struct sample_question *q, const struct anchor *a, struct endpoint *of,
                    enum sample_word *ret)
{
    struct header h;
    bool found;
    if (sample_ask_headers(q, of, &a->number, 1, &h, &found) < 0)
        return -1;
    *ret = !found ? WORD_NONE : hash_equal(&h.at.hash, &a->hash) ? WORD_SAME : WORD_OTHER;
    return 0;
}

int sample_err_gap(const struct sample_question *q, uint64_t number)
{
    return err_set(q->err, ERR_FAILED, "the node has head %" PRIu64 " but not block %" PRIu64,
                   q->head->at.number, number);
}

/* ---- the link -------------------------------------------------------------------------------- */

/* Do parents lead from the head to `top`? Headers are asked for by number, many together. */
static int sample_walk_parents(const struct sample_question *q, const struct anchor *top,
                               bool *ret_linked)
{
    uint64_t numbers[RPC_HEADERS_MOST];
    struct header asked[RPC_HEADERS_MOST];
    bool found[RPC_HEADERS_MOST];
    struct anchor child = q->head->at;
    *ret_linked = false;
    while (child.number > top->number + 1) {
        uint64_t left = child.number - top->number - 1;
        size_t n = left < RPC_HEADERS_MOST ? (size_t)left : RPC_HEADERS_MOST;
        for (size_t i = 0; i < n; i++)
            numbers[i] = child.number - 1 - i;
        if (sample_ask_headers(q, q->s->asked, numbers, n, asked, found) < 0)
            return -1;
        for (size_t i = 0; i < n; i++) {
            if (!found[i])
                return sample_err_gap(q, numbers[i]);
            if (!hash_equal(&asked[i].at.hash, &child.parent))
                return 0; /* the chain moved meanwhile */
            child = asked[i].at;
        }
    }
    *ret_linked = hash_equal(&child.parent, &top->hash);
    return 0;
}

/* Development chains have blocks whose parent hashes lead nowhere. An endpoint that goes on showing
 * the sample at its number is believed after a while. */
static int sample_is_at_number(const struct sample_question *q, const struct anchor *top, bool *ret)
{
    struct samples *s = q->s;
    enum sample_word word;
    int64_t now = clock_ms();
    if (sample_ask_word(q, top, s->asked, &word) < 0)
        return -1;
    if (word != WORD_SAME || s->unlinked_ms == 0)
        s->unlinked_ms = word == WORD_SAME ? now : 0;
    *ret = word == WORD_SAME && now - s->unlinked_ms >= SAMPLE_NUMBER_MS;
    return 0;
}

static int sample_is_linked_near(const struct sample_question *q, const struct anchor *top,
                                 bool *ret)
{
    struct samples *s = q->s;
    struct rpc_blockhash_ask ask = {.of = s->asked, .at = &q->head->at, .number = top->number};
    enum rpc_blockhash says = RPC_BLOCKHASH_SILENT;
    hash32 seen;
    if (s->unable < SAMPLE_UNABLE && rpc_blockhash(q->t->node, &ask, &seen, &says, q->err) < 0)
        return -1;
    *ret = says == RPC_BLOCKHASH_KNOWN && hash_equal(&seen, &top->hash);
    if (*ret)
        s->unable = 0;
    if (*ret)
        return 0;
    if (sample_walk_parents(q, top, ret) < 0)
        return -1;
    s->unable += *ret && says != RPC_BLOCKHASH_SILENT;
    return *ret ? 0 : sample_is_at_number(q, top, ret);
}

/* Where no parents are walked, the head has at least to be there when it is asked for. */
static int sample_check_head(const struct sample_question *q)
{
    enum sample_word word;
    if (sample_ask_word(q, &q->head->at, q->s->asked, &word) < 0)
        return -1;
    return word == WORD_SAME ? 0
                             : err_set(q->err, ERR_FAILED,
                                       "endpoint \"%s\" has head %" PRIu64
                                       ", but does not show it when it is asked for that block",
                                       endpoint_name(q->s->asked), q->head->at.number);
}

/* After a stop of more than the EVM knows the hashes of, most samples are final: a tag is asked for
 * before hundreds of headers are. */
static bool sample_is_final(const struct sample_question *q, const struct anchor *top)
{
    struct finality *f = &q->s->finality;
    struct err ignored = {0};
    struct anchor at;
    if (f->known && top->number <= f->at.number)
        return true;
    if (q->head->at.number - top->number <= SAMPLE_REACH)
        return false;
    f->of = q->s->asked;
    bool answered = finality_poll(q->t, f, q->head, 0, &at, &ignored) == 0;
    f->asked_ms = 0; /* it is raised to by another question */
    return answered && top->number <= at.number;
}

/* Does the chain of the head hold `top`, which is below it? */
static int sample_is_linked(const struct sample_question *q, const struct anchor *top, bool *ret)
{
    const struct samples *s = q->s;
    uint64_t gap = q->head->at.number - top->number;
    enum sample_word word;
    *ret = gap == 1 && hash_equal(&q->head->at.parent, &top->hash);
    if (gap == 1)
        return 0;
    bool final = sample_is_final(q, top);
    if (gap <= SAMPLE_REACH && !final)
        return sample_is_linked_near(q, top, ret);
    if (sample_ask_word(q, top, s->asked, &word) < 0)
        return -1;
    if (word == WORD_NONE)
        return sample_err_gap(q, top->number);
    *ret = word == WORD_SAME;
    if (!*ret || (final && gap <= SAMPLE_WALK))
        return 0;
    return gap <= SAMPLE_WALK ? sample_walk_parents(q, top, ret) : sample_check_head(q);
}

/* ---- a new sample ---------------------------------------------------------------------------- */

/* After a long stop no sample is near the block that the sweep reads at. Its header is fetched, and
 * linked by the head's BLOCKHASH. Where that fails, the sweep waits for the samples to come. */
static int sample_fill_gap(const struct sample_question *q)
{
    struct samples *s = q->s;
    uint64_t number = q->head->at.number - POSITIONS_STATE;
    struct rpc_blockhash_ask ask = {.of = s->asked, .at = &q->head->at, .number = number};
    enum rpc_blockhash says;
    struct header h;
    hash32 seen;
    bool found;
    if (rpc_blockhash(q->t->node, &ask, &seen, &says, q->err) < 0 ||
        sample_ask_headers(q, s->asked, &number, 1, &h, &found) < 0)
        return -1;
    if (says != RPC_BLOCKHASH_KNOWN || !found || !hash_equal(&h.at.hash, &seen))
        return 0;
    return store_headers_put(q->t->store, &h.at, 1, q->err);
}

/* A node that fetches the state of its first block shows block 0 meanwhile. */
static int sample_check_first(const struct sample_question *q)
{
    struct rpc_sync sync;
    if (q->head->at.number > 0)
        return sample_check_head(q);
    if (!rpc_syncing(q->t->node, q->s->asked, &sync))
        return 0;
    return err_set(q->err, ERR_FAILED,
                   "the node's head is block 0 and it says that it is syncing: it is waited for");
}

/* The head is stored before anything is read at it. */
static int sample_take(const struct sample_question *q, const struct anchor *top,
                       struct sample_news *ret)
{
    struct samples *s = q->s;
    if (top && q->head->at.number - top->number > POSITIONS_STATE && sample_fill_gap(q) < 0)
        return -1;
    if (store_headers_put(q->t->store, &q->head->at, 1, q->err) < 0)
        return -1;
    sample_keep_near(s, q->head);
    s->head = *q->head;
    s->known = true;
    s->unable = s->by == s->asked ? s->unable : 0; /* another endpoint may run the call */
    s->by = s->asked;
    s->denied_by = NULL;
    s->odd = s->odd == s->asked ? NULL : s->odd;
    s->behind_since_ms = s->final_denied_ms = s->unlinked_ms = 0;
    ret->what = SAMPLE_GREW;
    return 0;
}

static int sample_link_head(const struct sample_question *q, struct sample_news *ret)
{
    struct samples *s = q->s;
    const struct header *head = q->head;
    struct anchor top;
    bool found, linked;
    *ret = (struct sample_news){.what = SAMPLE_SAME};
    if (s->known && hash_equal(&head->at.hash, &s->head.at.hash)) {
        s->behind_since_ms = 0;
        return 0;
    }
    if (sample_find_below(q->t, UINT64_MAX, &top, &found, q->err) < 0)
        return -1;
    if (!found)
        return sample_check_first(q) < 0 ? -1 : sample_take(q, NULL, ret);
    if (hash_equal(&head->at.hash, &top.hash)) /* after a restart */
        return sample_take(q, &top, ret);
    if (head->at.number <= top.number)
        return sample_on_low_head(q, ret);
    if (sample_is_linked(q, &top, &linked) < 0)
        return -1;
    return linked ? sample_take(q, &top, ret) : sample_on_denial(q, &top, ret);
}

int sample_link(struct tracker *t, struct samples *s, const struct header *head,
                struct sample_news *ret, struct err *err)
{
    struct sample_question q = {t, s, head, err};
    int rc = sample_link_head(&q, ret);
    if (rc < 0 && err->kind == ERR_FAILED)
        sample_on_odd_head(s);
    return rc;
}

int sample_check_final(struct tracker *t, struct samples *s, const struct anchor *final,
                       struct sample_news *ret, struct err *err)
{
    struct sample_question q = {t, s, &s->head, err};
    enum sample_word word = WORD_SAME;
    struct anchor below;
    bool found;
    *ret = (struct sample_news){.what = SAMPLE_SAME};
    if (sample_find_below(t, final->number, &below, &found, err) < 0)
        return -1;
    if (!found)
        return 0;
    if (below.number < final->number && sample_ask_word(&q, &below, s->asked, &word) < 0)
        return -1;
    if (below.number == final->number)
        word = hash_equal(&below.hash, &final->hash) ? WORD_SAME : WORD_OTHER;
    return word == WORD_OTHER ? sample_on_denial(&q, &below, ret) : 0;
}
