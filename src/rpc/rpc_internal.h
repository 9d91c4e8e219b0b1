/*
 * What the files of node/ share: the node, its requests, its endpoints.
 *
 * A request is a slot in a fixed array, so that nothing is allocated per request but the answer's
 * document. Its way is QUEUED → SENT → (QUEUED again, to retry) → DONE → FREE, changed only in
 * node.c. Three kinds of requests share the slots: the caller's; the node's own questions
 * (check.c), whose answers nobody is handed; and hedges (hedge.c), second tries of a caller's
 * request that is slow. Only the caller's count as in flight.
 */
#ifndef RPC_RPC_INTERNAL_H
#define RPC_RPC_INTERNAL_H

#include "base/backoff.h"
#include "base/buf.h"
#include "net/http.h"
#include "rpc/budget.h"
#include "rpc/health.h"
#include "rpc/rpc.h"

enum {
    ENDPOINT_IN_FLIGHT = 8,
    ENDPOINTS_MAX = 8,
    HEDGES_MAX = 8,
    ACCUSED_MAX = 4,
    /* Two own questions about identity and one about the head, for each endpoint. */
    SLOTS = RPC_IN_FLIGHT_MAX + 3 * ENDPOINTS_MAX + HEDGES_MAX + ACCUSED_MAX,
    METHOD_TEXT = 48,
    NOTICES = 16,
};

enum request_state { REQUEST_FREE, REQUEST_QUEUED, REQUEST_SENT, REQUEST_DONE };

enum check { CHECK_NONE, CHECK_CHAIN, CHECK_GENESIS, CHECK_HEAD, CHECK_CONFIRM };

struct request {
    enum request_state state;
    uint64_t id;     /* JSON-RPC id; grows, so it is the order of submission too */
    struct buf body; /* memory stays with the slot */
    enum fault_method method;
    char method_name[METHOD_TEXT];
    size_t counted; /* the method, as the counters number it */
    enum rpc_lane lane;
    bool once, bytes, logs, reverts;
    bool asks_head; /* the answer is the newest header */
    uint32_t straight;
    size_t reply_max;
    int64_t submitted_ms, deadline_ms, not_before_ms, sent_ms;
    unsigned tries, failures_of; /* attempts made; those that ended in answer.fault in a row */
    struct backoff wait;
    struct endpoint *only, *second;
    struct endpoint *at;    /* while SENT */
    struct endpoint *avoid; /* who failed it last */
    struct http_transfer *transfer;
    uint64_t done_order;
    enum check check;         /* the node's own question; NONE: a caller's, or a hedge */
    bool is_hedge;            /* of twin */
    bool hedged;              /* had one */
    bool parked;              /* failed for good, and waits for what its hedge brings */
    struct request *twin;     /* each other's, while both are there */
    struct endpoint *accused; /* CHECK_CONFIRM: of having answered from another block than … */
    struct anchor believed;
    const char *accusation;
    struct rpc_answer answer; /* while retrying: the last fault */
};

struct endpoint {
    struct rpc *node;
    const struct conf_endpoint *conf;
    unsigned in_flight, in_flight_max; /* the latter halves when told to slow down, then regrows */
    unsigned good;                     /* answers since in_flight_max last changed */
    unsigned failures;                 /* in a row: not reached, broken, garbled */
    int64_t silent_ms; /* when the first request was sent that nothing has been heard since; 0 */
    struct backoff down_wait, rate_wait, lie_wait;
    enum breaker breaker;
    int64_t not_before_ms; /* nothing is sent here until then */
    int64_t judged_ms;     /* when that was last set: older requests' failures tell nothing new */
    int64_t lied_ms;
    enum fault pause; /* why, and in whose words */
    char pause_text[256];
    struct latency latency[FAULT_CALL + 1]; /* per kind of method: live requests alone */
    struct head_seen head;
    uint64_t lag;              /* blocks behind another endpoint; 0: none */
    int64_t grew_ms, usual_ms; /* when the head last rose; how long a block usually takes */
    struct pace pace;
    enum capability pins_hash;
    bool identified;
    uint64_t chain_id;
    hash32 genesis;
    /* check.c */
    bool sure;         /* identified since it was last away */
    unsigned checking; /* own questions about its identity under way */
    bool asking_head, check_failed;
    uint64_t told_chain_id;
    int64_t check_at_ms;
    struct backoff check_wait;
    struct endpoint_counters counters;
};

struct rpc {
    const struct conf *conf;
    struct http *http;
    int64_t patience_ms; /* for requests without a deadline of their own */
    int stop_fd;         /* −1: none */
    bool stop_asked;
    bool identified;
    bool expects_id, expects_genesis; /* as configured or stored; chain_id and genesis hold them */
    uint64_t chain_id;
    hash32 genesis;
    size_t n_endpoints, in_use, hedges;
    uint64_t last_id, last_done;
    int64_t wake_ms; /* when units will be there for what could not be sent; 0: nothing waits so */
    int64_t live_ms; /* when a caller last asked for the head */
    int64_t heads_ms, heads_every_ms; /* comparing heads: when last, how often */
    uint64_t units;                   /* sent by this node, to all */
    int64_t elsewhere_ms;
    struct budget budget;
    bool day_told[LANES];
    struct rpc_notice notices[NOTICES];
    size_t n_notices;
    struct rng rng;
    struct endpoint endpoints[ENDPOINTS_MAX];
    struct request requests[SLOTS];
};

/* ---- node.c ---------------------------------------------------------------------------------- */

/* A free slot made a request of; NULL when there is none. method and params as in rpc_request. */
struct request *request_new(struct rpc *n, const struct rpc_request *q, int64_t now);
void request_finish(struct rpc *n, struct request *r, int64_t now);
void request_fault(struct rpc *n, struct request *r, enum fault fault, const char *rule,
                   const char *text, int64_t now);
/* Takes r's transfer off the wire; r is QUEUED then. */
void request_recall(struct rpc *n, struct request *r);
/* Something a person wants to know once: the oldest unread is lost when nobody reads them. */
void rpc_notify(struct rpc *n, const struct endpoint *e, const char *message, const char *why);

/* ---- place.c: what goes where, and when ------------------------------------------------------ */

bool rpc_schedule_dispatch(struct rpc *n, int64_t now); /* true: something was sent */
void rpc_schedule_expire(struct rpc *n, int64_t now);
/* When something can change without the network. */
int64_t rpc_schedule_next_change(const struct rpc *n, int64_t now);
/* The best endpoint for r, or for anything (NULL), that may be asked now; not `not`. NULL if none.
 */
struct endpoint *rpc_schedule_choose(struct rpc *n, const struct request *r,
                                     const struct endpoint * not, int64_t now);

/* ---- check.c: the node's own questions ------------------------------------------------------- */

/* The chain is known now: who is elsewhere is set aside, who was not there is asked when it comes.
 */
void rpc_identity_begin(struct rpc *n, int64_t now);
void rpc_identity_submit(struct rpc *n, int64_t now);
void rpc_identity_on_reply(struct rpc *n, struct request *r, int64_t now);
/* Something looks late: the heads are compared soon. */
void rpc_heads_compare_soon(struct rpc *n, int64_t now);
/* A header that answers "the newest" came from e. */
void head_told(struct rpc *n, struct endpoint *e, uint64_t number, uint64_t timestamp,
               int64_t asked_ms, int64_t now);

/* ---- hedge.c --------------------------------------------------------------------------------- */

void rpc_hedge_submit(struct rpc *n, int64_t now);
int64_t rpc_hedge_at(const struct rpc *n, const struct request *r); /* INT64_MAX: never */
/* A hedge has ended, well or not: what that means for its twin. It is released. */
void rpc_hedge_on_reply(struct rpc *n, struct request *hedge, int64_t now);

/* ---- endpoint.c: health ---------------------------------------------------------------------- */

void endpoint_init(struct endpoint *e, struct rpc *n, const struct conf_endpoint *conf,
                   uint64_t seed);
void endpoint_tick(struct endpoint *e, int64_t now); /* a pause that is over ends */
/* May it be asked what a caller wants to know? */
bool endpoint_usable(const struct endpoint *e, int64_t now);
bool endpoint_has_place(const struct endpoint *e);
void endpoint_event(struct endpoint *e, enum health_event event, const char *why);
/* What an attempt says about the endpoint. reached: it answered as a node at all. */
void endpoint_on_result(struct endpoint *e, const struct fault_info *fault, bool reached,
                        const char *text, int64_t sent_ms, int64_t now);
/* It let a question wait so long that another was asked, and answered first. */
void endpoint_hedge_won(struct endpoint *e, int64_t sent_ms, int64_t now);
size_t endpoint_number(const struct endpoint *e);
/* url and ws taken out of text. */
void endpoint_scrub(const struct endpoint *e, const char *text, char *out, size_t room);

/* ---- answer.c: what came back, in our terms -------------------------------------------------- */

struct verdict {
    bool reached;   /* the endpoint answered, whatever it said */
    bool refused;   /* the request was not even sent */
    bool permanent; /* the same again cannot help: a certificate, a redirect */
};

/* Fills fault, doc, result and text of a. */
void answer_read(const struct request *r, const struct endpoint *e, const struct http_reply *reply,
                 struct rpc_answer *a, struct verdict *ret);

/* An answer's fault as an error: the kind is about who spoke (an endpoint that says no has been
 * reached), or that nobody on our chain is left. Always −1. */
int answer_err(const char *what, const struct rpc_answer *a, struct err *err);

#endif
