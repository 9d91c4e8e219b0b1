#include "track/pass.h"
#include "base/clock.h"
#include "track/chain.h"

#include <inttypes.h>
#include <string.h>

enum { PASS_BATCH = 4000, ANCHOR_MS = 60000, MOVED_MOST = 10 };

/* The header at a number, from the store if it is there, else from the node, and then stored. */
static int header_to_read_at(struct tracker *t, uint64_t number, struct anchor *ret, struct err *err)
{
    struct header h;
    bool found;
    if (store_header_at(t->store, number, ret, &found, err) < 0)
        return -1;
    if (found)
        return 0;
    if (node_header_number(t->node, number, &h, &found, err) < 0)
        return -1;
    if (!found)
        return err_set(err, ERR_FAILED, "the node does not have block %" PRIu64, number);
    if (store_headers_put(t->store, &h.at, 1, err) < 0)
        return -1;
    *ret = h.at;
    return 0;
}

int command_anchor(struct tracker *t, const struct tracked *b, struct anchor *ret, struct err *err)
{
    struct header head, settled;
    struct positions p;
    bool found, have_checkpoint;
    uint64_t checkpoint = 0;
    if (node_header_tag(t->node, TAG_LATEST, &head, &found, err) < 0)
        return -1;
    if (!found)
        return err_set(err, ERR_FAILED, "the node has no latest block");
    if (node_header_tag(t->node, TAG_FINALIZED, &settled, &found, err) < 0 ||
        positions_load(t, &p, err) < 0 ||
        store_checkpoint_get(t->store, &b->store, &checkpoint, &have_checkpoint, err) < 0)
        return -1;
    uint64_t settled_at = found && settled.at.number <= head.at.number &&
                                  settled.at.number + CHAIN_STALE >= head.at.number
                              ? settled.at.number
                              : 0;
    bool kept_up = have_checkpoint && checkpoint + CHAIN_DEPTH >= head.at.number;
    /* Nothing was covered yet: the store begins here, at the head. */
    uint64_t first = p.known ? p.first : head.at.number;
    return header_to_read_at(t,
                             chain_sweep_block(head.at.number, settled_at,
                                               kept_up ? checkpoint : UINT64_MAX,
                                               first < head.at.number ? first : head.at.number),
                             ret, err);
}

static int read_batch(const struct pass *p, const struct anchor *at, const struct store_stale *rows,
                      size_t n, struct pass_progress *progress, bool *ret_moved, struct err *err)
{
    struct dirty plan = {0};
    struct step_report r;
    for (size_t i = 0; i < n; i++)
        dirty_add(&plan, &(struct mark){.wallet = rows[i].wallet, .insert = INSERT_NEVER});
    dirty_settle(&plan);
    struct step s = {.balance = p->b, .cause = CAUSE_SWEEP, .at = *at, .marks = plan.list,
                     .n = plan.n, .lane = NODE_SWEEP};
    int rc = step_run(p->t, &s, &r, err);
    dirty_free(&plan);
    if (rc < 0)
        return -1;
    if (r.end == STEP_BROKEN) {
        *err = r.why;
        return -1;
    }
    *ret_moved = r.end == STEP_MOVED;
    if (*ret_moved)
        *err = r.why;
    progress->requests += r.requests;
    if (*ret_moved)
        return 0;
    progress->rows += n;
    progress->updated += r.applied.inserted + r.applied.changed + r.applied.refreshed;
    progress->changed += r.applied.changed;
    progress->failed += r.applied.quarantined;
    return 0;
}

static int run_in(const struct pass *p, struct pass_progress *progress, struct err *err)
{
    struct store_counts counts;
    struct anchor at;
    address after;
    bool started = false;
    unsigned moved_in_row = 0;
    int64_t anchored_ms = 0, before_us;
    if (store_count(p->t->store, &p->b->store, &counts, err) < 0)
        return -1;
    progress->total = counts.rows;
    before_us = p->max_age_ms ? counts.now_us - p->max_age_ms * 1000 : 0;
    for (;;) {
        struct arena arena;
        struct store_stale *rows;
        size_t n;
        bool moved = false;
        if (p->t->stop && p->t->stop())
            return err_set(err, ERR_STOPPED, "stopped after %" PRIu64 " rows", progress->rows);
        if (anchored_ms == 0 || clock_ms() - anchored_ms > ANCHOR_MS) {
            if (command_anchor(p->t, p->b, &at, err) < 0)
                return -1;
            anchored_ms = clock_ms();
        }
        arena_init(&arena);
        int rc = store_next_by_key(p->t->store, &p->b->store, started ? &after : NULL, before_us,
                                   PASS_BATCH, &arena, &rows, &n, err);
        if (rc == 0 && n > 0)
            rc = read_batch(p, &at, rows, n, progress, &moved, err);
        if (rc == 0 && n > 0 && !moved) {
            after = rows[n - 1].wallet;
            started = true;
            moved_in_row = 0;
            if (p->progress)
                p->progress(p->ctx, progress);
        }
        arena_free(&arena);
        if (moved) {
            anchored_ms = 0;
            if (++moved_in_row > MOVED_MOST)
                return -1; /* err has the words of the last try */
            continue;
        }
        if (rc < 0)
            return -1;
        if (n < PASS_BATCH)
            return 0;
    }
}

int pass_run(const struct pass *p, struct pass_progress *ret, struct err *err)
{
    struct pass_progress progress = {0};
    int rc = run_in(p, &progress, err);
    *ret = progress;
    return rc;
}
