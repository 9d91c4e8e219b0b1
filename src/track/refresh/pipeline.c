/* A batch is planned, being read, ready, being written. Several batches are in each state at once,
 * so that neither the node nor the database waits for the other one. */
#include "track/refresh/pipeline.h"
#include "base/clock.h"
#include "base/mem.h"
#include "store/holders.h"
#include "track/refresh/learned.h"
#include "track/refresh/read_block.h"
#include "track/writer.h"

#include <inttypes.h>
#include <string.h>

enum {
    ANCHOR_MS = 60000,
    MOVED_MOST = 10,
    BATCH_MOST = 20000,
    WRITERS = 2, /* as many cores as a database can be expected to spare */
    WINDOW_FIRST = 2,
    WINDOW_MOST = 8,
    BATCHES = WINDOW_MOST + WRITERS_SLOTS(WRITERS),
    LOOK_MS = 200, /* how long a wait may keep us from noticing that we are to stop */
};

enum batch_state { BATCH_FREE, BATCH_PLANNED, BATCH_READING, BATCH_READY, BATCH_WRITING };

struct batch {
    struct step_work work; /* first: it is what the reader and the writers hand back */
    enum batch_state state;
    bool open;      /* work is */
    uint64_t place; /* in the order of the plan */
    struct dirty plan;
    struct read *read;
    int64_t begun_ms, blocked_before_ms;
};

struct pipeline_run {
    const struct pipeline *p;
    struct pipeline_progress progress;
    struct writers *writers;
    struct learned learned;
    struct batch batches[BATCHES];
    size_t count[BATCH_WRITING + 1]; /* of batches in each state */

    bool has_anchor, finds_drift;
    struct anchor at;
    struct drifts drifts; /* filed, their causes still to be found */
    int64_t anchored_ms;
    unsigned moved_in_row;

    bool at_end; /* of the plan */
    uint64_t planned, shown;

    size_t window;      /* so many may be read at once */
    int64_t best_ms;    /* what a read takes when nothing holds it up */
    unsigned held;      /* reads in a row that took about that long */
    int64_t blocked_ms; /* spent waiting for the database */
};

static void pipeline_set_state(struct pipeline_run *r, struct batch *f, enum batch_state to)
{
    r->count[f->state]--;
    r->count[to]++;
    f->state = to;
}

/* The first in the order of the plan. */
static struct batch *pipeline_find_batch(struct pipeline_run *r, enum batch_state state)
{
    struct batch *first = NULL;
    for (size_t i = 0; r->count[state] && i < BATCHES; i++) {
        struct batch *f = &r->batches[i];
        if (f->state == state && (!first || f->place < first->place))
            first = f;
    }
    return first;
}

static struct batch *pipeline_batch_of(struct step_work *w)
{
    return (struct batch *)(void *)w;
}

static void pipeline_free_batch(struct pipeline_run *r, struct batch *f)
{
    if (f->open)
        step_close(&f->work);
    f->open = false;
    dirty_clear(&f->plan);
    pipeline_set_state(r, f, BATCH_FREE);
}

/* The anchor went away under it: the same wallets again, at another one. */
static int pipeline_retry_batch(struct pipeline_run *r, struct batch *f, struct err *err)
{
    r->has_anchor = r->p->fixed;
    if (++r->moved_in_row > MOVED_MOST || (r->p->fixed && f->work.report.pruned)) {
        *err = f->work.report.why;
        if (f->work.report.pruned)
            err_hint(err, "the node has thrown the state of old blocks away; an archive node has "
                          "it, or let `trueup run` catch up first");
        return -1;
    }
    pipeline_set_state(r, f, BATCH_PLANNED);
    return 0;
}

/* ---- plan and read --------------------------------------------------------------------------- */

int pipeline_plan_rows(void *ctx, size_t want, struct dirty *ret, bool *ret_end, struct err *err)
{
    struct pipeline_rows *w = ctx;
    struct arena arena;
    struct store_page page = {.after = w->started ? &w->after : NULL,
                              .before_us = w->before_us,
                              .limit = want,
                              .arena = &arena};
    struct store_stale *rows = NULL;
    address *keys = NULL;
    size_t n = 0;
    arena_init(&arena);
    int rc = w->all ? store_keys_and_list(w->t->store, &w->b->store, &page, &keys, &n, err)
                    : store_next_by_key(w->t->store, &w->b->store, &page, &rows, &n, err);
    for (size_t i = 0; rc == 0 && i < n && (keys || rows); i++) {
        w->after = keys ? keys[i] : rows[i].wallet;
        w->started = true;
        dirty_add(ret, &(struct affected){.wallet = w->after, .insert = INSERT_NEVER});
    }
    *ret_end = rc == 0 && n < want;
    arena_free(&arena);
    return rc;
}

int pipeline_plan_pending(void *ctx, size_t want, struct dirty *ret, bool *ret_end, struct err *err)
{
    struct pipeline_rows *w = ctx;
    struct arena arena;
    struct store_page page = {
        .after = w->started ? &w->after : NULL, .limit = want, .arena = &arena};
    address *list = NULL;
    size_t n = 0;
    arena_init(&arena);
    int rc = store_pending(w->t->store, &w->b->store, &page, &list, &n, err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        w->after = list[i];
        w->started = true;
        dirty_add(ret, &(struct affected){.wallet = list[i], .insert = INSERT_IF_LISTED});
    }
    *ret_end = rc == 0 && n < want;
    arena_free(&arena);
    return rc;
}

/* As many as one request carries, so that a step is a request and nothing is left over. */
static size_t pipeline_choose_size(const struct pipeline_run *r)
{
    size_t n = reads_batch_size(r->p->t->reads, &r->p->b->shape);
    return n < BATCH_MOST ? n : BATCH_MOST;
}

static int pipeline_plan_next(struct pipeline_run *r, struct batch *f, struct err *err)
{
    bool end = false;
    if (r->p->plan(r->p->ctx, pipeline_choose_size(r), &f->plan, &end, err) < 0)
        return -1;
    r->at_end = end;
    dirty_sort_unique(&f->plan);
    if (f->plan.n > 0) {
        f->place = r->planned++;
        pipeline_set_state(r, f, BATCH_PLANNED);
    }
    return 0;
}

static int pipeline_begin_read(struct pipeline_run *r, struct batch *f, struct err *err)
{
    struct step step = {.balance = r->p->b,
                        .cause = r->p->cause,
                        .at = r->at,
                        .affected = f->plan.list,
                        .n = f->plan.n,
                        .lane = RPC_SWEEP};
    if (r->finds_drift && step_files_drift(r->p->t, &step, err) < 0)
        return -1;
    if (f->open)
        step_close(&f->work);
    step_open(&f->work, &step);
    f->open = true;
    f->begun_ms = clock_ms();
    f->blocked_before_ms = r->blocked_ms;
    if (step_begin(r->p->t, &f->work, &f->read, err) < 0)
        return -1;
    pipeline_set_state(r, f, BATCH_READING);
    return 0;
}

static int pipeline_choose_anchor(const struct pipeline *p, struct anchor *ret, struct err *err)
{
    if (p->fixed) {
        *ret = *p->fixed;
        return 0;
    }
    if ((p->first_reads ? read_block_find_newest(p->t, p->b, ret, err)
                        : read_block_find(p->t, p->b, ret, err)) < 0)
        return -1;
    return ret->number >= p->not_below
               ? 0
               : err_set(err, ERR_FAILED,
                         "the node is at block %" PRIu64 ", the events reach to block %" PRIu64,
                         ret->number, p->not_below);
}

/* Choosing a block to read at takes blocking questions, which wait for the reads under way. */
static int pipeline_ensure_anchor(struct pipeline_run *r, bool *ret_has, struct err *err)
{
    *ret_has = r->has_anchor && (r->p->fixed || clock_ms() - r->anchored_ms < ANCHOR_MS);
    if (*ret_has || r->count[BATCH_READING] > 0)
        return 0;
    r->finds_drift = false;
    if (pipeline_choose_anchor(r->p, &r->at, err) < 0)
        return -1;
    if (r->p->fixed)
        r->finds_drift = r->p->files_drift;
    else if (r->p->files_drift &&
             read_block_may_file_drift(r->p->t, r->p->b, &r->at, &r->finds_drift, err) < 0)
        return -1;
    r->anchored_ms = clock_ms();
    r->has_anchor = *ret_has = true;
    return 0;
}

/* So, too, does finding out why rows had drifted: at the end, or when a list is full. */
static bool pipeline_has_many_drifts(const struct pipeline_run *r)
{
    return r->drifts.n >= DRIFT_AT_ONCE / 2;
}

static void pipeline_find_causes(struct pipeline_run *r)
{
    struct err ignored = {0}; /* then their records say that it is not known */
    if (r->count[BATCH_READING] == 0)
        drift_find_causes(r->p->t, r->p->b, &r->drifts, &ignored);
}

static int pipeline_read_more(struct pipeline_run *r, struct err *err)
{
    if (pipeline_has_many_drifts(r))
        pipeline_find_causes(r);
    if (pipeline_has_many_drifts(r))
        return 0;
    while (r->count[BATCH_READING] < r->window) {
        bool anchored;
        struct batch *f = pipeline_find_batch(r, BATCH_FREE);
        bool plans = !r->count[BATCH_PLANNED] && f && !r->at_end;
        if (plans && pipeline_plan_next(r, f, err) < 0)
            return -1;
        f = pipeline_find_batch(r, BATCH_PLANNED);
        if (!f && plans && !r->at_end && !(r->p->t->stop && r->p->t->stop()))
            continue; /* a page without a wallet to read */
        if (!f)
            return 0;
        if (pipeline_ensure_anchor(r, &anchored, err) < 0)
            return -1;
        if (!anchored)
            return 0;
        if (pipeline_begin_read(r, f, err) < 0)
            return -1;
    }
    return 0;
}

/* The window grows while reads take no longer for it. What we waited for the database is not the
 * node's doing. */
static void pipeline_adapt_window(struct pipeline_run *r, const struct batch *f)
{
    int64_t took = clock_ms() - f->begun_ms - (r->blocked_ms - f->blocked_before_ms);
    took = took > 1 ? took : 1;
    if (r->best_ms == 0 || took < r->best_ms)
        r->best_ms = took;
    if (took > 4 * r->best_ms + 20) {
        r->held = 0;
        if (r->window > WINDOW_FIRST)
            r->window--;
        r->best_ms += r->best_ms / 8 + 1; /* it may have become slower for good */
    } else if (took <= 2 * r->best_ms + 10 && ++r->held >= r->window) {
        r->held = 0;
        if (r->window < WINDOW_MOST)
            r->window++;
    }
}

static int pipeline_take_read(struct pipeline_run *r, int timeout_ms, struct err *err)
{
    struct read *read;
    struct read_report report;
    int rc = reads_next(r->p->t->reads, timeout_ms, &read, err);
    if (rc <= 0)
        return rc;
    struct batch *f = pipeline_batch_of(read_user(read));
    read_end(read, &report);
    f->read = NULL;
    pipeline_set_state(r, f, BATCH_READY);
    pipeline_adapt_window(r, f);
    if (step_check_failures(r->p->t, &f->work, &report, err) < 0)
        return -1;
    if (f->work.report.end == STEP_BROKEN) {
        *err = f->work.report.why;
        return -1;
    }
    return f->work.report.end == STEP_MOVED ? pipeline_retry_batch(r, f, err) : 0;
}

/* ---- write or show --------------------------------------------------------------------------- */

static void pipeline_write_more(struct pipeline_run *r)
{
    while (r->count[BATCH_READY] && writers_free(r->writers)) {
        struct batch *f = pipeline_find_batch(r, BATCH_READY);
        pipeline_set_state(r, f, BATCH_WRITING);
        writers_give(r->writers, &f->work);
    }
}

static void pipeline_on_written(struct pipeline_run *r, struct batch *f)
{
    const struct step_report *done = &f->work.report;
    struct pipeline_progress *p = &r->progress;
    step_on_written(&f->work);
    p->rows += f->work.step.n;
    p->updated += done->applied.inserted + done->applied.changed + done->applied.refreshed;
    p->changed += done->applied.changed;
    p->failed += done->applied.quarantined;
    p->drifted += done->applied.drifted;
    for (size_t i = 0; i < f->work.drifts.n; i++)
        drifts_add(&r->drifts, &f->work.drifts.list[i]);
    r->moved_in_row = 0;
    pipeline_free_batch(r, f);
}

static int pipeline_take_written(struct pipeline_run *r, int timeout_ms, struct err *err)
{
    int rc;
    int64_t started = clock_ms();
    struct step_work *w = writers_take(r->writers, timeout_ms, &rc, err);
    r->blocked_ms += clock_ms() - started;
    for (; w; w = writers_take(r->writers, 0, &rc, err)) {
        struct batch *f = pipeline_batch_of(w);
        if (rc < 0)
            return -1;
        if (w->report.end == STEP_MOVED) {
            if (pipeline_retry_batch(r, f, err) < 0)
                return -1;
        } else if (w->report.end == STEP_BROKEN) {
            *err = w->report.why;
            return -1;
        } else {
            pipeline_on_written(r, f);
        }
    }
    return 0;
}

/* Those whose turn it is: what is ready before its predecessor waits. */
static int pipeline_show_ready(struct pipeline_run *r, struct err *err)
{
    struct batch *f;
    while ((f = pipeline_find_batch(r, BATCH_READY)) && f->place == r->shown) {
        if (r->p->show(r->p->ctx, &f->work, err) < 0)
            return -1;
        r->shown++;
        r->moved_in_row = 0;
        r->progress.rows += f->work.step.n;
        pipeline_free_batch(r, f);
    }
    return 0;
}

/* ---- the run --------------------------------------------------------------------------------- */

static void pipeline_report_progress(struct pipeline_run *r, const struct rpc_traffic *at_start)
{
    struct rpc_traffic now = rpc_traffic(r->p->t->node);
    r->progress.requests = now.requests - at_start->requests;
    r->progress.bytes_out = now.bytes_out - at_start->bytes_out;
    r->progress.bytes_in = now.bytes_in - at_start->bytes_in;
    if (r->p->progress)
        r->p->progress(r->p->progress_ctx, &r->progress, r->p->total);
}

/* One turn: begins all it can, then waits for the slower of node and database. When the database
 * is, replies wait in the system's buffers; now and then the reads are looked after all the same.
 */
static int pipeline_run_turn(struct pipeline_run *r, struct err *err)
{
    if (pipeline_read_more(r, err) < 0)
        return -1;
    if (r->p->show && pipeline_show_ready(r, err) < 0)
        return -1;
    if (!r->p->show)
        pipeline_write_more(r);
    bool database_is_slower = (!r->p->show && r->count[BATCH_READY]) || !r->count[BATCH_READING];
    if (r->count[BATCH_WRITING] &&
        pipeline_take_written(r, database_is_slower ? LOOK_MS : 0, err) < 0)
        return -1;
    return r->count[BATCH_READING] ? pipeline_take_read(r, database_is_slower ? 0 : LOOK_MS, err)
                                   : 0;
}

static int pipeline_run_turns(struct pipeline_run *r, struct err *err)
{
    struct tracker *t = r->p->t;
    struct rpc_traffic at_start = rpc_traffic(t->node);
    int rc = 0;
    while (rc == 0 && (!r->at_end || r->count[BATCH_FREE] < BATCHES)) {
        rc = t->stop && t->stop()
                 ? err_set(err, ERR_STOPPED, "stopped after %" PRIu64 " rows", r->progress.rows)
                 : 0;
        if (rc == 0 && r->p->lease)
            rc = job_check(r->p->lease, err);
        if (rc == 0)
            rc = pipeline_run_turn(r, err);
        pipeline_report_progress(r, &at_start);
    }
    return rc;
}

static int pipeline_open_and_run(struct pipeline_run *r, struct err *err)
{
    bool threads = !r->p->show && store_has_parallel_writers(r->p->t->store);
    if (learned_load(r->p->t, &r->learned, err) < 0 ||
        writers_open(r->p->t, r->p->who, threads ? WRITERS : 0, &r->writers, err) < 0)
        return -1;
    return pipeline_run_turns(r, err);
}

int pipeline_run(const struct pipeline *p, struct pipeline_progress *ret, struct err *err)
{
    struct pipeline_run *r = mem_zero(1, sizeof *r);
    r->p = p;
    r->window = WINDOW_FIRST;
    r->count[BATCH_FREE] = BATCHES;
    int rc = pipeline_open_and_run(r, err);
    if (rc == 0)
        pipeline_find_causes(r);
    writers_close(r->writers);
    for (size_t i = 0; i < BATCHES; i++) {
        struct batch *f = &r->batches[i];
        if (f->state == BATCH_READING)
            read_abandon(f->read);
        if (f->open)
            step_close(&f->work);
        dirty_free(&f->plan);
    }
    drifts_free(&r->drifts);
    struct err ignored;
    learned_save(p->t, &r->learned, true, &ignored);
    *ret = r->progress;
    mem_free(r);
    return rc;
}
