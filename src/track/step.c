/* See step.h: read, judge, apply. Each stage takes the arrays of the one before; only return codes
 * flow back. What a step allocates lives in its own arena and goes with it. */
#include "track/step.h"
#include "base/mem.h"
#include "proc/counters.h"
#include "track/judge.h"

#include <inttypes.h>
#include <string.h>

static int read_wallets(struct tracker *t, const struct step *s, struct arena *arena,
                        struct reading **ret, struct step_report *report, struct err *err)
{
    address *wallets = arena_alloc(arena, s->n * sizeof *wallets);
    struct reading *readings = arena_alloc(arena, s->n * sizeof *readings);
    for (size_t i = 0; i < s->n; i++)
        wallets[i] = s->marks[i].wallet;
    struct read_ask ask = {.shape = &s->balance->shape,
                           .at = s->at,
                           .chain_id = t->chain_id,
                           .wallets = wallets,
                           .n = s->n,
                           .lane = s->lane};
    struct read_report read;
    if (reads_run(t->reads, &ask, readings, &read, err) < 0)
        return -1;
    report->requests += read.requests;
    report->why = read.why;
    switch (read.end) {
    case READ_END_DONE:
        *ret = readings;
        break;
    case READ_END_FAILED:
        *err = read.why;
        return -1;
    case READ_END_MOVED:
    case READ_END_PRUNED:
    case READ_END_LIED:
        report->end = STEP_MOVED;
        break;
    }
    return 0;
}

/* Parts the readings into values and failures, both still in key order. */
static void fill_batch(const struct step *s, const struct reading *readings, struct arena *arena,
                       struct store_batch *b)
{
    struct store_write *writes = arena_alloc(arena, s->n * sizeof *writes);
    struct store_failure *failures = arena_alloc(arena, s->n * sizeof *failures);
    for (size_t i = 0; i < s->n; i++) {
        const struct mark *m = &s->marks[i];
        const struct reading *r = &readings[i];
        if (r->status == READ_OK)
            writes[b->n_writes++] = (struct store_write){.wallet = m->wallet,
                                                         .value = r->sum,
                                                         .has_event = m->has_event,
                                                         .event_block = m->event_block,
                                                         .insert = m->insert};
        else
            failures[b->n_failures++] = (struct store_failure){
                .wallet = m->wallet,
                .reason = arena_printf(arena, "%s%s%s",
                                       r->failed_term < 0
                                           ? ""
                                           : s->balance->shape.terms[r->failed_term].name,
                                       r->failed_term < 0 ? "" : ": ",
                                       reading_status_name(r->status)),
                .has_event = m->has_event,
                .event_block = m->event_block};
    }
    b->writes = writes;
    b->failures = failures;
}

static void count(const struct step *s, const struct store_applied *a)
{
    uint64_t rows = a->inserted + a->changed + a->refreshed;
    counters_add(CELL_REFRESHED + s->cause, rows);
    counters_add(CELL_CHANGED, a->changed);
}

static int apply(struct tracker *t, const struct step *s, const struct reading *readings,
                 struct arena *arena, struct step_report *report, struct err *err)
{
    struct store_batch batch = {.balance = &s->balance->store,
                                .cause = s->cause,
                                .at = s->at,
                                .has_checkpoint = s->has_checkpoint,
                                .checkpoint = s->checkpoint};
    fill_batch(s, readings, arena, &batch);
    if (store_apply(t->store, &batch, arena, &report->applied, err) < 0)
        return -1;
    report->applied.olds = NULL; /* goes with the arena */
    if (report->applied.anchor_gone) {
        report->end = STEP_MOVED;
        err_set(&report->why, ERR_FAILED, "block %" PRIu64 " was reorged away while it was read",
                s->at.number);
        return 0;
    }
    count(s, &report->applied);
    for (size_t i = 0; i < s->n; i++)
        if (readings[i].status == READ_OK)
            controls_remember(&s->balance->controls, &readings[i].wallet);
    return 0;
}

static int run_in(struct tracker *t, const struct step *s, struct arena *arena,
                  struct step_report *report, struct err *err)
{
    struct reading *readings = NULL;
    if (s->n > 0) {
        if (read_wallets(t, s, arena, &readings, report, err) < 0)
            return -1;
        if (report->end == STEP_DONE && judge(t, s, readings, arena, report, err) < 0)
            return -1;
    }
    return report->end == STEP_DONE ? apply(t, s, readings, arena, report, err) : 0;
}

int step_run(struct tracker *t, const struct step *s, struct step_report *ret, struct err *err)
{
    struct step_report report = {.end = STEP_DONE};
    struct arena arena;
    arena_init(&arena);
    int rc = run_in(t, s, &arena, &report, err);
    arena_free(&arena);
    if (rc == 0)
        *ret = report;
    return rc;
}
