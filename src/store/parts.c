#include "store/parts.h"

#include "base/clock.h"
#include "store/traits.h"

#include <string.h>

enum {
    CONTROLS_FROM = 8,  /* rows: a smaller batch is halved to its last row first */
    FOR_NOW_MS = 10000, /* so long parts that are refused for now are tried again in halves */
    TRIGGER_ROWS = 32,  /* in one transaction, where an application's triggers run in it */
    ADOPTED_ROWS = 500, /* where the application's own transactions meet ours */
    WARNED_TRIES = 5,   /* of a transaction that a warning was answered to */
};

struct batch_parts {
    struct store *s;
    const struct store_batch *batch;
    struct arena *arena;
    struct store_applied done;
    const char **words; /* beside each write: why it was refused; NULL: it was not */
    size_t n_words;
    struct db_refusal last; /* of a row */
    bool controls_tried;
    struct traits traits;
    int64_t until_ms; /* monotonic */
    bool held;        /* a row is refused for now, for this reason: */
    struct err why;
    struct err *err;
};

enum part_end { PART_WRITTEN, PART_REFUSED, PART_HELD, PART_WARNED, PART_FAILED };

/* One transaction: some of the writes, and how it ended. */
struct batch_part {
    size_t from, n;
    enum part_end end;
    struct db_refusal refusal;
};

/* ---- one transaction ------------------------------------------------------------------------- */

static int parts_fail(struct batch_parts *p)
{
    *p->err = p->why;
    return -1;
}

static enum part_end parts_judge_refusal(const struct batch_parts *p, const struct db_refusal *r)
{
    switch (r->kind) {
    case REFUSAL_OF_ROW:
        return PART_REFUSED;
    case REFUSAL_OF_RIGHTS:
        return p->traits.row_security ? PART_REFUSED : PART_FAILED;
    case REFUSAL_BY_WARNING:
        return PART_WARNED;
    case REFUSAL_FOR_NOW:
        return clock_ms() < p->until_ms ? PART_HELD : PART_FAILED;
    case REFUSAL_OF_DATABASE:
        break;
    }
    return PART_FAILED;
}

static void parts_add_counts(struct batch_parts *p, const struct store_applied *a)
{
    p->done.anchor_gone |= a->anchor_gone;
    p->done.inserted += a->inserted;
    p->done.changed += a->changed;
    p->done.refreshed += a->refreshed;
    p->done.older += a->older;
    p->done.absent += a->absent;
    p->done.missed += a->missed;
    p->done.quarantined += a->quarantined;
    p->done.drifted += a->drifted;
    p->done.altered += a->altered;
}

/* One row's words, in the list of those that are quarantined at the end. */
static void parts_add_words(struct batch_parts *p, size_t at, const char *words)
{
    if (p->n_words++ == 0)
        err_set(&p->done.why, ERR_STORE, "%s", words);
    p->words[at] = words;
    p->done.refused++;
}

/* Rows that a trigger changed are written, without an anchor. */
static void parts_take_olds(struct batch_parts *p, const struct batch_part *part,
                            const struct store_applied *applied)
{
    if (!p->done.olds) { /* the whole batch */
        p->done.olds = applied->olds;
        return;
    }
    memcpy(p->done.olds + part->from, applied->olds, part->n * sizeof *applied->olds);
    for (size_t i = 0; applied->altered && i < part->n; i++)
        if (applied->olds[i].altered)
            parts_add_words(p, part->from + i,
                            arena_printf(p->arena, REASON_CHANGED "%s", applied->olds[i].altered));
}

static void parts_try_batch(struct batch_parts *p, const struct store_batch *b,
                            struct batch_part *part)
{
    struct store_applied applied;
    struct err err = {0};
    p->s->refusal = (struct db_refusal){.kind = REFUSAL_FOR_NOW}; /* unless a statement says more */
    if (p->s->driver->apply(p->s, b, p->arena, &applied, &err) < 0) {
        part->refusal = p->s->refusal;
        bool refused = err.kind == ERR_STORE || err.kind == ERR_STORE_LOST;
        part->end = refused ? parts_judge_refusal(p, &part->refusal) : PART_FAILED;
        p->why = err;
        db_rollback(p->s);
        return;
    }
    part->end = PART_WRITTEN;
    parts_add_counts(p, &applied);
    if (!applied.anchor_gone && part->n > 0)
        parts_take_olds(p, part, &applied);
}

/* Some of the writes, and nothing of what goes with them. A warning is an answer: a trigger of the
 * application gave up its own work, which it may not have to the next time. */
static struct batch_part parts_try(struct batch_parts *p, size_t from, size_t n)
{
    struct batch_part part = {.from = from, .n = n};
    struct store_batch b = {.balance = p->batch->balance,
                            .cause = p->batch->cause,
                            .at = p->batch->at,
                            .writes = p->batch->writes + from,
                            .n_writes = n,
                            .files_drift = p->batch->files_drift,
                            .explained_below = p->batch->explained_below};
    int tries = 0;
    do
        parts_try_batch(p, &b, &part);
    while (part.end == PART_WARNED && ++tries < WARNED_TRIES);
    return part;
}

/* ---- halving --------------------------------------------------------------------------------- */

static bool parts_are_over(const struct batch_parts *p)
{
    return p->done.anchor_gone || p->done.table_refuses;
}

/* Rows that were written lately tell whether the table refuses, or the rows. */
static int parts_try_controls(struct batch_parts *p, const struct db_refusal *refusal)
{
    struct err *why = &p->done.why;
    bool taken;
    if (p->controls_tried)
        return 0;
    p->controls_tried = true;
    if (refused_try_controls(p->s, p->batch->balance, &taken, p->err) < 0)
        return -1;
    if (taken)
        return 0;
    p->done.table_refuses = true;
    err_set(why, ERR_STORE, "table \"%s\" refuses every row: %s", p->batch->balance->table,
            refusal->words);
    err_hint(why, "a trigger, constraint or policy of the table fails for rows that were written "
                  "before; nothing is quarantined, and they are written again");
    return 0;
}

static void parts_refuse_row(struct batch_parts *p, const struct batch_part *part)
{
    p->last = part->refusal;
    p->done.olds[part->from] = (struct store_old){.outcome = OUTCOME_REFUSED};
    parts_add_words(p, part->from,
                    arena_printf(p->arena, REASON_REFUSED "%s", part->refusal.words));
}

static int parts_split(struct batch_parts *p, const struct batch_part *whole);
static int parts_go_on(struct batch_parts *p, const struct batch_part *part);

/* Row by row; what a row alone still raises is taken. */
static int parts_write_warned(struct batch_parts *p, const struct batch_part *warned)
{
    struct batch_part one = *warned;
    if (warned->n == 1) {
        p->s->care.takes_warnings = true;
        one = parts_try(p, warned->from, 1);
        p->s->care.takes_warnings = false;
        return parts_go_on(p, &one);
    }
    for (size_t i = 0; i < warned->n && !parts_are_over(p); i++) {
        one = parts_try(p, warned->from + i, 1);
        if (parts_go_on(p, &one) < 0)
            return -1;
    }
    return 0;
}

/* After a transaction: what becomes of its rows. */
static int parts_go_on(struct batch_parts *p, const struct batch_part *part)
{
    if (part->end == PART_WRITTEN || parts_are_over(p))
        return 0;
    if (part->end == PART_FAILED)
        return parts_fail(p);
    if (part->end == PART_WARNED)
        return parts_write_warned(p, part);
    if (part->n > 1)
        return parts_split(p, part);
    if (part->end == PART_REFUSED)
        parts_refuse_row(p, part);
    else
        p->held = true;
    return 0;
}

/* Rows that were refused together, two of them or more. */
static int parts_split(struct batch_parts *p, const struct batch_part *whole)
{
    size_t half = whole->n / 2;
    struct batch_part left = parts_try(p, whole->from, half);
    if (left.end == PART_FAILED || parts_are_over(p))
        return parts_go_on(p, &left);
    struct batch_part right = parts_try(p, whole->from + half, whole->n - half);
    if (right.end == PART_FAILED)
        return parts_go_on(p, &right);
    bool both = left.end == PART_REFUSED && right.end == PART_REFUSED &&
                strcmp(left.refusal.code, right.refusal.code) == 0;
    if (both && whole->n >= CONTROLS_FROM && parts_try_controls(p, &right.refusal) < 0)
        return -1;
    return parts_go_on(p, &left) < 0 ? -1 : parts_go_on(p, &right);
}

/* ---- what goes with the rows ----------------------------------------------------------------- */

static void parts_list_refused(const struct batch_parts *p, struct refused_rows *ret)
{
    size_t n = 0;
    struct store_write *writes = arena_alloc(p->arena, p->n_words * sizeof *writes);
    ret->failures = arena_alloc(p->arena, p->n_words * sizeof *ret->failures);
    for (size_t i = 0; p->n_words > 0 && i < p->batch->n_writes; i++) {
        const struct store_write *w = &p->batch->writes[i];
        if (!p->words[i])
            continue;
        writes[n] = *w;
        ret->failures[n++] = (struct store_failure){.wallet = w->wallet,
                                                    .reason = p->words[i],
                                                    .has_event = w->has_event,
                                                    .event_block = w->event_block};
    }
    ret->b = p->batch->balance;
    ret->writes = writes;
    ret->n = n;
}

/* Those that could not be read and those that were refused, in the order of wallets. */
static void parts_merge_failures(const struct batch_parts *p, const struct refused_rows *refused,
                                 struct store_batch *b)
{
    const struct store_batch *batch = p->batch;
    size_t n = 0, i = 0, j = 0;
    struct store_failure *all =
        arena_alloc(p->arena, (batch->n_failures + refused->n) * sizeof *all);
    while (i < batch->n_failures || j < refused->n) {
        bool read = j == refused->n ||
                    (i < batch->n_failures &&
                     address_compare(&batch->failures[i].wallet, &refused->failures[j].wallet) < 0);
        all[n++] = read ? batch->failures[i++] : refused->failures[j++];
    }
    b->failures = all;
    b->n_failures = n;
}

/* The last transaction of a batch in parts: it vouches for all rows. */
static int parts_finish(struct batch_parts *p)
{
    struct refused_rows refused = {0};
    struct store_batch rest = *p->batch;
    struct batch_part part = {0};
    parts_list_refused(p, &refused);
    if (refused.n > 0 && refused_prepare(p->s, &refused, p->batch->at.number, p->err) < 0)
        return -1;
    rest.n_writes = 0;
    parts_merge_failures(p, &refused, &rest);
    if (rest.n_failures + rest.n_dirty + rest.has_checkpoint == 0)
        return 0;
    parts_try_batch(p, &rest, &part);
    return part.end == PART_WRITTEN ? 0 : parts_fail(p);
}

/* ---- the verb -------------------------------------------------------------------------------- */

static size_t parts_choose_limit(const struct batch_parts *p)
{
    if (!p->s->driver->parallel_writers)
        return STORE_BATCH_MAX;
    if (p->traits.row_triggers)
        return TRIGGER_ROWS;
    return p->traits.made ? STORE_BATCH_MAX : ADOPTED_ROWS;
}

/* The rows in transactions of `limit`; then what goes with them. */
static int parts_write_all(struct batch_parts *p, size_t limit)
{
    size_t n = p->batch->n_writes;
    p->done.olds = arena_zero(p->arena, n, sizeof *p->done.olds);
    p->words = arena_zero(p->arena, n, sizeof *p->words);
    for (size_t from = 0; from < n && !parts_are_over(p); from += limit) {
        struct batch_part part = parts_try(p, from, n - from < limit ? n - from : limit);
        if (parts_go_on(p, &part) < 0)
            return -1;
    }
    if (p->done.refused == n && p->last.code[0] && !parts_are_over(p) &&
        parts_try_controls(p, &p->last) < 0)
        return -1;
    if (parts_are_over(p))
        return 0;
    return p->held ? parts_fail(p) : parts_finish(p);
}

/* Rows and what goes with them in one transaction, where nothing speaks against it. *ret_end:
 * PART_WRITTEN, or PART_REFUSED: in parts. */
static int parts_try_whole(struct batch_parts *p, enum part_end *ret_end)
{
    struct batch_part whole = {.n = p->batch->n_writes};
    parts_try_batch(p, p->batch, &whole);
    *ret_end = whole.end == PART_WRITTEN ? PART_WRITTEN : PART_REFUSED;
    return whole.end == PART_FAILED || (whole.end != PART_WRITTEN && whole.n == 0) ? parts_fail(p)
                                                                                   : 0;
}

static int parts_run(struct batch_parts *p)
{
    const struct store_batch *b = p->batch;
    enum part_end end = PART_REFUSED;
    if (b->n_writes > 0 && traits_get(p->s, b->balance, &p->traits, p->err) < 0)
        return -1;
    size_t limit = parts_choose_limit(p);
    p->s->care.triggers = p->traits.row_triggers;
    /* A trigger may change a row, which is then quarantined: only after that is it vouched for. */
    if (b->n_writes <= limit && (!p->traits.row_triggers || b->n_writes == 0) &&
        parts_try_whole(p, &end) < 0)
        return -1;
    return end == PART_WRITTEN ? 0 : parts_write_all(p, limit);
}

int parts_apply(struct store *s, const struct store_batch *batch, struct arena *arena,
                struct store_applied *ret, struct err *err)
{
    struct err ignored;
    struct batch_parts p = {.s = s,
                            .batch = batch,
                            .arena = arena,
                            .until_ms = clock_ms() + FOR_NOW_MS,
                            .err = err ? err : &ignored};
    int rc = parts_run(&p);
    s->care = (struct db_care){0};
    if (rc < 0)
        return db_rollback(s);
    if (p.done.anchor_gone)
        p.done = (struct store_applied){.anchor_gone = true};
    *ret = p.done;
    return 0;
}
