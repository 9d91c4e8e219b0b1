/* Where a sweep reads: max(finalized, head − 64), never above synced, not below the store's first
 * block. */
#include "track/sync/positions.h"
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
            positions_sweep_block(rows[i].head, rows[i].finalized, rows[i].synced, rows[i].first);
        if (at != rows[i].at)
            fail_msg("row %zu (%s): %llu, expected %llu", i, rows[i].why, (unsigned long long)at,
                     (unsigned long long)rows[i].at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_block_of_a_sweep),
    };
    return cmocka_run_group_tests_name("positions", tests, NULL, NULL);
}
