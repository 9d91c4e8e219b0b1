#include "track/verify/drift.h"
#include "base/err.h"
#include "base/mem.h"
#include "proc/counters.h"
#include "store/audit.h"
#include "track/events.h"
#include "track/sync/log_source.h"
#include "track/sync/positions.h"
#include "track/sync/range.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    FAR_BLOCKS = 200000, /* further back nothing is asked for again */
    WINDOWS_MOST = 64,
    FEW = 128, /* wallets that fit into a filter */
    FANOUTS_MOST = 200,
    WRITERS_LOOKED_AT = 256,
};

const char *drift_cause_name(enum drift_cause c)
{
    static const char *const names[] = {"unknown", "no_event_change", "missed_log", "reorg",
                                        "none"};
    return (size_t)c < COUNT_OF(names) ? names[c] : names[0];
}

void drifts_add(struct drifts *d, const struct drift *one)
{
    if (d->n == DRIFT_AT_ONCE)
        return;
    if (d->n == d->room) {
        d->room = d->room ? 2 * d->room : 64;
        d->list = mem_grow(d->list, d->room, sizeof *d->list);
    }
    d->list[d->n++] = *one;
}

void drifts_free(struct drifts *d)
{
    mem_free(d->list);
    *d = (struct drifts){0};
}

/* ---- what is asked for ----------------------------------------------------------------------- */

struct inquiry {
    struct tracker *t;
    const struct tracked *b;
    struct drifts *d;
    struct arena *arena;
    uint64_t from, to;
    struct anchor at; /* the header of `to` */
    struct log_source log_source;
    struct endpoint *who;     /* is asked */
    size_t fanouts;           /* lists asked for */
    uint64_t doubtful_before; /* an unanswered list up to here: "no event" cannot be said */
    struct err *err;
};

/* Where an argument stands among the topics; 0: it does not. */
static int drift_find_topic(const struct signature *event, int param)
{
    int topic = 0;
    for (int i = 0; i <= param; i++)
        topic += event->params[i].indexed;
    return event->params[param].indexed ? topic : 0;
}

/* Does the trigger name wallets at this topic; at 0: in any way that no topic can be asked for? */
static bool drift_names_at(const struct conf_trigger *g, int position)
{
    if (position == 0 && g->all)
        return true;
    for (size_t i = 0; i < g->n_sources; i++) {
        const struct conf_source *s = &g->sources[i];
        if (position == (s->is_view ? 0 : drift_find_topic(&g->event, s->param)))
            return true;
    }
    return false;
}

/* The triggers that name wallets at this topic, all of them for −1. */
static struct log_filter drift_make_filter(struct inquiry *q, int position, const hash32 *words,
                                           size_t n)
{
    const struct conf_balance *conf = q->b->conf;
    address *contracts = arena_alloc(q->arena, conf->n_triggers * sizeof *contracts);
    hash32 *topics = arena_alloc(q->arena, conf->n_triggers * sizeof *topics);
    size_t found = 0;
    for (size_t i = 0; i < conf->n_triggers; i++) {
        if (position >= 0 && !drift_names_at(&conf->triggers[i], position))
            continue;
        contracts[found] = conf->triggers[i].contract;
        topics[found++] = conf->triggers[i].event.hash;
    }
    bool by_word = position > 0;
    return (struct log_filter){.contracts = contracts,
                               .n_contracts = found,
                               .topics = topics,
                               .n_topics = found,
                               .words = by_word ? words : NULL,
                               .n_words = by_word ? n : 0,
                               .position = by_word ? position : 0};
}

/* ---- what an event says ---------------------------------------------------------------------- */

static struct drift *drift_find_wallet(struct drifts *d, const address *wallet)
{
    return d->n ? bsearch(wallet, d->list, d->n, sizeof *d->list, address_compare_elements) : NULL;
}

static bool drift_take_event(struct drift *one, uint64_t block)
{
    if (!one || block <= one->observed || block > one->at)
        return false;
    if (one->event_block == 0 || block < one->event_block)
        one->event_block = block;
    return true;
}

static void drift_count_missed(struct inquiry *q, uint64_t block)
{
    const char *name = log_source_get(&q->log_source, block);
    const struct endpoint *by = name ? rpc_find_endpoint(q->t->node, name) : NULL;
    if (by)
        counters_missed_logs(endpoint_number(by), 1);
}

static int drift_resolve_lists(struct inquiry *q, struct affected_set *affected, uint64_t block)
{
    if (affected->fanout.n == 0)
        return 0;
    q->fanouts += affected->fanout.n;
    struct err why = {0};
    bool failed =
        q->fanouts > FANOUTS_MOST ||
        fanout_resolve(q->t, &affected->fanout, &q->at, INSERT_NEVER, &affected->dirty, &why) < 0 ||
        affected->fanout.unanswered > 0;
    if (why.kind == ERR_STOPPED)
        return err_set(q->err, why.kind, "%s", why.text);
    if (failed && block > q->doubtful_before)
        q->doubtful_before = block;
    return 0;
}

static int drift_take_log(struct inquiry *q, const struct event_log *log,
                          struct affected_set *affected)
{
    bool explained = false;
    if (log->unplaced)
        return 0; /* it does not say when */
    affected_set_clear(affected);
    events_collect(q->b, log, 1, affected);
    if (drift_resolve_lists(q, affected, log->block) < 0)
        return -1;
    for (size_t i = 0; i < affected->dirty.n; i++)
        explained |=
            drift_take_event(drift_find_wallet(q->d, &affected->dirty.list[i].wallet), log->block);
    for (size_t i = 0; affected->all_block > 0 && i < q->d->n; i++)
        explained |= drift_take_event(&q->d->list[i], log->block);
    if (explained)
        drift_count_missed(q, log->block);
    return 0;
}

/* ---- asking again ---------------------------------------------------------------------------- */

/* Not the endpoint that answered first, if there is another that keeps up. */
static struct endpoint *drift_choose_endpoint(struct inquiry *q)
{
    struct rpc *n = q->t->node;
    struct endpoint *best = rpc_best(n), *other = rpc_other(n, best);
    const char *first = log_source_get(&q->log_source, q->to);
    return other && first && strcmp(endpoint_name(best), first) == 0 ? other : best;
}

/* The logs of one window, of this branch, or false: they cannot be had. */
static bool drift_read_window(struct inquiry *q, const struct log_filter *f, struct range *range,
                              uint64_t *from, struct logs *ret, struct err *why)
{
    uint64_t to = q->to - *from > range->width ? *from + range->width : q->to;
    struct logs_ask ask = {
        .filter = f, .from = *from, .to = to, .lane = RPC_SWEEP, .by = q->who, .arena = q->arena};
    if (rpc_logs_range(q->t->node, &ask, ret, why) < 0) {
        struct endpoint *best = rpc_best(q->t->node);
        if (why->kind == ERR_STOPPED)
            return false;
        bool again = range_on_fault(range, to - *from, &ret->fault) == RANGE_AGAIN;
        if (!again && q->who == best)
            return false;
        if (!again)
            q->who = best; /* the other one cannot say: the first one again */
        *ret = (struct logs){0};
        return true;
    }
    if (to == q->to && !hash_equal(&ret->to.at.hash, &q->at.hash))
        return false;
    range_on_answer(range, to - *from, ret->n);
    *from = to + 1;
    return true;
}

/* *ret_all: every window was answered. */
static int drift_read_logs(struct inquiry *q, const struct log_filter *f, bool *ret_all)
{
    struct range range;
    struct affected_set affected = {0};
    struct err why = {0};
    uint64_t from = q->from;
    int rc = 0;
    range_init(&range);
    *ret_all = true;
    for (size_t i = 0; rc == 0 && *ret_all && from <= q->to; i++) {
        struct logs logs;
        *ret_all = i < WINDOWS_MOST && drift_read_window(q, f, &range, &from, &logs, &why);
        for (size_t k = 0; *ret_all && rc == 0 && k < logs.n; k++)
            rc = drift_take_log(q, &logs.list[k], &affected);
    }
    affected_set_free(&affected);
    return why.kind == ERR_STOPPED ? err_set(q->err, why.kind, "%s", why.text) : rc;
}

/* A few wallets are asked for by name, many by all that happened. */
static int drift_read_all_logs(struct inquiry *q, bool *ret_all)
{
    bool few = q->d->n <= FEW, all = true;
    hash32 *words = arena_zero(q->arena, few ? q->d->n : 0, sizeof *words);
    for (size_t i = 0; few && i < q->d->n; i++)
        memcpy(words[i].b + 12, q->d->list[i].wallet.b, 20);
    *ret_all = true;
    for (int position = few ? 0 : -1; position <= (few ? 3 : -1) && *ret_all; position++) {
        struct log_filter f = drift_make_filter(q, position, words, few ? q->d->n : 0);
        if (f.n_topics > 0 && drift_read_logs(q, &f, &all) < 0)
            return -1;
        *ret_all &= all;
    }
    return 0;
}

/* ---- the verdict ----------------------------------------------------------------------------- */

/* The row is younger than the event: no endpoint had to answer it. Where the row's age and the
 * block's do not tell, neither can be blamed. */
static int drift_check_row_age(struct inquiry *q, struct drift *one)
{
    struct store_row row;
    struct header h;
    struct err ignored = {0};
    bool found;
    if (store_rows(q->t->store, &q->b->store, &one->wallet, 1, &row, q->err) < 0)
        return -1;
    bool known = row.found &&
                 rpc_header_number(q->t->node, one->event_block, &h, &found, &ignored) == 0 &&
                 found;
    bool after = known && (int64_t)h.at.timestamp * 1000000 < row.created_us;
    one->cause = after ? DRIFT_NONE : known ? DRIFT_MISSED_LOG : DRIFT_UNKNOWN;
    return 0;
}

static int drift_set_event_cause(struct inquiry *q, struct drift *one)
{
    bool replaced;
    const char *name = log_source_get(&q->log_source, one->event_block);
    if (store_header_replaced(q->t->store, one->event_block, &replaced, q->err) < 0)
        return -1;
    one->cause = replaced ? DRIFT_REORG : name ? DRIFT_MISSED_LOG : DRIFT_UNKNOWN;
    if (one->cause == DRIFT_MISSED_LOG && !one->has_blocknumber && drift_check_row_age(q, one) < 0)
        return -1;
    if (one->cause == DRIFT_MISSED_LOG)
        one->endpoint = arena_strdup(q->arena, name);
    return 0;
}

/* Was the value that we found written by another program? What our last change wrote is what should
 * have stood there; where a record was filed, the newest change is the repair, and where none was,
 * it may be. */
static int drift_check_foreign_write(struct inquiry *q, const struct drift *one, bool *ret)
{
    struct view_change *c;
    size_t n, last = one->id ? 1 : 0;
    char stored[U256_DEC_ROOM];
    if (view_changes_latest(
            q->t->store,
            &(struct view_ask){
                .b = &q->b->store, .wallets = &one->wallet, .limit = 2, .arena = q->arena},
            &c, &n, q->err) < 0)
        return -1;
    u256_to_dec(&one->stored, stored);
    bool ours = n <= last || (last == 0 && c[0].old && strcmp(c[0].old, stored) == 0);
    for (size_t i = last; i < n; i++)
        ours |= strcmp(c[i].new_, stored) == 0;
    *ret = !ours;
    return 0;
}

static int drift_set_causes(struct inquiry *q)
{
    for (size_t i = 0; i < q->d->n; i++) {
        struct drift *one = &q->d->list[i];
        bool another = false;
        if (one->event_block > 0) {
            if (drift_set_event_cause(q, one) < 0)
                return -1;
            continue;
        }
        if (i < WRITERS_LOOKED_AT && drift_check_foreign_write(q, one, &another) < 0)
            return -1;
        bool doubtful = one->observed < q->doubtful_before || one->observed >= one->at;
        one->cause = another || doubtful ? DRIFT_UNKNOWN : DRIFT_NO_EVENT;
    }
    return 0;
}

/* Rows anchored too long ago are not asked about: they stay unknown, and are put last. */
static void drift_put_far_last(struct drifts *d, uint64_t to, size_t *ret_near)
{
    size_t near = 0;
    for (size_t i = 0; i < d->n; i++) {
        if (to - d->list[i].observed > FAR_BLOCKS)
            continue;
        struct drift one = d->list[i];
        d->list[i] = d->list[near];
        d->list[near++] = one;
    }
    *ret_near = near;
}

static int drift_search_near(struct inquiry *q)
{
    bool found, all = true;
    qsort(q->d->list, q->d->n, sizeof *q->d->list, address_compare_elements);
    if (store_header_at(q->t->store, q->to, &q->at, &found, q->err) < 0 ||
        log_source_load(q->t, &q->log_source, q->err) < 0)
        return -1;
    q->who = drift_choose_endpoint(q);
    if (!found || (q->from <= q->to && drift_read_all_logs(q, &all) < 0))
        return found ? -1 : 0;
    return all ? drift_set_causes(q) : 0;
}

int drift_search(struct tracker *t, const struct tracked *b, struct drifts *d, struct arena *arena,
                 struct err *err)
{
    struct inquiry q = {.t = t, .b = b, .arena = arena, .from = UINT64_MAX, .err = err};
    struct drifts near = *d;
    for (size_t i = 0; i < d->n; i++) {
        d->list[i].cause = DRIFT_UNKNOWN;
        d->list[i].event_block = 0;
        q.to = d->list[i].at > q.to ? d->list[i].at : q.to;
    }
    drift_put_far_last(d, q.to, &near.n);
    for (size_t i = 0; i < near.n; i++)
        q.from = d->list[i].observed + 1 < q.from ? d->list[i].observed + 1 : q.from;
    q.d = &near;
    return near.n ? drift_search_near(&q) : 0;
}

/* ---- the ledger ------------------------------------------------------------------------------ */

/* All records of one cause and one endpoint, by one statement each. */
static int drift_save_cause(struct tracker *t, struct drifts *d, uint64_t *ids, size_t from,
                            struct err *err)
{
    const struct drift *like = &d->list[from];
    size_t n = 0;
    for (size_t i = from; i < d->n; i++) {
        struct drift *one = &d->list[i];
        bool same =
            one->id && one->cause == like->cause &&
            (one->endpoint == like->endpoint ||
             (one->endpoint && like->endpoint && strcmp(one->endpoint, like->endpoint) == 0));
        if (!same)
            continue;
        ids[n++] = one->id;
        if (i > from)
            one->id = 0;
    }
    d->list[from].id = 0;
    return like->cause == DRIFT_NONE
               ? store_drift_drop(t->store, ids, n, err)
               : store_drift_set_cause(t->store, ids, n, drift_cause_name(like->cause),
                                       like->endpoint, err);
}

static void drift_move_final(struct drifts *from, struct drifts *to, uint64_t finalized)
{
    size_t kept = 0;
    for (size_t i = 0; i < from->n; i++) {
        if (from->list[i].at <= finalized && to->n < DRIFT_AT_ONCE)
            drifts_add(to, &from->list[i]);
        else
            from->list[kept++] = from->list[i];
    }
    from->n = kept;
}

/* Blocks that are not final may be taken back: what they say of a cause would not hold. A daemon's
 * records wait for that in memory; its end leaves them "unknown". A command looks at once. */
static int drift_choose_final(struct tracker *t, const struct tracked *b, struct drifts *d,
                              struct err *err)
{
    struct positions p;
    struct drifts final = {0};
    if (positions_load(t, &p, err) < 0)
        return -1;
    if (!p.known) /* nothing follows the chain: no later moment is better */
        return 0;
    drift_move_final(b->waiting_drifts, &final, p.finalized);
    drift_move_final(d, &final, p.finalized);
    for (size_t i = 0; i < d->n; i++)
        drifts_add(b->waiting_drifts, &d->list[i]);
    drifts_free(d);
    *d = final;
    return 0;
}

int drift_find_causes(struct tracker *t, const struct tracked *b, struct drifts *d, struct err *err)
{
    struct arena arena;
    const struct drifts *waiting = b->waiting_drifts;
    if (d->n == 0 && (!waiting || waiting->n == 0))
        return 0;
    if (waiting && drift_choose_final(t, b, d, err) < 0) {
        d->n = 0;
        return -1;
    }
    if (d->n == 0)
        return 0;
    arena_init(&arena);
    uint64_t *ids = arena_alloc(&arena, d->n * sizeof *ids);
    int rc = drift_search(t, b, d, &arena, err);
    for (size_t i = 0; rc == 0 && i < d->n; i++)
        if (d->list[i].id && d->list[i].cause != DRIFT_UNKNOWN)
            rc = drift_save_cause(t, d, ids, i, err);
    if (rc == 0)
        rc = store_drift_prune(t->store, err);
    d->n = 0; /* the memory stays */
    arena_free(&arena);
    return rc;
}
