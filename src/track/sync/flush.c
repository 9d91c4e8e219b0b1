#include "track/sync/flush.h"
#include "base/err.h"
#include "base/mem.h"
#include "track/refresh/full_refresh.h"

#include <stdlib.h>

enum {
    FLUSH_PAGE = 2048,   /* wallets in one read and one transaction */
    CATCH_UP_BELOW = 64, /* blocks below the read */
};

static bool flush_has_wallet(const struct dirty *dirty, const address *wallet)
{
    return dirty->n > 0 &&
           bsearch(wallet, dirty->list, dirty->n, sizeof *dirty->list, address_compare_elements);
}

/* A wallet that is not tracked now, but later, is new to the second look: it has to be read then.
 */
static void flush_keep_names(const struct dirty *tracked, struct names *names)
{
    size_t kept = 0;
    for (size_t i = 0; i < names->n; i++)
        if (flush_has_wallet(tracked, &names->list[i].wallet))
            names->list[kept++] = names->list[i];
    names->n = kept;
}

/* In a catch-up a wallet is named again and again, and was read far above: only its blocknumber
 * rises. Near the head a read tells more. */
static int flush_raise_rows(struct tracker *t, const struct flush *f, const struct dirty *dirty,
                            struct err *err)
{
    size_t n = 0;
    struct store_event *events = mem_alloc((dirty->n + 1) * sizeof *events);
    for (size_t i = 0; i < dirty->n; i++)
        if (dirty->list[i].has_event && dirty->list[i].event_block + CATCH_UP_BELOW < f->at.number)
            events[n++] = (struct store_event){dirty->list[i].wallet, dirty->list[i].event_block};
    int rc = store_raise_blocknumbers(t->store, &f->balance->store, events, n, err);
    mem_free(events);
    return rc;
}

/* From what the logs named to the wallets that are ours and have not been answered. The names stay,
 * also of an event that a push or the sweep has answered before: without them the second look would
 * take its log for a missed one. The note that every row is due is durable before the checkpoint
 * passes its event. */
static int flush_resolve(struct tracker *t, const struct flush *f, struct affected_set *affected,
                         struct flush_report *ret, struct err *err)
{
    uint64_t all = 0;
    if (fanout_overflows(&affected->fanout, &all) && all > affected->all_block)
        affected->all_block = all;
    if (affected->all_block > 0 && full_refresh_set(t, f->balance, affected->all_block, err) < 0)
        return -1;
    if (fanout_resolve(t, &affected->fanout, &f->at, events_insert_rule(f->balance),
                       &affected->dirty, err) < 0)
        return -1;
    ret->unanswered = affected->fanout.unanswered;
    if (events_keep_tracked(t, f->balance, &affected->dirty, err) < 0)
        return -1;
    flush_keep_names(&affected->dirty, &affected->names);
    if (flush_raise_rows(t, f, &affected->dirty, err) < 0)
        return -1;
    return events_drop_answered(t, f->balance, &affected->dirty, err);
}

/* Puts the names above finalized first; how many they are. */
static size_t flush_sort_names(struct names *names, uint64_t finalized)
{
    size_t above = 0;
    for (size_t i = 0; i < names->n; i++) {
        if (names->list[i].number <= finalized)
            continue;
        struct store_dirty one = names->list[i];
        names->list[i] = names->list[above];
        names->list[above++] = one;
    }
    return above;
}

/* One page of wallets, from `done` on. */
static int flush_write_page(struct tracker *t, const struct flush *f, struct affected_set *affected,
                            size_t done, struct flush_report *ret, struct err *err)
{
    const struct dirty *dirty = &affected->dirty;
    size_t left = dirty->n - done, n = left < FLUSH_PAGE ? left : FLUSH_PAGE;
    size_t above = done == 0 ? flush_sort_names(&affected->names, f->finalized) : 0;
    struct step s = {.balance = f->balance,
                     .cause = f->cause,
                     .at = f->at,
                     .affected = n > 0 ? dirty->list + done : NULL,
                     .n = n,
                     .lane = RPC_LIVE,
                     .has_checkpoint = f->has_checkpoint && done + n == dirty->n,
                     .checkpoint = f->checkpoint,
                     .named = affected->names.list,
                     .n_named = above};
    struct step_report r;
    if (step_run(t, &s, &r, err) < 0)
        return -1;
    if (r.end != STEP_DONE) {
        ret->blocked = true;
        ret->why = r.why;
        return 0;
    }
    ret->updated += r.applied.inserted + r.applied.changed + r.applied.refreshed;
    return 0;
}

int flush_run(struct tracker *t, const struct flush *f, struct affected_set *affected,
              struct flush_report *ret, struct err *err)
{
    const struct dirty *dirty = &affected->dirty;
    size_t done = 0;
    *ret = (struct flush_report){0};
    if (flush_resolve(t, f, affected, ret, err) < 0)
        return -1;
    bool more =
        dirty->n > 0 || f->has_checkpoint || flush_sort_names(&affected->names, f->finalized) > 0;
    while (more && !ret->blocked) {
        if (flush_write_page(t, f, affected, done, ret, err) < 0)
            return -1;
        done += FLUSH_PAGE;
        more = done < dirty->n;
    }
    return 0;
}
