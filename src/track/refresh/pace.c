#include "track/refresh/pace.h"
#include "base/clock.h"
#include "base/err.h"

enum { COUNT_MS = 600000, TENTHS = 9 };

void pace_init(struct sweep_pace *p, int64_t interval_ms, int64_t max_age_ms)
{
    *p = (struct sweep_pace){.interval_ms = interval_ms, .max_age_ms = max_age_ms};
}

int pace_count(struct sweep_pace *p, struct tracker *t, const struct tracked *b, struct err *err)
{
    struct store_counts c;
    if (p->max_age_ms == 0 || (p->counted_ms && clock_ms() - p->counted_ms < COUNT_MS))
        return 0;
    if (store_count(t->store, &b->store, &c, err) < 0)
        return -1;
    p->rows = c.rows;
    p->clock_us = c.now_us - wall_seconds() * 1000000;
    p->counted_ms = clock_ms();
    return 0;
}

static int64_t pace_get_age_ms(const struct sweep_pace *p, int64_t oldest_us, int64_t now_us)
{
    return oldest_us ? (now_us + p->clock_us - oldest_us) / 1000 : 0;
}

bool pace_is_late(const struct sweep_pace *p, int64_t oldest_us, int64_t now_us)
{
    return p->max_age_ms && pace_get_age_ms(p, oldest_us, now_us) > p->max_age_ms;
}

int64_t pace_wait(const struct sweep_pace *p, int64_t oldest_us, int64_t now_us, size_t batch)
{
    int64_t goal = p->max_age_ms / 10 * TENTHS;
    if (p->max_age_ms == 0)
        return p->interval_ms;
    if (pace_get_age_ms(p, oldest_us, now_us) > goal)
        return 0;
    uint64_t ticks = batch ? (p->rows + batch - 1) / batch : 0;
    int64_t even = ticks ? goal / (int64_t)ticks : goal;
    return even < p->interval_ms ? even : p->interval_ms;
}

uint64_t pace_missed(int64_t *due, int64_t now_ms, int64_t interval_ms)
{
    if (*due > now_ms)
        return 0;
    int64_t missed = (now_ms - *due) / interval_ms + 1;
    *due += missed * interval_ms;
    return (uint64_t)missed;
}
