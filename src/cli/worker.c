/*
 * trueup worker follow|listen|sweep|web|prepare: one process of `run`. Started by the supervisor it
 * has its settings on fd 3; by hand it reads them like any command.
 */
#include "worker/worker.h"
#include "base/backoff.h"
#include "base/err.h"
#include "base/log.h"
#include "base/parse.h"
#include "cli/cli.h"
#include "cli/naming.h"
#include "cli/services.h"
#include "cli/terms.h"
#include "proc/alive.h"
#include "proc/child.h"
#include "proc/counters.h"
#include "proc/crash_report.h"
#include "proc/hint.h"
#include "proc/stop.h"
#include "track/event_silence.h"
#include "web/web.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PREPARE_LEAST_MS = 500, PREPARE_MOST_MS = 5000 };

const struct cli_option worker_options_[] = {
    {"once", NULL, NULL, "one turn, then end"},
    {"from", "BLOCK", NULL, "follow: where a first start begins"},
    {0},
};

/* A first line "# from N" carries --from beside the settings. */
static void take_from(const struct buf *text, struct worker_options *options)
{
    const char *s = buf_str(text);
    if (strncmp(s, "# from ", 7) == 0)
        options->has_from = parse_u64(s + 7, strcspn(s + 7, "\n"), &options->from);
}

/* NULL: *ret_status is what to exit with. That the pipe cannot be read, or holds nothing, is an
 * accident: only what was read and refused is 2, which ends the daemon. */
static struct conf *worker_load_conf(struct cli *cli, struct worker_options *options,
                                     int *ret_status)
{
    struct buf text = BUF_INIT(CHILD_TEXT_MAX);
    struct conf_problems problems = {0};
    struct err err = {0};
    struct conf *conf = NULL;
    *ret_status = 2;
    if (!child_has_settings())
        return cli_conf(cli, false);
    int rc = child_read_settings(&text, &err);
    if (rc == 0 && text.len == 0)
        rc = err_set(&err, ERR_FAILED, "settings did not arrive");
    if (rc < 0)
        *ret_status = cli_fail(&err);
    else if (!(conf = conf_load_text(buf_str(&text), text.len, &problems)))
        cli_report_problems(&problems, cli->args[0]);
    take_from(&text, options);
    conf_problems_free(&problems);
    buf_free(&text);
    return conf;
}

/* A node that is away does not matter when the store knows the chain already: workers wait for it.
 */
static bool knows_its_chain(struct tracker *t)
{
    struct arena arena;
    const char *id = NULL;
    struct err err;
    arena_init(&arena);
    bool known = store_state_get(t->store, "chain.id", &arena, &id, &err) == 0 && id;
    arena_free(&arena);
    return known;
}

/* A contract that is not there would else be silence for ever: no event, no wallet, no error. */
static void warn_of_silent_terms(struct tracker *t, const struct conf_balance *b)
{
    for (size_t i = 0; i < b->n_terms; i++) {
        const struct conf_term *term = &b->terms[i];
        char text[ADDRESS_TEXT];
        bool silent = false;
        address_checksum(&term->contract, text);
        if (term_is_silent(t->node, &term->contract, term->view.selector, &silent, NULL) == 0 &&
            silent)
            log_warn("a term's contract does not answer: is it on this chain?",
                     LOG_STR("balance", b->name), LOG_STR("term", term->name),
                     LOG_STR("contract", text));
    }
}

/* What a start does to the tables, it does as their owner. While another daemon owns them, the
 * worker follow stands by, and does the same when it takes over. */
static int prepare_tables(struct tracker *t, bool *ret_owns, struct err *err)
{
    struct takeover w;
    struct takeover_report r;
    char owner[COUNTERS_OWNER];
    *ret_owns = false;
    if (tracker_check_settings(t, err) < 0 || store_upgrade(t->store, err) < 0)
        return -1;
    takeover_open(&w, t);
    int rc = takeover_try(&w, FENCE_FOLLOW, &r, err);
    if (rc < 0)
        takeover_release(&w);
    if (rc == 0 && r.state != TAKEOVER_STANDBY) {
        worker_log_adopted(&r.adopted);
        takeover_owner_text(&w.owner, owner);
        dprintf(CHILD_RESULT_FD, "owner %s\n", owner);
        *ret_owns = true;
    }
    takeover_close(&w);
    return rc;
}

/* A later start goes on from its checkpoint. */
static void worker_report_from(struct tracker *t, const struct worker_options *options)
{
    for (size_t i = 0; options->has_from && i < t->n_balances; i++) {
        uint64_t at = 0;
        bool found = false;
        struct err ignored;
        if (store_checkpoint_get(t->store, &t->balances[i].store, &at, &found, &ignored) == 0 &&
            found)
            log_warn("--from has no effect: the balance goes on from its checkpoint",
                     LOG_STR("balance", t->balances[i].conf->name), LOG_U64("from", options->from),
                     LOG_U64("checkpoint", at),
                     LOG_STR("hint", "`trueup backfill --from` reads older events"));
    }
}

/* Told in the status until the event is seen; nothing fails by it. */
static void worker_find_silence(struct tracker *t)
{
    struct header head;
    struct err err = {0};
    int rc = t->chain_id ? tracker_get_head(t, &head, &err) : -1;
    for (size_t i = 0; rc == 0 && i < t->n_balances; i++) {
        struct event_silence s;
        rc = event_silence_find(t, &t->balances[i], head.at.number, &s, &err);
        if (rc == 0)
            rc = event_silence_save(t, &t->balances[i], &s, &err);
        for (size_t k = 0; rc == 0 && k < s.n; k++)
            if (s.list[k].doubted)
                log_warn("an event of the settings was not seen",
                         LOG_STR("balance", t->balances[i].conf->name),
                         LOG_STR("reason", s.list[k].text));
    }
    if (rc < 0 && err.kind != ERR_NONE)
        log_debug("events of the triggers were not looked for", LOG_STR("error", err.text));
}

static int worker_prepare_once(struct conf *conf, const struct worker_options *options,
                               struct err *err)
{
    struct tracker t;
    bool owns = false;
    if (name_balances(conf, err) < 0 ||
        tracker_open(conf, "trueup prepare", NEEDS_NODE | NEEDS_STORE, &t, err) < 0)
        return -1;
    int rc = prepare_tables(&t, &owns, err);
    if (rc == 0)
        rc = tracker_identify(&t, CHAIN_SURE, err);
    if (rc < 0 && err->kind == ERR_UNREACHABLE && knows_its_chain(&t)) {
        log_warn_err("no endpoint answers yet, waiting for it", err);
        rc = 0;
    }
    if (rc == 0) {
        worker_report_from(&t, options);
        if (owns)
            worker_find_silence(&t);
        for (size_t i = 0; i < conf->n_balances && t.chain_id; i++)
            warn_of_silent_terms(&t, &conf->balances[i]);
        dprintf(CHILD_RESULT_FD, "name %s\n", conf->balances[0].name);
        if (t.chain_id)
            dprintf(CHILD_RESULT_FD, "chain %" PRIu64 "\n", t.chain_id);
    }
    tracker_close(&t);
    return rc;
}

/* A node or a database that is not up yet is waited for; a refusal is not. */
static int worker_prepare_store(struct conf *conf, const struct worker_options *options)
{
    struct backoff backoff;
    backoff_init(&backoff, PREPARE_LEAST_MS, PREPARE_MOST_MS, rng_seed_from_system());
    for (;;) {
        struct err err = {0};
        if (worker_prepare_once(conf, options, &err) == 0)
            return 0;
        if (err.kind != ERR_UNREACHABLE && err.kind != ERR_STORE_LOST)
            return cli_fail(&err);
        log_warn_err("not ready, trying again", &err);
        if (stop_wait(backoff_next(&backoff)))
            return 0;
    }
}

static int worker_report_end(int status, const struct err *err)
{
    return status ? cli_fail(err) : 0;
}

int command_worker(struct cli *cli)
{
    const bool supervised = child_has_settings();
    struct worker_options options = {.once = cli_has(cli, "once"),
                                     .hint_fd = supervised ? hint_attach() : -1};
    struct err err = {0};
    const char *role = cli->args[0];
    if (strcmp(role, "reload") == 0 && supervised)
        return reload_work();
    if (cli_number(cli, "from", &options.from, &err) < 0)
        return cli_fail(&err);
    options.has_from = cli_has(cli, "from");
    int status;
    struct conf *conf = worker_load_conf(cli, &options, &status);
    if (!conf)
        return status;
    log_setup((enum log_level)conf->log.level, conf->log.json, role);
    counters_attach(role);
    crash_report_install();
    alive_begin();
    stop_install();
    if (supervised)
        signal(SIGHUP, SIG_IGN); /* is for the supervisor, whoever else it is sent to */
    if (strcmp(role, "prepare") == 0)
        status = worker_prepare_store(conf, &options);
    else if (name_balances(conf, &err) < 0)
        status = cli_fail(&err);
    else if (strcmp(role, "follow") == 0)
        status = worker_report_end(worker_follow(conf, &options, &err), &err);
    else if (strcmp(role, "listen") == 0)
        status = worker_report_end(worker_listen(conf, &options, &err), &err);
    else if (strcmp(role, "sweep") == 0)
        status = worker_report_end(worker_sweep(conf, &options, &err), &err);
    else if (strcmp(role, "web") == 0)
        status = web_run(conf, &err) < 0 ? cli_fail(&err) : 0;
    else
        status = cli_usage(
            cli, "worker: unknown role \"%s\"; follow, listen, sweep, web or prepare", role);
    conf_free(conf);
    return status;
}
