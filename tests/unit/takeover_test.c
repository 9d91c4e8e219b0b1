/* When a daemon that stands by takes the lease. */
#include "track/takeover.h"
#include "vectors.h"

#include <stdio.h>

static struct lease_view view(uint64_t generation, const char *holder, uint64_t beat)
{
    struct lease_view v = {.owner.generation = generation, .beat = beat};
    snprintf(v.owner.holder, sizeof v.owner.holder, "%s", holder);
    return v;
}

static bool due(struct takeover_watch *w, struct lease_view v, int64_t now_ms)
{
    return takeover_is_due(w, &v, now_ms);
}

static void test_free_at_once(void **state)
{
    struct takeover_watch w = {0};
    (void)state;
    assert_true(due(&w, view(7, "", 100), 5));
}

static void test_moving_never(void **state)
{
    struct takeover_watch w = {0};
    (void)state;
    for (int i = 0; i < 100; i++)
        assert_false(due(&w, view(7, "a", 1000000 + (uint64_t)i), i * 2900));
}

static void test_still_after_three_seconds(void **state)
{
    struct takeover_watch w = {0};
    (void)state;
    assert_false(due(&w, view(7, "a", 100), 50000));
    assert_false(due(&w, view(7, "a", 100), 52999));
    assert_true(due(&w, view(7, "a", 100), 53000));
}

static void test_another_owner_starts_the_wait_anew(void **state)
{
    struct takeover_watch w = {0};
    (void)state;
    assert_false(due(&w, view(7, "a", 100), 1000));
    assert_false(due(&w, view(7, "b", 100), 3900));
    assert_false(due(&w, view(8, "b", 100), 6800));
    assert_false(due(&w, view(8, "b", 100), 9700));
    assert_true(due(&w, view(8, "b", 100), 9800));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_free_at_once),
        cmocka_unit_test(test_moving_never),
        cmocka_unit_test(test_still_after_three_seconds),
        cmocka_unit_test(test_another_owner_starts_the_wait_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
