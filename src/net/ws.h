/*
 * One WebSocket connection, as a client, on one thread.
 *
 * ws_open() begins to connect, ws_wait() moves bytes until something happened: the state changed, a
 * message came (handed to on_message, whole, however it was fragmented), time is up, or wake_fd is
 * readable. A connection that ended stays ended: connecting again, and when, is the caller's
 * business.
 *
 * Certificates are always verified, against the system's authorities or SSL_CERT_FILE. Proxies come
 * from the environment, as for HTTP (net/http.h): http_proxy for ws, https_proxy for wss,
 * all_proxy, no_proxy. The peer is pinged; one that does not answer is hung up on. A message above
 * the ceiling ends the connection.
 *
 * Names are resolved by the C library, which may block for as long as it likes: only a process that
 * can afford that (and can be killed meanwhile) should use this.
 */
#ifndef NET_WS_H
#define NET_WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct ws;

enum { WS_TEXT = 300, WS_SEND_MAX = 256 * 1024 };

struct ws_ask {
    const char *url; /* ws:// or wss://; not needed after ws_open() */
    size_t message_max;
    int ping_s;  /* idle for so long: a ping; no answer in twice that: the end. 0: none */
    int wake_fd; /* readable: ws_wait() returns; −1: none. Stays the caller's */
    void (*on_message)(void *ctx, const char *text, size_t n); /* text has a NUL behind it */
    void *ctx;
};

enum ws_state { WS_CONNECTING, WS_OPEN, WS_CLOSED };

/* −1 when the URL or the system will not do; a peer that cannot be reached shows as WS_CLOSED. */
int ws_open(const struct ws_ask *ask, struct ws **ret, struct err *err);
void ws_close(struct ws *w); /* at once, without a farewell; NULL is fine */

/* Queues a text message; it leaves in ws_wait(). −1 above WS_SEND_MAX bytes waiting. */
int ws_send(struct ws *w, const char *text, size_t n, struct err *err);

/* Returns at the monotonic deadline at the latest, or earlier for no reason; at once when the
 * connection has ended. */
void ws_wait(struct ws *w, int64_t deadline_ms);
enum ws_state ws_state(const struct ws *w);
const char *ws_why(const struct ws *w); /* the end in words, without the URL's secrets */

#endif
