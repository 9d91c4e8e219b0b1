/*
 * What the node asks for itself: who an endpoint is, where its head is, whether a header is right.
 *
 * Who: an endpoint that was away may come back as another node, so before it is asked anything, it
 * says chain id and genesis again. The same for one that was not there at the start, and now and
 * then for one that was set aside. The head: where there are several endpoints, those that the
 * caller does not ask tell theirs from time to time, seldom while all agree, at once when something
 * looks late.
 *
 * These questions move only while the caller waits for an answer of its own, so how long one took
 * says nothing, and that it ran out of time is held against nobody.
 */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "proc/counters.h"
#include "rpc/rpc_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    WHO_MS = 10 * 1000,
    ASIDE_MS = 60 * 1000, /* between looks at one that is on another chain */
    HEAD_MS = 60 * 1000,
    HEADS_LEAST_MS = 2 * 1000,
    HEADS_MOST_MS = 20 * 1000,
    HEADS_SOON_MS = 500,
    HEAD_FRESH_MS = 60 * 1000,
    CALM_MS = 60 * 1000, /* nobody asked for the head for so long: nobody needs it */
};

static struct request *ask_own(struct rpc *n, struct endpoint *e, enum check check,
                               const char *method, const char *params, int64_t ms, int64_t now)
{
    struct rpc_request q = {.method = method,
                            .params = params,
                            .params_len = strlen(params),
                            .deadline_ms = now + ms,
                            .once = true,
                            .only = e};
    struct request *r = request_new(n, &q, now);
    if (r)
        r->check = check;
    return r;
}

/* ---- who is there ---------------------------------------------------------------------------- */

static void ask_who(struct rpc *n, struct endpoint *e, int64_t now)
{
    e->check_failed = false;
    e->checking = 2;
    if (!ask_own(n, e, CHECK_CHAIN, "eth_chainId", "[]", WHO_MS, now))
        e->checking--;
    if (!ask_own(n, e, CHECK_GENESIS, "eth_getBlockByNumber", "[\"0x0\",false]", WHO_MS, now))
        e->checking--;
    e->check_failed = e->checking < 2;
}

static void set_aside(struct rpc *n, struct endpoint *e, const hash32 *genesis, int64_t now)
{
    char theirs[HASH_TEXT], ours[HASH_TEXT];
    hash_text(genesis, theirs);
    hash_text(&n->genesis, ours);
    if (e->told_chain_id != n->chain_id)
        snprintf(e->pause_text, sizeof e->pause_text,
                 "endpoint \"%.80s\" is on chain %" PRIu64 ", not %" PRIu64, endpoint_name(e),
                 e->told_chain_id, n->chain_id);
    else
        snprintf(e->pause_text, sizeof e->pause_text,
                 "endpoint \"%.60s\" has genesis block %.18s…, not %.18s…", endpoint_name(e),
                 theirs, ours);
    e->pause = FAULT_INVALID;
    e->check_at_ms = now + ASIDE_MS;
    endpoint_event(e, HEALTH_FOREIGN, e->pause_text);
    counters_endpoint_paused(endpoint_number(e), wall_ms() + 2 * ASIDE_MS, e->pause_text);
}

static void who_answered(struct rpc *n, struct endpoint *e, int64_t now)
{
    if (e->check_failed) {
        int64_t wait = e->breaker == BREAKER_ASIDE ? ASIDE_MS : backoff_next(&e->check_wait);
        e->check_at_ms = now + wait;
        return;
    }
    if (e->told_chain_id != n->chain_id || !hash_equal(&e->genesis, &n->genesis)) {
        set_aside(n, e, &e->genesis, now);
        return;
    }
    e->chain_id = n->chain_id;
    e->identified = e->sure = true;
    e->failures = 0;
    backoff_reset(&e->check_wait);
    endpoint_event(e, HEALTH_GOOD, "");
    endpoint_event(e, HEALTH_OURS, "");
}

static void take_who(struct rpc *n, struct request *r, int64_t now)
{
    struct endpoint *e = r->only;
    struct rpc_answer *a = &r->answer;
    struct header h;
    bool found = false;
    bool good = a->fault.fault == FAULT_NONE && a->result;
    if (r->check == CHECK_CHAIN) {
        good = good && json_quantity(a->result, &e->told_chain_id);
    } else {
        good = good && header_from_json(a->result, &h, &found, NULL) == 0 && found;
        if (good)
            e->genesis = h.at.hash;
    }
    if (!good)
        e->check_failed = true;
    if (e->checking > 0 && --e->checking == 0)
        who_answered(n, e, now);
}

void rpc_identity_begin(struct rpc *n, int64_t now)
{
    for (size_t i = 0; i < n->n_endpoints; i++) {
        struct endpoint *e = &n->endpoints[i];
        e->check_at_ms = now;
        if (!e->identified)
            rpc_notify(n, e, "endpoint does not answer yet, it is asked again", "");
        else if (e->chain_id != n->chain_id || !hash_equal(&e->genesis, &n->genesis))
            set_aside(n, e, &e->genesis, now);
    }
}

/* ---- heads ----------------------------------------------------------------------------------- */

void rpc_heads_compare_soon(struct rpc *n, int64_t now)
{
    n->heads_every_ms = HEADS_LEAST_MS;
    if (n->heads_ms > now - HEADS_LEAST_MS + HEADS_SOON_MS)
        n->heads_ms = now - HEADS_LEAST_MS + HEADS_SOON_MS;
}

static void set_lag(struct rpc *n, struct endpoint *e, uint64_t lag, int64_t now)
{
    char why[64];
    if (lag > 0) {
        snprintf(why, sizeof why, "%" PRIu64 " blocks behind another", lag);
        counters_endpoint_paused(endpoint_number(e), wall_ms() + HEADS_MOST_MS, why);
        rpc_heads_compare_soon(n, now);
        if (e->lag == 0) {
            e->counters.lagged++;
            counters_endpoint_pause(endpoint_number(e), PAUSE_LAGS);
            rpc_notify(n, e, "endpoint lags, others are asked first", why);
        }
    } else if (e->lag > 0) {
        rpc_notify(n, e, "endpoint is used again", "has caught up");
    }
    e->lag = lag;
}

/* Lag is found whenever two heads can be compared; that it is over, only by a new head of e's own.
 */
static void compare(struct rpc *n, struct endpoint *e, bool fresh, int64_t now)
{
    uint64_t most = 0;
    bool compared = false;
    for (size_t i = 0; i < n->n_endpoints; i++) {
        const struct endpoint *o = &n->endpoints[i];
        if (o == e || o->breaker != BREAKER_CLOSED ||
            !head_comparable(&e->head, &o->head, HEAD_FRESH_MS))
            continue;
        uint64_t lag = head_lag(&e->head, &o->head);
        most = lag > most ? lag : most;
        compared = true;
    }
    if (most > 0 || (fresh && compared))
        set_lag(n, e, most, now);
}

/* Standing still while it is asked again and again may be the chain, or may be lag. */
static void note_growth(struct rpc *n, struct endpoint *e, uint64_t number, int64_t now)
{
    if (!e->head.known || number > e->head.number) {
        int64_t each = e->head.known ? (now - e->grew_ms) / (int64_t)(number - e->head.number) : 0;
        e->usual_ms = e->usual_ms ? (e->usual_ms * 7 + each) / 8 : each;
        e->grew_ms = now;
    } else if (now - e->grew_ms > 3 * e->usual_ms) {
        rpc_heads_compare_soon(n, now);
    }
}

void head_told(struct rpc *n, struct endpoint *e, uint64_t number, uint64_t timestamp,
               int64_t asked_ms, int64_t now)
{
    note_growth(n, e, number, now);
    e->head = (struct head_seen){true, number, timestamp, asked_ms, now};
    compare(n, e, true, now);
    for (size_t i = 0; i < n->n_endpoints; i++)
        if (&n->endpoints[i] != e)
            compare(n, &n->endpoints[i], false, now);
}

static void ask_heads(struct rpc *n, int64_t now)
{
    if (n->n_endpoints < 2 || n->live_ms == 0 || now - n->live_ms > CALM_MS ||
        now - n->heads_ms < n->heads_every_ms)
        return;
    for (size_t i = 0; i < n->n_endpoints; i++) {
        struct endpoint *e = &n->endpoints[i];
        if (!endpoint_usable(e, now) || e->asking_head ||
            (e->head.known && now - e->head.at_ms < n->heads_every_ms))
            continue;
        e->asking_head = ask_own(n, e, CHECK_HEAD, "eth_getBlockByNumber", "[\"latest\",false]",
                                 HEAD_MS, now) != NULL;
    }
    n->heads_ms = now;
    n->heads_every_ms += n->heads_every_ms / 2;
    if (n->heads_every_ms < HEADS_LEAST_MS)
        n->heads_every_ms = HEADS_LEAST_MS;
    if (n->heads_every_ms > HEADS_MOST_MS)
        n->heads_every_ms = HEADS_MOST_MS;
}

/* ---- accusations ----------------------------------------------------------------------------- */

void endpoint_accuse(struct endpoint *e, const struct anchor *believed, const char *why)
{
    struct rpc *n = e->node;
    int64_t now = clock_ms();
    char params[64];
    struct endpoint *other = rpc_other(n, e);
    size_t pending = 0;
    for (size_t i = 0; i < SLOTS; i++) {
        const struct request *r = &n->requests[i];
        if (r->state == REQUEST_FREE || r->check != CHECK_CONFIRM)
            continue;
        if (r->accused == e)
            return; /* it is being looked into */
        pending++;
    }
    if (!other) {
        endpoint_report_wrong_block(e, why);
        return;
    }
    snprintf(params, sizeof params, "[\"0x%" PRIx64 "\",false]", believed->number);
    struct request *r = pending < ACCUSED_MAX ? ask_own(n, other, CHECK_CONFIRM,
                                                        "eth_getBlockByNumber", params, WHO_MS, now)
                                              : NULL;
    if (!r)
        return;
    r->accused = e;
    r->believed = *believed;
    r->accusation = why;
}

/* Another hash: it may be we who are wrong, and the next look at the head tells. */
static void take_confirmation(struct request *r)
{
    struct header h;
    bool found = false;
    if (r->answer.fault.fault == FAULT_NONE && r->answer.result &&
        header_from_json(r->answer.result, &h, &found, NULL) == 0 && found &&
        hash_equal(&h.at.hash, &r->believed.hash))
        endpoint_report_wrong_block(r->accused, r->accusation);
}

/* ---- both ways ------------------------------------------------------------------------------- */

void rpc_identity_submit(struct rpc *n, int64_t now)
{
    if (!n->identified)
        return;
    for (size_t i = 0; i < n->n_endpoints; i++) {
        struct endpoint *e = &n->endpoints[i];
        if (!e->sure && e->checking == 0 && now >= e->check_at_ms && now >= e->not_before_ms)
            ask_who(n, e, now);
    }
    ask_heads(n, now);
}

void rpc_identity_on_reply(struct rpc *n, struct request *r, int64_t now)
{
    switch (r->check) {
    case CHECK_CHAIN:
    case CHECK_GENESIS:
        take_who(n, r, now);
        break;
    case CHECK_HEAD:
        r->only->asking_head = false; /* the answer itself was noted like any */
        break;
    case CHECK_CONFIRM:
        take_confirmation(r);
        break;
    case CHECK_NONE:
        break;
    }
}
