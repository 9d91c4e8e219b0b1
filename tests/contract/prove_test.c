/* What those who prove ask of the store: the ledger of drift, fair samples, rows as they stand. */
#include "contract.h"

#include "base/random.h"
#include "store/audit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the ledger ------------------------------------------------------------------------------ */

static struct store_old find_at(struct contract *c, unsigned wallet, uint64_t value, uint64_t at,
                                uint64_t explained_below, size_t *drifted)
{
    struct store_write w = {.wallet = wallet_no(wallet), .value = u256_of(value)};
    struct store_batch batch = {.balance = &c->balance,
                                .cause = CAUSE_SWEEP,
                                .at = block_no(at, 0),
                                .writes = &w,
                                .n_writes = 1,
                                .files_drift = true,
                                .explained_below = explained_below};
    struct store_applied done;
    ok(c, store_apply(c->store, &batch, &c->arena, &done, &c->err));
    *drifted = done.drifted;
    return done.olds[0];
}

static uint64_t records(struct contract *c)
{
    return strtoull(app_value(c, "SELECT count(*) FROM trueup_drift"), NULL, 10);
}

static void a_silent_change_is_filed_with_its_write(void **state)
{
    struct contract *c = *state;
    size_t drifted;
    put_blocks(c, 1, 100, 0);
    write_one(c, 1, 5, 50, EVENT(50), CAUSE_EVENT);
    app(c, "UPDATE eth_wallet_balances SET updated_at = '2020-01-01 00:00:00'");
    struct store_old old = find_at(c, 1, 7, 60, 0, &drifted);
    assert_int_equal(drifted, 1);
    assert_true(old.drifted && old.drift_id > 0);
    struct view_drift *d;
    size_t n;
    address w = wallet_no(1);
    ok(c, view_drift_latest(
              c->store,
              &(struct view_ask){.b = &c->balance, .wallets = &w, .limit = 10, .arena = &c->arena},
              &d, &n, &c->err));
    assert_int_equal(n, 1);
    assert_int_equal(d->id, old.drift_id);
    assert_int_equal(d->block, 60);
    assert_string_equal(d->stored, "5");
    assert_string_equal(d->actual, "7");
    assert_string_equal(d->cause, "unknown");
    assert_true(d->has_age && d->age > 86400);
    assert_null(d->endpoint);
    ok(c, store_drift_set_cause(c->store, &d->id, 1, "missed_log", "local", &c->err));
    ok(c, view_drift_latest(
              c->store,
              &(struct view_ask){.b = &c->balance, .wallets = &w, .limit = 10, .arena = &c->arena},
              &d, &n, &c->err));
    assert_string_equal(d->cause, "missed_log");
    assert_string_equal(d->endpoint, "local");
    ok(c, store_drift_set_cause(c->store, &d->id, 1, "no_event_change", NULL, &c->err));
    ok(c, view_drift_latest(
              c->store,
              &(struct view_ask){.b = &c->balance, .wallets = &w, .limit = 10, .arena = &c->arena},
              &d, &n, &c->err));
    assert_null(d->endpoint);
    ok(c, store_drift_drop(c->store, &d->id, 1, &c->err));
    assert_int_equal(records(c), 0);
}

/* Once for each wallet and block; a record of the sweep that found no event gets the cause. */
static void a_missed_log_is_filed_once(void **state)
{
    struct contract *c = *state;
    size_t drifted;
    uint64_t filed;
    struct store_missed m[2] = {
        {.wallet = wallet_no(1), .block = 55, .endpoint = "first"},
        {.wallet = wallet_no(2), .block = 58, .endpoint = "first"},
    };
    put_blocks(c, 1, 100, 0);
    write_one(c, 1, 5, 50, EVENT(50), CAUSE_EVENT);
    find_at(c, 1, 7, 60, 0, &drifted);
    ok(c, store_drift_file_missed(c->store, &c->balance, m, 2, &filed, &c->err));
    assert_int_equal(filed, 2);
    assert_int_equal(records(c), 2);
    assert_string_equal(app_value(c, "SELECT count(*) FROM trueup_drift WHERE cause = "
                                     "'missed_log' AND endpoint = 'first'"),
                        "2");
    ok(c, store_drift_file_missed(c->store, &c->balance, m, 2, &filed, &c->err));
    assert_int_equal(filed, 0);
    m[1].block = 59; /* a later event of the same wallet */
    ok(c, store_drift_file_missed(c->store, &c->balance, m, 2, &filed, &c->err));
    assert_int_equal(filed, 1);
    assert_int_equal(records(c), 3);
}

/* Each is a difference that an event, or the row's own state, explains. */
static void what_is_explained_is_no_drift(void **state)
{
    struct contract *c = *state;
    size_t drifted, sum = 0;
    put_blocks(c, 1, 100, 0);
    for (unsigned i = 1; i <= 6; i++)
        write_one(c, i, 5, 50, EVENT(50), CAUSE_EVENT);
    find_at(c, 1, 5, 60, 0, &drifted); /* nothing differs */
    sum += drifted;
    find_at(c, 1, 7, 40, 0, &drifted); /* read at an older block */
    sum += drifted;
    app(c, "UPDATE eth_wallet_balances SET observed_block = NULL WHERE wallet = '%s'",
        wallet_text(2));
    find_at(c, 2, 7, 60, 0, &drifted); /* was not anchored */
    sum += drifted;
    app(c, "UPDATE eth_wallet_balances SET blocknumber = 55 WHERE wallet = '%s'", wallet_text(3));
    find_at(c, 3, 7, 60, 0, &drifted); /* an event named it since */
    sum += drifted;
    find_at(c, 4, 7, 60, 58, &drifted); /* every row was due */
    sum += drifted;
    struct store_failure f = {.wallet = wallet_no(5), .reason = "held: reverted"};
    struct store_batch failed = {
        .balance = &c->balance, .at = block_no(55, 0), .failures = &f, .n_failures = 1};
    struct store_applied done;
    ok(c, store_apply(c->store, &failed, &c->arena, &done, &c->err));
    find_at(c, 5, 7, 60, 0, &drifted); /* could not be read for a while */
    sum += drifted;
    find_at(c, 7, 7, 60, 0, &drifted); /* has no row */
    sum += drifted;
    write_one(c, 6, 7, 60, EVENT(60), CAUSE_EVENT); /* an event's step does not file */
    assert_int_equal(sum, 0);
    assert_int_equal(records(c), 0);
    find_at(c, 4, 8, 70, 60, &drifted); /* read since every row was due: now it is one */
    assert_int_equal(drifted, 1);
}

static void many_are_filed_at_once(void **state)
{
    enum { MANY = 500 };
    struct contract *c = *state;
    static struct store_write w[MANY];
    struct store_applied done;
    put_blocks(c, 1, 100, 0);
    for (unsigned i = 0; i < MANY; i++)
        w[i] = (struct store_write){
            .wallet = wallet_no(i), .value = u256_of(i), .insert = INSERT_ALWAYS};
    struct store_batch batch = {.balance = &c->balance,
                                .cause = CAUSE_SWEEP,
                                .at = block_no(50, 0),
                                .writes = w,
                                .n_writes = MANY,
                                .files_drift = true};
    for (unsigned i = 0; i < MANY; i++)
        for (unsigned k = i; k > 0 && address_compare(&w[k].wallet, &w[k - 1].wallet) < 0; k--) {
            struct store_write t = w[k];
            w[k] = w[k - 1];
            w[k - 1] = t;
        }
    ok(c, store_apply(c->store, &batch, &c->arena, &done, &c->err));
    assert_int_equal(done.drifted, 0);
    batch.at = block_no(60, 0);
    for (unsigned i = 0; i < MANY; i += 2)
        w[i].value = u256_of(i + 1000);
    ok(c, store_apply(c->store, &batch, &c->arena, &done, &c->err));
    assert_int_equal(done.drifted, MANY / 2);
    assert_int_equal(records(c), MANY / 2);
    for (unsigned i = 0; i < MANY; i += 2) {
        char text[ADDRESS_TEXT];
        address_text(&w[i].wallet, text);
        assert_string_equal(app_value(c, "SELECT wallet FROM trueup_drift WHERE id = %llu",
                                      (unsigned long long)done.olds[i].drift_id),
                            text);
    }
}

static void file_at(struct contract *c, unsigned id, const char *when)
{
    app(c,
        "INSERT INTO trueup_drift (id, balance, wallet, stored, actual, block, cause, found_at) "
        "VALUES (%u, 'audio', '0x', '1', '2', 3, 'unknown', %s)",
        id, when);
}

static void the_ledger_is_bounded(void **state)
{
    struct contract *c = *state;
    const char *now = on_postgres ? "CURRENT_TIMESTAMP" : "strftime('%Y-%m-%d %H:%M:%f', 'now')";
    file_at(c, 1, "'2020-01-01 00:00:00'");
    file_at(c, 2, now);
    file_at(c, 3, now);
    ok(c, store_drift_prune(c->store, &c->err));
    assert_string_equal(app_value(c, "SELECT min(id) FROM trueup_drift"), "2"); /* too old */
    file_at(c, 1000002, now);
    ok(c, store_drift_prune(c->store, &c->err));
    assert_string_equal(app_value(c, "SELECT min(id) FROM trueup_drift"), "3"); /* too many */
}

static void a_replaced_block_is_known(void **state)
{
    struct contract *c = *state;
    struct anchor other = block_no(20, 1);
    bool replaced;
    uint64_t rows;
    put_blocks(c, 10, 30, 0);
    ok(c, store_headers_put(c->store, &other, 1, &c->err));
    ok(c, store_header_replaced(c->store, 20, &replaced, &c->err));
    assert_true(replaced);
    ok(c, store_header_replaced(c->store, 21, &replaced, &c->err));
    assert_false(replaced);
    ok(c, store_rewind(c->store, &c->balance, 1, 28, &rows, &c->err));
    other = block_no(40, 1);
    ok(c, store_headers_put(c->store, &other, 1, &c->err));
    ok(c, store_header_replaced(c->store, 27, &replaced, &c->err));
    assert_false(replaced);
    ok(c, store_header_replaced(c->store, 29, &replaced, &c->err));
    assert_true(replaced);
}

static void rows_stand_beside_their_wallets(void **state)
{
    struct contract *c = *state;
    struct store_row rows[3];
    put_blocks(c, 1, 100, 0);
    address wallets[3] = {wallet_no(1), wallet_no(2), wallet_no(3)};
    assert_int_equal(addresses_sort_unique(wallets, 3), 3);
    address has = wallets[2], odd = wallets[0];
    char text[ADDRESS_TEXT];
    struct store_write w = {.wallet = has, .value = u256_of(9), .insert = INSERT_ALWAYS};
    struct store_batch batch = {
        .balance = &c->balance, .at = block_no(50, 0), .writes = &w, .n_writes = 1};
    struct store_applied done;
    ok(c, store_apply(c->store, &batch, &c->arena, &done, &c->err));
    address_text(&odd, text);
    app(c, "INSERT INTO eth_wallet_balances (wallet, balance) VALUES ('%s', '-1')", text);
    ok(c, store_rows(c->store, &c->balance, wallets, 3, rows, &c->err));
    assert_true(rows[0].found && rows[0].odd && !rows[0].has_observed);
    assert_false(rows[1].found);
    assert_true(rows[2].found && !rows[2].odd && rows[2].has_observed);
    assert_int_equal(rows[2].observed_block, 50);
    assert_int_equal(rows[2].balance.limb[0], 9);
    assert_true(rows[2].created_us > 0 && rows[2].created_us == rows[2].updated_us);
    assert_false(rows[2].waiting);
}

/* ---- samples --------------------------------------------------------------------------------- */

static bool sorted_and_unique(const address *list, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (address_compare(&list[i - 1], &list[i]) >= 0)
            return false;
    return true;
}

/* Rows that stand together (vanity addresses, say) and rows that stand alone are drawn alike. */
static void every_row_is_as_likely(void **state)
{
    enum { ROWS = 60, WANT = 12, ROUNDS = 1500 };
    struct contract *c = *state;
    unsigned crowd = 0;
    for (unsigned i = 0; i < ROWS; i++) /* two thirds of them in one corner of the key space */
        app(c, "INSERT INTO eth_wallet_balances (wallet, balance) VALUES ('0x%s%038x', '1')",
            i < 2 * ROWS / 3 ? "00" : "f7", i * 7919);
    for (unsigned r = 0; r < ROUNDS; r++) {
        address *list;
        size_t n;
        ok(c, store_sample(c->store, &c->balance,
                           &(struct store_page){.limit = WANT, .arena = &c->arena}, &list, &n,
                           &c->err));
        assert_int_equal(n, WANT);
        assert_true(sorted_and_unique(list, n));
        for (size_t i = 0; i < n; i++)
            crowd += list[i].b[0] == 0;
        arena_clear(&c->arena);
    }
    double share = (double)crowd / (ROUNDS * WANT), sigma = sqrt(2.0 / 9 / (ROUNDS * WANT));
    if (fabs(share - 2.0 / 3) > 5 * sigma)
        fail_msg("two thirds of the rows are %.4f of the samples", share);
    address *list;
    size_t n;
    ok(c, store_sample(c->store, &c->balance,
                       &(struct store_page){.limit = ROWS + 1, .arena = &c->arena}, &list, &n,
                       &c->err));
    assert_int_equal(n, ROWS);
}

static double number_in(const char *text)
{
    return strtod(text, NULL);
}

/* A table large enough to be drawn from by places, and swept so that its pages are unequally full.
 */
static void a_bloated_table_is_drawn_from_fairly(void **state)
{
    enum { WANT = 4000 };
    struct contract *c = *state;
    if (!on_postgres)
        return; /* there it is a walk, as in the test before */
    app(c, "INSERT INTO eth_wallet_balances (wallet, balance) SELECT '0x' || lpad(to_hex(i), 40, "
           "'0'), 1 FROM generate_series(1, 220000) i");
    app(c, "DELETE FROM eth_wallet_balances WHERE wallet < '0x' || lpad(to_hex(110000), 40, '0') "
           "AND right(wallet, 1) <> '0'");
    app(c, "UPDATE eth_wallet_balances SET balance = 2 WHERE right(wallet, 1) = '7'");
    double rows = number_in(app_value(c, "SELECT count(*) FROM eth_wallet_balances"));
    double thin =
        number_in(app_value(c, "SELECT count(*) FROM eth_wallet_balances WHERE wallet < '0x' "
                               "|| lpad(to_hex(110000), 40, '0')"));
    double moved =
        number_in(app_value(c, "SELECT count(*) FROM eth_wallet_balances WHERE balance = 2"));
    address *list;
    size_t n, in_thin = 0, in_moved = 0;
    ok(c,
       store_sample(c->store, &c->balance, &(struct store_page){.limit = WANT, .arena = &c->arena},
                    &list, &n, &c->err));
    assert_int_equal(n, WANT);
    assert_true(sorted_and_unique(list, n));
    for (size_t i = 0; i < n; i++) {
        unsigned number =
            (unsigned)list[i].b[17] << 16 | (unsigned)list[i].b[18] << 8 | list[i].b[19];
        in_thin += number < 110000;
        in_moved += (number & 15) == 7;
    }
    double p = thin / rows, q = moved / rows;
    if (fabs((double)in_thin / WANT - p) > 5 * sqrt(p * (1 - p) / WANT) ||
        fabs((double)in_moved / WANT - q) > 5 * sqrt(q * (1 - q) / WANT))
        fail_msg("of the sample %zu and %zu of %d, of the table %.4f and %.4f", in_thin, in_moved,
                 WANT, p, q);
}

int main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fresh, gone)
    const struct CMUnitTest tests[] = {
        T(a_silent_change_is_filed_with_its_write),
        T(a_missed_log_is_filed_once),
        T(what_is_explained_is_no_drift),
        T(many_are_filed_at_once),
        T(the_ledger_is_bounded),
        T(a_replaced_block_is_known),
        T(rows_stand_beside_their_wallets),
        T(every_row_is_as_likely),
        T(a_bloated_table_is_drawn_from_fairly),
    };
    return contract_main(argc, argv, "prove", tests, sizeof tests / sizeof tests[0]);
}
