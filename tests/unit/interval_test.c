/* Exact bounds of a share, against values that any statistics package gives. */
#include "num/interval.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void near(double got, double want)
{
    if (fabs(got - want) > 1e-6 + want * 1e-5)
        fail_msg("%.8f, should be %.8f", got, want);
}

static void known_values(void **state)
{
    (void)state;
    near(interval_upper(0, 1000, 0.05), 0.0029912495); /* the rule of three */
    near(interval_upper(0, 10, 0.025), 0.3084971078);
    near(interval_lower(5, 10, 0.025), 0.1870860284);
    near(interval_upper(5, 10, 0.025), 0.8129139716);
    near(interval_lower(3, 1000, 0.025), 0.0006190700);
    near(interval_upper(3, 1000, 0.025), 0.0087420563);
    near(interval_lower(1, 1, 0.025), 0.025);
    near(interval_upper(1, 1, 0.025), 1);
    near(interval_lower(0, 5, 0.025), 0);
}

/* The bound is where it says: the chance of so few is the given one there. */
static void large_numbers_stay_exact(void **state)
{
    (void)state;
    near(interval_upper(0, 3150000, 0.05), 1 - exp(log(0.05) / 3150000));
    near(interval_lower(100000, 100000, 0.025), exp(log(0.025) / 100000));
    double low = interval_lower(50000, 100000, 0.025), high = interval_upper(50000, 100000, 0.025);
    near(low + high, 1);
    assert_true(low > 0.4968 && low < 0.4970);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),
        cmocka_unit_test(large_numbers_stay_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
