/* Marks in any order and any number: what is left is each wallet once, in key order, with the
 * latest event and the widest right to insert. Held against a plain table of the same marks. */
#include "base/random.h"
#include "track/dirty.h"
#include "vectors.h"

#include <stdlib.h>

enum { WALLETS = 40, MARKS = 400, ROUNDS = 300 };

static address nth(unsigned n)
{
    address a = {{0}};
    a.b[0] = (uint8_t)(n * 37); /* spread, so that key order is not the order of n */
    a.b[19] = (uint8_t)n;
    return a;
}

static void mark(struct dirty *d, unsigned n, int64_t event, enum store_insert insert)
{
    dirty_add(d, &(struct affected){.wallet = nth(n),
                                    .has_event = event >= 0,
                                    .event_block = event >= 0 ? (uint64_t)event : 0,
                                    .insert = insert});
}

static void nothing_is_finalized_too(void **state)
{
    (void)state;
    struct dirty d = {0};
    dirty_sort_unique(&d);
    assert_int_equal(d.n, 0);
    dirty_clear(&d);
    dirty_free(&d);
    dirty_free(&d);
}

static void the_latest_event_and_the_widest_right_win(void **state)
{
    (void)state;
    struct dirty d = {0};
    mark(&d, 1, 7, INSERT_NEVER);
    mark(&d, 1, -1, INSERT_ALWAYS);
    mark(&d, 1, 5, INSERT_IF_LISTED);
    mark(&d, 2, -1, INSERT_NEVER);
    mark(&d, 2, 0, INSERT_NEVER); /* block 0 is an event, too */
    dirty_sort_unique(&d);
    assert_int_equal(d.n, 2);
    for (size_t i = 0; i < d.n; i++) {
        bool first = d.list[i].wallet.b[19] == 1;
        assert_true(d.list[i].has_event);
        assert_int_equal(d.list[i].event_block, first ? 7 : 0);
        assert_int_equal(d.list[i].insert, first ? INSERT_ALWAYS : INSERT_NEVER);
    }
    /* More may come after: finalized again, nothing is doubled. */
    mark(&d, 1, 9, INSERT_NEVER);
    dirty_sort_unique(&d);
    dirty_sort_unique(&d);
    assert_int_equal(d.n, 2);
    dirty_free(&d);
}

struct expected {
    bool there, has_event;
    uint64_t event_block;
    enum store_insert insert;
};

static void expect_mark(struct expected *e, const struct affected *m)
{
    if (m->has_event && (!e->has_event || m->event_block > e->event_block)) {
        e->has_event = true;
        e->event_block = m->event_block;
    }
    if (!e->there || m->insert > e->insert)
        e->insert = m->insert;
    e->there = true;
}

static void like_a_plain_table(void **state)
{
    (void)state;
    const char *given = getenv("TRUEUP_SEED");
    struct rng rng = {.state = given ? strtoull(given, NULL, 10) : rng_seed_from_system()};
    print_message("# TRUEUP_SEED=%llu\n", (unsigned long long)rng.state);
    struct dirty d = {0};
    for (int round = 0; round < ROUNDS; round++) {
        struct expected want[WALLETS] = {0};
        size_t n_marks = rng_below(&rng, MARKS), distinct = 0;
        dirty_clear(&d);
        for (size_t i = 0; i < n_marks; i++) {
            unsigned w = (unsigned)rng_below(&rng, WALLETS);
            int64_t event = (int64_t)rng_below(&rng, 20) - 5;
            mark(&d, w, event, (enum store_insert)rng_below(&rng, 3));
            expect_mark(&want[w], &d.list[d.n - 1]);
            if (rng_below(&rng, 50) == 0)
                dirty_sort_unique(&d);
        }
        dirty_sort_unique(&d);
        for (unsigned w = 0; w < WALLETS; w++)
            distinct += want[w].there;
        assert_int_equal(d.n, distinct);
        for (size_t i = 0; i < d.n; i++) {
            const struct expected *e = &want[d.list[i].wallet.b[19]];
            if (i > 0)
                assert_true(address_compare(&d.list[i - 1].wallet, &d.list[i].wallet) < 0);
            assert_int_equal(d.list[i].has_event, e->has_event);
            assert_int_equal(d.list[i].event_block, e->event_block);
            assert_int_equal(d.list[i].insert, e->insert);
        }
    }
    dirty_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_finalized_too),
        cmocka_unit_test(the_latest_event_and_the_widest_right_win),
        cmocka_unit_test(like_a_plain_table),
    };
    return cmocka_run_group_tests_name("dirty", tests, NULL, NULL);
}
