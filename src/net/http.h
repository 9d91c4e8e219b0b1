/*
 * HTTP and HTTPS requests, many at a time, on one thread.
 *
 * Connections are kept and shared, HTTP/2 is used where TLS offers it, replies may be compressed,
 * proxies come from the environment as curl reads it (http_proxy, https_proxy, all_proxy,
 * no_proxy), certificates are always verified, against the system's authorities or SSL_CERT_FILE. A
 * redirect is not followed: it is an answer of its own kind, since a request carries a key in its
 * URL.
 *
 * The process ignores SIGPIPE: TLS writes to a closed connection would raise it.
 *
 * A transfer and its buffers are used again and again, so a request in the steady state allocates
 * nothing here. Every reply has a ceiling, held while it arrives and after decompression.
 */
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct http;
struct http_transfer;

enum { HTTP_TRANSFERS_MAX = 128, HTTP_TEXT = 400 };

/* What the text of an https request ends with where the port does not speak TLS; behind it the URL
 * that may be meant. */
#define HTTP_NO_TLS ": the port does not speak TLS, is it "

enum http_trouble {
    HTTP_FINE,          /* a whole reply came, whatever its status */
    HTTP_NO_CONNECTION, /* refused, not resolved: the request was not sent */
    HTTP_BROKEN,        /* the connection or the reply ended in the middle */
    HTTP_TIMED_OUT,
    HTTP_TOO_LARGE, /* the reply went over reply_max */
    HTTP_REDIRECT,  /* text says where to, masked */
    HTTP_UNTRUSTED, /* the certificate or TLS itself */
    HTTP_BAD_URL,   /* not http or https, or malformed */
};

struct http_post {
    const char *url;
    const char *body; /* JSON; not copied: must stay until the reply is taken or cancelled */
    size_t body_len;
    int64_t deadline_ms; /* monotonic */
    size_t reply_max;
    void *user; /* comes back in the reply */
};

struct http_reply {
    void *user;
    enum http_trouble trouble;
    int status;       /* 0 when none arrived */
    const char *body; /* NUL after body_len; what came, also in trouble; until http_reply_done() */
    size_t body_len;
    int64_t retry_after_ms; /* the Retry-After header, seconds or date; −1 if there is none */
    uint64_t bytes_out, bytes_in; /* on the wire, headers included, TLS not */
    char text[HTTP_TEXT];         /* the trouble in words, without the URL's secrets */
    struct http_transfer *transfer;
};

int http_open(struct http **ret, struct err *err);
/* From now on one connection to each host: requests arrive in the order in which they are sent. */
void http_use_one_connection(struct http *h);
void http_close(struct http *h); /* drops what is in flight */

/* Starts a transfer. *ret is good for http_cancel() until the reply is taken. */
int http_post(struct http *h, const struct http_post *post, struct http_transfer **ret,
              struct err *err);
/* The transfer is over at once; its reply never comes. */
void http_cancel(struct http *h, struct http_transfer *t);

/* Moves bytes until a reply is ready, timeout_ms have passed, or wake_fd (−1: none) is readable.
 * Returns at once when a reply is ready already. */
int http_wait(struct http *h, int timeout_ms, int wake_fd, bool *ret_woken, struct err *err);
/* Moves bytes without waiting: lets what was just posted leave now. */
int http_kick(struct http *h, struct err *err);
/* The next finished reply, in the order of finishing. False if there is none. */
bool http_take(struct http *h, struct http_reply *ret);
void http_reply_done(struct http *h, struct http_reply *r);

#endif
