/*
 * How soon the next tick of the sweep follows, so that no row gets older than sweep.max_age.
 *
 * Two views of the same thing: with so many rows and so many a tick, a pass takes a certain number
 * of ticks, and they must fit into nine tenths of the age; and the oldest row just met tells
 * whether they did. The first keeps the pace even, the second catches up. Pure but for
 * pace_count().
 */
#ifndef TRACK_REFRESH_PACE_H
#define TRACK_REFRESH_PACE_H

#include "track/refresh/sweep.h"

struct sweep_pace {
    int64_t interval_ms, max_age_ms; /* as configured; max_age 0: off */
    uint64_t rows;                   /* in the table, when last counted */
    int64_t clock_us;                /* the database's clock less ours */
    int64_t counted_ms;              /* monotonic; 0: never */
};

void pace_init(struct sweep_pace *p, int64_t interval_ms, int64_t max_age_ms);

/* Counts the rows now and then; they change slowly. Does nothing with max_age off. */
int pace_count(struct sweep_pace *p, struct tracker *t, const struct tracked *b, struct err *err);

/* Milliseconds from the start of one tick to the start of the next; 0: at once. oldest_us: when the
 * oldest row that the tick met had been read, 0 if it met none; batch: rows a tick reads. */
int64_t pace_wait(const struct sweep_pace *p, int64_t oldest_us, int64_t now_us, size_t batch);

/* Ticks that came due up to now, while the last one ran: how many, and *due moves past them all.
 * They are dropped, so that a slow node does not find them waiting in a row. */
uint64_t pace_missed(int64_t *due, int64_t now_ms, int64_t interval_ms);

/* Older than it may be, by the same row. */
bool pace_is_late(const struct sweep_pace *p, int64_t oldest_us, int64_t now_us);

#endif
