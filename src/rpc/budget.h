/*
 * How much may be asked, and how fast: token buckets in cost units, and the day's account.
 *
 * Two limits that are kept apart. A *pace* is one endpoint's, learnt: none until it says "too many
 * requests", then half of what was being sent, growing again while it is content, and forgotten at
 * last. The *budget* is the user's, over all endpoints: units a second and units a day (UTC).
 *
 * When units are short, live requests go before catching up, and that before the sweep: each lane
 * leaves a part of the bucket, and of the day, to those before it. A request may cost more than
 * what is left; the bucket is then in debt, so the average holds whatever single requests cost.
 *
 * Pure: time comes in as a parameter.
 */
#ifndef RPC_BUDGET_H
#define RPC_BUDGET_H

#include "rpc/rpc.h"

enum { LANES = RPC_SWEEP + 1 };

struct bucket {
    uint64_t per_second; /* 0: no limit */
    int64_t level;       /* thousandths of a unit; below zero: in debt */
    int64_t at_ms;
};

/* How long until a request of this lane may go; 0: now. */
int64_t bucket_wait(const struct bucket *b, enum rpc_lane lane, int64_t now);

/* ---- one endpoint's pace --------------------------------------------------------------------- */

struct endpoint_pace {
    struct bucket bucket;
    uint64_t units, requests;           /* sent in the second that began at since_ms */
    uint64_t last_units, last_requests; /* in the last second in which anything was sent */
    int64_t since_ms;
    uint64_t told_at; /* units a second at which it last said "too many"; 0: never */
    int64_t told_ms, grown_ms;
};

void pace_took(struct endpoint_pace *p, uint64_t units, int64_t now);
/* "Too many requests". per_second: the requests a second that its words name; 0: none. */
void pace_refused(struct endpoint_pace *p, uint64_t per_second, int64_t now);
void pace_on_success(struct endpoint_pace *p, int64_t now);

/* ---- the user's budget ----------------------------------------------------------------------- */

struct budget {
    struct bucket bucket;
    uint64_t per_day;
    uint64_t day;            /* since 1970, UTC: the one that spent and others are of */
    uint64_t spent;          /* today, by this process */
    uint64_t others;         /* today, by the other processes, as far as known */
    uint64_t sent_by_others; /* what other processes have sent, last told by budget_others() */
    bool knows_sent_by_others;
};

void budget_init(struct budget *b, uint64_t per_second, uint64_t per_day, int64_t now,
                 int64_t wall_s);
void budget_take(struct budget *b, uint64_t units, int64_t now, int64_t wall_s);
/* Units that were not spent by a request of ours: pushes. Of the day alone. */
void budget_take_pushed(struct budget *b, uint64_t units, int64_t wall_s);
/* Until a request of this lane may go, in ms. *ret_day: it is the day's units that are spent. */
int64_t budget_wait(const struct budget *b, enum rpc_lane lane, int64_t now, int64_t wall_s,
                    bool *ret_day);
/* All units that other processes have sent so far, a number that only grows: what it grew by is
 * taken from the bucket. */
void budget_others(struct budget *b, uint64_t units, int64_t now);

/* The account as a short text for trueup_state, "DAY UNITS", and back. A text of another day, or
 * one that is none, counts as nothing spent. mine: this process' own from before a restart; else
 * another process', and all of those are added up in `others`, which is set to 0 beforehand. */
enum { BUDGET_TEXT = 48, BUDGET_SPENDERS = 3 };
/* Who keeps such a text, each under "budget.spent." and its name. */
extern const char *const budget_spenders[BUDGET_SPENDERS];
#define BUDGET_KEY "budget.spent."
void budget_export(const struct budget *b, char out[BUDGET_TEXT]);
void budget_import(struct budget *b, const char *text, bool mine);

#endif
