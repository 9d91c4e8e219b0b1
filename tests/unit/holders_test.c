/* Holders against a plain list: each once, with its highest block, in key order; new ones alone. */
#include "base/mem.h"
#include "base/parse.h"
#include "base/random.h"
#include "track/history/holders.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static address numbered(uint64_t n)
{
    address a = {0};
    memcpy(a.b + 6, &n, sizeof n);
    return a;
}

static void each_once_with_its_highest_block(void **state)
{
    enum { WALLETS = 5000, NAMED = 40000 };
    (void)state;
    struct rng rng = {rng_seed_from_system()};
    printf("# TRUEUP_SEED=%" PRIu64 "\n", rng.state);
    uint64_t *highest = mem_zero(WALLETS, sizeof *highest);
    struct holders h;
    size_t n, distinct = 0;
    holders_init(&h, rng_next(&rng));
    for (size_t i = 0; i < NAMED; i++) {
        uint64_t who = rng_below(&rng, WALLETS), block = 1 + rng_below(&rng, 1000);
        address a = numbered(who);
        distinct += highest[who] == 0;
        highest[who] = block > highest[who] ? block : highest[who];
        assert_true(holders_add(&h, &a, block));
    }
    struct named_holder *list = holders_new(&h, &n);
    assert_int_equal(n, distinct);
    for (size_t i = 0; i < n; i++) {
        uint64_t who;
        memcpy(&who, list[i].wallet.b + 6, sizeof who);
        assert_int_equal(list[i].block, highest[who]);
        if (i > 0)
            assert_true(address_compare(&list[i - 1].wallet, &list[i].wallet) < 0);
    }
    mem_free(list);
    mem_free(highest);
    holders_free(&h);
}

static void only_what_is_new_is_written_again(void **state)
{
    (void)state;
    struct holders h;
    address a = numbered(1), b = numbered(2);
    size_t n;
    holders_init(&h, 7);
    holders_add(&h, &a, 10);
    holders_add(&h, &b, 10);
    holders_written(&h);
    holders_add(&h, &a, 9);
    struct named_holder *list = holders_new(&h, &n);
    assert_int_equal(n, 0);
    mem_free(list);
    holders_add(&h, &b, 11);
    list = holders_new(&h, &n);
    assert_int_equal(n, 1);
    assert_true(address_equal(&list[0].wallet, &b) && list[0].block == 11);
    mem_free(list);
    holders_free(&h);
}

static void full_it_says_so_and_starts_anew(void **state)
{
    (void)state;
    struct holders h;
    address a;
    holders_init(&h, 7);
    for (uint64_t i = 0; i < HOLDERS_MOST; i++) {
        a = numbered(i);
        assert_true(holders_add(&h, &a, 1));
    }
    assert_true(holders_full(&h));
    a = numbered(3);
    assert_true(holders_add(&h, &a, 2)); /* one of them */
    a = numbered(HOLDERS_MOST);
    assert_false(holders_add(&h, &a, 1));
    holders_written(&h);
    assert_false(holders_full(&h));
    assert_true(holders_add(&h, &a, 1));
    assert_int_equal(h.n, 1);
    holders_free(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_once_with_its_highest_block),
        cmocka_unit_test(only_what_is_new_is_written_again),
        cmocka_unit_test(full_it_says_so_and_starts_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
