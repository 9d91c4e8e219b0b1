#include "track/refresh/pass.h"

/* Listed wallets without a row get one. */
static int pass_read_pending(const struct pipeline *like, struct pipeline_progress *ret,
                             struct err *err)
{
    struct pipeline_rows list = {.t = like->t, .b = like->b};
    struct pipeline pipeline = *like;
    struct dirty first = {0};
    bool end;
    *ret = (struct pipeline_progress){0};
    if (pipeline_plan_pending(&list, 1, &first, &end, err) < 0)
        return -1;
    bool any = first.n > 0;
    dirty_free(&first);
    if (!any)
        return 0;
    list.started = false;
    pipeline.plan = pipeline_plan_pending;
    pipeline.ctx = &list;
    pipeline.first_reads = true;
    pipeline.files_drift = false;
    return pipeline_run(&pipeline, ret, err);
}

static void pass_add_progress(struct pipeline_progress *sum, const struct pipeline_progress *p)
{
    sum->rows += p->rows;
    sum->updated += p->updated;
    sum->changed += p->changed;
    sum->failed += p->failed;
    sum->drifted += p->drifted;
    sum->requests += p->requests;
    sum->bytes_out += p->bytes_out;
    sum->bytes_in += p->bytes_in;
}

int pass_run(const struct pipeline *like, int64_t max_age_ms, struct pipeline_progress *ret,
             struct err *err)
{
    struct store_counts counts;
    if (store_count(like->t->store, &like->b->store, &counts, err) < 0)
        return -1;
    struct pipeline_rows rows = {
        .t = like->t,
        .b = like->b,
        .before_us = max_age_ms ? counts.now_us - max_age_ms * 1000 : 0,
    };
    struct pipeline_progress pending;
    struct pipeline pipeline = *like;
    pipeline.cause = CAUSE_SWEEP;
    pipeline.who = "trueup sweep";
    pipeline.plan = pipeline_plan_rows;
    pipeline.ctx = &rows;
    pipeline.files_drift = true;
    pipeline.total = counts.rows;
    if (pipeline_run(&pipeline, ret, err) < 0)
        return -1;
    int rc = pass_read_pending(&pipeline, &pending, err);
    pass_add_progress(ret, &pending);
    return rc;
}
