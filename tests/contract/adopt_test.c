/* PostgreSQL only: an application's table, adopted while the application uses it. */
#include "contract.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define AUDIUS                                                                                     \
    "wallet text PRIMARY KEY, balance numeric NOT NULL DEFAULT 0, blocknumber bigint, updated_at " \
    "timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP, created_at timestamp NOT NULL DEFAULT "         \
    "CURRENT_TIMESTAMP"

static int try_migrate(struct contract *c, struct store_adopted *adopted)
{
    memset(adopted, 0, sizeof *adopted);
    err_clear(&c->err);
    return store_migrate(c->store, &c->balance, 1, adopted, &c->err);
}

static void old_table_is_adopted_unanchored(void **state)
{
    struct contract *c = *state;
    struct store_adopted adopted;
    app(c, "CREATE TABLE eth_wallet_balances (" AUDIUS ")");
    app(c, "CREATE INDEX my_own_name ON eth_wallet_balances (updated_at)");
    app(c, "CREATE TABLE eth_indexer_checkpoints (name text PRIMARY KEY, last_block bigint NOT "
           "NULL, updated_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP)");
    app(c, "INSERT INTO eth_indexer_checkpoints VALUES ('audio_transfers', 19000000)");
    app(c,
        "INSERT INTO eth_wallet_balances (wallet, balance, blocknumber) VALUES ('%s', "
        "123456789012345678901234567890, 18000000), ('0xABC', 1, NULL)",
        wallet_text(1));
    ok(c, try_migrate(c, &adopted));
    assert_true(adopted.added_column && !adopted.created && !adopted.added_index);
    assert_int_equal(adopted.non_canonical_rows, 1);
    assert_false(adopted.terms_changed || adopted.rules_changed);
    assert_int_equal(adopted.foreign_rows, 0);
    struct store_row row = row_of(c, 1);
    assert_false(row.has_observed);
    assert_int_equal(row.blocknumber, 18000000);
    char value[U256_DEC_ROOM];
    u256_to_dec(&row.balance, value);
    assert_string_equal(value, "123456789012345678901234567890");
    uint64_t last;
    bool found;
    ok(c, store_checkpoint_get(c->store, &c->balance, &last, &found, &c->err));
    assert_true(found && last == 19000000);
    ok(c, try_migrate(c, &adopted));
    assert_false(adopted.added_column);
    assert_int_equal(adopted.non_canonical_rows, 1);
}

struct schema {
    const char *columns;
    const char *refused; /* NULL: accepted; else words of the error */
};

/* Ours and the application's: a database as it was before trueup. */
static const char drop_all[] =
    "DO $$ DECLARE t text; BEGIN FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = "
    "current_schema() LOOP EXECUTE format('DROP TABLE %I', t); END LOOP; END $$";

static void schemas_are_accepted_or_refused_by_column(void **state)
{
    struct contract *c = *state;
    struct store_adopted adopted;
#define REST ", blocknumber bigint, updated_at timestamp, created_at timestamp"
    static const struct schema schemas[] = {
        {AUDIUS, NULL},
        {"wallet varchar PRIMARY KEY, balance numeric" REST, NULL},
        {"wallet varchar(42) PRIMARY KEY, balance numeric" REST, NULL},
        {"wallet varchar(41) PRIMARY KEY, balance numeric" REST, "column wallet"},
        {"wallet char(42) PRIMARY KEY, balance numeric" REST, "column wallet"},
        {"wallet bytea PRIMARY KEY, balance numeric" REST, "column wallet"},
        {"wallet text, balance numeric" REST, "column wallet is not unique"},
        {"wallet text, n int, balance numeric" REST ", PRIMARY KEY (wallet, n)", "n is NOT NULL"},
        {"wallet text UNIQUE, balance numeric" REST, NULL},
        {"wallet text PRIMARY KEY, balance numeric(78,0)" REST, NULL},
        {"wallet text PRIMARY KEY, balance numeric(100)" REST, NULL},
        {"wallet text PRIMARY KEY, balance numeric(77,0)" REST, "column balance is numeric(77,0)"},
        {"wallet text PRIMARY KEY, balance numeric(96,18)" REST, "column balance"},
        {"wallet text PRIMARY KEY, balance bigint" REST, "column balance is bigint"},
        {"wallet text PRIMARY KEY, balance text" REST, "column balance"},
        {"wallet text PRIMARY KEY, balance double precision" REST, "column balance"},
        {"wallet text PRIMARY KEY, balance numeric, blocknumber bigint, updated_at timestamptz, "
         "created_at timestamptz",
         NULL},
        {"wallet text PRIMARY KEY, balance numeric, blocknumber integer, updated_at timestamp, "
         "created_at timestamp",
         "column blocknumber is integer"},
        {"wallet text PRIMARY KEY, balance numeric, blocknumber bigint, updated_at date, "
         "created_at "
         "timestamp",
         "column updated_at is date"},
        {"wallet text PRIMARY KEY, balance numeric, blocknumber bigint, created_at timestamp",
         "no column updated_at"},
        {"wallet text PRIMARY KEY, balance numeric, blocknumber bigint, updated_at timestamp",
         "no column created_at"},
        {"wallet text PRIMARY KEY, balance numeric, updated_at timestamp, created_at timestamp",
         "no column blocknumber"},
        {"wallet text PRIMARY KEY" REST, "no column balance"},
        {AUDIUS ", observed_block text", "column observed_block is text"},
        {AUDIUS ", observed_block bigint", NULL},
        {AUDIUS ", note text NOT NULL", "column note is NOT NULL"},
        {AUDIUS ", note text NOT NULL DEFAULT ''", NULL},
        {AUDIUS ", usd numeric, id bigint GENERATED ALWAYS AS IDENTITY", NULL},
    };
    for (size_t i = 0; i < sizeof schemas / sizeof schemas[0]; i++) {
        app(c, "%s", drop_all);
        app(c, "CREATE TABLE eth_wallet_balances (%s)", schemas[i].columns);
        int rc = try_migrate(c, &adopted);
        if (!schemas[i].refused) {
            if (rc != 0)
                fail_msg("(%s): %s", schemas[i].columns, c->err.text);
            put_blocks(c, 1, 10, 0);
            write_one(c, 1, 5, 5, EVENT(5), CAUSE_EVENT);
            write_one(c, 1, 6, 6, SWEEP, CAUSE_SWEEP);
            assert_int_equal(row_of(c, 1).balance.limb[0], 6);
            continue;
        }
        if (rc == 0)
            fail_msg("(%s) was accepted", schemas[i].columns);
        assert_int_equal(c->err.kind, ERR_STORE);
        if (!strstr(c->err.text, schemas[i].refused))
            fail_msg("(%s): \"%s\" does not say \"%s\"", schemas[i].columns, c->err.text,
                     schemas[i].refused);
    }
    app(c, "DROP TABLE eth_wallet_balances; CREATE VIEW eth_wallet_balances AS SELECT 'x' AS "
           "wallet");
    assert_int_equal(try_migrate(c, &adopted), -1);
    assert_non_null(strstr(c->err.text, "not a table"));
}

/* ---- the application is not held up ---------------------------------------------------------- */

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void a_reader_in_the_way_is_waited_for(void **state)
{
    struct contract *c = *state;
    app(c, "CREATE TABLE eth_wallet_balances (" AUDIUS ")");
    app(c, "CREATE INDEX t ON eth_wallet_balances (updated_at)");
    /* a transaction that has read the table keeps it from being altered */
    void *held = app_hold(c, "BEGIN; SELECT count(*) FROM eth_wallet_balances");
    pid_t pid = fork();
    if (pid == 0) {
        struct store *s;
        struct err err;
        struct store_adopted adopted;
        if (store_open(c->url, NULL, "trueup migrate", &s, &err) != 0)
            _exit(2);
        _exit(store_migrate(s, &c->balance, 1, &adopted, &err) == 0 && adopted.added_column ? 0
                                                                                            : 3);
    }
    int64_t worst = 0, end = now_ms() + 1500;
    while (now_ms() < end) { /* the application goes on reading and writing beside */
        int64_t t = now_ms();
        app(c, "INSERT INTO eth_wallet_balances (wallet) VALUES ('x') ON CONFLICT DO NOTHING");
        app(c, "SELECT count(*) FROM eth_wallet_balances");
        if (now_ms() - t > worst)
            worst = now_ms() - t;
    }
    assert_string_equal(app_value(c, "SELECT count(*) FROM information_schema.columns WHERE "
                                     "table_name = 'eth_wallet_balances' AND column_name = "
                                     "'observed_block'"),
                        "0");
    app_release(held);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(worst < 1200); /* a lock is asked for 150 ms; the rest is the machine */
}

static void not_the_owner_is_told_what_to_run(void **state)
{
    struct contract *c = *state;
    struct store_adopted adopted;
    struct store *owner = c->store;
    char url[600];
    app(c, "CREATE TABLE eth_wallet_balances (" AUDIUS ")");
    app(c, "DO $$ BEGIN CREATE ROLE contract_guest LOGIN PASSWORD 'g'; EXCEPTION WHEN "
           "duplicate_object THEN NULL; END $$");
    const char *at = strstr(c->url, "://") + 3;
    const char *host = strchr(at, '@');
    snprintf(url, sizeof url, "postgres://contract_guest:g%s", host ? host : "");
    if (!host) /* a URL without a user: put one before the host */
        snprintf(url, sizeof url, "postgres://contract_guest:g@%s", at);
    ok(c, store_open(url, NULL, "trueup", &c->store, &c->err));

    assert_int_equal(try_migrate(c, &adopted), -1); /* may not even create tables */
    assert_int_equal(c->err.kind, ERR_STORE);
    assert_non_null(strstr(c->err.hint, "GRANT CREATE"));
    app(c, "GRANT CREATE, USAGE ON SCHEMA public TO contract_guest");
    assert_int_equal(try_migrate(c, &adopted), -1);
    assert_non_null(strstr(c->err.hint, "GRANT SELECT, INSERT, UPDATE ON"));
    app(c, "GRANT SELECT, INSERT, UPDATE ON eth_wallet_balances TO contract_guest");
    assert_int_equal(try_migrate(c, &adopted), -1);
    assert_int_equal(c->err.kind, ERR_STORE);
    assert_non_null(strstr(c->err.hint, "ALTER TABLE \"eth_wallet_balances\" ADD COLUMN "
                                        "observed_block BIGINT;"));
    app(c, "ALTER TABLE \"eth_wallet_balances\" ADD COLUMN observed_block BIGINT;");
    ok(c, try_migrate(c, &adopted));
    assert_true(adopted.index_missing);
    app(c, "%s", adopted.index_sql); /* what the hint says works */
    ok(c, try_migrate(c, &adopted));
    assert_false(adopted.index_missing);
    put_blocks(c, 1, 10, 0);
    write_one(c, 1, 5, 5, EVENT(5), CAUSE_EVENT);
    store_close(c->store);
    c->store = owner;
}

static void without_an_index_the_sweep_goes_on(void **state)
{
    struct contract *c = *state;
    struct store_adopted adopted;
    struct store_cursor cursor = {0};
    struct store_pick pick = {
        .want = 10, .max_observed = UINT64_MAX, .cursor = &cursor, .arena = &c->arena};
    size_t seen = 0;
    ok(c, try_migrate(c, &adopted));
    app(c, "DROP INDEX eth_wallet_balances_updated_at_idx");
    app(c, "INSERT INTO eth_wallet_balances (wallet, updated_at) SELECT '0x' || lpad(to_hex(i), "
           "40, '0'), '1970-01-01' FROM generate_series(1, 95) i");
    for (int i = 0; i < 30 && !cursor.lap; i++) {
        struct store_stale *got;
        size_t n;
        ok(c, store_claim_stale(c->store, &c->balance, &pick, &got, &n, &c->err));
        for (size_t k = 0; k < n; k++) {
            char text[ADDRESS_TEXT];
            address_text(&got[k].wallet, text);
            app(c,
                "UPDATE eth_wallet_balances SET updated_at = now() AT TIME ZONE 'UTC' WHERE "
                "wallet = '%s'",
                text);
        }
        seen += n;
    }
    assert_true(cursor.lap);
    assert_int_equal(seen, 95);
}

/* ---- triggers, time zones -------------------------------------------------------------------- */

static void triggers_of_the_application_see_real_changes_only(void **state)
{
    struct contract *c = *state;
    struct store_adopted adopted;
    ok(c, try_migrate(c, &adopted));
    app(c, "CREATE TABLE fired (wallet text, was numeric, is_now numeric)");
    app(c, "CREATE TABLE total (sum numeric); INSERT INTO total VALUES (0)");
    app(c, "CREATE FUNCTION on_balance() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO "
           "fired VALUES (NEW.wallet, OLD.balance, NEW.balance); RETURN NULL; END $$");
    app(c, "CREATE FUNCTION on_any() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE total SET "
           "sum = sum + NEW.balance - CASE TG_OP WHEN 'UPDATE' THEN OLD.balance ELSE 0 END; RETURN "
           "NULL; END $$");
    app(c, "CREATE TRIGGER b AFTER UPDATE OF balance ON eth_wallet_balances FOR EACH ROW EXECUTE "
           "FUNCTION on_balance()");
    app(c, "CREATE TRIGGER s AFTER INSERT OR UPDATE ON eth_wallet_balances FOR EACH ROW EXECUTE "
           "FUNCTION on_any()");
    put_blocks(c, 1, 100, 0);
    write_one(c, 1, 5, 50, EVENT(50), CAUSE_EVENT);
    write_one(c, 2, 100, 50, SWEEP, CAUSE_SWEEP);
    write_one(c, 1, 5, 60, SWEEP, CAUSE_SWEEP);     /* unchanged */
    write_one(c, 1, 5, 61, EVENT(61), CAUSE_EVENT); /* unchanged, with an event */
    write_one(c, 1, 4, 55, EVENT(55), CAUSE_EVENT); /* older */
    assert_string_equal(app_value(c, "SELECT count(*) FROM fired"), "0");
    write_one(c, 1, 7, 70, SWEEP, CAUSE_SWEEP);
    assert_string_equal(app_value(c, "SELECT was || ' ' || is_now FROM fired"), "5 7");
    assert_string_equal(app_value(c, "SELECT count(*) FROM fired"), "1");
    assert_string_equal(app_value(c, "SELECT sum FROM total"), "107");
}

/* The server's own zone is not UTC: what we write must not depend on it. */
static void times_are_utc_whatever_the_server_thinks(void **state)
{
    static const char *const zones[] = {"America/New_York", "Asia/Kolkata", "UTC"};
    static const char *const types[] = {"timestamp", "timestamptz"};
    struct contract *c = *state;
    struct store_adopted adopted;
    for (size_t z = 0; z < 3; z++)
        for (size_t t = 0; t < 2; t++) {
            app(c, "DROP TABLE IF EXISTS eth_wallet_balances");
            app(c,
                "DO $$ BEGIN EXECUTE format('ALTER DATABASE %%I SET TimeZone = %%L', "
                "current_database(), '%s'); END $$",
                zones[z]);
            app(c,
                "CREATE TABLE eth_wallet_balances (wallet text PRIMARY KEY, balance numeric, "
                "blocknumber bigint, updated_at %s DEFAULT CURRENT_TIMESTAMP, created_at %s "
                "DEFAULT CURRENT_TIMESTAMP)",
                types[t], types[t]);
            ok(c, store_reopen(c->store, &c->err));
            ok(c, try_migrate(c, &adopted));
            put_blocks(c, 1, 10, 0);
            write_one(c, 1, 5, 5, EVENT(5), CAUSE_EVENT);
            write_one(c, 2, 5, 5, EVENT(5), CAUSE_EVENT);
            write_one(c, 2, 5, 6, SWEEP, CAUSE_SWEEP);
            int64_t off = row_of(c, 2).updated_us / 1000000 - (int64_t)time(NULL);
            assert_in_range(off + 60, 0, 120);
            assert_string_equal(
                app_value(c,
                          "SELECT bool_and(abs(extract(epoch FROM %s - now())) < 60) FROM "
                          "eth_wallet_balances",
                          t == 0 ? "updated_at AT TIME ZONE 'UTC'" : "updated_at"),
                "t");
            struct store_counts counts;
            ok(c, store_count(c->store, &c->balance, &counts, &c->err));
            assert_true(counts.now_us - counts.oldest_us < INT64_C(60000000));
            /* and our own mark is in the same time, so that our rows are not foreign */
            ok(c, try_migrate(c, &adopted));
            assert_int_equal(adopted.foreign_rows, 0);
        }
}

static void odd_balances_are_replaced(void **state)
{
    struct contract *c = *state;
    struct store_adopted adopted;
    app(c, "CREATE TABLE eth_wallet_balances (" AUDIUS ")");
    app(c,
        "INSERT INTO eth_wallet_balances (wallet, balance) VALUES ('%s', -5), ('%s', 0.5), "
        "('%s', 'NaN'), ('%s', 1e80)",
        wallet_text(1), wallet_text(2), wallet_text(3), wallet_text(4));
    ok(c, try_migrate(c, &adopted));
    put_blocks(c, 1, 10, 0);
    for (unsigned i = 1; i <= 4; i++) {
        struct store_old old = write_one(c, i, 0, 5, SWEEP, CAUSE_SWEEP);
        assert_int_equal(old.outcome, OUTCOME_CHANGED);
        assert_true(old.odd);
        assert_int_equal(row_of(c, i).balance.limb[0], 0);
    }
    assert_string_equal(app_value(c, "SELECT sum(balance) FROM eth_wallet_balances"), "0");
}

static void numeric_with_a_scale_in_its_display_is_equal(void **state)
{
    struct contract *c = *state;
    struct store_adopted adopted;
    app(c, "CREATE TABLE eth_wallet_balances (" AUDIUS ")");
    app(c, "INSERT INTO eth_wallet_balances (wallet, balance) VALUES ('%s', 5.000), ('%s', 1e30)",
        wallet_text(1), wallet_text(2));
    ok(c, try_migrate(c, &adopted));
    put_blocks(c, 1, 10, 0);
    assert_int_equal(write_one(c, 1, 5, 5, SWEEP, CAUSE_SWEEP).outcome, OUTCOME_REFRESHED);
    assert_int_equal(write_one(c, 2, 5, 5, SWEEP, CAUSE_SWEEP).outcome, OUTCOME_CHANGED);
}

static void other_schema_other_collation_partitions(void **state)
{
    struct contract *c = *state;
    struct store_adopted adopted;
    app(c, "CREATE SCHEMA app; CREATE TABLE app.\"Wallets\" (wallet text PRIMARY KEY, balance "
           "numeric, blocknumber bigint, updated_at timestamp, created_at timestamp) PARTITION BY "
           "HASH (wallet)");
    app(c, "CREATE TABLE app.w0 PARTITION OF app.\"Wallets\" FOR VALUES WITH (MODULUS 2, REMAINDER "
           "0); CREATE TABLE app.w1 PARTITION OF app.\"Wallets\" FOR VALUES WITH (MODULUS 2, "
           "REMAINDER 1)");
    c->balance.table = "app.Wallets";
    ok(c, try_migrate(c, &adopted));
    assert_true(adopted.added_column);
    put_blocks(c, 1, 100, 0);
    for (unsigned i = 0; i < 40; i++)
        write_one(c, i, i, 50, EVENT(50), CAUSE_EVENT);
    for (unsigned i = 0; i < 40; i++)
        write_one(c, i, i + i % 2, 60, SWEEP, CAUSE_SWEEP);
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(row_of(c, i).balance.limb[0], i + i % 2);
        assert_int_equal(row_of(c, i).observed_block, 60);
    }
    struct store_cursor cursor = {0};
    struct store_pick pick = {
        .want = 100, .max_observed = UINT64_MAX, .cursor = &cursor, .arena = &c->arena};
    struct store_stale *got;
    size_t n;
    ok(c, store_claim_stale(c->store, &c->balance, &pick, &got, &n, &c->err));
    assert_true(n == 40 && cursor.lap);
}

static void a_partitioned_table_gets_its_index(void **state)
{
    struct contract *c = *state;
    struct store_adopted adopted;
    app(c,
        "CREATE TABLE eth_wallet_balances (wallet text PRIMARY KEY, balance numeric, blocknumber "
        "bigint, updated_at timestamp, created_at timestamp) PARTITION BY HASH (wallet)");
    app(c, "CREATE TABLE w0 PARTITION OF eth_wallet_balances FOR VALUES WITH (MODULUS 2, REMAINDER "
           "0); CREATE TABLE w1 PARTITION OF eth_wallet_balances FOR VALUES WITH (MODULUS 2, "
           "REMAINDER 1)");
    ok(c, try_migrate(c, &adopted));
    assert_true(adopted.added_index);
    ok(c, try_migrate(c, &adopted));
    assert_false(adopted.added_index || adopted.index_missing);
    assert_string_equal(app_value(c, "SELECT count(*) FROM pg_index i JOIN pg_attribute a ON "
                                     "a.attrelid = i.indrelid AND a.attnum = i.indkey[0] WHERE "
                                     "a.attname = 'updated_at' AND i.indisvalid"),
                        "3");
}

/* A role that does not own the table: rows are hidden, or not, or the advice is to be followed. */
static void try_as_guest(struct contract *c, struct store_adopted *adopted, int rc)
{
    struct store *admins = c->store;
    char url[600];
    snprintf(url, sizeof url, "postgres://trueup_contract_guest%s", strchr(c->url, '@'));
    ok(c, store_open(url, NULL, "trueup test", &c->store, &c->err));
    assert_int_equal(try_migrate(c, adopted), rc);
    store_close(c->store);
    c->store = admins;
}

static void make_guest(struct contract *c)
{
    app(c, "DO $$ BEGIN CREATE ROLE trueup_contract_guest LOGIN; EXCEPTION WHEN duplicate_object "
           "OR unique_violation THEN NULL; END $$");
    app(c, "GRANT CREATE, USAGE ON SCHEMA public TO trueup_contract_guest; GRANT SELECT, INSERT, "
           "UPDATE, DELETE ON eth_wallet_balances TO trueup_contract_guest");
}

static void own_tables_stand_in_their_schema(void **state)
{
    struct contract *c = *state;
    struct store_adopted adopted;
    struct store *connections = c->store;
    ok(c, store_open(c->url, "own", "trueup test", &c->store, &c->err));
    assert_int_equal(store_check(c->store, &c->balance, 1, &c->err), -1);
    assert_non_null(strstr(c->err.text, "schema \"own\" has no table of trueup"));
    ok(c, try_migrate(c, &adopted));
    put_blocks(c, 1, 10, 0);
    write_one(c, 1, 5, 5, EVENT(5), CAUSE_EVENT);
    ok(c, store_check(c->store, &c->balance, 1, &c->err));
    assert_string_equal(app_value(c, "SELECT string_agg(DISTINCT relnamespace::regnamespace::text, "
                                     "',') FROM pg_class WHERE relname LIKE 'trueup\\_%%'"),
                        "own");
    assert_string_equal(app_value(c, "SELECT count(*) FROM public.eth_wallet_balances, "
                                     "public.eth_indexer_checkpoints"),
                        "0");
    assert_string_equal(app_value(c, "SELECT count(*) FROM own.trueup_changes"), "1");
    store_close(c->store);
    c->store = connections;
    assert_int_equal(store_check(c->store, &c->balance, 1, &c->err), -1);
    assert_non_null(strstr(c->err.text, "there is no trueup schema"));
}

static void try_own_as_guest(struct contract *c, int rc)
{
    struct store *admins = c->store;
    struct store_adopted adopted;
    char url[600];
    snprintf(url, sizeof url, "postgres://trueup_contract_guest%s", strchr(c->url, '@'));
    ok(c, store_open(url, "own", "trueup test", &c->store, &c->err));
    assert_int_equal(try_migrate(c, &adopted), rc);
    store_close(c->store);
    c->store = admins;
}

/* Each hint, followed, leads to the next step. */
static void a_schema_that_may_not_be_made_is_refused(void **state)
{
    struct contract *c = *state;
    app(c, "CREATE TABLE eth_wallet_balances (" AUDIUS ", observed_block BIGINT)");
    app(c, "CREATE TABLE eth_indexer_checkpoints (name text PRIMARY KEY, last_block bigint NOT "
           "NULL, updated_at timestamp NOT NULL DEFAULT now())");
    app(c, "DO $$ BEGIN CREATE ROLE trueup_contract_guest LOGIN; EXCEPTION WHEN duplicate_object "
           "OR unique_violation THEN NULL; END $$");
    app(c, "REVOKE CREATE ON SCHEMA public FROM public; GRANT SELECT, INSERT, UPDATE ON "
           "eth_wallet_balances, eth_indexer_checkpoints TO trueup_contract_guest");
    try_own_as_guest(c, -1);
    assert_int_equal(c->err.kind, ERR_STORE);
    assert_non_null(strstr(c->err.text, "create schema \"own\""));
    assert_non_null(
        strstr(c->err.hint, "CREATE SCHEMA \"own\" AUTHORIZATION \"trueup_contract_guest\";"));
    app(c, "CREATE SCHEMA own");
    try_own_as_guest(c, -1);
    assert_non_null(
        strstr(c->err.hint, "GRANT CREATE, USAGE ON SCHEMA own TO \"trueup_contract_guest\";"));
    app(c, "GRANT CREATE, USAGE ON SCHEMA own TO \"trueup_contract_guest\"");
    try_own_as_guest(c, 0);
}

static void advice_for_a_partitioned_table_can_be_followed(void **state)
{
    struct contract *c = *state;
    struct store_adopted adopted;
    app(c,
        "CREATE TABLE eth_wallet_balances (wallet text PRIMARY KEY, balance numeric, blocknumber "
        "bigint, updated_at timestamp, created_at timestamp, observed_block bigint) PARTITION "
        "BY HASH (wallet)");
    app(c, "CREATE TABLE w0 PARTITION OF eth_wallet_balances FOR VALUES WITH (MODULUS 1, REMAINDER "
           "0)");
    make_guest(c);
    try_as_guest(c, &adopted, 0);
    assert_true(adopted.index_missing);
    app(c, "%s", adopted.index_sql);
    try_as_guest(c, &adopted, 0);
    assert_false(adopted.index_missing);
}

static void row_security_that_hides_rows_is_refused(void **state)
{
    struct contract *c = *state;
    struct store_adopted adopted;
    app(c, "CREATE TABLE eth_wallet_balances (" AUDIUS ", observed_block bigint)");
    make_guest(c);
    app(c, "ALTER TABLE eth_wallet_balances ENABLE ROW LEVEL SECURITY; CREATE POLICY half ON "
           "eth_wallet_balances USING (wallet < '0x8')");
    try_as_guest(c, &adopted, -1);
    assert_int_equal(c->err.kind, ERR_STORE);
    assert_non_null(strstr(c->err.text, "row-level security may hide rows"));
    assert_non_null(strstr(c->err.hint, "CREATE POLICY"));
    app(c, "CREATE POLICY trueup ON eth_wallet_balances TO trueup_contract_guest USING (true) WITH "
           "CHECK (true)");
    try_as_guest(c, &adopted, 0);
    app(c, "CREATE POLICY less ON eth_wallet_balances AS RESTRICTIVE USING (balance > 0)");
    try_as_guest(c, &adopted, -1);
}

int main(int argc, char **argv)
{
#define E(f) cmocka_unit_test_setup_teardown(f, fresh_empty, gone)
    const struct CMUnitTest tests[] = {
        E(old_table_is_adopted_unanchored),
        E(schemas_are_accepted_or_refused_by_column),
        E(a_reader_in_the_way_is_waited_for),
        E(not_the_owner_is_told_what_to_run),
        E(without_an_index_the_sweep_goes_on),
        E(triggers_of_the_application_see_real_changes_only),
        E(times_are_utc_whatever_the_server_thinks),
        E(odd_balances_are_replaced),
        E(numeric_with_a_scale_in_its_display_is_equal),
        E(other_schema_other_collation_partitions),
        E(a_partitioned_table_gets_its_index),
        E(advice_for_a_partitioned_table_can_be_followed),
        E(own_tables_stand_in_their_schema),
        E(a_schema_that_may_not_be_made_is_refused),
        E(row_security_that_hides_rows_is_refused),
    };
    return contract_main(argc, argv, "adopt", tests, sizeof tests / sizeof tests[0]);
}
