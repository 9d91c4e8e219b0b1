/*
 * Logs with proof that the endpoint had the block they are asked up to: its header before and after
 * them, and a head above it. A backend that is behind, or on another branch, would answer a short
 * list without an error.
 *
 * All four questions are one JSON-RPC batch. An endpoint that refuses batches, or answers them from
 * several backends, gets them one after the other.
 */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "rpc/logs_internal.h"
#include "rpc/rpc_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { BATCH_AGAIN_MS = 3600 * 1000 }; /* the node behind a URL may be upgraded */
enum { MISSING_BLOCK = RPC_NO_RETRY(FAULT_BEHIND) | RPC_NO_RETRY(FAULT_PRUNED) };
enum { HEADERS_MAX = 1024 * 1024 }; /* three of them, beside the logs */

enum proof_question { PROOF_BEFORE, PROOF_LOGS, PROOF_AFTER, PROOF_HEAD, PROOF_QUESTIONS };

struct logs_proof {
    struct rpc *n;
    struct logs_ask ask;
    struct anchor at;
    bool batch;               /* all in one */
    enum proof_question next; /* else: the one that is under way */
    struct logs logs;
    struct logs_walk *walk; /* PROOF_LOGS block by block; NULL: it is not */
    bool ended;
    int rc;
    struct err err;
};

/* ---- asking ---------------------------------------------------------------------------------- */

static const char *logs_proof_method(enum proof_question which)
{
    return which == PROOF_LOGS ? "eth_getLogs" : "eth_getBlockByNumber";
}

static void logs_proof_params(const struct logs_proof *p, enum proof_question which,
                              struct buf *out)
{
    if (which == PROOF_LOGS)
        logs_add_range(out, &p->ask);
    else if (which == PROOF_HEAD)
        buf_adds(out, "[\"latest\",false]");
    else
        buf_addf(out, "[\"0x%" PRIx64 "\",false]", p->at.number);
}

static size_t logs_proof_reply_max(const struct logs_proof *p)
{
    return (p->ask.from < p->ask.to ? LOGS_WINDOW_MAX : LOGS_REPLY_MAX) + HEADERS_MAX;
}

static int logs_proof_submit(struct logs_proof *p, struct err *err)
{
    if (!p->batch && p->next == PROOF_LOGS && p->ask.by->log_forms == LOG_FORMS_HASH)
        return logs_walk_open(p->n, &p->ask, p->ask.by, &p->walk, err);
    struct buf params[PROOF_QUESTIONS];
    struct rpc_more more[RPC_MORE_MAX];
    enum proof_question first = p->batch ? PROOF_BEFORE : p->next;
    for (size_t i = 0; i < PROOF_QUESTIONS; i++) {
        buf_init(&params[i], FILTER_CEILING);
        if (p->batch || i == first)
            logs_proof_params(p, (enum proof_question)i, &params[i]);
    }
    for (size_t i = 1; i < PROOF_QUESTIONS; i++)
        more[i - 1] = (struct rpc_more){.method = logs_proof_method((enum proof_question)i),
                                        .params = params[i].data,
                                        .params_len = params[i].len,
                                        .logs = i == PROOF_LOGS};
    struct rpc_request q = {.method = logs_proof_method(first),
                            .params = params[first].data,
                            .params_len = params[first].len,
                            .more = more,
                            .n_more = p->batch ? PROOF_QUESTIONS - 1 : 0,
                            .logs = first == PROOF_LOGS,
                            .lane = p->ask.lane,
                            .deadline_ms = p->ask.deadline_ms,
                            .reply_max = logs_proof_reply_max(p),
                            .no_retry = MISSING_BLOCK,
                            .only = p->ask.by,
                            .aside = true,
                            .user = p};
    int rc = rpc_submit(p->n, &q, err);
    for (size_t i = 0; i < PROOF_QUESTIONS; i++)
        buf_free(&params[i]);
    return rc;
}

int logs_proof_open(struct rpc *n, const struct logs_ask *ask, const struct anchor *at,
                    struct logs_proof **ret, struct err *err)
{
    if (ask->by->log_forms == LOG_FORMS_NONE)
        return logs_err_no_form(ask->by, err);
    struct logs_proof *p = mem_zero(1, sizeof *p);
    *p = (struct logs_proof){.n = n, .ask = *ask, .at = *at, .logs = {.by = ask->by}};
    p->batch = clock_ms() >= ask->by->batches_at_ms && ask->by->log_forms != LOG_FORMS_HASH;
    if (logs_proof_submit(p, err) < 0) {
        mem_free(p);
        return -1;
    }
    *ret = p;
    return 0;
}

void logs_proof_close(struct logs_proof *p)
{
    if (!p)
        return;
    rpc_abandon(p->n, p);
    logs_walk_close(p->walk);
    mem_free(p);
}

/* ---- what each answer must show -------------------------------------------------------------- */

static int logs_proof_header(struct logs_proof *p, const struct rpc_answer *a, const char *block,
                             struct header *ret)
{
    bool found = false;
    if (header_from_json(a->result, ret, &found, &p->err) < 0)
        return -1;
    if (found)
        return 0;
    p->logs.fault.fault = FAULT_BEHIND;
    return err_set(&p->err, ERR_FAILED, "endpoint \"%s\" does not have block %s",
                   endpoint_name(p->ask.by), block);
}

static int logs_proof_take_at(struct logs_proof *p, const struct rpc_answer *a)
{
    char number[24], theirs[HASH_TEXT], ours[HASH_TEXT];
    struct header h = {0};
    snprintf(number, sizeof number, "%" PRIu64, p->at.number);
    if (logs_proof_header(p, a, number, &h) < 0)
        return -1;
    if (h.at.number == p->at.number && hash_equal(&h.at.hash, &p->at.hash))
        return 0;
    hash_text(&h.at.hash, theirs);
    hash_text(&p->at.hash, ours);
    return err_set(&p->err, ERR_FAILED,
                   "endpoint \"%s\" is on another branch: its block %" PRIu64 " is %s, not %s",
                   endpoint_name(p->ask.by), p->at.number, theirs, ours);
}

static int logs_proof_take_head(struct logs_proof *p, const struct rpc_answer *a)
{
    struct header head = {0};
    if (logs_proof_header(p, a, "\"latest\"", &head) < 0)
        return -1;
    if (head.at.number > p->at.number)
        return 0;
    p->logs.fault.fault = FAULT_BEHIND;
    return err_set(&p->err, ERR_FAILED,
                   "endpoint \"%s\" is behind: its head is block %" PRIu64
                   ", not above block %" PRIu64,
                   endpoint_name(p->ask.by), head.at.number, p->at.number);
}

static int logs_proof_take_logs(struct logs_proof *p, struct rpc_answer *a)
{
    struct endpoint *by = p->ask.by;
    int rc = logs_take(a, p->ask.arena, &p->logs, &p->err);
    p->logs.by = by;
    if (rc == 0)
        logs_filter_answer(&(struct logs_question){p->ask.filter, p->ask.from, p->ask.to, NULL},
                           &p->logs);
    return rc;
}

static int logs_proof_take(struct logs_proof *p, enum proof_question which, struct rpc_answer *a)
{
    if (which == PROOF_LOGS)
        return logs_proof_take_logs(p, a);
    if (which == PROOF_HEAD)
        return logs_proof_take_head(p, a);
    return logs_proof_take_at(p, a);
}

/* *ret_split: the block was there before the logs and not after them, so several backends answer.
 */
static int logs_proof_take_batch(struct logs_proof *p, struct rpc_answer *a, bool *ret_split)
{
    int rc = logs_proof_take(p, PROOF_BEFORE, a);
    for (size_t i = 1; rc == 0 && i < PROOF_QUESTIONS; i++) {
        rc = logs_proof_take(p, (enum proof_question)i, &a->more[i - 1]);
        *ret_split = rc < 0 && i == PROOF_AFTER;
    }
    return rc;
}

/* ---- the way --------------------------------------------------------------------------------- */

static void logs_proof_end(struct logs_proof *p, int rc)
{
    p->ended = true;
    p->rc = rc;
}

/* Is the fault about the batch itself? One that is about time, load or the way is not. */
static bool logs_proof_is_refusal(const struct rpc_answer *a)
{
    return a->no_batch && a->endpoint &&
           (a->fault.fault == FAULT_BATCH || a->fault.fault == FAULT_INVALID ||
            a->fault.fault == FAULT_UNSUPPORTED || a->fault.fault == FAULT_GARBLED ||
            a->fault.fault == FAULT_FILTER || a->fault.fault == FAULT_UNKNOWN);
}

static void logs_proof_on_refusal(struct logs_proof *p, const char *why)
{
    struct endpoint *e = p->ask.by;
    if (e->batches_at_ms == 0)
        rpc_notify(p->n, e, "endpoint does not answer batches as one, asked in turn instead", why);
    e->batches_at_ms = clock_ms() + BATCH_AGAIN_MS;
    p->batch = false;
    p->next = PROOF_BEFORE;
    p->logs = (struct logs){.by = e};
    if (logs_proof_submit(p, &p->err) < 0)
        logs_proof_end(p, -1);
}

/* The next question, if there is one and nothing has failed. */
static void logs_proof_go_on(struct logs_proof *p, int rc)
{
    bool more = rc == 0 && !p->batch && ++p->next < PROOF_QUESTIONS;
    if (!more || logs_proof_submit(p, &p->err) < 0)
        logs_proof_end(p, more ? -1 : rc);
}

/* False: nothing of the walk has come. */
static bool logs_proof_take_walk(struct logs_proof *p)
{
    int rc = 0;
    if (!logs_walk_take(p->walk, &p->logs, &rc, &p->err))
        return false;
    if (rc == 0 && !logs_walk_ended(p->walk))
        return true;
    logs_walk_close(p->walk);
    p->walk = NULL;
    logs_proof_go_on(p, rc);
    return true;
}

static void logs_proof_on_answer(struct logs_proof *p, struct rpc_answer *a)
{
    enum proof_question which = p->next;
    if (p->batch && logs_proof_is_refusal(a)) {
        logs_proof_on_refusal(p, a->text);
        return;
    }
    if (a->fault.fault != FAULT_NONE) {
        p->logs.fault = a->fault;
        logs_proof_end(
            p, rpc_answer_err(p->batch ? "eth_getLogs with proof" : logs_proof_method(which), a,
                              &p->err));
        return;
    }
    bool split = false;
    int rc = p->batch ? logs_proof_take_batch(p, a, &split) : logs_proof_take(p, which, a);
    if (split) {
        logs_proof_on_refusal(p, p->err.text);
        return;
    }
    logs_proof_go_on(p, rc);
}

bool logs_proof_ended(struct logs_proof *p)
{
    struct rpc_answer a;
    while (!p->ended && p->walk && logs_proof_take_walk(p))
        ;
    while (!p->ended && rpc_take_aside(p->n, p, &a)) {
        logs_proof_on_answer(p, &a);
        rpc_answer_free(&a);
    }
    return p->ended;
}

int logs_proof_result(const struct logs_proof *p, struct logs *ret, struct err *err)
{
    *ret = p->logs;
    if (p->rc < 0)
        *err = p->err;
    return p->rc;
}
