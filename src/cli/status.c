/*
 * trueup status: what a running daemon is doing, on one screen. It asks the daemon over HTTP; when
 * that does not answer, it reads the database itself and says that no daemon keeps it.
 */
#include "web/status.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/naming.h"
#include "cli/status.h"
#include "cli/terminal.h"
#include "proc/stop.h"
#include "web/server.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

const struct cli_option status_options[] = {
    {"watch", NULL, NULL, "redraw every two seconds, until Ctrl-C"},
    {"listen", "ADDR", "http.listen", "where the daemon serves HTTP"},
    {0},
};

enum { WATCH_MS = 2000, ASK_MS = 3000 };
enum { STATUS_RED = 1, STATUS_NO_DAEMON = 4, STATUS_AMBER = 6 };

/* ---- asking the daemon ----------------------------------------------------------------------- */

/* Where to reach what listens there: a wildcard is this machine. */
static bool status_split_listen(const char *listen, char host[256], const char **port)
{
    if (!server_split_listen(listen, host, 256, port))
        return false;
    if (!host[0] || strcmp(host, "0.0.0.0") == 0)
        snprintf(host, 256, "127.0.0.1");
    else if (strcmp(host, "::") == 0)
        snprintf(host, 256, "::1");
    return true;
}

static bool status_wait_ready(int fd, short events, int64_t deadline)
{
    struct pollfd p = {.fd = fd, .events = events};
    int left;
    while ((left = ms_until(deadline)) > 0 && !stop_asked()) {
        int rc = poll(&p, 1, left);
        if (rc > 0)
            return true;
        if (rc == 0 || errno != EINTR)
            return false;
    }
    return false;
}

static int connect_to(const char *listen, int64_t deadline, struct err *err)
{
    char host[256];
    const char *port;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    if (!status_split_listen(listen, host, &port) || getaddrinfo(host, port, &hints, &found) != 0)
        return err_set(err, ERR_FAILED, "\"%s\" is no address", listen);
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int why = 0;
    socklen_t n = sizeof why;
    if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) < 0) {
        why = errno;
        if (why == EINPROGRESS) {
            why = ETIMEDOUT;
            if (status_wait_ready(fd, POLLOUT, deadline))
                getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &n);
        }
    }
    freeaddrinfo(found);
    if (fd >= 0 && why == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return err_set(err, ERR_FAILED, "%s: %s", listen, strerror(why ? why : errno));
}

/* The whole reply, head and body, until the daemon hangs up. */
static int status_exchange_http(int fd, const struct conf *conf, int64_t deadline,
                                struct buf *reply, struct err *err)
{
    struct buf ask = BUF_INIT(4096);
    buf_addf(&ask, "GET /v1/status HTTP/1.1\r\nHost: trueup\r\nConnection: close\r\n");
    if (conf->http.token)
        buf_addf(&ask, "Authorization: Bearer %s\r\n", conf->http.token);
    buf_adds(&ask, "\r\n");
    bool sent = status_wait_ready(fd, POLLOUT, deadline) &&
                write(fd, ask.data, ask.len) == (ssize_t)ask.len;
    buf_free(&ask);
    while (sent && status_wait_ready(fd, POLLIN, deadline)) {
        char *to = buf_reserve(reply, 16384);
        ssize_t n = to ? read(fd, to, 16384) : 0;
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n <= 0)
            return 0;
        reply->len += (size_t)n;
        reply->data[reply->len] = '\0';
    }
    return err_set(err, ERR_FAILED, "no answer in %d s", ASK_MS / 1000);
}

static int ask_daemon(const struct conf *conf, struct buf *ret, struct err *err)
{
    int64_t deadline = clock_ms() + ASK_MS;
    struct buf reply = BUF_INIT(STATUS_MAX + 4096);
    if (!conf->http.listen)
        return err_set(err, ERR_FAILED, "http.listen is off");
    int fd = connect_to(conf->http.listen, deadline, err);
    if (fd < 0)
        return -1;
    int rc = status_exchange_http(fd, conf, deadline, &reply, err);
    close(fd);
    const char *body = strstr(buf_str(&reply), "\r\n\r\n");
    if (rc == 0 && strncmp(buf_str(&reply), "HTTP/1.1 401", 12) == 0)
        rc = err_set(err, ERR_FAILED, "it wants another http.token");
    else if (rc == 0 && (strncmp(buf_str(&reply), "HTTP/1.1 200", 12) != 0 || !body))
        rc = err_set(err, ERR_FAILED, "what answers there is no trueup");
    if (rc == 0)
        buf_adds(ret, body + 4);
    buf_free(&reply);
    return rc;
}

/* ---- or the database ------------------------------------------------------------------------- */

static int ask_store(struct conf *conf, struct buf *ret, struct err *err)
{
    static struct facts_store k; /* large */
    static struct health h;
    struct store *s;
    if (conf->n_balances == 0) {
        err_set(err, ERR_USAGE, "nothing is configured here");
        return err_hint(err,
                        "-c FILE names the settings, --listen ADDR where a daemon serves HTTP");
    }
    if (store_find(conf->store, err) < 0 || name_balances(conf, err) < 0 ||
        store_open(conf->store, conf->schema, "trueup status", &s, err) < 0)
        return -1;
    facts_init(&k, conf);
    int64_t looked = facts_look(&k, s);
    if (looked >= 0)
        facts_scan(&k, s);
    store_close(s);
    if (looked < 0)
        return err_set(err, ERR_STORE, "%s", k.now.store_error);
    health_take(&h, &k, false);
    status_write(&h, conf, NULL, false, ret);
    return 0;
}

static int status_ask_any(struct conf *conf, struct buf *ret, struct err *err)
{
    struct err unheard = {0};
    buf_clear(ret);
    if (ask_daemon(conf, ret, &unheard) == 0)
        return 0;
    if (ask_store(conf, ret, err) == 0)
        return 0;
    err_wrap(err, "no daemon answers (%s)", unheard.text);
    return -1;
}

/* ---- showing it ------------------------------------------------------------------------------ */

static size_t lines_of_terminal(void)
{
    struct winsize w;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_row > 1 ? w.ws_row : SIZE_MAX;
}

/* In place: one write, each line wiped behind its end and none wrapped, no more of them than there
 * is room for: so nothing scrolls and nothing flickers. */
static void status_redraw_screen(const struct buf *text)
{
    struct buf out = BUF_INIT(STATUS_MAX * 2);
    size_t room = lines_of_terminal() - 1;
    buf_adds(&out, "\033[?25l\033[?7l\033[H");
    for (const char *s = buf_str(text); *s && room > 0; room--) {
        size_t n = strcspn(s, "\n");
        buf_add(&out, s, n);
        buf_adds(&out, "\033[K\n");
        s += n + (s[n] == '\n');
    }
    buf_adds(&out, "\033[J\033[?7h\033[?25h");
    fwrite(buf_str(&out), 1, out.len, stdout);
    fflush(stdout);
    buf_free(&out);
}

/* docs/formats.md has these: a script asks whether the table can be trusted. */
static int status_exit_of(const struct json *doc)
{
    const char *state = json_str(json_get(json_get(doc, "verdict"), "state"));
    if (!json_bool(json_get(doc, "daemon"), false))
        return STATUS_NO_DAEMON;
    if (state && strcmp(state, "green") == 0)
        return 0;
    return state && strcmp(state, "amber") == 0 ? STATUS_AMBER : STATUS_RED;
}

static int status_print_once(struct conf *conf, bool json, bool watch, int *ret_exit,
                             struct err *err)
{
    struct buf text = BUF_INIT(STATUS_MAX), screen = BUF_INIT(STATUS_MAX);
    int rc = status_ask_any(conf, &text, err);
    struct json *doc = rc == 0 ? json_parse(buf_str(&text), text.len, STATUS_MAX, err) : NULL;
    if (!doc)
        rc = -1;
    else
        *ret_exit = status_exit_of(doc);
    if (doc && !json)
        status_draw(doc, terminal_has_colours(STDOUT_FILENO), &screen);
    json_free(doc);
    if (rc == 0 && watch && !json && terminal_redraws(STDOUT_FILENO))
        status_redraw_screen(&screen);
    else if (rc == 0)
        fputs(buf_str(json ? &text : &screen), stdout);
    fflush(stdout);
    buf_free(&text);
    buf_free(&screen);
    return rc;
}

int command_status(struct cli *cli)
{
    struct err err = {0};
    bool watch = cli_has(cli, "watch"), json = cli_has(cli, "json");
    struct conf *conf = cli_conf(cli, true); /* a daemon without any file answers, too */
    if (!conf)
        return 2;
    stop_install();
    if (watch && terminal_redraws(STDOUT_FILENO) && !json)
        fputs("\033[2J", stdout);
    int rc, status = STATUS_NO_DAEMON;
    do
        rc = status_print_once(conf, json, watch, &status, &err);
    while (rc == 0 && watch && !stop_wait(WATCH_MS));
    conf_free(conf);
    if (rc == 0)
        return status;
    int failed = cli_fail(&err);
    return err.kind == ERR_USAGE ? failed : STATUS_NO_DAEMON;
}
