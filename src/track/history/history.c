#include "track/history/history.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/mem.h"
#include "proc/stop.h"
#include "track/refresh/pass.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    WINDOWS = 4,           /* an endpoint is asked eight things at once, a window is two … */
    LOGS_AT_ONCE = 16000,  /* … as long as no more logs than these are expected in them */
    FLUSH_MS = 1000,       /* what was found is written down so often … */
    FLUSH_MOST_MS = 30000, /* … or, where that takes long, … */
    FLUSH_SHARE = 10,      /* … for so much of the time */
    LOOK_MS = 200,         /* how long a wait may keep us from noticing that we are to stop */
    FANOUT_MANY = 2000,    /* lists to be asked for: enough, see to them */
    FIRST_GUESS_OFF = 4,
    DISHONEST_MOST = 8, /* answers in a row that cannot be right */
    PENDING = 16,       /* stretches that were given back and wait to be asked for again */
};

struct span {
    uint64_t from, to;
};

struct window {
    struct logs_window *w; /* NULL: free */
    struct endpoint *by;
    struct span span;
    struct arena arena;
};

struct walk {
    struct history *h;
    struct trigger_filter filter;
    struct window windows[WINDOWS];
    struct span pending[PENDING]; /* given back, ascending */
    size_t n_pending;
    uint64_t next; /* nothing from here on was asked for yet; to + 1 at the end */
    struct holders holders;
    struct named named;
    int64_t flush_at_ms, not_before_ms;
    uint64_t logs_lately, blocks_lately; /* of the last window */
    struct backoff wait;
    unsigned dishonest;
    struct history_progress progress;
};

struct range *history_range(struct history *h, const struct endpoint *e)
{
    for (size_t i = 0; i < HISTORY_ENDPOINTS && i < rpc_endpoints(h->t->node); i++)
        if (rpc_endpoint(h->t->node, i) == e)
            return &h->ranges[i];
    return &h->ranges[0];
}

static size_t under_way(const struct walk *w)
{
    size_t n = 0;
    for (size_t i = 0; i < WINDOWS; i++)
        n += w->windows[i].w != NULL;
    return n;
}

/* Everything below has been looked at. */
static uint64_t done_below(const struct walk *w)
{
    uint64_t lowest = w->n_pending ? w->pending[0].from : w->next;
    for (size_t i = 0; i < WINDOWS; i++)
        if (w->windows[i].w && w->windows[i].span.from < lowest)
            lowest = w->windows[i].span.from;
    return lowest;
}

/* ---- what is durable ------------------------------------------------------------------------- */

enum { HISTORY_STATE = 160 };

/* The text under state_key for this walk. */
static void history_state(const struct history *h, uint64_t next, char ret[HISTORY_STATE])
{
    char print[HASH_TEXT];
    hash_text(&h->b->conf->rules_print, print);
    snprintf(ret, HISTORY_STATE, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %s", h->from, h->to, next,
             print);
}

/* The lists of wallets that events stand for. Blocking questions: nothing else is under way. */
static int resolve(struct walk *w, struct err *err)
{
    struct history *h = w->h;
    struct fanout *all = &w->named.fanout;
    struct anchor at;
    size_t unanswered;
    if (command_anchor(h->t, h->b, &at, err) < 0)
        return -1;
    for (size_t i = 0; i < all->n; i += FANOUT_ASKS_MOST) {
        size_t left = all->n - i;
        struct fanout part = {.list = all->list + i,
                              .n = left < FANOUT_ASKS_MOST ? left : FANOUT_ASKS_MOST};
        if (fanout_resolve(h->t, &part, &at, events_insert(h->b), &w->named.dirty, &unanswered,
                           err) < 0)
            return -1;
    }
    fanout_clear(all);
    return 0;
}

static int write_down(struct walk *w, struct err *err)
{
    char text[HISTORY_STATE];
    size_t n;
    int64_t started = clock_ms();
    struct named_holder *list = holders_new(&w->holders, &n);
    uint64_t next = done_below(w);
    history_state(w->h, next, text);
    int rc =
        store_holders_put(w->h->t->store, &w->h->b->store, list, n, w->h->state_key, text, err);
    mem_free(list);
    if (rc < 0)
        return -1;
    holders_written(&w->holders);
    w->progress.holders += n;
    w->h->next = next;
    int64_t now = clock_ms(), pause = (now - started) * FLUSH_SHARE;
    w->flush_at_ms = now + (pause < FLUSH_MS        ? FLUSH_MS
                            : pause > FLUSH_MOST_MS ? FLUSH_MOST_MS
                                                    : pause);
    return 0;
}

/* Marks become holders. A table that is full is written down in between: the window they came of is
 * not done then, so it would be looked at again. */
static int take_marks(struct walk *w, struct err *err)
{
    struct dirty *marks = &w->named.dirty;
    for (size_t i = 0; i < marks->n; i++) {
        const struct mark *m = &marks->list[i];
        if (holders_add(&w->holders, &m->wallet, m->event_block))
            continue;
        if (write_down(w, err) < 0 || !holders_add(&w->holders, &m->wallet, m->event_block))
            return -1;
    }
    dirty_clear(marks);
    return 0;
}

/* Wants all windows to end first, when lists are to be asked for: *ret_drain. */
static int flush_if_due(struct walk *w, bool *ret_drain, struct err *err)
{
    size_t lists = w->named.fanout.n;
    bool due = clock_ms() >= w->flush_at_ms || holders_full(&w->holders);
    *ret_drain = lists > 0 && (due || lists >= FANOUT_MANY);
    if (!due && !*ret_drain)
        return 0;
    if (*ret_drain && under_way(w) > 0)
        return 0;
    if (*ret_drain && (resolve(w, err) < 0 || take_marks(w, err) < 0))
        return -1;
    *ret_drain = false;
    return write_down(w, err);
}

/* ---- windows --------------------------------------------------------------------------------- */

/* What comes next, at most `width` wider than one block. */
static bool next_span(struct walk *w, uint64_t width, struct span *ret)
{
    if (w->n_pending > 0) {
        struct span *first = &w->pending[0];
        *ret = *first;
        if (ret->to - ret->from > width) {
            ret->to = ret->from + width;
            first->from = ret->to + 1;
        } else {
            memmove(first, first + 1, --w->n_pending * sizeof *first);
        }
        return true;
    }
    if (w->next > w->h->to)
        return false;
    *ret = (struct span){w->next, w->h->to};
    if (ret->to - ret->from > width)
        ret->to = ret->from + width;
    w->next = ret->to + 1;
    return true;
}

/* Into its place, and joined with its neighbours: what was cut narrower is whole again then. */
static void give_back(struct walk *w, struct span s)
{
    size_t i = w->n_pending++, kept = 0;
    while (i > 0 && w->pending[i - 1].from > s.from) {
        w->pending[i] = w->pending[i - 1];
        i--;
    }
    w->pending[i] = s;
    for (size_t k = 1; k < w->n_pending; k++) {
        if (w->pending[kept].to + 1 == w->pending[k].from)
            w->pending[kept].to = w->pending[k].to;
        else
            w->pending[++kept] = w->pending[k];
    }
    w->n_pending = kept + 1;
}

/* How many logs lie in the windows under way, and in another one, when all is as it was lately. */
static uint64_t expected(const struct walk *w, uint64_t width)
{
    uint64_t blocks = width + 1;
    for (size_t i = 0; i < WINDOWS; i++)
        if (w->windows[i].w)
            blocks += w->windows[i].span.to - w->windows[i].span.from + 1;
    return blocks * w->logs_lately / w->blocks_lately;
}

/* Each window under way may have to be given back. Alone it was cut from the first stretch, and
 * joins it again. */
static bool may_open(struct walk *w)
{
    size_t n = under_way(w);
    uint64_t width = history_range(w->h, rpc_best(w->h->t->node))->width;
    return n == 0 || (n + w->n_pending < PENDING && w->blocks_lately > 0 &&
                      expected(w, width) <= LOGS_AT_ONCE);
}

static int open_one(struct walk *w, struct window *free_one, struct err *err)
{
    struct endpoint *by = rpc_best(w->h->t->node);
    struct span s;
    if (!next_span(w, history_range(w->h, by)->width, &s))
        return 0;
    *free_one = (struct window){.by = by, .span = s};
    arena_init(&free_one->arena);
    if (logs_window_open(w->h->t->node, &w->filter.filter, s.from, s.to, RPC_CATCHUP, by,
                         &free_one->arena, &free_one->w, err) == 0)
        return 0;
    give_back(w, s);
    return -1;
}

static int open_more(struct walk *w, struct err *err)
{
    for (size_t i = 0; i < WINDOWS && may_open(w); i++)
        if (!w->windows[i].w && open_one(w, &w->windows[i], err) < 0)
            return -1;
    return 0;
}

static void end_window(struct window *win)
{
    logs_window_close(win->w);
    arena_free(&win->arena);
    *win = (struct window){0};
}

/* The window was not answered: narrower, later, elsewhere, or never. */
static int refused(struct walk *w, struct window *win, const struct logs *logs,
                   const struct err *why, struct err *err)
{
    struct span s = win->span;
    struct range *range = history_range(w->h, win->by);
    enum range_advice advice = range_refused(range, s.to - s.from, &logs->fault);
    /* Nothing is known yet: megabytes were asked for in vain, and half of them would be, too. */
    if (logs->fault.fault == FAULT_DENSITY && w->blocks_lately == 0)
        range->width /= FIRST_GUESS_OFF;
    bool dishonest = logs->fault.fault == FAULT_NONE;
    end_window(win);
    give_back(w, s);
    if (advice == RANGE_AGAIN)
        return 0;
    if (advice == RANGE_GIVE_UP && (!dishonest || ++w->dishonest >= DISHONEST_MOST)) {
        *err = *why;
        return -1;
    }
    w->not_before_ms = clock_ms() + backoff_next(&w->wait);
    return 0;
}

/* Some nodes cut an answer at their ceiling without a word. As many logs as such a ceiling has are
 * asked for again in narrower windows, which then say the same or more. */
static bool may_be_cut(size_t n_logs, uint64_t width)
{
    static const size_t ceilings[] = {1000, 2000, 5000, 10000, 20000, 50000, 100000};
    for (size_t i = 0; i < COUNT_OF(ceilings); i++)
        if (n_logs == ceilings[i])
            return width > 0;
    return false;
}

static int take_window(struct walk *w, struct window *win, struct err *err)
{
    struct logs logs;
    struct err why = {0};
    uint64_t width = win->span.to - win->span.from;
    if (logs_window_result(win->w, &logs, &why) < 0)
        return refused(w, win, &logs, &why, err);
    if (may_be_cut(logs.n, width)) {
        logs.fault = (struct fault_info){.fault = FAULT_DENSITY};
        return refused(w, win, &logs, &why, err);
    }
    backoff_reset(&w->wait);
    w->dishonest = 0;
    range_answered(history_range(w->h, win->by), width, logs.n);
    events_mark(w->h->b, logs.list, logs.n, &w->named);
    fanout_latest(&w->named.fanout);
    if (take_marks(w, err) < 0)
        return -1;
    w->logs_lately = logs.n;
    w->blocks_lately = width + 1;
    w->progress.logs += logs.n;
    w->progress.blocks += width + 1;
    end_window(win);
    return 0;
}

static int take_answer(struct walk *w, struct err *err)
{
    struct rpc_answer a;
    int got = rpc_next(w->h->t->node, LOOK_MS, &a, err);
    if (got <= 0)
        return got;
    for (size_t i = 0; i < WINDOWS; i++) {
        struct window *win = &w->windows[i];
        if (win->w && logs_window_take(win->w, &a))
            return logs_window_ended(win->w) ? take_window(w, win, err) : 0;
    }
    rpc_answer_free(&a);
    return 0;
}

/* ---- the walk -------------------------------------------------------------------------------- */

static uint64_t requests_so_far(const struct tracker *t)
{
    uint64_t n = 0;
    for (size_t i = 0; i < rpc_endpoints(t->node); i++)
        n += endpoint_counters(rpc_endpoint(t->node, i))->requests;
    return n;
}

static int may_go_on(struct walk *w, struct err *err)
{
    struct tracker *t = w->h->t;
    if (t->stop && t->stop())
        return err_set(err, ERR_STOPPED, "stopped");
    if (!rpc_may_spend(t->node, RPC_CATCHUP, NULL)) {
        err_set(err, ERR_FAILED, "today's budget is spent");
        return err_hint(err, "run it again tomorrow, or raise budget.per_day");
    }
    return w->h->lease ? lease_renew(w->h->lease, err) : 0;
}

static int turn(struct walk *w, struct err *err)
{
    bool drain;
    if (may_go_on(w, err) < 0 || flush_if_due(w, &drain, err) < 0)
        return -1;
    int64_t pause = w->not_before_ms - clock_ms();
    if (!drain && pause <= 0 && open_more(w, err) < 0)
        return -1;
    if (under_way(w) > 0)
        return take_answer(w, err);
    if (!drain && pause > 0)
        stop_wait(pause < LOOK_MS ? pause : LOOK_MS);
    return 0;
}

static int walk_on(struct walk *w, struct err *err)
{
    int rc = 0;
    uint64_t before = requests_so_far(w->h->t);
    while (rc == 0 && (under_way(w) > 0 || w->n_pending > 0 || w->next <= w->h->to)) {
        rc = turn(w, err);
        w->progress.requests = requests_so_far(w->h->t) - before;
        if (w->h->progress)
            w->h->progress(w->h->ctx, &w->progress);
    }
    return rc;
}

/* What was found is kept also when something failed; unless lists are still to be asked for. */
static int end_walk(struct walk *w, int rc, struct err *err)
{
    struct err ignored;
    if (rc == 0 && w->named.fanout.n > 0 && (resolve(w, err) < 0 || take_marks(w, err) < 0))
        return -1;
    if (rc == 0)
        return write_down(w, err);
    if (w->named.fanout.n == 0)
        write_down(w, &ignored);
    return rc;
}

int history_walk(struct history *h, struct history_progress *ret, struct err *err)
{
    struct walk *w = mem_zero(1, sizeof *w);
    w->h = h;
    w->next = h->next;
    w->flush_at_ms = clock_ms() + FLUSH_MS;
    holders_init(&w->holders, rng_seed_from_system());
    backoff_init(&w->wait, 250, 30000, rng_seed_from_system());
    int rc = trigger_filter_init(&w->filter, h->b, 1, err);
    if (rc == 0)
        rc = end_walk(w, walk_on(w, err), err);
    for (size_t i = 0; i < WINDOWS; i++)
        end_window(&w->windows[i]);
    named_free(&w->named);
    holders_free(&w->holders);
    *ret = w->progress;
    mem_free(w);
    return rc;
}
