#include "track/sync/follow.h"
#include "base/err.h"
#include "base/mem.h"
#include "proc/counters.h"
#include "track/event_silence.h"
#include "track/refresh/full_refresh.h"
#include "track/step.h"
#include "track/sync/cover.h"
#include "track/sync/rescan.h"

#include <inttypes.h>
#include <string.h>

enum {
    PRUNE_EVERY = 64,            /* blocks */
    FINALITY_LOOKS = 15,         /* looks of a set freshness between questions for finality */
    REORG_AFFECTED_MOST = 20000, /* wallets */
};

int follow_open(struct tracker *t, bool has_from, uint64_t from, struct follow *ret,
                struct err *err)
{
    memset(ret, 0, sizeof *ret);
    ret->t = t;
    arena_init(&ret->look.window_arena);
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
    if (finality_load(f->t, &f->samples.finality, err) < 0 || look_load(f->t, &f->look, err) < 0)
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
    look_close(&f->look);
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
    const struct anchor *finalized = &f->samples.finality.at;
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
    if (fb->checkpoint > f->samples.head.at.number)
        return err_set(err, ERR_FAILED,
                       "the node's head is block %" PRIu64
                       ", below the checkpoint of \"%s\", block %" PRIu64
                       ": it has to catch up first",
                       f->samples.head.at.number, fb->b->conf->name, fb->checkpoint);
    fb->started = true;
    return 0;
}

/* At the end of a turn: nothing of it waits for this write. */
static int follow_save_positions(struct follow *f, struct err *err)
{
    if (!f->moved)
        return 0;
    struct positions p = {.head = f->samples.head.at.number,
                          .finalized = f->samples.finality.at.number,
                          .first = f->first};
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
    uint64_t head = f->samples.head.at.number, below = f->samples.finality.at.number;
    if (head < f->pruned_at + PRUNE_EVERY)
        return 0;
    for (size_t i = 0; i < f->t->n_balances; i++) /* the second look wants those above it */
        if (f->balances[i].verified < below)
            below = f->balances[i].verified;
    uint64_t time = f->samples.finality.at.timestamp;
    struct store_prune prune = {.below = below,
                                .keep = SAMPLE_KEEP,
                                .before = time > SAMPLE_KEEP_S ? time - SAMPLE_KEEP_S : 0};
    if (store_headers_prune(f->t->store, &prune, err) < 0)
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
        f->first = p.known ? p.first : f->samples.finality.at.number;
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

/* The wallets that the dropped blocks named, and those of the blocks below whose read was at a
 * dropped one: their rows are not anchored any more. Beyond REORG_AFFECTED_MOST the sweep finds
 * them: the rewind makes their rows due. */
static int follow_load_dropped(struct follow *f, struct follow_balance *fb, uint64_t first_bad,
                               struct err *err)
{
    struct arena arena;
    struct store_dirty *list;
    struct dirty below = {0};
    size_t n;
    arena_init(&arena);
    struct store_page page = {.up_to = INT64_MAX, .limit = REORG_AFFECTED_MOST, .arena = &arena};
    int rc = store_dirty_due(f->t->store, &fb->b->store, &page, &list, &n, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        dirty_add(list[i].number >= first_bad ? &fb->reorg_affected : &below,
                  &(struct affected){.wallet = list[i].wallet,
                                     .has_event = list[i].number < first_bad,
                                     .event_block = list[i].number,
                                     .insert = INSERT_NEVER});
    if (rc == 0)
        rc = events_drop_answered(f->t, fb->b, &below, err);
    for (size_t i = 0; rc == 0 && i < below.n; i++) {
        below.list[i].has_event = false;
        dirty_add(&fb->reorg_affected, &below.list[i]);
    }
    dirty_free(&below);
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
        look_span_rewind(&f->look.span, first_bad);
        second_look_drop(&f->second_look);
        legs_drop(&f->legs);
        sample_rewind(&f->samples, first_bad);
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
    return f->samples.known && owed_has_due(&f->owed, f->samples.head.at.number);
}

int follow_read_pushed(struct follow *f, size_t *ret, struct err *err)
{
    *ret = 0;
    return f->samples.known ? owed_read(f->t, &f->owed, &f->samples.head.at, ret, err) : 0;
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
        f->look.doubted = (struct header){.at = {.number = b->number, .hash = b->hash}};
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

/* ---- finality -------------------------------------------------------------------------------- */

/* The tag is asked for at most every FINALITY_EVERY_MS; more often only where looks are set to be.
 */
static int64_t follow_choose_finality_pause(const struct follow *f)
{
    int64_t ms = f->t->conf->chain.freshness_ms * FINALITY_LOOKS;
    return ms > 0 && ms < FINALITY_EVERY_MS ? ms : FINALITY_EVERY_MS;
}

/* The final block rises to what the chain still holds of our samples; its header is stored. */
static int follow_raise_finality(struct follow *f, struct sample_news *ret, struct err *err)
{
    struct finality *fin = &f->samples.finality;
    struct anchor at;
    *ret = (struct sample_news){.what = SAMPLE_SAME};
    fin->of = f->samples.asked;
    if (finality_poll(f->t, fin, &f->samples.head, follow_choose_finality_pause(f), &at, err) < 0)
        return -1;
    if (fin->known && at.number == fin->at.number)
        return 0;
    if (sample_check_final(f->t, &f->samples, &at, ret, err) < 0)
        return -1;
    if (ret->what != SAMPLE_SAME)
        return 0;
    f->moved = true;
    finality_raise(fin, &at);
    return store_headers_put(f->t->store, &at, 1, err);
}

/* ---- one turn -------------------------------------------------------------------------------- */

/* Every row is due: no stored sample is on the chain. */
static int follow_refresh_all(struct follow *f, uint64_t head, struct err *err)
{
    for (size_t i = 0; i < f->t->n_balances; i++)
        if (full_refresh_set(f->t, &f->t->balances[i], head, err) < 0)
            return -1;
    return 0;
}

static int follow_on_break(struct follow *f, const struct sample_news *news, uint64_t head,
                           struct follow_report *ret, struct err *err)
{
    const struct finality *fin = &f->samples.finality;
    uint64_t taken_back = fin->known && fin->at.number >= news->first_bad ? fin->at.number : 0;
    if (news->none_links && follow_refresh_all(f, head, err) < 0)
        return -1;
    if (follow_rewind_to(f, news->first_bad, &ret->reorg_rows, err) < 0 ||
        finality_note_reorg(f->t, &f->samples.finality, err) < 0)
        return -1;
    ret->taken_back = taken_back;
    ret->reorg = true;
    ret->reorg_at = news->first_bad;
    ret->end = FOLLOW_AGAIN;
    return 0;
}

/* The first two round trips of a look: the head; its link, and beside it the logs. */
static int follow_take_head(struct follow *f, struct header *ret_head, struct sample_news *ret,
                            struct err *err)
{
    if (sample_ask_head(f->t, &f->samples, ret_head, err) < 0)
        return -1;
    struct logs_window *beside = look_open_window(f, ret_head);
    int rc = sample_link(f->t, &f->samples, ret_head, ret, err);
    if (rc == 0 && ret->what <= SAMPLE_GREW)
        return look_keep_window(f, beside, err);
    look_drop_window(f, beside, ret_head);
    return rc;
}

/* The last round trip: what the blocks name is read. Then what does not hurry. */
static int follow_work(struct follow *f, bool grew, struct follow_report *ret, struct err *err)
{
    struct sample_news news = {.what = SAMPLE_SAME};
    struct err why = {0};
    bool behind = sync_find_lowest(f) + SAMPLE_NEAR < f->samples.head.at.number;
    f->moved |= grew;
    follow_retry_missing(f, ret);
    /* Finality says where a catch-up ends; near the head it can wait. */
    int rc = behind ? follow_raise_finality(f, &news, err) : 0;
    if (rc == 0 && news.what == SAMPLE_SAME)
        rc = sync_next_blocks(f, ret, err);
    if (rc == 0 && !behind)
        rc = follow_raise_finality(f, &news, err);
    if (follow_save_positions(f, rc < 0 ? &why : err) < 0)
        return -1;
    if (rc == 0 && news.what == SAMPLE_BROKE)
        return follow_on_break(f, &news, f->samples.head.at.number, ret, err);
    if (rc == 0)
        rc = follow_read_pushed(f, &ret->pushed, err);
    if (rc == 0 && grew)
        rc = follow_prune_headers(f, err);
    if (rc == 0)
        rc = second_look_run(f, &ret->second, err);
    return rc == 0 ? follow_forget_silence(f, err) : rc;
}

int follow_once(struct follow *f, struct follow_report *ret, struct err *err)
{
    struct header head;
    struct sample_news news;
    *ret = (struct follow_report){.end = FOLLOW_IDLE};
    if (follow_load(f, err) < 0 || follow_take_head(f, &head, &news, err) < 0)
        return -1;
    if (news.what == SAMPLE_BROKE)
        return follow_on_break(f, &news, head.at.number, ret, err);
    if (news.what == SAMPLE_BEHIND) {
        ret->end = sample_has_other(&f->samples) ? FOLLOW_AGAIN : FOLLOW_IDLE;
        return 0;
    }
    bool grew = news.what == SAMPLE_GREW;
    if (!f->samples.finality.known && follow_raise_finality(f, &news, err) < 0)
        return -1;
    if (news.what == SAMPLE_BROKE)
        return follow_on_break(f, &news, head.at.number, ret, err);
    if (!f->samples.finality.known)
        return 0;
    return follow_start_balances(f, err) < 0 ? -1 : follow_work(f, grew, ret, err);
}
