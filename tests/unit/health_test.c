/* The breaker's table, latency and lag. */
#include "base/mem.h"
#include "node/health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static enum breaker after(enum breaker from, enum health_event event)
{
    const char *why;
    return breaker_next(from, event, &why);
}

static void an_absence_and_a_return(void **state)
{
    (void)state;
    assert_int_equal(after(BREAKER_CLOSED, HEALTH_FAILED), BREAKER_OPEN);
    assert_int_equal(after(BREAKER_OPEN, HEALTH_GOOD), BREAKER_OPEN); /* a late answer */
    assert_int_equal(after(BREAKER_OPEN, HEALTH_WAITED), BREAKER_HALF_OPEN);
    assert_int_equal(after(BREAKER_HALF_OPEN, HEALTH_FAILED), BREAKER_OPEN);
    assert_int_equal(after(BREAKER_HALF_OPEN, HEALTH_GOOD), BREAKER_CLOSED);
    /* Told to slow down, it is asked again as soon as it allows. */
    assert_int_equal(after(BREAKER_CLOSED, HEALTH_TOLD), BREAKER_RESTING);
    assert_int_equal(after(BREAKER_RESTING, HEALTH_WAITED), BREAKER_CLOSED);
}

static void every_way_out_of_every_state(void **state)
{
    (void)state;
    for (int b = 0; b < BREAKERS; b++) {
        for (int e = 0; e < HEALTH_EVENTS; e++) {
            const char *why = "untouched";
            enum breaker next = breaker_next((enum breaker)b, (enum health_event)e, &why);
            assert_true((next == (enum breaker)b) == (why == NULL)); /* a change has its words */
            /* Only one thing brings back who is on another chain, and it always leads there. */
            if (b == BREAKER_ASIDE && e != HEALTH_OURS)
                assert_int_equal(next, BREAKER_ASIDE);
            if (e == HEALTH_FOREIGN)
                assert_int_equal(next, BREAKER_ASIDE);
            if (e == HEALTH_LIED && b != BREAKER_ASIDE)
                assert_int_equal(next, BREAKER_OPEN);
        }
        assert_non_null(breaker_name((enum breaker)b));
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

static struct head_seen seen(uint64_t number, uint64_t timestamp, int64_t at_ms)
{
    return (struct head_seen){true, number, timestamp, at_ms};
}

static void lag_takes_blocks_and_seconds(void **state)
{
    struct head_seen other = seen(100, 1000, 5000), mine;
    (void)state;
    mine = seen(95, 940, 5100);
    assert_int_equal(head_lag(&mine, 5050, &other, 60000), 5);
    mine = seen(98, 976, 5100);
    assert_int_equal(head_lag(&mine, 5050, &other, 60000), 0); /* two blocks are everyday */
    mine = seen(90, 999, 5100);
    assert_int_equal(head_lag(&mine, 5050, &other, 60000), 0); /* ten within a second, too */
    mine = seen(105, 1060, 5100);
    assert_int_equal(head_lag(&mine, 5050, &other, 60000), 0);
    /* Only against what was known when it was asked, and not for ever. */
    mine = seen(95, 940, 5100);
    assert_int_equal(head_lag(&mine, 4999, &other, 60000), 0);
    assert_int_equal(head_lag(&mine, 70000, &other, 60000), 0);
    other.known = false;
    assert_int_equal(head_lag(&mine, 5050, &other, 60000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_absence_and_a_return),
        cmocka_unit_test(every_way_out_of_every_state),
        cmocka_unit_test(the_slow_twentieth),
        cmocka_unit_test(lag_takes_blocks_and_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
