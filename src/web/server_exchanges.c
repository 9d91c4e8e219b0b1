#include "base/clock.h"
#include "base/mem.h"
#include "proc/counters.h"
#include "web/server_internal.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ANSWER_MAX = 16 * 1024 * 1024,
    STREAM_SILENCE_MS = 15000, /* a comment then, so that a dead client shows itself */
    UNACKNOWLEDGED_MS = 30000, /* what a peer may leave unfetched, or its machine unheard of */
};

struct exchange *exchange_find(struct server *s, const struct lws *wsi)
{
    for (size_t i = 0; i < SERVER_CONNECTIONS; i++)
        if (s->exchanges[i].wsi == wsi)
            return &s->exchanges[i];
    return NULL;
}

void exchange_forget(struct exchange *x)
{
    struct server *s = x->server;
    buf_free(&x->body);
    buf_free(&x->out);
    *x = (struct exchange){.server = s};
}

void exchange_next(struct exchange *x)
{
    buf_free(&x->body);
    buf_free(&x->out);
    buf_init(&x->body, SERVER_BODY_MAX);
    buf_init(&x->out, ANSWER_MAX);
    x->state = WAITING;
    x->number = ++x->server->last_number;
    x->since_ms = clock_ms();
    x->sent = 0;
    x->head_sent = false;
}

/* Not at once: libwebsockets may be in the middle of it. */
static void let_go(struct exchange *x)
{
    x->doomed = true;
    lws_set_timeout(x->wsi, PENDING_TIMEOUT_KILLED_BY_PARENT, LWS_TO_KILL_ASYNC);
}

/* For what a client did, or left undone. */
void exchange_doom(struct exchange *x)
{
    if (x->doomed)
        return;
    counters_add(CELL_HTTP_REFUSED, 1);
    let_go(x);
}

struct waiting {
    struct exchange *x;
    bool unread; /* it has said something that was not read yet */
};

static int exchange_is_older(const void *a, const void *b)
{
    int64_t x = ((const struct waiting *)a)->x->since_ms,
            y = ((const struct waiting *)b)->x->since_ms;
    return (x > y) - (x < y);
}

/* Those without a whole request, oldest first. *ret_staying: all that are not going already. */
static size_t list_waiting(struct server *s, struct waiting *list, size_t *ret_staying)
{
    struct pollfd p[SERVER_CONNECTIONS];
    size_t n = 0;
    *ret_staying = 0;
    for (size_t i = 0; i < SERVER_CONNECTIONS; i++) {
        struct exchange *x = &s->exchanges[i];
        if (!x->wsi || x->doomed)
            continue;
        (*ret_staying)++;
        if (x->state != WAITING && x->state != BODY)
            continue;
        p[n] = (struct pollfd){.fd = lws_get_socket_fd(x->wsi), .events = POLLIN};
        list[n++].x = x;
    }
    bool heard = poll(p, n, 0) > 0;
    for (size_t i = 0; i < n; i++)
        list[i].unread = heard && (p[i].revents & POLLIN);
    qsort(list, n, sizeof *list, exchange_is_older);
    return n;
}

/* Places are made ahead of time, since who is let go goes a little later: at the cost of those that
 * have waited longest without asking anything, and last of those whose words were not read yet. */
static void make_room(struct server *s)
{
    struct waiting list[SERVER_CONNECTIONS];
    size_t staying, n = list_waiting(s, list, &staying), going = 0;
    if (staying + SPARE <= SERVER_CONNECTIONS)
        return;
    size_t excess = staying + SPARE - SERVER_CONNECTIONS;
    for (int unread = 0; unread < 2; unread++)
        for (size_t i = 0; i < n && going < excess; i++)
            if (list[i].unread == unread) {
                exchange_doom(list[i].x);
                going++;
            }
}

/* *ret_going: places that will be free in a moment. */
static size_t free_places(const struct server *s, size_t *ret_going)
{
    size_t n = 0;
    *ret_going = 0;
    for (size_t i = 0; i < SERVER_CONNECTIONS; i++) {
        n += s->exchanges[i].wsi == NULL;
        *ret_going += s->exchanges[i].doomed;
    }
    return n;
}

/* ---- coming in ------------------------------------------------------------------------------- */

static void exchange_enter(struct server *s, int fd)
{
    struct exchange *x = exchange_find(s, NULL);
    int one = 1, patience = UNACKNOWLEDGED_MS;
    if (!x) {
        close(fd);
        counters_add(CELL_HTTP_REFUSED, 1);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &patience, sizeof patience);
    /* On failure the descriptor is closed there. */
    struct lws *wsi = lws_adopt_socket_vhost(s->vhost, fd);
    if (!wsi)
        return;
    x->wsi = wsi;
    exchange_next(x);
    lws_set_timeout(wsi, PENDING_TIMEOUT_ESTABLISH_WITH_SERVER, SERVER_HEADER_S);
}

/* Whoever finds no place waits in the kernel's queue while one is being made, and is turned away
 * when none can be: then all of them are being answered. */
void accept_all(struct server *s)
{
    size_t going, places = free_places(s, &going);
    for (size_t i = 0; i < SPARE && (places > i || going == 0); i++) {
        int fd = accept4(s->listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            break;
        exchange_enter(s, fd);
    }
    make_room(s);
}

/* ---- going ----------------------------------------------------------------------------------- */

/* Streams whose client hung up: libwebsockets does not read while it is answering, so it would
 * learn of it with the next write only, and meanwhile they would keep the places of others. */
static void look_for_departed(struct server *s)
{
    struct pollfd p[SERVER_STREAMS];
    struct exchange *streams[SERVER_STREAMS];
    nfds_t n = 0;
    for (size_t i = 0; i < SERVER_CONNECTIONS && n < SERVER_STREAMS; i++) {
        struct exchange *x = &s->exchanges[i];
        if (!x->wsi || x->state != STREAMING || x->doomed)
            continue;
        p[n] = (struct pollfd){.fd = lws_get_socket_fd(x->wsi), .events = POLLRDHUP};
        streams[n++] = x;
    }
    if (n == 0 || poll(p, n, 0) <= 0)
        return;
    for (nfds_t i = 0; i < n; i++)
        if (p[i].revents & (POLLRDHUP | POLLHUP | POLLERR))
            let_go(streams[i]);
}

/* Requests that take too long, streams that went silent. */
static void look_at_clocks(struct server *s)
{
    int64_t now = clock_ms();
    for (size_t i = 0; i < SERVER_CONNECTIONS; i++) {
        struct exchange *x = &s->exchanges[i];
        int64_t waits = now - x->since_ms;
        if (!x->wsi)
            continue;
        if (x->state == STREAMING && now - x->said_ms > STREAM_SILENCE_MS) {
            x->said_ms = now;
            exchange_send(x, ": still here\n\n", 14);
        } else if (x->state != STREAMING &&
                   waits > (x->state == WAITING ? SERVER_IDLE_S : SERVER_REQUEST_S) * 1000) {
            exchange_doom(x);
        }
    }
}

void look_at_places(struct server *s)
{
    look_for_departed(s);
    look_at_clocks(s);
}
