/* What the engine learns of sizes: from an endpoint made of nothing but its limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "read/read_internal.h"

static const struct reader reader = {.name = "test", .most = 60000};

static struct read_learnt fresh(size_t size)
{
    return (struct read_learnt){.reader = &reader, .gas = GAS_FIRST, .size = size};
}

static struct read_result used(uint64_t each, size_t n, uint64_t granted)
{
    return (struct read_result){.answered = n, .gas_used = each * n, .gas_granted = granted};
}

/* An endpoint that bears `bears` wallets and tells nothing: what its sizes come to after so many
 * requests, and how many of them failed. */
static size_t failures_of(struct read_learnt *l, size_t bears, int requests)
{
    struct read_result quiet = {0};
    size_t failures = 0;
    for (int i = 0; i < requests; i++) {
        size_t n = learnt_size(l);
        if (n <= bears) {
            learn_size_held(l, n, &quiet, 50);
        } else {
            learn_size_blamed(l, n);
            failures++;
        }
    }
    return failures;
}

static void gas_tells_the_size_at_once(void **state)
{
    (void)state;
    struct read_learnt l = fresh(1000);
    struct read_result r = used(10000, 1000, 50000000);
    learn_size_held(&l, 1000, &r, 50);
    assert_in_range(l.size, 4700, 5000);
    r = used(20000, 4000, 50000000); /* dearer than was thought: at once as well */
    learn_size_held(&l, 4000, &r, 50);
    assert_in_range(l.size, 2350, 2500);
    r = used(20000, 400, 10000000); /* and so is less gas */
    learn_size_held(&l, 400, &r, 50);
    assert_in_range(l.size, 470, 500);
    assert_int_equal(learnt_gas(&l), 10000000);
}

static void few_wallets_tell_little(void **state)
{
    (void)state;
    struct read_learnt l = fresh(1000);
    struct read_result r = used(900000, 20, 50000000);
    learn_size_held(&l, 20, &r, 50);
    assert_int_equal(l.size, 1000);
}

static void what_is_slow_does_not_grow(void **state)
{
    (void)state;
    struct read_learnt l = fresh(1000);
    struct read_result r = used(1000, 1000, 50000000);
    learn_size_held(&l, 1000, &r, 2500); /* 48,000 for the gas, 2,000 for the time */
    assert_in_range(l.size, 1900, 2000);
    for (int i = 0; i < 20; i++)
        learn_size_held(&l, 2000, &r, 6000);
    assert_true(l.size <= 2000);
    learn_size_held(&l, 2000, &r, 12000);
    assert_true(l.size <= 1000);
}

static void closes_in_on_what_is_borne(void **state)
{
    (void)state;
    for (size_t bears = 3; bears < 3000; bears += bears / 3) {
        struct read_learnt l = fresh(200);
        failures_of(&l, bears, 60);
        assert_in_range(l.size, bears - bears / 5, bears + bears / 4 + 1);
        /* Each time it waits twice as long before it dares again. */
        size_t failed = failures_of(&l, bears, 2000);
        assert_true(failed <= 60);
    }
}

static void never_straight_back(void **state)
{
    (void)state;
    struct read_learnt l = fresh(1000);
    struct read_result quiet = {0}, rich = used(1000, 800, 50000000);
    failures_of(&l, 1000, 1);
    learn_size_blamed(&l, 1000);
    learn_size_blamed(&l, 1000);
    learn_size_blamed(&l, 1000); /* it held before, so it takes three */
    assert_int_equal(l.size, 500);
    for (int i = 0; i < 7; i++) {
        learn_size_held(&l, l.size, i % 2 ? &rich : &quiet, 50);
        assert_true(l.size < 1000);
    }
}

static struct chunk half(struct read_learnt *l, size_t n)
{
    return (struct chunk){.learnt = l, .n = n};
}

static void both_halves_hold_so_it_was_the_size(void **state)
{
    (void)state;
    struct read_learnt l = fresh(200);
    struct chunk whole = half(&l, 200), a = half(&l, 100), b = half(&l, 100);
    trial_begin(&whole, &a, &b);
    assert_int_equal(l.size, 200);
    assert_int_equal(learnt_size(&l), 100); /* nobody tries the same meanwhile */
    trial_held(&a);
    trial_leave(&a);
    assert_int_equal(l.size, 200);
    trial_held(&b);
    trial_leave(&b);
    assert_int_equal(l.size, 100);
    assert_int_equal(l.size_failed, 200);
    assert_int_equal(learnt_size(&l), 100);
}

/* Down to the one that is bad, and the size is what it was. */
static void one_bad_wallet_is_not_the_size(void **state)
{
    (void)state;
    struct read_learnt l = fresh(256);
    struct chunk whole = half(&l, 256);
    while (whole.n > 1) {
        struct chunk good = half(&l, whole.n / 2), bad = half(&l, whole.n / 2);
        trial_begin(&whole, &good, &bad);
        trial_leave(&whole);
        trial_held(&good);
        trial_leave(&good);
        trial_failed(&bad);
        whole = bad;
    }
    trial_leave(&whole);
    assert_int_equal(l.size, 256);
    assert_int_equal(learnt_size(&l), 256);
    assert_int_equal(l.size_failed, 0);
    assert_int_equal(l.trials, 0);
}

static void what_was_never_borne_is_tried_by_one(void **state)
{
    (void)state;
    struct read_learnt l = fresh(100);
    struct read_result quiet = {0};
    for (int i = 0; i < 3; i++)
        learn_size_held(&l, 100, &quiet, 50);
    assert_int_equal(l.size, 126);
    struct chunk scout = half(&l, learnt_size(&l)), other = half(&l, 100);
    scout_sent(&scout);
    assert_int_equal(learnt_size(&l), 100);
    scout_sent(&other);
    scout_gone(&other);
    assert_int_equal(learnt_size(&l), 100); /* until it is answered, whatever else is */
    learn_size_held(&l, 126, &quiet, 50);
    scout_gone(&scout);
    assert_int_equal(learnt_size(&l), 126);
    scout_sent(&scout); /* which is none any more */
    assert_int_equal(learnt_size(&l), 126);
}

static void what_the_gas_bears_is_no_guess(void **state)
{
    (void)state;
    struct read_learnt l = fresh(1000);
    struct read_result r = used(10000, 1000, 50000000);
    learn_size_held(&l, 1000, &r, 50);
    size_t size = learnt_size(&l);
    struct chunk c = half(&l, size);
    scout_sent(&c);
    assert_int_equal(learnt_size(&l), size);
}

/* While one is cut in two the others go no larger than what holds, and no smaller for it. */
static void what_holds_holds_beside_a_trial(void **state)
{
    (void)state;
    struct read_learnt l = fresh(126);
    l.held = 100;
    struct chunk whole = half(&l, 126), a = half(&l, 63), b = half(&l, 63);
    trial_begin(&whole, &a, &b);
    assert_int_equal(learnt_size(&l), 100);
    trial_held(&a);
    trial_leave(&a);
    trial_held(&b);
    trial_leave(&b);
    assert_int_equal(l.size, 100);
}

static void a_guess_is_not_kept(void **state)
{
    (void)state;
    struct reads r = {.n_learnt = 1};
    struct read_shape shape = {0};
    struct buf text = BUF_INIT(100);
    r.learnt[0] = fresh(126);
    r.learnt[0].held = 100;
    r.learnt[0].anchored = true;
    assert_string_equal(reads_learnt_export(&r, NULL, &shape, &text), "test");
    assert_string_equal(buf_str(&text), "100 0 0 0");
    buf_free(&text);
}

static void heavy_for_each_other_is_not_the_size(void **state)
{
    (void)state;
    struct read_learnt l = fresh(200);
    struct read_result quiet = {0};
    learn_size_held(&l, 200, &quiet, 50);
    learn_size_blamed(&l, 2);
    learn_size_held(&l, 200, &quiet, 50);
    learn_size_blamed(&l, 2);
    learn_size_held(&l, 200, &quiet, 50);
    learn_size_blamed(&l, 2);
    assert_int_equal(l.size_failed, 0);
    assert_true(l.size >= 200);
}

static void less_gas_is_asked_for_step_by_step(void **state)
{
    (void)state;
    struct read_learnt l = fresh(4000);
    l.sentinel = (struct sentinel){SENTINEL_EIP2565, GAS_FIRST / 2};
    uint64_t before = l.gas;
    int steps = 0;
    while (learn_less_gas(&l)) {
        assert_true(l.gas < before);
        assert_int_equal(l.sentinel.gas, l.gas / 2);
        before = l.gas;
        steps++;
    }
    assert_in_range(steps, 5, 16);
    assert_int_equal(l.gas, GAS_FLOOR);
    assert_in_range(l.size, 80, 120);
    assert_int_equal(gas_below(50000000), 30000000);
    assert_int_equal(gas_below(20000000), 16777216); /* 2^24, as it is */
    assert_int_equal(gas_below(GAS_FLOOR), 0);
}

/* A backend with less gas among others must not make requests small for ever. */
static void the_whole_is_asked_for_again(void **state)
{
    (void)state;
    struct read_learnt l = fresh(1000);
    struct read_result less = used(10000, 900, 10000000);
    bool again = false;
    for (int i = 0; i < 300; i++) {
        learn_size_held(&l, 900, &less, 50);
        again = again || learnt_gas(&l) == GAS_FIRST;
    }
    assert_true(again);
    assert_int_equal(learnt_gas(&l), 10000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gas_tells_the_size_at_once),
        cmocka_unit_test(few_wallets_tell_little),
        cmocka_unit_test(what_is_slow_does_not_grow),
        cmocka_unit_test(closes_in_on_what_is_borne),
        cmocka_unit_test(never_straight_back),
        cmocka_unit_test(both_halves_hold_so_it_was_the_size),
        cmocka_unit_test(one_bad_wallet_is_not_the_size),
        cmocka_unit_test(what_was_never_borne_is_tried_by_one),
        cmocka_unit_test(what_the_gas_bears_is_no_guess),
        cmocka_unit_test(what_holds_holds_beside_a_trial),
        cmocka_unit_test(a_guess_is_not_kept),
        cmocka_unit_test(heavy_for_each_other_is_not_the_size),
        cmocka_unit_test(less_gas_is_asked_for_step_by_step),
        cmocka_unit_test(the_whole_is_asked_for_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
