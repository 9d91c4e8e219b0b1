#include "track/refresh/pass.h"

int pass_run(const struct pass *p, struct pipeline_progress *ret, struct err *err)
{
    struct store_counts counts;
    if (store_count(p->t->store, &p->b->store, &counts, err) < 0)
        return -1;
    struct pipeline_rows rows = {.t = p->t,
                                 .b = p->b,
                                 .before_us =
                                     p->max_age_ms ? counts.now_us - p->max_age_ms * 1000 : 0};
    struct pipeline pipeline = {.t = p->t,
                                .b = p->b,
                                .cause = CAUSE_SWEEP,
                                .who = "trueup sweep",
                                .lease = p->lease,
                                .plan = pipeline_plan_rows,
                                .ctx = &rows,
                                .files_drift = true,
                                .progress = p->progress,
                                .progress_ctx = p->ctx,
                                .total = counts.rows};
    return pipeline_run(&pipeline, ret, err);
}
