#include "track/sync/fanout.h"
#include "base/err.h"
#include "base/mem.h"
#include "eth/abi.h"
#include "eth/fault_policy.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void fanout_add(struct fanout *f, const struct fanout_ask *ask)
{
    if (f->n == f->room) {
        f->room = f->room ? f->room * 2 : 16;
        f->list = mem_grow(f->list, f->room, sizeof *f->list);
    }
    f->list[f->n++] = *ask;
}

static int fanout_compare_questions(const struct fanout_ask *x, const struct fanout_ask *y)
{
    int c = address_compare(&x->contract, &y->contract);
    if (c == 0)
        c = memcmp(x->selector, y->selector, sizeof x->selector);
    return c == 0 ? address_compare(&x->argument, &y->argument) : c;
}

static int fanout_compare_asks(const void *a, const void *b)
{
    const struct fanout_ask *x = a, *y = b;
    int c = fanout_compare_questions(x, y);
    if (c == 0)
        c = x->block < y->block ? -1 : x->block > y->block;
    return c == 0 ? x->unplaced - y->unplaced : c;
}

void fanout_latest(struct fanout *f)
{
    size_t kept = 0;
    if (f->n < 2)
        return;
    qsort(f->list, f->n, sizeof *f->list, fanout_compare_asks);
    for (size_t i = 1; i < f->n; i++) {
        if (fanout_compare_questions(&f->list[kept], &f->list[i]) != 0)
            kept++;
        f->list[kept] = f->list[i];
    }
    f->n = kept + 1;
}

void fanout_clear(struct fanout *f)
{
    f->n = 0;
}

void fanout_free(struct fanout *f)
{
    mem_free(f->list);
    *f = (struct fanout){0};
}

/* Each ask once, in an order of its own. */
static void fanout_sort_unique(struct fanout *f)
{
    size_t kept = 0;
    if (f->n > 1)
        qsort(f->list, f->n, sizeof *f->list, fanout_compare_asks);
    for (size_t i = 0; i < f->n; i++)
        if (i == 0 || fanout_compare_asks(&f->list[i], &f->list[kept - 1]) != 0)
            f->list[kept++] = f->list[i];
    f->n = kept;
}

bool fanout_overflows(struct fanout *f, uint64_t *ret_block)
{
    fanout_sort_unique(f);
    if (f->n <= FANOUT_ASKS_MOST)
        return false;
    *ret_block = 0;
    for (size_t i = 0; i < f->n; i++)
        if (f->list[i].block > *ret_block)
            *ret_block = f->list[i].block;
    fanout_clear(f);
    return true;
}

static bool fanout_has(const struct fanout *f, const struct fanout_ask *ask)
{
    for (size_t i = 0; i < f->n; i++)
        if (hash_equal(&f->list[i].block_hash, &ask->block_hash) &&
            fanout_compare_asks(&f->list[i], ask) == 0)
            return true;
    return false;
}

void fanout_drop_known(struct fanout *f, const struct fanout *known)
{
    size_t kept = 0;
    for (size_t i = 0; i < f->n; i++)
        if (!fanout_has(known, &f->list[i]))
            f->list[kept++] = f->list[i];
    f->n = kept;
}

void fanout_remember(struct fanout *known, const struct fanout *asked)
{
    size_t from = asked->n > FANOUT_KNOWN_MOST ? asked->n - FANOUT_KNOWN_MOST : 0;
    for (size_t i = from; i < asked->n; i++)
        fanout_add(known, &asked->list[i]);
    if (known->n > FANOUT_KNOWN_MOST) {
        size_t gone = known->n - FANOUT_KNOWN_MOST;
        known->n = FANOUT_KNOWN_MOST;
        memmove(known->list, known->list + gone, known->n * sizeof *known->list);
    }
}

struct marking {
    struct dirty *dirty;
    struct affected like;
};

static bool fanout_add_address(void *ctx, const address *a)
{
    struct marking *m = ctx;
    if (!address_is_zero(a)) {
        m->like.wallet = *a;
        dirty_add(m->dirty, &m->like);
    }
    return true;
}

/* The list at the event's block, else at `at`. ret->data is NULL when the view itself fails. */
static int fanout_ask_list(struct tracker *t, const struct fanout_ask *ask, const struct anchor *at,
                           struct rpc_view_answer *ret, struct err *err)
{
    uint8_t call[ABI_VIEW_CALL];
    struct anchor then = {.number = ask->block, .hash = ask->block_hash};
    struct rpc_view view = {.to = &ask->contract,
                            .data = call,
                            .data_len = sizeof call,
                            .at = &then,
                            .now = true,
                            .bound = true};
    abi_encode_view(ask->selector, &ask->argument, call);
    if (ask->unplaced)
        view.at = at;
    int rc = rpc_view(t->node, &view, ret, err);
    view.at = at;
    /* A log may carry a wrong hash: the list of the block that is read holds the others no up. */
    if (rc < 0 && fault_says(ret->fault.fault, FAULT_SAYS_BLOCK_MISSING | FAULT_SAYS_BLOCK_DROPPED))
        rc = rpc_view(t->node, &view, ret, err);
    if (rc == 0 || fault_says(ret->fault.fault, FAULT_SAYS_VIEW_REFUSED | FAULT_SAYS_VIEW_NO_GAS))
        return 0;
    return err_wrap(err, "wallets of an event in block %" PRIu64, ask->block);
}

int fanout_resolve(struct tracker *t, struct fanout *f, const struct anchor *at,
                   enum store_insert insert, struct dirty *dirty, struct err *err)
{
    f->unanswered = 0;
    fanout_sort_unique(f);
    for (size_t i = 0; i < f->n; i++) {
        const struct fanout_ask *ask = &f->list[i];
        struct rpc_view_answer a;
        if (fanout_ask_list(t, ask, at, &a, err) < 0)
            return -1;
        struct marking m = {
            dirty, {.has_event = !ask->unplaced, .event_block = ask->block, .insert = insert}};
        if (!a.data ||
            !abi_decode_addresses(a.data, a.len, FANOUT_ADDRESSES_MOST, fanout_add_address, &m))
            f->unanswered++;
        mem_free(a.data);
    }
    return 0;
}
