/* What the engine learns of sizes: from an endpoint made of nothing but its limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "read/read_internal.h"

static const struct reader reader = {.name = "test", .most = 60000};

static struct read_profile fresh(size_t size)
{
    return (struct read_profile){.reader = &reader, .gas = GAS_FIRST, .size = size};
}

static struct read_result used(uint64_t each, size_t n, uint64_t granted)
{
    return (struct read_result){.answered = n, .gas_used = each * n, .gas_granted = granted};
}

/* An endpoint that bears `bears` wallets and tells nothing: what its sizes come to after so many
 * requests, and how many of them failed. */
static size_t failures_of(struct read_profile *l, size_t bears, int requests)
{
    struct read_result quiet = {0};
    size_t failures = 0;
    for (int i = 0; i < requests; i++) {
        size_t n = read_profile_size(l);
        if (n <= bears) {
            read_size_on_good(l, n, &quiet, 50);
        } else {
            read_size_on_bisected(l, n);
            failures++;
        }
    }
    return failures;
}

static void gas_tells_the_size_at_once(void **state)
{
    (void)state;
    struct read_profile l = fresh(1000);
    struct read_result r = used(10000, 1000, 50000000);
    read_size_on_good(&l, 1000, &r, 50);
    assert_in_range(l.size, 4700, 5000);
    r = used(20000, 4000, 50000000); /* dearer than was thought: at once as well */
    read_size_on_good(&l, 4000, &r, 50);
    assert_in_range(l.size, 2350, 2500);
    r = used(20000, 400, 10000000); /* and so is less gas */
    read_size_on_good(&l, 400, &r, 50);
    assert_in_range(l.size, 470, 500);
    assert_int_equal(read_profile_gas(&l), 10000000);
}

static void few_wallets_tell_little(void **state)
{
    (void)state;
    struct read_profile l = fresh(1000);
    struct read_result r = used(900000, 20, 50000000);
    read_size_on_good(&l, 20, &r, 50);
    assert_int_equal(l.size, 1000);
}

static void what_is_slow_does_not_grow(void **state)
{
    (void)state;
    struct read_profile l = fresh(1000);
    struct read_result r = used(1000, 1000, 50000000);
    read_size_on_good(&l, 1000, &r, 2500); /* 48,000 for the gas, 2,000 for the time */
    assert_in_range(l.size, 1900, 2000);
    for (int i = 0; i < 20; i++)
        read_size_on_good(&l, 2000, &r, 6000);
    assert_true(l.size <= 2000);
    read_size_on_good(&l, 2000, &r, 12000);
    assert_true(l.size <= 1000);
}

static void closes_in_on_what_is_borne(void **state)
{
    (void)state;
    for (size_t bears = 3; bears < 3000; bears += bears / 3) {
        struct read_profile l = fresh(200);
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
    struct read_profile l = fresh(1000);
    struct read_result quiet = {0}, rich = used(1000, 800, 50000000);
    failures_of(&l, 1000, 1);
    read_size_on_bisected(&l, 1000);
    read_size_on_bisected(&l, 1000);
    read_size_on_bisected(&l, 1000); /* it held before, so it takes three */
    assert_int_equal(l.size, 500);
    for (int i = 0; i < 7; i++) {
        read_size_on_good(&l, l.size, i % 2 ? &rich : &quiet, 50);
        assert_true(l.size < 1000);
    }
}

static struct chunk half(struct read_profile *l, size_t n)
{
    return (struct chunk){.profile = l, .n = n};
}

static void both_halves_hold_so_it_was_the_size(void **state)
{
    (void)state;
    struct read_profile l = fresh(200);
    struct chunk whole = half(&l, 200), a = half(&l, 100), b = half(&l, 100);
    read_bisect_begin(&whole, &a, &b);
    assert_int_equal(l.size, 200);
    assert_int_equal(read_profile_size(&l), 100); /* nobody tries the same meanwhile */
    read_bisect_good(&a);
    read_bisect_leave(&a);
    assert_int_equal(l.size, 200);
    read_bisect_good(&b);
    read_bisect_leave(&b);
    assert_int_equal(l.size, 100);
    assert_int_equal(l.last_bad, 200);
    assert_int_equal(read_profile_size(&l), 100);
}

/* Down to the one that is bad, and the size is what it was. */
static void one_bad_wallet_is_not_the_size(void **state)
{
    (void)state;
    struct read_profile l = fresh(256);
    struct chunk whole = half(&l, 256);
    while (whole.n > 1) {
        struct chunk good = half(&l, whole.n / 2), bad = half(&l, whole.n / 2);
        read_bisect_begin(&whole, &good, &bad);
        read_bisect_leave(&whole);
        read_bisect_good(&good);
        read_bisect_leave(&good);
        read_bisect_bad(&bad);
        whole = bad;
    }
    read_bisect_leave(&whole);
    assert_int_equal(l.size, 256);
    assert_int_equal(read_profile_size(&l), 256);
    assert_int_equal(l.last_bad, 0);
    assert_int_equal(l.bisects, 0);
}

static void what_was_never_borne_is_tried_by_one(void **state)
{
    (void)state;
    struct read_profile l = fresh(100);
    struct read_result quiet = {0};
    for (int i = 0; i < 3; i++)
        read_size_on_good(&l, 100, &quiet, 50);
    assert_int_equal(l.size, 126);
    struct chunk probe_chunk = half(&l, read_profile_size(&l)), other = half(&l, 100);
    read_probe_chunk_sent(&probe_chunk);
    assert_int_equal(read_profile_size(&l), 100);
    read_probe_chunk_sent(&other);
    read_probe_chunk_gone(&other);
    assert_int_equal(read_profile_size(&l), 100); /* until it is answered, whatever else is */
    read_size_on_good(&l, 126, &quiet, 50);
    read_probe_chunk_gone(&probe_chunk);
    assert_int_equal(read_profile_size(&l), 126);
    read_probe_chunk_sent(&probe_chunk); /* which is none any more */
    assert_int_equal(read_profile_size(&l), 126);
}

static void what_the_gas_bears_is_no_guess(void **state)
{
    (void)state;
    struct read_profile l = fresh(1000);
    struct read_result r = used(10000, 1000, 50000000);
    read_size_on_good(&l, 1000, &r, 50);
    size_t size = read_profile_size(&l);
    struct chunk c = half(&l, size);
    read_probe_chunk_sent(&c);
    assert_int_equal(read_profile_size(&l), size);
}

/* While one is cut in two the others go no larger than what holds, and no smaller for it. */
static void what_holds_holds_beside_a_trial(void **state)
{
    (void)state;
    struct read_profile l = fresh(126);
    l.last_good = 100;
    struct chunk whole = half(&l, 126), a = half(&l, 63), b = half(&l, 63);
    read_bisect_begin(&whole, &a, &b);
    assert_int_equal(read_profile_size(&l), 100);
    read_bisect_good(&a);
    read_bisect_leave(&a);
    read_bisect_good(&b);
    read_bisect_leave(&b);
    assert_int_equal(l.size, 100);
}

static void a_guess_is_not_kept(void **state)
{
    (void)state;
    struct reads r = {.n_profiles = 1};
    struct read_shape shape = {0};
    struct buf text = BUF_INIT(100);
    r.profile[0] = fresh(126);
    r.profile[0].last_good = 100;
    r.profile[0].anchored = true;
    assert_string_equal(reads_profile_export(&r, NULL, &shape, &text), "test");
    assert_string_equal(buf_str(&text), "100 0 0 0");
    buf_free(&text);
}

static void heavy_for_each_other_is_not_the_size(void **state)
{
    (void)state;
    struct read_profile l = fresh(200);
    struct read_result quiet = {0};
    read_size_on_good(&l, 200, &quiet, 50);
    read_size_on_bisected(&l, 2);
    read_size_on_good(&l, 200, &quiet, 50);
    read_size_on_bisected(&l, 2);
    read_size_on_good(&l, 200, &quiet, 50);
    read_size_on_bisected(&l, 2);
    assert_int_equal(l.last_bad, 0);
    assert_true(l.size >= 200);
}

static void less_gas_is_asked_for_step_by_step(void **state)
{
    (void)state;
    struct read_profile l = fresh(4000);
    l.sentinel = (struct sentinel){SENTINEL_EIP2565, GAS_FIRST / 2};
    uint64_t before = l.gas;
    int steps = 0;
    while (read_profile_lower_gas(&l)) {
        assert_true(l.gas < before);
        assert_int_equal(l.sentinel.gas, l.gas / 2);
        before = l.gas;
        steps++;
    }
    assert_in_range(steps, 5, 16);
    assert_int_equal(l.gas, GAS_FLOOR);
    assert_in_range(l.size, 80, 120);
    assert_int_equal(read_gas_below(50000000), 30000000);
    assert_int_equal(read_gas_below(20000000), 16777216); /* 2^24, as it is */
    assert_int_equal(read_gas_below(GAS_FLOOR), 0);
}

/* A backend with less gas among others must not make requests small for ever. */
static void the_whole_is_asked_for_again(void **state)
{
    (void)state;
    struct read_profile l = fresh(1000);
    struct read_result less = used(10000, 900, 10000000);
    bool again = false;
    for (int i = 0; i < 300; i++) {
        read_size_on_good(&l, 900, &less, 50);
        again = again || read_profile_gas(&l) == GAS_FIRST;
    }
    assert_true(again);
    assert_int_equal(read_profile_gas(&l), 10000000);
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
