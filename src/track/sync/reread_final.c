#include "track/sync/reread_final.h"
#include "track/step.h"

enum { PAGE = 2048 };

uint64_t reread_checkpoint(uint64_t to, uint64_t finalized, uint64_t before)
{
    uint64_t at = to < finalized ? to : finalized;
    return at > before ? at : before;
}

static int reread_wallets(struct tracker *t, struct step *s, const struct store_dirty *due,
                          size_t n, struct step_report *ret, struct err *err)
{
    struct dirty plan = {0};
    for (size_t i = 0; i < n; i++)
        dirty_add(&plan, &(struct affected){.wallet = due[i].wallet, .insert = INSERT_NEVER});
    dirty_sort_unique(&plan);
    s->affected = plan.list;
    s->n = plan.n;
    int rc = step_files_drift(t, s, err) < 0 ? -1 : step_run(t, s, ret, err);
    dirty_free(&plan);
    return rc;
}

/* The value is written before its entry in trueup_dirty goes: a crash between them reads once too
 * often. */
int reread_page(struct tracker *t, struct tracked *b, const struct anchor *at, uint64_t finalized,
                struct reread_report *ret, struct err *err)
{
    struct step s = {.balance = b, .cause = CAUSE_REREAD, .at = *at, .lane = RPC_CATCHUP};
    struct step_report r = {.end = STEP_DONE};
    struct store_dirty *due;
    struct arena arena;
    size_t n = 0;
    *ret = (struct reread_report){0};
    arena_init(&arena);
    struct store_page page = {
        .up_to = finalized < at->number ? finalized : at->number, .limit = PAGE, .arena = &arena};
    int rc = store_dirty_due(t->store, &b->store, &page, &due, &n, err);
    if (rc == 0 && n > 0)
        rc = reread_wallets(t, &s, due, n, &r, err);
    if (rc == 0 && r.end == STEP_DONE && n > 0)
        rc = store_dirty_drop(t->store, &b->store, due, n, err);
    if (r.end != STEP_DONE) {
        ret->put_off = true;
        ret->why = r.why;
    } else if (n > 0) {
        ret->updated = r.applied.changed + r.applied.refreshed;
        ret->drifted = r.applied.drifted;
        ret->more = n == PAGE;
    }
    arena_free(&arena);
    return rc;
}

int reread_load_affected(struct tracker *t, const struct tracked *b, uint64_t from, size_t most,
                         struct dirty *ret, struct err *err)
{
    struct arena arena;
    struct store_dirty *list;
    size_t n;
    arena_init(&arena);
    struct store_page page = {.up_to = INT64_MAX, .limit = most, .arena = &arena};
    int rc = store_dirty_due(t->store, &b->store, &page, &list, &n, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        if (list[i].number >= from)
            dirty_add(ret, &(struct affected){.wallet = list[i].wallet,
                                              .event_block = list[i].number,
                                              .insert = INSERT_NEVER});
    arena_free(&arena);
    return rc;
}
