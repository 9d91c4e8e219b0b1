#include "proc/alive.h"
#include "base/clock.h"
#include "proc/counters.h"

#include <stdbool.h>

static _Thread_local bool listened_to;

void alive_begin(void)
{
    listened_to = true;
    alive_beat();
}

void alive_beat(void)
{
    alive_busy(0);
}

void alive_busy(int64_t ms)
{
    if (listened_to)
        counters_alive(clock_ms() + ms);
}

int alive_slice(int ms)
{
    alive_beat();
    return ms < ALIVE_EVERY_MS ? ms : ALIVE_EVERY_MS;
}
