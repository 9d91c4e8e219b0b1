/* Do the forms of the question name the same logs? Tried on a recent block that holds any. */
#include "base/err.h"
#include "rpc/logs_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { PROBE_BLOCKS = 8 }; /* looked at from the head down, for one with a log */

/* One log of this block, of any contract. */
static int logs_probe_find_log(struct rpc *n, struct endpoint *e, const struct header *h,
                               struct event_log *ret, bool *ret_found, struct err *err)
{
    char params[128], hash[HASH_TEXT];
    hash_text(&h->at.hash, hash);
    struct rpc_answer a;
    struct arena arena;
    struct event_log *logs = NULL;
    size_t n_logs = 0;
    if (endpoint_logs_by_hash(e) == CAP_NO)
        snprintf(params, sizeof params,
                 "[{\"fromBlock\":\"0x%" PRIx64 "\",\"toBlock\":\"0x%" PRIx64 "\"}]", h->at.number,
                 h->at.number);
    else
        snprintf(params, sizeof params, "[{\"blockHash\":\"%s\"}]", hash);
    struct rpc_request q = {.method = "eth_getLogs",
                            .params = params,
                            .params_len = strlen(params),
                            .lane = RPC_SWEEP,
                            .only = e,
                            .reply_max = LOGS_REPLY_MAX};
    *ret_found = false;
    int rc = rpc_call(n, &q, &a, err);
    arena_init(&arena);
    if (rc == 0)
        rc = event_logs_from_json(a.result, LOGS_MAX, &arena, &logs, &n_logs, err);
    for (size_t i = 0; rc == 0 && i < n_logs && !*ret_found; i++) {
        *ret_found = !logs[i].unreadable && !logs[i].removed && logs[i].n_topics > 0;
        *ret = logs[i];
    }
    arena_free(&arena);
    rpc_answer_free(&a);
    return rc;
}

/* The same contract and topic, asked in both forms. */
static int logs_probe_compare(struct rpc *n, struct endpoint *e, const struct header *h,
                              const struct event_log *log, struct logs_probe *ret, struct err *err)
{
    struct log_filter f = {
        .contracts = &log->contract, .n_contracts = 1, .topics = &log->topics[0], .n_topics = 1};
    struct arena arena;
    struct logs by_number, by_hash;
    arena_init(&arena);
    struct logs_ask ask = {.filter = &f,
                           .from = h->at.number,
                           .to = h->at.number,
                           .lane = RPC_SWEEP,
                           .by = e,
                           .arena = &arena};
    struct header plain = *h;
    plain.has_bloom = false; /* no second question of another endpoint */
    int rc = rpc_logs_range(n, &ask, &by_number, err);
    if (rc == 0)
        rc = rpc_logs_block(n, &ask, &plain, &by_hash, err);
    if (rc == 0) {
        ret->by_number = by_number.n;
        ret->by_hash = by_hash.n;
    }
    arena_free(&arena);
    return rc;
}

int endpoint_probe_logs(struct rpc *n, struct endpoint *e, uint64_t head, struct logs_probe *ret,
                        struct err *err)
{
    *ret = (struct logs_probe){0};
    for (uint64_t i = 0; i < PROBE_BLOCKS && i <= head && !ret->tried; i++) {
        struct header h;
        struct event_log log;
        if (rpc_header_number(n, head - i, &h, &ret->tried, err) < 0)
            return -1;
        if (ret->tried && logs_probe_find_log(n, e, &h, &log, &ret->tried, err) < 0)
            return -1;
        ret->block = head - i;
        if (ret->tried && logs_probe_compare(n, e, &h, &log, ret, err) < 0)
            return -1;
    }
    return 0;
}
