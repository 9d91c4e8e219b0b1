/*
 * The engine: chunks of several reads in flight over one node. See read.h.
 *
 * A read's wallets are cut into chunks; a chunk goes out, its answer completes its wallets or
 * puts smaller chunks back (read_answer.c). A read ends when nothing of it waits or is in flight,
 * or at the first thing that makes all of it worthless.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "read/read_internal.h"

#include <string.h>

enum {
    DEFAULT_DEADLINE_MS = 120000,
    CHUNK_DEADLINE_MS = 30000,
    STOP_LOOK_MS = 200,
    CANARIES_LEAST = 2, /* a read, where nothing else is anchored */
    ANSWERS_A_CANARY = 8,
    CANARIES_MOST = 64,
};

int reads_open(struct rpc *n, struct reads **ret, struct err *err)
{
    (void)err;
    struct reads *r = mem_zero(1, sizeof *r);
    r->node = n;
    r->rng.state = rng_seed_from_system();
    *ret = r;
    return 0;
}

void reads_stop_when(struct reads *r, bool (*asked)(void))
{
    r->stop_asked = asked;
}

struct chunk *chunk_new(struct read *read, size_t first, size_t n, size_t first_term,
                        size_t n_terms, bool isolated)
{
    struct chunk *c = mem_zero(1, sizeof *c);
    *c = (struct chunk){.read = read,
                        .next = read->waiting,
                        .first = first,
                        .n = n,
                        .first_term = first_term,
                        .n_terms = n_terms,
                        .isolated = isolated};
    read->waiting = c;
    return c;
}

void chunk_free(struct chunk *c)
{
    read_bisect_leave(c);
    read_probe_chunk_gone(c);
    mem_free(c->members);
    mem_free(c->wallets);
    mem_free(c->view.bytes);
    mem_free(c);
}

size_t chunk_wallet(const struct chunk *c, size_t i)
{
    return c->members ? c->members[i] : c->first + i;
}

static void chunk_take_members(struct chunk *c, const size_t *members)
{
    c->members = mem_alloc(c->n * sizeof *c->members);
    c->wallets = mem_alloc(c->n * sizeof *c->wallets);
    for (size_t i = 0; i < c->n; i++) {
        c->members[i] = members[i];
        c->wallets[i] = c->read->ask.wallets[members[i]];
    }
}

struct chunk *chunk_part(const struct chunk *c, size_t from, size_t n)
{
    struct chunk *part =
        chunk_new(c->read, c->first + from, n, c->first_term, c->n_terms, c->isolated);
    if (c->members)
        chunk_take_members(part, c->members + from);
    return part;
}

struct chunk *chunk_again(const struct chunk *c)
{
    struct chunk *again = chunk_part(c, 0, c->n);
    again->kind = c->kind;
    again->profile = c->profile;
    return again;
}

void chunk_isolated(struct read *read, const size_t *members, size_t n)
{
    if (n > 0)
        chunk_take_members(chunk_new(read, 0, n, 0, read->ask.shape->n_terms, true), members);
}

static void chunk_free_all(struct chunk *list)
{
    for (struct chunk *next; list; list = next) {
        next = list->next;
        chunk_free(list);
    }
}

/* Ends a read early: what is in flight is abandoned, so that no answer finds freed memory. */
void read_stop(struct read *read, enum read_end end)
{
    for (struct chunk *c = read->in_flight; c; c = c->next)
        rpc_abandon(read->engine->node, c);
    chunk_free_all(read->in_flight);
    chunk_free_all(read->waiting);
    read->in_flight = read->waiting = NULL;
    read->n_in_flight = 0;
    read->ended = true;
    read->report.end = end;
}

/* Getting to know an endpoint takes blocking questions, which wait for what is in flight. */
static bool read_may_probe(struct reads *r, const struct endpoint *e,
                           const struct read_shape *shape)
{
    const struct read_profile *l = read_profile_find(r, e, shape);
    return (l && !l->forgotten) || rpc_in_flight(r->node) == 0;
}

int reads_begin(struct reads *r, const struct read_ask *ask, struct reading *readings,
                struct read **ret, struct err *err)
{
    struct read_profile *l;
    struct endpoint *best = rpc_best(r->node);
    if (!best)
        return err_set(err, ERR_UNREACHABLE, "no endpoint is configured");
    if (read_may_probe(r, best, ask->shape) && read_profile_get(r, best, ask->shape, &l, err) < 0)
        return -1;
    struct read *read = mem_zero(1, sizeof *read);
    read->engine = r;
    read->ask = *ask;
    if (read->ask.deadline_ms == 0)
        read->ask.deadline_ms = clock_ms() + DEFAULT_DEADLINE_MS;
    read->readings = readings;
    for (size_t i = 0; i < ask->n; i++)
        readings[i] = (struct reading){
            .wallet = ask->wallets[i], .status = READ_UNANSWERED, .failed_term = -1};
    if (ask->n > 0)
        chunk_new(read, 0, ask->n, 0, ask->shape->n_terms, false);
    read->ended = ask->n == 0;
    read->next = r->under_way;
    r->under_way = read;
    *ret = read;
    return 0;
}

/* Without a sentinel one call a request is all that is safe, whatever its size is. */
static bool read_profile_unguarded(const struct read_profile *l)
{
    return l->reader->kind == READER_MULTICALL3 && l->sentinel.kind == SENTINEL_NONE;
}

/* A waiting chunk may be larger than a request: the front of it goes, the rest stays. */
static void chunk_cut(struct chunk *c, const struct read_profile *l)
{
    size_t most = l->reader->by_terms || read_profile_unguarded(l) ? 1 : read_profile_size(l);
    if (c->n > most) {
        read_bisect_leave(c);
        chunk_part(c, most, c->n - most);
        c->n = most;
    }
}

static bool chunk_needs_terms(const struct chunk *c, const struct read_profile *l)
{
    return c->n_terms > 1 && (l->reader->by_terms || read_profile_unguarded(l));
}

/* The block a chunk is read at. A canary's is one that does not exist. */
static void chunk_block_param(const struct chunk *c, const struct endpoint *e, struct buf *out)
{
    struct anchor at = c->read->ask.at;
    if (c->kind == CHUNK_CANARY)
        rng_fill(&c->read->engine->rng, at.hash.b, sizeof at.hash.b);
    endpoint_block_param(e, &at, out);
}

/* Faults that come back at once. A block that is not there may have been reorged away: the caller
 * looks at the chain again, instead of a wait here. What an endpoint cannot serve
 * now, another one may (read_answer.c). */
static uint32_t chunk_no_retry(const struct chunk *c)
{
    uint32_t faults = RPC_NO_RETRY(FAULT_BEHIND);
    if (c->kind == CHUNK_CANARY)
        faults |= RPC_NO_RETRY(FAULT_UNKNOWN);
    if (rpc_endpoints(c->read->engine->node) > 1)
        faults |= RPC_NO_RETRY(FAULT_DOWN) | RPC_NO_RETRY(FAULT_RATE) | RPC_NO_RETRY(FAULT_BILLING);
    return faults;
}

static int chunk_submit(struct chunk *c, const struct buf *params, const struct nonce_places *nonce,
                        struct err *err)
{
    struct read *read = c->read;
    int64_t deadline = clock_ms() + CHUNK_DEADLINE_MS;
    struct rpc_request q = {
        .method = c->profile->reader->method,
        .params = params->data,
        .params_len = params->len,
        .nonce = *nonce,
        .lane = read->ask.lane,
        .deadline_ms = deadline < read->ask.deadline_ms ? deadline : read->ask.deadline_ms,
        .only = c->profile->endpoint,
        .bytes = true,
        .reverts = c->profile->reader->by_revert,
        .no_retry = chunk_no_retry(c),
        .user = c,
    };
    if (rpc_submit(read->engine->node, &q, err) < 0)
        return -1;
    read->report.requests++;
    return 0;
}

enum sent { NOT_SENT = -1, SENT, TOO_LONG };

static enum sent chunk_send(struct chunk *c, struct read_profile *l, struct err *err)
{
    struct read *read = c->read;
    struct buf block = BUF_INIT(256), params = BUF_INIT(RPC_REQUEST_MAX);
    struct nonce_places nonce = {0};
    c->profile = l;
    c->sent = (struct read_chunk){.shape = read->ask.shape,
                                  .wallets = c->members ? c->wallets : read->ask.wallets + c->first,
                                  .n = c->n,
                                  .first_term = c->first_term,
                                  .n_terms = c->n_terms,
                                  .isolated = c->isolated,
                                  .gas = read_profile_gas(l),
                                  .sentinel = l->sentinel,
                                  .has_link =
                                      read->ask.has_link && read->ask.shape->anchor != ANCHOR_NONE,
                                  .link = read->ask.link};
    chunk_block_param(c, l->endpoint, &block);
    if (c->step == CHUNK_ECHO)
        nonce_encode_echo(buf_str(&block), &params, &nonce);
    else
        l->reader->encode(&c->sent, &block, &params, &nonce);
    enum sent rc = SENT;
    if (params.overflow)
        rc = c->n > 1 ? TOO_LONG : NOT_SENT;
    if (rc == NOT_SENT)
        err_set(err, ERR_TOO_LARGE, "a request for one wallet is over %d bytes", RPC_REQUEST_MAX);
    else if (rc == SENT && chunk_submit(c, &params, &nonce, err) < 0)
        rc = NOT_SENT;
    buf_free(&block);
    buf_free(&params);
    return rc;
}

/* What was answered without a proof counts only if the endpoint still looks at the block it is
 * asked for: one that does not answers for any. Several times, the more was answered: behind one
 * name there may be machines of which only some look at it. */
static void read_queue_canaries(struct read *read)
{
    struct read_profile *l = read->by_hash;
    size_t n = CANARIES_LEAST + read->n_by_hash / ANSWERS_A_CANARY;
    n = n < CANARIES_MOST ? n : CANARIES_MOST;
    read->by_hash = NULL;
    read->n_by_hash = 0;
    for (size_t i = 0; i < n; i++) {
        struct chunk *c = chunk_new(read, 0, l->reader->by_terms, 0,
                                    l->reader->by_terms ? 1 : read->ask.shape->n_terms, true);
        c->kind = CHUNK_CANARY;
        c->profile = l;
    }
}

/* Which endpoint is asked, and how. 0: none yet: the best is not known, and requests are in flight.
 */
static int read_choose(struct read *read, const struct chunk *c, struct read_profile **ret,
                       struct err *err)
{
    struct endpoint *best = rpc_best(read->engine->node);
    if (c->kind == CHUNK_CANARY || c->step != CHUNK_VIEW) {
        *ret = c->profile;
    } else if (read->by_hash) {
        *ret = read->by_hash; /* one canary speaks for one endpoint */
    } else {
        if (!read_may_probe(read->engine, best, read->ask.shape))
            return 0;
        if (read_profile_get(read->engine, best, read->ask.shape, ret, err) < 0)
            return -1;
    }
    if (c->n == 0 && (*ret)->reader->by_terms)
        return err_set(err, ERR_FAILED, "endpoint \"%s\" changed in the middle of a read",
                       endpoint_name((*ret)->endpoint));
    return 1;
}

/* The first chunk that waits, on its way. A wallet whose terms must go one by one is cut so first.
 */
static int read_send_first(struct read *read, struct read_profile *l, struct err *err)
{
    struct chunk *c = read->waiting;
    read->waiting = c->next;
    if (c->kind == CHUNK_WALLETS)
        chunk_cut(c, l);
    if (c->kind == CHUNK_WALLETS && chunk_needs_terms(c, l)) {
        chunk_split_terms(c);
        chunk_free(c);
        return 0;
    }
    enum sent sent = chunk_send(c, l, err);
    if (sent != SENT) {
        c->next = read->waiting;
        read->waiting = c;
        if (sent == TOO_LONG)
            read_size_on_bad(l, c->n);
        return sent == TOO_LONG ? 0 : -1;
    }
    c->next = read->in_flight;
    read->in_flight = c;
    read->n_in_flight++;
    read_probe_chunk_sent(c);
    return 0;
}

/* Sends what fits the window. */
static int read_fill_window(struct read *read, struct err *err)
{
    if (!read->waiting && !read->in_flight && read->by_hash)
        read_queue_canaries(read);
    while (!read->ended && read->waiting && read->n_in_flight < READ_WINDOW &&
           rpc_in_flight(read->engine->node) < RPC_IN_FLIGHT_MAX) {
        struct read_profile *l;
        int chosen = read_choose(read, read->waiting, &l, err);
        if (chosen <= 0)
            return chosen;
        if (l->reader->by_echo && read_echo_must_wait(read))
            return 0;
        if (read_send_first(read, l, err) < 0)
            return -1;
    }
    return 0;
}

static void chunk_off_the_wire(struct chunk *c)
{
    for (struct chunk **at = &c->read->in_flight; *at; at = &(*at)->next) {
        if (*at == c) {
            *at = c->next;
            c->read->n_in_flight--;
            return;
        }
    }
}

static void read_fail_with(struct read *read, const struct err *why)
{
    read->report.why = *why;
    read_stop(read, READ_END_FAILED);
}

/* A read that has ended, taken off the list; only this one if there is one to look for. */
static struct read *reads_take_ended(struct reads *r, const struct read *only)
{
    for (struct read **at = &r->under_way; *at; at = &(*at)->next) {
        struct read *read = *at;
        if (only && read != only)
            continue;
        if (!read->ended && !read->waiting && !read->in_flight && !read->by_hash) {
            read->ended = true;
            read->report.end = READ_END_DONE;
        }
        if (read->ended) {
            *at = read->next;
            return read;
        }
    }
    return NULL;
}

static int reads_drive(struct reads *r, int timeout_ms, const struct read *only, struct read **ret,
                       struct err *err)
{
    int64_t until = clock_ms() + timeout_ms;
    for (;;) {
        for (struct read *read = r->under_way; read; read = read->next) {
            struct err why = {0};
            if (!read->ended && read_fill_window(read, &why) < 0)
                read_fail_with(read, &why);
        }
        *ret = reads_take_ended(r, only);
        if (*ret)
            return 1;
        if (!r->under_way)
            return 0;
        struct rpc_answer a;
        int rc = rpc_next(r->node, ms_until(until), &a, err);
        if (rc <= 0)
            return rc;
        struct chunk *c = a.user;
        struct read *read = c->read;
        chunk_off_the_wire(c);
        read->report.by = a.endpoint;
        chunk_on_answer(c, &a);
        rpc_answer_free(&a);
    }
}

int reads_next(struct reads *r, int timeout_ms, struct read **ret, struct err *err)
{
    return reads_drive(r, timeout_ms, NULL, ret, err);
}

void *read_user(const struct read *read)
{
    return read->ask.user;
}

void read_end(struct read *read, struct read_report *ret)
{
    *ret = read->report;
    read_per_term_free(read);
    mem_free(read);
}

void reads_close(struct reads *r)
{
    if (!r)
        return;
    while (r->under_way) {
        struct read *read = r->under_way;
        struct read_report ignored;
        r->under_way = read->next;
        read_stop(read, READ_END_FAILED);
        read_end(read, &ignored);
    }
    mem_free(r->saved);
    mem_free(r);
}

void read_abandon(struct read *read)
{
    struct reads *r = read->engine;
    struct read_report ignored;
    for (struct read **at = &r->under_way; *at; at = &(*at)->next) {
        if (*at == read) {
            *at = read->next;
            break;
        }
    }
    read_stop(read, READ_END_FAILED);
    read_end(read, &ignored);
}

int reads_run(struct reads *r, const struct read_ask *ask, struct reading *readings,
              struct read_report *ret, struct err *err)
{
    struct read *read, *ended = NULL;
    if (reads_begin(r, ask, readings, &read, err) < 0)
        return -1;
    while (!ended) {
        if (r->stop_asked && r->stop_asked())
            read_fail_with(read, &(struct err){.kind = ERR_STOPPED, .text = "asked to stop"});
        if (reads_drive(r, STOP_LOOK_MS, read, &ended, err) < 0) {
            read_abandon(read); /* its readings are the caller's and go with the caller */
            return -1;
        }
    }
    read_end(ended, ret);
    return 0;
}

size_t reads_batch_size(struct reads *r, const struct read_shape *shape)
{
    enum { LEAST = 50 }; /* a sweep's batch where one request carries one wallet */
    struct endpoint *best = rpc_best(r->node);
    struct read_profile *l = best ? read_profile_find(r, best, shape) : NULL;
    size_t size = l ? read_profile_size(l) : reader_multicall3.first_guess;
    return size > LEAST ? size : LEAST;
}

bool reads_size(const struct reads *r, const struct endpoint *e, struct read_size *ret)
{
    for (size_t i = 0; i < r->n_profiles; i++) {
        const struct read_profile *l = &r->profile[i];
        if (l->endpoint != e)
            continue;
        *ret = (struct read_size){l->reader->name, l->size, l->granted ? l->granted : l->gas};
        return true;
    }
    return false;
}
