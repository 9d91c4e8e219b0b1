#include "track/sync/flush.h"
#include "base/err.h"
#include "track/refresh/full_refresh.h"

enum { FLUSH_PAGE = 2048 }; /* wallets in one read and one transaction */

/* From what the logs named to the wallets that are ours. The note that every row is due is durable
 * before the checkpoint passes its event. */
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
    return events_keep_tracked(t, f->balance, &affected->dirty, err);
}

/* One page: n wallets from `done` on. */
static int flush_write_page(struct tracker *t, const struct flush *f, const struct dirty *dirty,
                            size_t done, size_t n, struct flush_report *ret, struct err *err)
{
    struct step s = {.balance = f->balance,
                     .cause = f->cause,
                     .at = f->at,
                     .affected = n > 0 ? dirty->list + done : NULL,
                     .n = n,
                     .lane = RPC_LIVE,
                     .has_checkpoint = f->has_checkpoint && done + n == dirty->n,
                     .checkpoint = f->checkpoint,
                     .unfinalized = f->unfinalized};
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
    bool more = dirty->n > 0 || f->has_checkpoint;
    while (more && !ret->blocked) {
        size_t left = dirty->n - done, n = left < FLUSH_PAGE ? left : FLUSH_PAGE;
        if (flush_write_page(t, f, dirty, done, n, ret, err) < 0)
            return -1;
        done += n;
        more = done < dirty->n;
    }
    return 0;
}
