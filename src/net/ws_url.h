/* Taking a WebSocket URL apart, and finding its proxy in the environment: pure text. */
#ifndef NET_WS_URL_H
#define NET_WS_URL_H

#include <stdbool.h>
#include <stddef.h>

struct err;

struct ws_url {
    bool secure;
    char host[256];   /* without brackets */
    char header[300]; /* for the Host header: with brackets, and the port unless it is the usual one
                       */
    int port;
    char path[2048]; /* with the query; "/" if there is none */
    char user[512];  /* "name:password", percent-decoded; empty if there is none */
};

int ws_url_parse(const char *url, struct ws_url *ret, struct err *err);

/* The proxy for this URL, "[user:password@]host:port", or "" for none. env looks names up (getenv).
 */
void ws_url_proxy(const struct ws_url *u, const char *(*env)(const char *name), char *ret,
                  size_t room);

#endif
