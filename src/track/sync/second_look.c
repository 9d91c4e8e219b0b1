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
    TURN_MS = 2000,     /* what was answered is taken, for so long in a turn */
    REQUEST_MS = 15000,
    RETRY_MS = 5000,
    KEPT_MS = 1000, /* before an answer that could not be used is taken again */
};

/* ---- what is under way ----------------------------------------------------------------------- */

static void second_look_close_piece(struct second_look_piece *s)
{
    logs_proof_close(s->proof);
    arena_free(&s->arena);
    mem_free(s);
}

void second_look_drop(struct second_look *l)
{
    for (size_t i = 0; i < l->n_pieces; i++)
        second_look_close_piece(l->pieces[i]);
    l->n_pieces = 0;
}

static void second_look_shift(struct second_look *l)
{
    second_look_close_piece(l->pieces[0]);
    memmove(l->pieces, l->pieces + 1, --l->n_pieces * sizeof(struct second_look_piece *));
}

bool second_look_is_under_way(const struct second_look *l)
{
    return l->n_pieces > 0;
}

bool second_look_is_answered(const struct second_look *l)
{
    return l->n_pieces > 0 && clock_ms() >= l->retry_ms &&
           (!l->pieces[0]->proof || logs_proof_ended(l->pieces[0]->proof));
}

/* ---- what is due ----------------------------------------------------------------------------- */

/* No further than what is final, and an endpoint must show a head above it. */
static uint64_t second_look_cap(const struct follow *f, uint64_t limit)
{
    uint64_t head = f->samples.head.at.number;
    if (limit > f->samples.finality.at.number)
        limit = f->samples.finality.at.number;
    return limit < head ? limit : head > 0 ? head - 1 : 0;
}

static void second_look_find_looked(struct follow *f, int64_t now)
{
    for (size_t i = 0; i < f->t->n_balances; i++) {
        struct follow_balance *fb = &f->balances[i];
        fb->looked = fb->verified;
        first_looks_reached(&fb->first_looks, now - WAIT_MS, &fb->looked);
    }
}

/* A balance that is held has no first look beyond the one that holds it: it does not hold the
 * others. */
static void second_look_begin(struct follow *f, struct second_look_piece *ret)
{
    uint64_t limit = 0, from = UINT64_MAX;
    for (size_t i = 0; i < f->t->n_balances; i++)
        if (f->balances[i].stored && f->balances[i].looked > limit)
            limit = f->balances[i].looked;
    limit = second_look_cap(f, limit);
    for (size_t i = 0; i < f->t->n_balances; i++) {
        struct follow_balance *fb = &f->balances[i];
        fb->looks_again = fb->stored && fb->looked >= limit && fb->verified < limit;
        if (fb->looks_again && fb->verified < from)
            from = fb->verified;
    }
    *ret = (struct second_look_piece){.from = from, .limit = limit};
}

/* The piece after the last one, for the same balances. */
static void second_look_continue(struct follow *f, struct second_look_piece *ret)
{
    const struct second_look *l = &f->second_look;
    uint64_t limit = UINT64_MAX;
    for (size_t i = 0; i < f->t->n_balances; i++)
        if (f->balances[i].looks_again && f->balances[i].looked < limit)
            limit = f->balances[i].looked;
    *ret = (struct second_look_piece){.from = l->pieces[l->n_pieces - 1]->end.number,
                                      .limit = second_look_cap(f, limit)};
}

/* Do first looks of a catch-up wait for the second one? */
static bool second_look_is_waited_for(const struct follow *f)
{
    for (size_t i = 0; i < f->t->n_balances; i++)
        if (first_looks_are_many(&f->balances[i].first_looks))
            return true;
    return false;
}

/* The rest of a catch-up is not waited with: much was read for it lately. */
static bool second_look_is_end_of_legs(const struct follow *f, uint64_t from)
{
    return !f->legs.under_way && from < f->legs.reached;
}

bool second_look_is_soon(const struct follow *f)
{
    for (size_t i = 0; i < f->t->n_balances; i++)
        if (second_look_is_end_of_legs(f, f->balances[i].verified))
            return true;
    return false;
}

static bool second_look_is_time(struct follow *f, const struct second_look_piece *s, int64_t now)
{
    struct second_look *l = &f->second_look;
    bool end = second_look_is_end_of_legs(f, s->from);
    bool many = s->limit > s->from &&
                (end || s->limit - s->from >= EVERY_BLOCKS || second_look_is_waited_for(f));
    bool waited = l->n_pieces == 0 && (l->passed_ms == 0 || now - l->passed_ms >= EVERY_MS);
    if (many || waited)
        l->target = s->limit;
    return now >= l->retry_ms && s->from < l->target && s->from < s->limit;
}

static bool second_look_find_due(struct follow *f, struct second_look_piece *ret)
{
    int64_t now = clock_ms();
    if (f->second_look.n_pieces == SECOND_LOOK_PIECES)
        return false;
    second_look_find_looked(f, now);
    if (f->second_look.n_pieces == 0)
        second_look_begin(f, ret);
    else
        second_look_continue(f, ret);
    return second_look_is_time(f, ret, now);
}

/* ---- who is asked, and up to where ----------------------------------------------------------- */

static void second_look_find_first(struct follow *f, struct second_look_piece *s)
{
    const char *name = log_source_get(&f->log_source, s->from + 1);
    s->first_end = log_source_end(&f->log_source, s->from + 1);
    s->first = name ? rpc_find_endpoint(f->t->node, name) : NULL;
}

static struct endpoint *second_look_choose(struct follow *f, const struct second_look_piece *s)
{
    struct second_choice choice = f->second_look.choice;
    uint64_t width = s->limit - s->from < f->range.width ? s->limit - s->from : f->range.width;
    choice.first = s->first;
    return second_choice_get(f->t->node, &choice, f->second_look.ranges, width);
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
static int second_look_choose_end(struct follow *f, struct second_look_piece *s, struct err *err)
{
    uint64_t width = f->second_look.ranges[endpoint_number(s->by)].width, to = s->limit;
    bool found;
    if (to > s->first_end)
        to = s->first_end;
    if (to - s->from - 1 > width)
        to = s->from + 1 + width;
    if (sample_find_below(f->t, to, &s->end, &found, err) < 0)
        return -1;
    if (found && s->end.number > s->from && s->end.number - s->from >= (to - s->from) / 2)
        return 0;
    return second_look_fetch_end(f, to, &s->end, err);
}

/* ---- the answer ------------------------------------------------------------------------------ */

/* The checkpoint stays, and the span is tried again from the start, a little later. */
static void second_look_hold(struct follow *f, const struct second_look_piece *s,
                             struct second_look_report *ret, const struct err *why)
{
    struct second_look *l = &f->second_look;
    ret->held = true;
    ret->held_from = s->from + 1;
    ret->held_to = s->end.number;
    ret->why = *why;
    l->retry_ms = clock_ms() + RETRY_MS;
    l->choice = (struct second_choice){0};
}

/* The faults of an endpoint are about this span; when all have failed, the next turn begins anew.
 */
static void second_look_on_failure(struct follow *f, const struct second_look_piece *s,
                                   struct second_look_report *ret, const struct err *why)
{
    struct second_choice *c = &f->second_look.choice;
    c->first = s->first;
    if (!second_choice_on_failure(c, s->by))
        second_look_hold(f, s, ret, why);
}

static int second_look_open_piece(struct follow *f, struct second_look_piece *s, struct err *err)
{
    struct second_look *l = &f->second_look;
    second_look_find_first(f, s);
    s->by = second_look_choose(f, s);
    if (second_look_choose_end(f, s, err) < 0)
        return -1;
    struct second_look_piece *place = mem_zero(1, sizeof *place);
    *place = *s;
    arena_init(&place->arena);
    struct logs_ask ask = {.filter = &f->filter.filter,
                           .from = s->from + 1,
                           .to = s->end.number,
                           .lane = RPC_CATCHUP,
                           .by = s->by,
                           .deadline_ms = clock_ms() + REQUEST_MS,
                           .arena = &place->arena};
    if (f->filter.filter.n_topics > 0 &&
        logs_proof_open(f->t->node, &ask, &s->end, &place->proof, err) < 0) {
        second_look_close_piece(place);
        return -1;
    }
    l->pieces[l->n_pieces++] = place;
    return 0;
}

/* The answer of the first piece. *ret_good: there is one; else the pieces are asked again, with
 * another width, or of another endpoint, or later. */
static int second_look_get_answer(struct follow *f, struct second_look_piece *s, struct logs *logs,
                                  struct second_look_report *ret, bool *ret_good, struct err *err)
{
    struct err why = {0};
    struct range *range = &f->second_look.ranges[endpoint_number(s->by)];
    uint64_t width = s->end.number - s->from - 1;
    *logs = (struct logs){.by = s->by};
    *ret_good = !s->proof || logs_proof_result(s->proof, logs, &why) == 0;
    if (*ret_good) {
        range_on_answer(range, width, logs->n);
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
static int second_look_pass(struct follow *f, struct follow_balance *fb,
                            const struct second_look_piece *s, bool *ret_ok, struct err *err)
{
    uint64_t to = s->end.number;
    struct affected_set none = {0};
    struct flush flush = {.balance = fb->b,
                          .at = f->samples.head.at,
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

/* *ret_ok: the piece has passed; *ret_again: its answer does not count. Neither: the same answer is
 * taken once more, at the next head. */
static int second_look_take(struct follow *f, const struct second_look_piece *s,
                            const struct logs *logs, struct second_look_report *ret, bool *ret_ok,
                            bool *ret_again, struct err *err)
{
    struct err why = {0};
    struct second_choice choice = f->second_look.choice;
    choice.first = s->first;
    *ret_ok = true;
    *ret_again = false;
    for (size_t i = 0; i < f->t->n_balances && *ret_ok; i++) {
        struct follow_balance *fb = &f->balances[i];
        struct missed m = {.f = f,
                           .fb = fb,
                           .from = fb->verified,
                           .to = s->end.number,
                           .logs = logs,
                           .lacking_counts = !second_choice_is_last(&choice, s->by)};
        if (!fb->looks_again || fb->verified >= s->end.number)
            continue;
        int rc = missed_read(&m, ret, &why, err);
        missed_free(&m);
        if (rc < 0)
            return -1;
        if (m.lacks)
            second_look_on_failure(f, s, ret, &why);
        if (m.blocked)
            second_look_hold(f, s, ret, &why);
        *ret_again = m.lacks || m.blocked;
        *ret_ok = !*ret_again;
        if (*ret_ok && second_look_pass(f, fb, s, ret_ok, err) < 0)
            return -1;
    }
    return 0;
}

static void second_look_on_passed(struct follow *f, const struct second_look_piece *s,
                                  struct second_look_report *ret)
{
    struct second_look *l = &f->second_look;
    l->passed_ms = clock_ms();
    l->choice = (struct second_choice){0};
    if (ret->passed++ == 0)
        ret->from = s->from + 1;
    ret->to = s->end.number;
    if (s->by == s->first)
        counters_second_look_alone(endpoint_number(s->by));
    f->moved = true;
}

/* ---- a turn ---------------------------------------------------------------------------------- */

/* Takes the first piece. A failure of ours leaves it for the next turn. */
static int second_look_take_first(struct follow *f, struct second_look_report *ret, struct err *err)
{
    struct second_look *l = &f->second_look;
    struct second_look_piece *s = l->pieces[0];
    struct logs logs;
    bool good, ok = false, again = true;
    if (second_look_get_answer(f, s, &logs, ret, &good, err) < 0)
        return -1;
    int rc = good ? second_look_take(f, s, &logs, ret, &ok, &again, err) : 0;
    if (rc == 0 && ok) {
        second_look_on_passed(f, s, ret);
        second_look_shift(l);
    } else if (rc == 0 && again) {
        second_look_drop(l);
    } else {
        l->retry_ms = clock_ms() + KEPT_MS;
    }
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
    struct second_look *l = &f->second_look;
    struct second_look_piece s;
    int64_t now = clock_ms(), until = now + TURN_MS;
    int rc = 0;
    second_look_open(l);
    for (size_t i = 0; i < f->t->n_balances; i++)
        if (f->balances[i].started)
            first_looks_note(&f->balances[i].first_looks, f->balances[i].synced, now);
    if (!f->samples.known || !f->samples.finality.known)
        return 0;
    while (rc == 0 && second_look_is_answered(l) && clock_ms() < until)
        rc = second_look_take_first(f, ret, err);
    while (rc == 0 && second_look_find_due(f, &s))
        rc = second_look_open_piece(f, &s, err);
    return rc;
}
