/* What a request is on the wire: its body, alone or as a batch, and the nonce of each try. */
#include "eth/jsonrpc.h"
#include "proc/counters.h"
#include "rpc/rpc_internal.h"

#include <stdio.h>
#include <string.h>

static enum fault_method rpc_method_kind(const char *method)
{
    if (strcmp(method, "eth_getLogs") == 0)
        return FAULT_GETLOGS;
    if (strcmp(method, "eth_call") == 0 || strcmp(method, "eth_estimateGas") == 0)
        return FAULT_CALL;
    return FAULT_ANY;
}

static bool rpc_asks_newest(const struct rpc_request *q)
{
    static const char latest[] = "[\"latest\"";
    return strcmp(q->method, "eth_getBlockByNumber") == 0 && q->params_len >= sizeof latest - 1 &&
           memcmp(q->params, latest, sizeof latest - 1) == 0;
}

static void rpc_entry_open_batch(struct rpc *n, struct rpc_entry *r, const struct rpc_request *q)
{
    struct buf *body = &r->payload.body;
    buf_addc(body, '[');
    jsonrpc_request(body, r->id, q->method, q->params, q->params_len);
    for (size_t i = 0; i < q->n_more && i < RPC_MORE_MAX; i++) {
        const struct rpc_more *m = &q->more[i];
        struct rpc_payload_more *kept = &r->payload.more[r->payload.n_more++];
        buf_addc(body, ',');
        jsonrpc_request(body, ++n->last_id, m->method, m->params, m->params_len);
        *kept = (struct rpc_payload_more){.kind = rpc_method_kind(m->method),
                                          .counted = counters_method(m->method),
                                          .logs = m->logs};
        snprintf(kept->method, sizeof kept->method, "%s", m->method);
    }
    buf_addc(body, ']');
}

void rpc_entry_open(struct rpc *n, struct rpc_entry *r, const struct rpc_request *q, int64_t now)
{
    *r = (struct rpc_entry){
        .owner = r->owner,
        .state = ENTRY_QUEUED,
        .id = ++n->last_id,
        .payload = {.body = r->payload.body,
                    .kind = rpc_method_kind(q->method),
                    .counted = counters_method(q->method),
                    .bytes = q->bytes,
                    .logs = q->logs,
                    .receipts = q->receipts,
                    .reverts = q->reverts,
                    .newest = rpc_asks_newest(q),
                    .reply_max = q->reply_max && q->reply_max < RPC_REPLY_MAX ? q->reply_max
                                                                              : RPC_REPLY_MAX},
        .lane = q->lane,
        .deadline_ms = q->deadline_ms ? q->deadline_ms : now + n->patience_ms,
        .only = q->only,
        .retry = {.no_retry = q->no_retry},
        .answer.user = q->user,
    };
    snprintf(r->payload.method, sizeof r->payload.method, "%s", q->method);
    buf_clear(&r->payload.body);
    if (q->n_more > 0) {
        rpc_entry_open_batch(n, r, q);
        return;
    }
    jsonrpc_request(&r->payload.body, r->id, q->method, q->params, q->params_len);
    for (size_t i = 0; i < q->nonce.n && !r->payload.body.overflow; i++)
        r->payload.nonce.at[r->payload.nonce.n++] =
            q->nonce.at[i] + r->payload.body.len - 1 - q->params_len; /* "}" ends it */
}

void rpc_entry_stamp(struct rpc *n, struct rpc_entry *r)
{
    if (r->payload.nonce.n == 0)
        return;
    rng_fill(&n->rng, r->attempt.nonce.b, sizeof r->attempt.nonce.b);
    nonce_write(&r->attempt.nonce, &r->payload.nonce, r->payload.body.data);
}
