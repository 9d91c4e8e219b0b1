/*
 * libwebsockets, kept in one file. A connection has a context of its own, so that nothing of a
 * broken one is left for the next; that costs a millisecond at a reconnect.
 *
 * What its ways demand: a write needs LWS_PRE bytes of room before it and happens only in the
 * WRITEABLE callback; lws_service() waits as long as it likes unless a timer (sul) is armed;
 * messages come in pieces. Its own look at http_proxy is turned off by an empty proxy address,
 * since it knows no no_proxy.
 */
#include "net/ws.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/url.h"
#include "net/ws_url.h"
#include "proc/alive.h"

#include <fcntl.h>
#include <libwebsockets.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RECEIVE_PIECE = 16384, CONNECT_S = 15, FDS = 32 };

struct ws {
    struct lws_context *context;
    struct lws *wsi; /* NULL before and after the connection's life */
    struct ws_ask ask;
    struct ws_url url;
    lws_retry_bo_t policy;
    lws_sorted_usec_list_t timer;
    enum ws_state state;
    bool happened, timed_out; /* why ws_wait() may return */
    struct buf message;       /* what came of it so far */
    struct buf out;           /* messages waiting, each followed by a NUL */
    size_t sent;              /* of out */
    uint8_t *frame;           /* LWS_PRE bytes and the message leaving */
    size_t frame_room;
    char own_url[2400]; /* to scrub it from what the library says */
    char why[WS_TEXT];
};

/* The library's last words: some faults (of TLS, mainly) are told nowhere else. A global, as logs
 * are; this process has one connection at a time. */
static char ws_library_error[WS_TEXT];

static void ws_on_library_log(int level, const char *line)
{
    (void)level;
    snprintf(ws_library_error, sizeof ws_library_error, "%.*s", (int)strcspn(line, "\n"), line);
}

static void ws_on_end(struct ws *w, const char *why, size_t n)
{
    char text[WS_TEXT * 2];
    if (w->state == WS_CLOSED)
        return;
    snprintf(text, sizeof text, "%.*s%s%s", (int)(n > 150 ? 150 : n), why,
             ws_library_error[0] ? ": " : "", ws_library_error);
    url_scrub(w->why, sizeof w->why, text, w->own_url);
    w->state = WS_CLOSED;
    w->happened = true;
}

/* ---- receiving ------------------------------------------------------------------------------- */

/* −1 ends the connection. */
static int ws_take_piece(struct ws *w, const char *in, size_t n)
{
    if (lws_is_first_fragment(w->wsi))
        buf_clear(&w->message);
    buf_add(&w->message, in, n);
    if (w->message.overflow) {
        char why[80];
        int len = snprintf(why, sizeof why, "a message of more than %zu bytes", w->ask.message_max);
        ws_on_end(w, why, (size_t)len);
        return -1;
    }
    if (!lws_is_final_fragment(w->wsi))
        return 0;
    w->ask.on_message(w->ask.ctx, buf_str(&w->message), w->message.len);
    buf_clear(&w->message);
    w->happened = true;
    return 0;
}

/* ---- sending --------------------------------------------------------------------------------- */

int ws_send(struct ws *w, const char *text, size_t n, struct err *err)
{
    if (w->state == WS_CLOSED)
        return err_set(err, ERR_UNREACHABLE, "the connection is closed");
    if (w->out.len + n + 1 > WS_SEND_MAX)
        return err_set(err, ERR_TOO_LARGE, "more than %d bytes wait to be sent", WS_SEND_MAX);
    buf_add(&w->out, text, n);
    buf_addc(&w->out, '\0');
    if (w->state == WS_OPEN)
        lws_callback_on_writable(w->wsi);
    return 0;
}

static int ws_send_next(struct ws *w)
{
    if (w->sent >= w->out.len)
        return 0;
    const char *text = w->out.data + w->sent;
    size_t n = strlen(text);
    if (w->frame_room < LWS_PRE + n) {
        w->frame = mem_grow(w->frame, LWS_PRE + n, 1);
        w->frame_room = LWS_PRE + n;
    }
    memcpy(w->frame + LWS_PRE, text, n);
    if (lws_write(w->wsi, w->frame + LWS_PRE, n, LWS_WRITE_TEXT) < (int)n) {
        ws_on_end(w, "sending failed", 14);
        return -1;
    }
    w->sent += n + 1;
    if (w->sent < w->out.len) {
        lws_callback_on_writable(w->wsi);
    } else {
        buf_clear(&w->out);
        w->sent = 0;
    }
    return 0;
}

/* name:password of the URL as an Authorization header. */
static int ws_add_authorization(struct ws *w, unsigned char **at, unsigned char *end)
{
    char coded[720], value[740];
    if (!w->url.user[0])
        return 0;
    if (lws_b64_encode_string(w->url.user, (int)strlen(w->url.user), coded, (int)sizeof coded) < 0)
        return -1;
    int n = snprintf(value, sizeof value, "Basic %s", coded);
    return lws_add_http_header_by_token(w->wsi, WSI_TOKEN_HTTP_AUTHORIZATION,
                                        (unsigned char *)value, n, at, end);
}

/* ---- the library's events -------------------------------------------------------------------- */

/* Of its many events those that concern us; a return other than 0 closes the connection. */
static int ws_on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                       size_t n)
{
    struct lws_context *context = wsi ? lws_get_context(wsi) : NULL;
    struct ws *w = context ? lws_context_user(context) : NULL;
    (void)user;
    if (!w)
        return 0;
    if (reason == LWS_CALLBACK_RAW_RX_FILE) { /* wake_fd; what it says is not ours to read */
        w->happened = true;
        return 0;
    }
    if (!w->wsi)
        return 0;
    if ((int)reason == LWS_CALLBACK_CLIENT_ESTABLISHED) {
        w->state = WS_OPEN;
        w->happened = true;
        lws_callback_on_writable(wsi);
    } else if ((int)reason == LWS_CALLBACK_CLIENT_RECEIVE) {
        return ws_take_piece(w, in, n);
    } else if ((int)reason == LWS_CALLBACK_CLIENT_WRITEABLE) {
        return ws_send_next(w);
    } else if ((int)reason == LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER) {
        unsigned char **at = in;
        return ws_add_authorization(w, at, *at + n);
    } else if ((int)reason == LWS_CALLBACK_CLIENT_CONNECTION_ERROR) {
        ws_on_end(w, in ? in : "no connection", in ? n : 13);
        w->wsi = NULL;
    } else if ((int)reason == LWS_CALLBACK_CLIENT_CLOSED) {
        ws_on_end(w, "the connection was closed", 25);
        w->wsi = NULL;
    }
    return 0;
}

static const struct lws_protocols protocols[] = {
    {"rpc", ws_on_event, 0, RECEIVE_PIECE, 0, NULL, 0},
    {NULL, NULL, 0, 0, 0, NULL, 0},
};

/* ---- opening --------------------------------------------------------------------------------- */

/* The library's built-in place for authorities is a relative one in Debian: it is always told. */
static const char *ws_ca_file(void)
{
    static const char *const usual[] = {"/etc/ssl/certs/ca-certificates.crt",
                                        "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"};
    const char *given = getenv("SSL_CERT_FILE");
    if (given && *given)
        return given;
    for (size_t i = 0; i < COUNT_OF(usual); i++)
        if (access(usual[i], R_OK) == 0)
            return usual[i];
    return NULL;
}

static const char *ws_environment(const char *name)
{
    return getenv(name);
}

static int ws_make_context(struct ws *w, struct err *err)
{
    char proxy[600];
    ws_url_proxy(&w->url, ws_environment, proxy, sizeof proxy);
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .protocols = protocols,
        .options = w->url.secure ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0,
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
        .http_proxy_address = proxy,
        .client_ssl_ca_filepath = w->url.secure ? ws_ca_file() : NULL,
        .connect_timeout_secs = CONNECT_S,
        .fd_limit_per_thread = FDS, /* it would make room for as many as the process may open */
        .user = w,
    };
    w->context = lws_create_context(&info);
    if (!w->context)
        return err_set(err, ERR_FAILED, "the WebSocket library does not start: %s",
                       ws_library_error);
    ws_library_error[0] = '\0'; /* it complains of the empty proxy address */
    return 0;
}

/* A copy of the descriptor: the library closes what it was given. */
static int ws_watch_wake(struct ws *w, struct err *err)
{
    lws_sock_file_fd_type fd;
    if (w->ask.wake_fd < 0)
        return 0;
    fd.filefd = fcntl(w->ask.wake_fd, F_DUPFD_CLOEXEC, 0);
    if (fd.filefd < 0)
        return err_set(err, ERR_FAILED, "cannot copy a descriptor");
    struct lws_vhost *vhost = lws_get_vhost_by_name(w->context, "default");
    if (!lws_adopt_descriptor_vhost(vhost, LWS_ADOPT_RAW_FILE_DESC, fd, "rpc", NULL))
        return err_set(err, ERR_FAILED, "the WebSocket library refuses a descriptor");
    return 0;
}

static void ws_connect(struct ws *w)
{
    struct lws_client_connect_info info = {
        .context = w->context,
        .address = w->url.host,
        .port = w->url.port,
        .ssl_connection = w->url.secure ? LCCSCF_USE_SSL : 0,
        .path = w->url.path,
        .host = w->url.header,
        .origin = NULL,
        .protocol = NULL,
        .local_protocol_name = "rpc",
        .ietf_version_or_minus_one = -1,
        .retry_and_idle_policy = &w->policy,
        .alpn = "http/1.1",
        .pwsi = &w->wsi,
    };
    if (!lws_client_connect_via_info(&info))
        ws_on_end(w, "no connection", 13);
}

int ws_open(const struct ws_ask *ask, struct ws **ret, struct err *err)
{
    struct ws *w = mem_zero(1, sizeof *w);
    w->ask = *ask;
    w->message = (struct buf)BUF_INIT(ask->message_max);
    w->out = (struct buf)BUF_INIT(WS_SEND_MAX);
    w->policy.secs_since_valid_ping = (uint16_t)ask->ping_s;
    w->policy.secs_since_valid_hangup = (uint16_t)(ask->ping_s * 2);
    snprintf(w->own_url, sizeof w->own_url, "%s", ask->url);
    lws_set_log_level(LLL_ERR | LLL_WARN, ws_on_library_log);
    ws_library_error[0] = '\0';
    if (ws_url_parse(ask->url, &w->url, err) < 0 || ws_make_context(w, err) < 0 ||
        ws_watch_wake(w, err) < 0) {
        ws_close(w);
        return -1;
    }
    ws_connect(w);
    *ret = w;
    return 0;
}

void ws_close(struct ws *w)
{
    if (!w)
        return;
    w->state = WS_CLOSED;
    if (w->context)
        lws_context_destroy(w->context);
    buf_free(&w->message);
    buf_free(&w->out);
    mem_free(w->frame);
    mem_free(w);
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* lws_service() runs timers before it waits, and then waits for the next one: told to, it does not.
 */
static void ws_on_timer(lws_sorted_usec_list_t *timer)
{
    /* lws_container_of() would do, were it not for clang's -Wcast-align. */
    struct ws *w = (struct ws *)(void *)((char *)timer - offsetof(struct ws, timer));
    w->timed_out = true;
    lws_cancel_service(w->context);
}

void ws_wait(struct ws *w, int64_t deadline_ms)
{
    w->happened = w->timed_out = false;
    if (w->state == WS_CLOSED)
        return;
    lws_sul_schedule(w->context, 0, &w->timer, ws_on_timer,
                     (lws_usec_t)alive_slice(ms_until(deadline_ms)) * 1000 + 1);
    while (!w->happened && !w->timed_out && lws_service(w->context, 0) >= 0)
        ;
    lws_sul_cancel(&w->timer);
}

enum ws_state ws_state(const struct ws *w)
{
    return w->state;
}

const char *ws_why(const struct ws *w)
{
    return w->why;
}
