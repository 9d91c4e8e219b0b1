/*
 * A range of an endpoint whose ranges leave logs out: block by block, each by its hash, several at
 * a time. That costs two requests a block.
 */
#include "base/err.h"
#include "base/mem.h"
#include "rpc/logs_internal.h"
#include "rpc/rpc_internal.h"

#include <inttypes.h>
#include <string.h>

enum { WALK_SLOTS = 4 }; /* several walks share what may be aside */

struct walk_slot {
    bool busy, has_header;
    struct header h;
    uint64_t number;
};

struct logs_walk {
    struct rpc *n;
    struct endpoint *by;
    struct logs_ask ask;
    uint64_t next; /* the next block to begin with */
    bool begun_all;
    size_t busy;
    struct walk_slot slots[WALK_SLOTS]; /* their addresses are the requests' users */
    struct event_log *list;             /* in the ask's arena */
    size_t n_logs, room;
};

static int walk_submit(struct logs_walk *w, struct walk_slot *s, const char *method,
                       const struct buf *params, struct err *err)
{
    struct rpc_request q = {.method = method,
                            .params = params->data,
                            .params_len = params->len,
                            .lane = w->ask.lane,
                            .deadline_ms = w->ask.deadline_ms,
                            .only = w->by,
                            .no_retry = RPC_NO_RETRY(FAULT_BEHIND),
                            .reply_max = LOGS_REPLY_MAX,
                            .logs = s->has_header,
                            .aside = true,
                            .user = s};
    return rpc_submit(w->n, &q, err);
}

static int walk_ask_header(struct logs_walk *w, struct walk_slot *s, struct err *err)
{
    struct buf params = BUF_INIT(64);
    *s = (struct walk_slot){.busy = true, .number = w->next};
    buf_addf(&params, "[\"0x%" PRIx64 "\",false]", s->number);
    int rc = walk_submit(w, s, "eth_getBlockByNumber", &params, err);
    buf_free(&params);
    w->busy++;
    w->begun_all = w->next == w->ask.to;
    w->next++;
    return rc;
}

static int walk_ask_logs(struct logs_walk *w, struct walk_slot *s, struct err *err)
{
    struct buf params = BUF_INIT(FILTER_CEILING);
    logs_add_block(&params, &s->h.at.hash, w->ask.filter);
    int rc = walk_submit(w, s, "eth_getLogs", &params, err);
    buf_free(&params);
    return rc;
}

static int walk_fill(struct logs_walk *w, struct err *err)
{
    for (size_t i = 0; i < WALK_SLOTS && !w->begun_all; i++)
        if (!w->slots[i].busy && walk_ask_header(w, &w->slots[i], err) < 0)
            return -1;
    return 0;
}

int logs_walk_open(struct rpc *n, const struct logs_ask *ask, struct endpoint *by,
                   struct logs_walk **ret, struct err *err)
{
    struct logs_walk *w = mem_zero(1, sizeof *w);
    *w = (struct logs_walk){.n = n, .by = by, .ask = *ask, .next = ask->from};
    if (walk_fill(w, err) < 0) {
        logs_walk_close(w);
        return -1;
    }
    *ret = w;
    return 0;
}

void logs_walk_close(struct logs_walk *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < WALK_SLOTS; i++)
        rpc_abandon(w->n, &w->slots[i]);
    mem_free(w);
}

static int walk_take_header(struct logs_walk *w, struct walk_slot *s, struct rpc_answer *a,
                            struct logs *ret, struct err *err)
{
    bool found = false;
    ret->fault = a->fault;
    if (a->fault.fault != FAULT_NONE)
        return rpc_answer_err("header of a block", a, err);
    if (header_from_json(a->result, &s->h, &found, err) < 0)
        return -1;
    if (!found || s->h.at.number != s->number) {
        ret->fault.fault = FAULT_BEHIND;
        return err_set(err, ERR_FAILED, "the node does not have block %" PRIu64 " yet", s->number);
    }
    if (s->number == w->ask.to)
        ret->to = s->h;
    s->has_header = true;
    return walk_ask_logs(w, s, err);
}

static int walk_take_logs(struct logs_walk *w, struct walk_slot *s, struct rpc_answer *a,
                          struct logs *ret, struct err *err)
{
    struct logs one = {.by = w->by};
    struct logs_question q = {w->ask.filter, s->number, s->number, &s->h.at.hash};
    int rc = logs_take(a, w->ask.arena, &one, err);
    ret->fault = one.fault;
    if (rc < 0)
        return -1;
    logs_filter_answer(&q, &one);
    if (w->n_logs + one.n > w->room) {
        size_t room = (w->n_logs + one.n) * 2;
        struct event_log *list = arena_alloc(w->ask.arena, room * sizeof *list);
        if (w->n_logs)
            memcpy(list, w->list, w->n_logs * sizeof *list);
        w->list = list;
        w->room = room;
    }
    if (one.n)
        memcpy(w->list + w->n_logs, one.list, one.n * sizeof *one.list);
    w->n_logs += one.n;
    s->busy = false;
    w->busy--;
    return walk_fill(w, err);
}

bool logs_walk_take(struct logs_walk *w, struct logs *ret, int *ret_rc, struct err *err)
{
    struct rpc_answer a;
    for (size_t i = 0; i < WALK_SLOTS; i++) {
        struct walk_slot *s = &w->slots[i];
        if (!s->busy || !rpc_take_aside(w->n, s, &a))
            continue;
        *ret_rc = s->has_header ? walk_take_logs(w, s, &a, ret, err)
                                : walk_take_header(w, s, &a, ret, err);
        rpc_answer_free(&a);
        ret->by = w->by;
        ret->list = w->list;
        ret->n = w->n_logs;
        if (*ret_rc == 0 && logs_walk_ended(w))
            logs_filter_sort(ret);
        return true;
    }
    return false;
}

bool logs_walk_ended(const struct logs_walk *w)
{
    return w->begun_all && w->busy == 0;
}
