/* Picking wallets: the parts both databases share. */
#ifndef STORE_PICK_H
#define STORE_PICK_H

#include "store/driver.h"

/* What a claim gathers. `out` has room for pick->want entries. */
struct claim {
    const struct store_balance *b;
    const struct store_pick *pick;
    struct store_cursor cursor; /* a copy: the caller's moves when all went well */
    struct arena *arena;
    int64_t now_us; /* by the database's clock: set by its driver */
    bool lap;       /* the cursor starts over */
    struct store_stale *out;
    size_t n;
    address *sealed; /* sorted: what earlier ranges of this claim took */
    size_t n_sealed;
};

static inline bool claim_full(const struct claim *c)
{
    return c->n >= c->pick->want;
}

/* Takes the candidate unless it is in flight, could not be written, or is taken already. */
void claim_offer(struct claim *c, const struct store_stale *candidate);

/* Between two ranges that may overlap: what was taken so far is not taken again. */
void claim_seal(struct claim *c);

/* The columns of a candidate: wallet, updated_at, observed_block. False: no wallet of ours. */
bool claim_read(const struct db_rows *rows, struct store_stale *ret);

/* The uncorrelated EXISTS is asked once a statement, so an empty quarantine costs nothing; then a
 * scalar subquery and not a join: it is looked up row by row whatever the planner thinks. */
#define NOT_WAITING(balance)                                                                       \
    "(NOT EXISTS (SELECT 1 FROM trueup_quarantine WHERE balance = " balance                        \
    ") OR coalesce((SELECT q.retry_at <= {now} FROM trueup_quarantine q WHERE q.balance "          \
    "= " balance " AND q.wallet = t.wallet), true))"

/* Rows dated later than this are of a writer whose clock or time zone is another. No lap would come
 * to them before their time does, so the end of each looks at them, too: they count as just read,
 * but nothing says that they are right. Read once, they have our time. */
enum { AHEAD_US = 60 * 1000000 };

/* Starts a lap where none runs; c->now_us is set. */
void claim_begin(struct claim *c);

#endif
