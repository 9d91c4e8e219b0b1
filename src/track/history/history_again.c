#include "track/history/history_again.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "proc/counters.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    WAIT_MS = 10000, /* between the two answers */
    AT_ONCE = 4,     /* questions */
    SPANS_MOST = 1024,
    KEYS_MOST = 2 * 1024 * 1024,
    ROUNDS_MOST = 8, /* in which all endpoints fail */
};

struct again_span {
    uint64_t from, to;
    int64_t due_ms;
    struct second_choice choice;
    uint64_t *keys; /* ascending: the block's place in the range, then 32 bits of the name's hash */
    size_t n_keys;
    bool done;           /* what it named is the caller's now */
    struct endpoint *by; /* while it is asked … */
    struct logs_proof *proof;
    struct arena arena;
};

void again_init(struct again *a)
{
    backoff_init(&a->wait, 1000, 30000, a->secret);
}

static void again_close_span(struct again_span *s)
{
    logs_proof_close(s->proof);
    arena_free(&s->arena);
    mem_free(s->keys);
    mem_free(s);
}

void again_free(struct again *a)
{
    for (size_t i = 0; i < a->n; i++)
        again_close_span(a->spans[i]);
    mem_free(a->spans);
    *a = (struct again){0};
}

/* ---- keys ------------------------------------------------------------------------------------ */

static uint64_t again_mix(uint64_t x)
{
    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return x ^ x >> 32;
}

static uint64_t again_hash(uint64_t secret, const void *bytes, size_t n)
{
    uint64_t sum = secret;
    for (size_t i = 0; i < n; i += sizeof sum) {
        uint64_t word = 0;
        memcpy(&word, (const uint8_t *)bytes + i, n - i < sizeof word ? n - i : sizeof word);
        sum = again_mix(sum ^ word) + n;
    }
    return sum;
}

static uint64_t again_key(uint64_t from, uint64_t block, uint64_t hash)
{
    return (block - from) << 32 | (hash & UINT32_MAX);
}

static uint64_t again_key_of_name(const struct again *a, uint64_t from,
                                  const struct store_dirty *name)
{
    return again_key(from, name->number, again_hash(a->secret, &name->wallet, sizeof name->wallet));
}

static uint64_t again_key_of_list(const struct again *a, uint64_t from,
                                  const struct fanout_ask *ask)
{
    uint64_t hash = again_hash(a->secret, &ask->contract, sizeof ask->contract);
    hash = again_hash(hash, ask->selector, sizeof ask->selector);
    return again_key(from, ask->block, again_hash(hash, &ask->argument, sizeof ask->argument));
}

static int again_compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Each once, ascending; the caller's to mem_free(). */
static uint64_t *again_make_keys(const struct again *a, uint64_t from,
                                 const struct affected_set *set, size_t *ret_n)
{
    size_t n = 0, kept = 0;
    uint64_t *keys = mem_alloc((set->names.n + set->fanout.n + 1) * sizeof *keys);
    for (size_t i = 0; i < set->names.n; i++)
        keys[n++] = again_key_of_name(a, from, &set->names.list[i]);
    for (size_t i = 0; i < set->fanout.n; i++)
        keys[n++] = again_key_of_list(a, from, &set->fanout.list[i]);
    qsort(keys, n, sizeof *keys, again_compare_keys);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || keys[i] != keys[i - 1])
            keys[kept++] = keys[i];
    *ret_n = kept;
    return keys;
}

static bool again_has_key(const struct again_span *s, uint64_t key)
{
    return s->n_keys > 0 &&
           bsearch(&key, s->keys, s->n_keys, sizeof *s->keys, again_compare_keys) != NULL;
}

/* ---- the line -------------------------------------------------------------------------------- */

static void again_add_span(struct again *a, struct again_span *s)
{
    a->spans = mem_grow(a->spans, a->n + 1, sizeof(struct again_span *));
    a->spans[a->n++] = s;
    a->n_keys += s->n_keys;
}

static void again_drop_done(struct again *a)
{
    for (size_t i = 0; i < a->n;) {
        if (!a->spans[i]->done) {
            i++;
            continue;
        }
        a->n_keys -= a->spans[i]->n_keys;
        again_close_span(a->spans[i]);
        a->spans[i] = a->spans[--a->n];
    }
}

void again_add(struct again *a, uint64_t from, uint64_t to, struct endpoint *by,
               const struct affected_set *shown)
{
    struct again_span *s = mem_zero(1, sizeof *s);
    *s = (struct again_span){
        .from = from, .to = to, .due_ms = clock_ms() + WAIT_MS, .choice = {.first = by}};
    s->keys = again_make_keys(a, from, shown, &s->n_keys);
    again_add_span(a, s);
}

bool again_is_full(const struct again *a)
{
    return a->n >= SPANS_MOST || a->n_keys >= KEYS_MOST;
}

uint64_t again_find_lowest(const struct again *a, uint64_t above)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->spans[i]->from < above)
            above = a->spans[i]->from;
    return above;
}

/* An endpoint bears less: each half is asked for by itself. */
static void again_split(struct again *a, size_t i)
{
    struct again_span *s = a->spans[i], *half = mem_zero(1, sizeof *half);
    uint64_t middle = s->from + (s->to - s->from) / 2;
    size_t low = 0;
    while (low < s->n_keys && s->from + (s->keys[low] >> 32) <= middle)
        low++;
    *half = (struct again_span){
        .from = middle + 1, .to = s->to, .due_ms = s->due_ms, .choice = s->choice};
    half->keys = mem_alloc((s->n_keys - low + 1) * sizeof *half->keys);
    half->n_keys = s->n_keys - low;
    for (size_t k = low; k < s->n_keys; k++)
        half->keys[k - low] = s->keys[k] - ((half->from - s->from) << 32);
    a->n_keys -= half->n_keys;
    s->n_keys = low;
    s->to = middle;
    again_add_span(a, half);
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* As wide as this endpoint bears it. */
static int again_open(struct again *a, size_t i, struct err *err)
{
    struct again_span *s = a->spans[i];
    s->by = second_choice_get(a->node, &s->choice, a->ranges, s->to - s->from);
    while (s->to - s->from > a->ranges[endpoint_number(s->by)].width)
        again_split(a, i);
    arena_init(&s->arena);
    struct logs_ask ask = {.filter = a->filter,
                           .from = s->from,
                           .to = s->to,
                           .lane = RPC_CATCHUP,
                           .by = s->by,
                           .arena = &s->arena};
    if (logs_proof_open(a->node, &ask, &a->at, &s->proof, err) < 0)
        return -1;
    a->n_open++;
    return 0;
}

int again_open_due(struct again *a, struct err *err)
{
    int64_t now = clock_ms();
    again_drop_done(a);
    for (size_t i = 0; i < a->n && a->n_open < AT_ONCE; i++) {
        const struct again_span *s = a->spans[i];
        if (!s->proof && s->due_ms <= now && a->not_before_ms <= now && again_open(a, i, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void again_end_question(struct again *a, struct again_span *s)
{
    logs_proof_close(s->proof);
    arena_free(&s->arena);
    s->proof = NULL;
    a->n_open--;
}

static int again_on_failure(struct again *a, struct again_span *s, const struct err *why,
                            struct err *err)
{
    if (second_choice_on_failure(&s->choice, s->by))
        return 0;
    a->not_before_ms = clock_ms() + backoff_next(&a->wait);
    if (++a->rounds < ROUNDS_MOST)
        return 0;
    err_set(err, ERR_FAILED, "blocks %" PRIu64 " to %" PRIu64 " cannot be asked for twice: %s",
            s->from, s->to, why->text);
    return err_hint(err, "run it again: it goes on from there; --once asks each range once");
}

/* Narrower, later or of another endpoint. */
static int again_on_refusal(struct again *a, size_t i, const struct logs *logs,
                            const struct err *why, struct err *err)
{
    struct again_span *s = a->spans[i];
    struct range *range = &a->ranges[endpoint_number(s->by)];
    bool narrower = logs->fault.fault != FAULT_NONE && s->to > s->from &&
                    range_on_fault(range, s->to - s->from, &logs->fault) == RANGE_AGAIN;
    again_end_question(a, s);
    return narrower ? 0 : again_on_failure(a, s, why, err);
}

static void again_note_missed(struct again *a, const struct again_span *s, uint64_t block)
{
    if (a->missed++ == 0) {
        a->missed_at = block;
        a->missed_by = endpoint_name(s->choice.first);
    }
    counters_missed_logs(endpoint_number(s->choice.first), 1);
}

/* A wallet whose log tells no block is read in any case. */
static void again_add_unplaced(const struct affected_set *shown, struct affected_set *ret_new)
{
    for (size_t i = 0; i < shown->dirty.n; i++)
        if (!shown->dirty.list[i].has_event)
            dirty_add(&ret_new->dirty, &shown->dirty.list[i]);
}

static void again_add_new(struct again *a, const struct again_span *s,
                          const struct affected_set *shown, struct affected_set *ret_new)
{
    for (size_t i = 0; i < shown->names.n; i++) {
        const struct store_dirty *name = &shown->names.list[i];
        if (again_has_key(s, again_key_of_name(a, s->from, name)))
            continue;
        again_note_missed(a, s, name->number);
        dirty_add(&ret_new->dirty, &(struct affected){.wallet = name->wallet,
                                                      .has_event = true,
                                                      .event_block = name->number,
                                                      .insert = events_insert_rule(a->b)});
    }
    for (size_t i = 0; i < shown->fanout.n; i++) {
        if (again_has_key(s, again_key_of_list(a, s->from, &shown->fanout.list[i])))
            continue;
        again_note_missed(a, s, shown->fanout.list[i].block);
        fanout_add(&ret_new->fanout, &shown->fanout.list[i]);
    }
    again_add_unplaced(shown, ret_new);
}

/* How many keys of the first answer the second one lacks. */
static size_t again_count_lacking(const struct again *a, const struct again_span *s,
                                  const struct affected_set *shown)
{
    size_t n, lacking = 0, k = 0;
    uint64_t *keys = again_make_keys(a, s->from, shown, &n);
    for (size_t i = 0; i < s->n_keys; i++) {
        while (k < n && keys[k] < s->keys[i])
            k++;
        lacking += k == n || keys[k] != s->keys[i];
    }
    mem_free(keys);
    return lacking;
}

/* An answer that lacks a part of the first one does not count. */
static int again_take_logs(struct again *a, size_t i, const struct logs *logs,
                           struct affected_set *ret_new, struct err *err)
{
    struct again_span *s = a->spans[i];
    struct affected_set shown = {.by = endpoint_name(s->by)};
    struct err why = {0};
    events_collect(a->b, logs->list, logs->n, &shown);
    size_t lacking =
        second_choice_is_last(&s->choice, s->by) ? 0 : again_count_lacking(a, s, &shown);
    if (lacking == 0)
        again_add_new(a, s, &shown, ret_new);
    affected_set_free(&shown);
    again_end_question(a, s);
    if (lacking == 0) {
        a->rounds = 0;
        s->done = true;
        return 0;
    }
    err_set(&why, ERR_FAILED, "endpoint \"%s\" leaves out %zu events that endpoint \"%s\" showed",
            endpoint_name(s->by), lacking, endpoint_name(s->choice.first));
    return again_on_failure(a, s, &why, err);
}

static int again_take_one(struct again *a, size_t i, struct affected_set *ret_new, struct err *err)
{
    struct again_span *s = a->spans[i];
    struct logs logs;
    struct err why = {0};
    if (logs_proof_result(s->proof, &logs, &why) < 0) {
        if (why.kind == ERR_STOPPED)
            return err_set(err, why.kind, "%s", why.text);
        return again_on_refusal(a, i, &logs, &why, err);
    }
    range_on_answer(&a->ranges[endpoint_number(s->by)], s->to - s->from, logs.n);
    return again_take_logs(a, i, &logs, ret_new, err);
}

int again_take(struct again *a, struct affected_set *ret_new, bool *ret_taken, struct err *err)
{
    *ret_taken = false;
    again_drop_done(a);
    for (size_t i = 0; i < a->n && !*ret_taken; i++) {
        if (a->spans[i]->done || !a->spans[i]->proof || !logs_proof_ended(a->spans[i]->proof))
            continue;
        *ret_taken = true;
        return again_take_one(a, i, ret_new, err);
    }
    return 0;
}
