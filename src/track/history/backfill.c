#include "track/history/backfill.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "rpc/price.h"
#include "track/refresh/read_block.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    SAMPLES = 5,
    SHORT_WAY = 4 * (RANGE_FIRST + 1), /* blocks, not worth a sample */
    UNSEEN = 31, /* the first width where nothing is known: too wide costs megabytes, too narrow a
                    few small questions */
    SAMPLE_TRIES = 20,
    WINDOWS_AT_ONCE = 4,       /* history.c */
    ASKED_ONCE = 2,            /* requests for a window: header and logs … */
    ASKED_AGAIN = 4,           /* … and in one batch header, logs, header, latest */
    AGAIN_MS = 10000,          /* … so much later */
    FORECAST_WINDOWS = 100000, /* counted one by one */
    FIRST_READS = 6,           /* what an endpoint can, and how much at once */
    DEFAULT_BATCH = 2000,      /* wallets a request, before anything is known */
};

/* ---- what was begun before ------------------------------------------------------------------- */

/* A walk of the same triggers, over the blocks that are asked for or any if none are. */
static bool backfill_is_same_walk(const struct backfill *f, const char *text,
                                  struct history_scan *ret)
{
    char print[HASH_TEXT];
    struct history_scan h = *ret;
    hash_text(&f->b->conf->rules_print, print);
    if (!parse_u64_next(&text, &h.from) || !parse_u64_next(&text, &h.to) ||
        !parse_u64_next(&text, &h.next) || strcmp(text, print) != 0)
        return false;
    if ((f->has_from && f->from != h.from) || (f->has_to && f->to != h.to))
        return false;
    *ret = h;
    return true;
}

static int backfill_resume(struct backfill *f, bool *ret_resumed, struct err *err)
{
    struct arena arena;
    const char *text;
    arena_init(&arena);
    int rc = store_state_get(f->t->store, f->state_key, &arena, &text, err);
    *ret_resumed = rc == 0 && text && backfill_is_same_walk(f, text, &f->history);
    arena_free(&arena);
    return rc;
}

/* The second look wants to see a head above the last block. */
static int backfill_leave_head(struct backfill *f, uint64_t *reach, struct err *err)
{
    struct header head;
    if (tracker_get_head(f->t, &head, err) < 0)
        return -1;
    if (*reach >= head.at.number && *reach > 0)
        *reach = head.at.number - 1;
    return 0;
}

static int backfill_choose_blocks(struct backfill *f, struct err *err)
{
    struct anchor at;
    uint64_t reach;
    struct history_scan *h = &f->history;
    if (read_block_find_reach(f->t, f->b, &reach, &at, err) < 0 ||
        (!f->once && !f->has_to && backfill_leave_head(f, &reach, err) < 0))
        return -1;
    h->from = f->has_from ? f->from : 0;
    h->to = f->has_to ? f->to : reach;
    h->next = h->from;
    if (h->to > reach) {
        err_set(err, ERR_USAGE,
                "--to %" PRIu64 " is above block %" PRIu64 ", the last one that is finalized",
                h->to, reach);
        return err_hint(err, "leave --to out; newer blocks are the daemon's (`trueup run`)");
    }
    if (h->from > h->to)
        return err_set(err, ERR_USAGE, "there is nothing from block %" PRIu64 " to %" PRIu64,
                       h->from, h->to);
    return 0;
}

/* ---- the forecast ---------------------------------------------------------------------------- */

struct backfill_sample {
    uint64_t blocks, logs, wallets;
    int64_t ms;
};

/* One window in the middle of a part, as wide as the endpoint bears. */
static int backfill_take_sample(struct backfill *f, const struct log_filter *filter, uint64_t from,
                                struct backfill_sample *ret, struct err *err)
{
    struct history_scan *h = &f->history;
    struct affected_set affected = {0};
    struct arena arena;
    int rc = -1;
    arena_init(&arena);
    for (unsigned i = 0; rc < 0 && i < SAMPLE_TRIES; i++) {
        struct logs logs;
        struct range *range = history_range(h, rpc_best(f->t->node));
        uint64_t left = h->to - from, width = range->width < left ? range->width : left;
        int64_t started = clock_ms();
        struct logs_ask ask = {.filter = filter,
                               .from = from,
                               .to = from + width,
                               .lane = RPC_CATCHUP,
                               .arena = &arena};
        rc = rpc_logs_range(f->t->node, &ask, &logs, err);
        if (rc == 0) {
            range_on_answer(range, width, logs.n);
            events_collect(f->b, logs.list, logs.n, &affected);
            dirty_sort_unique(&affected.dirty);
            *ret =
                (struct backfill_sample){width + 1, logs.n, affected.dirty.n, clock_ms() - started};
        } else if (err->kind == ERR_STOPPED ||
                   range_on_fault(range, width, &logs.fault) == RANGE_GIVE_UP) {
            break;
        }
    }
    affected_set_free(&affected);
    arena_free(&arena);
    return rc;
}

/* The samples that tell how dense the logs are along the way; none: as if it were empty. */
struct backfill_way {
    uint64_t blocks, part; /* blocks of one sample's part */
    struct backfill_sample samples[SAMPLES];
};

static const struct backfill_sample *backfill_find_sample(const struct backfill_way *w, uint64_t at)
{
    uint64_t i = at / w->part;
    return &w->samples[i < SAMPLES ? i : SAMPLES - 1];
}

/* The windows that lie ahead: the widths grow and shrink as in the scan. */
static void backfill_count_windows(const struct backfill *f, const struct backfill_way *w,
                                   struct range range, struct backfill_forecast *ret)
{
    uint64_t done = 0;
    int64_t ms = 0;
    while (done < w->blocks && ret->windows < FORECAST_WINDOWS) {
        const struct backfill_sample *s = backfill_find_sample(w, done);
        uint64_t left = w->blocks - done - 1, width = range.width < left ? range.width : left;
        range_on_answer(&range, width, (size_t)((width + 1) * s->logs / s->blocks));
        done += width + 1;
        ms += s->ms;
        ret->windows++;
    }
    uint64_t each = done / FORECAST_WINDOWS;
    if (done < w->blocks && each > 0) { /* the rest is like that */
        uint64_t more = (w->blocks - done) / each;
        ms += ms * (int64_t)more / FORECAST_WINDOWS;
        ret->windows += more;
    }
    ret->ms = ms * (f->once ? 1 : 2) / WINDOWS_AT_ONCE;
}

static int backfill_sample_parts(struct backfill *f, struct backfill_way *w,
                                 struct backfill_forecast *ret, struct err *err)
{
    struct history_scan *h = &f->history;
    struct trigger_filter filter;
    if (trigger_filter_init(&filter, f->b, 1, err) < 0)
        return -1;
    for (uint64_t i = 0; i < SAMPLES; i++) {
        struct backfill_sample *s = &w->samples[i];
        if (backfill_take_sample(f, &filter.filter, h->next + i * w->part + w->part / 2, s, err) <
            0)
            return -1;
        ret->logs += w->part * s->logs / s->blocks;
        ret->wallets += w->part * s->wallets / s->blocks;
    }
    ret->sampled = true;
    return 0;
}

static void backfill_count_requests(struct backfill *f, struct backfill_forecast *ret)
{
    const struct conf_endpoint *e =
        &f->t->conf->chain.endpoints[endpoint_number(rpc_best(f->t->node))];
    size_t batch = reads_batch_size(f->t->reads, &f->b->shape);
    bool reads_any = ret->wallets > 0 || !ret->sampled;
    uint64_t reads = ret->wallets / (batch ? batch : DEFAULT_BATCH) + (reads_any ? FIRST_READS : 1);
    uint64_t logs = price_of(e, "eth_getLogs"), header = price_of(e, "eth_getBlockByNumber");
    uint64_t asks = f->once ? ASKED_ONCE : ASKED_ONCE + ASKED_AGAIN;
    ret->requests = ret->windows * asks + reads;
    ret->units = ret->windows * (logs + header) + reads * price_of(e, "eth_call");
    if (f->once)
        return;
    ret->units += ret->windows * (logs + (ASKED_AGAIN - 1) * header);
    ret->ms += ret->windows > 0 ? AGAIN_MS : 0;
}

static int backfill_estimate(struct backfill *f, struct backfill_forecast *ret, struct err *err)
{
    const struct history_scan *h = &f->history;
    *ret = (struct backfill_forecast){.from = h->from, .to = h->to, .next = h->next};
    uint64_t left = h->next <= h->to ? h->to - h->next + 1 : 0;
    struct backfill_way way = {.blocks = left, .part = left / SAMPLES + 1};
    for (size_t i = 0; i < SAMPLES; i++)
        way.samples[i] = (struct backfill_sample){.blocks = 1};
    if (left > SHORT_WAY && backfill_sample_parts(f, &way, ret, err) < 0)
        return -1;
    /* With another endpoint wide windows come first: that nothing is in them it may deny. */
    if (!ret->sampled && rpc_endpoints(f->t->node) == 1)
        f->history.ranges[0].width = UNSEEN;
    backfill_count_windows(f, &way, *history_range(&f->history, rpc_best(f->t->node)), ret);
    uint64_t found = 0;
    if (store_holders_count(f->t->store, &f->b->store, &found, err) < 0)
        return -1;
    ret->wallets += found;
    backfill_count_requests(f, ret);
    return 0;
}

int backfill_plan(struct backfill *f, struct backfill_forecast *ret, struct err *err)
{
    bool resumed;
    snprintf(f->state_key, sizeof f->state_key, "backfill:%.100s", f->b->conf->name);
    f->history = (struct history_scan){.t = f->t,
                                       .b = f->b,
                                       .lease = f->lease,
                                       .once = f->once,
                                       .state_key = f->state_key,
                                       .progress = f->looked,
                                       .ctx = f->ctx};
    for (size_t i = 0; i < RPC_ENDPOINTS_MAX; i++)
        range_init(&f->history.ranges[i]);
    if (f->b->conf->n_triggers == 0) {
        err_set(err, ERR_USAGE,
                "balance \"%s\" has no triggers: there is no event to find holders by",
                f->b->conf->name);
        return err_hint(err, "name an event of the contract in balances[].triggers");
    }
    if (backfill_resume(f, &resumed, err) < 0 || (!resumed && backfill_choose_blocks(f, err) < 0))
        return -1;
    return backfill_estimate(f, ret, err);
}

/* ---- reading the holders --------------------------------------------------------------------- */

struct backfill_read {
    struct backfill *f;
    bool started;
    address after;
};

static int backfill_plan_next(void *ctx, size_t want, struct dirty *ret, bool *ret_end,
                              struct err *err)
{
    struct backfill_read *r = ctx;
    struct tracker *t = r->f->t;
    struct arena arena;
    struct named_holder *page;
    size_t n;
    arena_init(&arena);
    int rc = store_holders_next(t->store, &r->f->b->store,
                                &(struct holders_page){.which = HOLDERS_UNREAD,
                                                       .after = r->started ? &r->after : NULL,
                                                       .limit = want,
                                                       .arena = &arena},
                                &page, &n, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        dirty_add(ret, &(struct affected){.wallet = page[i].wallet,
                                          .has_event = page[i].block > 0,
                                          .event_block = page[i].block,
                                          .insert = events_insert_rule(r->f->b)});
    if (rc == 0 && n > 0) {
        r->after = page[n - 1].wallet;
        r->started = true;
        rc = events_keep_tracked(t, r->f->b, ret, err);
    }
    *ret_end = rc == 0 && n < want;
    arena_free(&arena);
    return rc;
}

static int backfill_read_holders(struct backfill *f, struct pipeline_progress *ret, struct err *err)
{
    struct backfill_read r = {.f = f};
    uint64_t total;
    if (store_holders_count(f->t->store, &f->b->store, &total, err) < 0)
        return -1;
    /* Not below the last event: a value read there would not answer it. */
    struct pipeline pipeline = {.t = f->t,
                                .b = f->b,
                                .cause = CAUSE_BACKFILL,
                                .who = "trueup backfill",
                                .lease = f->lease,
                                .plan = backfill_plan_next,
                                .ctx = &r,
                                .not_below = f->history.to,
                                .progress = f->read,
                                .progress_ctx = f->ctx,
                                .total = total};
    return pipeline_run(&pipeline, ret, err);
}

/* ---- the end --------------------------------------------------------------------------------- */

/* Where this balance was never followed, a daemon continues from here and misses nothing. Where one
 * does, the checkpoint is its own. */
static int backfill_set_checkpoint(struct backfill *f, bool *ret_set, struct err *err)
{
    uint64_t now, to = f->history.to;
    bool found, gone = false;
    struct header h;
    if (store_checkpoint_get(f->t->store, &f->b->store, &now, &found, err) < 0)
        return -1;
    if (found)
        return 0;
    if (tracker_get_block(f->t, to, &h, err) < 0 ||
        store_headers_put(f->t->store, &h.at, 1, err) < 0 ||
        store_checkpoint_advance(f->t->store, &f->b->store, &h.at, &gone, err) < 0)
        return -1;
    *ret_set = !gone;
    return 0;
}

/* Holders that a query may name one day are kept for `wallets sync`. */
static int backfill_clear_state(struct backfill *f, struct err *err)
{
    if (f->b->store.tracking != STORE_QUERY &&
        store_holders_clear(f->t->store, &f->b->store, err) < 0)
        return -1;
    return store_state_set(f->t->store, f->state_key, "", err);
}

int backfill_run(struct backfill *f, struct backfill_report *ret, struct err *err)
{
    *ret = (struct backfill_report){0};
    int64_t started = clock_ms();
    if (f->history.next <= f->history.to && history_scan_run(&f->history, &ret->history, err) < 0)
        return -1;
    ret->history_ms = clock_ms() - started;
    if (backfill_read_holders(f, &ret->rows, err) < 0 ||
        backfill_set_checkpoint(f, &ret->set_checkpoint, err) < 0)
        return -1;
    return backfill_clear_state(f, err);
}
