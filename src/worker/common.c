#include "base/backoff.h"
#include "base/err.h"
#include "base/log.h"
#include "proc/counters.h"
#include "proc/stop.h"
#include "worker/worker.h"

#include <string.h>

int worker_exit_status(const struct err *err)
{
    static const int statuses[] = {[ERR_NONE] = 0,        [ERR_FAILED] = 1,    [ERR_USAGE] = 2,
                                   [ERR_UNREACHABLE] = 4, [ERR_CHAIN] = 4,     [ERR_STORE] = 5,
                                   [ERR_STORE_LOST] = 5,  [ERR_TOO_LARGE] = 1, [ERR_STOPPED] = 1};
    return statuses[err->kind];
}

static int worker_open_once(struct conf *conf, const char *who, struct tracker *ret,
                            struct err *err)
{
    struct arena arena;
    if (tracker_open(conf, who, NEEDS_NODE | NEEDS_STORE, ret, err) < 0)
        return -1;
    ret->stop = stop_asked;
    reads_stop_when(ret->reads, stop_asked);
    rpc_stop_on(ret->node, stop_fd());
    arena_init(&arena);
    int rc = store_check(ret->store, tracker_store_balances(ret, &arena), ret->n_balances, err);
    arena_free(&arena);
    if (rc == 0)
        rc = tracker_identify(ret, err);
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

void worker_reconnect(struct tracker *t, const struct err *err)
{
    struct err again = {0};
    if ((err->kind == ERR_STORE_LOST || err->kind == ERR_STORE) &&
        store_reopen(t->store, &again) < 0)
        log_warn_err("the store cannot be reached", &again);
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
