/*
 * The forms of the question, held against each other on one recent block that holds logs of
 * anybody: by address and range, by block hash, and out of the receipts. A form that names fewer
 * logs than another leaves logs out.
 */
#include "base/clock.h"
#include "base/err.h"
#include "eth/fault_policy.h"
#include "proc/counters.h"
#include "rpc/logs_internal.h"
#include "rpc/rpc_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    PROBE_NEWEST = 4,  /* blocks looked at by themselves … */
    PROBE_WIDE = 1000, /* … and as a range, where they hold no log */
    PROBE_MS = 5 * 1000,
};

struct logs_probing {
    struct rpc *n;
    struct endpoint *e;
    int64_t deadline_ms;
    struct arena arena;
};

/* −1: no answer now. False in *ret_served: it does not take the question. */
static int probe_ask(struct logs_probing *p, const char *method, const char *params,
                     struct rpc_answer *ret, bool *ret_served, struct err *err)
{
    struct rpc_request q = {.method = method,
                            .params = params,
                            .params_len = strlen(params),
                            .lane = RPC_LIVE,
                            .only = p->e,
                            .deadline_ms = p->deadline_ms,
                            .no_retry = RPC_NO_RETRY(FAULT_BEHIND) | RPC_NO_RETRY(FAULT_UNKNOWN),
                            .reply_max = LOGS_REPLY_MAX};
    if (rpc_ask(p->n, &q, ret, err) < 0)
        return -1;
    *ret_served = ret->fault.fault == FAULT_NONE && !json_is_null(ret->result);
    if (*ret_served || !fault_says(ret->fault.fault, FAULT_SAYS_NOT_NOW))
        return 0;
    rpc_answer_err(method, ret, err);
    rpc_answer_free(ret);
    return -1;
}

static int probe_header(struct logs_probing *p, const char *block, struct header *ret,
                        bool *ret_found, struct err *err)
{
    char params[48];
    struct rpc_answer a;
    bool served = false;
    snprintf(params, sizeof params, "[\"%s\",false]", block);
    *ret_found = false;
    if (probe_ask(p, "eth_getBlockByNumber", params, &a, &served, err) < 0)
        return -1;
    int rc = served ? header_from_json(a.result, ret, ret_found, err) : 0;
    rpc_answer_free(&a);
    return rc;
}

/* ---- the forms ------------------------------------------------------------------------------- */

struct probe_logs {
    struct event_log *list;
    size_t n;
    bool served;
};

/* log: of its contract and topic alone; NULL: all logs. The filter is in *place. */
static const struct log_filter *probe_make_filter(const struct event_log *log,
                                                  struct log_filter *place)
{
    if (log)
        *place = (struct log_filter){.contracts = &log->contract,
                                     .n_contracts = 1,
                                     .topics = &log->topics[0],
                                     .n_topics = 1};
    return log ? place : NULL;
}

static int probe_get_logs(struct logs_probing *p, const struct buf *params, struct probe_logs *ret,
                          struct err *err)
{
    struct rpc_answer a;
    *ret = (struct probe_logs){0};
    if (probe_ask(p, "eth_getLogs", params->data, &a, &ret->served, err) < 0)
        return -1;
    int rc = 0;
    if (ret->served)
        rc = event_logs_from_json(a.result, LOGS_MAX, &p->arena, &ret->list, &ret->n, err);
    rpc_answer_free(&a);
    return rc;
}

static int probe_by_range(struct logs_probing *p, uint64_t from, uint64_t to,
                          const struct event_log *log, struct probe_logs *ret, struct err *err)
{
    struct buf params = BUF_INIT(1024);
    struct log_filter f;
    logs_add_range(
        &params, &(struct logs_ask){.filter = probe_make_filter(log, &f), .from = from, .to = to});
    int rc = probe_get_logs(p, &params, ret, err);
    buf_free(&params);
    return rc;
}

static int probe_by_hash(struct logs_probing *p, const struct header *h,
                         const struct event_log *log, struct probe_logs *ret, struct err *err)
{
    struct buf params = BUF_INIT(1024);
    struct log_filter f;
    logs_add_block(&params, &h->at.hash, probe_make_filter(log, &f));
    int rc = probe_get_logs(p, &params, ret, err);
    buf_free(&params);
    return rc;
}

/* Only counted, and the first one kept: *ret->list is that one. */
static int probe_by_receipts(struct logs_probing *p, const struct header *h,
                             const struct event_log *log, struct probe_logs *ret, struct err *err)
{
    char params[32];
    struct rpc_answer a;
    *ret = (struct probe_logs){0};
    snprintf(params, sizeof params, "[\"0x%" PRIx64 "\"]", h->at.number);
    if (probe_ask(p, "eth_getBlockReceipts", params, &a, &ret->served, err) < 0)
        return -1;
    int rc = 0;
    const struct json *receipt = ret->served ? json_first(a.result) : NULL;
    for (; rc == 0 && receipt; receipt = json_next(receipt)) {
        struct event_log *list;
        size_t n;
        rc = event_logs_from_json(json_get(receipt, "logs"), LOGS_MAX, &p->arena, &list, &n, err);
        for (size_t i = 0; rc == 0 && i < n; i++)
            if (!log || (list[i].n_topics > 0 && address_equal(&list[i].contract, &log->contract) &&
                         hash_equal(&list[i].topics[0], &log->topics[0])))
                ret->list = ret->n++ ? ret->list : &list[i];
    }
    rpc_answer_free(&a);
    return rc;
}

/* ---- the block ------------------------------------------------------------------------------- */

static const struct event_log *probe_pick(const struct probe_logs *l)
{
    for (size_t i = l->n; i > 0; i--)
        if (!l->list[i - 1].unreadable && !l->list[i - 1].removed && l->list[i - 1].n_topics > 0)
            return &l->list[i - 1];
    return NULL;
}

/* Any log of this block, by whichever form shows one. */
static int probe_find_log(struct logs_probing *p, const struct header *h,
                          const struct event_log **ret, struct err *err)
{
    struct probe_logs l;
    uint64_t at = h->at.number;
    if (probe_by_hash(p, h, NULL, &l, err) < 0)
        return -1;
    *ret = probe_pick(&l);
    if (!*ret && probe_by_range(p, at, at, NULL, &l, err) < 0)
        return -1;
    *ret = *ret ? *ret : probe_pick(&l);
    if (*ret || !header_may_hold_any(h))
        return 0;
    if (probe_by_receipts(p, h, NULL, &l, err) < 0)
        return -1;
    *ret = probe_pick(&l);
    return 0;
}

static int probe_find_block(struct logs_probing *p, struct header *ret,
                            const struct event_log **ret_log, struct err *err)
{
    struct header head = {0};
    struct probe_logs l;
    char number[24];
    bool found = false;
    *ret_log = NULL;
    if (probe_header(p, "latest", &head, &found, err) < 0)
        return -1;
    *ret = head;
    for (uint64_t i = 0; found && i < PROBE_NEWEST && i <= head.at.number; i++) {
        snprintf(number, sizeof number, "0x%" PRIx64, head.at.number - i);
        if (i > 0 && probe_header(p, number, ret, &found, err) < 0)
            return -1;
        if (found && probe_find_log(p, ret, ret_log, err) < 0)
            return -1;
        if (*ret_log)
            return 0;
    }
    uint64_t top = head.at.number;
    if (probe_by_range(p, top > PROBE_WIDE ? top - PROBE_WIDE : 0, top, NULL, &l, err) < 0)
        return -1;
    const struct event_log *log = probe_pick(&l);
    if (!log || log->no_block)
        return 0;
    snprintf(number, sizeof number, "0x%" PRIx64, log->block);
    if (probe_header(p, number, ret, &found, err) < 0)
        return -1;
    *ret_log = found ? log : NULL;
    return 0;
}

/* ---- the comparison -------------------------------------------------------------------------- */

static int probe_compare(struct logs_probing *p, const struct header *h,
                         const struct event_log *log, struct logs_probe *ret, struct err *err)
{
    struct probe_logs l[LOGS_FORMS];
    uint64_t at = h->at.number;
    if (probe_by_range(p, at, at, log, &l[FORM_RANGE], err) < 0 ||
        probe_by_hash(p, h, log, &l[FORM_HASH], err) < 0 ||
        probe_by_receipts(p, h, log, &l[FORM_RECEIPTS], err) < 0)
        return -1;
    ret->tried = true;
    ret->block = at;
    for (int i = 0; i < LOGS_FORMS; i++) {
        ret->served[i] = l[i].served;
        ret->n[i] = l[i].n;
        ret->most = l[i].n > ret->most ? l[i].n : ret->most;
    }
    return 0;
}

int endpoint_probe_logs(struct rpc *n, struct endpoint *e, struct logs_probe *ret, struct err *err)
{
    struct logs_probing p = {.n = n, .e = e, .deadline_ms = clock_ms() + PROBE_MS};
    struct header h = {0};
    const struct event_log *log = NULL;
    *ret = (struct logs_probe){0};
    arena_init(&p.arena);
    int rc = probe_find_block(&p, &h, &log, err);
    if (rc == 0 && log)
        rc = probe_compare(&p, &h, log, ret, err);
    arena_free(&p.arena);
    return rc;
}

/* ---- what follows from it -------------------------------------------------------------------- */

static bool probe_form_is_whole(const struct logs_probe *r, enum logs_form form)
{
    return r->served[form] && r->n[form] == r->most;
}

enum log_forms logs_probe_judge(const struct logs_probe *r)
{
    bool range = probe_form_is_whole(r, FORM_RANGE), hash = probe_form_is_whole(r, FORM_HASH);
    if (!r->tried)
        return LOG_FORMS_UNTRIED;
    return range && hash ? LOG_FORMS_ALL
           : range       ? LOG_FORMS_RANGE
           : hash        ? LOG_FORMS_HASH
                         : LOG_FORMS_NONE;
}

static void probe_describe_form(struct buf *out, const struct logs_probe *r, enum logs_form form,
                                const char *name)
{
    if (r->served[form])
        buf_addf(out, "%s%zu %s", form ? ", " : "", r->n[form], name);
    else
        buf_addf(out, "%srefused %s", form ? ", " : "", name);
}

void logs_probe_describe(const struct logs_probe *r, char ret[LOGS_PROBE_TEXT])
{
    struct buf out = BUF_INIT(LOGS_PROBE_TEXT);
    buf_addf(&out, "logs of block %" PRIu64 ": ", r->block);
    probe_describe_form(&out, r, FORM_RANGE, "by range");
    probe_describe_form(&out, r, FORM_HASH, "by block hash");
    probe_describe_form(&out, r, FORM_RECEIPTS, "in receipts");
    snprintf(ret, LOGS_PROBE_TEXT, "%s", buf_str(&out));
    buf_free(&out);
}

enum log_forms endpoint_log_forms(const struct endpoint *e)
{
    return e->log_forms;
}

void endpoint_restore_log_forms(struct endpoint *e, enum log_forms forms)
{
    e->log_forms = forms;
    counters_endpoint_log_forms(endpoint_number(e), forms);
}

void endpoint_set_log_forms(struct endpoint *e, const struct logs_probe *r)
{
    static const char *const news[LOG_FORMS] = {
        [LOG_FORMS_ALL] = "endpoint names the same logs in every form again",
        [LOG_FORMS_RANGE] = "endpoint leaves logs out by block hash, it is asked by range alone",
        [LOG_FORMS_HASH] = "endpoint leaves logs out of ranges, it is asked block by block",
        [LOG_FORMS_NONE] = "endpoint leaves logs out in every form, it gives no looks",
    };
    char why[LOGS_PROBE_TEXT];
    enum log_forms now = logs_probe_judge(r), before = e->log_forms;
    if (now == LOG_FORMS_UNTRIED)
        return;
    endpoint_restore_log_forms(e, now);
    if (now == before || (now == LOG_FORMS_ALL && before == LOG_FORMS_UNTRIED))
        return;
    /* A refusal of block hashes is known and said by logs_block.c. */
    if (now == LOG_FORMS_RANGE && !r->served[FORM_HASH])
        return;
    logs_probe_describe(r, why);
    rpc_notify(e->rpc, e, news[now], why);
}
