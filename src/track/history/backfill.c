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
    PAGE_LOGS = 4000,     /* about what a window holds once its width has finalized */
    WIDE = 9999,          /* how wide a window is believed to become where there is little */
    WINDOWS_AT_ONCE = 4,  /* history.c */
    DEFAULT_BATCH = 2000, /* wallets a request, before anything is known */
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

static int backfill_choose_blocks(struct backfill *f, struct err *err)
{
    struct anchor at;
    uint64_t reach;
    struct history_scan *h = &f->history;
    if (read_block_find_reach(f->t, f->b, &reach, &at, err) < 0)
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

/* What a part of the way takes when all of it is like its sample. */
static void backfill_add_part(uint64_t blocks, const struct backfill_sample *s, uint64_t ceiling,
                              struct backfill_forecast *ret)
{
    uint64_t width = s->logs ? PAGE_LOGS * s->blocks / s->logs : WIDE;
    uint64_t most = ceiling < WIDE ? ceiling : WIDE;
    width = width < 1 ? 1 : width > most ? most : width;
    uint64_t windows = blocks / width + 1;
    ret->logs += blocks * s->logs / s->blocks;
    ret->wallets += blocks * s->wallets / s->blocks;
    ret->requests += 2 * windows;
    ret->ms += (int64_t)windows * s->ms / WINDOWS_AT_ONCE;
}

static int backfill_sample_parts(struct backfill *f, struct backfill_forecast *ret, struct err *err)
{
    struct history_scan *h = &f->history;
    struct trigger_filter filter;
    uint64_t part = (h->to - h->next + 1) / SAMPLES;
    if (trigger_filter_init(&filter, f->b, 1, err) < 0)
        return -1;
    for (uint64_t i = 0; i < SAMPLES; i++) {
        struct backfill_sample s = {.blocks = 1};
        if (backfill_take_sample(f, &filter.filter, h->next + i * part + part / 2, &s, err) < 0)
            return -1;
        backfill_add_part(part, &s, history_range(h, rpc_best(f->t->node))->ceiling, ret);
    }
    ret->sampled = true;
    return 0;
}

static void backfill_count_reads(struct backfill *f, uint64_t log_requests,
                                 struct backfill_forecast *ret)
{
    const struct conf_endpoint *e =
        &f->t->conf->chain.endpoints[endpoint_number(rpc_best(f->t->node))];
    size_t batch = reads_batch_size(f->t->reads, &f->b->shape);
    uint64_t reads = ret->wallets / (batch ? batch : DEFAULT_BATCH) + 1;
    ret->units =
        log_requests / 2 * (price_of(e, "eth_getLogs") + price_of(e, "eth_getBlockByNumber")) +
        reads * price_of(e, "eth_call");
    ret->requests += reads;
}

static int backfill_estimate(struct backfill *f, struct backfill_forecast *ret, struct err *err)
{
    const struct history_scan *h = &f->history;
    *ret = (struct backfill_forecast){.from = h->from, .to = h->to, .next = h->next};
    uint64_t left = h->next <= h->to ? h->to - h->next + 1 : 0;
    if (left > SHORT_WAY && backfill_sample_parts(f, ret, err) < 0)
        return -1;
    /* With another endpoint wide windows come first: that nothing is in them it may deny. */
    if (!ret->sampled && rpc_endpoints(f->t->node) == 1)
        f->history.ranges[0].width = UNSEEN;
    if (!ret->sampled)
        ret->requests = left ? 2 * (left / (RANGE_FIRST + 1) + 1) : 0;
    uint64_t log_requests = ret->requests, found = 0;
    if (store_holders_count(f->t->store, &f->b->store, &found, err) < 0)
        return -1;
    ret->wallets += found;
    backfill_count_reads(f, log_requests, ret);
    return 0;
}

int backfill_plan(struct backfill *f, struct backfill_forecast *ret, struct err *err)
{
    bool resumed;
    snprintf(f->state_key, sizeof f->state_key, "backfill:%.100s", f->b->conf->name);
    f->history = (struct history_scan){.t = f->t,
                                       .b = f->b,
                                       .lease = f->lease,
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
