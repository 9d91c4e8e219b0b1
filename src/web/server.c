#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/parse.h"
#include "proc/alive.h"
#include "proc/counters.h"
#include "web/query.h"
#include "web/server_internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { TICK_MS = 100, FILES = 1024 };

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
    if (strlen(path) >= sizeof x->path) {
        answer_short(x, 414, "the path is too long");
        return 0;
    }
    snprintf(x->path, sizeof x->path, "%s", path);
    if (!post)
        return hand_over(x);
    take_token(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, length, sizeof length);
    if (!length[0]) {
        answer_short(x, 411, "a body wants a Content-Length");
        return 0;
    }
    if (!parse_u64(length, strlen(length), &n) || n > SERVER_BODY_MAX) {
        answer_short(x, 413, "the body is too large");
        return 0;
    }
    x->state = BODY;
    return n == 0 ? hand_over(x) : 0;
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
    /* Clients that ask for HTTP/2 take an answer in HTTP/1.1: without its value, the library passes
     * over the header. */
    if (reason == LWS_CALLBACK_HTTP_CONFIRM_UPGRADE && in) {
        *(char *)in = '\0';
        return 0;
    }
    struct exchange *x = exchange_find(s, wsi);
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
        return answer_writeable(x);
    if (reason == LWS_CALLBACK_CLOSED_HTTP || reason == LWS_CALLBACK_WSI_DESTROY) {
        exchange_forget(x);
        return 0;
    }
    return lws_callback_http_dummy(wsi, reason, user, in, len);
}

static void on_timer(lws_sorted_usec_list_t *timer)
{
    struct server *s = (struct server *)(void *)((char *)timer - offsetof(struct server, timer));
    look_at_places(s);
    alive_beat();
    s->hooks.tick(s->hooks.ctx);
    lws_sul_schedule(s->context, 0, &s->timer, on_timer, TICK_MS * LWS_US_PER_MS);
}

/* ---- opening --------------------------------------------------------------------------------- */

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
        exchange_forget(&s->exchanges[i]);
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
    return query_value(x->query, name, ret, room);
}

const char *exchange_unknown_parameter(const struct exchange *x, const char *known, char *ret,
                                       size_t room)
{
    return query_unknown(x->query, known, ret, room);
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
