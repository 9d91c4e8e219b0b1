/*
 * Connections are accepted here and then adopted by libwebsockets, so that the ceiling on them is
 * ours: its own accept loop simply stops taking new ones, and then whoever holds connections open
 * keeps the others out.
 */
#include "web/server.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/parse.h"
#include "proc/alive.h"
#include "proc/counters.h"

#include <errno.h>
#include <libwebsockets.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    TICK_MS = 100,
    BACKLOG = 512,
    SPARE = 64, /* places kept free, and connections accepted at a time */
    FILES = 1024,
    WRITE_CHUNK = 32 * 1024,
    ANSWER_MAX = 16 * 1024 * 1024,
    STREAM_SILENCE_MS = 15000, /* a comment then, so that a dead client shows itself */
    UNACKNOWLEDGED_MS = 30000, /* what a peer may leave unfetched, or its machine unheard of */
};

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

/* ---- exchanges ------------------------------------------------------------------------------- */

static struct exchange *find(struct server *s, const struct lws *wsi)
{
    for (size_t i = 0; i < SERVER_CONNECTIONS; i++)
        if (s->exchanges[i].wsi == wsi)
            return &s->exchanges[i];
    return NULL;
}

static void forget(struct exchange *x)
{
    struct server *s = x->server;
    buf_free(&x->body);
    buf_free(&x->out);
    *x = (struct exchange){.server = s};
}

static void next_request(struct exchange *x)
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
static void doom(struct exchange *x)
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

static int older(const void *a, const void *b)
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
    qsort(list, n, sizeof *list, older);
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
                doom(list[i].x);
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

static void enter(struct server *s, int fd)
{
    struct exchange *x = find(s, NULL);
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
    next_request(x);
    lws_set_timeout(wsi, PENDING_TIMEOUT_ESTABLISH_WITH_SERVER, SERVER_HEADER_S);
}

/* Whoever finds no place waits in the kernel's queue while one is being made, and is turned away
 * when none can be: then all of them are being answered. */
static void accept_all(struct server *s)
{
    size_t going, places = free_places(s, &going);
    for (size_t i = 0; i < SPARE && (places > i || going == 0); i++) {
        int fd = accept4(s->listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            break;
        enter(s, fd);
    }
    make_room(s);
}

/* ---- a request ------------------------------------------------------------------------------- */

static void take_token(struct lws *wsi, enum lws_token_indexes token, char *ret, size_t room)
{
    if (lws_hdr_copy(wsi, ret, (int)room, token) < 0)
        ret[0] = '\0';
}

/* Last-Event-ID is no header libwebsockets knows by number. */
static void take_custom(struct lws *wsi, const char *name, char *ret, size_t room)
{
    if (lws_hdr_custom_copy(wsi, ret, (int)room, name, (int)strlen(name)) < 0)
        ret[0] = '\0';
}

static void take_query(struct lws *wsi, struct exchange *x)
{
    size_t n = 0;
    char part[SERVER_PATH_MAX];
    x->query[0] = '\0';
    for (int i = 0; lws_hdr_copy_fragment(wsi, part, sizeof part, WSI_TOKEN_HTTP_URI_ARGS, i) > 0;
         i++)
        if (n + strlen(part) + 2 < sizeof x->query)
            n += (size_t)snprintf(x->query + n, sizeof x->query - n, "%s%s", i ? "&" : "", part);
}

static int answer_short(struct exchange *x, int status, const char *text)
{
    struct buf body = BUF_INIT(256);
    buf_addf(&body, "{\"error\":\"%s\"}\n", text);
    exchange_answer(x, status, "application/json", NULL, &body);
    return 0;
}

static int hand_over(struct exchange *x)
{
    x->state = HANDLED;
    counters_add(CELL_HTTP_REQUESTS, 1);
    x->server->hooks.handle(x->server->hooks.ctx, x);
    return 0;
}

static int on_request(struct exchange *x, const char *path)
{
    struct lws *wsi = x->wsi;
    bool post = lws_hdr_total_length(wsi, WSI_TOKEN_POST_URI) > 0;
    char length[24];
    uint64_t n = 0;
    x->since_ms = clock_ms();
    x->is_get = lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) > 0;
    x->is_head = lws_hdr_total_length(wsi, WSI_TOKEN_HEAD_URI) > 0;
    take_token(wsi, WSI_TOKEN_HTTP_AUTHORIZATION, x->authorization, sizeof x->authorization);
    take_custom(wsi, "last-event-id:", x->last_event_id, sizeof x->last_event_id);
    take_query(wsi, x);
    lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, SERVER_REQUEST_S);
    if (strlen(path) >= sizeof x->path)
        return answer_short(x, 414, "the path is too long");
    snprintf(x->path, sizeof x->path, "%s", path);
    if (!post)
        return hand_over(x);
    take_token(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, length, sizeof length);
    if (!length[0])
        return answer_short(x, 411, "a body wants a Content-Length");
    if (!parse_u64(length, strlen(length), &n) || n > SERVER_BODY_MAX) {
        answer_short(x, 413, "the body is too large");
        return 0;
    }
    x->state = BODY;
    return n == 0 ? hand_over(x) : 0;
}

/* ---- an answer ------------------------------------------------------------------------------- */

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

static int finish(struct exchange *x)
{
    /* After trouble the rest of a body would be read as the next request. */
    bool end = x->status == 413 || x->status == 411 || x->status == 414;
    struct lws *wsi = x->wsi;
    next_request(x);
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

static int on_writeable(struct exchange *x)
{
    if (x->state != ANSWERING && x->state != STREAMING)
        return 0;
    if (!x->head_sent) {
        if (send_head(x) < 0)
            return -1;
        if (x->state == ANSWERING && (x->is_head || x->out.len == 0))
            return finish(x);
    } else if (x->sent < x->out.len) {
        if (send_some(x) < 0)
            return -1;
        if (x->state == ANSWERING && x->sent == x->out.len)
            return finish(x);
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
        doom(x);
    else
        lws_callback_on_writable(x->wsi);
}

/* ---- libwebsockets' side --------------------------------------------------------------------- */

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len)
{
    struct lws_context *context = lws_get_context(wsi);
    struct server *s = context ? lws_context_user(context) : NULL;
    (void)user;
    if (!s)
        return 0;
    if (reason == LWS_CALLBACK_EVENT_WAIT_CANCELLED) {
        s->hooks.woken(s->hooks.ctx);
        return 0;
    }
    if (reason == LWS_CALLBACK_RAW_RX_FILE) {
        if (lws_get_socket_fd(wsi) == s->listening)
            accept_all(s);
        else
            s->stop = true;
        return 0;
    }
    struct exchange *x = find(s, wsi);
    if (!x)
        return reason == LWS_CALLBACK_HTTP ? -1
                                           : lws_callback_http_dummy(wsi, reason, user, in, len);
    /* What is waited for is a few callbacks; the rest is the library's own business. */
    if (reason == LWS_CALLBACK_HTTP)
        return on_request(x, in);
    if (reason == LWS_CALLBACK_HTTP_BODY) {
        if (x->state == BODY)
            buf_add(&x->body, in, len);
        return x->body.overflow ? -1 : 0;
    }
    if (reason == LWS_CALLBACK_HTTP_BODY_COMPLETION)
        return x->state == BODY ? hand_over(x) : 0;
    if (reason == LWS_CALLBACK_HTTP_WRITEABLE)
        return on_writeable(x);
    if (reason == LWS_CALLBACK_CLOSED_HTTP || reason == LWS_CALLBACK_WSI_DESTROY) {
        forget(x);
        return 0;
    }
    return lws_callback_http_dummy(wsi, reason, user, in, len);
}

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
            doom(x);
        }
    }
}

static void on_timer(lws_sorted_usec_list_t *timer)
{
    struct server *s = (struct server *)(void *)((char *)timer - offsetof(struct server, timer));
    look_for_departed(s);
    look_at_clocks(s);
    alive_beat();
    s->hooks.tick(s->hooks.ctx);
    lws_sul_schedule(s->context, 0, &s->timer, on_timer, TICK_MS * LWS_US_PER_MS);
}

/* ---- opening --------------------------------------------------------------------------------- */

/* "[::1]:80" or "127.0.0.1:80" or ":80" into host ("" for any) and port. */
static bool split(const char *listen, char *host, size_t room, const char **port)
{
    const char *colon = strrchr(listen, ':');
    size_t n = colon ? (size_t)(colon - listen) : 0;
    if (!colon || n >= room)
        return false;
    *port = colon + 1;
    if (n >= 2 && listen[0] == '[' && listen[n - 1] == ']') {
        listen++;
        n -= 2;
    }
    memcpy(host, listen, n);
    host[n] = '\0';
    return true;
}

bool server_is_local(const char *listen)
{
    char host[256];
    const char *port;
    return split(listen, host, sizeof host, &port) &&
           (strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 ||
            strcmp(host, "localhost") == 0);
}

static int bind_to(const struct addrinfo *a)
{
    int one = 1, both = 0;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (a->ai_family == AF_INET6) /* [::] is reached by IPv4, too */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &both, sizeof both);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

static int listen_on(const char *listen, struct err *err)
{
    char host[256];
    const char *port;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
    if (!split(listen, host, sizeof host, &port))
        return err_set(err, ERR_USAGE, "http.listen: \"%s\" is no address and port", listen);
    int rc = getaddrinfo(host[0] ? host : NULL, port, &hints, &found);
    if (rc != 0)
        return err_set(err, ERR_FAILED, "http.listen: \"%s\": %s", listen, gai_strerror(rc));
    int fd = -1;
    for (struct addrinfo *a = found; a && fd < 0; a = a->ai_next)
        fd = bind_to(a);
    if (fd < 0) {
        err_set(err, ERR_FAILED, "cannot listen on %s: %s", listen, strerror(errno));
        err_hint(err, "another program may have the port: choose one with http.listen, or off");
    }
    freeaddrinfo(found);
    return fd;
}

static void be_quiet(int level, const char *line)
{
    (void)level;
    (void)line;
}

static const struct lws_protocols protocols[] = {{.name = "http", .callback = on_event}, {0}};

static int open_context(struct server *s, struct err *err)
{
    struct rlimit files = {FILES, FILES};
    lws_sock_file_fd_type listening = {.filefd = s->listening}, stop = {.filefd = s->stop_fd};
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = protocols,
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
        .user = s,
        .max_http_header_data = 4096,
        .max_http_header_pool = SERVER_CONNECTIONS,
        .timeout_secs = SERVER_HEADER_S,
        .timeout_secs_ah_idle = SERVER_HEADER_S,
        .keepalive_timeout = SERVER_IDLE_S,
        .pt_serv_buf_size = 8192,
        .server_string = "trueup",
    };
    /* Its tables have a place for every descriptor there may be. */
    setrlimit(RLIMIT_NOFILE, &files);
    lws_set_log_level(0, be_quiet);
    s->context = lws_create_context(&info);
    s->vhost = s->context ? lws_create_vhost(s->context, &info) : NULL;
    if (!s->vhost ||
        !lws_adopt_descriptor_vhost(s->vhost, LWS_ADOPT_RAW_FILE_DESC, listening, "http", NULL) ||
        (s->stop_fd >= 0 &&
         !lws_adopt_descriptor_vhost(s->vhost, LWS_ADOPT_RAW_FILE_DESC, stop, "http", NULL)))
        return err_set(err, ERR_FAILED, "the HTTP server cannot be set up");
    return 0;
}

int server_open(const char *listen, int stop_fd, const struct server_hooks *hooks,
                struct server **ret, struct err *err)
{
    int fd = listen_on(listen, err);
    if (fd < 0)
        return -1;
    struct server *s = mem_zero(1, sizeof *s);
    s->hooks = *hooks;
    s->listening = fd;
    s->stop_fd = stop_fd < 0 ? -1 : dup(stop_fd); /* what is adopted is closed with the context */
    s->exchanges = mem_zero(SERVER_CONNECTIONS, sizeof *s->exchanges);
    for (size_t i = 0; i < SERVER_CONNECTIONS; i++)
        s->exchanges[i].server = s;
    if (open_context(s, err) < 0) {
        server_close(s);
        return -1;
    }
    *ret = s;
    return 0;
}

void server_close(struct server *s)
{
    if (!s)
        return;
    if (s->context)
        lws_context_destroy(s->context);
    else
        close(s->listening);
    for (size_t i = 0; i < SERVER_CONNECTIONS; i++)
        forget(&s->exchanges[i]);
    mem_free(s->exchanges);
    mem_free(s);
}

void server_run(struct server *s)
{
    lws_sul_schedule(s->context, 0, &s->timer, on_timer, TICK_MS * LWS_US_PER_MS);
    while (!s->stop && lws_service(s->context, 0) >= 0)
        ;
    lws_sul_cancel(&s->timer);
}

void server_wake(struct server *s)
{
    lws_cancel_service(s->context);
}

/* ---- looking at a request -------------------------------------------------------------------- */

bool exchange_is(const struct exchange *x, const char *method)
{
    bool get = x->is_get || x->is_head;
    return strcmp(method, "GET") == 0 ? get : !get;
}

const char *exchange_path(const struct exchange *x)
{
    return x->path;
}

const char *exchange_header(const struct exchange *x, const char *name)
{
    return strcmp(name, "authorization") == 0 ? x->authorization : x->last_event_id;
}

const char *exchange_parameter(const struct exchange *x, const char *name, char *ret, size_t room)
{
    size_t n = strlen(name);
    for (const char *s = x->query; *s;) {
        size_t part = strcspn(s, "&");
        if (part > n && strncmp(s, name, n) == 0 && s[n] == '=') {
            snprintf(ret, room, "%.*s", (int)(part - n - 1), s + n + 1);
            return ret;
        }
        s += part + (s[part] == '&');
    }
    return NULL;
}

const struct buf *exchange_body(const struct exchange *x)
{
    return &x->body;
}

uint64_t exchange_number(const struct exchange *x)
{
    return x->number;
}

struct exchange *server_exchange(struct server *s, uint64_t number)
{
    for (size_t i = 0; i < SERVER_CONNECTIONS; i++)
        if (s->exchanges[i].wsi && s->exchanges[i].number == number && !s->exchanges[i].doomed)
            return &s->exchanges[i];
    return NULL;
}
