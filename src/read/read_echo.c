/*
 * Does an answer belong to its question? Most readers get their nonce back with the answer. One
 * that cannot asks three questions, one after the other: the view, an echo of a nonce, the view
 * again. A gateway that hands out the answer of another request gives a wrong echo or two different
 * views.
 */
#include "base/mem.h"
#include "eth/fault_policy.h"
#include "read/read_internal.h"

#include <string.h>

enum { MISPLACED_MAX = 8 };

void chunk_on_misplaced(struct chunk *c)
{
    struct read *read = c->read;
    endpoint_report_misplaced(c->profile->endpoint);
    if (c->misplaced + 1 < MISPLACED_MAX) {
        chunk_again(c)->misplaced = c->misplaced + 1;
        return;
    }
    err_set(&read->report.why, ERR_FAILED,
            "endpoint \"%s\" gave the answers of other requests %d times in a row",
            endpoint_name(c->profile->endpoint), MISPLACED_MAX);
    read_stop(read, READ_END_FAILED);
}

/* An answer about the wallet, as far as one is: a value, or a failure of the call itself. */
static bool chunk_view_answered(const struct rpc_answer *a)
{
    return a->fault.fault == FAULT_NONE ? a->bytes != NULL
                                        : fault_policy(a->fault.fault)->batch == FAULT_BATCH_BISECT;
}

static bool chunk_view_equal(const struct chunk_view *v, const struct rpc_answer *a)
{
    size_t n = a->bytes ? a->n_bytes : 0;
    return v->fault == a->fault.fault && v->n == n &&
           (n == 0 || memcmp(v->bytes, a->bytes, n) == 0);
}

static void chunk_view_copy(struct chunk_view *v, const struct rpc_answer *a)
{
    *v = (struct chunk_view){.fault = a->fault.fault, .n = a->bytes ? a->n_bytes : 0};
    if (v->n == 0)
        return;
    v->bytes = mem_alloc(v->n);
    memcpy(v->bytes, a->bytes, v->n);
}

static struct chunk *chunk_next_step(struct chunk *c, enum chunk_step step)
{
    struct chunk *next = chunk_again(c);
    next->step = step;
    next->misplaced = c->misplaced;
    next->view = c->view;
    c->view = (struct chunk_view){0}; /* what it owned is next's now */
    return next;
}

/* A fault of the echo is no fault of the wallet. */
static bool chunk_echo_failed(struct chunk *c, const struct rpc_answer *a)
{
    enum fault_batch batch = fault_policy(a->fault.fault)->batch;
    if (batch != FAULT_BATCH_BISECT && batch != FAULT_BATCH_LESS_GAS &&
        batch != FAULT_BATCH_REPROBE)
        return false;
    read_profile_forget(c->read->engine, c->profile->endpoint);
    err_set(&c->read->report.why, ERR_FAILED, "precompile 0x04 (identity) does not answer: %s",
            a->text);
    read_stop(c->read, READ_END_FAILED);
    return true;
}

static bool chunk_on_echo(struct chunk *c, const struct rpc_answer *a)
{
    if (a->fault.fault != FAULT_NONE)
        return chunk_echo_failed(c, a);
    if (!a->bytes)
        return false;
    if (a->n_bytes == NONCE_WORD && nonce_is_word(&a->nonce, a->bytes))
        chunk_next_step(c, CHUNK_VIEW_AGAIN);
    else
        chunk_on_misplaced(c);
    return true;
}

bool chunk_echo_on_answer(struct chunk *c, const struct rpc_answer *a)
{
    if (c->step == CHUNK_ECHO)
        return chunk_on_echo(c, a);
    if (!chunk_view_answered(a))
        return false;
    if (c->step == CHUNK_VIEW) {
        chunk_view_copy(&chunk_next_step(c, CHUNK_ECHO)->view, a);
        return true;
    }
    if (!chunk_view_equal(&c->view, a)) {
        chunk_on_misplaced(c);
        return true;
    }
    endpoint_report_placed(c->profile->endpoint);
    return false;
}

bool read_echo_must_wait(const struct read *read)
{
    if (read->n_in_flight > 0)
        return true;
    for (const struct read *other = read->engine->under_way; other; other = other->next) {
        const struct chunk *sent = other->in_flight, *next = other->waiting;
        if (other != read && ((sent && sent->profile->reader->by_echo) || (next && next->step)))
            return true;
    }
    return false;
}
