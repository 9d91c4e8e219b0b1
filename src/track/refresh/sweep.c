#include "track/refresh/sweep.h"
#include "base/clock.h"
#include "base/mem.h"
#include "track/events.h"
#include "track/refresh/full_refresh.h"
#include "track/sync/positions.h"
#include "track/sync/sample.h"

#include <inttypes.h>
#include <string.h>

enum { SKIP_MS = 60000, BATCH_MOST = 20000 };

void sweep_open(struct sweep *s, struct tracker *t, struct tracked *b)
{
    *s = (struct sweep){.t = t, .b = b};
    s->skips = mem_alloc(SWEEP_SKIPS * sizeof *s->skips);
}

void sweep_close(struct sweep *s)
{
    mem_free(s->skips);
    s->skips = NULL;
}

/* ---- the block to read at -------------------------------------------------------------------- */

/* One tick under way. */
struct sweep_turn {
    struct sweep *s;
    size_t batch;
    bool only_first; /* between ticks: first reads alone */
    struct anchor at;
    struct anchor newest; /* for first reads: at or above what is synced */
    bool has_newest;
    bool still; /* the chain makes no block: rows observed at `newest` have their turn, too */
    uint64_t refresh_below; /* every row observed before this block is due; 0: none is */
    struct arena arena;
    struct dirty plan, first_reads, later;
    struct sweep_report report;
};

/* The block to read at now, from the store alone; false in *ret_found when the follow worker has
 * not stored one yet. */
static int sweep_find_anchor(struct sweep_turn *u, bool *ret_found, struct err *err)
{
    struct balance_position p;
    struct sweep *s = u->s;
    if (positions_load_balance(s->t, s->b, &p, err) < 0)
        return -1;
    u->refresh_below = p.refresh_below;
    *ret_found = p.known && p.has_synced;
    if (!*ret_found)
        return 0;
    if (sample_find_below(s->t, UINT64_MAX, &u->newest, &u->has_newest, err) < 0)
        return -1;
    u->has_newest = u->has_newest && u->newest.number >= p.synced;
    if (s->newest != u->newest.number || !s->newest_since_ms) {
        s->newest = u->newest.number;
        s->newest_since_ms = clock_ms();
    }
    u->still = u->has_newest && u->newest.number == p.synced &&
               clock_ms() - s->newest_since_ms >= SWEEP_STILL_MS;
    return sample_find_below(s->t, positions_sweep_block(p.head, p.finalized, p.synced, p.first),
                             &u->at, ret_found, err);
}

/* ---- wallets passed by ----------------------------------------------------------------------- */

static void sweep_drop_old_skips(struct sweep *s)
{
    size_t kept = 0;
    int64_t now = clock_ms();
    for (size_t i = 0; i < s->n_skips; i++)
        if (s->skips[i].until_ms > now)
            s->skips[kept++] = s->skips[i];
    s->n_skips = kept;
}

static void sweep_add_skips(struct sweep *s, const struct affected *list, size_t n)
{
    for (size_t m = 0; m < n && s->n_skips < SWEEP_SKIPS; m++) {
        size_t at = s->n_skips;
        while (at > 0 && address_compare(&s->skips[at - 1].wallet, &list[m].wallet) > 0)
            at--;
        memmove(s->skips + at + 1, s->skips + at, (s->n_skips - at) * sizeof *s->skips);
        s->skips[at] = (struct sweep_skip){list[m].wallet, clock_ms() + SKIP_MS};
        s->n_skips++;
    }
}

static address *sweep_list_skips(const struct sweep *s, struct arena *arena)
{
    address *list = arena_alloc(arena, (s->n_skips + 1) * sizeof *list);
    for (size_t i = 0; i < s->n_skips; i++)
        list[i] = s->skips[i].wallet;
    return list;
}

/* ---- a tick ---------------------------------------------------------------------------------- */

static int sweep_run_step(struct sweep_turn *u, struct dirty *plan, struct sweep_report *ret,
                          struct err *err)
{
    struct sweep *s = u->s;
    bool first = plan == &u->first_reads, newest = plan != &u->plan;
    dirty_sort_unique(plan);
    struct step step = {.balance = s->b,
                        .cause = CAUSE_SWEEP,
                        .at = newest ? u->newest : u->at,
                        .affected = plan->list,
                        .n = plan->n,
                        .lane = RPC_SWEEP,
                        .files_drift = !first,
                        .explained_below = u->refresh_below};
    struct step_report r;
    if (step_run(s->t, &step, &r, err) < 0)
        return -1;
    switch (r.end) {
    case STEP_DONE:
        ret->drifted += r.applied.drifted;
        ret->updated += r.applied.inserted + r.applied.changed + r.applied.refreshed;
        ret->quarantined += r.applied.quarantined;
        if (ret->updated > 0)
            s->n_skips = 0; /* control wallets are known now: skipped wallets can be checked */
        break;
    case STEP_MOVED:
        ret->end = SWEEP_WAITING;
        ret->why = r.why;
        break;
    case STEP_BROKEN:
        sweep_add_skips(s, plan->list, plan->n);
        ret->end = SWEEP_BROKEN;
        ret->why = r.why;
        break;
    }
    return 0;
}

/* A wallet that became tracked after its events had passed is read where they are in: at or above
 * what is synced. So is a row without an anchor. */
static void sweep_plan_row(struct sweep_turn *u, const struct store_stale *r)
{
    bool first = !r->has_row || r->unanchored;
    struct sweep_report *ret = &u->report;
    if (first && !u->has_newest)
        return;
    dirty_add(first                              ? &u->first_reads
              : r->observed_block > u->at.number ? &u->later
                                                 : &u->plan,
              &(struct affected){.wallet = r->wallet,
                                 .insert = r->has_row ? INSERT_NEVER : INSERT_IF_LISTED});
    ret->without_row += !r->has_row;
    if (r->has_row && (ret->oldest_us == 0 || r->updated_us < ret->oldest_us))
        ret->oldest_us = r->updated_us > 0 ? r->updated_us : 1;
}

static int sweep_plan_oldest(struct sweep_turn *u, struct err *err)
{
    struct sweep *s = u->s;
    struct sweep_report *ret = &u->report;
    struct store_stale *rows;
    size_t n;
    sweep_drop_old_skips(s);
    struct store_pick pick = {.want = u->batch,
                              .max_observed = u->still ? u->newest.number : u->at.number,
                              .in_flight = sweep_list_skips(s, &u->arena),
                              .n_in_flight = s->n_skips,
                              .cursor = &s->cursor,
                              .first_reads = u->only_first,
                              .arena = &u->arena};
    if (store_claim_stale(s->t->store, &s->b->store, &pick, &rows, &n, err) < 0)
        return -1;
    ret->pass_ended = s->cursor.lap;
    /* A pass ended without a row: the next one begins in the same tick. */
    if (n == 0 && ret->pass_ended &&
        store_claim_stale(s->t->store, &s->b->store, &pick, &rows, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        sweep_plan_row(u, &rows[i]);
    ret->requested = u->plan.n + u->first_reads.n + u->later.n;
    ret->passed_later = s->cursor.passed_later;
    s->first_left = n == u->batch && u->first_reads.n > 0 && ret->without_row == 0;
    /* Listed wallets without a row do not wait for the next tick. */
    ret->hurry = n == u->batch && ret->without_row > 0;
    return 0;
}

/* Quarantined wallets whose retry has come, one step of their own. Their failing again is expected;
 * a broken contract is not concluded from them. */
static int sweep_retry_quarantined(struct sweep_turn *u, struct err *err)
{
    struct sweep *s = u->s;
    address *due;
    size_t n;
    struct sweep_report retry = {.end = SWEEP_DONE};
    struct store_page page = {.limit = SWEEP_RETRIES, .arena = &u->arena};
    if (store_quarantine_due(s->t->store, &s->b->store, &page, &due, &n, err) < 0)
        return -1;
    if (n == 0)
        return 0;
    dirty_clear(&u->plan);
    for (size_t i = 0; i < n; i++)
        dirty_add(&u->plan,
                  &(struct affected){.wallet = due[i], .insert = events_insert_rule(s->b)});
    if (sweep_run_step(u, &u->plan, &retry, err) < 0)
        return -1;
    u->report.requested += n;
    u->report.updated += retry.updated;
    u->report.drifted += retry.drifted;
    return 0;
}

/* Every row is due since a block that can be read at by now: the next rows in key order that were
 * observed before it. The note goes when the last one has been read. */
static int sweep_plan_full_refresh(struct sweep_turn *u, struct err *err)
{
    struct sweep *s = u->s;
    struct store_stale *rows;
    size_t n;
    uint64_t block = u->refresh_below;
    if (block == 0 || u->at.number < block)
        return 0;
    if (block != s->all_block) {
        s->all_block = block;
        s->all_started = false;
    }
    struct store_page page = {
        .after = s->all_started ? &s->all_after : NULL, .limit = u->batch, .arena = &u->arena};
    if (store_next_by_key(s->t->store, &s->b->store, &page, &rows, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (rows[i].unanchored || rows[i].observed_block < block)
            dirty_add(&u->plan,
                      &(struct affected){.wallet = rows[i].wallet, .insert = INSERT_NEVER});
    u->report.requested = u->plan.n;
    u->report.hurry = n == u->batch;
    s->all_started = n > 0;
    if (n > 0)
        s->all_after = rows[n - 1].wallet;
    return 0;
}

static int sweep_end_full_refresh(struct sweep *s, struct err *err)
{
    uint64_t block = s->all_block;
    s->all_block = 0;
    return full_refresh_clear(s->t, s->b, block, err);
}

static int sweep_run_tick(struct sweep_turn *u, struct err *err)
{
    struct sweep_report *ret = &u->report;
    bool found;
    if (sweep_find_anchor(u, &found, err) < 0)
        return -1;
    if (!found) {
        ret->end = SWEEP_WAITING;
        err_set(&ret->why, ERR_FAILED, "no block is synced yet");
        return 0;
    }
    if (!u->only_first && sweep_plan_full_refresh(u, err) < 0)
        return -1;
    bool full = u->s->all_block > 0;
    if ((!full || u->only_first) && sweep_plan_oldest(u, err) < 0)
        return -1;
    if (u->first_reads.n > 0 && sweep_run_step(u, &u->first_reads, ret, err) < 0)
        return -1;
    if (u->later.n > 0 && sweep_run_step(u, &u->later, ret, err) < 0)
        return -1;
    if (u->plan.n > 0 && sweep_run_step(u, &u->plan, ret, err) < 0)
        return -1;
    if (u->only_first)
        return 0;
    if (full && ret->end != SWEEP_DONE)
        u->s->all_block = 0; /* not read: the pass begins again */
    if (full && ret->end == SWEEP_DONE && !ret->hurry && sweep_end_full_refresh(u->s, err) < 0)
        return -1;
    if (ret->end == SWEEP_DONE && sweep_retry_quarantined(u, err) < 0)
        return -1;
    if (ret->end == SWEEP_DONE && ret->requested == 0)
        ret->end = SWEEP_EMPTY;
    return 0;
}

static int sweep_take_turn(struct sweep *s, struct sweep_turn *u, struct sweep_report *ret,
                           struct err *err)
{
    u->s = s;
    u->report.end = SWEEP_DONE;
    if (u->batch == 0)
        u->batch = reads_batch_size(s->t->reads, &s->b->shape);
    if (u->batch > BATCH_MOST)
        u->batch = BATCH_MOST;
    arena_init(&u->arena);
    int rc = sweep_run_tick(u, err);
    if (rc < 0 && !u->only_first)
        s->all_block = 0; /* the rows just planned were not read: that pass begins again */
    arena_free(&u->arena);
    dirty_free(&u->plan);
    dirty_free(&u->first_reads);
    dirty_free(&u->later);
    if (rc == 0)
        *ret = u->report;
    return rc;
}

int sweep_first_reads(struct sweep *s, size_t batch, struct sweep_report *ret, struct err *err)
{
    return sweep_take_turn(s, &(struct sweep_turn){.batch = batch, .only_first = true}, ret, err);
}

int sweep_tick(struct sweep *s, size_t batch, struct sweep_report *ret, struct err *err)
{
    return sweep_take_turn(s, &(struct sweep_turn){.batch = batch}, ret, err);
}
