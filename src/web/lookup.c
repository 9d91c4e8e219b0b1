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
#include "web/json_values.h"

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
    struct arena arena; /* of what the database answers */
    struct buf body;
    int status;
    struct view_row *rows; /* the largest */
    size_t n_rows;
    int64_t as_of_us;
};

/* ---- writing --------------------------------------------------------------------------------- */

/* Without the closing brace. */
static void begin_row(struct buf *out, const struct view_row *r)
{
    json_begin(out, NULL, '{');
    json_add_address(out, "wallet", &r->wallet);
    json_add_text(out, "balance", r->balance);
    json_add_number_or_null(out, "observed_block", r->has_observed, r->observed_block);
    json_add_number_or_null(out, "blocknumber", r->has_blocknumber, r->blocknumber);
    json_add_time(out, "updated_at", r->updated_us);
}

static void write_rows(struct buf *out, const struct view_row *rows, size_t n)
{
    json_begin(out, "balances", '[');
    for (size_t i = 0; i < n; i++) {
        begin_row(out, &rows[i]);
        json_end(out, '}');
    }
    json_end(out, ']');
}

void write_change(struct buf *out, const struct view_change *c)
{
    json_begin(out, NULL, '{');
    json_add_number(out, "id", c->id);
    json_add_text(out, "balance", c->balance);
    json_add_address(out, "wallet", &c->wallet);
    json_add_text(out, "old", c->old);
    json_add_text(out, "new", c->new_);
    json_add_number(out, "block", c->block);
    json_add_text(out, "cause", c->cause);
    json_add_time(out, "at", c->at_us);
    json_end(out, '}');
}

static void write_drift(struct buf *out, const struct view_drift *d)
{
    json_begin(out, NULL, '{');
    json_add_number(out, "id", d->id);
    json_add_text(out, "balance", d->balance);
    json_add_address(out, "wallet", &d->wallet);
    json_add_text(out, "stored", d->stored);
    json_add_text(out, "actual", d->actual);
    json_add_number(out, "block", d->block);
    json_add_text(out, "cause", d->cause);
    json_add_text(out, "endpoint", d->endpoint);
    json_add_number_or_null(out, "age", d->has_age, d->age);
    json_add_time(out, "found_at", d->found_us);
    json_end(out, '}');
}

static void write_quarantine(struct buf *out, const struct view_quarantine *q)
{
    json_begin(out, "quarantine", '{');
    json_add_number(out, "failures", q->failures);
    json_add_text(out, "reason", q->reason);
    json_add_time(out, "retry_at", q->retry_us);
    json_end(out, '}');
}

/* ---- on the database thread ------------------------------------------------------------------ */

static int add_history(struct store *s, struct lookup *l, struct err *err)
{
    struct view_change *changes;
    struct view_quarantine q;
    bool held;
    size_t n;
    struct view_ask ask = {
        .b = l->balance, .wallets = l->wallets, .limit = l->limit, .arena = &l->arena};
    if (view_changes_latest(s, &ask, &changes, &n, err) < 0 ||
        view_quarantined(s, l->balance, l->wallets, &q, &held, err) < 0)
        return -1;
    if (held)
        write_quarantine(&l->body, &q);
    else
        json_add_text(&l->body, "quarantine", NULL);
    json_begin(&l->body, "history", '[');
    for (size_t i = 0; i < n; i++)
        write_change(&l->body, &changes[i]);
    json_end(&l->body, ']');
    return 0;
}

static int answer_one(struct store *s, struct lookup *l, const struct view_row *rows, size_t n,
                      struct err *err)
{
    if (n == 0) {
        l->status = 404;
        json_begin(&l->body, NULL, '{');
        json_add_text(&l->body, "error", "this wallet has no row");
    } else {
        begin_row(&l->body, &rows[0]);
    }
    if (l->history && add_history(s, l, err) < 0)
        return -1;
    buf_adds(&l->body, "}\n");
    return 0;
}

static void answer_many(struct lookup *l, const struct view_row *rows, size_t n)
{
    json_begin(&l->body, NULL, '{');
    write_rows(&l->body, rows, n);
    json_begin(&l->body, "missing", '[');
    for (size_t i = 0; i < l->n; i++) {
        bool found = false;
        for (size_t k = 0; k < n && !found; k++)
            found = address_equal(&rows[k].wallet, &l->wallets[i]);
        if (!found)
            json_add_address(&l->body, NULL, &l->wallets[i]);
    }
    buf_adds(&l->body, "]}\n");
}

static int find_rows(struct store *s, struct db_thread_job *job, struct err *err)
{
    struct lookup *l = (struct lookup *)(void *)job;
    struct view_ask ask = {.b = l->balance, .wallets = l->wallets, .n = l->n, .arena = &l->arena};
    struct view_row *rows;
    size_t n;
    buf_clear(&l->body);
    l->status = 200;
    if (view_rows(s, &ask, &rows, &n, err) < 0)
        return -1;
    if (l->one)
        return answer_one(s, l, rows, n, err);
    answer_many(l, rows, n);
    return 0;
}

static int find_drift(struct store *s, struct db_thread_job *job, struct err *err)
{
    struct lookup *l = (struct lookup *)(void *)job;
    struct view_ask ask = {.limit = l->limit, .arena = &l->arena};
    struct view_drift *list;
    size_t n;
    buf_clear(&l->body);
    if (view_drift_latest(s, &ask, &list, &n, err) < 0)
        return -1;
    json_begin(&l->body, NULL, '{');
    json_begin(&l->body, "drift", '[');
    for (size_t i = 0; i < n; i++)
        write_drift(&l->body, &list[i]);
    buf_adds(&l->body, "]}\n");
    return 0;
}

static int find_top(struct store *s, struct db_thread_job *job, struct err *err)
{
    struct lookup *l = (struct lookup *)(void *)job;
    struct view_ask ask = {.b = l->balance, .limit = TOP_MOST, .arena = &l->arena};
    l->as_of_us = wall_ms() * 1000;
    return view_top(s, &ask, &l->rows, &l->n_rows, err);
}

/* ---- back on the server's -------------------------------------------------------------------- */

static void free_lookup(struct lookup *l)
{
    buf_free(&l->body);
    mem_free(l->wallets);
    arena_free(&l->arena);
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

static void answer_top(const struct top *t, struct exchange *x, size_t limit)
{
    struct buf body = BUF_INIT(BODY_MAX);
    json_begin(&body, NULL, '{');
    json_add_time(&body, "as_of", t->as_of_us);
    write_rows(&body, t->rows, t->n < limit ? t->n : limit);
    buf_adds(&body, "}\n");
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
        t->rows = mem_zero(l->n_rows + 1, sizeof *t->rows);
        if (l->n_rows)
            memcpy(t->rows, l->rows, l->n_rows * sizeof *t->rows);
        t->n = l->n_rows;
        t->at_ms = clock_ms();
        t->as_of_us = l->as_of_us;
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
    l->job = (struct db_thread_job){.work = find_rows, .done = lookup_answer_job};
    arena_init(&l->arena);
    buf_init(&l->body, BODY_MAX);
    return l;
}

static void lookup_submit_job(struct app *a, struct exchange *x, struct lookup *l)
{
    if (!pending_submit(a, x, &l->job))
        free_lookup(l);
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
    l->job = (struct db_thread_job){.work = find_top, .done = top_done};
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

/* {"wallets":[…]} into the lookup. */
static int take_wallets(const struct json *doc, struct lookup *l, struct err *err)
{
    const struct json *list = json_get(doc, "wallets");
    size_t n = json_count(list);
    if (!json_is_array(list))
        return err_set(err, ERR_USAGE, "the body is not {\"wallets\":[…]}");
    if (n > MANY_MOST)
        return err_set(err, ERR_USAGE, "%zu wallets are more than %d", n, MANY_MOST);
    l->wallets = mem_zero(n + 1, sizeof *l->wallets);
    for (const struct json *w = json_first(list); w; w = json_next(w)) {
        const char *text = json_str(w);
        if (!text)
            return err_set(err, ERR_USAGE, "wallet %zu is not a string", l->n + 1);
        if (address_parse(text, strlen(text), &l->wallets[l->n], err) < 0)
            return -1;
        l->n++;
    }
    return 0;
}

static void many_route(struct app *a, struct exchange *x, int index)
{
    struct err err = {0};
    const struct buf *body = exchange_body(x);
    struct json *doc = json_parse(buf_str(body), body->len, SERVER_BODY_MAX, &err);
    struct lookup *l = new_lookup(a, x, index);
    if (doc && take_wallets(doc, l, &err) == 0) {
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
