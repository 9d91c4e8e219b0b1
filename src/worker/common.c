#include "base/backoff.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "proc/counters.h"
#include "proc/stop.h"
#include "rpc/rpc.h"
#include "worker/worker.h"

#include <string.h>

enum {
    JOIN_MS = 200,
    STANDBY_ASKS_MS = 15000, /* cheap beside what following costs */
    FAILING_ASKS_MS = 3000,  /* while the database fails */
    HEAD_WAITS_MS = 8000,    /* for the answer */
};

int worker_exit_status(const struct err *err)
{
    static const int statuses[] = {
        [ERR_NONE] = 0,      [ERR_FAILED] = 1, [ERR_USAGE] = 2,      [ERR_UNREACHABLE] = 4,
        [ERR_CHAIN] = 4,     [ERR_STORE] = 5,  [ERR_STORE_LOST] = 5, [ERR_FENCED] = 1,
        [ERR_TOO_LARGE] = 1, [ERR_STOPPED] = 1};
    return statuses[err->kind];
}

static int worker_open_once(struct conf *conf, const char *who, struct tracker *ret,
                            struct err *err)
{
    struct arena arena;
    if (tracker_open(conf, who, NEEDS_NODE | NEEDS_STORE | NEEDS_FINALITY, ret, err) < 0)
        return -1;
    ret->stop = stop_asked;
    reads_stop_when(ret->reads, stop_asked);
    rpc_stop_on(ret->node, stop_fd());
    arena_init(&arena);
    int rc = store_check(ret->store, tracker_store_balances(ret, &arena), ret->n_balances, err);
    arena_free(&arena);
    if (rc == 0)
        rc = tracker_identify(ret, CHAIN_SURE, err);
    if (rc < 0)
        tracker_close(ret);
    return rc;
}

/* "trueup follow" is how the database knows it. */
static const char *worker_get_role(const char *who)
{
    const char *space = strchr(who, ' ');
    return space ? space + 1 : who;
}

bool worker_open(struct conf *conf, const char *who, struct tracker *ret, struct err *err)
{
    struct backoff backoff;
    backoff_init(&backoff, 200, 15000, rng_seed_from_system());
    for (;;) {
        struct err why = {0};
        if (stop_asked())
            return false;
        if (worker_open_once(conf, who, ret, &why) == 0) {
            housekeeping_start(ret, worker_get_role(who));
            return true;
        }
        if (why.kind == ERR_CHAIN || why.kind == ERR_USAGE) {
            *err = why;
            return false;
        }
        if (stop_asked())
            return false;
        log_warn_err("not ready, trying again", &why);
        if (stop_wait(backoff_next(&backoff)))
            return false;
    }
}

bool worker_reconnect(struct tracker *t, const struct err *err)
{
    struct err again = {0};
    if (err->kind != ERR_STORE_LOST && err->kind != ERR_STORE && err->kind != ERR_FENCED)
        return false;
    if (store_reopen(t->store, &again) < 0)
        log_warn_err("the store cannot be reached", &again);
    return true;
}

/* ---- which daemon writes --------------------------------------------------------------------- */

void worker_log_adopted(const struct store_adopted *a)
{
    if (a->created)
        log_info("table created",
                 LOG_STR("hint", "`trueup backfill` finds the holders of the past"));
    if (a->added_column)
        log_info("existing table adopted: column observed_block added",
                 LOG_U64("unanchored_rows", a->unanchored_rows));
    if (a->index_missing)
        log_warn("index on updated_at is missing: picking the oldest rows will be slow");
    if (a->terms_changed)
        log_warn("the terms changed: every row is unanchored until it is read again");
    if (a->foreign_checkpoint)
        log_warn("another program moved the checkpoint: the blocks it passed are synced again");
    if (a->foreign_rows)
        log_warn("rows were written by another program: unanchored until read again",
                 LOG_U64("rows", a->foreign_rows));
    if (a->non_canonical_rows)
        log_warn("rows whose wallet is not canonical are left alone",
                 LOG_U64("rows", a->non_canonical_rows));
}

static void worker_log_takeover(const struct takeover *w, const struct takeover_report *r)
{
    if (r->went_back)
        log_warn("the database came back at an older state: everything is loaded anew");
    if (r->state != TAKEOVER_TAKEN)
        return;
    log_info("this daemon writes from here on", LOG_U64("generation", w->owner.generation));
    worker_log_adopted(&r->adopted);
}

/* A look at the lease; true: it is ours. *said: that another daemon has it. */
static bool worker_look(struct takeover *w, const char *role, bool *said)
{
    struct takeover_report r;
    struct err err = {0};
    if (takeover_try(w, role, &r, &err) < 0) {
        log_warn_err("not ready, trying again", &err);
        counters_call_failed(CALL_WRITE, err.text, wall_ms());
        worker_reconnect(w->t, &err);
        return false;
    }
    counters_role_set(r.state == TAKEOVER_STANDBY ? ROLE_OTHER_WRITES : ROLE_WRITES, r.changed);
    if (r.state == TAKEOVER_STANDBY && !*said && r.changed[0])
        log_info("standing by: will take over with other terms", LOG_STR("balances", r.changed));
    else if (r.state == TAKEOVER_STANDBY && !*said)
        log_info("standing by: another daemon writes");
    *said |= r.state == TAKEOVER_STANDBY;
    worker_log_takeover(w, &r);
    return r.state != TAKEOVER_STANDBY;
}

/* Asks for the head in the background, for the lights: whether an endpoint answers, and what it
 * says while nothing can be written. */
static void worker_ask_head(struct tracker *t)
{
    struct err ignored;
    struct rpc_request q = {.method = "eth_blockNumber",
                            .params = "[]",
                            .params_len = 2,
                            .lane = RPC_CATCHUP,
                            .deadline_ms = clock_ms() + HEAD_WAITS_MS};
    if (rpc_in_flight(t->node) == 0)
        rpc_submit(t->node, &q, &ignored);
}

static void worker_take_head(struct tracker *t, int64_t until_ms)
{
    struct rpc_answer a;
    struct err ignored;
    uint64_t head;
    int64_t wait = until_ms - clock_ms();
    if (rpc_in_flight(t->node) == 0 ||
        rpc_next(t->node, (int)(wait > 0 ? wait : 0), &a, &ignored) <= 0)
        return;
    /* A daemon that stands by shows the writer's. */
    if (counters_get(PART_FOLLOW, CELL_ROLE) != ROLE_OTHER_WRITES &&
        json_quantity(a.result, &head) && head > counters_get(PART_FOLLOW, CELL_HEAD)) {
        counters_set(CELL_HEAD, head);
        counters_set(CELL_HEAD_AT, (uint64_t)wall_ms());
    }
    rpc_answer_free(&a);
}

bool worker_pause(struct tracker *t, int64_t until_ms)
{
    worker_ask_head(t);
    worker_take_head(t, until_ms);
    rpc_abandon_all(t->node);
    return stop_wait_until(until_ms);
}

/* Until the next look at the lease. */
static void worker_wait_for_lease(struct tracker *t, int64_t *asked_ms)
{
    int64_t now = clock_ms(), until = now + TAKEOVER_LOOK_MS;
    bool standby = counters_get(PART_FOLLOW, CELL_ROLE) == ROLE_OTHER_WRITES;
    if (now - *asked_ms >= (standby ? STANDBY_ASKS_MS : FAILING_ASKS_MS)) {
        *asked_ms = now;
        worker_ask_head(t);
    }
    worker_take_head(t, until);
    stop_wait_until(until);
}

bool worker_take_over(struct takeover *w, const char *role)
{
    bool said = false, ours = false;
    int64_t asked_ms = clock_ms(); /* a worker that starts has just identified its endpoints */
    while (!ours && !stop_asked()) {
        ours = worker_look(w, role, &said);
        if (!ours)
            worker_wait_for_lease(w->t, &asked_ms);
    }
    rpc_abandon_all(w->t->node);
    return ours;
}

/* By hand there is no page, and no other worker that takes the lease. */
bool worker_join(struct takeover *w, const char *role)
{
    if (!counters_shared())
        return worker_take_over(w, role);
    while (!stop_asked()) {
        bool joined = false;
        struct err err = {0};
        if (takeover_join(w->t, role, &joined, &err) < 0) {
            log_warn_err("not ready, trying again", &err);
            worker_reconnect(w->t, &err);
        }
        if (joined)
            return true;
        if (stop_wait(JOIN_MS))
            return false;
    }
    return false;
}

void worker_log_drift(size_t rows)
{
    if (rows > 0)
        log_warn("drift: rows differed from the chain and no event had said so",
                 LOG_U64("rows", rows));
}

void worker_count_readers(struct tracker *t)
{
    for (size_t i = 0; i < rpc_endpoints(t->node); i++) {
        struct read_size size;
        if (reads_size(t->reads, rpc_endpoint(t->node, i), &size))
            counters_endpoint_reader(i, size.reader, size.wallets, size.gas);
    }
}
