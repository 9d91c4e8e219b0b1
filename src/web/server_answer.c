#include "base/clock.h"
#include "base/mem.h"
#include "web/server_internal.h"

#include <stdio.h>
#include <string.h>

enum { WRITE_CHUNK = 32 * 1024 };

static const char *const security =
    "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nX-Frame-Options: DENY\r\n";

static int add_lines(struct lws *wsi, const char *lines, unsigned char **p, unsigned char *end)
{
    while (*lines) {
        size_t name = strcspn(lines, ":") + 1, n = strcspn(lines, "\r");
        char key[64];
        if (name >= sizeof key || name + 1 > n)
            return -1;
        memcpy(key, lines, name);
        key[name] = '\0';
        if (lws_add_http_header_by_name(wsi, (unsigned char *)key,
                                        (const unsigned char *)lines + name + 1,
                                        (int)(n - name - 1), p, end))
            return -1;
        lines += n + 2;
    }
    return 0;
}

static int send_head(struct exchange *x)
{
    unsigned char head[LWS_PRE + 2048], *start = head + LWS_PRE, *p = start,
                                        *end = head + sizeof head - 1;
    struct lws *wsi = x->wsi;
    bool stream = x->state == STREAMING;
    x->head_sent = true;
    if (lws_add_http_header_status(wsi, (unsigned)x->status, &p, end) ||
        lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_CONTENT_TYPE,
                                     (const unsigned char *)x->type, (int)strlen(x->type), &p,
                                     end) ||
        lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_CACHE_CONTROL,
                                     (const unsigned char *)"no-store", 8, &p, end) ||
        add_lines(wsi, security, &p, end) || add_lines(wsi, x->headers, &p, end) ||
        (!stream && lws_add_http_header_content_length(wsi, x->out.len, &p, end)) ||
        lws_finalize_http_header(wsi, &p, end))
        return -1;
    bool last = !stream && (x->is_head || x->out.len == 0);
    int n = (int)(p - start);
    if (lws_write(wsi, start, (size_t)n,
                  last ? LWS_WRITE_HTTP_HEADERS | LWS_WRITE_H2_STREAM_END
                       : LWS_WRITE_HTTP_HEADERS) != n)
        return -1;
    return 0;
}

static int answer_finish_stream(struct exchange *x)
{
    /* After trouble the rest of a body would be read as the next request. */
    bool end = x->status == 413 || x->status == 411 || x->status == 414;
    struct lws *wsi = x->wsi;
    exchange_next(x);
    if (end || lws_http_transaction_completed(wsi))
        return -1;
    lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_KEEPALIVE_IDLE, SERVER_IDLE_S);
    return 0;
}

static int send_some(struct exchange *x)
{
    unsigned char chunk[LWS_PRE + WRITE_CHUNK];
    size_t n = x->out.len - x->sent;
    if (n > WRITE_CHUNK)
        n = WRITE_CHUNK;
    bool last = x->state == ANSWERING && x->sent + n == x->out.len;
    memcpy(chunk + LWS_PRE, x->out.data + x->sent, n);
    if (lws_write(x->wsi, chunk + LWS_PRE, n, last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) <
        (int)n)
        return -1;
    x->sent += n;
    x->said_ms = clock_ms();
    if (x->state == STREAMING && x->sent == x->out.len) {
        buf_clear(&x->out);
        x->sent = 0;
    }
    return 0;
}

int answer_writeable(struct exchange *x)
{
    if (x->state != ANSWERING && x->state != STREAMING)
        return 0;
    if (!x->head_sent) {
        if (send_head(x) < 0)
            return -1;
        if (x->state == ANSWERING && (x->is_head || x->out.len == 0))
            return answer_finish_stream(x);
    } else if (x->sent < x->out.len) {
        if (send_some(x) < 0)
            return -1;
        if (x->state == ANSWERING && x->sent == x->out.len)
            return answer_finish_stream(x);
    }
    if (x->sent < x->out.len)
        lws_callback_on_writable(x->wsi);
    return 0;
}

void exchange_answer(struct exchange *x, int status, const char *type, const char *headers,
                     struct buf *body)
{
    buf_free(&x->out);
    x->out = *body;
    *body = (struct buf){.ceiling = body->ceiling};
    if (x->out.overflow) {
        buf_clear(&x->out);
        buf_adds(&x->out, "{\"error\":\"the answer is too large\"}\n");
        status = 500;
    }
    x->status = status;
    x->type = type;
    snprintf(x->headers, sizeof x->headers, "%s", headers ? headers : "");
    x->state = ANSWERING;
    x->sent = 0;
    x->head_sent = false;
    lws_callback_on_writable(x->wsi);
}

void answer_short(struct exchange *x, int status, const char *text)
{
    struct buf body = BUF_INIT(256);
    buf_addf(&body, "{\"error\":\"%s\"}\n", text);
    exchange_answer(x, status, "application/json", NULL, &body);
}

bool exchange_stream(struct exchange *x)
{
    size_t streams = 0;
    for (size_t i = 0; i < SERVER_CONNECTIONS; i++)
        streams += x->server->exchanges[i].wsi && x->server->exchanges[i].state == STREAMING &&
                   !x->server->exchanges[i].doomed;
    if (streams >= SERVER_STREAMS) {
        answer_short(x, 503, "too many streams are open");
        return false;
    }
    x->state = STREAMING;
    x->status = 200;
    x->type = "text/event-stream";
    x->headers[0] = '\0';
    x->said_ms = clock_ms();
    buf_free(&x->out);
    buf_init(&x->out, SERVER_UNFETCHED_MAX);
    lws_set_timeout(x->wsi, NO_PENDING_TIMEOUT, 0);
    lws_callback_on_writable(x->wsi);
    return true;
}

void exchange_send(struct exchange *x, const char *text, size_t n)
{
    buf_add(&x->out, text, n);
    if (x->out.overflow)
        exchange_doom(x);
    else
        lws_callback_on_writable(x->wsi);
}
