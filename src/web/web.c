#include "web/web.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "proc/stop.h"
#include "web/app.h"
#include "web/health.h"

#include <unistd.h>

enum { TELL_MS = 1000 };

/* Whoever waited too long for a clerk is answered without. */
static void answer_overdue(struct app *a)
{
    int64_t now = clock_ms();
    for (size_t i = 0; i < SERVER_CONNECTIONS; i++) {
        if (a->owed[i].exchange == 0 || now < a->owed[i].deadline_ms)
            continue;
        struct exchange *x = pay(a, a->owed[i].exchange);
        if (x)
            answer_error(x, 503, "the database does not answer in time");
    }
}

/* The clerks do not log: they have threads of their own. */
static void tell_troubles(struct app *a)
{
    struct known now;
    if (clock_ms() < a->tell_at_ms)
        return;
    a->tell_at_ms = clock_ms() + TELL_MS;
    knowledge_copy(&a->knowledge, &now);
    if (!now.store_ok && now.store_seen)
        log_warn("the database does not answer", LOG_STR("error", now.store_error));
    else if (now.scan_error[0])
        log_warn("the rows could not be looked at", LOG_STR("error", now.scan_error));
}

static void on_tick(void *ctx)
{
    struct app *a = ctx;
    tell_troubles(a);
    answer_overdue(a);
    history_sample(&a->history, wall_ms());
    feed_tick(a);
}

static void on_woken(void *ctx)
{
    struct app *a = ctx;
    if (a->desk)
        clerk_collect(a->desk);
    if (a->scanner)
        clerk_collect(a->scanner);
}

static void wake_server(void *ctx)
{
    struct app *a = ctx;
    server_wake(a->server);
}

static int open_all(struct app *a, struct err *err)
{
    struct server_hooks hooks = {a, route, on_woken, on_tick};
    struct clerk_round look = {&a->knowledge, knowledge_look, knowledge_failed};
    struct clerk_round scan = {&a->knowledge, knowledge_scan, knowledge_scan_failed};
    const struct conf *conf = a->conf;
    if (server_open(conf->http.listen, stop_fd(), &hooks, &a->server, err) < 0)
        return -1;
    /* The server lives longer than the clerks: they wake it. */
    return clerk_open(conf->store, "trueup web", &look, wake_server, a, &a->desk, err) < 0 ||
                   clerk_open(conf->store, "trueup web statistics", &scan, wake_server, a,
                              &a->scanner, err) < 0
               ? -1
               : 0;
}

int web_run(const struct conf *conf, struct err *err)
{
    struct app *a = mem_zero(1, sizeof *a);
    a->conf = conf;
    knowledge_init(&a->knowledge, conf);
    int rc = open_all(a, err);
    if (rc == 0) {
        log_info("serving HTTP", LOG_STR("listen", conf->http.listen),
                 LOG_STR("token", conf->http.token ? "wanted" : "none"));
        if (!conf->http.token && !server_is_local(conf->http.listen))
            log_warn("HTTP is open to other machines without a token",
                     LOG_STR("listen", conf->http.listen), LOG_STR("hint", "set http.token"));
        server_run(a->server);
    }
    bool tidy = clerk_close(a->desk);
    tidy &= clerk_close(a->scanner);
    if (!tidy)
        _exit(rc < 0); /* a clerk still hangs in the database: nothing of ours is left to save */
    server_close(a->server);
    for (size_t i = 0; i < KNOWN_BALANCES; i++)
        mem_free(a->tops[i].rows);
    mem_free(a);
    return rc;
}
