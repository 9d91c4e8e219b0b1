/* Which path is answered by whom, and who may ask. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "web/app.h"
#include "web/json_values.h"
#include "web/metrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- answers --------------------------------------------------------------------------------- */

void answer_json(struct exchange *x, int status, struct buf *body)
{
    exchange_answer(x, status, "application/json", NULL, body);
}

void answer_error(struct exchange *x, int status, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    struct buf body = BUF_INIT(4096);
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    json_begin(&body, NULL, '{');
    json_add_text(&body, "error", text);
    buf_adds(&body, "}\n");
    exchange_answer(x, status, "application/json",
                    status == 401   ? "WWW-Authenticate: Bearer\r\n"
                    : status == 405 ? "Allow: GET, HEAD, POST\r\n"
                                    : NULL,
                    &body);
}

bool pending_add(struct app *a, struct exchange *x, struct pending *details)
{
    for (size_t i = 0; i < SERVER_CONNECTIONS; i++)
        if (a->pending[i].exchange == 0) {
            a->pending[i] = *details;
            a->pending[i].exchange = exchange_number(x);
            a->pending[i].deadline_ms = clock_ms() + SQL_MS;
            return true;
        }
    answer_error(x, 503, "too many requests wait for the database");
    return false;
}

bool pending_submit(struct app *a, struct exchange *x, struct db_thread_job *job)
{
    uint64_t number = exchange_number(x);
    if (!pending_add(a, x, &(struct pending){0}))
        return false;
    if (db_thread_submit(a->quick_db, job))
        return true;
    pending_take(a, number);
    answer_error(x, 503, "too many requests wait for the database");
    return false;
}

struct exchange *pending_take(struct app *a, uint64_t exchange)
{
    for (size_t i = 0; i < SERVER_CONNECTIONS; i++)
        if (a->pending[i].exchange == exchange) {
            a->pending[i].exchange = 0;
            return server_exchange(a->server, exchange);
        }
    return NULL;
}

/* ---- health ---------------------------------------------------------------------------------- */

/* 200, or 503 with what stands against it. */
static void answer_reasons(struct app *a, struct exchange *x,
                           void (*judge)(const struct health *h, struct reasons *ret))
{
    struct health h;
    struct reasons r = {0};
    struct buf body = BUF_INIT(16384);
    health_take(&h, &a->facts, true);
    if (judge)
        judge(&h, &r);
    size_t against = reasons_against(&r);
    if (against == 0)
        buf_adds(&body, "ok\n");
    for (size_t i = 0; i < r.n; i++)
        buf_addf(&body, "%s\n", r.list[i].text);
    exchange_answer(x, against ? 503 : 200, "text/plain; charset=utf-8", NULL, &body);
}

static void add_lag(const struct health *h, uint64_t most_s, struct reasons *r)
{
    uint64_t at = counters_get(PART_FOLLOW, CELL_EVENT_AT) / 1000;
    int64_t lag = h->now_ms / 1000 - (int64_t)at;
    if (most_s > 0 && at > 0 && lag > (int64_t)most_s)
        reasons_add(r, RED, "no event for %" PRId64 " seconds, at most %" PRIu64 " are allowed",
                    lag, most_s);
}

static void write_eth_health(const struct health *h, const struct reasons *errors, struct buf *out)
{
    json_begin(out, NULL, '{');
    json_begin(out, "data", '{');
    json_add_bool(out, "connected", h->subscribed);
    json_add_bool(out, "rpc_configured", h->configured);
    json_add_number(out, "last_block_seen", counters_get(PART_FOLLOW, CELL_EVENT_BLOCK));
    json_add_number(out, "checkpoint_block",
                    h->facts.n_balances ? h->facts.balances[0].checkpoint : 0);
    json_add_milliseconds(out, "last_event_at", counters_get(PART_FOLLOW, CELL_EVENT_AT));
    if (errors->n > 0)
        json_begin(out, "errors", '[');
    for (size_t i = 0; i < errors->n; i++)
        json_add_text(out, NULL, errors->list[i].text);
    if (errors->n > 0)
        json_end(out, ']');
    buf_adds(out, "}}\n");
}

enum { EVENT_LAG_S = 600 };

/* As the Go service takes it: nothing or 0 is its default, a negative number turns the check off.
 */
static bool route_read_lag(const char *text, uint64_t *ret)
{
    uint64_t n = 0;
    bool negative = text[0] == '-';
    if (text[0] == '\0')
        return true;
    if (!parse_u64(text + negative, strlen(text + negative), &n))
        return false;
    if (n > 0)
        *ret = negative ? 0 : n;
    return true;
}

static void eth_health(struct app *a, struct exchange *x)
{
    struct health h;
    struct reasons r = {0}, errors = {0};
    char text[32];
    uint64_t most = EVENT_LAG_S;
    const char *lag = exchange_parameter(x, "max_event_lag_secs", text, sizeof text);
    if (lag && !route_read_lag(lag, &most)) {
        answer_error(x, 400, "max_event_lag_secs: \"%s\" is not a number of seconds", lag);
        return;
    }
    health_take(&h, &a->facts, true);
    if (h.configured)
        health_store(&h, &r);
    if (r.n > 0) {
        answer_error(x, 500, "%s", r.list[0].text);
        return;
    }
    health_following(&h, &r);
    add_lag(&h, most, &r);
    for (size_t i = 0; i < r.n; i++)
        if (r.list[i].colour == RED)
            errors.list[errors.n++] = r.list[i];
    struct buf body = BUF_INIT(16384);
    write_eth_health(&h, &errors, &body);
    answer_json(x, errors.n ? 500 : 200, &body);
}

/* ---- the rest that needs no SQL -------------------------------------------------------------- */

static void route_answer_metrics(struct app *a, struct exchange *x)
{
    struct health h;
    struct buf body = BUF_INIT(METRICS_MAX);
    health_take(&h, &a->facts, true);
    metrics_write(&h, &body);
    exchange_answer(x, 200, "text/plain; version=0.0.4; charset=utf-8", NULL, &body);
}

static void route_answer_status(struct app *a, struct exchange *x)
{
    struct health h;
    char text[8];
    struct buf body = BUF_INIT(STATUS_MAX);
    const char *history = exchange_parameter(x, "history", text, sizeof text);
    health_take(&h, &a->facts, true);
    status_write(&h, a->conf, &a->history, history && strcmp(history, "1") == 0, &body);
    answer_json(x, 200, &body);
}

static void route_answer_page(struct exchange *x, const struct page_file *f)
{
    struct buf body = BUF_INIT(f->n + 1);
    buf_add(&body, f->data, f->n);
    exchange_answer(x, 200, f->type,
                    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src "
                    "'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action "
                    "'none'; frame-ancestors 'none'\r\n",
                    &body);
}

/* ---- who may ask what ------------------------------------------------------------------------ */

static const struct {
    const char *path;
    bool health; /* open without the token, unless http.protect_health */
    void (*answer)(struct app *a, struct exchange *x);
    void (*judge)(const struct health *h, struct reasons *ret); /* without an answer of its own */
    const char *parameters;                                     /* NULL: any is passed over */
} table[] = {
    {"/livez", true, NULL, NULL},
    {"/readyz", true, NULL, health_ready},
    {"/freshz", false, NULL, health_fresh},
    {"/eth/health", true, eth_health, NULL},
    {"/metrics", false, route_answer_metrics, NULL},
    {"/v1/status", false, route_answer_status, NULL, "history"},
    {"/v1/drift", false, drift_route, NULL, "limit"},
    {"/v1/changes", false, changes_route, NULL, "recent balance wallet"},
};

/* In the same time whatever differs. */
static bool same_secret(const char *given, const char *wanted)
{
    size_t n = strlen(given), m = strlen(wanted);
    unsigned char differs = n != m;
    for (size_t i = 0; i < n; i++)
        differs |= (unsigned char)(given[i] ^ wanted[m ? i % m : 0]);
    return !differs;
}

static bool may_ask(const struct app *a, const struct exchange *x)
{
    const char *given = exchange_header(x, "authorization");
    if (!a->conf->http.token)
        return true;
    return strncmp(given, "Bearer ", 7) == 0 && same_secret(given + 7, a->conf->http.token);
}

static bool route_is_allowed(struct app *a, struct exchange *x, bool health)
{
    if ((health && !a->conf->http.protect_health) || may_ask(a, x))
        return true;
    answer_error(x, 401, "this wants the header Authorization: Bearer, with the token");
    return false;
}

static bool is_get(struct exchange *x)
{
    if (exchange_is(x, "GET"))
        return true;
    answer_error(x, 405, "only GET is answered here");
    return false;
}

/* A mistyped parameter would be passed over in silence, and another answer given than asked for. */
static bool route_knows_parameters(struct exchange *x, const char *known)
{
    char name[64];
    const char *unknown = known ? exchange_unknown_parameter(x, known, name, sizeof name) : NULL;
    if (unknown)
        answer_error(x, 400, "there is no parameter \"%s\"; known: %s", unknown, known);
    return !unknown;
}

void routes_answer_request(void *app, struct exchange *x)
{
    struct app *a = app;
    const char *path = exchange_path(x);
    if (strcmp(path, "/eth/health/") == 0) /* some of the first user's monitors write it so */
        path = "/eth/health";
    static const char balances[] = "/v1/balances/";
    for (const struct page_file *f = page_files; f->path; f++)
        if (strcmp(path, f->path) == 0) {
            if (is_get(x))
                route_answer_page(x, f);
            return;
        }
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (strcmp(path, table[i].path) == 0) {
            if (!is_get(x) || !route_is_allowed(a, x, table[i].health))
                return;
            if (!route_knows_parameters(x, table[i].parameters))
                return;
            if (table[i].answer)
                table[i].answer(a, x);
            else
                answer_reasons(a, x, table[i].judge);
            return;
        }
    if (!route_is_allowed(a, x, false))
        return;
    if (strncmp(path, balances, sizeof balances - 1) == 0 &&
        !route_knows_parameters(x, strchr(path + sizeof balances - 1, '/') ? "history"
                                                                           : "order limit"))
        return;
    if (strncmp(path, balances, sizeof balances - 1) == 0)
        balances_route(a, x, path + sizeof balances - 1);
    else
        answer_error(x, 404, "there is nothing at this path");
}
