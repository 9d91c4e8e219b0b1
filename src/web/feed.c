/*
 * Server-Sent Events from trueup_changes. One question for all streams: everything after the stream
 * that has the least; each is then sent what is new to it. The id of an event is the row's, so
 * Last-Event-ID resumes without a gap.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "web/app.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ROUND_MS = 150, CHANGES_A_ROUND = 500, RECENT_MOST = 200, EVENT_MAX = 1024 * 1024 };

/*
 * A stream is told of what it cannot be given: `gap` when changes between its last id and the next
 * one are pruned, or when that id is ahead of the table; `epoch` at its begin and when the database
 * went back to an older state, after which ids are given again.
 */
struct look {
    struct db_thread_job job;
    struct app *app;
    struct stream wanted; /* a stream that begins; exchange 0: a round */
    uint64_t after;
    bool has_after;
    size_t recent;
    struct arena arena;
    struct view_feed feed;
    struct view_change *changes; /* oldest first */
    size_t n;
    bool full;
};

static int find_changes(struct store *s, struct db_thread_job *job, struct err *err)
{
    struct look *l = (struct look *)(void *)job;
    if (view_feed(s, &l->arena, &l->feed, err) < 0)
        return -1;
    int rc = view_changes_after(
        s, &(struct view_ask){.after = l->after, .limit = CHANGES_A_ROUND, .arena = &l->arena},
        &l->changes, &l->n, err);
    l->full = l->n == CHANGES_A_ROUND;
    return rc;
}

/* Where a new stream begins: what it named, else the newest, or a few before it. */
static int find_start(struct store *s, struct db_thread_job *job, struct err *err)
{
    struct look *l = (struct look *)(void *)job;
    size_t want = l->recent ? l->recent + 1 : 1;
    if (view_feed(s, &l->arena, &l->feed, err) < 0 ||
        view_changes_latest(s, &(struct view_ask){.limit = want, .arena = &l->arena}, &l->changes,
                            &l->n, err) < 0)
        return -1;
    uint64_t newest = l->n ? l->changes[0].id : 0;
    uint64_t some = l->n > l->recent ? l->changes[l->recent].id : 0;
    if (!l->has_after)
        l->after = l->recent ? some : newest;
    return 0;
}

/* ---- what a stream is sent ------------------------------------------------------------------- */

static void feed_send_epoch(struct exchange *x, struct stream *s, const struct view_feed *feed)
{
    struct buf text = BUF_INIT(1024);
    snprintf(s->epoch, sizeof s->epoch, "%s", feed->epoch);
    buf_addf(&text, "event: epoch\ndata: {\"epoch\":\"%s\"}\n\n", s->epoch);
    exchange_send(x, buf_str(&text), text.len);
    buf_free(&text);
}

/* Changes behind the stream's position that the table has not: it goes on behind them. */
static void feed_send_gap(struct exchange *x, struct stream *s, const struct view_feed *feed)
{
    struct buf text = BUF_INIT(1024);
    bool ahead = s->position > feed->newest;
    uint64_t next = ahead ? feed->newest : feed->oldest - 1;
    buf_addf(&text,
             "id: %" PRIu64 "\nevent: gap\ndata: {\"after\":%" PRIu64 ",\"oldest\":%" PRIu64
             ",\"newest\":%" PRIu64 "}\n\n",
             next, s->position, feed->oldest, feed->newest);
    exchange_send(x, buf_str(&text), text.len);
    s->position = next;
    buf_free(&text);
}

static void feed_tell_place(struct app *a, struct stream *s, const struct view_feed *feed)
{
    struct exchange *x = server_exchange(a->server, s->exchange);
    if (x && strcmp(s->epoch, feed->epoch) != 0)
        feed_send_epoch(x, s, feed);
    if (x && (s->position > feed->newest || s->position + 1 < feed->oldest))
        feed_send_gap(x, s, feed);
}

static bool feed_is_wanted(const struct app *a, const struct stream *s, const struct view_change *c)
{
    if (s->one_wallet && !address_equal(&s->wallet, &c->wallet))
        return false;
    return s->balance < 0 || strcmp(a->facts.balances[s->balance].name, c->balance) == 0;
}

static void send_change(struct app *a, struct stream *s, const struct view_change *c)
{
    struct exchange *x = server_exchange(a->server, s->exchange);
    struct buf text = BUF_INIT(EVENT_MAX);
    if (!x || c->id <= s->position)
        return;
    s->position = c->id;
    if (!feed_is_wanted(a, s, c))
        return;
    buf_addf(&text, "id: %" PRIu64 "\nevent: change\ndata: ", c->id);
    write_change(&text, c);
    buf_adds(&text, "\n\n");
    exchange_send(x, buf_str(&text), text.len);
    buf_free(&text);
}

static void free_look(struct look *l)
{
    arena_free(&l->arena);
    mem_free(l);
}

static void round_done(struct db_thread_job *job)
{
    struct look *l = (struct look *)(void *)job;
    struct app *a = l->app;
    a->feed_asked = false;
    a->feed_at_ms = clock_ms() + (l->full ? 0 : ROUND_MS);
    for (size_t i = 0; job->rc == 0 && i < SERVER_STREAMS; i++) {
        struct stream *s = &a->streams[i];
        if (s->exchange)
            feed_tell_place(a, s, &l->feed);
        for (size_t k = 0; s->exchange && k < l->n; k++)
            send_change(a, s, &l->changes[k]);
    }
    free_look(l);
}

static void start_done(struct db_thread_job *job)
{
    struct look *l = (struct look *)(void *)job;
    struct app *a = l->app;
    struct exchange *x = pending_take(a, l->wanted.exchange);
    if (x && job->rc < 0) {
        answer_error(x, 503, "the database does not answer: %s", job->err.text);
    } else if (x && exchange_stream(x)) {
        exchange_send(x, "retry: 2000\n\n", 13);
        /* exchange_stream() keeps to the same ceiling, so one is free or its reader is gone */
        for (size_t i = 0; i < SERVER_STREAMS; i++)
            if (!server_exchange(a->server, a->streams[i].exchange)) {
                a->streams[i] = l->wanted;
                a->streams[i].position = l->after;
                feed_send_epoch(x, &a->streams[i], &l->feed);
                feed_tell_place(a, &a->streams[i], &l->feed);
                break;
            }
    }
    free_look(l);
}

static struct look *new_look(struct app *a)
{
    struct look *l = mem_zero(1, sizeof *l);
    l->app = a;
    arena_init(&l->arena);
    return l;
}

/* What the stream wants of all changes; false, and answered, when it names what is not there. */
static bool feed_take_filter(struct app *a, struct exchange *x, struct stream *s)
{
    char name[64], wallet[64];
    const char *balance = exchange_parameter(x, "balance", name, sizeof name);
    const char *one = exchange_parameter(x, "wallet", wallet, sizeof wallet);
    s->balance = balance ? facts_balance(&a->facts, balance, strlen(balance)) : -1;
    s->one_wallet = one != NULL;
    if (balance && s->balance < 0) {
        answer_error(x, 400, "balance: there is no balance \"%.40s\"", balance);
        return false;
    }
    if (one && address_parse(one, strlen(one), &s->wallet, NULL) < 0) {
        answer_error(x, 400, "wallet: \"%.60s\" is no wallet", one);
        return false;
    }
    return true;
}

/* Where the stream begins, as the client says; false, and answered, when that is no number. */
static bool take_start(struct exchange *x, struct look *l)
{
    char text[32];
    uint64_t recent = 0;
    const char *last = exchange_header(x, "last-event-id");
    const char *few = exchange_parameter(x, "recent", text, sizeof text);
    l->has_after = last[0] != '\0';
    if (last[0] && !parse_u64(last, strlen(last), &l->after)) {
        answer_error(x, 400, "Last-Event-ID: \"%.40s\" is not a number", last);
        return false;
    }
    if (few && (!parse_u64(few, strlen(few), &recent) || recent > RECENT_MOST)) {
        answer_error(x, 400, "recent: \"%s\" is not a number up to %d", few, RECENT_MOST);
        return false;
    }
    l->recent = (size_t)recent;
    return true;
}

void changes_route(struct app *a, struct exchange *x)
{
    struct look *l = new_look(a);
    l->job = (struct db_thread_job){.work = find_start, .done = start_done};
    l->wanted.exchange = exchange_number(x);
    if (!take_start(x, l) || !feed_take_filter(a, x, &l->wanted) || !pending_submit(a, x, &l->job))
        free_look(l);
}

void feed_tick(struct app *a)
{
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < SERVER_STREAMS; i++) {
        struct stream *s = &a->streams[i];
        if (s->exchange && !server_exchange(a->server, s->exchange))
            s->exchange = 0;
        if (s->exchange && s->position < least)
            least = s->position;
    }
    if (least == UINT64_MAX || a->feed_asked || clock_ms() < a->feed_at_ms)
        return;
    struct look *l = new_look(a);
    l->job = (struct db_thread_job){.work = find_changes, .done = round_done};
    l->after = least;
    a->feed_asked = db_thread_submit(a->quick_db, &l->job);
    if (!a->feed_asked)
        free_look(l);
}
