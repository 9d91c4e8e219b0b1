/* Rows that the database refuses: they are found, and hold up no other. */
#include "contract.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 20 };

/* ---- tables that refuse ---------------------------------------------------------------------- */

/* Every write of a row raises where the condition holds. */
static void raise_where(struct contract *c, const char *condition, const char *state)
{
    app(c, "DROP TRIGGER IF EXISTS guard_insert%s", on_postgres ? " ON eth_wallet_balances" : "");
    if (!on_postgres) {
        app(c, "DROP TRIGGER IF EXISTS guard_update");
        app(c,
            "CREATE TRIGGER guard_insert BEFORE INSERT ON eth_wallet_balances WHEN %s BEGIN SELECT "
            "RAISE(ABORT, 'not a member'); END",
            condition);
        app(c,
            "CREATE TRIGGER guard_update BEFORE UPDATE ON eth_wallet_balances WHEN %s BEGIN SELECT "
            "RAISE(ABORT, 'not a member'); END",
            condition);
        return;
    }
    app(c,
        "CREATE OR REPLACE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF %s "
        "THEN RAISE EXCEPTION 'not a member' USING ERRCODE = '%s'; END IF; RETURN NEW; END $$",
        condition, state);
    app(c, "CREATE TRIGGER guard_insert BEFORE INSERT OR UPDATE ON eth_wallet_balances FOR EACH "
           "ROW EXECUTE FUNCTION guard()");
}

static void raise_for(struct contract *c, unsigned wallet, const char *state)
{
    char condition[80];
    snprintf(condition, sizeof condition, "NEW.wallet = '%s'", wallet_text(wallet));
    raise_where(c, condition, state);
}

/* The application's table, whose wallets are its users'. */
static void make_users(struct contract *c, unsigned n)
{
    struct store_adopted adopted;
    app(c, "CREATE TABLE users (wallet VARCHAR(42) PRIMARY KEY)");
    app(c,
        "CREATE TABLE eth_wallet_balances (wallet VARCHAR(42) PRIMARY KEY REFERENCES users "
        "(wallet), balance %s NOT NULL, blocknumber BIGINT, updated_at TIMESTAMP NOT NULL "
        "DEFAULT CURRENT_TIMESTAMP, created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)",
        on_postgres ? "NUMERIC" : "TEXT");
    for (unsigned i = 0; i < n; i++)
        app(c, "INSERT INTO users VALUES ('%s')", wallet_text(i));
    ok(c, store_migrate(c->store, &c->balance, 1, &adopted, &c->err));
}

/* ---- batches --------------------------------------------------------------------------------- */

struct made {
    struct store_write writes[ROWS];
    struct store_batch batch;
    struct store_applied done;
};

/* n wallets from the first one on, each with a value of this block. */
static void make_batch(struct contract *c, struct made *m, unsigned first, unsigned n, uint64_t at)
{
    for (unsigned i = 0; i < n; i++) {
        m->writes[i] = EVENT(at);
        m->writes[i].wallet = wallet_no(first + i);
        m->writes[i].value = u256_of(at * 100 + first + i);
    }
    m->batch = (struct store_batch){.balance = &c->balance,
                                    .cause = CAUSE_EVENT,
                                    .at = block_no(at, 0),
                                    .writes = m->writes,
                                    .n_writes = n,
                                    .has_checkpoint = true,
                                    .checkpoint = at};
}

static int apply_made(struct contract *c, struct made *m)
{
    return store_apply(c->store, &m->batch, &c->arena, &m->done, &c->err);
}

static void write_rows(struct contract *c, struct made *m, unsigned n, uint64_t at)
{
    make_batch(c, m, 0, n, at);
    ok(c, apply_made(c, m));
    assert_int_equal(m->done.inserted + m->done.changed, n);
}

static uint64_t checkpoint_of(struct contract *c)
{
    uint64_t at = 0;
    bool found;
    ok(c, store_checkpoint_get(c->store, &c->balance, &at, &found, &c->err));
    return found ? at : 0;
}

static const char *quarantined(struct contract *c)
{
    return app_value(c, "SELECT count(*) FROM trueup_quarantine");
}

static const char *reason_of(struct contract *c, unsigned wallet)
{
    return app_value(c, "SELECT reason FROM trueup_quarantine WHERE wallet = '%s'",
                     wallet_text(wallet));
}

/* ---- the tests ------------------------------------------------------------------------------- */

static void one_refused_row_holds_up_no_other(void **state)
{
    struct contract *c = *state;
    struct made m;
    put_blocks(c, 1, 100, 0);
    write_rows(c, &m, ROWS, 50);
    raise_for(c, 7, "P0001");
    make_batch(c, &m, 0, ROWS, 60);
    ok(c, apply_made(c, &m));
    assert_false(m.done.table_refuses);
    assert_int_equal(m.done.refused, 1);
    assert_int_equal(m.done.quarantined, 1);
    assert_int_equal(m.done.changed, ROWS - 1);
    assert_int_equal(m.done.olds[7].outcome, OUTCOME_REFUSED);
    assert_int_equal(m.done.olds[8].outcome, OUTCOME_CHANGED);
    assert_int_equal(m.done.olds[8].balance.limb[0], 5008);
    for (unsigned i = 0; i < ROWS; i++)
        assert_int_equal(row_of(c, i).observed_block, i == 7 ? 50 : 60);
    assert_int_equal(checkpoint_of(c), 60);
    assert_string_equal(quarantined(c), "1");
    assert_string_equal(reason_of(c, 7), "refused by the database: not a member");
    assert_string_equal(app_value(c, "SELECT event_block FROM trueup_quarantine"), "60");
    /* it has a row, so it is tried again by itself */
    assert_string_equal(app_value(c, "SELECT count(*) FROM trueup_quarantine WHERE retry_at < "
                                     "'9000-01-01 00:00:00'"),
                        "1");
}

/* The row's value is known to be another now; the table lets that be said. */
static void refused_row_loses_its_anchor(void **state)
{
    struct contract *c = *state;
    struct made m;
    put_blocks(c, 1, 100, 0);
    write_rows(c, &m, ROWS, 50);
    raise_where(c, on_postgres ? "NEW.balance = 6007" : "NEW.balance = '6007'", "23514");
    make_batch(c, &m, 0, ROWS, 60);
    ok(c, apply_made(c, &m));
    assert_int_equal(m.done.refused, 1);
    assert_false(row_of(c, 7).has_observed);
    assert_int_equal(row_of(c, 7).balance.limb[0], 5007);
    /* the next read is taken, and the wallet leaves quarantine */
    make_batch(c, &m, 0, ROWS, 61);
    ok(c, apply_made(c, &m));
    assert_int_equal(m.done.refused, 0);
    assert_int_equal(row_of(c, 7).observed_block, 61);
    assert_int_equal(row_of(c, 7).blocknumber, 61);
    assert_string_equal(quarantined(c), "0");
}

static void strangers_wait_to_be_named_again(void **state)
{
    struct contract *c = *state;
    struct made m;
    size_t added;
    make_users(c, 10);
    put_blocks(c, 1, 100, 0);
    make_batch(c, &m, 0, ROWS, 50); /* ten users, ten strangers */
    ok(c, apply_made(c, &m));
    assert_int_equal(m.done.inserted, 10);
    assert_int_equal(m.done.refused, 10);
    assert_string_equal(quarantined(c), "10");
    assert_int_equal(checkpoint_of(c), 50);
    assert_non_null(strstr(reason_of(c, 12), "refused by the database: "));
    assert_string_equal(app_value(c, "SELECT count(*) FROM trueup_quarantine WHERE retry_at > "
                                     "'9000-01-01 00:00:00'"),
                        "10");
    /* the list names one; an event names another, who is a user by now */
    address listed = wallet_no(12);
    ok(c, store_wallets_add(c->store, &c->balance, &listed, 1, &added, &c->err));
    assert_string_equal(app_value(c, "SELECT wallet FROM trueup_quarantine WHERE retry_at < "
                                     "'9000-01-01 00:00:00'"),
                        wallet_text(12));
    app(c, "INSERT INTO users VALUES ('%s')", wallet_text(13));
    write_one(c, 13, 5, 60, EVENT(60), CAUSE_EVENT);
    assert_int_equal(row_of(c, 13).blocknumber, 60);
    assert_string_equal(quarantined(c), "9");
}

/* Strangers alone, eight and more: rows that were written before are still taken. */
static void only_strangers_are_no_fault_of_the_table(void **state)
{
    struct contract *c = *state;
    struct made m;
    make_users(c, 3);
    put_blocks(c, 1, 100, 0);
    write_rows(c, &m, 3, 40);
    make_batch(c, &m, 3, ROWS - 3, 50);
    ok(c, apply_made(c, &m));
    assert_false(m.done.table_refuses);
    assert_int_equal(m.done.refused, ROWS - 3);
    assert_string_equal(quarantined(c), "17");
}

/* One of those tried was itself written before it came to be refused. */
static void a_control_that_is_refused_is_not_the_table(void **state)
{
    struct contract *c = *state;
    struct made m;
    put_blocks(c, 1, 100, 0);
    write_rows(c, &m, ROWS, 50);
    raise_for(c, ROWS - 1, "P0001");
    make_batch(c, &m, ROWS - 1, 1, 60);
    ok(c, apply_made(c, &m));
    assert_int_equal(m.done.refused, 1);
    assert_string_equal(quarantined(c), "1");
}

static void a_table_that_refuses_all_quarantines_none(void **state)
{
    struct contract *c = *state;
    struct made m;
    put_blocks(c, 1, 100, 0);
    write_rows(c, &m, ROWS, 50);
    raise_where(c, "1 = 1", "P0001");
    for (unsigned n = 1; n <= ROWS; n = n * 2 + 1) { /* few rows, and many */
        make_batch(c, &m, 0, n, 60);
        ok(c, apply_made(c, &m));
        assert_true(m.done.table_refuses);
        assert_int_equal(m.done.why.kind, ERR_STORE);
        assert_non_null(strstr(m.done.why.text, "not a member"));
        assert_string_equal(quarantined(c), "0");
        assert_int_equal(checkpoint_of(c), 50);
    }
    raise_where(c, "1 = 0", "P0001");
    ok(c, apply_made(c, &m));
    assert_int_equal(m.done.refused, 0);
    assert_int_equal(checkpoint_of(c), 60);
}

/* Another writer in the way is no refusal: the others are written, and nothing is vouched for. */
static void refused_for_now_is_no_refusal(void **state)
{
    struct contract *c = *state;
    struct made m;
    const char *const states[] = {"40001", "40P01", "55P03", "57014"};
    put_blocks(c, 1, 100, 0);
    write_rows(c, &m, ROWS, 50);
    for (size_t i = 0; i < 4; i++) {
        raise_for(c, 7, states[i]);
        make_batch(c, &m, 0, ROWS, 60 + i);
        assert_int_equal(apply_made(c, &m), -1);
        assert_int_equal(c->err.kind, ERR_STORE_LOST);
        assert_int_equal(row_of(c, 8).observed_block, 60 + i);
        assert_int_equal(row_of(c, 7).observed_block, 50);
        assert_string_equal(quarantined(c), "0");
        assert_int_equal(checkpoint_of(c), 50);
    }
}

static void what_is_the_databases_is_not_halved(void **state)
{
    struct contract *c = *state;
    struct made m;
    const char *const states[] = {"53100", "25006", "57P01", "58030", "XX000", "08006", "42501"};
    put_blocks(c, 1, 100, 0);
    write_rows(c, &m, ROWS, 50);
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        raise_for(c, 7, states[i]);
        make_batch(c, &m, 0, ROWS, 60);
        assert_int_equal(apply_made(c, &m), -1);
        assert_non_null(strstr(c->err.text, "not a member"));
        assert_int_equal(row_of(c, 0).observed_block, 50);
        assert_string_equal(quarantined(c), "0");
    }
}

/* ---- row security ---------------------------------------------------------------------------- */

static struct store *open_as(struct contract *c, const char *role)
{
    struct store *s;
    char url[600];
    const char *at = strchr(c->url, '@');
    assert_non_null(at);
    snprintf(url, sizeof url, "postgres://%s%s", role, at);
    ok(c, store_open(url, NULL, "trueup test", &s, &c->err));
    return s;
}

static void row_security_refuses_a_row(void **state)
{
    struct contract *c = *state;
    struct made m;
    put_blocks(c, 1, 100, 0);
    app(c, "DO $$ BEGIN CREATE ROLE trueup_contract_writer LOGIN; EXCEPTION WHEN duplicate_object "
           "OR unique_violation THEN NULL; END $$");
    app(c, "GRANT ALL ON ALL TABLES IN SCHEMA public TO trueup_contract_writer; GRANT ALL ON ALL "
           "SEQUENCES IN SCHEMA public TO trueup_contract_writer");
    app(c, "ALTER TABLE eth_wallet_balances ENABLE ROW LEVEL SECURITY");
    app(c, "CREATE POLICY p ON eth_wallet_balances USING (true) WITH CHECK (wallet <> '%s')",
        wallet_text(7));
    struct store *admins = c->store;
    c->store = open_as(c, "trueup_contract_writer");
    make_batch(c, &m, 0, ROWS, 50);
    ok(c, apply_made(c, &m));
    assert_int_equal(m.done.refused, 1);
    assert_int_equal(m.done.inserted, ROWS - 1);
    assert_non_null(strstr(reason_of(c, 7), "row-level security"));
    store_close(c->store);
    c->store = admins;
}

/* ---- what is kept ---------------------------------------------------------------------------- */

static void first_inserts_that_are_kept_have_a_limit(void **state)
{
    struct contract *c = *state;
    struct made m;
    put_blocks(c, 1, 100, 0);
    write_rows(c, &m, 5, 40);
    app(c,
        on_postgres ? "INSERT INTO trueup_quarantine (balance, wallet, failures, reason, retry_at) "
                      "SELECT 'audio', '0x' || lpad(to_hex(i), 40, '0'), 1, 'refused by the "
                      "database: x', '9999-12-31' FROM generate_series(1, %d) i"
                    : "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < "
                      "%d) INSERT INTO trueup_quarantine (balance, wallet, failures, reason, "
                      "retry_at) SELECT 'audio', '0x' || printf('%%040x', i), 1, 'refused by the "
                      "database: x', '9999-12-31 00:00:00.000000' FROM n",
        99999);
    raise_where(c, on_postgres ? "NEW.balance > 4999" : "NEW.balance LIKE '5%'", "P0001");
    make_batch(c, &m, 10, 3, 50);
    ok(c, apply_made(c, &m));
    assert_int_equal(m.done.refused, 3);
    assert_int_equal(m.done.quarantined, 1);
    assert_string_equal(quarantined(c), "100000");
    assert_string_equal(app_value(c, "SELECT value FROM trueup_state WHERE key = 'refused:audio'"),
                        "2");
    make_batch(c, &m, 10, 3, 51);
    ok(c, apply_made(c, &m));
    assert_string_equal(app_value(c, "SELECT value FROM trueup_state WHERE key = 'refused:audio'"),
                        "5");
}

static void unreadable_and_refused_go_together(void **state)
{
    struct contract *c = *state;
    struct made m;
    struct store_failure f[2] = {{.wallet = wallet_no(30), .reason = "held: reverted"},
                                 {.wallet = wallet_no(1), .reason = "held: reverted"}};
    put_blocks(c, 1, 100, 0);
    write_rows(c, &m, 10, 50);
    raise_for(c, 7, "P0001");
    make_batch(c, &m, 4, 6, 60);
    f[1].wallet = wallet_no(40);
    m.batch.failures = f;
    m.batch.n_failures = 2;
    ok(c, apply_made(c, &m));
    assert_int_equal(m.done.quarantined, 3);
    assert_int_equal(m.done.refused, 1);
    assert_string_equal(reason_of(c, 30), "held: reverted");
    assert_string_equal(reason_of(c, 7), "refused by the database: not a member");
    assert_int_equal(checkpoint_of(c), 60);
}

/* ---- triggers that change rows --------------------------------------------------------------- */

/* Every new balance of this wallet becomes 5. */
static void change_rows_of(struct contract *c, unsigned wallet)
{
    if (!on_postgres) {
        const char *const events[] = {"INSERT", "UPDATE OF balance"};
        for (int i = 0; i < 2; i++)
            app(c,
                "CREATE TRIGGER change_%d AFTER %s ON eth_wallet_balances WHEN NEW.wallet = '%s' "
                "BEGIN UPDATE eth_wallet_balances SET balance = '5' WHERE wallet = NEW.wallet; END",
                i, events[i], wallet_text(wallet));
        return;
    }
    app(c,
        "CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.wallet = "
        "'%s' THEN NEW.balance := 5; END IF; RETURN NEW; END $$",
        wallet_text(wallet));
    app(c, "CREATE TRIGGER change BEFORE INSERT OR UPDATE ON eth_wallet_balances FOR EACH ROW "
           "EXECUTE FUNCTION change()");
}

/* No write of this wallet's row happens, and no error says so. */
static void ignore_rows_of(struct contract *c, unsigned wallet)
{
    if (!on_postgres) {
        const char *const events[] = {"INSERT", "UPDATE"};
        for (int i = 0; i < 2; i++)
            app(c,
                "CREATE TRIGGER ignore_%d BEFORE %s ON eth_wallet_balances WHEN NEW.wallet = '%s' "
                "BEGIN SELECT RAISE(IGNORE); END",
                i, events[i], wallet_text(wallet));
        return;
    }
    app(c,
        "CREATE FUNCTION ignore() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.wallet = "
        "'%s' THEN RETURN NULL; END IF; RETURN NEW; END $$",
        wallet_text(wallet));
    app(c, "CREATE TRIGGER ignore BEFORE INSERT OR UPDATE ON eth_wallet_balances FOR EACH ROW "
           "EXECUTE FUNCTION ignore()");
}

static void a_row_that_a_trigger_changes_has_no_anchor(void **state)
{
    struct contract *c = *state;
    struct made m;
    char changes[32];
    put_blocks(c, 1, 100, 0);
    change_rows_of(c, 7);
    ok(c, store_reopen(c->store, &c->err));
    write_rows(c, &m, 6, 50);
    for (unsigned at = 60; at < 62; at++) { /* the insert, and then the update */
        snprintf(changes, sizeof changes, "%s",
                 app_value(c, "SELECT count(*) FROM trueup_changes"));
        make_batch(c, &m, 0, ROWS, at);
        ok(c, apply_made(c, &m));
        assert_int_equal(m.done.altered, 1);
        assert_int_equal(m.done.quarantined, 1);
        assert_int_equal(m.done.inserted + m.done.changed, ROWS - 1);
        assert_int_equal(m.done.olds[7].outcome, OUTCOME_ALTERED);
        assert_false(row_of(c, 7).has_observed);
        assert_int_equal(row_of(c, 7).balance.limb[0], 5);
        assert_int_equal(row_of(c, 8).observed_block, at);
        assert_non_null(strstr(reason_of(c, 7), "changed by a trigger of the table: it holds 5 "));
        assert_int_equal(checkpoint_of(c), at);
        assert_int_equal(atoi(app_value(c, "SELECT count(*) FROM trueup_changes")) - atoi(changes),
                         ROWS - 1);
    }
    /* a value that the trigger leaves as it is */
    struct store_write w = EVENT(70);
    w.wallet = wallet_no(7);
    w.value = u256_of(5);
    struct store_batch batch = {
        .balance = &c->balance, .at = block_no(70, 0), .writes = &w, .n_writes = 1};
    ok(c, store_apply(c->store, &batch, &c->arena, &m.done, &c->err));
    assert_int_equal(row_of(c, 7).observed_block, 70);
    assert_string_equal(quarantined(c), "0");
}

static void a_row_that_a_trigger_drops_is_quarantined(void **state)
{
    struct contract *c = *state;
    struct made m;
    put_blocks(c, 1, 100, 0);
    write_rows(c, &m, 6, 50);
    ignore_rows_of(c, 7);
    ok(c, store_reopen(c->store, &c->err));
    make_batch(c, &m, 0, ROWS, 60);
    ok(c, apply_made(c, &m));
    assert_int_equal(m.done.altered, 1);
    assert_false(has_row(c, 7));
    assert_true(has_row(c, 8));
    assert_non_null(strstr(reason_of(c, 7), "changed by a trigger of the table: "));
    assert_int_equal(checkpoint_of(c), 60);
}

/* Sums of the application's, which it gives up with a warning now and then. */
static void sum_and_warn(struct contract *c, unsigned wallet, unsigned times)
{
    app(c, "CREATE TABLE sums (wallet TEXT PRIMARY KEY, total NUMERIC); CREATE SEQUENCE tries");
    app(c,
        "CREATE FUNCTION sum_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.wallet = "
        "'%s' AND nextval('tries') <= %u THEN RAISE WARNING 'no sum of %%', NEW.wallet; RETURN "
        "NULL; END IF; INSERT INTO sums VALUES (NEW.wallet, NEW.balance) ON CONFLICT (wallet) DO "
        "UPDATE SET total = excluded.total; RETURN NULL; END $$",
        wallet_text(wallet), times);
    app(c, "CREATE TRIGGER sum_up AFTER INSERT OR UPDATE OF balance ON eth_wallet_balances FOR "
           "EACH ROW EXECUTE FUNCTION sum_up()");
}

static const char *right_sums(struct contract *c)
{
    return app_value(c, "SELECT count(*) FROM eth_wallet_balances t JOIN sums s USING (wallet) "
                        "WHERE s.total = t.balance");
}

static void a_warning_is_an_answer(void **state)
{
    struct contract *c = *state;
    struct made m;
    put_blocks(c, 1, 100, 0);
    sum_and_warn(c, 7, 3);
    ok(c, store_reopen(c->store, &c->err));
    make_batch(c, &m, 0, ROWS, 50);
    ok(c, apply_made(c, &m));
    assert_int_equal(m.done.inserted, ROWS);
    assert_string_equal(right_sums(c), "20");
    assert_string_equal(quarantined(c), "0");
    assert_string_equal(app_value(c, "SELECT last_value FROM tries"), "4");
}

static void a_row_that_always_warns_is_written(void **state)
{
    struct contract *c = *state;
    struct made m;
    put_blocks(c, 1, 100, 0);
    sum_and_warn(c, 7, 11);
    ok(c, store_reopen(c->store, &c->err));
    make_batch(c, &m, 0, ROWS, 50);
    ok(c, apply_made(c, &m));
    assert_int_equal(m.done.inserted, ROWS);
    assert_string_equal(right_sums(c), "19");
    assert_int_equal(row_of(c, 7).observed_block, 50);
    assert_int_equal(checkpoint_of(c), 50);
    /* five times all, five times alone, and once for good */
    assert_string_equal(app_value(c, "SELECT last_value FROM tries"), "11");
    /* when its turn comes, the trigger has its own, though the balance is the same */
    for (unsigned i = 0; i < ROWS; i++)
        m.writes[i] = (struct store_write){.wallet = wallet_no(i), .value = m.writes[i].value};
    m.batch.at = block_no(60, 0);
    m.batch.cause = CAUSE_SWEEP;
    for (unsigned again = 0; again < 2; again++) {
        ok(c, apply_made(c, &m));
        assert_int_equal(m.done.refreshed, ROWS);
        assert_string_equal(right_sums(c), "20");
        assert_string_equal(app_value(c, "SELECT last_value FROM tries"), "12");
    }
}

int main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fresh, gone)
#define E(f) cmocka_unit_test_setup_teardown(f, fresh_empty, gone)
    const struct CMUnitTest tests[] = {
        T(one_refused_row_holds_up_no_other),
        T(refused_row_loses_its_anchor),
        E(strangers_wait_to_be_named_again),
        E(only_strangers_are_no_fault_of_the_table),
        T(a_control_that_is_refused_is_not_the_table),
        T(a_table_that_refuses_all_quarantines_none),
        T(first_inserts_that_are_kept_have_a_limit),
        T(unreadable_and_refused_go_together),
        T(a_row_that_a_trigger_changes_has_no_anchor),
        T(a_row_that_a_trigger_drops_is_quarantined),
        /* what only PostgreSQL can say: */
        T(a_warning_is_an_answer),
        T(a_row_that_always_warns_is_written),
        T(refused_for_now_is_no_refusal),
        T(what_is_the_databases_is_not_halved),
        T(row_security_refuses_a_row),
    };
    size_t n = sizeof tests / sizeof tests[0];
    bool sqlite = argc > 1 && strcmp(argv[1], "sqlite") == 0;
    return contract_main(argc, argv, "refused", tests, sqlite ? n - 5 : n);
}
