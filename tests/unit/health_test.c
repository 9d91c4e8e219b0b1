/* The breaker's table, latency and lag. */
#include "base/mem.h"
#include "rpc/health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void an_absence_and_a_return(void **state)
{
    (void)state;
    assert_int_equal(breaker_next(BREAKER_CLOSED, HEALTH_FAILED), BREAKER_OPEN);
    assert_int_equal(breaker_next(BREAKER_OPEN, HEALTH_GOOD), BREAKER_OPEN); /* a late answer */
    assert_int_equal(breaker_next(BREAKER_OPEN, HEALTH_WAITED), BREAKER_HALF_OPEN);
    assert_int_equal(breaker_next(BREAKER_HALF_OPEN, HEALTH_FAILED), BREAKER_OPEN);
    assert_int_equal(breaker_next(BREAKER_HALF_OPEN, HEALTH_GOOD), BREAKER_CLOSED);
    /* Told to slow down, it is asked again as soon as it allows. */
    assert_int_equal(breaker_next(BREAKER_CLOSED, HEALTH_THROTTLED), BREAKER_THROTTLED);
    assert_int_equal(breaker_next(BREAKER_THROTTLED, HEALTH_WAITED), BREAKER_CLOSED);
}

static void every_way_out_of_every_state(void **state)
{
    (void)state;
    for (int b = 0; b < BREAKERS; b++) {
        for (int e = 0; e < HEALTH_EVENTS; e++) {
            enum breaker next = breaker_next((enum breaker)b, (enum health_event)e);
            /* Only one thing brings back who is on another chain, and it always leads there. */
            if (b == BREAKER_WRONG_CHAIN && e != HEALTH_RIGHT_CHAIN)
                assert_int_equal(next, BREAKER_WRONG_CHAIN);
            if (e == HEALTH_WRONG_CHAIN)
                assert_int_equal(next, BREAKER_WRONG_CHAIN);
            if (e == HEALTH_WRONG_BLOCK && b != BREAKER_WRONG_CHAIN)
                assert_int_equal(next, BREAKER_OPEN);
        }
    }
}

static void the_slow_twentieth(void **state)
{
    struct latency l = {0};
    (void)state;
    for (int i = 0; i < LATENCY_ENOUGH - 1; i++)
        latency_add(&l, 10);
    assert_int_equal(latency_p95(&l), -1);
    latency_add(&l, 90);
    assert_int_equal(latency_p95(&l), 90);
    for (int i = 0; i < LATENCY_SAMPLES - 1; i++)
        latency_add(&l, 10 + i);
    assert_int_equal(latency_p95(&l),
                     10 + LATENCY_SAMPLES - 2); /* 90 is among them, as the worst */
    for (int i = 0; i < LATENCY_SAMPLES; i++)
        latency_add(&l, 7);
    assert_int_equal(latency_p95(&l), 7);
    assert_in_range(l.mean_us, 7000, 20000);
}

static uint64_t lag(uint64_t number, uint64_t timestamp, uint64_t other, uint64_t others_time)
{
    struct rpc_head mine = {true, number, timestamp, 0, 0}, o = {true, other, others_time, 0, 0};
    return head_lag(&mine, &o);
}

static void lag_takes_blocks_and_seconds(void **state)
{
    (void)state;
    assert_int_equal(lag(95, 940, 100, 1000), 5);
    assert_int_equal(lag(98, 976, 100, 1000), 0); /* two blocks are everyday */
    assert_int_equal(lag(90, 999, 100, 1000), 0); /* ten within a second, too */
    assert_int_equal(lag(105, 1060, 100, 1000), 0);
}

/* Who is asked later has later news. */
static void only_like_is_compared(void **state)
{
    struct rpc_head mine = {true, 95, 940, 5050, 5060}, other = {true, 100, 1000, 5050, 5090};
    (void)state;
    assert_true(head_comparable(&mine, &other, 60000));
    other.asked_ms = 5051;
    assert_false(head_comparable(&mine, &other, 60000));
    mine.asked_ms = 5051 + 60001;
    assert_false(head_comparable(&mine, &other, 60000));
    mine.asked_ms--;
    assert_true(head_comparable(&mine, &other, 60000));
    other.known = false;
    assert_false(head_comparable(&mine, &other, 60000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_absence_and_a_return), cmocka_unit_test(every_way_out_of_every_state),
        cmocka_unit_test(the_slow_twentieth),      cmocka_unit_test(lag_takes_blocks_and_seconds),
        cmocka_unit_test(only_like_is_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
