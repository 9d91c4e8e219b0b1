#include "store/rule.h"

#include "base/random.h"

#include <stdio.h>

static bool rule_later(bool has_a, uint64_t a, bool has_b, uint64_t b)
{
    return has_a && (!has_b || a > b);
}

static struct write_plan rule_plan(const struct store_write *w, const struct store_old *old,
                                   const struct write_debt *debt, uint64_t read_at)
{
    struct write_plan plan = {0};
    bool older = old->existed && rule_later(old->has_observed, old->observed_block, true, read_at);
    uint64_t anchored_at = older ? old->observed_block : read_at;

    /* A debt is paid by a read at its block or later only: the sweep, which reads further back,
     * must not vouch for an event it has not seen. */
    plan.leaves_quarantine =
        debt->waiting && (!debt->has_event || debt->event_block <= anchored_at);
    bool has_event = w->has_event;
    uint64_t event_block = w->event_block;
    if (plan.leaves_quarantine &&
        rule_later(debt->has_event, debt->event_block, has_event, event_block)) {
        has_event = true;
        event_block = debt->event_block;
    }
    if (rule_later(has_event, event_block, old->existed && old->has_blocknumber,
                   old->blocknumber)) {
        plan.set_blocknumber = true;
        plan.blocknumber = event_block;
    }

    if (!old->existed)
        plan.outcome = OUTCOME_INSERTED;
    else if (older)
        plan.outcome = OUTCOME_OLDER;
    else if (old->odd || !u256_equal(&old->balance, &w->value))
        plan.outcome = OUTCOME_CHANGED;
    else
        plan.outcome = OUTCOME_REFRESHED;
    return plan;
}

/* Is this change one that no event explains? Rows that were not anchored before (placeholders,
 * adopted or rewound ones), that could not be read for a while, or that an event still waits for
 * are not called drift: a false record is worse than none. */
static bool rule_is_drift(const struct store_batch *b, const struct store_old *old,
                          const struct write_debt *debt)
{
    if (!b->files_drift || old->outcome != OUTCOME_CHANGED || !old->has_observed || old->odd)
        return false;
    bool due = old->observed_block < b->explained_below;
    bool awaited = old->has_blocknumber && old->blocknumber > old->observed_block;
    return !due && !awaited && !debt->waiting;
}

static void write_count_one(struct store_applied *ret, const struct store_old *old)
{
    size_t *const counts[] = {
        [OUTCOME_INSERTED] = &ret->inserted,   [OUTCOME_CHANGED] = &ret->changed,
        [OUTCOME_REFRESHED] = &ret->refreshed, [OUTCOME_OLDER] = &ret->older,
        [OUTCOME_ABSENT] = &ret->absent,       [OUTCOME_MISSED] = &ret->missed,
        [OUTCOME_REFUSED] = &ret->refused,     [OUTCOME_ALTERED] = &ret->altered,
    };
    ++*counts[old->outcome];
    ret->drifted += old->drifted;
}

struct write_plan write_decide(const struct store_batch *b, size_t i, const struct write_debt *debt,
                               bool listed, struct store_applied *ret)
{
    const struct store_write *w = &b->writes[i];
    struct store_old *old = &ret->olds[i];
    struct write_plan plan = rule_plan(w, old, debt, b->at.number);
    bool may_insert = w->insert == INSERT_ALWAYS || (w->insert == INSERT_IF_LISTED && listed);
    if (plan.outcome == OUTCOME_INSERTED && !may_insert)
        plan.outcome = OUTCOME_ABSENT;
    old->outcome = plan.outcome;
    old->drifted = rule_is_drift(b, old, debt);
    write_count_one(ret, old);
    return plan;
}

void write_count(const struct store_batch *b, struct store_applied *ret)
{
    for (size_t i = 0; i < b->n_writes; i++)
        write_count_one(ret, &ret->olds[i]);
}

int64_t quarantine_wait_us(unsigned failures, struct rng *rng)
{
    const int64_t minute = INT64_C(60000000), day = 24 * 60 * minute;
    int64_t wait = minute;
    for (unsigned i = 1; i < failures && wait < day; i++)
        wait *= 2;
    if (wait > day)
        wait = day;
    return wait + (int64_t)rng_below(rng, (uint64_t)wait / 4);
}

void state_key(char ret[STATE_KEY], const char *what, const char *balance, const char *who)
{
    snprintf(ret, STATE_KEY, "%s:%s%s%s", what, balance, who ? ":" : "", who ? who : "");
}

const char *store_cause_name(enum store_cause c)
{
    static const char *const names[] = {
        [CAUSE_EVENT] = "event", [CAUSE_SWEEP] = "sweep", [CAUSE_REREAD] = "settle",
        [CAUSE_REORG] = "reorg", [CAUSE_AUDIT] = "audit", [CAUSE_BACKFILL] = "backfill",
    };
    return (size_t)c < sizeof names / sizeof names[0] ? names[c] : "unknown";
}
