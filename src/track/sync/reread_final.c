#include "track/sync/reread_final.h"
#include "base/mem.h"
#include "track/step.h"

enum { PAGE = 2048, TOUCHED_MOST = 20000 };

uint64_t reread_checkpoint(uint64_t to, uint64_t finalized, uint64_t before)
{
    uint64_t at = to < finalized ? to : finalized;
    return at > before ? at : before;
}

static int reread_read_wallets(struct tracker *t, struct tracked *b, const struct anchor *at,
                               const struct store_dirty *marks, size_t n, struct step_report *ret,
                               struct err *err)
{
    struct dirty plan = {0};
    for (size_t i = 0; i < n; i++)
        dirty_add(&plan, &(struct affected){.wallet = marks[i].wallet, .insert = INSERT_NEVER});
    dirty_sort_unique(&plan);
    struct step s = {.balance = b,
                     .cause = CAUSE_REREAD,
                     .at = *at,
                     .affected = plan.list,
                     .n = plan.n,
                     .lane = RPC_CATCHUP};
    int rc = step_files_drift(t, &s, err) < 0 ? -1 : step_run(t, &s, ret, err);
    dirty_free(&plan);
    return rc;
}

/* The value is written before its mark goes: a crash between them reads once too often. */
static int reread_run_page(struct tracker *t, struct tracked *b, const struct anchor *at,
                           uint64_t finalized, struct arena *arena, struct reread_report *ret,
                           struct err *err)
{
    struct store_dirty *marks;
    struct step_report r;
    size_t n;
    if (store_dirty_due(
            t->store, &b->store,
            &(struct store_page){.up_to = finalized < at->number ? finalized : at->number,
                                 .limit = PAGE,
                                 .arena = arena},
            &marks, &n, err) < 0)
        return -1;
    if (n == 0)
        return 0;
    if (reread_read_wallets(t, b, at, marks, n, &r, err) < 0)
        return -1;
    if (r.end != STEP_DONE) {
        ret->put_off = true;
        ret->why = r.why;
        return 0;
    }
    ret->updated = r.applied.changed + r.applied.refreshed;
    ret->drifted = r.applied.drifted;
    ret->more = n == PAGE;
    return store_dirty_drop(t->store, &b->store, marks, n, err);
}

int reread_page(struct tracker *t, struct tracked *b, const struct anchor *at, uint64_t finalized,
                struct reread_report *ret, struct err *err)
{
    struct reread_report report = {0};
    struct arena arena;
    arena_init(&arena);
    int rc = reread_run_page(t, b, at, finalized, &arena, &report, err);
    arena_free(&arena);
    if (rc == 0)
        *ret = report;
    return rc;
}

int reread_add_affected(struct tracker *t, const struct tracked *b, uint64_t first_bad,
                        struct dirty *touched, struct err *err)
{
    struct arena arena;
    struct store_dirty *marks;
    size_t n;
    arena_init(&arena);
    int rc = store_dirty_due(
        t->store, &b->store,
        &(struct store_page){.up_to = INT64_MAX, .limit = TOUCHED_MOST, .arena = &arena}, &marks,
        &n, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        if (marks[i].number >= first_bad)
            dirty_add(touched,
                      &(struct affected){.wallet = marks[i].wallet, .insert = INSERT_NEVER});
    arena_free(&arena);
    return rc;
}
