#include "cli/session.h"
#include "cli/naming.h"
#include "proc/stop.h"
#include "track/refresh/learned.h"

/* ERR_USAGE unless there is at least one endpoint. */
static int session_need_endpoint(const struct conf *conf, struct err *err)
{
    if (conf->chain.n_endpoints > 0)
        return 0;
    err_set(err, ERR_USAGE, "no endpoint is configured");
    return err_hint(err, "give --rpc URL, or chain.endpoints in a file");
}

/* Names the balance of a command without a file. */
static int session_open(struct session *s, struct conf *conf, const struct session_plan *plan,
                        struct err *err)
{
    const int needs = plan->needs;
    bool makes = (plan->steps & SESSION_MIGRATE) && !(plan->steps & SESSION_FIND_STORE);
    stop_install();
    if (((needs & NEEDS_NODE) && session_need_endpoint(conf, err) < 0) ||
        ((needs & NEEDS_STORE) && !makes && store_find(conf->store, err) < 0) ||
        name_balances(conf, err) < 0 || tracker_open(conf, "trueup", needs, &s->t, err) < 0)
        return -1;
    s->t.stop = stop_asked;
    s->t.adds_balances = plan->steps & SESSION_ADD_BALANCES;
    s->t.resets_chain = plan->steps & SESSION_RESET_CHAIN;
    if (s->t.node)
        rpc_patience(s->t.node, CLI_PATIENCE_MS);
    if (s->t.reads) {
        reads_stop_when(s->t.reads, stop_asked);
        rpc_stop_on(s->t.node, stop_fd());
    }
    return 0;
}

static int session_check_store(struct tracker *t, struct err *err)
{
    struct arena arena;
    arena_init(&arena);
    int rc = store_check(t->store, tracker_store_balances(t, &arena), t->n_balances, err);
    arena_free(&arena);
    return rc;
}

/* Before the first write: whose settings the store is written with. */
static int session_check_settings(struct tracker *t, int steps, struct err *err)
{
    if (tracker_check_settings(t, err) < 0 ||
        ((steps & SESSION_MIGRATE) && store_upgrade(t->store, err) < 0))
        return -1;
    return takeover_check_settings(t, err);
}

static int session_take_steps(struct session *s, const struct session_plan *plan, struct err *err)
{
    const int steps = plan->steps;
    if ((steps & SESSION_FIND_STORE) && store_check_made(s->t.store, err) < 0)
        return -1;
    if ((steps & SESSION_CHECK_STORE) && session_check_store(&s->t, err) < 0)
        return -1;
    if (((steps & SESSION_MIGRATE) || plan->lease) && session_check_settings(&s->t, steps, err) < 0)
        return -1;
    if ((steps & SESSION_MIGRATE) && tracker_migrate(&s->t, &s->adopted, err) < 0)
        return -1;
    return steps & SESSION_IDENTIFY ? tracker_identify(&s->t, CHAIN_LIKELY, err) : 0;
}

static int session_work(struct session *s, const struct session_plan *plan, struct err *err)
{
    struct learned learned;
    struct err ignored; /* sizes are found again */
    if (session_take_steps(s, plan, err) < 0)
        return -1;
    if (plan->steps & SESSION_LOAD_LEARNED)
        learned_load(&s->t, &learned, &ignored);
    int rc = plan->lease ? job_take(&s->lease, &s->t, plan->lease, err) : 0;
    if (rc == 0 && plan->work)
        rc = plan->work(s, plan->ctx, err);
    for (size_t i = 0; rc == 0 && plan->balance && i < s->t.n_balances; i++)
        rc = plan->balance(s, &s->t.balances[i], plan->ctx, err);
    if (plan->steps & SESSION_SAVE_LEARNED)
        learned_save(&s->t, &learned, true, &ignored);
    job_release(&s->lease);
    return rc;
}

int session_run(const struct cli *cli, const struct session_plan *plan)
{
    struct session s = {.cli = cli, .json = cli_has(cli, "json")};
    struct err err = {0};
    struct conf *conf = cli_conf(cli, false);
    if (!conf)
        return 2;
    int rc = session_open(&s, conf, plan, &err);
    if (rc == 0) {
        rc = session_work(&s, plan, &err);
        tracker_close(&s.t);
    }
    conf_free(conf);
    return rc < 0 ? cli_fail(&err) : 0;
}
