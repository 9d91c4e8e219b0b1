#include "rpc/logs.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "proc/counters.h"
#include "rpc/logs_internal.h"
#include "rpc/rpc_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    EMPTY_BLOCKS = 1000, /* more of them without a log are asked about twice */
    DRIVE_MS = 1000,
};

static void logs_add_members(struct buf *b, const struct log_filter *f)
{
    char text[HASH_TEXT];
    buf_adds(b, "\"address\":[");
    for (size_t i = 0; i < f->n_contracts; i++) {
        address_text(&f->contracts[i], text);
        buf_addf(b, "%s\"%s\"", i ? "," : "", text);
    }
    buf_adds(b, "],\"topics\":[[");
    for (size_t i = 0; i < f->n_topics; i++) {
        hash_text(&f->topics[i], text);
        buf_addf(b, "%s\"%s\"", i ? "," : "", text);
    }
    buf_adds(b, "]");
    for (int i = 1; f->n_words && i < f->position; i++)
        buf_adds(b, ",null");
    for (size_t i = 0; i < f->n_words; i++) {
        hash_text(&f->words[i], text);
        buf_addf(b, "%s\"%s\"", i ? "," : ",[", text);
    }
    buf_adds(b, f->n_words ? "]]}]" : "]}]");
}

/* NULL: all logs. */
static void logs_add_filter(struct buf *b, const struct log_filter *f)
{
    if (!f) {
        buf_adds(b, "}]");
        return;
    }
    buf_addc(b, ',');
    logs_add_members(b, f);
}

void logs_add_subscription(struct buf *b, const struct log_filter *f)
{
    buf_adds(b, "[\"logs\",{");
    logs_add_members(b, f);
}

void logs_add_range(struct buf *b, const struct logs_ask *ask)
{
    buf_addf(b, "[{\"fromBlock\":\"0x%" PRIx64 "\",\"toBlock\":\"0x%" PRIx64 "\"", ask->from,
             ask->to);
    logs_add_filter(b, ask->filter);
}

void logs_add_block(struct buf *b, const hash32 *block, const struct log_filter *f)
{
    char hash[HASH_TEXT];
    hash_text(block, hash);
    buf_addf(b, "[{\"blockHash\":\"%s\"", hash);
    logs_add_filter(b, f);
}

bool logs_bloom_may_hold(const struct log_filter *f, const address *contract,
                         const struct header *h)
{
    for (size_t t = 0; t < f->n_topics; t++)
        if (header_may_hold(h, contract, &f->topics[t]))
            return true;
    return false;
}

bool filter_may_match(const struct log_filter *f, const struct header *h)
{
    for (size_t c = 0; c < f->n_contracts; c++)
        if (logs_bloom_may_hold(f, &f->contracts[c], h))
            return true;
    return false;
}

/* One answer's fate: kept in ret when good, else the error with the fault. */
int logs_take(struct rpc_answer *a, struct arena *arena, struct logs *ret, struct err *err)
{
    ret->by = a->endpoint;
    ret->fault = a->fault;
    if (a->fault.fault != FAULT_NONE)
        return rpc_answer_err("eth_getLogs", a, err);
    if (a->has_logs) {
        arena_take(arena, &a->arena);
        ret->list = a->logs;
        ret->n = a->n_logs;
        return 0;
    }
    if (json_is_null(a->result)) {
        ret->fault.fault = FAULT_BEHIND;
        return err_set(err, ERR_FAILED, "eth_getLogs: the node answers null");
    }
    return event_logs_from_json(a->result, LOGS_MAX, arena, &ret->list, &ret->n, err);
}

static int logs_take_header(struct rpc_answer *a, uint64_t to, struct logs *ret, struct err *err)
{
    bool found = false;
    if (a->fault.fault != FAULT_NONE) {
        ret->fault = a->fault;
        return rpc_answer_err("header of the last block", a, err);
    }
    if (header_from_json(a->result, &ret->to, &found, err) < 0)
        return -1;
    if (!found || ret->to.at.number != to) {
        ret->fault.fault = FAULT_BEHIND;
        return err_set(err, ERR_FAILED, "the node does not have block %" PRIu64 " yet", to);
    }
    return 0;
}

int logs_err_no_form(const struct endpoint *e, struct err *err)
{
    return err_set(err, ERR_FAILED, "endpoint \"%s\" leaves logs out in every form",
                   endpoint_name(e));
}

int logs_stopped(struct err *err)
{
    return err_set(err, ERR_STOPPED, "asked to stop while waiting for logs");
}

/* What one endpoint left out and another showed. */
void logs_count_missed(struct rpc *n, struct endpoint *e, size_t n_logs, uint64_t from, uint64_t to)
{
    char why[120];
    if (n_logs == 0)
        return;
    e->counters.missed_logs += n_logs;
    counters_missed_logs(endpoint_number(e), n_logs);
    snprintf(why, sizeof why, "%zu of blocks %" PRIu64 " to %" PRIu64, n_logs, from, to);
    rpc_notify(n, e, "endpoint left logs out of an answer", why);
}

/* ---- windows --------------------------------------------------------------------------------- */

struct logs_window {
    struct rpc *n;
    struct logs_ask ask;
    struct logs logs, first; /* the answer that counts; while another is asked, the first one */
    bool second;             /* another endpoint is being asked */
    struct logs_walk *walk;  /* the endpoint's ranges leave logs out; NULL: they do not */
    bool has_logs, has_header, ended;
    int rc;
    struct err err;
    char which_logs, which_header; /* their addresses are the requests' users */
};

static int logs_window_submit_logs(struct logs_window *w, struct err *err)
{
    struct buf params = BUF_INIT(FILTER_CEILING);
    logs_add_range(&params, &w->ask);
    struct rpc_request q = {.method = "eth_getLogs",
                            .params = params.data,
                            .params_len = params.len,
                            .lane = w->ask.lane,
                            .deadline_ms = w->ask.deadline_ms,
                            .only = w->logs.by,
                            .reply_max = w->ask.from < w->ask.to ? LOGS_WINDOW_MAX : LOGS_REPLY_MAX,
                            .logs = true,
                            .aside = true,
                            .user = &w->which_logs};
    int rc = rpc_submit(w->n, &q, err);
    buf_free(&params);
    return rc;
}

static int logs_window_submit_header(struct logs_window *w, struct err *err)
{
    struct buf params = BUF_INIT(64);
    buf_addf(&params, "[\"0x%" PRIx64 "\",false]", w->ask.to);
    struct rpc_request q = {.method = "eth_getBlockByNumber",
                            .params = params.data,
                            .params_len = params.len,
                            .lane = w->ask.lane,
                            .deadline_ms = w->ask.deadline_ms,
                            .only = w->logs.by,
                            .aside = true,
                            .user = &w->which_header};
    int rc = rpc_submit(w->n, &q, err);
    buf_free(&params);
    return rc;
}

/* In the same breath: a backend that does not have the last block would leave out its logs. */
static int logs_window_submit(struct logs_window *w, struct endpoint *e, struct err *err)
{
    w->logs = (struct logs){.by = e};
    bool known = w->ask.to_header && e == w->ask.by;
    if (known)
        w->logs.to = *w->ask.to_header;
    w->has_logs = false;
    w->has_header = known;
    if (e->log_forms == LOG_FORMS_NONE)
        return logs_err_no_form(e, err);
    if (e->log_forms == LOG_FORMS_HASH)
        return logs_walk_open(w->n, &w->ask, e, &w->walk, err);
    if ((known || logs_window_submit_header(w, err) == 0) && logs_window_submit_logs(w, err) == 0)
        return 0;
    rpc_abandon(w->n, &w->which_header);
    return -1;
}

int logs_window_open(struct rpc *n, const struct logs_ask *ask, struct logs_window **ret,
                     struct err *err)
{
    struct logs_window *w = mem_zero(1, sizeof *w);
    *w = (struct logs_window){.n = n, .ask = *ask};
    if (logs_window_submit(w, ask->by ? ask->by : rpc_best(n), err) < 0) {
        mem_free(w);
        return -1;
    }
    *ret = w;
    return 0;
}

/* No answer of it comes any more. */
static void logs_window_abandon(struct logs_window *w)
{
    rpc_abandon(w->n, &w->which_logs);
    rpc_abandon(w->n, &w->which_header);
    logs_walk_close(w->walk);
    w->walk = NULL;
}

void logs_window_close(struct logs_window *w)
{
    if (!w)
        return;
    logs_window_abandon(w);
    mem_free(w);
}

static void logs_window_end(struct logs_window *w, int rc)
{
    w->ended = true;
    w->rc = rc;
    logs_window_abandon(w);
}

/* A wide empty range is checked with a second endpoint, where one has these blocks. */
static bool logs_window_ask_another(struct logs_window *w)
{
    struct endpoint *other =
        w->logs.n == 0 && !w->ask.twice && w->ask.to - w->ask.from >= EMPTY_BLOCKS
            ? rpc_other(w->n, w->logs.by)
            : NULL;
    struct err ignored;
    if (!other || other->head.lag > 0)
        return false;
    w->first = w->logs;
    w->second = true;
    if (logs_window_submit(w, other, &ignored) == 0)
        return true;
    w->logs = w->first;
    return false;
}

/* A second endpoint that cannot answer (its range is narrower, it is paused) changes nothing. */
static void logs_window_end_second(struct logs_window *w, int rc)
{
    bool shows_more =
        rc == 0 && w->logs.n > 0 && hash_equal(&w->logs.to.at.hash, &w->first.to.at.hash);
    if (shows_more)
        logs_count_missed(w->n, w->first.by, w->logs.n, w->ask.from, w->ask.to);
    else
        w->logs = w->first;
    logs_window_end(w, 0);
}

/* All there is of an answer, or its failure. */
static void logs_window_on_whole(struct logs_window *w, int rc)
{
    if (w->second) {
        logs_window_abandon(w);
        logs_window_end_second(w, rc);
    } else if (rc < 0 || !logs_window_ask_another(w)) {
        logs_window_end(w, rc);
    }
}

/* False: nothing of the walk has come. */
static bool logs_window_take_walk(struct logs_window *w)
{
    int rc = 0;
    if (!logs_walk_take(w->walk, &w->logs, &rc, &w->err))
        return false;
    if (rc == 0 && !logs_walk_ended(w->walk))
        return true;
    logs_walk_close(w->walk);
    w->walk = NULL;
    logs_window_on_whole(w, rc);
    return true;
}

static void logs_window_on_answer(struct logs_window *w, struct rpc_answer *a)
{
    int rc;
    if (a->user == &w->which_logs) {
        rc = logs_take(a, w->ask.arena, &w->logs, &w->err);
        w->has_logs = true;
    } else {
        rc = logs_take_header(a, w->ask.to, &w->logs, &w->err);
        w->has_header = true;
    }
    rpc_answer_free(a);
    bool whole = w->has_logs && w->has_header;
    if (rc == 0 && whole)
        logs_filter_answer(&(struct logs_question){w->ask.filter, w->ask.from, w->ask.to, NULL},
                           &w->logs);
    if (rc < 0 || whole)
        logs_window_on_whole(w, rc);
}

bool logs_window_ended(struct logs_window *w)
{
    struct rpc_answer a;
    while (!w->ended && w->walk && logs_window_take_walk(w))
        ;
    while (!w->ended && !w->walk &&
           (rpc_take_aside(w->n, &w->which_logs, &a) || rpc_take_aside(w->n, &w->which_header, &a)))
        logs_window_on_answer(w, &a);
    return w->ended;
}

int logs_window_result(const struct logs_window *w, struct logs *ret, struct err *err)
{
    *ret = w->logs;
    if (w->rc < 0)
        *err = w->err;
    return w->rc;
}

int logs_window_wait(struct logs_window *w, struct err *err)
{
    while (!logs_window_ended(w)) {
        if (rpc_drive(w->n, -1, clock_ms() + DRIVE_MS, err) < 0)
            return -1;
        if (rpc_stop_asked(w->n))
            return logs_stopped(err);
    }
    return 0;
}

int rpc_logs_range(struct rpc *n, const struct logs_ask *ask, struct logs *ret, struct err *err)
{
    struct logs_window *w = NULL;
    int rc = logs_window_open(n, ask, &w, err);
    *ret = (struct logs){.by = ask->by ? ask->by : rpc_best(n)};
    if (rc == 0)
        rc = logs_window_wait(w, err);
    if (rc == 0)
        rc = logs_window_result(w, ret, err);
    logs_window_close(w);
    return rc;
}
