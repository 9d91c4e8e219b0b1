/*
 * trueup status: what a running daemon is doing, on one screen. It asks the daemon over HTTP; when
 * that does not answer, it reads the database itself and says that nobody keeps it.
 */
#include "web/status.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/parse.h"
#include "cli/cli.h"
#include "cli/naming.h"
#include "proc/stop.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const struct cli_option status_options[] = {
    {"watch", NULL, NULL, "redraw every two seconds, until Ctrl-C"},
    {"listen", "ADDR", "http.listen", "where the daemon serves HTTP"},
    {0},
};

enum { WATCH_MS = 2000, ASK_MS = 3000, BAR = 30 };

/* ---- asking the daemon ----------------------------------------------------------------------- */

/* Where to reach what listens there: a wildcard is this machine. */
static bool split(const char *listen, char host[256], const char **port)
{
    const char *colon = strrchr(listen, ':');
    size_t n = colon ? (size_t)(colon - listen) : 256;
    if (n >= 256)
        return false;
    *port = colon + 1;
    if (n >= 2 && listen[0] == '[') {
        listen++;
        n -= 2;
    }
    memcpy(host, listen, n);
    host[n] = '\0';
    if (!host[0] || strcmp(host, "0.0.0.0") == 0)
        snprintf(host, 256, "127.0.0.1");
    else if (strcmp(host, "::") == 0)
        snprintf(host, 256, "::1");
    return true;
}

static bool ready(int fd, short events, int64_t deadline)
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
    if (!split(listen, host, &port) || getaddrinfo(host, port, &hints, &found) != 0)
        return err_set(err, ERR_FAILED, "\"%s\" is no address", listen);
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int why = 0;
    socklen_t n = sizeof why;
    if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) < 0) {
        why = errno;
        if (why == EINPROGRESS) {
            why = ETIMEDOUT;
            if (ready(fd, POLLOUT, deadline))
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
static int exchange(int fd, const struct conf *conf, int64_t deadline, struct buf *reply,
                    struct err *err)
{
    struct buf ask = BUF_INIT(4096);
    buf_addf(&ask, "GET /v1/status HTTP/1.1\r\nHost: trueup\r\nConnection: close\r\n");
    if (conf->http.token)
        buf_addf(&ask, "Authorization: Bearer %s\r\n", conf->http.token);
    buf_adds(&ask, "\r\n");
    bool sent = ready(fd, POLLOUT, deadline) && write(fd, ask.data, ask.len) == (ssize_t)ask.len;
    buf_free(&ask);
    while (sent && ready(fd, POLLIN, deadline)) {
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
    int rc = exchange(fd, conf, deadline, &reply, err);
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
    static struct knowledge k; /* large */
    static struct health h;
    struct store *s;
    const char *file = strncmp(conf->store, "sqlite:", 7) == 0 ? conf->store + 7 : NULL;
    if (conf->n_balances == 0) {
        err_set(err, ERR_USAGE, "nothing is configured here");
        return err_hint(err,
                        "-c FILE names the settings, --listen ADDR where a daemon serves HTTP");
    }
    if (file && access(file, F_OK) < 0)
        return err_set(err, ERR_STORE, "\"%s\": %s", file, strerror(errno));
    if (name_balances(conf, err) < 0 || store_open(conf->store, "trueup status", &s, err) < 0)
        return -1;
    knowledge_init(&k, conf);
    int64_t looked = knowledge_look(&k, s);
    if (looked >= 0)
        knowledge_scan(&k, s);
    store_close(s);
    if (looked < 0)
        return err_set(err, ERR_STORE, "%s", k.now.store_error);
    health_take(&h, &k, false);
    status_write(&h, conf, NULL, false, ret);
    return 0;
}

static int ask(struct conf *conf, struct buf *ret, struct err *err)
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

/* ---- the screen ------------------------------------------------------------------------------ */

struct screen {
    struct buf out;
    bool colour;
};

static const char *paint(const struct screen *s, const char *state)
{
    if (!s->colour)
        return "";
    return strcmp(state, "green") == 0   ? "\033[32m"
           : strcmp(state, "amber") == 0 ? "\033[33m"
           : strcmp(state, "red") == 0   ? "\033[31m"
           : strcmp(state, "bold") == 0  ? "\033[1m"
           : strcmp(state, "dim") == 0   ? "\033[2m"
                                         : "\033[0m";
}

static const char *text_of(const struct json *object, const char *key)
{
    const char *text = json_str(json_get(object, key));
    return text ? text : "";
}

/* A number without its fraction; −1 when there is none. */
static int64_t number_of(const struct json *object, const char *key)
{
    struct buf text = BUF_INIT(64);
    int64_t ret = -1;
    uint64_t whole;
    json_print(json_get(object, key), &text);
    const char *s = buf_str(&text);
    if (parse_u64(s, strcspn(s, "."), &whole) && whole <= INT64_MAX)
        ret = (int64_t)whole;
    buf_free(&text);
    return ret;
}

static void add_number(struct screen *s, int64_t n)
{
    char digits[24];
    if (n < 0) {
        buf_adds(&s->out, "-");
        return;
    }
    snprintf(digits, sizeof digits, "%" PRId64, n);
    for (size_t i = 0, len = strlen(digits); i < len; i++) {
        if (i && (len - i) % 3 == 0)
            buf_addc(&s->out, ',');
        buf_addc(&s->out, digits[i]);
    }
}

static void add_age(struct screen *s, int64_t seconds)
{
    char text[CLOCK_TEXT];
    duration_text(text, seconds * 1000);
    buf_adds(&s->out, seconds < 0 ? "-" : text);
}

static void add_pair(struct screen *s, const char *name, int64_t n)
{
    buf_addf(&s->out, "  %s%s%s ", paint(s, "dim"), name, paint(s, "plain"));
    add_number(s, n);
}

static void draw_verdict(struct screen *s, const struct json *doc)
{
    const struct json *v = json_get(doc, "verdict");
    const char *state = text_of(v, "state");
    buf_addf(&s->out, "%strueup %s%s  chain ", paint(s, "bold"), text_of(doc, "version"),
             paint(s, "plain"));
    int64_t id = number_of(json_get(doc, "chain"), "id");
    buf_addf(&s->out, "%" PRId64 ", %s, %s\n\n", id < 0 ? 0 : id,
             text_of(json_get(doc, "store"), "kind"), text_of(json_get(doc, "chain"), "mode"));
    buf_addf(&s->out, "%s%s%s  %s\n", paint(s, state),
             strcmp(state, "green") == 0   ? "TRUE"
             : strcmp(state, "amber") == 0 ? "CATCHING UP"
                                           : "NOT TO BE TRUSTED",
             paint(s, "plain"), text_of(v, "text"));
    for (const struct json *r = json_first(json_get(v, "reasons")); r; r = json_next(r))
        buf_addf(&s->out, "  - %s\n", text_of(r, "text"));
    buf_addc(&s->out, '\n');
}

static void draw_chain(struct screen *s, const struct json *doc)
{
    static const char *const names[] = {"head", "covered", "settled"};
    const struct json *c = json_get(doc, "chain");
    int64_t head = number_of(c, "head");
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        int64_t n = number_of(c, names[i]);
        buf_addf(&s->out, "%-11s", names[i]);
        add_number(s, n);
        if (i && n >= 0 && head > n)
            buf_addf(&s->out, "  (%" PRId64 " behind the head)", head - n);
        buf_addc(&s->out, '\n');
    }
    buf_addc(&s->out, '\n');
}

static void draw_lap(struct screen *s, const struct json *b)
{
    const struct json *lap = json_get(b, "lap");
    int64_t rows = number_of(b, "rows"), done = number_of(lap, "rows");
    int64_t full = number_of(lap, "full_pass_seconds");
    if (rows <= 0 || text_of(lap, "started")[0] == '\0')
        return;
    int64_t filled = done >= rows ? BAR : done * BAR / rows;
    buf_adds(&s->out, "  sweep    [");
    for (int64_t i = 0; i < BAR; i++)
        buf_addc(&s->out, i < filled ? '#' : '.');
    buf_addf(&s->out, "] %" PRId64 " %% of lap %" PRId64 ", every row once in ",
             done >= rows ? 100 : done * 100 / rows, number_of(lap, "number"));
    add_age(s, full);
    buf_addc(&s->out, '\n');
}

static void draw_balances(struct screen *s, const struct json *doc)
{
    for (const struct json *b = json_first(json_get(doc, "balances")); b; b = json_next(b)) {
        buf_addf(&s->out, "%s%s%s (table %s)\n", paint(s, "bold"), text_of(b, "name"),
                 paint(s, "plain"), text_of(b, "table"));
        buf_adds(&s->out, "  checkpoint ");
        add_number(s, number_of(b, "checkpoint"));
        add_pair(s, "rows", number_of(b, "rows"));
        add_pair(s, "not proven", number_of(b, "unproven"));
        add_pair(s, "quarantined", number_of(b, "quarantined"));
        buf_adds(&s->out, "\n  age      oldest ");
        add_age(s, number_of(b, "oldest_age_seconds"));
        buf_adds(&s->out, ", half below ");
        add_age(s, number_of(json_get(b, "age_quantiles"), "0.5"));
        buf_addc(&s->out, '\n');
        draw_lap(s, b);
    }
    buf_addc(&s->out, '\n');
}

static void draw_work(struct screen *s, const struct json *doc)
{
    const struct json *sweep = json_get(doc, "sweep");
    buf_adds(&s->out, "rows read  ");
    for (const struct json *p = json_first(json_get(doc, "refreshed")); p; p = json_next(p)) {
        int64_t n = number_of(json_get(doc, "refreshed"), json_key(p));
        if (n > 0)
            add_pair(s, json_key(p), n);
    }
    buf_adds(&s->out, "\nticks      ");
    add_pair(s, "done", number_of(sweep, "done"));
    add_pair(s, "dropped", number_of(sweep, "dropped"));
    add_pair(s, "failed", number_of(sweep, "failed"));
    buf_adds(&s->out, "\ndrift      ");
    add_pair(s, "rows", number_of(json_get(doc, "drift"), "total"));
    buf_adds(&s->out, "\n\n");
}

static void draw_endpoints(struct screen *s, const struct json *doc)
{
    const struct json *e = json_first(json_get(doc, "endpoints"));
    if (e)
        buf_addf(&s->out, "%s%-16s %-10s %9s %10s  %s%s\n", paint(s, "dim"), "endpoint", "state",
                 "latency", "requests", "reader", paint(s, "plain"));
    for (; e; e = json_next(e)) {
        bool up = json_bool(json_get(e, "up"), false);
        buf_addf(&s->out, "%-16.16s %s%-10s%s %6" PRId64 " ms ", text_of(e, "name"),
                 paint(s, up ? "green" : "red"), up ? "answers" : "down", paint(s, "plain"),
                 number_of(e, "latency_ms"));
        buf_addf(&s->out, "%10" PRId64 "  %s\n", number_of(e, "requests"), text_of(e, "reader"));
        if (!up && text_of(e, "paused_why")[0])
            buf_addf(&s->out, "  - %s\n", text_of(e, "paused_why"));
        for (const struct json *f = json_first(json_get(e, "faults")); f; f = json_next(f))
            buf_addf(&s->out, "%s%s %" PRId64,
                     f == json_first(json_get(e, "faults")) ? "  faults: " : ", ", json_key(f),
                     number_of(json_get(e, "faults"), json_key(f)));
        if (json_first(json_get(e, "faults")))
            buf_addc(&s->out, '\n');
    }
}

static void draw_workers(struct screen *s, const struct json *doc)
{
    const struct json *w = json_first(json_get(doc, "workers"));
    if (w)
        buf_addf(&s->out, "\n%s%-16s %-10s %9s  %s%s\n", paint(s, "dim"), "worker", "state",
                 "restarts", "last words", paint(s, "plain"));
    for (; w; w = json_next(w)) {
        bool runs = json_bool(json_get(w, "running"), false);
        bool parked = json_bool(json_get(w, "parked"), false);
        const char *words = text_of(w, "last_words");
        buf_addf(&s->out, "%-16.16s %s%-10s%s %9" PRId64 "  %.90s\n", text_of(w, "name"),
                 paint(s, runs && !parked ? "green" : "red"),
                 parked ? (runs ? "on trial" : "parked")
                 : runs ? "runs"
                        : "down",
                 paint(s, "plain"), number_of(w, "restarts"),
                 words[0] ? words : text_of(w, "died_of"));
    }
}

static void draw(struct screen *s, const struct json *doc)
{
    draw_verdict(s, doc);
    draw_chain(s, doc);
    draw_balances(s, doc);
    if (json_bool(json_get(doc, "daemon"), false)) {
        draw_work(s, doc);
        draw_endpoints(s, doc);
        draw_workers(s, doc);
    }
}

/* One write, each line wiped behind its end: nothing flickers. */
static void show(const struct buf *text, bool watch)
{
    struct buf out = BUF_INIT(STATUS_MAX * 2);
    if (watch)
        buf_adds(&out, "\033[H");
    for (const char *s = buf_str(text); *s;) {
        size_t n = strcspn(s, "\n");
        buf_add(&out, s, n);
        buf_adds(&out, watch ? "\033[K\n" : "\n");
        s += n + (s[n] == '\n');
    }
    if (watch)
        buf_adds(&out, "\033[J");
    fwrite(buf_str(&out), 1, out.len, stdout);
    fflush(stdout);
    buf_free(&out);
}

static int once(struct conf *conf, bool json, bool watch, struct err *err)
{
    struct screen s = {.out = BUF_INIT(STATUS_MAX), .colour = isatty(STDOUT_FILENO) && !json};
    struct buf text = BUF_INIT(STATUS_MAX);
    int rc = ask(conf, &text, err);
    if (rc == 0 && json) {
        show(&text, false);
    } else if (rc == 0) {
        struct json *doc = json_parse(buf_str(&text), text.len, STATUS_MAX, err);
        rc = doc ? 0 : -1;
        if (doc)
            draw(&s, doc);
        json_free(doc);
        if (rc == 0)
            show(&s.out, watch && s.colour);
    }
    buf_free(&text);
    buf_free(&s.out);
    return rc;
}

int command_status(struct cli *cli)
{
    struct err err = {0};
    bool watch = cli_has(cli, "watch"), json = cli_has(cli, "json");
    struct conf *conf = cli_conf_or_defaults(cli); /* a daemon without any file answers, too */
    if (!conf)
        return 2;
    stop_install();
    if (watch && isatty(STDOUT_FILENO) && !json)
        fputs("\033[2J", stdout);
    int rc;
    do
        rc = once(conf, json, watch, &err);
    while (rc == 0 && watch && !stop_wait(WATCH_MS));
    conf_free(conf);
    return rc < 0 ? cli_fail(&err) : 0;
}
