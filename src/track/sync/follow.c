#include "track/sync/follow.h"
#include "base/err.h"
#include "base/mem.h"
#include "proc/counters.h"
#include "track/event_silence.h"
#include "track/step.h"
#include "track/sync/cover.h"
#include "track/sync/rescan.h"

#include <inttypes.h>
#include <string.h>

enum {
    PRUNE_EVERY = 64,            /* blocks */
    REORG_AFFECTED_MOST = 20000, /* wallets */
    REORG_BLOCKS_BELOW = 8,      /* a read may have been so far above its event's block */
};

int follow_open(struct tracker *t, bool has_from, uint64_t from, struct follow *ret,
                struct err *err)
{
    memset(ret, 0, sizeof *ret);
    ret->t = t;
    ret->has_from = has_from;
    ret->from = from;
    range_init(&ret->range);
    if (trigger_filter_init(&ret->filter, t->balances, t->n_balances, err) < 0)
        return -1;
    ret->balances = mem_zero(t->n_balances, sizeof *ret->balances);
    for (size_t i = 0; i < t->n_balances; i++)
        ret->balances[i].b = &t->balances[i];
    return 0;
}

/* In a turn, not in follow_open(): a turn that fails is tried again, so a store that goes away at
 * the start ends no process. */
static int follow_load(struct follow *f, struct err *err)
{
    if (f->loaded)
        return 0;
    if (chain_open(f->t, &f->chain, err) < 0 || look_load(f->t, &f->look, err) < 0)
        return -1;
    for (size_t i = 0; i < f->t->n_balances; i++)
        if (event_silence_load(f->t, &f->t->balances[i], &f->balances[i].silent, err) < 0)
            return -1;
    f->loaded = true;
    return 0;
}

static void follow_free_balance(struct follow_balance *fb)
{
    affected_set_free(&fb->affected);
    first_looks_free(&fb->first_looks);
    fanout_free(&fb->asked);
    dirty_free(&fb->reorg_affected);
}

void follow_close(struct follow *f)
{
    if (f->balances)
        for (size_t i = 0; i < f->t->n_balances; i++)
            follow_free_balance(&f->balances[i]);
    owed_free(&f->owed);
    second_look_drop(&f->second_look);
    legs_drop(&f->legs);
    mem_free(f->balances);
    f->balances = NULL;
}

/* ---- where each balance stands --------------------------------------------------------------- */

/* The checkpoint as stored, and what is synced: less, while a rescan is under way. */
static int follow_load_synced(struct follow *f, struct follow_balance *fb, bool *ret_found,
                              struct err *err)
{
    struct store_position p;
    struct arena arena;
    arena_init(&arena);
    int rc = store_position(f->t->store, &fb->b->store, &arena, &p, err);
    arena_free(&arena);
    if (rc < 0)
        return -1;
    *ret_found = p.has_checkpoint;
    if (!p.has_checkpoint)
        return 0;
    fb->stored = true;
    fb->checkpoint = p.checkpoint;
    fb->passed = p.passed;
    fb->rescanning |= p.has_rescan && p.rescan < p.checkpoint;
    fb->synced = p.has_rescan && p.rescan < p.checkpoint ? p.rescan : p.checkpoint;
    fb->verified = fb->synced;
    return 0;
}

/* A first start writes its place before anything else: --from, or the finalized block. */
static int follow_first_start(struct follow *f, struct follow_balance *fb, struct err *err)
{
    const struct anchor *finalized = &f->chain.finalized;
    uint64_t from = f->has_from ? f->from : finalized->number + 1;
    struct step s = {.balance = fb->b,
                     .at = *finalized,
                     .has_checkpoint = true,
                     .checkpoint = from > 0 ? from - 1 : 0};
    struct step_report r;
    if (from > finalized->number + 1)
        return err_set(err, ERR_USAGE, "--from %" PRIu64 " is above the finalized block, %" PRIu64,
                       from, finalized->number);
    if (step_run(f->t, &s, &r, err) < 0)
        return -1;
    if (r.end != STEP_DONE) {
        *err = r.why;
        return -1;
    }
    fb->stored = true;
    fb->checkpoint = fb->verified = fb->synced = s.checkpoint;
    return 0;
}

/* Where syncing goes on: a rescan under way, the checkpoint, or the place of a first start. */
static int follow_start_balance(struct follow *f, struct follow_balance *fb, struct err *err)
{
    bool found;
    if (follow_load_synced(f, fb, &found, err) < 0)
        return -1;
    if (!found && follow_first_start(f, fb, err) < 0)
        return -1;
    if (fb->checkpoint > f->chain.head.at.number + CHAIN_STALE)
        return tracker_err_other_chain(err,
                                       "the head is block %" PRIu64
                                       ", but the checkpoint of \"%s\" is "
                                       "%" PRIu64,
                                       f->chain.head.at.number, fb->b->conf->name, fb->checkpoint);
    fb->started = true;
    return 0;
}

/* At the end of a turn: nothing of it waits for this write. */
static int follow_save_positions(struct follow *f, struct err *err)
{
    if (!f->moved)
        return 0;
    struct positions p = {
        .head = f->chain.head.at.number, .finalized = f->chain.finalized.number, .first = f->first};
    for (size_t i = 0; i < f->t->n_balances; i++)
        p.synced[i] = f->balances[i].synced;
    if (log_source_save(f->t, &f->log_source, err) < 0 ||
        bloom_save(f->t, &f->look.bloom, err) < 0 || positions_save(f->t, &p, err) < 0)
        return -1;
    f->moved = false;
    return 0;
}

static int follow_prune_headers(struct follow *f, struct err *err)
{
    uint64_t head = f->chain.head.at.number, below = f->chain.finalized.number;
    if (head < f->pruned_at + PRUNE_EVERY)
        return 0;
    for (size_t i = 0; i < f->t->n_balances; i++) /* the second look wants those above it */
        if (f->balances[i].verified < below)
            below = f->balances[i].verified;
    if (store_headers_prune(f->t->store, below > CHAIN_KEEP ? below - CHAIN_KEEP : 0, err) < 0)
        return -1;
    f->pruned_at = head;
    return 0;
}

/* What lies between where we left off and a checkpoint that another program moved was answered to
 * that program. */
static void follow_note_gap(struct follow *f, const struct follow_balance *fb,
                            const struct positions *p)
{
    uint64_t seen = p->synced[fb->b - f->t->balances];
    if (fb->checkpoint > seen)
        log_source_set(&f->log_source, seen + 1, NULL);
}

static int follow_start_balances(struct follow *f, struct err *err)
{
    struct positions p;
    if (!f->begun &&
        (positions_load(f->t, &p, err) < 0 || log_source_load(f->t, &f->log_source, err) < 0))
        return -1;
    if (!f->begun)
        f->first = p.known ? p.first : f->chain.finalized.number;
    for (size_t i = 0; i < f->t->n_balances; i++) {
        bool started = f->balances[i].started;
        if (!started && follow_start_balance(f, &f->balances[i], err) < 0)
            return -1;
        if (!started && !f->begun)
            follow_note_gap(f, &f->balances[i], &p);
    }
    f->begun = true;
    return 0;
}

/* ---- the break ------------------------------------------------------------------------------- */

/* What is synced above the common block is not. Where that is below the checkpoint it must be
 * remembered; above, a restart begins at the checkpoint anyway. */
static int follow_mark_rescan(struct follow *f, struct follow_balance *fb, uint64_t common,
                              struct err *err)
{
    bool found = true;
    /* Not started: a rescan that a crash cut short may be further back than this break. */
    if (!fb->started && follow_load_synced(f, fb, &found, err) < 0)
        return -1;
    if (!found || fb->synced <= common)
        return 0;
    if (common < fb->checkpoint) {
        if (fb->verified > common)
            fb->verified = common;
        if (rescan_set(f->t, fb->b, fb->verified, err) < 0)
            return -1;
        fb->rescanning = true;
    }
    fb->synced = common;
    f->moved = true;
    affected_set_clear(&fb->affected);
    fanout_clear(&fb->asked);
    fb->all_block = fb->all_block < common ? fb->all_block : common;
    return 0;
}

/* The wallets that the dropped blocks named, and those of the blocks just below, whose read may
 * have been at a dropped one. Beyond REORG_AFFECTED_MOST the sweep finds them: the rewind makes
 * their rows due. */
static int follow_load_dropped(struct follow *f, struct follow_balance *fb, uint64_t first_bad,
                               struct err *err)
{
    struct arena arena;
    struct store_dirty *list;
    size_t n;
    arena_init(&arena);
    struct store_page page = {.up_to = INT64_MAX, .limit = REORG_AFFECTED_MOST, .arena = &arena};
    int rc = store_dirty_due(f->t->store, &fb->b->store, &page, &list, &n, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        if (list[i].number + REORG_BLOCKS_BELOW >= first_bad)
            dirty_add(&fb->reorg_affected, &(struct affected){.wallet = list[i].wallet,
                                                              .event_block = list[i].number,
                                                              .insert = INSERT_NEVER});
    arena_free(&arena);
    return rc;
}

/* The rescan key is durable before the rewind: a crash between them finds the break again, a crash
 * after both goes on syncing. The other order could lose the adopted blocks' events. */
static int follow_rewind_to(struct follow *f, uint64_t first_bad, uint64_t *ret_rows,
                            struct err *err)
{
    uint64_t common = first_bad > 0 ? first_bad - 1 : 0;
    struct arena arena;
    for (size_t i = 0; i < f->t->n_balances; i++)
        if (follow_mark_rescan(f, &f->balances[i], common, err) < 0)
            return -1;
    arena_init(&arena);
    int rc = store_rewind(f->t->store, tracker_store_balances(f->t, &arena), f->t->n_balances,
                          first_bad, ret_rows, err);
    arena_free(&arena);
    for (size_t i = 0; rc == 0 && i < f->t->n_balances; i++)
        rc = follow_load_dropped(f, &f->balances[i], first_bad, err);
    if (rc == 0) {
        while (f->chain.n_near > 0 && f->chain.near[f->chain.n_near - 1].at.number >= first_bad)
            f->chain.n_near--;
        look_span_rewind(&f->look.span, first_bad);
        second_look_drop(&f->second_look);
        legs_drop(&f->legs);
        f->chain.known = false;
        f->chain.behind_since_ms = 0;
    }
    return rc;
}

/* ---- logs that were pushed ------------------------------------------------------------------- */

bool follow_has_missing(const struct follow *f)
{
    return ws_logs_has_missing(&f->ws_logs);
}

bool follow_add_ws_log(struct follow *f, uint64_t block, const hash32 *hash, uint64_t index)
{
    ws_logs_add(&f->ws_logs, block, hash, index);
    return follow_has_missing(f);
}

void follow_add_pushed(struct follow *f, size_t balance, const address *wallet, uint64_t block)
{
    if (balance < f->t->n_balances)
        owed_add(&f->owed, balance, wallet, block);
}

bool follow_has_pushed(const struct follow *f)
{
    return f->chain.known && owed_has_due(&f->owed, f->chain.head.at.number);
}

int follow_read_pushed(struct follow *f, size_t *ret, struct err *err)
{
    *ret = 0;
    return f->chain.known ? owed_read(f->t, &f->owed, &f->chain.head.at, ret, err) : 0;
}

/* A block whose answer lacks pushed logs is asked for by its hash. In memory only: it is a second
 * chance. */
static void follow_retry_missing(struct follow *f, struct follow_report *ret)
{
    const struct ws_logs_block *b =
        ws_logs_take_missing(&f->ws_logs, &ret->missed, &ret->missed_again);
    if (!b)
        return;
    ret->missed_at = b->number;
    if (b->by)
        counters_missed_logs(endpoint_number(b->by), ret->missed);
    if (ret->missed_again)
        f->look.doubted = b->number;
}

/* What a start found silent is told until its event is seen. */
static int follow_forget_silence(struct follow *f, struct err *err)
{
    for (size_t i = 0; i < f->t->n_balances; i++) {
        struct follow_balance *fb = &f->balances[i];
        if (!(fb->silent & fb->affected.seen))
            continue;
        if (event_silence_drop(f->t, fb->b, fb->affected.seen, err) < 0)
            return -1;
        fb->silent &= ~fb->affected.seen;
    }
    return 0;
}

int follow_once(struct follow *f, struct follow_report *ret, struct err *err)
{
    enum chain_news news;
    uint64_t first_bad;
    *ret = (struct follow_report){.end = FOLLOW_IDLE};
    if (follow_load(f, err) < 0)
        return -1;
    if (chain_poll(f->t, &f->chain, &news, &first_bad, err) < 0)
        return -1;
    if (news == CHAIN_BROKE) {
        if (follow_rewind_to(f, first_bad, &ret->reorg_rows, err) < 0)
            return -1;
        ret->reorg = true;
        ret->reorg_at = first_bad;
        ret->end = FOLLOW_AGAIN;
        return 0;
    }
    if (!f->chain.known)
        return 0; /* behind, at the first look */
    if (follow_start_balances(f, err) < 0)
        return -1;
    if (news == CHAIN_GREW)
        f->moved = true;
    follow_retry_missing(f, ret);
    int rc = sync_next_blocks(f, ret, err);
    struct err why = {0};
    if (rc == 0)
        rc = chain_advance_finalized(f->t, &f->chain, err);
    if (follow_save_positions(f, rc < 0 ? &why : err) < 0)
        return -1;
    if (rc == 0)
        rc = follow_read_pushed(f, &ret->pushed, err);
    if (rc == 0 && news == CHAIN_GREW)
        rc = follow_prune_headers(f, err);
    if (rc == 0)
        rc = second_look_run(f, &ret->second, err);
    return rc == 0 ? follow_forget_silence(f, err) : rc;
}
