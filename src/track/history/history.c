#include "track/history/history.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/mem.h"
#include "proc/stop.h"
#include "track/history/history_again.h"
#include "track/refresh/read_block.h"

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
    PENDING = 17,       /* stretches still to be asked for: given back, and the rest of the way */
};

struct history_span {
    uint64_t from, to;
};

struct history_window {
    struct logs_window *w; /* NULL: free */
    struct endpoint *by;
    struct history_span span;
    struct arena arena;
};

struct history_walk {
    struct history_scan *h;
    struct trigger_filter filter;
    struct history_window windows[WINDOWS];
    /* Ascending; one more than may wait, while a stretch joins its neighbour. */
    struct history_span pending[PENDING + 1];
    size_t n_pending;
    struct holders holders;
    struct affected_set affected, page; /* page: of the answer at hand */
    struct again again;
    int64_t flush_at_ms, not_before_ms;
    uint64_t logs_lately, blocks_lately; /* of the last window */
    struct backoff wait;
    unsigned dishonest;
    struct history_progress progress;
};

struct range *history_range(struct history_scan *h, const struct endpoint *e)
{
    return &h->ranges[endpoint_number(e)];
}

static size_t history_count_open(const struct history_walk *w)
{
    size_t n = 0;
    for (size_t i = 0; i < WINDOWS; i++)
        n += w->windows[i].w != NULL;
    return n;
}

/* Everything below has been looked at. */
static uint64_t history_done_below(const struct history_walk *w)
{
    uint64_t lowest = w->n_pending ? w->pending[0].from : w->h->to + 1;
    for (size_t i = 0; i < WINDOWS; i++)
        if (w->windows[i].w && w->windows[i].span.from < lowest)
            lowest = w->windows[i].span.from;
    return again_find_lowest(&w->again, lowest);
}

/* ---- what is durable ------------------------------------------------------------------------- */

enum { HISTORY_STATE = 160 };

/* The text under state_key for this walk. */
static void history_state(const struct history_scan *h, uint64_t next, char ret[HISTORY_STATE])
{
    char print[HASH_TEXT];
    hash_text(&h->b->conf->rules_print, print);
    snprintf(ret, HISTORY_STATE, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %s", h->from, h->to, next,
             print);
}

/* The lists of wallets that events stand for. Blocking questions: nothing else is under way. */
static int history_resolve_lists(struct history_walk *w, struct err *err)
{
    struct history_scan *h = w->h;
    struct fanout *all = &w->affected.fanout;
    struct anchor at;
    if (read_block_find(h->t, h->b, &at, err) < 0)
        return -1;
    for (size_t i = 0; i < all->n; i += FANOUT_ASKS_MOST) {
        size_t left = all->n - i;
        struct fanout part = {.list = all->list + i,
                              .n = left < FANOUT_ASKS_MOST ? left : FANOUT_ASKS_MOST};
        if (fanout_resolve(h->t, &part, &at, events_insert_rule(h->b), &w->affected.dirty, err) < 0)
            return -1;
    }
    fanout_clear(all);
    return 0;
}

static int history_save(struct history_walk *w, struct err *err)
{
    char text[HISTORY_STATE];
    size_t n;
    int64_t started = clock_ms();
    struct named_holder *list = holders_new(&w->holders, &n);
    uint64_t next = history_done_below(w);
    history_state(w->h, next, text);
    int rc = store_holders_put(w->h->t->store, &w->h->b->store, list, n,
                               &(struct store_note){w->h->state_key, text}, err);
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

/* Affected wallets become holders. A full table is saved in between: the window they came of is
 * not done then, so it would be looked at again. */
static int history_take_affected(struct history_walk *w, struct err *err)
{
    struct dirty *all = &w->affected.dirty;
    for (size_t i = 0; i < all->n; i++) {
        const struct affected *m = &all->list[i];
        uint64_t block = m->has_event ? m->event_block : 0;
        if (holders_add(&w->holders, &m->wallet, block))
            continue;
        if (history_save(w, err) < 0 || !holders_add(&w->holders, &m->wallet, block))
            return -1;
    }
    dirty_clear(all);
    return 0;
}

/* Wants all windows to end first, when lists are to be asked for: *ret_drain. */
static int history_flush_if_due(struct history_walk *w, bool *ret_drain, struct err *err)
{
    size_t lists = w->affected.fanout.n;
    bool due = clock_ms() >= w->flush_at_ms || holders_full(&w->holders);
    *ret_drain = lists > 0 && (due || lists >= FANOUT_MANY);
    if (!due && !*ret_drain)
        return 0;
    if (*ret_drain && history_count_open(w) > 0)
        return 0;
    if (*ret_drain && (history_resolve_lists(w, err) < 0 || history_take_affected(w, err) < 0))
        return -1;
    *ret_drain = false;
    return history_save(w, err);
}

/* ---- windows --------------------------------------------------------------------------------- */

/* What comes next, at most `width` wider than one block. */
static bool history_next_span(struct history_walk *w, uint64_t width, struct history_span *ret)
{
    struct history_span *first = &w->pending[0];
    if (w->n_pending == 0)
        return false;
    *ret = *first;
    if (ret->to - ret->from > width) {
        ret->to = ret->from + width;
        first->from = ret->to + 1;
    } else {
        memmove(first, first + 1, --w->n_pending * sizeof *first);
    }
    return true;
}

/* Into its place, and joined with its neighbours: what was cut narrower is whole again then. */
static void history_return_span(struct history_walk *w, struct history_span s)
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
static uint64_t history_expect_logs(const struct history_walk *w, uint64_t width)
{
    uint64_t blocks = width + 1;
    for (size_t i = 0; i < WINDOWS; i++)
        if (w->windows[i].w)
            blocks += w->windows[i].span.to - w->windows[i].span.from + 1;
    return blocks * w->logs_lately / w->blocks_lately;
}

/* Each window under way may have to be given back. Alone it was cut from the first stretch, and
 * joins it again. */
static bool history_may_open(struct history_walk *w)
{
    size_t n = history_count_open(w);
    uint64_t width = history_range(w->h, rpc_best(w->h->t->node))->width;
    if (again_is_full(&w->again))
        return false;
    return n == 0 || (n + w->n_pending < PENDING && w->blocks_lately > 0 &&
                      history_expect_logs(w, width) <= LOGS_AT_ONCE);
}

static int history_open_one(struct history_walk *w, struct history_window *free_one,
                            struct err *err)
{
    struct endpoint *by = rpc_best(w->h->t->node);
    struct history_span s;
    if (!history_next_span(w, history_range(w->h, by)->width, &s))
        return 0;
    *free_one = (struct history_window){.by = by, .span = s};
    arena_init(&free_one->arena);
    struct logs_ask ask = {.filter = &w->filter.filter,
                           .from = s.from,
                           .to = s.to,
                           .lane = RPC_CATCHUP,
                           .by = by,
                           .twice = !w->h->once,
                           .arena = &free_one->arena};
    if (logs_window_open(w->h->t->node, &ask, &free_one->w, err) == 0)
        return 0;
    history_return_span(w, s);
    return -1;
}

static int history_open_more(struct history_walk *w, struct err *err)
{
    for (size_t i = 0; i < WINDOWS && history_may_open(w); i++)
        if (!w->windows[i].w && history_open_one(w, &w->windows[i], err) < 0)
            return -1;
    return 0;
}

static void history_close_window(struct history_window *win)
{
    logs_window_close(win->w);
    arena_free(&win->arena);
    *win = (struct history_window){0};
}

/* The window was not answered: it is asked again, narrower or later, or the scan fails. */
static int history_on_refusal(struct history_walk *w, struct history_window *win,
                              const struct logs *logs, const struct err *why, struct err *err)
{
    struct history_span s = win->span;
    struct range *range = history_range(w->h, win->by);
    enum range_advice advice = range_on_fault(range, s.to - s.from, &logs->fault);
    /* Nothing is known yet: megabytes were asked for in vain, and half of them would be, too. */
    if (logs->fault.fault == FAULT_DENSITY && w->blocks_lately == 0)
        range->width /= FIRST_GUESS_OFF;
    bool dishonest = logs->fault.fault == FAULT_NONE;
    history_close_window(win);
    history_return_span(w, s);
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
static bool history_may_be_cut(size_t n_logs, uint64_t width)
{
    static const size_t ceilings[] = {1000, 2000, 5000, 10000, 20000, 50000, 100000};
    for (size_t i = 0; i < COUNT_OF(ceilings); i++)
        if (n_logs == ceilings[i])
            return width > 0;
    return false;
}

/* What an answer named. The span it came of is still under way: its second answer, too. */
static int history_take_page(struct history_walk *w, struct err *err)
{
    for (size_t i = 0; i < w->page.dirty.n; i++)
        dirty_add(&w->affected.dirty, &w->page.dirty.list[i]);
    for (size_t i = 0; i < w->page.fanout.n; i++)
        fanout_add(&w->affected.fanout, &w->page.fanout.list[i]);
    affected_set_clear(&w->page);
    fanout_latest(&w->affected.fanout);
    return history_take_affected(w, err);
}

static int history_take_window(struct history_walk *w, struct history_window *win, struct err *err)
{
    struct logs logs;
    struct err why = {0};
    uint64_t width = win->span.to - win->span.from;
    if (logs_window_result(win->w, &logs, &why) < 0)
        return history_on_refusal(w, win, &logs, &why, err);
    if (history_may_be_cut(logs.n, width)) {
        logs.fault = (struct fault_info){.fault = FAULT_DENSITY};
        return history_on_refusal(w, win, &logs, &why, err);
    }
    backoff_reset(&w->wait);
    w->dishonest = 0;
    range_on_answer(history_range(w->h, win->by), width, logs.n);
    w->page.by = w->h->once ? NULL : endpoint_name(win->by);
    events_collect(w->h->b, logs.list, logs.n, &w->page);
    if (!w->h->once)
        again_add(&w->again, win->span.from, win->span.to, win->by, &w->page);
    if (history_take_page(w, err) < 0)
        return -1;
    w->logs_lately = logs.n;
    w->blocks_lately = width + 1;
    w->progress.logs += logs.n;
    w->progress.blocks += width + 1;
    history_close_window(win);
    return 0;
}

static int history_take_answer(struct history_walk *w, struct err *err)
{
    bool taken;
    if (again_take(&w->again, &w->page, &taken, err) < 0 || history_take_page(w, err) < 0)
        return -1;
    for (size_t i = 0; i < WINDOWS; i++) {
        struct history_window *win = &w->windows[i];
        if (win->w && logs_window_ended(win->w))
            return history_take_window(w, win, err);
    }
    return taken ? 0 : rpc_drive(w->h->t->node, -1, clock_ms() + LOOK_MS, err);
}

/* ---- the walk -------------------------------------------------------------------------------- */

static int history_may_continue(struct history_walk *w, struct err *err)
{
    struct tracker *t = w->h->t;
    if (t->stop && t->stop())
        return err_set(err, ERR_STOPPED, "stopped");
    if (!rpc_may_spend(t->node, RPC_CATCHUP, NULL)) {
        err_set(err, ERR_FAILED, "today's budget is spent");
        return err_hint(err, "run it again tomorrow, or raise budget.per_day");
    }
    return w->h->lease ? job_check(w->h->lease, err) : 0;
}

static bool history_is_under_way(const struct history_walk *w)
{
    return history_count_open(w) > 0 || w->n_pending > 0 || w->again.n > 0;
}

static int history_run_turn(struct history_walk *w, struct err *err)
{
    bool drain;
    if (history_may_continue(w, err) < 0 || history_flush_if_due(w, &drain, err) < 0)
        return -1;
    if (!drain && w->not_before_ms <= clock_ms() && history_open_more(w, err) < 0)
        return -1;
    if (!drain && again_open_due(&w->again, err) < 0)
        return -1;
    if (history_count_open(w) > 0 || w->again.n_open > 0)
        return history_take_answer(w, err);
    if (!drain && history_is_under_way(w))
        stop_wait(LOOK_MS);
    return 0;
}

static int history_run(struct history_walk *w, struct err *err)
{
    int rc = 0;
    uint64_t before = rpc_traffic(w->h->t->node).requests;
    while (rc == 0 && history_is_under_way(w)) {
        rc = history_run_turn(w, err);
        w->progress.missed = w->again.missed;
        w->progress.missed_at = w->again.missed_at;
        w->progress.missed_by = w->again.missed_by;
        w->progress.requests = rpc_traffic(w->h->t->node).requests - before;
        if (w->h->progress)
            w->h->progress(w->h->ctx, &w->progress);
    }
    return rc;
}

/* What was found is kept also when something failed; unless lists are still to be asked for. */
static int history_finish(struct history_walk *w, int rc, struct err *err)
{
    struct err ignored;
    if (rc == 0 && w->affected.fanout.n > 0 &&
        (history_resolve_lists(w, err) < 0 || history_take_affected(w, err) < 0))
        return -1;
    if (rc == 0)
        return history_save(w, err);
    if (w->affected.fanout.n == 0)
        history_save(w, &ignored);
    return rc;
}

/* The second look compares each endpoint with this walk's last block. */
static int history_open_again(struct history_walk *w, struct err *err)
{
    struct header h;
    w->again = (struct again){.node = w->h->t->node,
                              .b = w->h->b,
                              .filter = &w->filter.filter,
                              .ranges = w->h->ranges,
                              .secret = rng_seed_from_system()};
    again_init(&w->again);
    if (w->h->once || w->h->next > w->h->to)
        return 0;
    if (tracker_get_block(w->h->t, w->h->to, &h, err) < 0)
        return -1;
    w->again.at = h.at;
    return 0;
}

int history_scan_run(struct history_scan *h, struct history_progress *ret, struct err *err)
{
    struct history_walk *w = mem_zero(1, sizeof *w);
    w->h = h;
    if (h->next <= h->to)
        history_return_span(w, (struct history_span){h->next, h->to});
    w->flush_at_ms = clock_ms() + FLUSH_MS;
    holders_init(&w->holders, rng_seed_from_system());
    backoff_init(&w->wait, 250, 30000, rng_seed_from_system());
    int rc = trigger_filter_init(&w->filter, h->b, 1, err);
    if (rc == 0)
        rc = history_open_again(w, err);
    if (rc == 0)
        rc = history_finish(w, history_run(w, err), err);
    for (size_t i = 0; i < WINDOWS; i++)
        history_close_window(&w->windows[i]);
    again_free(&w->again);
    affected_set_free(&w->page);
    affected_set_free(&w->affected);
    holders_free(&w->holders);
    *ret = w->progress;
    mem_free(w);
    return rc;
}
