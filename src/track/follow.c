#include "track/follow.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "proc/counters.h"
#include "track/all_due.h"
#include "track/rescan.h"
#include "track/settle.h"
#include "track/step.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    STEP_WALLETS = 2048,  /* in one read and one transaction */
    FLUSH_WALLETS = 8192, /* named and not yet read: enough, cover what is there */
    FLUSH_MS = 5000,      /* a catch-up moves its checkpoint at least this often */
    PRUNE_EVERY = 64,     /* blocks */
};

int follow_open(struct tracker *t, bool has_from, uint64_t from, struct follow *ret,
                struct err *err)
{
    memset(ret, 0, sizeof *ret);
    ret->t = t;
    ret->has_from = has_from;
    ret->from = from;
    range_init(&ret->range);
    if (trigger_filter_init(&ret->filter, t->balances, t->n_balances, err) < 0 ||
        chain_open(t, &ret->chain, err) < 0)
        return -1;
    ret->balances = mem_zero(t->n_balances, sizeof *ret->balances);
    for (size_t i = 0; i < t->n_balances; i++)
        ret->balances[i].b = &t->balances[i];
    return 0;
}

static void follow_balance_free(struct follow_balance *fb)
{
    named_free(&fb->named);
    dirty_free(&fb->touched);
}

void follow_close(struct follow *f)
{
    if (f->balances)
        for (size_t i = 0; i < f->t->n_balances; i++)
            follow_balance_free(&f->balances[i]);
    mem_free(f->balances);
    f->balances = NULL;
}

/* ---- where each balance stands --------------------------------------------------------------- */

/* The checkpoint as stored, and what is covered: less, while a rescan is under way. */
static int load_covered(struct follow *f, struct follow_balance *fb, bool *ret_found,
                        struct err *err)
{
    uint64_t at;
    bool under_way;
    if (store_checkpoint_get(f->t->store, &fb->b->store, &fb->checkpoint, ret_found, err) < 0)
        return -1;
    if (!*ret_found)
        return 0;
    fb->covered = fb->checkpoint;
    fb->stored = true;
    if (rescan_get(f->t, fb->b, &at, &under_way, err) < 0 ||
        rescan_passed(f->t, fb->b, &fb->passed, err) < 0)
        return -1;
    if (under_way && at < fb->checkpoint) {
        fb->covered = at;
        fb->rescanning = true;
    }
    return 0;
}

/* Where covering goes on: a rescan under way, the checkpoint, or for a first start --from or
 * the head. */
static int start_balance(struct follow *f, struct follow_balance *fb, struct err *err)
{
    bool found;
    if (load_covered(f, fb, &found, err) < 0)
        return -1;
    if (!found) {
        uint64_t head = f->chain.head.at.number;
        bool gone = false;
        if (f->has_from && f->from > head)
            return err_set(err, ERR_USAGE, "--from %" PRIu64 " is above the head, block %" PRIu64,
                           f->from, head);
        fb->covered = !f->has_from ? head : f->from > 0 ? f->from - 1 : 0;
        fb->checkpoint = fb->covered;
        if (fb->covered == head &&
            store_checkpoint_advance(f->t->store, &fb->b->store, &f->chain.head.at, &gone, err) < 0)
            return -1;
        fb->stored = fb->covered == head && !gone;
    }
    if (fb->checkpoint > f->chain.head.at.number + CHAIN_STALE)
        return chain_is_another(err,
                                "the head is block %" PRIu64 ", but the checkpoint of \"%s\" is "
                                "%" PRIu64,
                                f->chain.head.at.number, fb->b->conf->name, fb->checkpoint);
    fb->started = true;
    return 0;
}

/* At the end of a turn: nothing of it waits for this write. */
static int save_positions(struct follow *f, struct err *err)
{
    if (!f->moved)
        return 0;
    struct positions p = {
        .head = f->chain.head.at.number, .settled = f->chain.settled.number, .first = f->first};
    for (size_t i = 0; i < f->t->n_balances; i++)
        p.covered[i] = f->balances[i].covered;
    if (answered_save(f->t, &f->answered, err) < 0 || positions_save(f->t, &p, err) < 0)
        return -1;
    f->moved = false;
    return 0;
}

static int prune(struct follow *f, struct err *err)
{
    uint64_t head = f->chain.head.at.number, settled = f->chain.settled.number;
    if (head < f->pruned_at + PRUNE_EVERY)
        return 0;
    if (store_headers_prune(f->t->store, settled > CHAIN_KEEP ? settled - CHAIN_KEEP : 0, err) < 0)
        return -1;
    f->pruned_at = head;
    return 0;
}

/* What lies between where we left off and a checkpoint that another program moved was answered to
 * that program. */
static void note_gap(struct follow *f, const struct follow_balance *fb, const struct positions *p)
{
    uint64_t seen = p->covered[fb->b - f->t->balances];
    if (fb->checkpoint > seen)
        answered_by(&f->answered, seen + 1, NULL);
}

static int start(struct follow *f, struct err *err)
{
    struct positions p;
    if (!f->begun &&
        (positions_load(f->t, &p, err) < 0 || answered_load(f->t, &f->answered, err) < 0))
        return -1;
    if (!f->begun)
        f->first = p.known ? p.first : f->chain.head.at.number;
    for (size_t i = 0; i < f->t->n_balances; i++) {
        bool started = f->balances[i].started;
        if (!started && start_balance(f, &f->balances[i], err) < 0)
            return -1;
        if (!started && !f->begun)
            note_gap(f, &f->balances[i], &p);
    }
    f->begun = true;
    return 0;
}

static uint64_t lowest_covered(const struct follow *f)
{
    uint64_t lowest = UINT64_MAX;
    for (size_t i = 0; i < f->t->n_balances; i++)
        if (f->balances[i].covered < lowest)
            lowest = f->balances[i].covered;
    return lowest;
}

/* ---- the break ------------------------------------------------------------------------------- */

/* What is covered above the common block is not. Where that is below the checkpoint it must be
 * remembered; above, a restart begins at the checkpoint anyway. */
static int mark_rescan(struct follow *f, struct follow_balance *fb, uint64_t common,
                       struct err *err)
{
    bool found = true;
    /* Not started: a rescan that a crash cut short may be further back than this break. */
    if (!fb->started && load_covered(f, fb, &found, err) < 0)
        return -1;
    if (!found || fb->covered <= common)
        return 0;
    if (common < fb->checkpoint) {
        if (rescan_set(f->t, fb->b, common, err) < 0)
            return -1;
        fb->rescanning = true;
    }
    fb->covered = common;
    f->moved = true;
    named_clear(&fb->named);
    return 0;
}

/* The rescan mark is durable before the rewind: a crash between them finds the break again, a crash
 * after both goes on covering. The other order could lose the adopted blocks' events. */
static int rewind_to(struct follow *f, uint64_t first_bad, uint64_t *ret_rows, struct err *err)
{
    uint64_t common = first_bad > 0 ? first_bad - 1 : 0;
    struct arena arena;
    for (size_t i = 0; i < f->t->n_balances; i++)
        if (mark_rescan(f, &f->balances[i], common, err) < 0)
            return -1;
    arena_init(&arena);
    int rc = store_rewind(f->t->store, tracker_store_balances(f->t, &arena), f->t->n_balances,
                          first_bad, ret_rows, err);
    arena_free(&arena);
    for (size_t i = 0; rc == 0 && i < f->t->n_balances; i++)
        rc = settle_touched(f->t, f->balances[i].b, first_bad, &f->balances[i].touched, err);
    if (rc == 0) {
        while (f->chain.n_near > 0 && f->chain.near[f->chain.n_near - 1].at.number >= first_bad)
            f->chain.n_near--;
        f->chain.known = false;
        f->chain.behind_since_ms = 0;
    }
    return rc;
}

/* ---- covering -------------------------------------------------------------------------------- */

static void mark_all(struct follow *f, const struct logs *logs)
{
    for (size_t i = 0; i < f->t->n_balances; i++) {
        struct follow_balance *fb = &f->balances[i];
        size_t skip = 0;
        while (skip < logs->n && logs->list[skip].block <= fb->covered)
            skip++;
        events_mark(fb->b, logs->list + skip, logs->n - skip, &fb->named);
    }
}

static size_t named(const struct follow *f)
{
    size_t n = 0;
    for (size_t i = 0; i < f->t->n_balances; i++)
        n += f->balances[i].named.dirty.n + f->balances[i].named.fanout.n;
    return n;
}

/* The block at which wallets named up to `to` are read: `to` itself while it is near the head, else
 * the sweep's block, whose state a full node still has. Never below `to`. */
static int read_anchor(struct follow *f, uint64_t to, struct anchor *ret, struct err *err)
{
    bool found;
    const struct header *h = chain_near(&f->chain, to);
    if (h) {
        *ret = h->at;
        return 0;
    }
    uint64_t at =
        chain_sweep_block(f->chain.head.at.number, f->chain.settled.number, UINT64_MAX, 0);
    if (chain_anchor_below(f->t, at, ret, &found, err) < 0)
        return -1;
    if (!found || ret->number < to)
        *ret = f->chain.head.at;
    return 0;
}

static void held(struct follow_report *ret, const struct err *why)
{
    ret->end = FOLLOW_HELD;
    ret->why = *why;
}

/* From what the logs named to the wallets that are ours. The note that every row is due is durable
 * before the checkpoint passes its event. */
static int settle_named(struct follow *f, struct follow_balance *fb, const struct anchor *at,
                        struct follow_report *ret, struct err *err)
{
    struct named *n = &fb->named;
    size_t unanswered;
    uint64_t all = 0;
    for (size_t i = 0; i < fb->touched.n; i++)
        dirty_add(&n->dirty, &fb->touched.list[i]);
    if (fanout_overflows(&n->fanout, &all) && all > n->all_block)
        n->all_block = all;
    if (n->all_block > 0 && all_due_set(f->t, fb->b, n->all_block, err) < 0)
        return -1;
    if (fanout_resolve(f->t, &n->fanout, at, events_insert(fb->b), &n->dirty, &unanswered, err) < 0)
        return -1;
    ret->unanswered += unanswered;
    if (unanswered > 0) /* whom they would have named is not the endpoint's fault */
        answered_by(&f->answered, fb->covered + 1, NULL);
    return events_keep_tracked(f->t, fb->b, &n->dirty, err);
}

/* What another program passed over is covered again, but nothing was reorganised there. */
static enum store_cause cause_of(const struct follow_balance *fb)
{
    bool reorganised = fb->rescanning && fb->covered >= fb->passed;
    return reorganised || fb->touched.n > 0 ? CAUSE_REORG : CAUSE_EVENT;
}

/* Writes one balance's marks; the last step carries the checkpoint. False in *ret_ok: held. */
static int flush_balance(struct follow *f, struct follow_balance *fb, uint64_t to,
                         const struct anchor *at, struct follow_report *ret, bool *ret_ok,
                         struct err *err)
{
    struct dirty *dirty = &fb->named.dirty;
    uint64_t checkpoint = settle_checkpoint(to, f->chain.settled.number, fb->checkpoint);
    *ret_ok = false;
    if (settle_named(f, fb, at, ret, err) < 0)
        return -1;
    bool nothing = dirty->n == 0 && fb->stored && checkpoint == fb->checkpoint;
    size_t done = 0;
    while (!nothing) {
        size_t n = dirty->n - done < STEP_WALLETS ? dirty->n - done : STEP_WALLETS;
        struct step s = {.balance = fb->b,
                         .cause = cause_of(fb),
                         .at = *at,
                         .marks = n > 0 ? dirty->list + done : NULL,
                         .n = n,
                         .lane = NODE_LIVE,
                         .has_checkpoint = done + n == dirty->n,
                         .checkpoint = checkpoint,
                         .unsettled = at->number > f->chain.settled.number};
        struct step_report r;
        if (step_run(f->t, &s, &r, err) < 0)
            return -1;
        if (r.end != STEP_DONE) {
            held(ret, &r.why);
            return 0;
        }
        done += n;
        ret->updated += r.applied.inserted + r.applied.changed + r.applied.refreshed;
        nothing = done == dirty->n;
    }
    fb->checkpoint = checkpoint;
    fb->stored = true;
    named_clear(&fb->named);
    dirty_clear(&fb->touched);
    *ret_ok = true;
    return 0;
}

/* The durable rescan mark follows what is covered, and goes once it has caught up. */
static int move_rescan(struct follow *f, struct follow_balance *fb, struct err *err)
{
    if (!fb->rescanning)
        return 0;
    fb->rescanning = fb->covered < fb->checkpoint;
    return fb->rescanning ? rescan_set(f->t, fb->b, fb->covered, err)
                          : rescan_over(f->t, fb->b, err);
}

/* A balance that is held (its contract is broken, say) does not hold the others. */
static int flush(struct follow *f, uint64_t to, struct follow_report *ret, struct err *err)
{
    struct anchor at;
    if (read_anchor(f, to, &at, err) < 0)
        return -1;
    for (size_t i = 0; i < f->t->n_balances; i++) {
        struct follow_balance *fb = &f->balances[i];
        bool ok;
        if (fb->covered >= to && fb->touched.n == 0)
            continue;
        if (flush_balance(f, fb, to, &at, ret, &ok, err) < 0)
            return -1;
        if (ok) {
            fb->covered = to;
            f->moved = true;
            if (move_rescan(f, fb, err) < 0)
                return -1;
        }
    }
    return 0;
}

/* The window's last header, which came with its logs, where we know that block: an endpoint on
 * another branch would give us that branch's logs. */
static bool is_our_branch(const struct chain *c, const struct header *to)
{
    const struct header *near = chain_near(c, to->at.number);
    if (near)
        return hash_equal(&near->at.hash, &to->at.hash);
    return to->at.number != c->settled.number || hash_equal(&c->settled.hash, &to->at.hash);
}

/* Logs of one window below settled, or wherever headers are not known. */
static int cover_range(struct follow *f, uint64_t from, uint64_t to, struct arena *arena,
                       struct follow_report *ret, bool *ret_ok, struct err *err)
{
    struct logs logs;
    struct err why = {0};
    *ret_ok = false;
    if (node_logs_range(f->t->node, &f->filter.filter, from, to, NODE_CATCHUP, arena, &logs,
                        &why) == 0) {
        if (!is_our_branch(&f->chain, &logs.to))
            return err_set(err, ERR_FAILED,
                           "the logs up to block %" PRIu64 " are of another branch", to);
        range_answered(&f->range, to - from, logs.n);
        answered_by(&f->answered, from, endpoint_name(logs.by));
        mark_all(f, &logs);
        *ret_ok = true;
        return 0;
    }
    switch (range_refused(&f->range, to - from, &logs.fault)) {
    case RANGE_AGAIN:
        ret->end = FOLLOW_AGAIN;
        return 0;
    case RANGE_WAIT:
        held(ret, &why);
        return 0;
    case RANGE_GIVE_UP:
        break;
    }
    *err = why;
    return -1;
}

/* Logs of one block above settled, by hash. The bloom saves the question where it says no. */
static int cover_block(struct follow *f, const struct header *h, struct arena *arena,
                       struct err *err)
{
    struct logs logs;
    bool doubted;
    if (h->has_bloom && !filter_may_match(&f->filter.filter, h) &&
        !pushed_any(&f->pushed, &h->at.hash)) {
        pushed_answered(&f->pushed, h, NULL);
        return 0;
    }
    if (node_logs_block(f->t->node, &f->filter.filter, h, NODE_LIVE, arena, &logs, &doubted, err) <
        0)
        return -1;
    pushed_answered(&f->pushed, h, &logs);
    answered_by(&f->answered, h->at.number, endpoint_name(logs.by));
    mark_all(f, &logs);
    return 0;
}

/* How far a range from `from` may go: to settled, or to where headers are known one by one. */
static uint64_t range_end(const struct chain *c, uint64_t from)
{
    uint64_t near = c->n_near > 0 ? c->near[0].at.number : c->head.at.number + 1;
    if (from <= c->settled.number)
        return c->settled.number;
    return near > from ? near - 1 : c->head.at.number;
}

/* Marks what the next window names; *ret_to is the last block looked at. */
static int cover_window(struct follow *f, uint64_t from, struct arena *arena, uint64_t *ret_to,
                        struct follow_report *ret, bool *ret_ok, struct err *err)
{
    const struct header *h = from > f->chain.settled.number ? chain_near(&f->chain, from) : NULL;
    uint64_t limit = range_end(&f->chain, from);
    if (f->filter.filter.n_topics == 0) {
        *ret_to = f->chain.head.at.number;
        *ret_ok = true;
        return 0;
    }
    if (h) {
        *ret_to = from;
        *ret_ok = true;
        return cover_block(f, h, arena, err);
    }
    *ret_to = limit - from > f->range.width ? from + f->range.width : limit;
    return cover_range(f, from, *ret_to, arena, ret, ret_ok, err);
}

static bool anybody_touched(const struct follow *f)
{
    for (size_t i = 0; i < f->t->n_balances; i++)
        if (f->balances[i].touched.n > 0)
            return true;
    return false;
}

static int cover(struct follow *f, struct follow_report *ret, struct err *err)
{
    uint64_t head = f->chain.head.at.number, at = lowest_covered(f);
    int64_t flush_at = clock_ms() + FLUSH_MS;
    struct arena arena;
    bool ok = true;
    int rc = 0;
    if (at + CHAIN_NEAR < head && !f->announced) {
        ret->catching_up = f->announced = true;
        ret->from = at + 1;
        ret->to = head;
    }
    for (size_t i = 0; i < f->t->n_balances; i++)
        named_clear(&f->balances[i].named);
    arena_init(&arena);
    while (rc == 0 && ok && at < head && named(f) < FLUSH_WALLETS && clock_ms() < flush_at) {
        uint64_t to;
        rc = cover_window(f, at + 1, &arena, &to, ret, &ok, err);
        if (rc == 0 && ok)
            at = to;
        arena_clear(&arena);
    }
    arena_free(&arena);
    /* What was marked before a window failed is still whole blocks: it may be written. */
    if (at > lowest_covered(f) || anybody_touched(f)) {
        struct err flush_err = {0};
        if (flush(f, at, ret, &flush_err) < 0) {
            *err = flush_err;
            rc = -1;
        }
    }
    if (rc == 0 && ret->end == FOLLOW_IDLE && lowest_covered(f) < head)
        ret->end = FOLLOW_AGAIN;
    if (lowest_covered(f) >= head)
        f->announced = false;
    return rc;
}

/* ---- settling -------------------------------------------------------------------------------- */

bool follow_lacks(const struct follow *f)
{
    return pushed_lacks(&f->pushed);
}

bool follow_heard(struct follow *f, uint64_t block, const hash32 *hash, uint64_t index)
{
    pushed_heard(&f->pushed, block, hash, index);
    return follow_lacks(f);
}

static void count_missed(struct follow *f, const struct endpoint *by, size_t n_logs)
{
    for (size_t i = 0; i < node_endpoints(f->t->node); i++)
        for (size_t k = 0; k < n_logs && node_endpoint(f->t->node, i) == by; k++)
            counters_missed_log(i);
}

/* A block whose answer lacks pushed logs is covered again. In memory only: it is a second chance.
 */
static void cover_again(struct follow *f, struct follow_report *ret)
{
    const struct pushed_block *b = pushed_missing(&f->pushed, &ret->missed, &ret->missed_again);
    if (!b)
        return;
    ret->missed_at = b->number;
    count_missed(f, b->by, ret->missed);
    if (!ret->missed_again || !chain_near(&f->chain, b->number))
        return;
    for (size_t i = 0; i < f->t->n_balances; i++)
        if (f->balances[i].covered >= b->number)
            f->balances[i].covered = b->number - 1;
}

/* The checkpoint follows what has settled meanwhile, where no event carried it along. */
static int advance(struct follow *f, struct follow_balance *fb, const struct anchor *at,
                   struct err *err)
{
    uint64_t to = settle_checkpoint(fb->covered, f->chain.settled.number, fb->checkpoint);
    struct step s = {.balance = fb->b, .at = *at, .has_checkpoint = true, .checkpoint = to};
    struct step_report r;
    if (to == fb->checkpoint || !fb->stored)
        return 0;
    if (step_run(f->t, &s, &r, err) < 0)
        return -1;
    if (r.end == STEP_DONE)
        fb->checkpoint = to;
    return 0;
}

/* Reads again what has settled, a page a turn, when there is nothing newer to do. What cannot be
 * read at this block is tried at the next one. */
static int settle(struct follow *f, struct follow_report *ret, struct err *err)
{
    uint64_t settled = f->chain.settled.number, head = f->chain.head.at.number;
    struct anchor at;
    bool found;
    if (settled <= f->settled_to) {
        f->settle_due = false;
        return 0;
    }
    if (chain_anchor_below(f->t, chain_sweep_block(head, settled, lowest_covered(f), f->first), &at,
                           &found, err) < 0)
        return -1;
    bool put_off = !found || at.number < settled, more = false;
    for (size_t i = 0; !put_off && i < f->t->n_balances; i++) {
        struct settle_report r;
        if (advance(f, &f->balances[i], &at, err) < 0)
            return -1;
        if (settle_page(f->t, f->balances[i].b, &at, settled, &r, err) < 0)
            return -1;
        ret->settled += r.updated;
        ret->drifted += r.drifted;
        more |= r.more;
        put_off |= r.put_off;
    }
    f->settle_due = more && !put_off;
    if (f->settle_due)
        ret->end = FOLLOW_AGAIN;
    else if (!put_off)
        f->settled_to = settled;
    return 0;
}

int follow_once(struct follow *f, struct follow_report *ret, struct err *err)
{
    enum chain_news news;
    uint64_t first_bad;
    *ret = (struct follow_report){.end = FOLLOW_IDLE};
    if (chain_poll(f->t, &f->chain, &news, &first_bad, err) < 0)
        return -1;
    if (news == CHAIN_BROKE) {
        if (rewind_to(f, first_bad, &ret->reorg_rows, err) < 0)
            return -1;
        ret->reorg = true;
        ret->reorg_at = first_bad;
        ret->end = FOLLOW_AGAIN;
        return 0;
    }
    if (!f->chain.known)
        return 0; /* behind, at the first look */
    if (start(f, err) < 0)
        return -1;
    if (news == CHAIN_GREW)
        f->moved = f->settle_due = true;
    cover_again(f, ret);
    int rc = cover(f, ret, err);
    struct err why = {0};
    if (rc == 0)
        rc = chain_settle(f->t, &f->chain, err);
    if (save_positions(f, rc < 0 ? &why : err) < 0)
        return -1;
    if (rc == 0 && news == CHAIN_GREW)
        rc = prune(f, err);
    if (rc == 0 && ret->end == FOLLOW_IDLE && f->settle_due)
        rc = settle(f, ret, err);
    return rc;
}
