#include "base/clock.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <time.h>

int64_t clock_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_ms(void)
{
    return clock_us() / 1000;
}

int64_t wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t wall_seconds(void)
{
    return (int64_t)time(NULL);
}

void wall_text(char *out)
{
    struct timespec t;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    size_t n = strftime(out, CLOCK_TEXT, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, CLOCK_TEXT - n, ".%03dZ", (int)(t.tv_nsec / 1000000));
}

int ms_until(int64_t deadline_ms)
{
    int64_t left = deadline_ms - clock_ms();
    if (left <= 0)
        return 0;
    return left > INT_MAX ? INT_MAX : (int)left;
}

void duration_text(char *out, int64_t ms)
{
    int64_t s = ms / 1000, m = s / 60, h = m / 60, d = h / 24;
    if (ms < 1000)
        snprintf(out, CLOCK_TEXT, "%" PRId64 "ms", ms);
    else if (m == 0)
        snprintf(out, CLOCK_TEXT, "%" PRId64 "s", s);
    else if (h == 0)
        snprintf(out, CLOCK_TEXT, "%" PRId64 "m %" PRId64 "s", m, s % 60);
    else if (d == 0)
        snprintf(out, CLOCK_TEXT, "%" PRId64 "h %" PRId64 "m", h, m % 60);
    else
        snprintf(out, CLOCK_TEXT, "%" PRId64 "d %" PRId64 "h", d, h % 24);
}
