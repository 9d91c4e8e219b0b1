/* The table "what a write does", row by row. */
#include "contract.h"

#include <string.h>

static const char *changes(struct contract *c)
{
    return app_value(c, "SELECT count(*) FROM trueup_changes");
}

static void event_writes_value_block_and_proof(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 1, 100, 0);
    struct store_old old = write_one(c, 1, 5, 50, EVENT(50), CAUSE_EVENT);
    assert_int_equal(old.outcome, OUTCOME_INSERTED);
    assert_false(old.existed);
    struct store_row row = row_of(c, 1);
    assert_true(row.has_blocknumber && row.blocknumber == 50);
    assert_true(row.has_observed && row.observed_block == 50);
    old = write_one(c, 1, 9, 60, EVENT(55), CAUSE_EVENT);
    assert_int_equal(old.outcome, OUTCOME_CHANGED);
    assert_int_equal(old.balance.limb[0], 5);
    assert_int_equal(old.blocknumber, 50);
    assert_int_equal(old.observed_block, 50);
    row = row_of(c, 1);
    assert_int_equal(row.balance.limb[0], 9);
    assert_int_equal(row.blocknumber, 55);
    assert_int_equal(row.observed_block, 60);
    assert_string_equal(changes(c), "2");
}

static void event_never_lowers_blocknumber(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 1, 100, 0);
    write_one(c, 1, 5, 50, EVENT(50), CAUSE_EVENT);
    write_one(c, 1, 6, 60, EVENT(40), CAUSE_BACKFILL);
    assert_int_equal(row_of(c, 1).blocknumber, 50);
    assert_int_equal(row_of(c, 1).balance.limb[0], 6);
}

static void sweep_keeps_blocknumber(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 1, 100, 0);
    write_one(c, 1, 5, 50, EVENT(50), CAUSE_EVENT);
    write_one(c, 1, 7, 90, SWEEP, CAUSE_SWEEP);
    struct store_row row = row_of(c, 1);
    assert_int_equal(row.blocknumber, 50);
    assert_int_equal(row.observed_block, 90);
    assert_int_equal(row.balance.limb[0], 7);
}

static void first_insert_by_sweep_stores_null(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 1, 100, 0);
    write_one(c, 1, 0, 50, SWEEP, CAUSE_SWEEP);
    assert_false(row_of(c, 1).has_blocknumber);
    assert_string_equal(app_value(c, "SELECT count(*) FROM eth_wallet_balances WHERE blocknumber "
                                     "IS NULL AND balance = '0'"),
                        "1");
    /* and an event after it finds the NULL, which must not swallow its block */
    write_one(c, 1, 0, 60, EVENT(60), CAUSE_EVENT);
    assert_int_equal(row_of(c, 1).blocknumber, 60);
}

static void event_but_observed_later_moves_only_blocknumber(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 1, 100, 0);
    write_one(c, 1, 5, 90, SWEEP, CAUSE_SWEEP);
    struct store_row before = row_of(c, 1);
    struct store_old old = write_one(c, 1, 4, 80, EVENT(80), CAUSE_EVENT);
    assert_int_equal(old.outcome, OUTCOME_OLDER);
    struct store_row row = row_of(c, 1);
    assert_int_equal(row.balance.limb[0], 5);
    assert_int_equal(row.observed_block, 90);
    assert_int_equal(row.updated_us, before.updated_us);
    assert_int_equal(row.blocknumber, 80);
}

static void older_value_changes_nothing(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 1, 100, 0);
    write_one(c, 1, 5, 90, EVENT(90), CAUSE_EVENT);
    struct store_row before = row_of(c, 1);
    const enum store_cause causes[] = {CAUSE_SWEEP, CAUSE_REREAD, CAUSE_AUDIT, CAUSE_REORG};
    for (size_t i = 0; i < 4; i++) {
        struct store_old old = write_one(c, 1, 4, 80, SWEEP, causes[i]);
        assert_int_equal(old.outcome, OUTCOME_OLDER);
        struct store_row row = row_of(c, 1);
        assert_memory_equal(&row, &before, sizeof row);
    }
    assert_string_equal(changes(c), "1");
}

static void same_block_may_be_read_again(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 1, 100, 0);
    write_one(c, 1, 5, 90, EVENT(90), CAUSE_EVENT);
    assert_int_equal(write_one(c, 1, 5, 90, SWEEP, CAUSE_SWEEP).outcome, OUTCOME_REFRESHED);
    assert_int_equal(write_one(c, 1, 6, 90, SWEEP, CAUSE_AUDIT).outcome, OUTCOME_CHANGED);
    assert_int_equal(row_of(c, 1).blocknumber, 90);
}

static void unchanged_refreshes_time_and_proof_only(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 1, 100, 0);
    write_one(c, 1, 5, 50, EVENT(50), CAUSE_EVENT);
    app(c, "UPDATE eth_wallet_balances SET updated_at = '2001-01-01 00:00:00'");
    assert_int_equal(write_one(c, 1, 5, 60, SWEEP, CAUSE_SWEEP).outcome, OUTCOME_REFRESHED);
    struct store_row row = row_of(c, 1);
    assert_true(row.updated_us > INT64_C(1577836800000000)); /* 2020 */
    assert_int_equal(row.observed_block, 60);
    assert_string_equal(changes(c), "1");
}

/* Sweep at the earlier or later block, event first or second: the end must not depend on it. */
static void four_orderings_of_event_and_sweep(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 1, 100, 0);
    write_one(c, 1, 10, 70, EVENT(70), CAUSE_EVENT); /* event first, sweep later block */
    write_one(c, 1, 20, 80, SWEEP, CAUSE_SWEEP);
    write_one(c, 2, 20, 80, SWEEP, CAUSE_SWEEP); /* sweep first, event earlier block */
    write_one(c, 2, 10, 70, EVENT(70), CAUSE_EVENT);
    write_one(c, 3, 10, 80, EVENT(80), CAUSE_EVENT); /* event first, sweep earlier block */
    write_one(c, 3, 20, 70, SWEEP, CAUSE_SWEEP);
    write_one(c, 4, 20, 70, SWEEP, CAUSE_SWEEP); /* sweep first, event later block */
    write_one(c, 4, 10, 80, EVENT(80), CAUSE_EVENT);
    const uint64_t value[] = {20, 20, 10, 10}, block[] = {70, 70, 80, 80};
    for (unsigned i = 0; i < 4; i++) {
        struct store_row row = row_of(c, i + 1);
        assert_int_equal(row.balance.limb[0], value[i]);
        assert_int_equal(row.blocknumber, block[i]);
        assert_int_equal(row.observed_block, 80);
    }
}

static void largest_value_goes_both_ways(void **state)
{
    struct contract *c = *state;
    struct store_applied done;
    put_blocks(c, 1, 2, 0);
    struct store_write w[3] = {{.wallet = wallet_no(1), .insert = INSERT_ALWAYS},
                               {.wallet = wallet_no(2), .insert = INSERT_ALWAYS},
                               {.wallet = wallet_no(3), .insert = INSERT_ALWAYS}};
    memset(&w[0].value, 0xff, sizeof w[0].value);
    u256_from_dec("10000000000000000000000000000", 29, &w[1].value);
    u256_from_dec("99990000000100000001", 20, &w[2].value);
    struct store_batch batch = {
        .balance = &c->balance, .at = block_no(1, 0), .writes = w, .n_writes = 3};
    ok(c, store_apply(c->store, &batch, &c->arena, &done, &c->err));
    assert_string_equal(
        app_value(c, "SELECT balance FROM eth_wallet_balances WHERE wallet = '%s'", wallet_text(1)),
        "115792089237316195423570985008687907853269984665640564039457584007913129639935");
    assert_string_equal(
        app_value(c, "SELECT balance FROM eth_wallet_balances WHERE wallet = '%s'", wallet_text(2)),
        "10000000000000000000000000000");
    assert_string_equal(
        app_value(c, "SELECT balance FROM eth_wallet_balances WHERE wallet = '%s'", wallet_text(3)),
        "99990000000100000001");
    for (unsigned i = 0; i < 3; i++) {
        struct store_row row = row_of(c, i + 1);
        assert_true(u256_equal(&row.balance, &w[i].value));
    }
    batch.at = block_no(2, 0);
    ok(c, store_apply(c->store, &batch, &c->arena, &done, &c->err));
    assert_int_equal(done.refreshed, 3);
}

static void anchor_gone_writes_nothing(void **state)
{
    struct contract *c = *state;
    struct store_applied done;
    put_blocks(c, 1, 50, 0);
    struct store_write w = EVENT(50);
    struct store_failure f = {.wallet = wallet_no(2), .reason = "held: reverted"};
    struct store_dirty d = {.wallet = wallet_no(3), .number = 50};
    w.wallet = wallet_no(1);
    struct store_batch batch = {.balance = &c->balance,
                                .writes = &w,
                                .n_writes = 1,
                                .failures = &f,
                                .n_failures = 1,
                                .dirty = &d,
                                .n_dirty = 1,
                                .has_checkpoint = true,
                                .checkpoint = 50};
    struct anchor unknown = block_no(51, 0), other_hash = block_no(50, 1);
    const struct anchor *gone_ones[] = {&unknown, &other_hash};
    for (size_t i = 0; i < 2; i++) {
        batch.at = *gone_ones[i];
        ok(c, store_apply(c->store, &batch, &c->arena, &done, &c->err));
        assert_true(done.anchor_gone);
        assert_null(done.olds);
    }
    uint64_t rows;
    ok(c, store_rewind(c->store, &c->balance, 1, 50, &rows, &c->err)); /* not canonical */
    batch.at = block_no(50, 0);
    ok(c, store_apply(c->store, &batch, &c->arena, &done, &c->err));
    assert_true(done.anchor_gone);
    assert_false(has_row(c, 1));
    assert_string_equal(app_value(c, "SELECT (SELECT count(*) FROM trueup_quarantine) + (SELECT "
                                     "count(*) FROM trueup_dirty) + (SELECT count(*) FROM "
                                     "eth_indexer_checkpoints)"),
                        "0");
    bool checkpoint_gone = false;
    ok(c, store_checkpoint_advance(c->store, &c->balance, &unknown, &checkpoint_gone, &c->err));
    assert_true(checkpoint_gone);
}

/* A sweep's read at an older block may fail after an event's read at the head was written. */
static void failure_below_the_row_is_no_failure(void **state)
{
    struct contract *c = *state;
    struct store_applied done;
    put_blocks(c, 1, 50, 0);
    write_one(c, 1, 7, 40, EVENT(40), CAUSE_EVENT);
    struct store_failure f = {.wallet = wallet_no(1), .reason = "held: overflows"};
    struct store_batch batch = {.balance = &c->balance,
                                .cause = CAUSE_SWEEP,
                                .at = block_no(39, 0),
                                .failures = &f,
                                .n_failures = 1};
    ok(c, store_apply(c->store, &batch, &c->arena, &done, &c->err));
    assert_string_equal(app_value(c, "SELECT count(*) FROM trueup_quarantine"), "0");
    batch.at = block_no(40, 0);
    ok(c, store_apply(c->store, &batch, &c->arena, &done, &c->err));
    assert_string_equal(app_value(c, "SELECT count(*) FROM trueup_quarantine"), "1");
}

static void unsorted_or_repeated_wallets_are_refused(void **state)
{
    struct contract *c = *state;
    struct store_applied done;
    put_blocks(c, 1, 50, 0);
    struct store_write w[2] = {SWEEP, SWEEP};
    struct store_batch batch = {
        .balance = &c->balance, .at = block_no(50, 0), .writes = w, .n_writes = 2};
    w[0].wallet = w[1].wallet = wallet_no(1);
    assert_int_equal(store_apply(c->store, &batch, &c->arena, &done, &c->err), -1);
    assert_int_equal(c->err.kind, ERR_FAILED);
    w[0].wallet = wallet_no(2);
    assert_int_equal(store_apply(c->store, &batch, &c->arena, &done, &c->err), -1);
    struct store_failure f = {.wallet = wallet_no(2), .reason = "x"};
    batch.n_writes = 1;
    batch.failures = &f;
    batch.n_failures = 1;
    assert_int_equal(store_apply(c->store, &batch, &c->arena, &done, &c->err), -1);
    w[0] = EVENT(51); /* read at 50: it has not seen that event */
    batch.n_failures = 0;
    assert_int_equal(store_apply(c->store, &batch, &c->arena, &done, &c->err), -1);
    assert_false(has_row(c, 1));
}

static void checkpoint_is_never_lowered(void **state)
{
    struct contract *c = *state;
    uint64_t at = 0;
    bool found = true, anchor_gone = true;
    put_blocks(c, 1, 100, 0);
    ok(c, store_checkpoint_get(c->store, &c->balance, &at, &found, &c->err));
    assert_false(found);
    struct anchor high = block_no(90, 0), low = block_no(80, 0);
    ok(c, store_checkpoint_advance(c->store, &c->balance, &high, &anchor_gone, &c->err));
    assert_false(anchor_gone);
    ok(c, store_checkpoint_advance(c->store, &c->balance, &low, &anchor_gone, &c->err));
    ok(c, store_checkpoint_get(c->store, &c->balance, &at, &found, &c->err));
    assert_true(found);
    assert_int_equal(at, 90);
}

static void insert_asks_for_permission(void **state)
{
    struct contract *c = *state;
    size_t n;
    put_blocks(c, 1, 100, 0);
    struct store_write never = {.insert = INSERT_NEVER}, listed = {.insert = INSERT_IF_LISTED};
    assert_int_equal(write_one(c, 1, 5, 50, never, CAUSE_SWEEP).outcome, OUTCOME_ABSENT);
    assert_int_equal(write_one(c, 1, 5, 50, listed, CAUSE_SWEEP).outcome, OUTCOME_ABSENT);
    assert_false(has_row(c, 1));
    address w = wallet_no(1);
    ok(c, store_wallets_add(c->store, &c->balance, &w, 1, &n, &c->err));
    assert_int_equal(n, 1);
    assert_false(has_row(c, 1)); /* no row starts with a guess */
    assert_int_equal(write_one(c, 1, 5, 50, listed, CAUSE_SWEEP).outcome, OUTCOME_INSERTED);
    ok(c, store_wallets_remove(c->store, &c->balance, &w, 1, &n, &c->err));
    assert_int_equal(n, 1);
    assert_false(has_row(c, 1));
    /* a write already planned */
    assert_int_equal(write_one(c, 1, 6, 60, listed, CAUSE_SWEEP).outcome, OUTCOME_ABSENT);
    assert_int_equal(write_one(c, 1, 6, 60, never, CAUSE_SWEEP).outcome, OUTCOME_ABSENT);
    assert_false(has_row(c, 1));
}

static void large_batch_with_all_outcomes(void **state)
{
    struct contract *c = *state;
    enum { N = 3000 };
    struct store_write *w = arena_zero(&c->arena, N, sizeof *w);
    struct store_applied done;
    put_blocks(c, 1, 100, 0);
    for (unsigned i = 0; i < N; i++)
        w[i] = (struct store_write){.wallet = wallet_no(i),
                                    .value = u256_of(i),
                                    .insert = INSERT_ALWAYS,
                                    .has_event = i % 2 == 0,
                                    .event_block = i % 2 == 0 ? 10 : 0};
    struct store_batch batch = {
        .balance = &c->balance, .at = block_no(50, 0), .writes = w, .n_writes = N};
    ok(c, store_apply(c->store, &batch, &c->arena, &done, &c->err));
    assert_int_equal(done.inserted, N);
    for (unsigned i = 0; i < N; i++) { /* a third changes, half moves blocknumber */
        w[i].value = u256_of(i % 3 == 0 ? i + 1 : i);
        w[i].event_block = i % 2 == 0 ? 20 : 0;
    }
    batch.at = block_no(60, 0);
    ok(c, store_apply(c->store, &batch, &c->arena, &done, &c->err));
    assert_int_equal(done.changed, 1000);
    assert_int_equal(done.refreshed, 2000);
    for (unsigned i = 0; i < N; i += 7) {
        struct store_row row = row_of(c, i);
        assert_int_equal(row.balance.limb[0], i % 3 == 0 ? i + 1 : i);
        assert_int_equal(row.observed_block, 60);
        assert_int_equal(row.has_blocknumber, i % 2 == 0);
        assert_int_equal(row.blocknumber, i % 2 == 0 ? 20 : 0);
        assert_int_equal(done.olds[i].balance.limb[0], i);
        assert_int_equal(done.olds[i].observed_block, 50);
        assert_int_equal(done.olds[i].outcome, i % 3 == 0 ? OUTCOME_CHANGED : OUTCOME_REFRESHED);
    }
}

int main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fresh, gone)
    const struct CMUnitTest tests[] = {
        T(event_writes_value_block_and_proof),
        T(event_never_lowers_blocknumber),
        T(sweep_keeps_blocknumber),
        T(first_insert_by_sweep_stores_null),
        T(event_but_observed_later_moves_only_blocknumber),
        T(older_value_changes_nothing),
        T(same_block_may_be_read_again),
        T(unchanged_refreshes_time_and_proof_only),
        T(four_orderings_of_event_and_sweep),
        T(largest_value_goes_both_ways),
        T(anchor_gone_writes_nothing),
        T(failure_below_the_row_is_no_failure),
        T(unsorted_or_repeated_wallets_are_refused),
        T(checkpoint_is_never_lowered),
        T(insert_asks_for_permission),
        T(large_batch_with_all_outcomes),
    };
    return contract_main(argc, argv, "write", tests, sizeof tests / sizeof tests[0]);
}
