/* The pace of the sweep: even when the table is fresh, flat out when it is not. */
#include "track/refresh/pace.h"
#include "vectors.h"

enum { SECOND = 1000, HOUR = 3600 * SECOND, DAY = 24 * HOUR };

static const int64_t now_us = INT64_C(1700000000) * 1000000;

static int64_t ago(int64_t ms)
{
    return now_us - ms * 1000;
}

static void test_off(void **state)
{
    struct sweep_pace p;
    (void)state;
    pace_init(&p, 30 * SECOND, 0);
    p.rows = 1000000;
    assert_int_equal(pace_wait(&p, ago(300LL * DAY), now_us, 50), 30 * SECOND);
    assert_false(pace_is_late(&p, ago(300LL * DAY), now_us));
}

/* 63,000 ticks of 50 rows in nine tenths of a day: one every 1,234 ms. */
static void test_even(void **state)
{
    struct sweep_pace p;
    (void)state;
    pace_init(&p, 30 * SECOND, DAY);
    p.rows = 3150000;
    assert_int_equal(pace_wait(&p, ago(HOUR), now_us, 50), 1234);
    /* 700 ticks of 4,500 would do every 111 s: the interval is sooner. */
    assert_int_equal(pace_wait(&p, ago(HOUR), now_us, 4500), 30 * SECOND);
    p.rows = 0;
    assert_int_equal(pace_wait(&p, 0, now_us, 4500), 30 * SECOND);
}

static void test_catching_up(void **state)
{
    struct sweep_pace p;
    (void)state;
    pace_init(&p, 30 * SECOND, DAY);
    p.rows = 100;
    assert_int_equal(pace_wait(&p, ago(21LL * HOUR), now_us, 50), 30 * SECOND);
    assert_int_equal(pace_wait(&p, ago(22LL * HOUR), now_us, 50), 0);
    assert_false(pace_is_late(&p, ago(22LL * HOUR), now_us));
    assert_true(pace_is_late(&p, ago(25LL * HOUR), now_us));
    assert_int_equal(pace_wait(&p, 1, now_us, 50), 0); /* a placeholder of 1970 */
}

static void test_other_clock(void **state)
{
    struct sweep_pace p;
    (void)state;
    pace_init(&p, 30 * SECOND, HOUR);
    p.clock_us = -2LL * HOUR * 1000; /* the database is two hours behind us */
    assert_int_equal(pace_wait(&p, ago(2LL * HOUR), now_us, 50), 30 * SECOND);
    assert_int_equal(pace_wait(&p, ago(HOUR), now_us, 50),
                     30 * SECOND); /* ages below zero are none */
}

/* A tick that took two and a half intervals: what came due meanwhile is dropped, one by one
 * counted, and the next comes when it would have come anyway. */
static void test_what_came_due_meanwhile_is_dropped(void **state)
{
    (void)state;
    static const struct {
        int64_t due, now;
        uint64_t missed;
        int64_t next;
    } rows[] = {{1200, 1000, 0, 1200},       {1001, 1000, 0, 1001}, {1000, 1000, 1, 1200},
                {1000, 1199, 1, 1200},       {1000, 1200, 2, 1400}, {1000, 1500, 3, 1600},
                {1000, 901000, 4501, 901200}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int64_t due = rows[i].due;
        assert_int_equal(pace_missed(&due, rows[i].now, 200), rows[i].missed);
        assert_int_equal(due, rows[i].next);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_off),
        cmocka_unit_test(test_even),
        cmocka_unit_test(test_catching_up),
        cmocka_unit_test(test_what_came_due_meanwhile_is_dropped),
        cmocka_unit_test(test_other_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
