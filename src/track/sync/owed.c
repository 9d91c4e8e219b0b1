#include "track/sync/owed.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "track/events.h"
#include "track/step.h"

enum {
    STEP_WALLETS = 2048,
    AHEAD = 1024, /* a push further above the head than this tells a wrong number */
};

void owed_add(struct owed *o, size_t balance, const address *wallet, uint64_t block)
{
    size_t i = 0;
    while (i < o->n &&
           !(o->list[i].balance == balance && address_equal(&o->list[i].wallet, wallet)))
        i++;
    if (i == o->n) {
        if (o->n == OWED_MOST)
            return;
        if (o->n == o->room) {
            o->room = o->room ? o->room * 2 : 64;
            o->list = mem_grow(o->list, o->room, sizeof *o->list);
        }
        o->list[o->n++] = (struct owed_wallet){.wallet = *wallet, .balance = (uint32_t)balance};
    }
    struct owed_wallet *w = &o->list[i];
    w->block = block > w->block ? block : w->block;
    w->until_ms = clock_ms() + OWED_MS;
}

void owed_free(struct owed *o)
{
    mem_free(o->list);
    *o = (struct owed){0};
}

/* No block, or one that cannot be: the log is of this head or of one that is not known yet. */
static bool owed_is_unplaced(const struct owed_wallet *w, uint64_t head)
{
    return w->block == 0 || (w->block > head && w->block - head > AHEAD);
}

static bool owed_is_due(const struct owed_wallet *w, uint64_t head)
{
    return w->block <= head || owed_is_unplaced(w, head);
}

bool owed_has_due(const struct owed *o, uint64_t head)
{
    for (size_t i = 0; i < o->n; i++)
        if (owed_is_due(&o->list[i], head) && clock_ms() < o->list[i].until_ms)
            return true;
    return false;
}

static void owed_drop_late(struct owed *o)
{
    size_t kept = 0;
    for (size_t i = 0; i < o->n; i++)
        if (clock_ms() < o->list[i].until_ms)
            o->list[kept++] = o->list[i];
    o->n = kept;
}

/* What was read at this head is owed no more; of a log without a block, once more at the next. */
static void owed_drop_read(struct owed *o, size_t balance, uint64_t head)
{
    size_t kept = 0;
    for (size_t i = 0; i < o->n; i++) {
        struct owed_wallet w = o->list[i];
        bool read = w.balance == balance && owed_is_due(&w, head);
        if (read && !owed_is_unplaced(&w, head))
            continue;
        w.block = read ? head + 1 : w.block;
        o->list[kept++] = w;
    }
    o->n = kept;
}

/* The wallets due in one balance. event_block is the push's for owed_drop_answered(); it is no
 * event of the step's. */
static void owed_list_due(const struct owed *o, const struct tracked *b, size_t balance,
                          uint64_t head, struct dirty *ret)
{
    for (size_t i = 0; i < o->n; i++) {
        const struct owed_wallet *w = &o->list[i];
        if (w->balance == balance && owed_is_due(w, head))
            dirty_add(ret,
                      &(struct affected){.wallet = w->wallet,
                                         .event_block = owed_is_unplaced(w, head) ? head : w->block,
                                         .insert = events_insert_rule(b)});
    }
}

/* Leaves out the wallets whose row was read at or above the push's block, by the look, say. */
static int owed_drop_answered(struct tracker *t, const struct tracked *b, struct dirty *d,
                              struct err *err)
{
    address *wallets = mem_alloc(d->n * sizeof *wallets);
    struct store_row *rows = mem_alloc(d->n * sizeof *rows);
    size_t kept = 0;
    for (size_t i = 0; i < d->n; i++)
        wallets[i] = d->list[i].wallet;
    int rc = store_rows(t->store, &b->store, wallets, d->n, rows, err);
    for (size_t i = 0; rc == 0 && i < d->n; i++)
        if (!rows[i].found || !rows[i].has_observed ||
            rows[i].observed_block < d->list[i].event_block)
            d->list[kept++] = d->list[i];
    if (rc == 0)
        d->n = kept;
    mem_free(wallets);
    mem_free(rows);
    return rc;
}

/* *ret_done: all of them are written. */
static int owed_read_wallets(struct tracker *t, struct tracked *b, const struct dirty *d,
                             const struct anchor *at, size_t *ret_updated, bool *ret_done,
                             struct err *err)
{
    *ret_done = true;
    for (size_t done = 0; *ret_done && done < d->n;) {
        size_t n = d->n - done < STEP_WALLETS ? d->n - done : STEP_WALLETS;
        struct step s = {.balance = b,
                         .cause = CAUSE_EVENT,
                         .at = *at,
                         .affected = d->list + done,
                         .n = n,
                         .lane = RPC_LIVE};
        struct step_report r;
        if (step_run(t, &s, &r, err) < 0)
            return -1;
        *ret_done = r.end == STEP_DONE;
        *ret_updated += r.applied.inserted + r.applied.changed + r.applied.refreshed;
        done += n;
    }
    return 0;
}

static int owed_read_balance(struct tracker *t, struct owed *o, size_t balance,
                             const struct anchor *at, size_t *ret_updated, struct err *err)
{
    struct tracked *b = &t->balances[balance];
    struct dirty due = {0};
    bool done = true;
    owed_list_due(o, b, balance, at->number, &due);
    int rc = due.n > 0 ? events_keep_tracked(t, b, &due, err) : 0;
    if (rc == 0 && due.n > 0)
        rc = owed_drop_answered(t, b, &due, err);
    if (rc == 0)
        rc = owed_read_wallets(t, b, &due, at, ret_updated, &done, err);
    if (rc == 0 && done)
        owed_drop_read(o, balance, at->number);
    dirty_free(&due);
    return rc;
}

int owed_read(struct tracker *t, struct owed *o, const struct anchor *at, size_t *ret_updated,
              struct err *err)
{
    *ret_updated = 0;
    owed_drop_late(o);
    for (size_t i = 0; o->n > 0 && i < t->n_balances; i++)
        if (owed_read_balance(t, o, i, at, ret_updated, err) < 0)
            return -1;
    return 0;
}
