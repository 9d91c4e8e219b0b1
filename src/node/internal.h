/*
 * What the files of node/ share: the node, its requests, its endpoints.
 *
 * A request is a slot in a fixed array, so that nothing is allocated per request but the answer's
 * document. Its way is QUEUED → SENT → (QUEUED again, to retry) → DONE → FREE, changed only in
 * node.c.
 */
#ifndef NODE_INTERNAL_H
#define NODE_INTERNAL_H

#include "base/backoff.h"
#include "base/buf.h"
#include "net/http.h"
#include "node/node.h"

enum { ENDPOINT_IN_FLIGHT = 8, ENDPOINTS_MAX = 32 };

enum request_state { REQUEST_FREE, REQUEST_QUEUED, REQUEST_SENT, REQUEST_DONE };

struct request {
    enum request_state state;
    uint64_t id;     /* JSON-RPC id; grows, so it is the order of submission too */
    struct buf body; /* memory stays with the slot */
    enum fault_method method;
    size_t counted; /* the method, as the counters number it */
    enum node_lane lane;
    bool once, bytes;
    uint32_t straight;
    size_t reply_max;
    int64_t submitted_ms, deadline_ms, not_before_ms, sent_ms;
    unsigned tries, failures_of; /* attempts made; those that ended in answer.fault in a row */
    struct backoff wait;
    struct endpoint *only;
    struct endpoint *at;    /* while SENT */
    struct endpoint *avoid; /* who failed it last */
    struct http_transfer *transfer;
    uint64_t done_order;
    struct node_answer answer; /* while retrying: the last fault */
};

struct endpoint {
    const struct conf_endpoint *conf;
    unsigned in_flight, in_flight_max; /* the latter halves when told to slow down, then regrows */
    unsigned good;                     /* answers since in_flight_max last changed */
    unsigned failures;                 /* in a row: not reached, broken, garbled, blamed */
    struct backoff down_wait, rate_wait;
    int64_t not_before_ms; /* nothing is sent here until then */
    int64_t judged_ms;     /* when that was last set: older requests' failures tell nothing new */
    enum fault pause;      /* why, and in whose words */
    char pause_text[256];
    enum capability pins_hash;
    bool identified;
    uint64_t chain_id;
    hash32 genesis;
    struct endpoint_counters counters;
};

struct node {
    const struct conf *conf;
    struct http *http;
    int64_t patience_ms; /* for requests without a deadline of their own */
    int stop_fd; /* −1: none */
    bool stop_asked;
    bool identified;
    size_t n_endpoints, in_use;
    uint64_t last_id, last_done;
    struct rng rng;
    struct endpoint endpoints[ENDPOINTS_MAX];
    struct request requests[NODE_IN_FLIGHT_MAX];
};

/* ---- endpoint.c: health ---- */

void endpoint_init(struct endpoint *e, const struct conf_endpoint *conf, uint64_t seed);
bool endpoint_healthy(const struct endpoint *e, int64_t now); /* not paused */
bool endpoint_has_place(const struct endpoint *e);
/* What an attempt says about the endpoint. reached: it answered as a node at all. */
void endpoint_judge(struct endpoint *e, const struct fault_info *fault, bool reached,
                    const char *text, int64_t sent_ms, int64_t now);
/* url and ws taken out of text. */
void endpoint_scrub(const struct endpoint *e, const char *text, char *out, size_t room);

/* ---- answer.c: what came back, in our terms ---- */

struct verdict {
    bool reached;   /* the endpoint answered, whatever it said */
    bool refused;   /* the request was not even sent */
    bool permanent; /* the same again cannot help: a certificate, a redirect */
};

/* Fills fault, doc, result and text of a. */
void answer_read(const struct request *r, const struct endpoint *e, const struct http_reply *reply,
                 struct node_answer *a, struct verdict *ret);

/* ---- retry.c ---- */

enum { RETRY_AFTER_MAX_MS = 5 * 60 * 1000 };

/* How long to wait before the same again, or −1 if the fault goes to the caller. tries counts the
 * attempts that ended in this fault. */
int64_t retry_wait(enum fault fault, unsigned tries, struct backoff *wait, uint64_t seed);

#endif
