/*
 * SIGHUP: the file, the environment and the flags are read again, by a process of its own, which
 * hands each worker's settings to the supervisor. What the tables were made for cannot change while
 * the daemon runs (conf_keep()); that is said, and the old value stays.
 *
 * Other endpoints are taken only when one of them has shown that it is on our chain: a worker that
 * found itself on another one would end the daemon, and a slip in a file is no reason for that.
 */
#include "proc/reload.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/services.h"
#include "proc/child.h"
#include "proc/counters.h"
#include "track/tracker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* ---- the question ---------------------------------------------------------------------------- */

static void add_text(struct buf *out, const char *name, const char *text)
{
    if (text)
        reload_text_part(out, name, text, strlen(text));
}

void reload_ask(const struct cli *cli, const struct conf *conf, struct buf *out)
{
    struct buf old = BUF_INIT(CHILD_TEXT_MAX);
    conf_write(conf, CONF_FOR_FOLLOW, &old);
    add_text(out, "old", buf_str(&old));
    add_text(out, "file", cli->file);
    add_text(out, "token", cli_value(cli, "token"));
    add_text(out, "balance", cli_value(cli, "balance"));
    add_text(out, "from", cli_value(cli, "from"));
    for (size_t i = 0; i < cli->n_flags; i++) {
        add_text(out, "path", cli->flags[i].path);
        add_text(out, "flag", cli->flags[i].flag);
        add_text(out, "value", cli->flags[i].value);
    }
    for (char **e = environ; *e; e++)
        add_text(out, "env", *e);
    buf_free(&old);
}

/* ---- the helper ------------------------------------------------------------------------------ */

struct reload_request {
    struct arena texts;
    struct conf_source_set from;
    struct conf_flag flags[CLI_FLAGS];
    char **environment; /* of who asks, ended by NULL; for ${NAME}, and nobody else's to see */
    size_t n_environment;
    const char *start_block; /* --from */
    struct conf *old;
};

static void take_variable(struct reload_request *q, char *entry)
{
    q->environment = mem_grow(q->environment, q->n_environment + 2, sizeof *q->environment);
    q->environment[q->n_environment++] = entry;
    q->environment[q->n_environment] = NULL;
}

static void take_part(struct reload_request *q, const char *name, const char *text, size_t n)
{
    struct conf_problems problems = {0};
    char *copy = arena_printf(&q->texts, "%.*s", (int)n, text);
    struct conf_flag *flag = &q->flags[q->from.n_flags ? q->from.n_flags - 1 : 0];
    const struct {
        const char *name, **to;
    } texts[] = {{"file", &q->from.file}, {"token", &q->from.token},
                 {"flag", &flag->flag},   {"balance", &q->from.only_balance},
                 {"value", &flag->value}, {"from", &q->start_block}};
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (strcmp(name, texts[i].name) == 0)
            *texts[i].to = copy;
    if (strcmp(name, "old") == 0) {
        q->old = conf_load_text(text, n, &problems);
        conf_problems_free(&problems);
    } else if (strcmp(name, "env") == 0) {
        take_variable(q, copy);
    } else if (strcmp(name, "path") == 0 && q->from.n_flags < CLI_FLAGS) {
        q->flags[q->from.n_flags++].path = copy;
    }
}

static int read_question(struct reload_request *q)
{
    struct reload r = {.answer = BUF_INIT(CHILD_TEXT_MAX)};
    struct err err = {0};
    const char *name, *text;
    size_t at = 0, n;
    if (child_read_settings(&r.answer, &err) < 0)
        return cli_fail(&err);
    while (reload_part(&r, &at, &name, &text, &n))
        take_part(q, name, text, n);
    buf_free(&r.answer);
    q->from.flags = q->flags;
    q->from.environ_ = q->environment;
    return 0;
}

static bool write_all(const struct buf *out)
{
    for (size_t done = 0; done < out->len;) {
        ssize_t n = write(CHILD_RESULT_FD, out->data + done, out->len - done);
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return !out->overflow;
}

static bool reload_write_answer(const struct conf *conf, const char *from)
{
    struct service services[SERVICES];
    struct buf out = BUF_INIT(SERVICES * CHILD_TEXT_MAX);
    char text[40];
    snprintf(text, sizeof text, "%d %d", conf->log.level, conf->log.json);
    add_text(&out, "log", text);
    snprintf(text, sizeof text, "%zu %zu", conf->chain.n_endpoints, services_count_sockets(conf));
    add_text(&out, "endpoints", text);
    services_choose(conf, from, services);
    for (size_t i = 0; i < SERVICES; i++)
        reload_text_part(&out, services[i].name, buf_str(&services[i].settings),
                         services[i].settings.len);
    bool whole = write_all(&out);
    services_free(services);
    buf_free(&out);
    return whole;
}

/* ---- are they ours? -------------------------------------------------------------------------- */

static bool same_endpoints(const struct conf *a, const struct conf *b)
{
    bool same = a->chain.n_endpoints == b->chain.n_endpoints;
    for (size_t i = 0; same && i < a->chain.n_endpoints; i++)
        same = strcmp(a->chain.endpoints[i].url, b->chain.endpoints[i].url) == 0;
    return same;
}

static int reload_identify_endpoints(struct conf *conf, int needs, struct err *err)
{
    struct tracker t;
    if (tracker_open(conf, "trueup reload", needs, &t, err) < 0)
        return -1;
    int rc = tracker_identify(&t, CHAIN_LIKELY, err);
    tracker_close(&t);
    return rc;
}

/* At least one of the endpoints answers and is on our chain. While the store cannot tell its
 * genesis, the chain id that the daemon started with must do; it has none if no endpoint answered
 * then, and nobody can vouch for the new ones. */
static bool on_our_chain(struct conf *conf, struct err *err)
{
    if (reload_identify_endpoints(conf, NEEDS_NODE | NEEDS_STORE, err) == 0)
        return true;
    if (!conf->chain.id || (err->kind != ERR_STORE && err->kind != ERR_STORE_LOST))
        return false;
    *err = (struct err){0};
    return reload_identify_endpoints(conf, NEEDS_NODE, err) == 0;
}

/* ---- its work -------------------------------------------------------------------------------- */

/* Its exit status. */
static int read_again(struct reload_request *q)
{
    struct conf_problems problems = {0};
    struct buf kept = BUF_INIT(1024);
    struct err err = {0};
    int status = 2;
    struct conf *conf = conf_load(&q->from, &problems);
    cli_log_lines(LOG_ERROR, "settings refused", "problem", buf_str(&problems.text));
    if (conf) {
        cli_log_lines(LOG_WARN, "check this setting", "setting", conf_warnings(conf));
        conf_keep(conf, q->old, &kept);
        cli_log_lines(LOG_ERROR,
                      "this setting cannot change while the daemon runs, the old value stays",
                      "setting", buf_str(&kept));
        if (same_endpoints(conf, q->old) || on_our_chain(conf, &err))
            status = reload_write_answer(conf, q->start_block) ? 0 : 1;
        else
            log_error("settings refused", LOG_STR("problem", err.text),
                      LOG_STR("hint", "none of the new endpoints shows that it is on our chain"));
    }
    buf_free(&kept);
    conf_problems_free(&problems);
    conf_free(conf);
    return status;
}

int reload_work(void)
{
    struct reload_request q = {0};
    prctl(PR_SET_DUMPABLE, 0); /* it holds all of the environment: no core of it */
    arena_init(&q.texts);
    int status = read_question(&q);
    if (status == 0 && !q.old)
        status = 1;
    if (status == 0) {
        log_setup((enum log_level)q.old->log.level, q.old->log.json, "reload");
        status = read_again(&q);
    }
    conf_free(q.old);
    mem_free(q.environment);
    arena_free(&q.texts);
    return status;
}

/* ---- the answer ------------------------------------------------------------------------------ */

void reload_part_taken(const char *name, const char *text, size_t n)
{
    char *copy = mem_strndup(text, n), *rest;
    long first = strtol(copy, &rest, 10);
    if (strcmp(name, "log") == 0)
        log_setup((enum log_level)first, strtol(rest, NULL, 10) != 0, "trueup");
    else if (strcmp(name, "endpoints") == 0) {
        counters_set(CELL_ENDPOINTS, (uint64_t)first);
        counters_set(CELL_WS_WANTED, (uint64_t)strtol(rest, NULL, 10));
    }
    mem_free(copy);
}
