/* Wallets that pushes named: which are due, how many are kept. Reading them is test_logs.py's. */
#include "base/mem.h"
#include "track/sync/owed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const address alice = {{0xaa}}, bob = {{0xbb}};

static void due_from_its_block_on(void **state)
{
    (void)state;
    struct owed o = {0};
    assert_false(owed_has_due(&o, 100));
    owed_add(&o, 0, &alice, 7);
    assert_false(owed_has_due(&o, 6));
    assert_true(owed_has_due(&o, 7));
    owed_add(&o, 0, &alice, 9); /* the later block counts, and the earlier one does not */
    owed_add(&o, 0, &alice, 8);
    assert_int_equal(o.n, 1);
    assert_false(owed_has_due(&o, 8));
    assert_true(owed_has_due(&o, 9));
    owed_free(&o);
}

static void an_impossible_block_is_due_now(void **state)
{
    (void)state;
    struct owed o = {0};
    owed_add(&o, 0, &alice, 1000000000000);
    assert_true(owed_has_due(&o, 5));
    owed_free(&o);
    owed_add(&o, 0, &bob, 0);
    assert_true(owed_has_due(&o, 5));
    owed_free(&o);
}

static void each_balance_and_no_more_than_the_ceiling(void **state)
{
    (void)state;
    struct owed o = {0};
    owed_add(&o, 0, &alice, 1);
    owed_add(&o, 1, &alice, 1);
    owed_add(&o, 1, &alice, 1);
    assert_int_equal(o.n, 2);
    for (unsigned i = 0; i < OWED_MOST + 10; i++) {
        address a = {{1, (uint8_t)(i >> 8), (uint8_t)i}};
        owed_add(&o, 0, &a, 1);
    }
    assert_int_equal(o.n, OWED_MOST);
    owed_free(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(due_from_its_block_on),
        cmocka_unit_test(an_impossible_block_is_due_now),
        cmocka_unit_test(each_balance_and_no_more_than_the_ceiling),
    };
    return cmocka_run_group_tests_name("owed", tests, NULL, NULL);
}
