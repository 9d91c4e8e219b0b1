/*
 * An endpoint answered from another block than asked. Is it wrong, or is the block no longer the
 * chain's? Before it is blamed another endpoint is asked for that block's header, and where none
 * can tell, the endpoint itself. Only a header that is ours confirms the blame.
 */
#include "base/clock.h"
#include "rpc/rpc_internal.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

enum { DOUBT_MS = 5 * 1000 };

static void rpc_doubt_ask(struct endpoint *e, struct endpoint *asked, int64_t now)
{
    char params[48];
    struct endpoint_doubt *d = &e->doubt;
    d->pending = false;
    snprintf(params, sizeof params, "[\"0x%" PRIx64 "\",false]", d->at.number);
    rpc_question_open(asked, &d->entry, "eth_getBlockByNumber", params, now + DOUBT_MS);
}

void endpoint_doubt_block(struct endpoint *e, const struct anchor *at, const char *why)
{
    struct endpoint_doubt *d = &e->doubt;
    if (d->entry.state != ENTRY_FREE || d->pending)
        return;
    struct endpoint *other = rpc_other(e->rpc, e);
    d->ever = true;
    d->at = *at;
    snprintf(d->why, sizeof d->why, "%s", why);
    rpc_doubt_ask(e, other ? other : e, clock_ms());
}

void rpc_doubt_submit(struct rpc *n, int64_t now)
{
    for (size_t i = 0; i < n->n_endpoints; i++) {
        struct endpoint *e = &n->endpoints[i];
        if (e->doubt.pending && e->doubt.entry.state == ENTRY_FREE)
            rpc_doubt_ask(e, e, now);
    }
}

void rpc_doubt_on_reply(struct rpc_entry *r)
{
    struct endpoint *e =
        (struct endpoint *)(void *)((char *)r - offsetof(struct endpoint, doubt.entry));
    struct endpoint_doubt *d = &e->doubt;
    struct header h;
    bool shown = rpc_answer_header(&r->answer, &h) && h.at.number == d->at.number;
    if (shown && hash_equal(&h.at.hash, &d->at.hash))
        endpoint_report_wrong_block(e, d->why);
    else if (!shown && r->only != e)
        d->pending = true; /* the entry is free after this */
}
