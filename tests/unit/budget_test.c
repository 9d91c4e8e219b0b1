/* Buckets, paces and the day's account, on a clock of our own. */
#include "base/mem.h"
#include "base/random.h"
#include "rpc/budget.c"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { DAY = 86400 };

/* ---- a bucket -------------------------------------------------------------------------------- */

static void no_limit_never_waits(void **state)
{
    struct bucket b = {0};
    (void)state;
    bucket_take(&b, UINT32_MAX, 5);
    assert_int_equal(bucket_wait(&b, RPC_SWEEP, 5), 0);
}

/* Whatever single requests cost, and however they are spaced: over time no more than the rate, plus
 * the one second's worth it starts with and the last request's debt. */
static void the_rate_is_kept(void **state)
{
    const char *given = getenv("TRUEUP_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : rng_seed_from_system();
    (void)state;
    print_message("TRUEUP_SEED=%" PRIu64 "\n", seed);
    struct rng rng = {seed};
    for (int run = 0; run < 200; run++) {
        struct bucket b = {0};
        uint64_t rate = 1 + rng_below(&rng, 1000), most = 1 + rng_below(&rng, 3000), sent = 0;
        enum rpc_lane lane = (enum rpc_lane)rng_below(&rng, LANES);
        int64_t start = (int64_t)rng_below(&rng, 1000000), now = start, end = now + 60000;
        bucket_rate(&b, rate, now);
        while (now < end) {
            int64_t wait = bucket_wait(&b, lane, now);
            assert_true(wait >= 0);
            if (wait > 0) {
                /* Not a moment too early. */
                assert_true(wait == 1 || bucket_wait(&b, lane, now + wait - 1) > 0);
                assert_int_equal(bucket_wait(&b, lane, now + wait), 0);
                now += wait + (int64_t)rng_below(&rng, 3);
                continue;
            }
            uint64_t units = rng_below(&rng, most + 1);
            bucket_take(&b, units, now);
            sent += units;
            now += units ? 0 : 1;
        }
        uint64_t allowed = rate + rate * (uint64_t)(now - start) / 1000 + most;
        if (sent > allowed)
            fail_msg("sent %" PRIu64 " of %" PRIu64 " at %" PRIu64 " a second", sent, allowed,
                     rate);
        /* And what is allowed is given: it waits no longer than it must. */
        assert_true(sent + rate + most >= rate * (uint64_t)(end - start) / 1000);
    }
}

static void live_goes_before_catching_up_before_the_sweep(void **state)
{
    struct bucket b = {0};
    (void)state;
    bucket_rate(&b, 100, 0);
    bucket_take(&b, 50, 0);
    assert_true(bucket_wait(&b, RPC_SWEEP, 0) > 0);
    assert_int_equal(bucket_wait(&b, RPC_CATCHUP, 0), 0);
    bucket_take(&b, 25, 0);
    assert_true(bucket_wait(&b, RPC_CATCHUP, 0) > 0);
    assert_int_equal(bucket_wait(&b, RPC_LIVE, 0), 0);
    bucket_take(&b, 125, 0); /* in debt by one second */
    assert_in_range(bucket_wait(&b, RPC_LIVE, 0), 1000, 1001);
    assert_in_range(bucket_wait(&b, RPC_CATCHUP, 0), 1250, 1251);
    assert_in_range(bucket_wait(&b, RPC_SWEEP, 0), 1500, 1501);
    assert_int_equal(bucket_wait(&b, RPC_SWEEP, 100000000), 0); /* and nothing runs over */
}

/* ---- pace ------------------------------------------------------------------------------------ */

static void send(struct endpoint_pace *p, unsigned n, uint64_t units, int64_t now)
{
    for (unsigned i = 0; i < n; i++)
        pace_took(p, units, now);
}

static void refused_halves_and_grows_back(void **state)
{
    struct endpoint_pace p = {0};
    (void)state;
    send(&p, 40, 26, 10000);
    assert_int_equal(bucket_wait(&p.bucket, RPC_SWEEP, 10000), 0);
    pace_refused(&p, 0, 10500);
    assert_int_equal(p.bucket.per_second, 40 * 26 / 2);
    pace_refused(&p, 0, 10600);
    assert_int_equal(p.bucket.per_second, 40 * 26 / 4);
    /* Content for a second: a little more; twice in the same second is once. */
    uint64_t before = p.bucket.per_second;
    pace_on_success(&p, 11700);
    uint64_t after = p.bucket.per_second;
    assert_in_range(after, before + 1, before + before / 10 + 26);
    pace_on_success(&p, 11701);
    assert_int_equal(p.bucket.per_second, after);
    /* In the end the limit is forgotten: it was a guess. */
    int64_t now = 11700;
    for (int i = 0; i < 1000 && p.bucket.per_second; i++)
        pace_on_success(&p, now += 1000);
    assert_int_equal(p.bucket.per_second, 0);
    assert_true(now - 10600 >= 60000);
}

static void it_never_stops_altogether(void **state)
{
    struct endpoint_pace p = {0};
    (void)state;
    send(&p, 1, 255, 0);
    for (int i = 0; i < 50; i++)
        pace_refused(&p, 0, i);
    assert_true(p.bucket.per_second >= 255);
    struct endpoint_pace idle = {0};
    pace_refused(&idle, 0, 0);
    assert_true(idle.bucket.per_second >= 1);
}

/* "50/second request limit reached": fifty requests, whatever they cost. */
static void a_named_rate_is_taken(void **state)
{
    struct endpoint_pace p = {0};
    (void)state;
    send(&p, 400, 20, 0);
    pace_refused(&p, 50, 100);
    assert_int_equal(p.bucket.per_second, 50 * 20);
    /* The same words again at that rate: others have their share of it. */
    pace_refused(&p, 50, 200);
    assert_int_equal(p.bucket.per_second, 50 * 20 / 2);
}

/* ---- the day --------------------------------------------------------------------------------- */

static int64_t wait_of(const struct budget *b, enum rpc_lane lane, int64_t wall, bool *day)
{
    return budget_wait(b, lane, 0, wall, day);
}

static void the_day_ends_for_the_sweep_first(void **state)
{
    struct budget b;
    bool day;
    int64_t noon = 20000 * (int64_t)DAY + DAY / 2;
    (void)state;
    budget_init(&b, 0, 1000, 0, noon);
    budget_take(&b, 849, 0, noon);
    assert_int_equal(wait_of(&b, RPC_SWEEP, noon, &day), 0);
    budget_take(&b, 1, 0, noon);
    assert_int_equal(wait_of(&b, RPC_SWEEP, noon, &day), DAY / 2 * INT64_C(1000));
    assert_true(day);
    assert_int_equal(wait_of(&b, RPC_CATCHUP, noon, &day), 0);
    budget_take(&b, 100, 0, noon);
    assert_true(wait_of(&b, RPC_CATCHUP, noon, &day) > 0);
    assert_int_equal(wait_of(&b, RPC_LIVE, noon, &day), 0);
    assert_false(day);
    budget_take(&b, 50, 0, noon);
    assert_true(wait_of(&b, RPC_LIVE, noon, &day) > 0);
    /* The next day starts with nothing spent; a clock set back does not give it twice. */
    assert_int_equal(wait_of(&b, RPC_SWEEP, noon + DAY, &day), 0);
    budget_take(&b, 1000, 0, noon + DAY);
    assert_true(wait_of(&b, RPC_LIVE, noon, &day) > 0);
    budget_take(&b, 1, 0, noon);
    assert_int_equal(b.spent, 1001);
}

static void the_account_outlives_a_restart(void **state)
{
    struct budget b, again;
    char text[BUDGET_TEXT];
    bool day;
    int64_t noon = 20000 * (int64_t)DAY + DAY / 2;
    (void)state;
    budget_init(&b, 0, 1000, 0, noon);
    budget_take(&b, 700, 0, noon);
    budget_export(&b, text);
    assert_string_equal(text, "20000 700");
    budget_init(&again, 0, 1000, 0, noon + 10);
    budget_import(&again, text, true);
    assert_int_equal(again.spent, 700);
    budget_import(&again, "20000 200", false); /* another process' */
    assert_true(wait_of(&again, RPC_SWEEP, noon, &day) > 0 && day);
    again.others = 0;
    budget_import(&again, "20000 100", false);
    assert_int_equal(wait_of(&again, RPC_SWEEP, noon, &day), 0);
    /* Yesterday's, and what is none. */
    static const char *const others[] = {
        "19999 900", "", "20000", "20000 ", "20000 -5", "x 900", "20000 99999999999999999999999",
        "20000 9 9"};
    for (size_t i = 0; i < COUNT_OF(others); i++)
        budget_import(&again, others[i], i % 2);
    assert_int_equal(again.spent + again.others, 800);
}

static void what_others_send_counts(void **state)
{
    struct budget b;
    bool day;
    (void)state;
    budget_init(&b, 100, 0, 0, 0);
    budget_others(&b, 5000, 0); /* before we came */
    assert_int_equal(wait_of(&b, RPC_SWEEP, 0, &day), 0);
    budget_others(&b, 5060, 0);
    assert_true(wait_of(&b, RPC_SWEEP, 0, &day) > 0);
    assert_int_equal(wait_of(&b, RPC_LIVE, 0, &day), 0);
    assert_false(day);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_limit_never_waits),
        cmocka_unit_test(the_rate_is_kept),
        cmocka_unit_test(live_goes_before_catching_up_before_the_sweep),
        cmocka_unit_test(refused_halves_and_grows_back),
        cmocka_unit_test(it_never_stops_altogether),
        cmocka_unit_test(a_named_rate_is_taken),
        cmocka_unit_test(the_day_ends_for_the_sweep_first),
        cmocka_unit_test(the_account_outlives_a_restart),
        cmocka_unit_test(what_others_send_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
