/*
 * An HTTP/1.1 server for few clients and many attackers: libwebsockets does the protocol, this file
 * the limits. One thread, one loop.
 *
 *   connections   at most SERVER_CONNECTIONS; the next one displaces the one that has waited
 *                 longest without asking anything, so slow clients only hurt each other
 *   a request     its header 4 KB and SERVER_HEADER_S seconds, its body 64 KB, all of it
 *                 SERVER_REQUEST_S seconds, from the first byte in to the last byte out
 *   a stream      SERVER_STREAMS of them, and 256 KB that a slow reader has not fetched
 *
 * A handler answers at once, or keeps the exchange's number and answers later, on the same thread;
 * if the client went away meanwhile, the answer goes nowhere.
 */
#ifndef WEB_SERVER_H
#define WEB_SERVER_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct server;
struct exchange;

enum {
    SERVER_CONNECTIONS = 256,
    SERVER_STREAMS = 64,
    SERVER_HEADER_S = 5,
    SERVER_IDLE_S = 15,
    SERVER_REQUEST_S = 20,
    SERVER_BODY_MAX = 64 * 1024,
    SERVER_UNFETCHED_MAX = 256 * 1024,
    SERVER_PATH_MAX = 1024,
    SERVER_VALUE_MAX = 512,
};

struct server_hooks {
    void *ctx;
    /* A whole request has come. */
    void (*handle)(void *ctx, struct exchange *x);
    /* On the server's thread, soon after server_wake() from any thread. */
    void (*woken)(void *ctx);
    /* Every 100 ms. */
    void (*tick)(void *ctx);
};

/* listen: "127.0.0.1:1325", "[::1]:1325", ":1325". stop_fd: readable when it is time to end. */
int server_open(const char *listen, int stop_fd, const struct server_hooks *hooks,
                struct server **ret, struct err *err);
void server_close(struct server *s);
/* Until stop_fd is readable. */
void server_run(struct server *s);
void server_wake(struct server *s); /* from any thread */

/* "[::1]:80", "127.0.0.1:80" or ":80" into host ("" for any) and port. */
bool server_split_listen(const char *listen, char *host, size_t room, const char **port);
/* Is the address only reachable from this machine? */
bool server_is_local(const char *listen);

/* ---- a request ------------------------------------------------------------------------------- */

bool exchange_is(const struct exchange *x, const char *method); /* HEAD counts as GET */
const char *exchange_path(const struct exchange *x);
const char *exchange_header(const struct exchange *x, const char *name); /* "authorization",
                                                                             "last-event-id" */
/* A parameter of the query, decoded; NULL if it is not there. Into room. */
const char *exchange_parameter(const struct exchange *x, const char *name, char *ret, size_t room);
/* The first parameter that is none of the known ones, a blank between them; NULL if there is none.
 */
const char *exchange_unknown_parameter(const struct exchange *x, const char *known, char *ret,
                                       size_t room);
const struct buf *exchange_body(const struct exchange *x);
uint64_t exchange_number(const struct exchange *x);
struct exchange *server_exchange(struct server *s, uint64_t number); /* NULL: it is gone */

/* ---- its answer ------------------------------------------------------------------------------ */

/* Takes the body over (and leaves it empty). headers: further lines, each ended by \r\n; may be
 * NULL. */
void exchange_answer(struct exchange *x, int status, const char *type, const char *headers,
                     struct buf *body);
/* Begins a stream of Server-Sent Events; false when there are too many (answered with 503). */
bool exchange_stream(struct exchange *x);
/* More of the stream. A reader too slow for it is dropped. */
void exchange_send(struct exchange *x, const char *text, size_t n);

#endif
