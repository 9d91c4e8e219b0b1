/* See step.h: read, check, apply. Each stage takes the arrays of the one before; only return codes
 * flow back. What a step allocates lives in its own arena and goes with it. */
#include "track/step.h"
#include "base/log.h"
#include "base/mem.h"
#include "proc/counters.h"
#include "track/failure_check.h"
#include "track/refresh/full_refresh.h"

#include <inttypes.h>
#include <string.h>

void step_open(struct step_work *w, const struct step *s)
{
    *w = (struct step_work){.step = *s, .report.end = STEP_DONE};
    arena_init(&w->arena);
}

void step_close(struct step_work *w)
{
    arena_free(&w->arena);
    drifts_free(&w->drifts);
}

int step_files_drift(struct tracker *t, struct step *s, struct err *err)
{
    s->files_drift = full_refresh_get(t, s->balance, &s->explained_below, err) == 0;
    return s->files_drift ? 0 : -1;
}

/* ---- read ------------------------------------------------------------------------------------ */

static struct read_ask step_make_ask(const struct tracker *t, struct step_work *w)
{
    const struct step *s = &w->step;
    address *wallets = arena_alloc(&w->arena, s->n * sizeof *wallets);
    w->readings = arena_alloc(&w->arena, s->n * sizeof *w->readings);
    for (size_t i = 0; i < s->n; i++)
        wallets[i] = s->affected[i].wallet;
    return (struct read_ask){.shape = &s->balance->shape,
                             .at = s->at,
                             .chain_id = t->chain_id,
                             .wallets = wallets,
                             .n = s->n,
                             .lane = s->lane,
                             .user = w};
}

int step_begin(struct tracker *t, struct step_work *w, struct read **ret, struct err *err)
{
    struct read_ask ask = step_make_ask(t, w);
    return reads_begin(t->reads, &ask, w->readings, ret, err);
}

static int step_take_report(struct step_work *w, const struct read_report *read, struct err *err)
{
    w->report.requests += read->requests;
    w->report.why = read->why;
    if (read->end == READ_END_FAILED) {
        *err = read->why;
        return -1;
    }
    if (read->end != READ_END_DONE)
        w->report.end = STEP_MOVED;
    w->report.pruned = read->end == READ_END_PRUNED;
    return 0;
}

int step_check_failures(struct tracker *t, struct step_work *w, const struct read_report *read,
                        struct err *err)
{
    if (step_take_report(w, read, err) < 0)
        return -1;
    return w->report.end == STEP_DONE
               ? failure_check_run(t, &w->step, w->readings, &w->arena, &w->report, err)
               : 0;
}

/* ---- write ----------------------------------------------------------------------------------- */

const char *step_reason(const struct tracked *b, const struct reading *r, struct arena *arena)
{
    const char *term = r->failed_term < 0 ? "" : b->shape.terms[r->failed_term].name;
    return arena_printf(arena, "%s%s%s", term, term[0] ? ": " : "", reading_status_name(r->status));
}

/* Parts the readings into values and failures, both still in key order. */
static void step_fill_batch(const struct step *s, const struct reading *readings,
                            struct arena *arena, struct store_batch *b)
{
    struct store_write *writes = arena_alloc(arena, s->n * sizeof *writes);
    struct store_failure *failures = arena_alloc(arena, s->n * sizeof *failures);
    for (size_t i = 0; i < s->n; i++) {
        const struct affected *m = &s->affected[i];
        const struct reading *r = &readings[i];
        if (r->status == READ_OK)
            writes[b->n_writes++] = (struct store_write){.wallet = m->wallet,
                                                         .value = r->sum,
                                                         .has_event = m->has_event,
                                                         .event_block = m->event_block,
                                                         .insert = m->insert};
        else
            failures[b->n_failures++] =
                (struct store_failure){.wallet = m->wallet,
                                       .reason = step_reason(s->balance, r, arena),
                                       .has_event = m->has_event,
                                       .event_block = m->event_block};
    }
    b->writes = writes;
    b->failures = failures;
    b->dirty = s->named;
    b->n_dirty = s->n_named;
}

static void step_collect_drifts(struct step_work *w, const struct store_batch *b,
                                const struct store_old *olds)
{
    for (size_t i = 0; i < b->n_writes; i++)
        if (olds[i].drifted)
            drifts_add(&w->drifts, &(struct drift){.wallet = b->writes[i].wallet,
                                                   .id = olds[i].drift_id,
                                                   .observed = olds[i].observed_block,
                                                   .at = b->at.number,
                                                   .stored = olds[i].balance,
                                                   .has_blocknumber = olds[i].has_blocknumber});
}

int step_write(struct step_work *w, struct store *store, struct err *err)
{
    const struct step *s = &w->step;
    struct store_batch batch = {.balance = &s->balance->store,
                                .cause = s->cause,
                                .at = s->at,
                                .has_checkpoint = s->has_checkpoint,
                                .checkpoint = s->checkpoint,
                                .files_drift = s->files_drift,
                                .explained_below = s->explained_below};
    step_fill_batch(s, w->readings, &w->arena, &batch);
    if (store_apply(store, &batch, &w->arena, &w->report.applied, err) < 0)
        return -1;
    if (w->report.applied.drifted > 0)
        step_collect_drifts(w, &batch, w->report.applied.olds);
    w->report.applied.olds = NULL; /* goes with the arena */
    if (w->report.applied.anchor_gone) {
        w->report.end = STEP_MOVED;
        err_set(&w->report.why, ERR_FAILED, "block %" PRIu64 " was reorged away while it was read",
                s->at.number);
    } else if (w->report.applied.table_refuses) {
        w->report.end = STEP_BROKEN;
        w->report.why = w->report.applied.why;
    }
    return 0;
}

/* The last ones serve as control wallets; finding them here costs no read. */
static void step_remember_controls(const struct step_work *w)
{
    size_t found = 0;
    for (size_t i = w->step.n; i-- > 0 && found < CONTROL_WALLETS;) {
        if (w->readings[i].status != READ_OK)
            continue;
        control_wallets_add(&w->step.balance->control_wallets, &w->readings[i].wallet);
        found++;
    }
}

void step_on_written(const struct step_work *w)
{
    const struct store_applied *a = &w->report.applied;
    if (w->report.end != STEP_DONE)
        return;
    counters_add(CELL_REFRESHED + w->step.cause, a->inserted + a->changed + a->refreshed);
    counters_add(CELL_CHANGED, a->changed);
    step_remember_controls(w);
    if (a->refused > 0)
        log_warn("rows are refused by the database, their wallets are quarantined",
                 LOG_STR("balance", w->step.balance->conf->name), LOG_U64("rows", a->refused),
                 LOG_STR("error", a->why.text));
}

/* ---- the whole story ------------------------------------------------------------------------- */

static int step_run_stages(struct tracker *t, struct step_work *w, struct err *err)
{
    if (w->step.n > 0) {
        struct read_report read;
        struct read_ask ask = step_make_ask(t, w);
        if (reads_run(t->reads, &ask, w->readings, &read, err) < 0 ||
            step_check_failures(t, w, &read, err) < 0)
            return -1;
    }
    if (w->report.end == STEP_DONE && step_write(w, t->store, err) < 0)
        return -1;
    step_on_written(w);
    /* Written is written: where the cause cannot be found out, the record says so. */
    struct err ignored = {0};
    drift_find_causes(t, w->step.balance, &w->drifts, &ignored);
    return 0;
}

int step_run(struct tracker *t, const struct step *s, struct step_report *ret, struct err *err)
{
    struct step_work w;
    step_open(&w, s);
    int rc = step_run_stages(t, &w, err);
    if (rc == 0)
        *ret = w.report;
    step_close(&w);
    return rc;
}
