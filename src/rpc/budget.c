#include "rpc/budget.h"
#include "base/parse.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    MILLI = 1000,
    DAY_S = 24 * 60 * 60,
    LEAST_REQUESTS = 2, /* a second: slower than this, an endpoint says Retry-After */
    FORGET_AT = 8,      /* times the rate it complained about */
    FORGET_MS = 60 * 1000,
};

/* What each lane leaves to those before it: of the bucket in quarters, of the day in hundredths. */
static const struct {
    int64_t quarters;
    uint64_t of_day;
} lanes[LANES] = {
    [RPC_LIVE] = {0, 100},
    [RPC_CATCHUP] = {1, 95},
    [RPC_SWEEP] = {2, 85},
};

/* ---- a bucket -------------------------------------------------------------------------------- */

static int64_t bucket_room(const struct bucket *b)
{
    return (int64_t)b->per_second * MILLI;
}

static int64_t bucket_level(const struct bucket *b, int64_t now)
{
    int64_t passed = now - b->at_ms;
    if (passed <= 0)
        return b->level;
    /* Longer than it takes to fill is full: no product runs over. */
    if (b->level >= 0 && passed >= MILLI)
        return bucket_room(b);
    if (passed > INT32_MAX)
        passed = INT32_MAX;
    int64_t level = b->level + passed * (int64_t)b->per_second;
    return level < bucket_room(b) ? level : bucket_room(b);
}

static void bucket_rate(struct bucket *b, uint64_t per_second, int64_t now)
{
    bool fresh = b->per_second == 0;
    int64_t level = fresh ? 0 : bucket_level(b, now);
    b->per_second = per_second;
    b->at_ms = now;
    b->level = fresh || level > bucket_room(b) ? bucket_room(b) : level;
}

static void bucket_take(struct bucket *b, uint64_t units, int64_t now)
{
    if (b->per_second == 0)
        return;
    b->level = bucket_level(b, now) - (int64_t)units * MILLI;
    b->at_ms = now;
}

int64_t bucket_wait(const struct bucket *b, enum rpc_lane lane, int64_t now)
{
    if (b->per_second == 0)
        return 0;
    int64_t missing = bucket_room(b) / 4 * lanes[lane].quarters + 1 - bucket_level(b, now);
    if (missing <= 0)
        return 0;
    return (missing + (int64_t)b->per_second - 1) / (int64_t)b->per_second;
}

/* ---- pace ------------------------------------------------------------------------------------ */

void pace_took(struct endpoint_pace *p, uint64_t units, int64_t now)
{
    if (now - p->since_ms >= MILLI) {
        p->last_units = p->units;
        p->last_requests = p->requests;
        p->units = p->requests = 0;
        p->since_ms = now;
    }
    p->units += units;
    p->requests++;
    bucket_take(&p->bucket, units, now);
}

static uint64_t pace_larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* What a request costs on average, at least 1: a method may be free and counts as something. */
static uint64_t pace_each(const struct endpoint_pace *p)
{
    uint64_t n = p->requests + p->last_requests;
    return pace_larger(n ? (p->units + p->last_units) / n : 0, 1);
}

void pace_refused(struct endpoint_pace *p, uint64_t per_second, int64_t now)
{
    uint64_t sending = pace_larger(p->units, p->last_units);
    uint64_t rate =
        p->bucket.per_second ? p->bucket.per_second : pace_larger(sending, pace_each(p));
    uint64_t named = per_second * pace_each(p);
    uint64_t least = LEAST_REQUESTS * pace_each(p);
    p->told_at = rate;
    p->told_ms = p->grown_ms = now;
    /* Named again at or below what it names: others share it, so less is right. */
    rate = named && named < rate ? named : rate / 2;
    bucket_rate(&p->bucket, pace_larger(rate, least), now);
}

void pace_on_success(struct endpoint_pace *p, int64_t now)
{
    uint64_t rate = p->bucket.per_second;
    if (rate == 0 || now - p->grown_ms < MILLI)
        return;
    p->grown_ms = now;
    if (rate > p->told_at * FORGET_AT && now - p->told_ms >= FORGET_MS) {
        p->bucket.per_second = 0;
        p->told_at = 0;
        return;
    }
    bucket_rate(&p->bucket, rate + pace_larger(rate / 20, pace_each(p)), now);
}

/* ---- the budget ------------------------------------------------------------------------------ */

static uint64_t budget_day(int64_t wall_s)
{
    return wall_s > 0 ? (uint64_t)wall_s / DAY_S : 0;
}

void budget_init(struct budget *b, uint64_t per_second, uint64_t per_day, int64_t now,
                 int64_t wall_s)
{
    *b = (struct budget){.per_day = per_day, .day = budget_day(wall_s)};
    bucket_rate(&b->bucket, per_second, now);
}

static void budget_turn_day(struct budget *b, int64_t wall_s)
{
    uint64_t day = budget_day(wall_s);
    /* A clock that is set back does not give the units again. */
    if (day <= b->day)
        return;
    b->day = day;
    b->spent = b->others = 0;
}

void budget_take(struct budget *b, uint64_t units, int64_t now, int64_t wall_s)
{
    budget_turn_day(b, wall_s);
    b->spent += units;
    bucket_take(&b->bucket, units, now);
}

void budget_take_pushed(struct budget *b, uint64_t units, int64_t wall_s)
{
    budget_turn_day(b, wall_s);
    b->spent += units;
}

int64_t budget_wait(const struct budget *b, enum rpc_lane lane, int64_t now, int64_t wall_s,
                    bool *ret_day)
{
    *ret_day = false;
    bool today = budget_day(wall_s) <= b->day;
    if (b->per_day > 0 && today && b->spent + b->others >= b->per_day * lanes[lane].of_day / 100) {
        *ret_day = true;
        return ((int64_t)(b->day + 1) * DAY_S - wall_s) * MILLI;
    }
    return bucket_wait(&b->bucket, lane, now);
}

void budget_others(struct budget *b, uint64_t units, int64_t now)
{
    if (b->knows_sent_by_others && units > b->sent_by_others)
        bucket_take(&b->bucket, units - b->sent_by_others, now);
    b->knows_sent_by_others = true;
    b->sent_by_others = units;
}

const char *const budget_spenders[BUDGET_SPENDERS] = {"follow", "sweep", "command"};

void budget_export(const struct budget *b, char out[BUDGET_TEXT])
{
    snprintf(out, BUDGET_TEXT, "%" PRIu64 " %" PRIu64, b->day, b->spent);
}

void budget_import(struct budget *b, const char *text, bool mine)
{
    uint64_t day, units;
    if (!parse_u64_next(&text, &day) || !parse_u64_next(&text, &units) || *text || day != b->day)
        return;
    if (mine)
        b->spent += units;
    else
        b->others += units;
}
