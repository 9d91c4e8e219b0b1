/*
 * What a worker does beside its work: logs the notices of the endpoints, returns free memory, and
 * stores what was spent of the day's budget, so that a restart finds it.
 *
 * Each process keeps its own text in trueup_state and adds up the other texts once a minute. The
 * day's limit may be exceeded by what all processes spend within a minute, never by more.
 */
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "proc/counters.h"
#include "rpc/budget.h"
#include "worker/worker.h"

#include <stdio.h>
#include <string.h>

enum { EVERY_MS = 60 * 1000, SHORT_MS = 60 * 1000, GIVE_BACK_MS = 10 * 1000 };

static void housekeeping_log_notice(const struct rpc_notice *n)
{
    if (n->endpoint)
        log_warn(n->message, LOG_STR("endpoint", n->endpoint), LOG_STR("why", n->why));
    else
        log_warn(n->message, LOG_STR("why", n->why));
}

static void housekeeping_log_notices(struct tracker *t)
{
    struct rpc_notice n;
    while (rpc_take_notice(t->node, &n))
        housekeeping_log_notice(&n);
}

static void housekeeping_make_key(const char *role, char out[48])
{
    snprintf(out, 48, BUDGET_KEY "%.20s", role);
}

static int housekeeping_exchange_spent(struct tracker *t, const char *role, bool load_mine,
                                       struct err *err)
{
    struct arena arena;
    struct budget *budget = rpc_budget(t->node);
    char key[48], mine[BUDGET_TEXT];
    const char *texts[BUDGET_SPENDERS] = {NULL};
    int rc = 0;
    arena_init(&arena);
    for (size_t i = 0; rc == 0 && i < BUDGET_SPENDERS; i++) {
        housekeeping_make_key(budget_spenders[i], key);
        rc = store_state_get(t->store, key, &arena, &texts[i], err);
        if (strcmp(budget_spenders[i], role) != 0)
            continue;
        if (rc == 0 && load_mine && texts[i])
            budget_import(budget, texts[i], true);
        texts[i] = NULL;
    }
    if (rc == 0)
        budget->others = 0;
    for (size_t i = 0; rc == 0 && i < BUDGET_SPENDERS; i++)
        if (texts[i])
            budget_import(budget, texts[i], false);
    arena_free(&arena);
    if (rc < 0 || load_mine)
        return rc;
    budget_export(budget, mine);
    housekeeping_make_key(role, key);
    return store_state_set(t->store, key, mine, err);
}

/* What the pushes of worker listen cost so far. It has no account of its own: follow keeps it. */
static uint64_t housekeeping_sum_pushed(const struct tracker *t)
{
    struct counters_endpoint_view v;
    uint64_t sum = 0;
    for (size_t i = 0; i < rpc_endpoints(t->node); i++)
        if (counters_endpoint_part(PART_LISTEN, i, &v))
            sum += v.cost;
    return sum;
}

static void housekeeping_take_pushed(struct tracker *t, const char *role)
{
    if (strcmp(role, "follow") != 0)
        return;
    uint64_t now = housekeeping_sum_pushed(t);
    budget_take_pushed(rpc_budget(t->node), now - t->pushed_units, wall_seconds());
    t->pushed_units = now;
}

void housekeeping_start(struct tracker *t, const char *role)
{
    struct err err = {0};
    housekeeping_log_notices(t);
    rpc_on_notice(t->node, housekeeping_log_notice); /* a request in trouble may last */
    if (t->conf->budget.per_day > 0 && housekeeping_exchange_spent(t, role, true, &err) < 0)
        log_warn_err("the day's spending cannot be read", &err);
    t->housekept_ms = clock_ms();
    t->pushed_units = housekeeping_sum_pushed(t);
}

void housekeeping_run(struct tracker *t, const char *role, bool last)
{
    struct err err = {0};
    housekeeping_log_notices(t);
    if (clock_ms() - t->given_back_ms >= GIVE_BACK_MS) {
        t->given_back_ms = clock_ms();
        mem_give_back();
    }
    if (t->conf->budget.per_day == 0)
        return;
    housekeeping_take_pushed(t, role);
    if (!last && clock_ms() - t->housekept_ms < EVERY_MS)
        return;
    t->housekept_ms = clock_ms();
    if (housekeeping_exchange_spent(t, role, false, &err) < 0)
        log_warn_err("the day's spending cannot be stored", &err);
}

bool housekeeping_may_spend(struct tracker *t, enum rpc_lane lane, int64_t *ret_pause_ms)
{
    int64_t wait;
    if (rpc_may_spend(t->node, lane, &wait))
        return true;
    housekeeping_log_notices(t);
    if (ret_pause_ms)
        *ret_pause_ms = wait < SHORT_MS ? wait : SHORT_MS;
    return false;
}
