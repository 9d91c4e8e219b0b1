#include "track/refresh/pass.h"

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
    struct pipeline pipeline = *like;
    pipeline.cause = CAUSE_SWEEP;
    pipeline.who = "trueup sweep";
    pipeline.plan = pipeline_plan_rows;
    pipeline.ctx = &rows;
    pipeline.files_drift = true;
    pipeline.total = counts.rows;
    return pipeline_run(&pipeline, ret, err);
}
