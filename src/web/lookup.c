/*
 * Rows, one wallet or many, the largest, and drift: what asks the database for each request. The
 * answer is written on the database thread's thread; what takes longer than five seconds is
 * answered with 503.
 */
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/parse.h"
#include "web/app.h"

#include <inttypes.h>
#include <string.h>

enum { HISTORY_MOST = 200, TOP_KEPT_MS = 60000, BODY_MAX = 4 * 1024 * 1024 };

struct lookup {
    struct db_thread_job job;
    struct app *app;
    uint64_t exchange;
    const struct store_balance *balance; /* of the facts: unchanged */
    size_t index, limit;
    bool one, history;
    address *wallets;
    size_t n;
    struct buf body;
    int status;
    struct view_row *rows; /* the largest */
    size_t n_rows;
    int64_t as_of_us;
};

/* ---- writing --------------------------------------------------------------------------------- */

static void write_block(struct buf *out, const char *name, bool has, uint64_t n)
{
    if (has)
        buf_addf(out, ",\"%s\":%" PRIu64, name, n);
    else
        buf_addf(out, ",\"%s\":null", name);
}

/* Without the closing brace. */
static void begin_row(struct buf *out, const struct view_row *r)
{
    char wallet[ADDRESS_TEXT];
    address_text(&r->wallet, wallet);
    buf_addf(out, "{\"wallet\":\"%s\",\"balance\":", wallet);
    json_write_text(out, r->balance);
    write_block(out, "observed_block", r->has_observed, r->observed_block);
    write_block(out, "blocknumber", r->has_blocknumber, r->blocknumber);
    buf_adds(out, ",\"updated_at\":");
    json_write_time(out, r->updated_us);
}

void write_change(struct buf *out, const struct view_change *c)
{
    char wallet[ADDRESS_TEXT];
    address_text(&c->wallet, wallet);
    buf_addf(out, "{\"id\":%" PRIu64 ",\"balance\":", c->id);
    json_write_text(out, c->balance);
    buf_addf(out, ",\"wallet\":\"%s\",\"old\":", wallet);
    json_write_text(out, c->old);
    buf_adds(out, ",\"new\":");
    json_write_text(out, c->new_);
    buf_addf(out, ",\"block\":%" PRIu64 ",\"cause\":", c->block);
    json_write_text(out, c->cause);
    buf_adds(out, ",\"at\":");
    json_write_time(out, c->at_us);
    buf_addc(out, '}');
}

/* ---- on the database thread's thread
 * ------------------------------------------------------------------- */

static int add_history(struct store *s, struct lookup *l, struct arena *arena, struct err *err)
{
    struct view_change *changes;
    struct view_quarantine q;
    bool held;
    size_t n;
    if (view_changes_latest(
            s,
            &(struct view_ask){
                .b = l->balance, .wallets = &l->wallets[0], .limit = l->limit, .arena = arena},
            &changes, &n, err) < 0 ||
        view_quarantined(s, l->balance, &l->wallets[0], &q, &held, err) < 0)
        return -1;
    buf_adds(&l->body, ",\"quarantine\":");
    if (held) {
        buf_addf(&l->body, "{\"failures\":%" PRIu64 ",\"reason\":", q.failures);
        json_write_text(&l->body, q.reason);
        buf_adds(&l->body, ",\"retry_at\":");
        json_write_time(&l->body, q.retry_us);
        buf_addc(&l->body, '}');
    } else {
        buf_adds(&l->body, "null");
    }
    buf_adds(&l->body, ",\"history\":[");
    for (size_t i = 0; i < n; i++) {
        buf_adds(&l->body, i ? "," : "");
        write_change(&l->body, &changes[i]);
    }
    buf_addc(&l->body, ']');
    return 0;
}

static int answer_one(struct store *s, struct lookup *l, struct arena *arena,
                      const struct view_row *rows, size_t n, struct err *err)
{
    if (n == 0) {
        l->status = 404;
        buf_adds(&l->body, "{\"error\":\"this wallet has no row\"");
    } else {
        begin_row(&l->body, &rows[0]);
    }
    if (l->history && add_history(s, l, arena, err) < 0)
        return -1;
    buf_adds(&l->body, "}\n");
    return 0;
}

static void answer_many(struct lookup *l, const struct view_row *rows, size_t n)
{
    size_t missing = 0;
    buf_adds(&l->body, "{\"balances\":[");
    for (size_t i = 0; i < n; i++) {
        buf_adds(&l->body, i ? "," : "");
        begin_row(&l->body, &rows[i]);
        buf_addc(&l->body, '}');
    }
    buf_adds(&l->body, "],\"missing\":[");
    for (size_t i = 0; i < l->n; i++) {
        char wallet[ADDRESS_TEXT];
        bool found = false;
        for (size_t k = 0; k < n && !found; k++)
            found = address_compare(&rows[k].wallet, &l->wallets[i]) == 0;
        address_text(&l->wallets[i], wallet);
        if (!found)
            buf_addf(&l->body, "%s\"%s\"", missing++ ? "," : "", wallet);
    }
    buf_adds(&l->body, "]}\n");
}

static int find_rows(struct store *s, struct db_thread_job *job, struct err *err)
{
    struct lookup *l = (struct lookup *)(void *)job;
    struct arena arena;
    struct view_row *rows;
    size_t n;
    arena_init(&arena);
    buf_clear(&l->body);
    l->status = 200;
    int rc = view_rows(
        s, &(struct view_ask){.b = l->balance, .wallets = l->wallets, .n = l->n, .arena = &arena},
        &rows, &n, err);
    if (rc == 0 && l->one)
        rc = answer_one(s, l, &arena, rows, n, err);
    else if (rc == 0)
        answer_many(l, rows, n);
    arena_free(&arena);
    return rc;
}

static int find_drift(struct store *s, struct db_thread_job *job, struct err *err)
{
    struct lookup *l = (struct lookup *)(void *)job;
    struct arena arena;
    struct view_drift *list;
    size_t n = 0;
    arena_init(&arena);
    buf_clear(&l->body);
    int rc = view_drift_latest(s, &(struct view_ask){.limit = l->limit, .arena = &arena}, &list, &n,
                               err);
    buf_adds(&l->body, "{\"drift\":[");
    for (size_t i = 0; rc == 0 && i < n; i++) {
        char wallet[ADDRESS_TEXT];
        address_text(&list[i].wallet, wallet);
        buf_addf(&l->body, "%s{\"id\":%" PRIu64 ",\"balance\":", i ? "," : "", list[i].id);
        json_write_text(&l->body, list[i].balance);
        buf_addf(&l->body, ",\"wallet\":\"%s\",\"stored\":", wallet);
        json_write_text(&l->body, list[i].stored);
        buf_adds(&l->body, ",\"actual\":");
        json_write_text(&l->body, list[i].actual);
        buf_addf(&l->body, ",\"block\":%" PRIu64 ",\"cause\":", list[i].block);
        json_write_text(&l->body, list[i].cause);
        buf_adds(&l->body, ",\"endpoint\":");
        json_write_text(&l->body, list[i].endpoint);
        write_block(&l->body, "age", list[i].has_age, list[i].age);
        buf_adds(&l->body, ",\"found_at\":");
        json_write_time(&l->body, list[i].found_us);
        buf_addc(&l->body, '}');
    }
    buf_adds(&l->body, "]}\n");
    arena_free(&arena);
    return rc;
}

static int find_top(struct store *s, struct db_thread_job *job, struct err *err)
{
    struct lookup *l = (struct lookup *)(void *)job;
    struct arena arena;
    struct view_row *rows;
    size_t n;
    arena_init(&arena);
    l->as_of_us = wall_ms() * 1000;
    int rc = view_top(s, &(struct view_ask){.b = l->balance, .limit = TOP_MOST, .arena = &arena},
                      &rows, &n, err);
    if (rc == 0) {
        l->rows = mem_zero(n + 1, sizeof *rows);
        if (n)
            memcpy(l->rows, rows, n * sizeof *rows);
        l->n_rows = n;
    }
    arena_free(&arena);
    return rc;
}

/* ---- back on the server's -------------------------------------------------------------------- */

static void free_lookup(struct lookup *l)
{
    buf_free(&l->body);
    mem_free(l->wallets);
    mem_free(l->rows);
    mem_free(l);
}

static void lookup_answer_job(struct db_thread_job *job)
{
    struct lookup *l = (struct lookup *)(void *)job;
    struct exchange *x = pending_take(l->app, l->exchange);
    if (x && job->rc < 0)
        answer_error(x, 503, "the database does not answer: %s", job->err.text);
    else if (x)
        answer_json(x, l->status, &l->body);
    free_lookup(l);
}

static void write_top(const struct top *t, size_t limit, struct buf *out)
{
    buf_adds(out, "{\"as_of\":");
    json_write_time(out, t->as_of_us);
    buf_adds(out, ",\"balances\":[");
    for (size_t i = 0; i < t->n && i < limit; i++) {
        buf_adds(out, i ? "," : "");
        begin_row(out, &t->rows[i]);
        buf_addc(out, '}');
    }
    buf_adds(out, "]}\n");
}

static void answer_top(const struct top *t, struct exchange *x, size_t limit)
{
    struct buf body = BUF_INIT(BODY_MAX);
    write_top(t, limit, &body);
    answer_json(x, 200, &body);
}

static void top_done(struct db_thread_job *job)
{
    struct lookup *l = (struct lookup *)(void *)job;
    struct app *a = l->app;
    struct top *t = &a->tops[l->index];
    t->asked = false;
    if (job->rc == 0) {
        mem_free(t->rows);
        t->rows = l->rows;
        t->n = l->n_rows;
        t->at_ms = clock_ms();
        t->as_of_us = l->as_of_us;
        l->rows = NULL;
    }
    for (size_t i = 0; i < SERVER_CONNECTIONS; i++) {
        struct pending o = a->pending[i];
        if (!o.exchange || !o.top || o.balance != l->index)
            continue;
        struct exchange *x = pending_take(a, o.exchange);
        if (x && job->rc < 0)
            answer_error(x, 503, "the database does not answer: %s", job->err.text);
        else if (x)
            answer_top(t, x, o.limit);
    }
    free_lookup(l);
}

/* ---- requests -------------------------------------------------------------------------------- */

static struct lookup *new_lookup(struct app *a, struct exchange *x, int index)
{
    struct lookup *l = mem_zero(1, sizeof *l);
    l->app = a;
    l->exchange = x ? exchange_number(x) : 0;
    l->index = index < 0 ? 0 : (size_t)index;
    l->balance = &a->facts.balances[l->index];
    l->status = 200;
    l->job.work = find_rows;
    l->job.done = lookup_answer_job;
    buf_init(&l->body, BODY_MAX);
    return l;
}

static void lookup_submit_job(struct app *a, struct exchange *x, struct lookup *l)
{
    struct pending details = {0};
    if (!pending_add(a, x, &details)) {
        free_lookup(l);
    } else if (!db_thread_submit(a->quick_db, &l->job)) {
        pending_take(a, l->exchange);
        answer_error(x, 503, "too many requests wait for the database");
        free_lookup(l);
    }
}

/* A limit between 1 and most; false, and answered, when it is none. */
static bool take_limit(struct exchange *x, const char *name, size_t most, size_t *ret)
{
    char text[32];
    uint64_t n = *ret;
    const char *given = exchange_parameter(x, name, text, sizeof text);
    if (given && (!parse_u64(given, strlen(given), &n) || n < 1 || n > most)) {
        answer_error(x, 400, "%s: \"%s\" is not a number from 1 to %zu", name, given, most);
        return false;
    }
    *ret = (size_t)n;
    return true;
}

void drift_route(struct app *a, struct exchange *x)
{
    size_t limit = 100;
    if (!take_limit(x, "limit", LATEST_MOST, &limit))
        return;
    struct lookup *l = new_lookup(a, x, -1);
    l->limit = limit;
    l->job.work = find_drift;
    lookup_submit_job(a, x, l);
}

static void top_route(struct app *a, struct exchange *x, int index)
{
    char order[32];
    size_t limit = 100;
    struct top *t = &a->tops[index];
    const char *given = exchange_parameter(x, "order", order, sizeof order);
    if (given && strcmp(given, "balance") != 0) {
        answer_error(x, 400, "order: \"%s\" is not known; balance is", given);
        return;
    }
    if (!take_limit(x, "limit", TOP_MOST, &limit))
        return;
    if (t->at_ms && clock_ms() - t->at_ms < TOP_KEPT_MS) {
        answer_top(t, x, limit);
        return;
    }
    struct pending details = {.top = true, .balance = (size_t)index, .limit = limit};
    if (!pending_add(a, x, &details) || t->asked)
        return;
    struct lookup *l = new_lookup(a, NULL, index);
    l->job.work = find_top;
    l->job.done = top_done;
    t->asked = db_thread_submit(a->scan_db, &l->job);
    if (!t->asked)
        free_lookup(l); /* the deadline answers */
}

static void one_route(struct app *a, struct exchange *x, int index, const char *wallet)
{
    char text[8];
    size_t limit = 20;
    bool history = exchange_parameter(x, "history", text, sizeof text) != NULL;
    address found;
    struct err err = {0};
    if (address_parse(wallet, strlen(wallet), &found, &err) < 0) {
        answer_error(x, 400, "%s", err.text);
        return;
    }
    if (history && !take_limit(x, "history", HISTORY_MOST, &limit))
        return;
    struct lookup *l = new_lookup(a, x, index);
    l->one = true;
    l->history = history;
    l->limit = limit;
    l->wallets = mem_alloc(sizeof found);
    l->wallets[0] = found;
    l->n = 1;
    lookup_submit_job(a, x, l);
}

/* {"wallets":[…]} into the lookup; false with the reason. */
static bool take_wallets(const struct json *doc, struct lookup *l, struct err *err)
{
    const struct json *list = json_get(doc, "wallets");
    size_t n = json_count(list);
    if (!json_is_array(list)) {
        err_set(err, ERR_USAGE, "the body is not {\"wallets\":[…]}");
        return false;
    }
    if (n > MANY_MOST) {
        err_set(err, ERR_USAGE, "%zu wallets are more than %d", n, MANY_MOST);
        return false;
    }
    l->wallets = mem_zero(n + 1, sizeof *l->wallets);
    for (const struct json *w = json_first(list); w; w = json_next(w)) {
        const char *text = json_str(w);
        if (!text) {
            err_set(err, ERR_USAGE, "wallet %zu is not a string", l->n + 1);
            return false;
        }
        if (address_parse(text, strlen(text), &l->wallets[l->n], err) < 0)
            return false;
        l->n++;
    }
    return true;
}

static void many_route(struct app *a, struct exchange *x, int index)
{
    struct err err = {0};
    const struct buf *body = exchange_body(x);
    struct json *doc = json_parse(buf_str(body), body->len, SERVER_BODY_MAX, &err);
    struct lookup *l = new_lookup(a, x, index);
    if (doc && take_wallets(doc, l, &err)) {
        lookup_submit_job(a, x, l);
    } else {
        answer_error(x, 400, "%s", err.text);
        free_lookup(l);
    }
    json_free(doc);
}

void balances_route(struct app *a, struct exchange *x, const char *rest)
{
    size_t n = strcspn(rest, "/");
    int index = facts_balance(&a->facts, rest, n);
    bool get = exchange_is(x, "GET");
    if (index < 0)
        answer_error(x, 404, "there is no balance \"%.*s\"", (int)(n < 60 ? n : 60), rest);
    else if (rest[n] == '\0' && get)
        top_route(a, x, index);
    else if (rest[n] == '\0')
        many_route(a, x, index);
    else if (get)
        one_route(a, x, index, rest + n + 1);
    else
        answer_error(x, 405, "only GET is answered here");
}
