/*
 * Which node an endpoint is: questions that no caller asks.
 *
 * An endpoint that was away may come back as another node, so before it is asked anything, it says
 * chain id and genesis again. The same for one that was not there at the start, and now and then
 * for one that is on another chain.
 *
 * These questions move only while the caller waits for an answer of its own, so how long one took
 * says nothing, and that it ran out of time is held against no endpoint.
 */
#include "base/clock.h"
#include "proc/counters.h"
#include "rpc/rpc_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    QUESTION_MS = 10 * 1000,
    WRONG_CHAIN_MS = 60 * 1000, /* between looks at an endpoint that is surely on another chain */
};

void rpc_question_open(struct endpoint *e, struct rpc_entry *r, const char *method,
                       const char *params, int64_t deadline_ms)
{
    struct rpc_request q = {.method = method,
                            .params = params,
                            .params_len = strlen(params),
                            .deadline_ms = deadline_ms,
                            .only = e};
    rpc_entry_open(e->rpc, r, &q, clock_ms());
}

bool rpc_answer_header(const struct rpc_answer *a, struct header *ret)
{
    bool found = false;
    return a->fault.fault == FAULT_NONE && a->result &&
           header_from_json(a->result, ret, &found, NULL) == 0 && found;
}

/* ---- chain id and genesis -------------------------------------------------------------------- */

static bool rpc_identity_asking(const struct endpoint_identity *id)
{
    return id->chain_id_entry.state != ENTRY_FREE || id->genesis_entry.state != ENTRY_FREE;
}

static void rpc_identity_ask(struct endpoint *e, int64_t now)
{
    struct endpoint_identity *id = &e->identity;
    id->failed = false;
    rpc_question_open(e, &id->chain_id_entry, "eth_chainId", "[]", now + QUESTION_MS);
    rpc_question_open(e, &id->genesis_entry, "eth_getBlockByNumber", "[\"0x0\",false]",
                      now + QUESTION_MS);
}

static bool rpc_identity_is_ours(const struct endpoint *e)
{
    return e->identity.chain_id == e->rpc->chain.id &&
           hash_equal(&e->identity.genesis, &e->rpc->chain.genesis);
}

bool rpc_identity_is_sure(const struct endpoint *e, int64_t now)
{
    const struct endpoint_identity *id = &e->identity;
    return id->wrong_looks >= RPC_WRONG_LOOKS && now - id->wrong_since_ms >= RPC_WRONG_MS;
}

static int64_t rpc_identity_note_wrong(struct endpoint *e, int64_t now)
{
    struct endpoint_identity *id = &e->identity;
    if (id->wrong_looks++ == 0)
        id->wrong_since_ms = now;
    return rpc_identity_is_sure(e, now) ? WRONG_CHAIN_MS
           : id->wrong_looks == 1       ? RPC_WRONG_SOON_MS
                                        : RPC_WRONG_EVERY_MS;
}

static void rpc_identity_reject(struct endpoint *e, int64_t now)
{
    const struct rpc_chain *ours = &e->rpc->chain;
    struct endpoint_circuit *c = &e->circuit;
    char theirs[HASH_TEXT], genesis[HASH_TEXT];
    hash_text(&e->identity.genesis, theirs);
    hash_text(&ours->genesis, genesis);
    if (e->identity.chain_id != ours->id)
        snprintf(c->text, sizeof c->text,
                 "endpoint \"%.80s\" is on chain %" PRIu64 ", not %" PRIu64, endpoint_name(e),
                 e->identity.chain_id, ours->id);
    else
        snprintf(c->text, sizeof c->text, "endpoint \"%.60s\" has genesis block %.18s…, not %.18s…",
                 endpoint_name(e), theirs, genesis);
    c->fault = FAULT_INVALID;
    int64_t wait = rpc_identity_note_wrong(e, now);
    e->identity.ask_at_ms = now + wait;
    endpoint_event(e, HEALTH_WRONG_CHAIN, c->text);
    counters_endpoint_paused(endpoint_number(e), wall_ms() + 2 * wait, c->text);
}

static void rpc_identity_complete(struct endpoint *e, int64_t now)
{
    struct endpoint_identity *id = &e->identity;
    if (id->failed) {
        bool wrong_chain = e->circuit.state == BREAKER_WRONG_CHAIN;
        id->ask_at_ms = now + (wrong_chain ? RPC_WRONG_EVERY_MS : backoff_next(&id->wait));
    } else if (!rpc_identity_is_ours(e)) {
        rpc_identity_reject(e, now);
    } else {
        id->known = id->confirmed = true;
        id->wrong_looks = 0;
        e->circuit.failures = 0;
        backoff_reset(&id->wait);
        endpoint_event(e, HEALTH_GOOD, "");
        endpoint_event(e, HEALTH_RIGHT_CHAIN, "");
    }
}

void rpc_identity_on_reply(struct rpc_entry *r, int64_t now)
{
    struct endpoint *e = r->only;
    struct endpoint_identity *id = &e->identity;
    const struct rpc_answer *a = &r->answer;
    const struct rpc_entry *other = &id->chain_id_entry;
    struct header h;
    bool good;
    if (r->owner == OWNER_CHAIN_ID) {
        other = &id->genesis_entry;
        good = a->fault.fault == FAULT_NONE && a->result &&
               json_quantity(a->result, &id->chain_id) && id->chain_id > 0;
    } else {
        good = rpc_answer_header(a, &h);
        if (good)
            id->genesis = h.at.hash;
    }
    id->failed |= !good;
    if (other->state == ENTRY_FREE)
        rpc_identity_complete(e, now);
}

void rpc_identity_begin(struct rpc *n, int64_t now)
{
    for (size_t i = 0; i < n->n_endpoints; i++) {
        struct endpoint *e = &n->endpoints[i];
        e->identity.ask_at_ms = now;
        if (!e->identity.known)
            rpc_notify(n, e, "endpoint does not answer yet, it is asked again", "");
        else if (!rpc_identity_is_ours(e))
            rpc_identity_reject(e, now);
    }
}

void rpc_identity_submit(struct rpc *n, int64_t now)
{
    if (!n->chain.identified)
        return;
    for (size_t i = 0; i < n->n_endpoints; i++) {
        struct endpoint *e = &n->endpoints[i];
        if (!e->identity.confirmed && !rpc_identity_asking(&e->identity) &&
            now >= e->identity.ask_at_ms && now >= e->circuit.not_before_ms)
            rpc_identity_ask(e, now);
    }
    rpc_heads_submit(n, now);
}
