/*
 * trueup run: prepares in a process of its own (schema, chain identity, the balance's name), then
 * becomes the supervisor. After that it touches neither database, node nor file.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/url.h"
#include "cli/cli.h"
#include "cli/services.h"
#include "proc/child.h"
#include "proc/counters.h"
#include "proc/hint.h"
#include "proc/stop.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const struct cli_option run_options[] = {
    {"from", "BLOCK", NULL, "where a first start begins (default: the finalized block)"},
    {"listen", "ADDR", "http.listen", "HTTP address, or off"},
    {0},
};

enum { RESULT_MAX = 4096, STOP_GRACE_MS = 1500, RELOAD_MS = 20000 };

/* One daemon per SQLite file: the lock is held for as long as the supervisor lives. */
static int lock_sqlite(const char *store, struct err *err)
{
    char path[4096];
    if (strncmp(store, "sqlite:", 7) != 0)
        return 0;
    snprintf(path, sizeof path, "%s.lock", store + 7);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        err_set(err, ERR_STORE, "cannot open \"%s\": %s", path, strerror(errno));
        return err_hint(err, "the database's folder must be there, and be this user's to write to");
    }
    char holder[24] = "";
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        if (ftruncate(fd, 0) == 0) /* an old number would name another process */
            dprintf(fd, "%ld\n", (long)getpid());
        return 0; /* kept open on purpose */
    }
    ssize_t n = read(fd, holder, sizeof holder - 1);
    holder[n > 0 ? strspn(holder, "0123456789") : 0] = '\0';
    close(fd);
    err_set(err, ERR_STORE, "another trueup%s%s runs on \"%s\"", holder[0] ? ", process " : "",
            holder[0] ? holder : "", store + 7);
    return err_hint(err, "stop it first, or give this one another --store");
}

/* Reads until the child closes its end, or until we are asked to stop. */
static void read_result(int fd, char out[RESULT_MAX])
{
    size_t n = 0;
    ssize_t got = 1;
    while (got != 0 && n < RESULT_MAX - 1 && !stop_asked()) {
        struct pollfd p[] = {{.fd = fd, .events = POLLIN}, {.fd = stop_fd(), .events = POLLIN}};
        poll(p, COUNT_OF(p), -1);
        if (p[0].revents == 0)
            continue;
        got = read(fd, out + n, RESULT_MAX - 1 - n);
        n += got > 0 ? (size_t)got : 0;
        if (got < 0 && errno != EINTR)
            break;
    }
    out[n] = '\0';
    close(fd);
}

/* "name TEXT", "chain N" and "owner TEXT", one a line, as worker prepare writes them. */
static void take_result(struct conf *conf, char *text, char owner[COUNTERS_OWNER])
{
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        uint64_t id;
        if (strncmp(line, "name ", 5) == 0)
            conf_name_balance(conf, line + 5);
        else if (strncmp(line, "chain ", 6) == 0 && parse_u64(line + 6, strlen(line + 6), &id))
            conf_set_chain_id(conf, id);
        else if (strncmp(line, "owner ", 6) == 0)
            snprintf(owner, COUNTERS_OWNER, "%s", line + 6);
    }
}

/* Asked to stop while preparing: the child may finish its statement, but not for long. */
static void stop_child(pid_t pid)
{
    int64_t deadline = clock_ms() + STOP_GRACE_MS;
    kill(pid, SIGTERM);
    while (waitpid(pid, NULL, WNOHANG) == 0) {
        struct timespec pause = {.tv_nsec = 5000000};
        if (clock_ms() >= deadline)
            kill(pid, SIGKILL);
        nanosleep(&pause, NULL);
    }
}

/* Runs `trueup worker prepare` to its end; its exit status, 0 with conf completed. *ret_stopped: we
 * were asked to stop meanwhile. */
static int run_prepare_store(struct conf *conf, const char *from, char owner[COUNTERS_OWNER],
                             bool *ret_stopped, struct err *err)
{
    struct buf text = BUF_INIT(CHILD_TEXT_MAX);
    char result[RESULT_MAX], words[80];
    struct child_ask ask = {.role = "prepare"};
    int fd, status = 0, exit_code;
    pid_t pid;
    if (from)
        buf_addf(&text, "# from %s\n", from);
    conf_write(conf, CONF_FOR_FOLLOW, &text);
    ask.text = buf_str(&text);
    ask.n = text.len;
    int rc = child_start(&ask, &fd, &pid, err);
    buf_free(&text);
    if (rc < 0)
        return 1;
    read_result(fd, result);
    *ret_stopped = stop_asked();
    if (*ret_stopped) {
        stop_child(pid);
        return 0;
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    child_status_text(status, words, sizeof words, &exit_code);
    if (exit_code == 0)
        take_result(conf, result, owner);
    else if (exit_code < 0)
        err_set(err, ERR_FAILED, "preparing died: %s", words);
    return exit_code < 0 ? 1 : exit_code;
}

static int run_workers(struct conf *conf, const struct cli *cli, const char *owner, struct err *err)
{
    struct service services[SERVICES];
    struct buf again = BUF_INIT(CHILD_TEXT_MAX);
    struct err unshared = {0};
    if (counters_create(&unshared) < 0)
        log_warn_err("nothing is counted", &unshared);
    counters_set(CELL_ENDPOINTS, conf->chain.n_endpoints);
    counters_owner_put(owner);
    counters_set(CELL_WS_WANTED, services_count_sockets(conf));
    if (hint_create(&unshared) < 0)
        log_warn_err("new blocks are found by polling", &unshared);
    services_choose(conf, cli_value(cli, "from"), services);
    reload_ask(cli, conf, &again);
    if (again.overflow)
        log_warn("the settings cannot be read again while the daemon runs: the environment and "
                 "they are too large",
                 LOG_U64("most_bytes", CHILD_TEXT_MAX));
    struct supervision ask = {.services = services,
                              .n = SERVICES,
                              .reload = again.overflow ? NULL : buf_str(&again),
                              .reload_len = again.len,
                              .reload_ms = RELOAD_MS,
                              .on_part = reload_part_taken};
    int status = supervisor_run(&ask, err);
    buf_free(&again);
    services_free(services);
    return status;
}

/* A deployment without a URL stays up and says why, as its predecessor did. */
static int run_without_endpoints(struct conf *conf, const struct cli *cli)
{
    struct err err = {0};
    log_error("no endpoint is configured: nothing is followed",
              LOG_STR("hint", "set chain.endpoints, --rpc or ethRpcUrl"));
    return run_workers(conf, cli, "", &err);
}

static void run_announce_start(const struct conf *conf)
{
    char store[URL_TEXT], url[URL_TEXT];
    url_masked(store, conf->store);
    url_masked(url, conf->chain.endpoints[0].url);
    log_info("trueup starts", LOG_STR("version", TRUEUP_VERSION), LOG_STR("store", store),
             LOG_STR("endpoint", url),
             LOG_STR("settings", conf_file(conf) ? conf_file(conf) : "flags and environment"));
}

/* Before anything that may take a while. As PID 1 of a container a process gets no signal that it
 * has not asked for. SIGHUP waits until the supervisor listens (proc/supervisor.c): what it is told
 * of may be newer than what we are about to read. */
static void hear_signals(void)
{
    sigset_t later;
    sigemptyset(&later);
    sigaddset(&later, SIGHUP);
    sigprocmask(SIG_BLOCK, &later, NULL);
    stop_install();
}

int command_run(struct cli *cli)
{
    struct err err = {0};
    uint64_t from = 0;
    hear_signals();
    if (cli_number(cli, "from", &from, &err) < 0)
        return cli_fail(&err);
    struct conf *conf = cli_conf(cli, false);
    if (!conf)
        return stop_asked() ? 0 : 2;
    log_setup((enum log_level)conf->log.level, conf->log.json, "trueup");
    int status;
    if (lock_sqlite(conf->store, &err) < 0) {
        status = cli_fail(&err);
    } else if (conf->chain.n_endpoints == 0) {
        status = run_without_endpoints(conf, cli);
    } else {
        run_announce_start(conf);
        bool stopped = false;
        char owner[COUNTERS_OWNER] = "";
        status = run_prepare_store(conf, cli_value(cli, "from"), owner, &stopped, &err);
        if (status == 0 && !stopped)
            status = run_workers(conf, cli, owner, &err);
        if (err.kind != ERR_NONE)
            status = cli_fail(&err);
    }
    conf_free(conf);
    return status;
}
