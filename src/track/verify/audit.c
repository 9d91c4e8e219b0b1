#include "track/verify/audit.h"
#include "base/err.h"
#include "base/mem.h"
#include "store/audit.h"
#include "track/refresh/full_refresh.h"
#include "track/refresh/read_block.h"
#include "track/verify/audit_supply.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct audit_run {
    const struct audit *a;
    struct audit_report *ret;
    struct anchor at;
    uint64_t due_below; /* rows observed before this block are due: an event may change all */

    struct dirty todo; /* the round's; not by key */
    size_t next;
    bool by_key;
    struct pipeline_rows rows_by_key;

    bool believe; /* a second look: a difference counts */
    bool sums;    /* on the way: the readings are those of the supply's term */
    bool whole;   /* and none was missing */
    u256 sum;
    struct dirty suspects, later, wrong;
    struct drifts drifts;
    struct store_row *rows; /* of a step */
    size_t rows_room;
    uint64_t total, done_before;
};

/* ---- lists of wallets ------------------------------------------------------------------------ */

static bool audit_keep_wallet(struct dirty *list, const address *wallet)
{
    if (list->n == AUDIT_LIST)
        return false;
    dirty_add(list, &(struct affected){.wallet = *wallet, .insert = INSERT_NEVER});
    return true;
}

/* The round's work becomes what is in `from`, which is empty then. */
static void audit_take_wallets(struct audit_run *r, struct dirty *from)
{
    struct dirty old = r->todo;
    r->todo = *from;
    *from = old;
    dirty_clear(from);
    dirty_sort_unique(&r->todo);
    r->by_key = false;
    r->next = 0;
}

/* ---- comparing ------------------------------------------------------------------------------- */

static void audit_set_difference(const struct store_row *row, const u256 *actual, u256 *ret)
{
    if (u256_compare(&row->balance, actual) > 0)
        u256_sub(ret, &row->balance, actual);
    else
        u256_sub(ret, actual, &row->balance);
}

static void audit_add_worst(struct audit_run *r, const struct audit_worst *w)
{
    struct audit_report *ret = r->ret;
    size_t at = ret->n_worst;
    while (at > 0 && u256_compare(&ret->worst[at - 1].off, &w->off) < 0)
        at--;
    if (at == AUDIT_WORST)
        return;
    ret->n_worst += ret->n_worst < AUDIT_WORST;
    memmove(ret->worst + at + 1, ret->worst + at, (ret->n_worst - at - 1) * sizeof *w);
    ret->worst[at] = *w;
}

static void audit_on_drift(struct audit_run *r, const struct reading *reading,
                           const struct store_row *row)
{
    struct audit_worst w = {.wallet = reading->wallet,
                            .stored = row->balance,
                            .actual = reading->sum,
                            .observed = row->observed_block,
                            .at = r->at.number,
                            .updated_us = row->updated_us};
    audit_set_difference(row, &reading->sum, &w.off);
    audit_add_worst(r, &w);
    r->ret->drifted++;
    drifts_add(&r->drifts, &(struct drift){.wallet = reading->wallet,
                                           .observed = row->observed_block,
                                           .at = r->at.number,
                                           .stored = row->balance,
                                           .has_blocknumber = row->has_blocknumber});
    if (r->a->fix)
        audit_keep_wallet(&r->wrong, &reading->wallet);
}

static void audit_compare_row(struct audit_run *r, const struct reading *reading,
                              const struct store_row *row)
{
    struct audit_report *ret = r->ret;
    bool awaited = row->has_blocknumber && row->blocknumber > row->observed_block;
    bool same = !row->odd && u256_equal(&row->balance, &reading->sum);
    if (!row->found)
        ret->gone++;
    else if (!row->has_observed)
        ret->unanchored++;
    else if (row->observed_block > r->at.number)
        ret->moving += !audit_keep_wallet(&r->later, &reading->wallet);
    else if (row->waiting || (!same && (awaited || row->observed_block < r->due_below)))
        ret->pending++;
    else if (reading->status != READ_OK)
        ret->unread++;
    else if (!same && !r->believe)
        ret->moving += !audit_keep_wallet(&r->suspects, &reading->wallet);
    else {
        ret->compared++;
        if (!same)
            audit_on_drift(r, reading, row);
    }
}

/* The rows are looked up after the read: one that was written in between says at which block. */
static int audit_compare_step(void *ctx, const struct step_work *w, struct err *err)
{
    struct audit_run *r = ctx;
    size_t n = w->step.n;
    struct arena arena;
    if (n > r->rows_room) {
        r->rows = mem_grow(r->rows, n, sizeof *r->rows);
        r->rows_room = n;
    }
    arena_init(&arena);
    address *wallets = arena_alloc(&arena, n * sizeof *wallets);
    for (size_t i = 0; i < n; i++)
        wallets[i] = w->step.affected[i].wallet;
    int rc = store_rows(r->a->t->store, &r->a->b->store, wallets, n, r->rows, err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        audit_compare_row(r, &w->readings[i], &r->rows[i]);
        if (r->sums && r->by_key)
            r->whole &= w->readings[i].status == READ_OK &&
                        !u256_add(&r->sum, &r->sum, &w->readings[i].sum);
    }
    arena_free(&arena);
    return rc;
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static int audit_plan_next(void *ctx, size_t want, struct dirty *ret, bool *ret_end,
                           struct err *err)
{
    struct audit_run *r = ctx;
    if (r->by_key)
        return pipeline_plan_rows(&r->rows_by_key, want, ret, ret_end, err);
    for (size_t i = 0; i < want && r->next < r->todo.n; i++)
        dirty_add(ret, &r->todo.list[r->next++]);
    *ret_end = r->next == r->todo.n;
    return 0;
}

static void audit_on_progress(void *ctx, const struct pipeline_progress *p, uint64_t total)
{
    struct audit_run *r = ctx;
    if (r->a->progress)
        r->a->progress(r->a->ctx, r->done_before + p->rows, total,
                       r->ret->traffic.requests + p->requests);
}

/* Either looks at each step, or writes it and files what it writes as drift. */
static int audit_run_pipeline(struct audit_run *r, bool repair, struct err *err)
{
    struct pipeline_progress done = {0}, *sum = &r->ret->traffic;
    struct pipeline f = {.t = r->a->t,
                         .b = r->a->b,
                         .cause = CAUSE_AUDIT,
                         .who = "trueup audit",
                         .lease = r->a->lease,
                         .plan = audit_plan_next,
                         .show = repair ? NULL : audit_compare_step,
                         .ctx = r,
                         .fixed = &r->at,
                         .files_drift = repair,
                         .progress = audit_on_progress,
                         .progress_ctx = r,
                         .total = r->total};
    int rc = pipeline_run(&f, &done, err);
    sum->rows += done.rows;
    sum->changed += done.changed;
    sum->requests += done.requests;
    sum->bytes_in += done.bytes_in;
    sum->bytes_out += done.bytes_out;
    return rc;
}

static int audit_read_wallets(struct audit_run *r, bool believe, struct err *err)
{
    r->believe = believe;
    return audit_run_pipeline(r, false, err);
}

/* Reads each wallet once, and those that differ a second time. */
static int audit_run_round(struct audit_run *r, bool first, struct err *err)
{
    const struct audit *a = r->a;
    if (read_block_find_synced(a->t, a->b, !first, &r->at, err) < 0 ||
        full_refresh_get(a->t, a->b, &r->due_below, err) < 0 ||
        audit_read_wallets(r, false, err) < 0)
        return -1;
    if (first)
        r->ret->at = r->at;
    audit_take_wallets(r, &r->suspects);
    r->done_before = r->total;
    return r->todo.n ? audit_read_wallets(r, true, err) : 0;
}

static int audit_compare_all(struct audit_run *r, struct err *err)
{
    if (audit_run_round(r, true, err) < 0)
        return -1;
    for (int i = 1; i < AUDIT_ROUNDS && r->later.n > 0; i++) {
        audit_take_wallets(r, &r->later);
        if (audit_run_round(r, false, err) < 0)
            return -1;
    }
    r->ret->moving += r->later.n;
    return 0;
}

/* ---- causes and repair ----------------------------------------------------------------------- */

static void audit_set_worst_causes(struct audit_run *r)
{
    for (size_t i = 0; i < r->ret->n_worst; i++)
        for (size_t k = 0; k < r->drifts.n; k++) {
            const struct drift *d = &r->drifts.list[k];
            struct audit_worst *w = &r->ret->worst[i];
            if (!address_equal(&d->wallet, &w->wallet))
                continue;
            w->cause = d->cause;
            w->event_block = d->event_block;
            if (d->endpoint)
                snprintf(w->endpoint, sizeof w->endpoint, "%s", d->endpoint);
        }
}

static int audit_find_causes(struct audit_run *r, struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    int rc = drift_search(r->a->t, r->a->b, &r->drifts, &arena, err);
    for (size_t i = 0; rc == 0 && i < r->drifts.n; i++)
        r->ret->causes[r->drifts.list[i].cause]++;
    if (rc == 0)
        audit_set_worst_causes(r);
    arena_free(&arena);
    return rc;
}

/* Through the pipeline, which also files what it writes as drift. */
static int audit_repair_rows(struct audit_run *r, struct err *err)
{
    uint64_t before = r->ret->traffic.changed;
    audit_take_wallets(r, &r->wrong);
    int rc = r->todo.n ? audit_run_pipeline(r, true, err) : 0;
    r->ret->fixed = r->ret->traffic.changed - before;
    return rc;
}

static int audit_choose_wallets(struct audit_run *r, struct err *err)
{
    struct arena arena;
    struct store_counts counts;
    address *drawn;
    size_t n;
    r->by_key = r->a->sample == 0;
    r->ret->whole = r->by_key;
    if (r->by_key) {
        if (store_count(r->a->t->store, &r->a->b->store, &counts, err) < 0)
            return -1;
        r->total = counts.rows;
        return 0;
    }
    arena_init(&arena);
    int rc =
        store_sample(r->a->t->store, &r->a->b->store,
                     &(struct store_page){.limit = r->a->sample, .arena = &arena}, &drawn, &n, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        audit_keep_wallet(&r->todo, &drawn[i]);
    r->total = r->todo.n;
    r->ret->whole = n < r->a->sample;
    arena_free(&arena);
    return rc;
}

int audit_run(const struct audit *a, struct audit_report *ret, struct err *err)
{
    bool sums = a->sample == 0 && a->b->shape.n_terms == 1 && audit_supply_term(a->b) == 0;
    struct audit_run r = {
        .a = a, .ret = ret, .sums = sums, .whole = sums, .rows_by_key = {.t = a->t, .b = a->b}};
    *ret = (struct audit_report){.supply.end = SUPPLY_NOT_ASKED};
    int rc = audit_choose_wallets(&r, err);
    if (rc == 0)
        rc = audit_compare_all(&r, err);
    if (rc == 0)
        rc = audit_find_causes(&r, err);
    if (rc == 0 && (a->supply || sums))
        rc = audit_supply_check(a, &ret->at, r.whole ? &r.sum : NULL, ret, err);
    if (rc == 0)
        rc = store_count_without_row(a->t->store, &a->b->store, &ret->without_row, err);
    if (rc == 0 && a->fix)
        rc = audit_repair_rows(&r, err);
    mem_free(r.rows);
    dirty_free(&r.todo);
    dirty_free(&r.suspects);
    dirty_free(&r.later);
    dirty_free(&r.wrong);
    drifts_free(&r.drifts);
    return rc;
}
