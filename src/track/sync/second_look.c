#include "track/sync/second_look.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "proc/counters.h"
#include "track/sync/flush.h"
#include "track/sync/follow.h"
#include "track/sync/missed.h"
#include "track/sync/rescan.h"

#include <inttypes.h>
#include <string.h>

enum {
    WAIT_MS = 10000,    /* between the first look at a block and the second */
    EVERY_MS = 60000,   /* a look is taken when this has passed … */
    EVERY_BLOCKS = 256, /* … or so many blocks are due */
    OTHERS_TRIES = 3,   /* failures of others, before the first look's endpoint is asked */
    NARROW = 4,         /* an endpoint that needs more requests than this times is not asked */
    TURN_MS = 5000,
    REQUEST_MS = 8000,
    RETRY_MS = 5000,
};

/* ---- what is due ----------------------------------------------------------------------------- */

/* One piece of a second look: the blocks above `from`, up to `end`, for the balances that had their
 * first look at them. */
struct span {
    uint64_t from;
    uint64_t limit;         /* due up to here */
    struct endpoint *first; /* gave the first look; NULL: not known */
    uint64_t first_end;     /* … up to this block */
    struct endpoint *by;    /* gives this look */
    struct anchor end;
};

static bool second_look_takes_part(const struct follow_balance *fb, const struct span *s)
{
    return fb->stored && fb->looked >= s->limit && fb->verified < s->limit;
}

/* A balance that is held has no first look beyond the one that holds it: it does not hold the
 * others. */
static bool second_look_find_due(struct follow *f, int64_t now, struct span *ret)
{
    uint64_t limit = 0, from = UINT64_MAX, head = f->chain.head.at.number;
    for (size_t i = 0; i < f->t->n_balances; i++) {
        struct follow_balance *fb = &f->balances[i];
        fb->looked = fb->verified;
        first_looks_reached(&fb->first_looks, now - WAIT_MS, &fb->looked);
        if (fb->stored && fb->looked > limit)
            limit = fb->looked;
    }
    if (limit > f->chain.finalized.number)
        limit = f->chain.finalized.number;
    if (limit >= head) /* an endpoint must show a head above it */
        limit = head > 0 ? head - 1 : 0;
    *ret = (struct span){.limit = limit};
    for (size_t i = 0; i < f->t->n_balances; i++)
        if (second_look_takes_part(&f->balances[i], ret) && f->balances[i].verified < from)
            from = f->balances[i].verified;
    ret->from = from;
    return from < limit;
}

static bool second_look_is_time(const struct second_look *l, const struct span *s, int64_t now)
{
    return now >= l->retry_ms && (l->passed_ms == 0 || s->limit - s->from >= EVERY_BLOCKS ||
                                  now - l->passed_ms >= EVERY_MS);
}

/* ---- who is asked, and up to where ----------------------------------------------------------- */

static void second_look_find_first(struct follow *f, struct span *s)
{
    const char *name = log_source_get(&f->log_source, s->from + 1);
    s->first_end = log_source_end(&f->log_source, s->from + 1);
    s->first = name ? rpc_find_endpoint(f->t->node, name) : NULL;
}

static uint32_t second_look_bit(const struct endpoint *e)
{
    return UINT32_C(1) << endpoint_number(e);
}

/* The endpoints that would need far more requests than the first look did. */
static uint32_t second_look_narrow(const struct follow *f, const struct span *s)
{
    uint32_t narrow = 0;
    uint64_t width = s->limit - s->from < f->range.width ? s->limit - s->from : f->range.width;
    for (size_t i = 0; i < rpc_endpoints(f->t->node) && i < SECOND_LOOK_ENDPOINTS; i++)
        if (f->second_look.ranges[i].width + 1 < width / NARROW)
            narrow |= UINT32_C(1) << i;
    return narrow;
}

/* Another one than the first look's: one that has not failed at this span, else one that has, three
 * times in all; then the first look's own. */
static struct endpoint *second_look_choose(struct follow *f, const struct span *s)
{
    const struct second_look *l = &f->second_look;
    uint32_t first = s->first ? second_look_bit(s->first) : 0;
    uint32_t not = first | second_look_narrow(f, s);
    struct endpoint *e = NULL;
    if (l->failures < OTHERS_TRIES) {
        e = rpc_other_than(f->t->node, not | l->failed);
        if (!e)
            e = rpc_other_than(f->t->node, not );
    }
    return e ? e : s->first ? s->first : rpc_best(f->t->node);
}

static int second_look_fetch_end(struct follow *f, uint64_t number, struct anchor *ret,
                                 struct err *err)
{
    struct header h;
    if (tracker_get_block(f->t, number, &h, err) < 0)
        return -1;
    *ret = h.at;
    return store_headers_put(f->t->store, ret, 1, err);
}

/* The span ends at a stored header. Where none is near, deep in a catch-up, one is fetched and
 * stored. */
static int second_look_choose_end(struct follow *f, struct span *s, struct err *err)
{
    uint64_t width = f->second_look.ranges[endpoint_number(s->by)].width, to = s->limit;
    bool found;
    if (to > s->first_end)
        to = s->first_end;
    if (to - s->from - 1 > width)
        to = s->from + 1 + width;
    if (chain_anchor_below(f->t, to, &s->end, &found, err) < 0)
        return -1;
    if (found && s->end.number > s->from && s->end.number - s->from >= (to - s->from) / 2)
        return 0;
    return second_look_fetch_end(f, to, &s->end, err);
}

/* ---- the answer ------------------------------------------------------------------------------ */

/* The checkpoint stays, and the span is tried again from the start, a little later. */
static void second_look_hold(struct follow *f, const struct span *s, struct second_look_report *ret,
                             const struct err *why)
{
    struct second_look *l = &f->second_look;
    ret->held = true;
    ret->held_from = s->from + 1;
    ret->held_to = s->end.number;
    ret->why = *why;
    l->retry_ms = clock_ms() + RETRY_MS;
    l->failures = 0;
    l->failed = 0;
}

/* The faults of an endpoint are about this span; when all have failed, the next turn begins anew.
 */
static void second_look_on_failure(struct follow *f, const struct span *s,
                                   struct second_look_report *ret, const struct err *why)
{
    struct second_look *l = &f->second_look;
    l->failures++;
    l->failed |= second_look_bit(s->by);
    if (s->by != s->first && (s->first || l->failures < OTHERS_TRIES))
        return;
    second_look_hold(f, s, ret, why);
}

/* Asks for the span's logs. *ret_again: with another width, or of another endpoint, or not now. */
static int second_look_ask(struct follow *f, struct span *s, struct arena *arena, struct logs *logs,
                           struct second_look_report *ret, bool *ret_again, struct err *err)
{
    struct err why = {0};
    struct range *range = &f->second_look.ranges[endpoint_number(s->by)];
    struct logs_ask ask = {.filter = &f->filter.filter,
                           .from = s->from + 1,
                           .to = s->end.number,
                           .lane = RPC_CATCHUP,
                           .by = s->by,
                           .deadline_ms = clock_ms() + REQUEST_MS,
                           .arena = arena};
    uint64_t width = ask.to - ask.from;
    *ret_again = true;
    *logs = (struct logs){.by = s->by};
    if (f->filter.filter.n_topics == 0 ||
        rpc_logs_proven(f->t->node, &ask, &s->end, logs, &why) == 0) {
        range_on_answer(range, width, logs->n);
        *ret_again = false;
        return 0;
    }
    if (why.kind == ERR_STOPPED)
        return err_set(err, ERR_STOPPED, "%s", why.text);
    if (logs->fault.fault == FAULT_NONE ||
        range_on_fault(range, width, &logs->fault) != RANGE_AGAIN)
        second_look_on_failure(f, s, ret, &why);
    return 0;
}

/* ---- it counted ------------------------------------------------------------------------------ */

/* The durable rescan key follows what is looked at twice, and goes once it has caught up. */
static int second_look_move_rescan(struct follow *f, struct follow_balance *fb, uint64_t to,
                                   struct err *err)
{
    if (!fb->rescanning)
        return 0;
    fb->rescanning = to < fb->checkpoint;
    return fb->rescanning ? rescan_set(f->t, fb->b, to, err) : rescan_end(f->t, fb->b, err);
}

/* The checkpoint is the last write that vouches for the span. */
static int second_look_pass(struct follow *f, struct follow_balance *fb, const struct span *s,
                            bool *ret_ok, struct err *err)
{
    uint64_t to = s->end.number;
    struct affected_set none = {0};
    struct flush flush = {.balance = fb->b,
                          .at = f->chain.head.at,
                          .has_checkpoint = to > fb->checkpoint,
                          .checkpoint = to};
    struct flush_report r;
    *ret_ok = false;
    if (flush_run(f->t, &flush, &none, &r, err) < 0)
        return -1;
    if (r.blocked)
        return 0; /* the head was dropped: again at the next one */
    if (second_look_move_rescan(f, fb, to, err) < 0 ||
        store_dirty_drop(f->t->store, &fb->b->store, to, err) < 0)
        return -1;
    if (to > fb->checkpoint)
        fb->checkpoint = to;
    fb->verified = to;
    first_looks_pass(&fb->first_looks, to);
    *ret_ok = true;
    return 0;
}

/* Is no other endpoint left to ask? Then the answer counts: what it lacks was read. */
static bool second_look_is_last(const struct follow *f, const struct span *s)
{
    return s->by == s->first || (!s->first && f->second_look.failures + 1 >= OTHERS_TRIES);
}

static int second_look_take(struct follow *f, const struct span *s, const struct logs *logs,
                            struct second_look_report *ret, bool *ret_ok, struct err *err)
{
    struct err why = {0};
    for (size_t i = 0; i < f->t->n_balances; i++) {
        struct follow_balance *fb = &f->balances[i];
        struct missed m = {.f = f,
                           .fb = fb,
                           .from = fb->verified,
                           .to = s->end.number,
                           .logs = logs,
                           .lacking_counts = !second_look_is_last(f, s)};
        *ret_ok = true;
        if (!second_look_takes_part(fb, s) || fb->verified >= s->end.number)
            continue;
        int rc = missed_read(&m, ret, &why, err);
        missed_free(&m);
        if (rc < 0)
            return -1;
        if (m.lacks)
            second_look_on_failure(f, s, ret, &why);
        if (m.blocked)
            second_look_hold(f, s, ret, &why);
        *ret_ok = !m.lacks && !m.blocked;
        if (*ret_ok && second_look_pass(f, fb, s, ret_ok, err) < 0)
            return -1;
        if (!*ret_ok)
            return 0;
    }
    return 0;
}

static void second_look_on_passed(struct follow *f, const struct span *s,
                                  struct second_look_report *ret)
{
    struct second_look *l = &f->second_look;
    l->passed_ms = clock_ms();
    l->failures = 0;
    l->failed = 0;
    if (ret->passed++ == 0)
        ret->from = s->from + 1;
    ret->to = s->end.number;
    if (s->by == s->first)
        counters_second_look_alone(endpoint_number(s->by));
    f->moved = true;
}

/* ---- a turn ---------------------------------------------------------------------------------- */

static int second_look_piece(struct follow *f, struct span *s, struct second_look_report *ret,
                             bool *ret_again, struct err *err)
{
    struct arena arena;
    struct logs logs;
    bool again = false, ok = false;
    second_look_find_first(f, s);
    s->by = second_look_choose(f, s);
    if (second_look_choose_end(f, s, err) < 0)
        return -1;
    arena_init(&arena);
    int rc = second_look_ask(f, s, &arena, &logs, ret, &again, err);
    if (rc == 0 && !again)
        rc = second_look_take(f, s, &logs, ret, &ok, err);
    if (rc == 0 && ok)
        second_look_on_passed(f, s, ret);
    arena_free(&arena);
    *ret_again = !ret->held && (ok || again);
    return rc;
}

static void second_look_open(struct second_look *l)
{
    for (size_t i = 0; !l->open && i < SECOND_LOOK_ENDPOINTS; i++)
        range_init(&l->ranges[i]);
    l->open = true;
}

int second_look_run(struct follow *f, struct second_look_report *ret, struct err *err)
{
    struct span s;
    int64_t now = clock_ms(), until = now + TURN_MS;
    bool again = true;
    int rc = 0;
    second_look_open(&f->second_look);
    for (size_t i = 0; i < f->t->n_balances; i++)
        if (f->balances[i].started)
            first_looks_note(&f->balances[i].first_looks, f->balances[i].synced, now);
    if (!f->chain.known || !f->chain.finalized_known || !second_look_find_due(f, now, &s) ||
        !second_look_is_time(&f->second_look, &s, now))
        return 0;
    while (rc == 0 && again && clock_ms() < until && second_look_find_due(f, now, &s))
        rc = second_look_piece(f, &s, ret, &again, err);
    return rc;
}
