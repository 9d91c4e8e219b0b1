/*
 * The processes of `trueup run`, one file each. A worker is a plain loop: wait with a deadline,
 * step, repeat; easy to run alone in the foreground: `trueup worker follow -c FILE`.
 *
 * It returns its exit status, with err set unless it is 0: stopped as asked. 4 (another chain) ends
 * the daemon, anything else is a death from which the supervisor starts it again.
 */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "conf/conf.h"
#include "track/takeover.h"
#include "track/tracker.h"

struct err;

struct worker_options {
    bool once;     /* one turn, then end: for debugging */
    bool has_from; /* follow: --from, for a first start */
    uint64_t from;
    int hint_fd; /* −1: none (proc/hint.h) */
};

int worker_follow(struct conf *conf, const struct worker_options *options, struct err *err);
int worker_listen(struct conf *conf, const struct worker_options *options, struct err *err);
int worker_sweep(struct conf *conf, const struct worker_options *options, struct err *err);

/* Opens node and store, and checks schema and chain. Waits with back-off for a node or a store that
 * is not there. False when asked to stop meanwhile, or with err set when waiting cannot help. */
bool worker_open(struct conf *conf, const char *who, struct tracker *ret, struct err *err);

/* True after an error of the store: its connection is replaced, and what the worker knows from the
 * store is void. */
bool worker_reconnect(struct tracker *t, const struct err *err);

/* Waits until this daemon writes and t->store has entered the fence of the role. False when asked
 * to stop. */
bool worker_take_over(struct takeover *w, const char *role);
/* The same for a worker beside the one that takes the lease. */
bool worker_join(struct takeover *w, const char *role);
/* Waits, and meanwhile shows the lights the chain's head. True when asked to stop. */
bool worker_pause(struct tracker *t, int64_t until_ms);
/* Logs what a start found at the tables. */
void worker_log_adopted(const struct store_adopted *a);

/* In each turn: logs the notices of the endpoints, and stores what was spent of the day's budget
 * under the role's name, once a minute and at the end. housekeeping_start() loads what was stored.
 */
void housekeeping_start(struct tracker *t, const char *role);
void housekeeping_run(struct tracker *t, const char *role, bool last);
/* False when the day's units for this lane are spent: *ret_pause_ms (may be NULL) until it is worth
 * asking again. The notice is logged. */
bool housekeeping_may_spend(struct tracker *t, enum rpc_lane lane, int64_t *ret_pause_ms);

/* Logs the number of rows that had drifted; nothing for 0. */
void worker_log_drift(size_t rows);

/* Tells the counters how each endpoint is read. */
void worker_count_readers(struct tracker *t);

/* The exit status for an error (docs/formats.md). */
int worker_exit_status(const struct err *err);

#endif
