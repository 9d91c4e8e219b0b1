#include "web/web.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "proc/stop.h"
#include "web/app.h"

#include <unistd.h>

enum { TELL_MS = 1000 };

/* Whoever waited too long for a database thread is answered without. */
static void answer_overdue(struct app *a)
{
    int64_t now = clock_ms();
    for (size_t i = 0; i < SERVER_CONNECTIONS; i++) {
        if (a->pending[i].exchange == 0 || now < a->pending[i].deadline_ms)
            continue;
        struct exchange *x = pending_take(a, a->pending[i].exchange);
        if (x)
            answer_error(x, 503, "the database does not answer in time");
    }
}

/* The database threads do not log: they have threads of their own. */
static void tell_troubles(struct app *a)
{
    struct facts now;
    if (clock_ms() < a->tell_at_ms)
        return;
    a->tell_at_ms = clock_ms() + TELL_MS;
    facts_copy(&a->facts, &now);
    if (!now.store_ok && now.store_seen)
        log_warn("the database does not answer", LOG_STR("error", now.store_error));
    else if (now.scan_error[0])
        log_warn("row statistics failed", LOG_STR("error", now.scan_error));
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
    if (a->quick_db)
        db_thread_collect(a->quick_db);
    if (a->scan_db)
        db_thread_collect(a->scan_db);
}

static void wake_server(void *ctx)
{
    struct app *a = ctx;
    server_wake(a->server);
}

static int open_all(struct app *a, struct err *err)
{
    struct server_hooks hooks = {a, routes_answer_request, on_woken, on_tick};
    struct db_thread_round look = {&a->facts, facts_look, facts_failed};
    struct db_thread_round scan = {&a->facts, facts_scan, facts_scan_failed};
    const struct conf *conf = a->conf;
    if (server_open(conf->http.listen, stop_fd(), &hooks, &a->server, err) < 0)
        return -1;
    /* The server lives longer than the database threads: they wake it. */
    struct db_thread_owner quick_db = {conf->store, conf->schema, "trueup web", wake_server, a};
    struct db_thread_owner scan_db = {conf->store, conf->schema, "trueup web statistics",
                                      wake_server, a};
    if (db_thread_open(&quick_db, &look, &a->quick_db, err) < 0)
        return -1;
    return db_thread_open(&scan_db, &scan, &a->scan_db, err);
}

int web_run(const struct conf *conf, struct err *err)
{
    struct app *a = mem_zero(1, sizeof *a);
    a->conf = conf;
    facts_init(&a->facts, conf);
    int rc = open_all(a, err);
    if (rc == 0) {
        log_info("serving HTTP", LOG_STR("listen", conf->http.listen),
                 LOG_STR("token", conf->http.token ? "wanted" : "none"));
        if (!conf->http.token && !server_is_local(conf->http.listen))
            log_warn("HTTP is open to other machines without a token",
                     LOG_STR("listen", conf->http.listen), LOG_STR("hint", "set http.token"));
        server_run(a->server);
    }
    bool tidy = db_thread_close(a->quick_db);
    tidy &= db_thread_close(a->scan_db);
    if (!tidy)
        _exit(
            rc <
            0); /* a database thread still hangs in the database: nothing of ours is left to save */
    server_close(a->server);
    for (size_t i = 0; i < FACTS_BALANCES; i++)
        mem_free(a->tops[i].rows);
    mem_free(a);
    return rc;
}
