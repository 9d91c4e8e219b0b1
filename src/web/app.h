/*
 * What the files of the web process share: the server, two database threads, what is known, and the
 * answers that are still pending. All of it belongs to the server's thread, but for what a
 * database thread's job carries.
 */
#ifndef WEB_APP_H
#define WEB_APP_H

#include "web/db_thread.h"
#include "web/facts.h"
#include "web/server.h"
#include "web/status.h"

enum { TOP_MOST = 1000, MANY_MOST = 1000, SQL_MS = 5000, LATEST_MOST = 1000 };

struct pending {       /* an exchange that waits for a database thread */
    uint64_t exchange; /* 0: free */
    int64_t deadline_ms;
    bool top; /* waits for the largest of this balance */
    size_t balance, limit;
};

struct top { /* the largest balances, as of the last look */
    struct view_row *rows;
    size_t n;
    int64_t at_ms; /* monotonic; 0: never */
    int64_t as_of_us;
    bool asked;
};

enum { EPOCH_TEXT = 40 };

struct stream {
    uint64_t exchange; /* 0: free */
    uint64_t position; /* the last id it has */
    char epoch[EPOCH_TEXT];
    int balance; /* its number in the settings; −1: all */
    bool one_wallet;
    address wallet;
};

struct app {
    const struct conf *conf;
    struct facts_store facts;
    struct server *server;
    struct db_thread *quick_db; /* short questions */
    struct db_thread *scan_db;  /* those that pass over whole tables */
    struct refresh_history history;
    struct pending pending[SERVER_CONNECTIONS];
    struct top tops[FACTS_BALANCES];
    struct stream streams[SERVER_STREAMS];
    bool feed_asked;
    int64_t feed_at_ms, tell_at_ms;
};

/* ---- answers --------------------------------------------------------------------------------- */

void answer_json(struct exchange *x, int status, struct buf *body);
void answer_error(struct exchange *x, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The exchange waits from now on; false (and answered) when too many do. */
bool pending_add(struct app *a, struct exchange *x, struct pending *ret_details);
/* It waits for a short job; false (and answered) when it cannot: then the job stays the caller's.
 */
bool pending_submit(struct app *a, struct exchange *x, struct db_thread_job *job);
/* It does not wait any more; NULL when it is gone, or was answered without. */
struct exchange *pending_take(struct app *a, uint64_t exchange);

/* ---- routes.c -------------------------------------------------------------------------------- */

void routes_answer_request(void *app, struct exchange *x);

/* ---- lookup.c: balances ---------------------------------------------------------------------- */

void balances_route(struct app *a, struct exchange *x, const char *rest);
void drift_route(struct app *a, struct exchange *x);
void write_change(struct buf *out, const struct view_change *c);

/* ---- feed.c: changes as they happen ---------------------------------------------------------- */

void changes_route(struct app *a, struct exchange *x);
void feed_tick(struct app *a);

/* ---- the page, built in ---------------------------------------------------------------------- */

struct page_file {
    const char *path, *type, *data;
    size_t n;
};
extern const struct page_file page_files[]; /* ended by {0} */

#endif
