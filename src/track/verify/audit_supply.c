#include "track/verify/audit_supply.h"
#include "base/err.h"
#include "base/mem.h"
#include "eth/fault_policy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int audit_supply_term(const struct tracked *b)
{
    for (size_t i = 0; i < b->shape.n_terms; i++)
        if (strcmp(b->shape.terms[i].view.canonical, "balanceOf(address)") == 0)
            return (int)i;
    return -1;
}

/* ---- the sum --------------------------------------------------------------------------------- */

struct supply_sum {
    struct pipeline_rows rows; /* first: it is the plan's */
    const struct audit *a;
    const struct anchor *at;
    u256 sum;
    bool overflow;
    uint64_t unread, total, requests_before;
};

static int supply_add_readings(void *ctx, const struct step_work *w, struct err *err)
{
    struct supply_sum *s = ctx;
    (void)err;
    for (size_t i = 0; i < w->step.n; i++) {
        if (w->readings[i].status == READ_OK)
            s->overflow |= u256_add(&s->sum, &s->sum, &w->readings[i].sum);
        else
            s->unread++;
    }
    return 0;
}

static void supply_on_progress(void *ctx, const struct pipeline_progress *p, uint64_t total)
{
    const struct supply_sum *s = ctx;
    if (s->a->progress)
        s->a->progress(s->a->ctx, p->rows, total, s->requests_before + p->requests);
}

/* The same balance with this term alone. */
static int supply_sum_term(struct supply_sum *s, int term, struct audit_report *ret,
                           struct err *err)
{
    struct tracked one = *s->a->b;
    struct pipeline_progress done = {0};
    one.shape.terms += term;
    one.shape.n_terms = 1;
    struct pipeline f = {.t = s->a->t,
                         .b = &one,
                         .cause = CAUSE_AUDIT,
                         .who = "trueup audit",
                         .lease = s->a->lease,
                         .plan = pipeline_plan_rows,
                         .show = supply_add_readings,
                         .ctx = s,
                         .fixed = s->at,
                         .progress = supply_on_progress,
                         .progress_ctx = s,
                         .total = s->total};
    s->requests_before = ret->traffic.requests;
    int rc = pipeline_run(&f, &done, err);
    ret->traffic.requests += done.requests;
    ret->traffic.bytes_in += done.bytes_in;
    ret->traffic.bytes_out += done.bytes_out;
    return rc;
}

/* ---- the supply ------------------------------------------------------------------------------ */

static int supply_read_total(const struct audit *a, const struct conf_term *term,
                             const struct anchor *at, u256 *ret, bool *ret_answered,
                             struct err *err)
{
    static const uint8_t total_supply[4] = {0x18, 0x16, 0x0d, 0xdd};
    struct rpc_view view = {.to = &term->contract,
                            .data = total_supply,
                            .data_len = sizeof total_supply,
                            .at = at,
                            .bound = true};
    struct rpc_view_answer answer;
    int rc = rpc_view(a->t->node, &view, &answer, err);
    *ret_answered = rc == 0 && answer.len == 32;
    if (*ret_answered)
        u256_from_be32(ret, answer.data);
    mem_free(answer.data);
    return rc < 0 && !fault_says(answer.fault.fault, FAULT_SAYS_VIEW_REFUSED) ? -1 : 0;
}

static void supply_compare(struct audit_report *ret, bool overflow)
{
    int way = overflow ? 1 : u256_compare(&ret->supply.sum, &ret->supply.supply);
    ret->supply.end = way == 0 ? SUPPLY_EQUAL : way < 0 ? SUPPLY_SHORT : SUPPLY_OVER;
    if (way < 0)
        u256_sub(&ret->supply.off, &ret->supply.supply, &ret->supply.sum);
    else
        u256_sub(&ret->supply.off, &ret->supply.sum, &ret->supply.supply);
}

static int supply_set_unknown(struct audit_report *ret, const char *why)
{
    ret->supply.end = SUPPLY_SILENT;
    snprintf(ret->supply.why, sizeof ret->supply.why, "%s", why);
    return 0;
}

int audit_supply_check(const struct audit *a, const struct anchor *at, const u256 *sum,
                       struct audit_report *ret, struct err *err)
{
    struct supply_sum s = {.rows = {.t = a->t, .b = a->b}, .a = a, .at = at};
    struct store_counts counts;
    bool answered;
    int term = audit_supply_term(a->b);
    if (term < 0)
        return supply_set_unknown(ret, "no term is a token's balanceOf(address)");
    const struct conf_term *which = &a->b->shape.terms[term];
    ret->supply.term = which->name;
    if (store_count(a->t->store, &a->b->store, &counts, err) < 0 ||
        supply_read_total(a, which, at, &ret->supply.supply, &answered, err) < 0)
        return -1;
    s.total = counts.rows;
    if (!answered)
        return supply_set_unknown(ret, "the contract does not answer totalSupply()");
    if (counts.quarantined > 0)
        return supply_set_unknown(ret, "wallets in quarantine cannot be read");
    if (!sum && supply_sum_term(&s, term, ret, err) < 0)
        return -1;
    if (s.unread > 0)
        return supply_set_unknown(ret, "some wallets cannot be read");
    ret->supply.sum = sum ? *sum : s.sum;
    supply_compare(ret, s.overflow);
    return 0;
}
