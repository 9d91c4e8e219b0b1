/* Where a sweep reads: max(finalized, head − 64), never above synced, not below the store's first
 * block. */
#include "track/sync/chain.c"
#include "vectors.h"

static void the_block_of_a_sweep(void **state)
{
    (void)state;
    static const struct {
        uint64_t head, finalized, synced, first, at;
        const char *why;
    } rows[] = {
        {1000, 900, 1000, 0, 936, "finalized is further back than 64: a full node may not have it"},
        {1000, 936, 1000, 0, 936, "both the same"},
        {1000, 990, 1000, 0, 990, "finalized is nearer"},
        {1000, 1000, 1000, 0, 1000, "finalized is the head"},
        {1000, 990, 950, 0, 950, "never above synced"},
        {1000, 0, 1000, 0, 936, "no finalized block"},
        {1000, 0, 100, 0, 100, "catching up from far back"},
        {1000, 0, 0, 0, 0, "nothing synced"},
        {64, 0, 64, 0, 0, "the beginning of a chain"},
        {65, 0, 65, 0, 1, "the beginning of a chain"},
        {3, 1, 3, 0, 1, "the beginning of a chain"},
        {0, 0, 0, 0, 0, "the genesis block"},
        {1000, 900, 1000, 1000, 1000, "a store that begins here has no older header"},
        {1010, 900, 1005, 1000, 1000, "a store that began ten blocks ago"},
        {1010, 1006, 1005, 1000, 1005, "synced binds more than the rest"},
        {1010, 900, 990, 1000, 990, "--from: synced is still below the first block"},
        {UINT64_MAX, 5, UINT64_MAX, 0, UINT64_MAX - 64, "no overflow"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t at =
            chain_sweep_block(rows[i].head, rows[i].finalized, rows[i].synced, rows[i].first);
        if (at != rows[i].at)
            fail_msg("row %zu (%s): %llu, expected %llu", i, rows[i].why, (unsigned long long)at,
                     (unsigned long long)rows[i].at);
    }
}

static void near_headers_by_number(void **state)
{
    (void)state;
    static struct chain c;
    assert_null(chain_near(&c, 0));
    for (unsigned i = 0; i <= CHAIN_NEAR; i++)
        c.near[c.n_near++].at.number = 100 + i;
    assert_null(chain_near(&c, 99));
    assert_int_equal(chain_near(&c, 100)->at.number, 100);
    assert_int_equal(chain_near(&c, 100 + CHAIN_NEAR)->at.number, 100 + CHAIN_NEAR);
    assert_null(chain_near(&c, 101 + CHAIN_NEAR));
}

/* Twenty seconds for one that lags; ten minutes for one that came back below what is finalized; and
 * anew for as long as it rises. */
static void how_long_a_node_is_waited_for(void **state)
{
    (void)state;
    static const struct {
        uint64_t head;
        int64_t at_ms;
        bool waits;
        const char *why;
    } rows[] = {
        {100, 1000, true, "lags, first seen"},
        {100, 20999, true, "not yet twenty seconds"},
        {100, 21000, false, "it has not lagged: it was cut"},
        {101, 21001, true, "it rises"},
        {99, 41000, true, "falls back, as if two took turns"},
        {101, 41001, false, "that it rose again to where it was does not count"},
        {50, 41002, true, "below finalized"},
        {50, 41002 + 599000, true, "not yet ten minutes"},
        {50, 41002 + 600000, false, "nobody comes to its help: another chain"},
    };
    static struct chain c = {.finalized_known = true, .finalized = {.number = 60}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (i == 6)
            c.behind_since_ms = 0; /* caught up in between */
        if (chain_may_wait(&c, rows[i].head, rows[i].at_ms) != rows[i].waits)
            fail_msg("row %zu: %s", i, rows[i].why);
    }
    assert_true(chain_is_low(&c, 59) && !chain_is_low(&c, 60));
    c.finalized_known = false;
    assert_false(chain_is_low(&c, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_block_of_a_sweep),
        cmocka_unit_test(near_headers_by_number),
        cmocka_unit_test(how_long_a_node_is_waited_for),
    };
    return cmocka_run_group_tests_name("chain", tests, NULL, NULL);
}
