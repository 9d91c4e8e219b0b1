/*
 * What the files of rpc/ share: the queue of requests and the endpoints they go to.
 *
 * An entry of the queue is what all requests have in common. Its way is QUEUED → SENT → (QUEUED
 * again, to retry) → DONE → FREE, changed only in queue.c. Each entry is a part of its owner, which
 * has what only its kind needs: a caller's request, a hedge (hedge.c), a question about an endpoint
 * (identity.c). Nothing is allocated for a request but the answer's document.
 */
#ifndef RPC_RPC_INTERNAL_H
#define RPC_RPC_INTERNAL_H

#include "base/backoff.h"
#include "base/buf.h"
#include "net/http.h"
#include "rpc/budget.h"
#include "rpc/health.h"
#include "rpc/logs.h"
#include "rpc/rpc.h"

enum {
    ENDPOINT_IN_FLIGHT = 8,
    HEDGES_MAX = 8,
    ENDPOINT_QUESTIONS = 4,
    CALLERS_MAX = RPC_IN_FLIGHT_MAX + RPC_ASIDE_MAX,
    QUEUE_MAX = CALLERS_MAX + HEDGES_MAX + ENDPOINT_QUESTIONS * RPC_ENDPOINTS_MAX,
    METHOD_TEXT = 48,
    NOTICES = 16,
};

enum rpc_entry_state { ENTRY_FREE, ENTRY_QUEUED, ENTRY_SENT, ENTRY_DONE };

enum rpc_owner {
    OWNER_CALLER,   /* struct rpc_caller */
    OWNER_HEDGE,    /* struct rpc_hedge */
    OWNER_CHAIN_ID, /* the endpoint `only`: identity.chain_id_entry … */
    OWNER_GENESIS,  /* … identity.genesis_entry … */
    OWNER_HEAD,     /* … head.entry */
    OWNER_DOUBT,    /* doubt.entry of an endpoint; `only` is who is asked */
};

/* What a batch asks after its first call. */
struct rpc_payload_more {
    char method[METHOD_TEXT];
    enum fault_method kind;
    size_t counted;
    bool logs;
};

/* What is asked, and how its answer is wanted. */
struct rpc_payload {
    struct buf body;           /* its memory stays with the entry */
    struct nonce_places nonce; /* in body */
    char method[METHOD_TEXT];
    enum fault_method kind;
    size_t counted; /* the method, as the counters number it */
    bool bytes, logs, receipts, reverts;
    bool newest; /* the answer is the newest header */
    size_t reply_max;
    struct rpc_payload_more more[RPC_MORE_MAX]; /* ids id + 1, … */
    size_t n_more;
};

struct rpc_retry {
    uint32_t no_retry;
    unsigned failures; /* attempts in a row that ended in answer.fault */
    struct backoff wait;
    int64_t not_before_ms;
    struct endpoint *avoid; /* it failed last */
};

struct rpc_attempt {
    unsigned n; /* made so far */
    struct nonce nonce;
    int64_t sent_ms;
    struct endpoint *at;            /* while SENT */
    struct http_transfer *transfer; /* while SENT */
};

struct rpc_entry {
    enum rpc_owner owner;
    enum rpc_entry_state state;
    uint64_t id; /* JSON-RPC id; grows, so it is the order of submission too */
    struct rpc_payload payload;
    enum rpc_lane lane;
    int64_t deadline_ms;
    struct endpoint *only; /* NULL: any */
    struct rpc_retry retry;
    struct rpc_attempt attempt;
    struct rpc_answer answer; /* while retrying: the last fault */
};

/* The owners' entry comes first: a pointer to the one is a pointer to the other. */
struct rpc_caller {
    struct rpc_entry entry;
    int64_t submitted_ms;
    uint64_t done_order;
    struct endpoint *second;
    struct rpc_hedge *hedge; /* while there is one */
    bool hedged;             /* had one */
    bool parked;             /* failed for good, and waits for what its hedge brings */
    bool aside;              /* not rpc_next()'s */
};

struct rpc_hedge {
    struct rpc_entry entry;
    struct rpc_caller *of;
};

struct endpoint_circuit {
    enum breaker state;
    int64_t not_before_ms; /* nothing is sent until then */
    int64_t judged_ms;     /* when that was last set: older requests' failures tell nothing new */
    int64_t silent_ms;  /* when the first request was sent that nothing has been heard since; 0 */
    int64_t wrong_ms;   /* when it last answered from a wrong block */
    unsigned failures;  /* in a row: not reached, broken, garbled */
    unsigned misplaced; /* in a row: answers of another request */
    int64_t misplaced_log_ms; /* when that was last noticed; 0: never */
    struct backoff down_wait, rate_wait, wrong_wait;
    enum fault fault; /* why it is paused, and in whose words */
    char text[256];
};

struct endpoint_identity {
    bool known;     /* chain_id and genesis are as it last said */
    bool confirmed; /* known since it was last away */
    bool failed;    /* one of the two questions */
    uint64_t chain_id;
    hash32 genesis;
    unsigned wrong_looks;   /* in a row that showed another chain … */
    int64_t wrong_since_ms; /* … the first of them */
    int64_t ask_at_ms;
    struct backoff wait;
    struct rpc_entry chain_id_entry, genesis_entry;
};

struct endpoint_head {
    struct rpc_head seen;
    uint64_t lag;     /* blocks behind another endpoint; 0: none */
    int64_t grew_ms;  /* when it last rose … */
    int64_t usual_ms; /* … and how long a block usually takes */
    struct rpc_entry entry;
};

/* It answered from another block than `at` (doubt.c). */
struct endpoint_doubt {
    bool ever;
    bool pending; /* another endpoint could not tell: it is asked itself */
    struct anchor at;
    char why[128];
    struct rpc_entry entry;
};

struct endpoint_load {
    unsigned in_flight, most; /* the latter halves when told to slow down, then regrows */
    unsigned aside;           /* of in_flight: aside, and not live */
    unsigned good;            /* answers since `most` last changed */
    struct endpoint_pace pace;
};

struct endpoint {
    struct rpc *rpc;
    const struct conf_endpoint *conf;
    struct endpoint_circuit circuit;
    struct endpoint_identity identity;
    struct endpoint_head head;
    struct endpoint_doubt doubt;
    struct endpoint_load load;
    struct latency latency[FAULT_CALL + 1]; /* per kind of method: live requests alone */
    enum capability pins_hash;
    enum capability has_evm_time;
    enum capability logs_by_hash; /* logs_block.c */
    int64_t logs_hash_at_ms;      /* CAP_NO holds until then */
    int64_t batches_at_ms;        /* batches are refused until then; 0: never were; logs_proof.c */
    enum log_forms log_forms;     /* logs_probe.c */
    struct endpoint_counters counters;
};

struct rpc_chain {
    bool identified;
    bool expects_id, expects_genesis; /* as configured or stored */
    uint64_t id;
    hash32 genesis;
};

/* When the heads of the endpoints are compared. */
struct rpc_heads {
    int64_t wanted_ms; /* when a caller last asked for the head */
    int64_t compared_ms, every_ms;
};

struct rpc_spending {
    struct budget budget;
    uint64_t units;    /* sent by this process, to all */
    int64_t others_ms; /* when the other processes' were last looked at */
    int64_t wake_ms;   /* when there are units for what waits for them; 0: nothing waits */
    bool day_noticed[LANES];
};

struct rpc {
    const struct conf *conf;
    struct http *http;
    int64_t patience_ms; /* for requests without a deadline of their own */
    int stop_fd;         /* −1: none */
    bool stop_asked;
    struct rng rng;
    struct rpc_chain chain;
    struct rpc_heads heads;
    struct rpc_spending spending;
    void (*on_notice)(const struct rpc_notice *notice); /* NULL: they are kept */
    struct rpc_notice notices[NOTICES];
    size_t n_notices;
    size_t n_endpoints;
    struct endpoint endpoints[RPC_ENDPOINTS_MAX];
    size_t in_use, aside; /* callers */
    uint64_t last_id, last_done;
    uint64_t last_told; /* the last answer that ended an rpc_drive() */
    bool live_fails;    /* a live request of the kind live_failing is tried again and again */
    size_t live_failing;
    struct rpc_caller callers[CALLERS_MAX];
    struct rpc_hedge hedges[HEDGES_MAX];
    struct rpc_entry *queue[QUEUE_MAX]; /* the entries of all of these */
};

/* Something a person wants to know once: the oldest unread is lost when they are not read. */
void rpc_notify(struct rpc *n, const struct endpoint *e, const char *message, const char *why);

/* ---- queue.c --------------------------------------------------------------------------------- */

void rpc_queue_init(struct rpc *n);
void rpc_queue_free(struct rpc *n);
/* Queues a request in a free entry. method and params as in rpc_request. */
void rpc_entry_open(struct rpc *n, struct rpc_entry *r, const struct rpc_request *q, int64_t now);
void rpc_entry_finish(struct rpc *n, struct rpc_entry *r, int64_t now);
void rpc_entry_fail(struct rpc *n, struct rpc_entry *r, enum fault fault, const char *rule,
                    const char *text, int64_t now);
/* Before each try: writes its nonce into the body. */
void rpc_entry_stamp(struct rpc *n, struct rpc_entry *r);
/* Takes r's transfer off the wire; r is QUEUED then. */
void rpc_entry_recall(struct rpc *n, struct rpc_entry *r);
/* Does it leave the live requests their places at the endpoint? */
bool rpc_entry_is_aside(const struct rpc_entry *r);

/* ---- rpc_verbs.c ----------------------------------------------------------------------------- */

int rpc_wait_answer(struct rpc *n, struct rpc_answer *ret, struct err *err);

/* ---- schedule.c: what goes where, and when --------------------------------------------------- */

bool rpc_schedule_dispatch(struct rpc *n, int64_t now); /* true: something was sent */
void rpc_schedule_expire(struct rpc *n, int64_t now);
/* When something can change without the network. */
int64_t rpc_schedule_next_change(const struct rpc *n, int64_t now);
/* The best endpoint for r, or for anything (NULL), that may be asked now; not `not`. NULL if none.
 */
struct endpoint *rpc_schedule_choose(struct rpc *n, const struct rpc_entry *r,
                                     const struct endpoint * not, int64_t now);

/* ---- identity.c, heads.c: questions about the endpoints -------------------------------------- */

/* Asks e itself; the entry is free. */
void rpc_question_open(struct endpoint *e, struct rpc_entry *r, const char *method,
                       const char *params, int64_t deadline_ms);
/* The header in a good answer; false when there is none. */
bool rpc_answer_header(const struct rpc_answer *a, struct header *ret);
/* The chain is known now: an endpoint on another one is not used, one that did not answer is asked
 * again. */
void rpc_identity_begin(struct rpc *n, int64_t now);
void rpc_identity_submit(struct rpc *n, int64_t now);
void rpc_identity_on_reply(struct rpc_entry *r, int64_t now);
/* It said often enough, and for long enough, that it is on another chain. */
bool rpc_identity_is_sure(const struct endpoint *e, int64_t now);

void rpc_doubt_submit(struct rpc *n, int64_t now);
void rpc_doubt_on_reply(struct rpc_entry *r);

void rpc_heads_submit(struct rpc *n, int64_t now);
/* Something looks late: the heads are compared soon. */
void rpc_heads_compare_soon(struct rpc *n, int64_t now);
/* A header that answers "the newest" came from e. */
void rpc_heads_on_header(struct endpoint *e, const struct header *h, int64_t asked_ms, int64_t now);

/* ---- hedge.c --------------------------------------------------------------------------------- */

void rpc_hedge_submit(struct rpc *n, int64_t now);
int64_t rpc_hedge_at(const struct rpc *n, const struct rpc_entry *r); /* INT64_MAX: never */
/* A hedge has ended, well or not: what that means for its caller. It is released afterwards. */
void rpc_hedge_on_reply(struct rpc *n, struct rpc_hedge *h, int64_t now);

/* ---- endpoint.c: health ---------------------------------------------------------------------- */

void endpoint_init(struct endpoint *e, struct rpc *n, const struct conf_endpoint *conf,
                   uint64_t seed);
void endpoint_tick(struct endpoint *e, int64_t now); /* a pause that is over ends */
/* May it be asked what a caller wants to know? */
bool endpoint_usable(const struct endpoint *e, int64_t now);
void endpoint_event(struct endpoint *e, enum health_event event, const char *why);
/* What an attempt says about the endpoint. reached: it answered as a node at all. */
void endpoint_on_result(struct endpoint *e, const struct rpc_answer *a, bool reached,
                        int64_t sent_ms, int64_t now);
/* It let a question wait so long that another was asked, and answered first. */
void endpoint_hedge_won(struct endpoint *e, int64_t sent_ms, int64_t now);
/* Sets the hint where the words say that an https port speaks http. */
bool rpc_hint_plain_url(const char *words, struct err *err);
/* url and ws taken out of text. */
void endpoint_scrub(const struct endpoint *e, const char *text, char *out, size_t room);

/* ---- answer.c: what came back, in our terms -------------------------------------------------- */

struct transport_result {
    bool reached;   /* the endpoint answered, whatever it said */
    bool refused;   /* the request was not even sent */
    bool permanent; /* the same again cannot help: a certificate, a redirect */
};

/* Fills fault, doc, result and text of r's answer. */
void rpc_answer_read(struct rpc_entry *r, const struct endpoint *e, const struct http_reply *reply,
                     struct transport_result *ret);
/* Does the status say that the endpoint serves us nothing? Mostly a URL without its key. */
bool rpc_answer_turned_away(const struct rpc_answer *a);
/* An answer's fault as an error: the kind is about who spoke (an endpoint that says no has been
 * reached), or that no endpoint on our chain is left. Always −1. */
int rpc_answer_err(const char *what, const struct rpc_answer *a, struct err *err);

#endif
