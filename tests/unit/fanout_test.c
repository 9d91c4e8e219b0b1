/* Asks for lists of wallets: each once, and never more than the ceiling. */
#include "track/sync/fanout.h"
#include "vectors.h"

static void ask(struct fanout *f, uint64_t argument, uint64_t block)
{
    struct fanout_ask a = {.contract = {{1}}, .selector = {2}, .block = block};
    for (int i = 0; i < 8; i++)
        a.argument.b[19 - i] = (uint8_t)(argument >> (8 * i));
    fanout_add(f, &a);
}

static void the_same_ask_counts_once(void **state)
{
    (void)state;
    struct fanout f = {0};
    uint64_t block = 77;
    for (int round = 0; round < 3; round++)
        for (uint64_t i = 0; i < FANOUT_ASKS_MOST; i++)
            ask(&f, i, 5);
    assert_false(fanout_overflows(&f, &block));
    assert_int_equal(f.n, FANOUT_ASKS_MOST);
    assert_int_equal(block, 77);
    fanout_free(&f);
}

static void too_many_make_everybody_due(void **state)
{
    (void)state;
    struct fanout f = {0};
    uint64_t block = 0;
    for (uint64_t i = 0; i <= FANOUT_ASKS_MOST; i++)
        ask(&f, 1, i == 9 ? 100000 : i);
    assert_true(fanout_overflows(&f, &block));
    assert_int_equal(block, 100000);
    assert_int_equal(f.n, 0);
    assert_false(fanout_overflows(&f, &block));
    fanout_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_ask_counts_once),
        cmocka_unit_test(too_many_make_everybody_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
