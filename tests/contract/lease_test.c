/* The lease and the fences: one writer at a time, and none that knows more than the database. */
#include "contract.h"

#include "base/clock.h"
#include "store/lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct lease_view seen(struct contract *c)
{
    struct lease_view v;
    ok(c, lease_read(c->store, &c->arena, &v, &c->err));
    return v;
}

static struct lease_owner take(struct contract *c, struct store *s)
{
    struct lease_view v = seen(c);
    struct lease_owner o;
    bool taken = false;
    ok(c, lease_take(s, &v, "audio=1", &o, &taken, &c->err));
    assert_true(taken);
    return o;
}

static bool enter(struct contract *c, struct store *s, const struct lease_owner *o, bool *ret_back)
{
    bool entered = false;
    ok(c, fence_enter(s, FENCE_FOLLOW, o, &entered, ret_back, &c->err));
    return entered;
}

static struct lease_owner own(struct contract *c, struct store *s)
{
    struct lease_owner o = take(c, s);
    bool back = true;
    assert_true(enter(c, s, &o, &back));
    assert_false(back);
    return o;
}

static int try_write(struct contract *c, struct store *s)
{
    struct store_write w = {.wallet = wallet_no(1), .value = u256_of(7), .insert = INSERT_ALWAYS};
    struct store_applied done;
    struct store_batch batch = {.balance = &c->balance,
                                .cause = CAUSE_SWEEP,
                                .at = block_no(5, 0),
                                .writes = &w,
                                .n_writes = 1,
                                .has_checkpoint = true,
                                .checkpoint = 5};
    return store_apply(s, &batch, &c->arena, &done, &c->err);
}

/* Each kind of write fails, and nothing of it is there. */
static void assert_fenced(struct contract *c, struct store *s)
{
    struct anchor block = block_no(77, 0);
    uint64_t rows;
    const address wallet = wallet_no(3);
    size_t added;
#define FENCED(call)                                                                               \
    do {                                                                                           \
        assert_int_equal(call, -1);                                                                \
        assert_int_equal(c->err.kind, ERR_FENCED);                                                 \
    } while (0)
    FENCED(try_write(c, s));
    FENCED(store_state_set(s, "a", "b", &c->err));
    FENCED(store_headers_put(s, &block, 1, &c->err));
    FENCED(store_rewind(s, &c->balance, 1, 1, &rows, &c->err));
    FENCED(store_wallets_add(s, &c->balance, &wallet, 1, &added, &c->err));
    FENCED(store_dirty_drop(s, &c->balance, 10, &c->err));
#undef FENCED
    assert_false(has_row(c, 1));
    assert_string_equal(app_value(c, "SELECT count(*) FROM eth_indexer_checkpoints"), "0");
    assert_string_equal(app_value(c, "SELECT count(*) FROM trueup_blocks WHERE number = 77"), "0");
    assert_string_equal(app_value(c, "SELECT count(*) FROM trueup_state WHERE key = 'a'"), "0");
    assert_string_equal(app_value(c, "SELECT count(*) FROM trueup_wallets"), "0");
}

static void owner_writes(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 1, 10, 0);
    own(c, c->store);
    ok(c, try_write(c, c->store));
    ok(c, store_state_set(c->store, "a", "b", &c->err));
    put_blocks(c, 11, 12, 0);
    assert_true(has_row(c, 1));
    assert_string_equal(app_value(c, "SELECT seq FROM trueup_fence WHERE role = 'follow'"), "3");
}

static void next_taking_fences_the_last_owner(void **state)
{
    struct contract *c = *state;
    struct store *old = another(c, "trueup old");
    put_blocks(c, 1, 10, 0);
    struct lease_owner first = own(c, old);
    char epoch[32];
    snprintf(epoch, sizeof epoch, "%.31s",
             app_value(c, "SELECT value FROM trueup_state WHERE key = 'epoch'"));
    struct lease_owner second = take(c, c->store);
    bool back, held = true;
    assert_string_not_equal(app_value(c, "SELECT value FROM trueup_state WHERE key = 'epoch'"),
                            epoch);
    assert_int_equal(second.generation, first.generation + 1);
    assert_string_not_equal(second.holder, first.holder);
    assert_fenced(c, old);
    ok(c, lease_beat(c->store, &first, "", &held, &c->err));
    assert_false(held);
    assert_false(enter(c, old, &first, &back));
    assert_fenced(c, old);
    assert_true(enter(c, c->store, &second, &back));
    ok(c, try_write(c, c->store));
    store_close(old);
}

/* A restored copy may know the same generation, drawn by another daemon. */
static void generation_alone_is_no_owner(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 1, 10, 0);
    own(c, c->store);
    app(c, "UPDATE trueup_fence SET holder = '00000000000000000000000000000000'");
    assert_fenced(c, c->store);
}

static void released_lease_fences_its_owner(void **state)
{
    struct contract *c = *state;
    struct store *old = another(c, "trueup old");
    put_blocks(c, 1, 10, 0);
    struct lease_owner o = own(c, old);
    ok(c, lease_release(c->store, &o, &c->err));
    assert_string_equal(seen(c).owner.holder, "");
    assert_fenced(c, old);
    store_close(old);
}

static void older_database_fences_its_owner(void **state)
{
    struct contract *c = *state;
    bool back = false;
    put_blocks(c, 1, 10, 0);
    struct lease_owner o = own(c, c->store);
    for (int i = 0; i < 3; i++)
        ok(c, store_state_set(c->store, "b", "c", &c->err));
    app(c, "UPDATE trueup_fence SET seq = seq - 1 WHERE role = 'follow'");
    assert_fenced(c, c->store);
    assert_true(enter(c, c->store, &o, &back));
    assert_true(back);
    assert_int_equal(strlen(app_value(c, "SELECT value FROM trueup_state WHERE key = 'epoch'")),
                     16);
    ok(c, try_write(c, c->store));
    assert_true(enter(c, c->store, &o, &back));
    assert_false(back);
}

/* What was committed without an answer is known after the fence was entered anew. */
static void sequence_ahead_is_learnt(void **state)
{
    struct contract *c = *state;
    bool back = true;
    put_blocks(c, 1, 10, 0);
    struct lease_owner o = own(c, c->store);
    app(c, "UPDATE trueup_fence SET seq = seq + 1 WHERE role = 'follow'");
    assert_fenced(c, c->store);
    assert_true(enter(c, c->store, &o, &back));
    assert_false(back);
    ok(c, try_write(c, c->store));
}

static void lease_that_moved_is_not_taken(void **state)
{
    struct contract *c = *state;
    struct store *other = another(c, "trueup other");
    struct lease_owner o = own(c, other), mine;
    struct lease_view v = seen(c);
    bool held = false, taken = true;
    ok(c, lease_beat(other, &o, "facts", &held, &c->err));
    assert_true(held);
    ok(c, lease_take(c->store, &v, "", &mine, &taken, &c->err));
    assert_false(taken);
    assert_string_equal(seen(c).owner.holder, o.holder);
    assert_string_equal(seen(c).facts, "facts");
    put_blocks(c, 1, 10, 0);
    ok(c, try_write(c, other));
    store_close(other);
}

static void upgrade_fences_the_daemon(void **state)
{
    struct contract *c = *state;
    struct store *other = another(c, "trueup other");
    put_blocks(c, 1, 10, 0);
    own(c, other);
    app(c, "UPDATE trueup_state SET value = '3' WHERE key = 'schema'");
    app(c, "DROP TABLE trueup_lease");
    app(c, "DROP TABLE trueup_fence");
    app(c, "ALTER TABLE trueup_blocks RENAME COLUMN on_chain TO canonical");
    ok(c, store_upgrade(c->store, &c->err));
    assert_fenced(c, other);
    store_close(other);
}

/* A writer that is stopped inside a transaction keeps its locks: its session is ended. */
static void open_transaction_is_no_obstacle(void **state)
{
    struct contract *c = *state;
    own(c, c->store);
    void *stopped = app_hold(c, "BEGIN; UPDATE trueup_fence SET seq = seq + 1");
    struct lease_owner o = take(c, c->store);
    assert_int_equal(o.generation, seen(c).owner.generation);
    app_release(stopped);
}

static int migrate_with_other_terms(struct contract *c)
{
    static const char seq[] = "SELECT seq FROM trueup_fence WHERE role = 'follow'";
    int before = atoi(app_value(c, seq));
    struct store_adopted adopted;
    c->balance.terms_print.b[0]++;
    ok(c, store_migrate(c->store, &c->balance, 1, &adopted, &c->err));
    return atoi(app_value(c, seq)) - before;
}

/* Rows lose their anchors behind the fence: the daemon may have been stopped since its taking. */
static void other_terms_are_written_behind_the_fence(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 1, 10, 0);
    own(c, c->store);
    ok(c, try_write(c, c->store));
    int with = migrate_with_other_terms(c), without = migrate_with_other_terms(c);
    assert_int_equal(with, without + 1);
}

/* ---- compare and set ------------------------------------------------------------------------- */

/* A row that is never as it was read: its own writes go on, without it, and whatever vouches for it
 * waits. */
static void missed_row_holds_the_checkpoint(void **state)
{
    struct contract *c = *state;
    struct store_write w[2] = {EVENT(20), EVENT(20)};
    struct store_applied done;
    struct store_batch batch = {.balance = &c->balance,
                                .cause = CAUSE_EVENT,
                                .at = block_no(20, 0),
                                .writes = w,
                                .n_writes = 2,
                                .has_checkpoint = true,
                                .checkpoint = 20};
    put_blocks(c, 1, 30, 0);
    for (unsigned i = 0; i < 2; i++) {
        w[i].wallet = wallet_no(i + 1);
        w[i].value = u256_of(70 + i);
        write_one(c, i + 1, 5, 10, EVENT(10), CAUSE_EVENT);
    }
    app(c,
        "CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER other BEFORE UPDATE ON eth_wallet_balances FOR EACH ROW WHEN (OLD.wallet = "
        "'%s') EXECUTE FUNCTION other()",
        wallet_text(2));
    assert_int_equal(store_apply(c->store, &batch, &c->arena, &done, &c->err), -1);
    assert_int_equal(c->err.kind, ERR_STORE_LOST);
    assert_int_equal(row_of(c, 1).balance.limb[0], 70);
    assert_int_equal(row_of(c, 2).balance.limb[0], 5);
    assert_string_equal(app_value(c, "SELECT count(*) FROM eth_indexer_checkpoints"), "0");
    assert_string_equal(app_value(c, "SELECT count(*) FROM trueup_changes"), "3");
    batch.cause = CAUSE_SWEEP;
    batch.has_checkpoint = false;
    ok(c, store_apply(c->store, &batch, &c->arena, &done, &c->err));
    assert_int_equal(done.refreshed, 1);
    assert_int_equal(done.missed, 1);
    assert_int_equal(done.olds[1].outcome, OUTCOME_MISSED);
    app(c, "DROP FUNCTION other CASCADE");
    batch.has_checkpoint = true;
    ok(c, store_apply(c->store, &batch, &c->arena, &done, &c->err));
    assert_int_equal(row_of(c, 2).balance.limb[0], 71);
    assert_string_equal(app_value(c, "SELECT last_block FROM eth_indexer_checkpoints"), "20");
}

/* ---- a command's ----------------------------------------------------------------------------- */

static struct lease_view job_seen(struct contract *c)
{
    struct lease_view v;
    ok(c, fence_job_read(c->store, &c->arena, &v, &c->err));
    return v;
}

static struct lease_owner job_take(struct contract *c, const struct lease_view *v, bool expected)
{
    struct lease_owner o;
    bool taken = false;
    ok(c, fence_job_take(c->store, v, "sweep, process 1 on x", &o, &taken, &c->err));
    assert_int_equal(taken, expected);
    return o;
}

static void job_is_one_at_a_time(void **state)
{
    struct contract *c = *state;
    struct store *thread = another(c, "trueup 1");
    struct lease_view v = job_seen(c);
    bool entered = false, back, held = true;
    put_blocks(c, 1, 10, 0);
    struct lease_owner first = job_take(c, &v, true);
    assert_string_equal(job_seen(c).facts, "sweep, process 1 on x");
    job_take(c, &v, false);
    ok(c, fence_enter(c->store, FENCE_JOB, &first, &entered, &back, &c->err));
    assert_true(entered);
    ok(c, fence_enter(thread, FENCE_JOB3, &first, &entered, &back, &c->err));
    assert_true(entered);
    ok(c, try_write(c, c->store));
    ok(c, fence_job_beat(thread, &first, "x", &held, &c->err));
    assert_true(held);
    store_close(c->store);
    c->store = another(c, "trueup 2");
    v = job_seen(c);
    job_take(c, &v, true);
    app(c, "DELETE FROM eth_wallet_balances");
    app(c, "DELETE FROM eth_indexer_checkpoints");
    assert_fenced(c, thread);
    store_close(thread);
}

/* With the settings it began with it goes on under a new daemon, with others it does not. */
static void job_ends_with_its_settings(void **state)
{
    struct contract *c = *state;
    struct lease_view v = job_seen(c);
    struct store *daemon = another(c, "trueup follow");
    bool entered = false, back, taken;
    put_blocks(c, 1, 10, 0);
    take(c, daemon);
    struct lease_owner o = job_take(c, &v, true), mine;
    ok(c, fence_enter(c->store, FENCE_JOB, &o, &entered, &back, &c->err));
    assert_true(entered);
    take(c, daemon);
    ok(c, store_state_set(c->store, "x", "y", &c->err));
    v = seen(c);
    ok(c, lease_take(daemon, &v, "audio=2", &mine, &taken, &c->err));
    assert_true(taken);
    assert_fenced(c, c->store);
    store_close(daemon);
}

/* A reader's limits are longer: its client has a deadline of its own. */
static void a_writer_waits_two_seconds_for_a_lock(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 1, 10, 0);
    own(c, c->store);
    ok(c, try_write(c, c->store));
    void *held = app_hold(c, "BEGIN; LOCK TABLE eth_wallet_balances IN SHARE MODE");
    int64_t began = clock_ms();
    assert_int_equal(try_write(c, c->store), -1);
    int64_t took = clock_ms() - began;
    assert_int_equal(c->err.kind, ERR_STORE_LOST);
    assert_non_null(strstr(c->err.text, "lock timeout"));
    assert_in_range(took, 1900, 8000);
    app_release(held);
    ok(c, try_write(c, c->store));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(owner_writes, fresh, gone),
        cmocka_unit_test_setup_teardown(next_taking_fences_the_last_owner, fresh, gone),
        cmocka_unit_test_setup_teardown(generation_alone_is_no_owner, fresh, gone),
        cmocka_unit_test_setup_teardown(released_lease_fences_its_owner, fresh, gone),
        cmocka_unit_test_setup_teardown(older_database_fences_its_owner, fresh, gone),
        cmocka_unit_test_setup_teardown(sequence_ahead_is_learnt, fresh, gone),
        cmocka_unit_test_setup_teardown(lease_that_moved_is_not_taken, fresh, gone),
        cmocka_unit_test_setup_teardown(upgrade_fences_the_daemon, fresh, gone),
        cmocka_unit_test_setup_teardown(job_is_one_at_a_time, fresh, gone),
        cmocka_unit_test_setup_teardown(job_ends_with_its_settings, fresh, gone),
        /* SQLite has no session to end, no row that changes between its read and its write, one
         * lock, and migrates in one transaction. */
        cmocka_unit_test_setup_teardown(other_terms_are_written_behind_the_fence, fresh, gone),
        cmocka_unit_test_setup_teardown(open_transaction_is_no_obstacle, fresh, gone),
        cmocka_unit_test_setup_teardown(missed_row_holds_the_checkpoint, fresh, gone),
        cmocka_unit_test_setup_teardown(a_writer_waits_two_seconds_for_a_lock, fresh, gone),
    };
    size_t n = sizeof tests / sizeof *tests;
    bool postgres = argc > 1 && strcmp(argv[1], "postgres") == 0;
    return contract_main(argc, argv, "lease", tests, postgres ? n : n - 4);
}
