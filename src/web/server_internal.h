/*
 * What the files of the HTTP server share. Connections are accepted here and then adopted by
 * libwebsockets, so that the ceiling on them is ours: its own accept loop simply stops taking new
 * ones, and then whoever holds connections open keeps the others out.
 *
 *   server.c         the loop, and libwebsockets' callbacks
 *   server_listen.c  the address
 *   server_exchanges.c  who may stay, and who goes
 *   server_answer.c  what goes out
 */
#ifndef WEB_SERVER_INTERNAL_H
#define WEB_SERVER_INTERNAL_H

#include "web/server.h"

#include <libwebsockets.h>

enum { SPARE = 64 }; /* places kept free, and connections accepted at a time */

enum exchange_state {
    WAITING, /* for a request, or in the middle of its header */
    BODY,
    HANDLED,   /* the answer will come */
    ANSWERING, /* head and body are going out */
    STREAMING,
};

struct exchange {
    struct server *server;
    struct lws *wsi; /* NULL: a free slot */
    enum exchange_state state;
    uint64_t number;
    int64_t since_ms; /* in this state's request, or since the last one ended */
    bool is_get, is_head, head_sent, doomed;
    char path[SERVER_PATH_MAX], query[SERVER_PATH_MAX];
    char authorization[SERVER_VALUE_MAX], last_event_id[SERVER_VALUE_MAX];
    struct buf body;
    int status;
    const char *type;
    char headers[SERVER_VALUE_MAX];
    struct buf out;
    size_t sent;
    int64_t said_ms;
};

struct server {
    struct lws_context *context;
    struct lws_vhost *vhost;
    struct server_hooks hooks;
    int listening, stop_fd;
    bool stop;
    uint64_t last_number;
    lws_sorted_usec_list_t timer;
    struct exchange *exchanges; /* SERVER_CONNECTIONS of them */
};

/* ---- server_listen.c: -1 with err set -------------------------------------------------------- */

int listen_on(const char *listen, struct err *err);

/* ---- server_exchanges.c -------------------------------------------------------------------------
 */

/* Its place; NULL: none. wsi NULL: a free one. */
struct exchange *exchange_find(struct server *s, const struct lws *wsi);
void exchange_forget(struct exchange *x);
/* Ready for the next request on this connection. */
void exchange_next(struct exchange *x);
/* It goes soon, for what its client did or left undone. */
void exchange_doom(struct exchange *x);
/* Whoever waits at the door comes in. */
void accept_all(struct server *s);
/* Requests that took too long, and streams nobody listens to any more, go. */
void look_at_places(struct server *s);

/* ---- server_answer.c ------------------------------------------------------------------------- */

/* More of the answer can be written; -1: the connection ends. */
int answer_writeable(struct exchange *x);
void answer_short(struct exchange *x, int status, const char *text);

#endif
