/* Time. Deadlines are monotonic milliseconds; wall time is only for people and for logs. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

int64_t clock_ms(void);     /* monotonic */
int64_t clock_us(void);     /* monotonic */
int64_t wall_seconds(void); /* since 1970, UTC */
int64_t wall_ms(void);

enum { CLOCK_TEXT = 32 };
/* "2026-11-22T10:29:35.123Z" into out[CLOCK_TEXT]. */
void wall_text(char *out);

/* Milliseconds left until a monotonic deadline, 0 when past, at most INT_MAX: fits poll(). */
int ms_until(int64_t deadline_ms);

/* A duration for people: "250ms", "12s", "4m 30s", "3h 5m", "22d 4h" into out[CLOCK_TEXT]. */
void duration_text(char *out, int64_t ms);

#endif
