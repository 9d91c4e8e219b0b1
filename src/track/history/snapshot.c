#include "track/history/snapshot.h"
#include "base/mem.h"
#include "eth/abi.h"

#include <inttypes.h>

struct snapshot_walk {
    struct pipeline_rows rows; /* first: it is the plan's */
    const struct snapshot *s;
    size_t planned; /* of the wallets given */
    uint64_t failed;
};

static int snapshot_plan_given(void *ctx, size_t want, struct dirty *ret, bool *ret_end,
                               struct err *err)
{
    struct snapshot_walk *w = ctx;
    (void)err;
    for (; want > 0 && w->planned < w->s->n_wallets; want--)
        dirty_add(ret, &(struct affected){.wallet = w->s->wallets[w->planned++]});
    *ret_end = w->planned == w->s->n_wallets;
    return 0;
}

static int snapshot_give_rows(void *ctx, const struct step_work *work, struct err *err)
{
    struct snapshot_walk *w = ctx;
    struct arena arena;
    int rc = 0;
    arena_init(&arena);
    for (size_t i = 0; rc == 0 && i < work->step.n; i++) {
        const struct reading *r = &work->readings[i];
        bool good = r->status == READ_OK;
        w->failed += !good;
        rc = w->s->row(w->s->ctx, r, good ? NULL : step_reason(w->s->b, r, &arena), err);
    }
    arena_free(&arena);
    return rc;
}

/* One plain question first, whose answer says clearly whether the block's state is there at all. A
 * view that reverts has been there to do so. */
static int snapshot_check_state(const struct snapshot *s, struct err *err)
{
    static const address zero;
    const struct conf_term *term = &s->b->shape.terms[0];
    uint8_t call[ABI_VIEW_CALL];
    struct rpc_view view = {
        .to = &term->contract, .data = call, .data_len = sizeof call, .at = &s->at};
    struct rpc_view_answer a;
    abi_encode_view(term->view.selector, &zero, call);
    int rc = rpc_view(s->t->node, &view, &a, err);
    mem_free(a.data);
    if (rc == 0 || a.fault.fault == FAULT_REVERT)
        return 0;
    if (a.fault.fault == FAULT_PRUNED)
        err_hint(err, "the node has thrown the state of old blocks away; an archive node has it");
    return -1;
}

int snapshot_run(const struct snapshot *s, struct pipeline_progress *ret, struct err *err)
{
    struct snapshot_walk w = {.rows = {.t = s->t, .b = s->b, .all = true}, .s = s};
    struct store_counts counts;
    *ret = (struct pipeline_progress){0};
    if (snapshot_check_state(s, err) < 0)
        return err_wrap(err, "balances at block %" PRIu64, s->at.number);
    if (store_count(s->t->store, &s->b->store, &counts, err) < 0)
        return -1;
    struct pipeline pipeline = {.t = s->t,
                                .b = s->b,
                                .cause = CAUSE_SWEEP, /* nothing is written */
                                .who = "trueup snapshot",
                                .plan = s->n_wallets ? snapshot_plan_given : pipeline_plan_rows,
                                .show = snapshot_give_rows,
                                .ctx = &w,
                                .fixed = &s->at,
                                .progress = s->progress,
                                .progress_ctx = s->ctx,
                                .total = s->n_wallets ? s->n_wallets : counts.rows};
    int rc = pipeline_run(&pipeline, ret, err);
    ret->failed = w.failed;
    return rc < 0 && err->kind != ERR_STOPPED
               ? err_wrap(err, "balances at block %" PRIu64, s->at.number)
               : rc;
}
