/*
 * Sockets: HTTP/1.1 with keep-alive and Content-Length, on one thread. A reply waits for the
 * latency asked for in a queue; all replies wait equally long, so the queue is in order.
 *
 *     rpcserver [--port N] [--latency MS] [--gas-cap N] [--wallet-gas N] [--terms 1|2|3] [--salt N]
 * [--log 1] [--head N] [--logs N --holders N]: so many logs a block, naming so many wallets
 *
 * Prints "listening PORT" when ready, and what it counted, as JSON, when it is told to end (SIGTERM
 * or SIGINT). Bytes are those read from and written to the sockets, HTTP headers included.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "bench/rpcserver/rpcserver.h"
#include "eth/signature.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REQUEST_MAX = 64 * 1024 * 1024, EVENTS = 64, READ_ROOM = 256 * 1024 };

struct conn {
    struct conn *next; /* in the queue of replies that wait */
    int fd;
    struct buf in, out;
    size_t sent;
    bool waits; /* in the queue; nothing else is read meanwhile */
    int64_t due_ms;
};

static struct server {
    struct rules rules;
    int64_t latency_ms;
    uint64_t log; /* a line to stderr for each request */
    int epoll, listener, signals;
    struct conn *first, *last; /* replies that wait */
    uint64_t connections, requests, bytes_in, bytes_out;
} server; /* the program is this one object */

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(int fd, void *what, uint32_t events, int op)
{
    struct epoll_event e = {.events = events, .data.ptr = what};
    if (epoll_ctl(server.epoll, op, fd, &e) < 0)
        die("epoll_ctl");
}

static void drop(struct conn *c)
{
    close(c->fd);
    buf_free(&c->in);
    buf_free(&c->out);
    mem_free(c);
}

/* ---- requests -------------------------------------------------------------------------------- */

/* Where the body starts and how long it is. False: the header is not complete yet. */
static bool read_head(struct conn *c, size_t *ret_start, size_t *ret_len)
{
    const char *text = buf_str(&c->in), *end = strstr(text, "\r\n\r\n");
    uint64_t len = 0;
    if (!end)
        return false;
    const char *at = strcasestr(text, "\r\ncontent-length:");
    if (at && at < end) {
        at += strlen("\r\ncontent-length:");
        at += strspn(at, " ");
        parse_u64(at, strspn(at, "0123456789"), &len);
    }
    *ret_start = (size_t)(end + 4 - text);
    *ret_len = (size_t)len;
    return true;
}

static void send_more(struct conn *c)
{
    while (c->sent < c->out.len) {
        ssize_t n = write(c->fd, c->out.data + c->sent, c->out.len - c->sent);
        if (n < 0 && errno == EAGAIN) {
            watch(c->fd, c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
            return;
        }
        if (n <= 0)
            return; /* the reading side notices */
        c->sent += (size_t)n;
        server.bytes_out += (uint64_t)n;
    }
    buf_clear(&c->out);
    c->sent = 0;
    watch(c->fd, c, EPOLLIN, EPOLL_CTL_MOD);
}

static void make_reply(struct conn *c, const char *body, size_t len)
{
    struct buf reply = BUF_INIT(REPLY_MAX);
    answer(&server.rules, body, len, &reply);
    if (server.log)
        fprintf(stderr, "%zu %.140s -> %zu %.60s\n", len, body, reply.len, reply.data);
    buf_addf(&c->out,
             "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n",
             reply.len);
    buf_add(&c->out, reply.data, reply.len);
    buf_free(&reply);
    server.requests++;
}

/* The bytes after the request, if any, are the next one's front. */
static void answer_what_is_complete(struct conn *c)
{
    size_t start, len;
    if (c->waits || !read_head(c, &start, &len) || c->in.len < start + len)
        return;
    make_reply(c, c->in.data + start, len);
    memmove(c->in.data, c->in.data + start + len, c->in.len - start - len + 1);
    c->in.len -= start + len;
    if (server.latency_ms == 0) {
        send_more(c);
        return;
    }
    c->waits = true;
    c->due_ms = clock_ms() + server.latency_ms;
    c->next = NULL;
    if (server.first)
        server.last->next = c;
    else
        server.first = c;
    server.last = c;
}

static void send_due(void)
{
    while (server.first && server.first->due_ms <= clock_ms()) {
        struct conn *c = server.first;
        server.first = c->next;
        c->waits = false;
        send_more(c);
        answer_what_is_complete(c);
    }
}

static void read_more(struct conn *c)
{
    char *to = buf_reserve(&c->in, READ_ROOM);
    ssize_t n = to ? read(c->fd, to, READ_ROOM) : -1;
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        if (!c->waits) /* else the queue still holds it; the bench's clients do not leave so */
            drop(c);
        return;
    }
    c->in.len += (size_t)n;
    c->in.data[c->in.len] = '\0';
    server.bytes_in += (uint64_t)n;
    answer_what_is_complete(c);
}

static void take_connection(void)
{
    int one = 1, fd = accept4(server.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct conn *c = mem_zero(1, sizeof *c);
    c->fd = fd;
    buf_init(&c->in, REQUEST_MAX);
    buf_init(&c->out, REPLY_MAX);
    server.connections++;
    watch(fd, c, EPOLLIN, EPOLL_CTL_ADD);
}

/* ---- the program ----------------------------------------------------------------------------- */

static void print_counts(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    printf("{\"requests\":%" PRIu64 ",\"connections\":%" PRIu64 ",\"bytes_in\":%" PRIu64
           ",\"bytes_out\":%" PRIu64 ",\"cpu_ms\":%" PRId64 "}\n",
           server.requests, server.connections, server.bytes_in, server.bytes_out,
           (int64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
               (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000);
    fflush(stdout);
}

static void loop(void)
{
    struct epoll_event events[EVENTS];
    for (;;) {
        int wait = server.first ? ms_until(server.first->due_ms) : -1;
        int n = epoll_wait(server.epoll, events, EVENTS, wait);
        for (int i = 0; i < n; i++) {
            void *what = events[i].data.ptr;
            if (what == &server.signals)
                return;
            if (what == &server.listener) {
                take_connection();
                continue;
            }
            struct conn *c = what;
            if ((events[i].events & EPOLLOUT) && !c->waits)
                send_more(c);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                read_more(c);
        }
        send_due();
    }
}

static void listen_on(uint16_t port)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int one = 1;
    server.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(server.listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(server.listener, (struct sockaddr *)(void *)&at, sizeof at) < 0 ||
        listen(server.listener, 128) < 0 ||
        getsockname(server.listener, (struct sockaddr *)(void *)&at, &len) < 0)
        die("listen");
    printf("listening %d\n", ntohs(at.sin_port));
    fflush(stdout);
}

static void catch_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    server.signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* The first user's contracts. */
static void set_terms(struct rules *r)
{
    static const struct {
        const char *contract, *view;
    } terms[] = {
        {"0x18aAA7115705e8be94bfFEBDE57Af9BFc265B998", "balanceOf(address)"},
        {"0xe6D97B2099F142513be7A2a068bE040656Ae4591", "totalStakedFor(address)"},
        {"0x4d7968ebfD390D5E7926Cb3587C39eFf2F9FB225", "getTotalDelegatorStake(address)"},
    };
    for (size_t i = 0; i < COUNT_OF(terms); i++) {
        struct signature view;
        view_parse(terms[i].view, strlen(terms[i].view), &view, NULL);
        address_parse_loose(terms[i].contract, strlen(terms[i].contract), &r->terms[i].contract);
        memcpy(r->terms[i].selector, view.selector, sizeof view.selector);
    }
}

static uint64_t number(const char *text)
{
    uint64_t v;
    if (!parse_u64(text, strlen(text), &v)) {
        fprintf(stderr, "rpcserver: \"%s\" is no number\n", text);
        exit(2);
    }
    return v;
}

int main(int argc, char **argv)
{
    enum { PORT = 1, LATENCY, GAS_CAP, WALLET_GAS, TERMS, SALT, LOG, HEAD, LOGS, HOLDERS };
    static const struct option options[] = {
        {"port", required_argument, NULL, PORT},
        {"latency", required_argument, NULL, LATENCY},
        {"gas-cap", required_argument, NULL, GAS_CAP},
        {"wallet-gas", required_argument, NULL, WALLET_GAS},
        {"terms", required_argument, NULL, TERMS},
        {"salt", required_argument, NULL, SALT},
        {"log", required_argument, NULL, LOG},
        {"head", required_argument, NULL, HEAD},
        {"logs", required_argument, NULL, LOGS},
        {"holders", required_argument, NULL, HOLDERS},
        {0},
    };
    struct rules *r = &server.rules;
    uint64_t port = 0;
    *r = (struct rules){.chain_id = 1,
                        .head = 1000,
                        .gas_cap = 50000000,
                        .wallet_gas = 10320,
                        .n_terms = 3,
                        .holders = 1};
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == '?')
            return 2;
        uint64_t *const where[] = {
            [PORT] = &port,          [LATENCY] = (uint64_t *)&server.latency_ms,
            [GAS_CAP] = &r->gas_cap, [WALLET_GAS] = &r->wallet_gas,
            [TERMS] = &r->n_terms,   [SALT] = &r->salt,
            [LOG] = &server.log,     [HEAD] = &r->head,
            [LOGS] = &r->logs,       [HOLDERS] = &r->holders};
        *where[o] = number(optarg);
    }
    if (r->n_terms < 1 || r->n_terms > 3)
        r->n_terms = 3;
    set_terms(r);
    catch_signals();
    server.epoll = epoll_create1(EPOLL_CLOEXEC);
    listen_on((uint16_t)port);
    watch(server.listener, &server.listener, EPOLLIN, EPOLL_CTL_ADD);
    watch(server.signals, &server.signals, EPOLLIN, EPOLL_CTL_ADD);
    loop();
    print_counts();
    return 0;
}
