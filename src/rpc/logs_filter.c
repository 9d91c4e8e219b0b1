/* From an answer to the logs that were asked for. See logs.h for what counts and what does not. */
#include "proc/counters.h"
#include "rpc/logs_internal.h"

#include <stdlib.h>
#include <string.h>

static bool filter_has_word(const struct log_filter *f, const struct event_log *log)
{
    bool has = f->n_words == 0;
    for (size_t i = 0; i < f->n_words && !has && log->n_topics > f->position; i++)
        has = hash_equal(&f->words[i], &log->topics[f->position]);
    return has;
}

static bool filter_has_log(const struct log_filter *f, const struct event_log *log)
{
    bool contract = false;
    for (size_t i = 0; i < f->n_contracts && !contract; i++)
        contract = address_equal(&f->contracts[i], &log->contract);
    if (!contract || log->n_topics == 0)
        return false;
    for (size_t i = 0; i < f->n_topics; i++)
        if (hash_equal(&f->topics[i], &log->topics[0]))
            return filter_has_word(f, log);
    return false;
}

static void logs_ignored(enum logs_ignored why, size_t n)
{
    if (n > 0)
        counters_add((enum cell)(CELL_LOGS_IGNORED + (int)why), n);
}

/* ---- the order ------------------------------------------------------------------------------- */

static int logs_compare_numbers(uint64_t x, uint64_t y)
{
    return x < y ? -1 : x > y;
}

/* By block and index; then by everything else, so that equal logs are neighbours wherever the index
 * tells nothing. */
static int logs_compare(const void *a, const void *b)
{
    const struct event_log *x = a, *y = b;
    int c = logs_compare_numbers(x->block, y->block);
    if (c == 0)
        c = logs_compare_numbers(x->index, y->index);
    if (c == 0)
        c = memcmp(&x->block_hash, &y->block_hash, sizeof x->block_hash);
    if (c == 0)
        c = address_compare(&x->contract, &y->contract);
    if (c == 0)
        c = x->n_topics - y->n_topics;
    if (c == 0)
        c = memcmp(x->topics, y->topics, (size_t)x->n_topics * sizeof x->topics[0]);
    if (c == 0)
        c = logs_compare_numbers(x->data_len, y->data_len);
    return c == 0 && x->data_len > 0 ? memcmp(x->data, y->data, x->data_len) : c;
}

/* As nearly every node answers. */
static bool logs_in_order(const struct logs *l)
{
    for (size_t i = 1; i < l->n; i++)
        if (logs_compare(&l->list[i - 1], &l->list[i]) >= 0)
            return false;
    return true;
}

void logs_filter_sort(struct logs *l)
{
    size_t kept = 0;
    if (logs_in_order(l))
        return;
    qsort(l->list, l->n, sizeof *l->list, logs_compare);
    for (size_t i = 0; i < l->n; i++)
        if (i == 0 || logs_compare(&l->list[kept - 1], &l->list[i]) != 0)
            l->list[kept++] = l->list[i];
    logs_ignored(LOGS_DUPLICATE, l->n - kept);
    l->n = kept;
}

/* ---- one log --------------------------------------------------------------------------------- */

/* Of one block alone all logs are its own, whether they say so or not. */
static void logs_place_without_block(const struct logs_question *q, struct event_log *log)
{
    log->block = q->to;
    log->unplaced = q->from < q->to;
}

/* The block of a log: its own word, as far as it fits the question. */
static void logs_place(const struct logs_question *q, const struct logs *l, struct event_log *log)
{
    if (log->no_block || log->no_hash)
        logs_ignored(LOGS_NO_BLOCK, 1);
    if (log->no_block) {
        logs_place_without_block(q, log);
    } else if (log->block < q->from || log->block > q->to) {
        logs_ignored(LOGS_OUTSIDE_RANGE, 1);
        log->block = q->to;
        log->unplaced = true;
    }
    if (log->no_hash && log->block == q->to) {
        log->block_hash = q->hash ? *q->hash : l->to.at.hash;
        log->no_hash = false;
    }
}

/* Why this log names no wallet; LOGS_IGNORED_REASONS: it does. */
static enum logs_ignored logs_reason(const struct logs_question *q, const struct event_log *log)
{
    if (log->unreadable)
        return LOGS_UNREADABLE;
    if (!filter_has_log(q->filter, log))
        return LOGS_FOREIGN;
    if (log->removed)
        return LOGS_REMOVED;
    if (q->hash && !log->no_hash && !hash_equal(q->hash, &log->block_hash))
        return LOGS_OTHER_BLOCK;
    return LOGS_IGNORED_REASONS;
}

void logs_filter_answer(const struct logs_question *q, struct logs *l)
{
    size_t kept = 0;
    for (size_t i = 0; i < l->n; i++) {
        enum logs_ignored why = logs_reason(q, &l->list[i]);
        if (why != LOGS_IGNORED_REASONS) {
            logs_ignored(why, 1);
            l->other_block += why == LOGS_OTHER_BLOCK;
            continue;
        }
        if (kept != i)
            l->list[kept] = l->list[i];
        logs_place(q, l, &l->list[kept++]);
    }
    l->n = kept;
    logs_filter_sort(l);
}
