/* Opening, creating, upgrading, refusing: what both databases promise alike. */
#include "contract.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct store_adopted migrate(struct contract *c)
{
    struct store_adopted adopted = {0};
    ok(c, store_migrate(c->store, &c->balance, 1, &adopted, &c->err));
    return adopted;
}

static void migrate_is_idempotent(void **state)
{
    struct contract *c = *state;
    assert_int_equal(store_check(c->store, &c->balance, 1, &c->err), -1);
    assert_int_equal(c->err.kind, ERR_STORE);
    assert_non_null(strstr(c->err.hint, "trueup migrate"));
    struct store_adopted first = migrate(c);
    assert_true(first.created && first.added_index + !on_postgres);
    assert_false(first.index_missing || first.terms_changed || first.rules_changed);
    ok(c, store_check(c->store, &c->balance, 1, &c->err));
    put_blocks(c, 1, 100, 0);
    write_one(c, 1, 5, 50, EVENT(50), CAUSE_EVENT);
    struct store_adopted second = migrate(c);
    assert_false(second.created || second.added_column || second.terms_changed);
    assert_int_equal(second.foreign_rows, 0);
    assert_true(row_of(c, 1).has_observed);
}

static void a_newer_schema_is_refused(void **state)
{
    struct contract *c = *state;
    struct store_adopted adopted;
    app(c, "UPDATE trueup_state SET value = '99' WHERE key = 'schema'");
    assert_int_equal(store_migrate(c->store, &c->balance, 1, &adopted, &c->err), -1);
    assert_int_equal(c->err.kind, ERR_STORE);
    assert_non_null(strstr(c->err.text, "newer"));
    assert_int_equal(store_check(c->store, &c->balance, 1, &c->err), -1);
}

static void changed_terms_make_all_unanchored(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 1, 100, 0);
    for (unsigned i = 0; i < 5; i++)
        write_one(c, i, 5, 50, EVENT(50), CAUSE_EVENT);
    c->balance.rules_print.b[0]++;
    struct store_adopted adopted = migrate(c);
    assert_true(adopted.rules_changed && !adopted.terms_changed);
    assert_true(row_of(c, 1).has_observed);
    c->balance.terms_print.b[0]++;
    adopted = migrate(c);
    assert_true(adopted.terms_changed && !adopted.rules_changed);
    for (unsigned i = 0; i < 5; i++) {
        assert_false(row_of(c, i).has_observed);
        assert_int_equal(row_of(c, i).balance.limb[0], 5);
        assert_int_equal(row_of(c, i).blocknumber, 50);
    }
    assert_false(migrate(c).terms_changed);
}

static void rows_of_another_writer_become_unanchored(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 1, 100, 0);
    write_one(c, 1, 5, 50, EVENT(50), CAUSE_EVENT);
    write_one(c, 2, 5, 50, EVENT(50), CAUSE_EVENT);
    app(c,
        "UPDATE eth_wallet_balances SET balance = '77', updated_at = '2999-01-01 00:00:00' WHERE "
        "wallet = '%s'",
        wallet_text(2));
    assert_int_equal(migrate(c).foreign_rows, 1);
    assert_true(row_of(c, 1).has_observed);
    assert_false(row_of(c, 2).has_observed);
    assert_int_equal(migrate(c).foreign_rows, 0);
}

static void a_checkpoint_moved_by_another_is_told(void **state)
{
    struct contract *c = *state;
    bool anchor_gone;
    put_blocks(c, 1, 100, 0);
    struct anchor at = block_no(50, 0);
    ok(c, store_checkpoint_advance(c->store, &c->balance, &at, &anchor_gone, &c->err));
    assert_false(migrate(c).foreign_checkpoint);
    app(c, "UPDATE eth_indexer_checkpoints SET last_block = 70 WHERE name = 'audio_transfers'");
    assert_true(migrate(c).foreign_checkpoint);
    uint64_t last;
    bool found;
    ok(c, store_checkpoint_get(c->store, &c->balance, &last, &found, &c->err));
    assert_int_equal(last, 70); /* never lowered */
}

static void reset_forgets_the_chain_and_keeps_the_rows(void **state)
{
    struct contract *c = *state;
    bool found;
    uint64_t last;
    struct anchor at;
    const char *text;
    size_t n;
    address w = wallet_no(9);
    put_blocks(c, 1, 100, 0);
    write_one(c, 1, 5, 50, EVENT(50), CAUSE_EVENT);
    at = block_no(50, 0);
    bool anchor_gone;
    ok(c, store_checkpoint_advance(c->store, &c->balance, &at, &anchor_gone, &c->err));
    ok(c, store_wallets_add(c->store, &c->balance, &w, 1, &n, &c->err));
    ok(c, store_state_set(c->store, "chain.id", "1", &c->err));
    ok(c, store_reset_chain(c->store, &c->balance, 1, &c->err));
    ok(c, store_header_at(c->store, 50, &at, &found, &c->err));
    assert_false(found);
    ok(c, store_checkpoint_get(c->store, &c->balance, &last, &found, &c->err));
    assert_false(found);
    ok(c, store_state_get(c->store, "chain.id", &c->arena, &text, &c->err));
    assert_null(text);
    assert_int_equal(row_of(c, 1).balance.limb[0], 5);
    assert_false(row_of(c, 1).has_observed);
    assert_string_equal(app_value(c, "SELECT count(*) FROM trueup_wallets"), "1");
    ok(c, store_check(c->store, &c->balance, 1, &c->err));
    migrate(c);
}

static void two_balances_do_not_touch_each_other(void **state)
{
    struct contract *c = *state;
    struct store_adopted adopted;
    struct store_balance both[2] = {c->balance, c->balance};
    size_t n;
    both[1].name = "other";
    both[1].table = on_postgres ? "public.Other Balances" : "Other \"Balances\"";
    both[1].checkpoint = "other";
    ok(c, store_migrate(c->store, both, 2, &adopted, &c->err));
    put_blocks(c, 1, 100, 0);
    write_one(c, 1, 5, 50, EVENT(50), CAUSE_EVENT);
    struct store_balance audio = c->balance;
    c->balance = both[1];
    assert_false(has_row(c, 1));
    write_one(c, 1, 8, 60, EVENT(60), CAUSE_EVENT);
    address w = wallet_no(1);
    ok(c, store_wallets_remove(c->store, &c->balance, &w, 1, &n, &c->err));
    c->balance = audio;
    assert_int_equal(row_of(c, 1).balance.limb[0], 5);
    ok(c, store_migrate(c->store, both, 2, &adopted, &c->err));
    ok(c, store_check(c->store, both, 2, &c->err));
}

static void errors_carry_no_password(void **state)
{
    struct contract *c = *state;
    struct store *s = NULL;
    struct err err;
    const char *const urls[] = {
        "postgres://trueup:s3cr3tword@127.0.0.1:1/app",
        "postgresql://trueup:s3cr3tword@no-such-host.invalid/app",
        "host=127.0.0.1 port=1 user=trueup password=s3cr3tword dbname=app",
        "mysql://trueup:s3cr3tword@127.0.0.1/app",
        "postgres://trueup:s3cr3tword@127.0.0.1:notaport/app",
    };
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        assert_int_equal(store_open(urls[i], NULL, "trueup", &s, &err), -1);
        assert_true(err.kind == ERR_STORE || err.kind == ERR_STORE_LOST);
        assert_null(strstr(err.text, "s3cr3tword"));
        assert_null(strstr(err.hint, "s3cr3tword"));
    }
    assert_null(s);
    (void)c;
}

static void reopen_goes_on(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 1, 10, 0);
    write_one(c, 1, 5, 5, EVENT(5), CAUSE_EVENT);
    if (on_postgres) {
        /* of this test alone: others run beside it in the same cluster */
        app(c, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
               "'trueup test' AND datname = current_database()");
        struct store_row row;
        address w = wallet_no(1);
        assert_int_equal(store_rows(c->store, &c->balance, &w, 1, &row, &c->err), -1);
        assert_int_equal(c->err.kind, ERR_STORE_LOST);
    }
    ok(c, store_reopen(c->store, &c->err));
    assert_int_equal(write_one(c, 1, 5, 6, SWEEP, CAUSE_SWEEP).outcome, OUTCOME_REFRESHED);
}

/* ---- SQLite files ---------------------------------------------------------------------------- */

static const char *file_of(struct contract *c)
{
    return c->url + strlen("sqlite:");
}

static void sqlite_file_is_private(void **state)
{
    struct contract *c = *state;
    struct stat st;
    if (on_postgres)
        return;
    assert_int_equal(stat(file_of(c), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void overwrite(const char *file, const char *with, size_t at)
{
    FILE *f = fopen(file, "r+b");
    assert_non_null(f);
    fseek(f, (long)at, SEEK_SET);
    fwrite(with, 1, strlen(with), f);
    fclose(f);
}

static void refused_file(struct contract *c, const char *words)
{
    struct store *s;
    struct err err;
    assert_int_equal(store_open(c->url, NULL, "trueup", &s, &err), -1);
    assert_int_equal(err.kind, ERR_STORE);
    if (!strstr(err.text, words))
        fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

static void sqlite_broken_files_are_refused(void **state)
{
    struct contract *c = *state;
    if (on_postgres)
        return;
    ok(c, store_reopen(c->store, &c->err));
    struct contract other = {0};
    snprintf(other.url, sizeof other.url, "%.400s.broken", c->url);
    FILE *f = fopen(file_of(&other), "wb");
    assert_non_null(f);
    for (int i = 0; i < 100; i++)
        fputs("this is no database, but a letter to a friend\n", f);
    fclose(f);
    refused_file(&other, "not a database");
    unlink(file_of(&other));

    struct store *s;
    ok(c, store_open(other.url, NULL, "trueup", &s, &c->err));
    struct store_adopted adopted;
    ok(c, store_migrate(s, &c->balance, 1, &adopted, &c->err));
    store_close(s);
    overwrite(file_of(&other), "XXXXXXXX", 0);
    refused_file(&other, "not a database");
    unlink(file_of(&other));
    snprintf(other.url, sizeof other.url, "sqlite:/nonexistent/folder/x.db");
    refused_file(&other, "cannot open");
}

/* Waits as long as a lock may take, then says so; and then goes on. */
static void sqlite_locked_is_retryable(void **state)
{
    struct contract *c = *state;
    struct store_applied done;
    struct store_write w = SWEEP;
    if (on_postgres)
        return;
    put_blocks(c, 1, 10, 0);
    struct store_batch batch = {
        .balance = &c->balance, .at = block_no(5, 0), .writes = &w, .n_writes = 1};
    void *held = app_hold(c, "BEGIN IMMEDIATE");
    assert_int_equal(store_apply(c->store, &batch, &c->arena, &done, &c->err), -1);
    assert_int_equal(c->err.kind, ERR_STORE_LOST);
    assert_non_null(strstr(c->err.text, "locked"));
    app_release(held);
    ok(c, store_apply(c->store, &batch, &c->arena, &done, &c->err));
    assert_int_equal(done.inserted, 1);
}

static void sqlite_unfit_tables_are_refused(void **state)
{
    struct contract *c = *state;
    struct store_adopted adopted;
    if (on_postgres)
        return;
    app(c,
        "CREATE TABLE eth_wallet_balances (wallet TEXT PRIMARY KEY, balance NUMERIC, blocknumber "
        "BIGINT, updated_at TEXT, created_at TEXT)");
    assert_int_equal(store_migrate(c->store, &c->balance, 1, &adopted, &c->err), -1);
    assert_int_equal(c->err.kind, ERR_STORE);
    assert_non_null(strstr(c->err.text, "balance"));
    app(c, "DROP TABLE eth_wallet_balances; CREATE TABLE eth_wallet_balances (wallet TEXT PRIMARY "
           "KEY, balance TEXT, updated_at TEXT, created_at TEXT)");
    assert_int_equal(store_migrate(c->store, &c->balance, 1, &adopted, &c->err), -1);
    assert_non_null(strstr(c->err.text, "blocknumber"));
    app(c, "ALTER TABLE eth_wallet_balances ADD COLUMN blocknumber BIGINT");
    adopted = migrate(c);
    assert_true(adopted.added_column && !adopted.created);
}

int main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fresh, gone)
#define E(f) cmocka_unit_test_setup_teardown(f, fresh_empty, gone)
    const struct CMUnitTest tests[] = {
        E(migrate_is_idempotent),
        T(a_newer_schema_is_refused),
        T(changed_terms_make_all_unanchored),
        T(rows_of_another_writer_become_unanchored),
        T(a_checkpoint_moved_by_another_is_told),
        T(reset_forgets_the_chain_and_keeps_the_rows),
        T(two_balances_do_not_touch_each_other),
        E(errors_carry_no_password),
        T(reopen_goes_on),
        E(sqlite_file_is_private),
        T(sqlite_broken_files_are_refused),
        T(sqlite_locked_is_retryable),
        E(sqlite_unfit_tables_are_refused),
    };
    return contract_main(argc, argv, "schema", tests, sizeof tests / sizeof tests[0]);
}
