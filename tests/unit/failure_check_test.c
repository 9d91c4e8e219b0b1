/* Promise 5's proportion: at least half of eight or more, or all of fewer. */
#include "track/failure_check.c"
#include "vectors.h"

static void nobody_failed(void **state)
{
    (void)state;
    for (size_t n = 0; n < 100; n++)
        assert_false(failure_check_is_wanted(0, n));
}

static void of_fewer_than_eight_all(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 7; n++)
        for (size_t failed = 1; failed <= n; failed++)
            assert_int_equal(failure_check_is_wanted(failed, n), failed == n);
}

static void of_eight_or_more_half(void **state)
{
    (void)state;
    static const struct {
        size_t read, enough; /* the smallest number of failures that wants witnesses */
    } rows[] = {{8, 4}, {9, 5}, {10, 5}, {11, 6}, {199, 100}, {200, 100}, {201, 101}, {4001, 2001}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_false(failure_check_is_wanted(rows[i].enough - 1, rows[i].read));
        assert_true(failure_check_is_wanted(rows[i].enough, rows[i].read));
        assert_true(failure_check_is_wanted(rows[i].read, rows[i].read));
    }
}

static void controls_are_the_latest_and_each_once(void **state)
{
    (void)state;
    struct control_wallets c = {0};
    for (unsigned i = 0; i < 3 * CONTROL_WALLETS; i++) {
        address a = {{0}};
        a.b[0] = (uint8_t)i;
        control_wallets_add(&c, &a);
        control_wallets_add(&c, &a);
        assert_int_equal(c.n, i + 1 < CONTROL_WALLETS ? i + 1 : CONTROL_WALLETS);
    }
    for (size_t i = 0; i < c.n; i++)
        assert_in_range(c.wallets[i].b[0], 2 * CONTROL_WALLETS, 3 * CONTROL_WALLETS - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_failed),
        cmocka_unit_test(of_fewer_than_eight_all),
        cmocka_unit_test(of_eight_or_more_half),
        cmocka_unit_test(controls_are_the_latest_and_each_once),
    };
    return cmocka_run_group_tests_name("failure_check", tests, NULL, NULL);
}
