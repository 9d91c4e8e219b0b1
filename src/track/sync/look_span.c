#include "track/sync/look_span.h"

#include <string.h>

void look_span_begin(struct look_span *s, uint64_t synced)
{
    if (s->begun && synced <= s->asked)
        return;
    if (!s->begun)
        s->first = synced + 1;
    s->begun = true;
    s->settled = s->asked = synced;
}

void look_span_on_head(struct look_span *s, uint64_t number, int64_t now_ms)
{
    if (s->n > 0 && s->heads[s->n - 1].number >= number)
        return;
    if (s->n == LOOK_HEADS)
        s->first = s->heads[0].number + 1;
    if (s->n == LOOK_HEADS)
        memmove(s->heads, s->heads + 1, --s->n * sizeof s->heads[0]);
    s->heads[s->n++] = (struct look_head){number, now_ms};
}

void look_span_drop_head(struct look_span *s, uint64_t number)
{
    if (s->n > 0 && s->heads[s->n - 1].number == number)
        s->n--;
}

static uint64_t look_span_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The first block first seen LOOK_WIDE_MS ago or later; false when every block is older. */
static bool look_span_find_recent(const struct look_span *s, int64_t now_ms, uint64_t *ret)
{
    size_t i = s->n;
    while (i > 0 && now_ms - s->heads[i - 1].seen_ms <= LOOK_WIDE_MS)
        i--;
    if (i == s->n)
        return false;
    *ret = i > 0 ? s->heads[i - 1].number + 1 : s->first;
    return true;
}

bool look_span_next(struct look_span *s, uint64_t width, int64_t now_ms, uint64_t *ret_from)
{
    uint64_t due = s->settled + 1, from = due, recent;
    if (s->n == 0)
        return false;
    uint64_t head = s->heads[s->n - 1].number;
    /* With a new head, the look before the last is asked again, whatever its age is. */
    if (s->n >= 3 && s->asked < head)
        from = look_span_min(from, s->heads[s->n - 3].number);
    s->wide =
        now_ms - s->wide_ms >= LOOK_WIDE_EVERY_MS && look_span_find_recent(s, now_ms, &recent);
    if (s->wide)
        from = look_span_min(from, recent);
    if (head > width && from < head - width)
        from = look_span_min(due, head - width);
    *ret_from = from;
    return from <= head;
}

bool look_span_find_changed(const struct look_span *s, uint64_t from, uint64_t to,
                            const struct event_log *logs, size_t n, struct anchor *ret)
{
    static const hash32 none;
    struct look_block now[LOOK_BLOCKS] = {0};
    uint64_t last = look_span_min(to, s->asked), first = from > s->first ? from : s->first;
    if (last >= LOOK_BLOCKS && first <= last - LOOK_BLOCKS)
        first = last - LOOK_BLOCKS + 1;
    for (size_t i = 0; i < n; i++) {
        struct look_block *b = &now[logs[i].block % LOOK_BLOCKS];
        if (logs[i].unplaced || logs[i].block < first || logs[i].block > last)
            continue;
        b->logs++;
        b->hash = logs[i].block_hash;
    }
    for (uint64_t number = first; number <= last; number++) {
        const struct look_block *b = &now[number % LOOK_BLOCKS],
                                *before = &s->blocks[number % LOOK_BLOCKS];
        size_t logs_before = before->number == number ? before->logs : 0;
        *ret = (struct anchor){.number = number, .hash = b->logs > 0 ? b->hash : before->hash};
        if (b->logs != logs_before && !hash_equal(&ret->hash, &none))
            return true;
    }
    return false;
}

size_t look_span_count_late(struct look_span *s, uint64_t from, uint64_t to,
                            const struct event_log *logs, size_t n)
{
    size_t late = 0;
    for (size_t i = 0, k; i < n; i = k) {
        uint64_t number = logs[i].block;
        size_t shown = 0;
        for (k = i; k < n && logs[k].block == number; k++)
            shown += !logs[k].unplaced;
        struct look_block *b = &s->blocks[number % LOOK_BLOCKS];
        if (number < from || number > to || b->number > number)
            continue;
        if (b->number < number)
            *b = (struct look_block){.number = number};
        if (number >= s->first && number <= s->asked && shown > b->logs)
            late += shown - b->logs;
        if (shown > b->logs)
            b->logs = shown;
        b->hash = logs[i].block_hash;
    }
    return late;
}

void look_span_on_answer(struct look_span *s, uint64_t from, uint64_t to, int64_t sent_ms,
                         int64_t overlap_ms)
{
    if (from <= s->asked + 1 && to > s->asked)
        s->asked = to;
    for (size_t i = 0; i < s->n && from <= s->settled + 1; i++)
        if (s->heads[i].number <= to && s->heads[i].number > s->settled &&
            sent_ms - s->heads[i].seen_ms >= overlap_ms)
            s->settled = s->heads[i].number;
    if (s->wide)
        s->wide_ms = sent_ms;
    s->wide = false;
}

void look_span_rewind(struct look_span *s, uint64_t first_bad)
{
    uint64_t common = first_bad > 0 ? first_bad - 1 : 0;
    while (s->n > 0 && s->heads[s->n - 1].number >= first_bad)
        s->n--;
    s->settled = look_span_min(s->settled, common);
    s->asked = look_span_min(s->asked, common);
    s->first = look_span_min(s->first, common + 1);
    for (size_t i = 0; i < LOOK_BLOCKS; i++)
        if (s->blocks[i].number >= first_bad)
            s->blocks[i] = (struct look_block){0};
}

int64_t look_span_grow_overlap(int64_t overlap_ms)
{
    return overlap_ms * 2 < LOOK_OVERLAP_MOST_MS ? overlap_ms * 2 : LOOK_OVERLAP_MOST_MS;
}
