/*
 * The object itself: opened, closed, its notices, its budget. Requests are queue.c's.
 */
#include "rpc/rpc.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "proc/counters.h"
#include "rpc/rpc_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { DEADLINE_MS = 30 * 1000 };

int rpc_open(const struct conf *conf, struct rpc **ret, struct err *err)
{
    if (conf->chain.n_endpoints == 0)
        return err_set(err, ERR_USAGE, "no endpoint is configured");
    if (conf->chain.n_endpoints > RPC_ENDPOINTS_MAX)
        return err_set(err, ERR_USAGE, "%zu endpoints are configured, %d is the most",
                       conf->chain.n_endpoints, RPC_ENDPOINTS_MAX);
    struct http *http;
    if (http_open(&http, err) < 0)
        return -1;
    struct rpc *n = mem_zero(1, sizeof *n);
    n->conf = conf;
    n->http = http;
    n->stop_fd = -1;
    n->patience_ms = DEADLINE_MS;
    n->rng.state = rng_seed_from_system();
    n->n_endpoints = conf->chain.n_endpoints;
    n->chain.expects_id = conf->chain.id != 0;
    n->chain.id = conf->chain.id;
    budget_init(&n->spending.budget, conf->budget.per_second, conf->budget.per_day, clock_ms(),
                wall_seconds());
    for (size_t i = 0; i < n->n_endpoints; i++) {
        endpoint_init(&n->endpoints[i], n, &conf->chain.endpoints[i], rng_next(&n->rng));
        counters_endpoint(i, conf->chain.endpoints[i].name);
    }
    rpc_queue_init(n);
    *ret = n;
    return 0;
}

void rpc_patience(struct rpc *n, int64_t ms)
{
    n->patience_ms = ms;
}

void rpc_use_one_connection(struct rpc *n)
{
    http_use_one_connection(n->http);
}

void rpc_close(struct rpc *n)
{
    if (!n)
        return;
    rpc_queue_free(n);
    http_close(n->http);
    mem_free(n);
}

/* ---- endpoints ------------------------------------------------------------------------------- */

size_t rpc_endpoints(const struct rpc *n)
{
    return n->n_endpoints;
}

struct endpoint *rpc_endpoint(struct rpc *n, size_t i)
{
    return i < n->n_endpoints ? &n->endpoints[i] : NULL;
}

struct endpoint *rpc_find_endpoint(struct rpc *n, const char *name)
{
    for (size_t i = 0; i < n->n_endpoints; i++)
        if (strcmp(endpoint_name(&n->endpoints[i]), name) == 0)
            return &n->endpoints[i];
    return NULL;
}

struct rpc_traffic rpc_traffic(const struct rpc *n)
{
    struct rpc_traffic all = {0};
    for (size_t i = 0; i < n->n_endpoints; i++) {
        const struct endpoint_counters *c = &n->endpoints[i].counters;
        all.requests += c->requests;
        all.bytes_out += c->bytes_out;
        all.bytes_in += c->bytes_in;
    }
    return all;
}

/* ---- notices --------------------------------------------------------------------------------- */

void rpc_notify(struct rpc *n, const struct endpoint *e, const char *message, const char *why)
{
    struct rpc_notice now = {.message = message, .endpoint = e ? endpoint_name(e) : NULL};
    snprintf(now.why, sizeof now.why, "%.199s", why);
    if (n->on_notice) {
        n->on_notice(&now);
        return;
    }
    if (n->n_notices == NOTICES)
        memmove(n->notices, n->notices + 1, --n->n_notices * sizeof *n->notices);
    n->notices[n->n_notices++] = now;
}

void rpc_on_notice(struct rpc *n, void (*told)(const struct rpc_notice *notice))
{
    n->on_notice = told;
}

bool rpc_take_notice(struct rpc *n, struct rpc_notice *ret)
{
    if (n->n_notices == 0)
        return false;
    *ret = n->notices[0];
    memmove(n->notices, n->notices + 1, --n->n_notices * sizeof *n->notices);
    return true;
}

/* ---- the budget ------------------------------------------------------------------------------ */

bool rpc_may_spend(struct rpc *n, enum rpc_lane lane, int64_t *ret_wait_ms)
{
    bool day;
    char why[160];
    static const char *const words[LANES] = {
        [RPC_LIVE] = "nothing is asked",
        [RPC_CATCHUP] = "catching up and the sweep stop",
        [RPC_SWEEP] = "the sweep stops",
    };
    int64_t wait = budget_wait(&n->spending.budget, lane, clock_ms(), wall_seconds(), &day);
    if (ret_wait_ms)
        *ret_wait_ms = day ? wait : 0;
    if (day && !n->spending.day_noticed[lane]) {
        snprintf(why, sizeof why,
                 "%" PRIu64 " of budget.per_day's %" PRIu64 " units are spent: %s until 00:00 UTC",
                 n->spending.budget.spent + n->spending.budget.others, n->spending.budget.per_day,
                 words[lane]);
        rpc_notify(n, NULL, "the day's budget is short", why);
    }
    n->spending.day_noticed[lane] = day;
    return !day;
}

struct budget *rpc_budget(struct rpc *n)
{
    return &n->spending.budget;
}

void rpc_stop_on(struct rpc *n, int fd)
{
    n->stop_fd = fd;
    n->stop_asked = false;
}

bool rpc_stop_asked(const struct rpc *n)
{
    return n->stop_asked;
}
