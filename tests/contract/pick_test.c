/* Which wallets come next, and that nothing at the head of the queue can stop the sweep. */
#include "contract.h"

#include <string.h>

struct sweep {
    struct contract *c;
    struct store_cursor cursor;
    struct store_pick pick;
    struct store_stale *got;
    size_t n;
    bool lap;
};

static struct sweep sweep_of(struct contract *c, size_t want)
{
    return (struct sweep){.c = c, .pick = {.want = want, .max_observed = UINT64_MAX}};
}

static void claim(struct sweep *s)
{
    s->pick.cursor = &s->cursor;
    s->pick.arena = &s->c->arena;
    ok(s->c, store_claim_stale(s->c->store, &s->c->balance, &s->pick, &s->got, &s->n, &s->c->err));
    s->lap = s->cursor.lap;
    assert_true(s->n <= s->pick.want);
}

static bool claimed(const struct sweep *s, unsigned wallet)
{
    address w = wallet_no(wallet);
    for (size_t i = 0; i < s->n; i++)
        if (address_equal(&s->got[i].wallet, &w))
            return true;
    return false;
}

/* Refreshes what was claimed, as the sweep does. */
static void answer(struct sweep *s, uint64_t at)
{
    struct store_applied done;
    for (size_t i = 0; i < s->n; i++) {
        struct store_write w = {.wallet = s->got[i].wallet, .insert = INSERT_IF_LISTED};
        struct store_batch batch = {.balance = &s->c->balance,
                                    .cause = CAUSE_SWEEP,
                                    .at = block_no(at, 0),
                                    .writes = &w,
                                    .n_writes = 1};
        ok(s->c, store_apply(s->c->store, &batch, &s->c->arena, &done, &s->c->err));
        assert_int_equal(done.refreshed + done.inserted + done.changed, 1);
    }
}

/* Rows `from`…`to` as an application left them; seconds since 2001 grow by one a row. */
static void old_rows(struct contract *c, unsigned from, unsigned to)
{
    for (unsigned i = from; i <= to; i++)
        app(c,
            "INSERT INTO eth_wallet_balances (wallet, balance, updated_at, observed_block) "
            "VALUES ('%s', '0', '2001-01-01 00:%02u:%02u', 1)",
            wallet_text(i), i / 60 % 60, i % 60);
}

static void placeholders(struct contract *c, unsigned from, unsigned to)
{
    char prefix[ADDRESS_TEXT];
    address w = wallet_no(0);
    address_text(&w, prefix);
    prefix[ADDRESS_TEXT - 1 - 8] = '\0';
    if (on_postgres)
        app(c,
            "INSERT INTO eth_wallet_balances (wallet, balance, updated_at) SELECT '%s' || "
            "lpad(to_hex(i), 8, '0'), 0, '1970-01-01' FROM generate_series(%u, %u) i",
            prefix, from, to);
    else
        app(c,
            "WITH RECURSIVE n(i) AS (SELECT %u UNION ALL SELECT i + 1 FROM n WHERE i < %u) "
            "INSERT INTO eth_wallet_balances (wallet, balance, updated_at) SELECT '%s' || "
            "printf('%%08x', i), '0', '1970-01-01 00:00:00' FROM n",
            from, to, prefix);
}

static void poison(struct contract *c, unsigned from, unsigned to)
{
    struct store_applied done;
    size_t n = to - from + 1;
    struct store_failure *f = arena_zero(&c->arena, n, sizeof *f);
    for (unsigned i = 0; i < n; i++)
        f[i] = (struct store_failure){.wallet = wallet_no(from + i), .reason = "held: reverted"};
    struct store_batch batch = {
        .balance = &c->balance, .at = block_no(1, 0), .failures = f, .n_failures = n};
    ok(c, store_apply(c->store, &batch, &c->arena, &done, &c->err));
}

/* As a writer in another time zone leaves them: no lap may pass them by until their time comes. */
static void rows_dated_ahead_are_read(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 1, 100, 0);
    old_rows(c, 1, 3);
    app(c, "UPDATE eth_wallet_balances SET updated_at = '2999-01-01 00:00:00' WHERE wallet = '%s'",
        wallet_text(2));
    struct sweep s = sweep_of(c, 10);
    bool seen = false;
    for (unsigned round = 0; round < 3 && !seen; round++) {
        claim(&s);
        seen = claimed(&s, 2);
        answer(&s, 50);
    }
    assert_true(seen);
}

static void oldest_first(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 1, 100, 0);
    old_rows(c, 1, 30);
    struct sweep s = sweep_of(c, 10);
    for (unsigned round = 0; round < 3; round++) {
        claim(&s);
        assert_int_equal(s.n, 10);
        for (unsigned i = 1; i <= 10; i++)
            assert_true(claimed(&s, round * 10 + i));
        answer(&s, 50);
    }
    if (!s.lap) { /* the end is seen with the last row, or by finding none after it */
        claim(&s);
        assert_int_equal(s.n, 0);
        assert_true(s.lap);
    }
    assert_int_equal(s.cursor.laps, 1);
    claim(&s); /* the next lap begins with the oldest again */
    assert_int_equal(s.n, 10);
    for (unsigned i = 1; i <= 10; i++)
        assert_true(claimed(&s, i));
}

static void every_row_once_a_lap(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 1, 100, 0);
    placeholders(c, 1, 500);
    old_rows(c, 501, 520);
    struct sweep s = sweep_of(c, 37);
    for (int lap = 0; lap < 3; lap++) {
        size_t seen = 0, ticks = 0;
        do {
            claim(&s);
            seen += s.n;
            answer(&s, 50);
        } while (!s.lap && ++ticks < 100);
        /* those refreshed since a lap's start belong to the next one */
        assert_in_range(seen, lap == 0 ? 520 : 520 - 37, 520);
    }
    assert_string_equal(app_value(c, "SELECT count(*) FROM eth_wallet_balances WHERE "
                                     "observed_block = 50"),
                        "520");
}

static void placeholders_in_the_middle_of_a_pass_are_next(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 1, 100, 0);
    old_rows(c, 1, 40);
    struct sweep s = sweep_of(c, 10);
    claim(&s);
    answer(&s, 50);
    placeholders(c, 100, 104);
    claim(&s);
    for (unsigned i = 100; i <= 104; i++)
        assert_true(claimed(&s, i));
    assert_int_equal(s.n, 10);
    assert_true(claimed(&s, 11));
    answer(&s, 50);
    claim(&s);
    assert_true(claimed(&s, 16));
    assert_false(claimed(&s, 100));
}

/* So many wallets that always fail, at the head of the queue, as placeholders. */
static void poisoned(struct contract *c, unsigned n, size_t want)
{
    unsigned seen = 0;
    put_blocks(c, 1, 100, 0);
    placeholders(c, 1, n);
    placeholders(c, 20001, 20050);
    old_rows(c, 30001, 30050);
    poison(c, 1, n);
    struct sweep s = sweep_of(c, want);
    for (int tick = 0; tick < 40 && seen < 100; tick++) {
        claim(&s);
        for (size_t i = 0; i < s.n; i++)
            assert_false(address_compare(&s.got[i].wallet, &(address){{0xaa}}) < 0);
        for (unsigned i = 1; i <= n; i += n > 50 ? 50 : 1)
            assert_false(claimed(&s, i));
        seen += (unsigned)s.n;
        answer(&s, 50);
    }
    assert_int_equal(seen, 100);
    assert_string_equal(app_value(c, "SELECT count(*) FROM eth_wallet_balances WHERE "
                                     "observed_block = 50"),
                        "100");
}

static void one_poisoned_wallet(void **state)
{
    poisoned(*state, 1, 10);
}

static void poisoned_199(void **state)
{
    poisoned(*state, 199, 50);
}

static void poisoned_200(void **state)
{
    poisoned(*state, 200, 50);
}

static void poisoned_1000(void **state)
{
    poisoned(*state, 1000, 10);
}

static void poisoned_9000(void **state)
{
    poisoned(*state, 9000, 10); /* more than one look is allowed to pass */
}

static void an_expired_quarantine_is_claimed_again(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 1, 100, 0);
    placeholders(c, 1, 5);
    poison(c, 1, 5);
    struct sweep s = sweep_of(c, 10);
    claim(&s);
    assert_int_equal(s.n, 0);
    app(c, "UPDATE trueup_quarantine SET retry_at = '2001-01-01 00:00:00' WHERE wallet = '%s'",
        wallet_text(3));
    claim(&s);
    assert_int_equal(s.n, 1);
    assert_true(claimed(&s, 3));
    address *due;
    size_t n;
    ok(c, store_quarantine_due(c->store, &c->balance,
                               &(struct store_page){.limit = 10, .arena = &c->arena}, &due, &n,
                               &c->err));
    assert_int_equal(n, 1);
}

static void listed_without_a_row_come_first(void **state)
{
    struct contract *c = *state;
    size_t n;
    put_blocks(c, 1, 100, 0);
    placeholders(c, 1, 5);
    address w[3] = {wallet_no(71), wallet_no(72), wallet_no(2)}; /* the last has a row */
    ok(c, store_wallets_add(c->store, &c->balance, w, 3, &n, &c->err));
    struct sweep s = sweep_of(c, 2);
    claim(&s);
    assert_int_equal(s.n, 2);
    assert_true(claimed(&s, 71) && claimed(&s, 72));
    assert_false(s.got[0].has_row || s.got[1].has_row);
    answer(&s, 50);
    assert_true(has_row(c, 71) && has_row(c, 72));
    claim(&s);
    assert_int_equal(s.n, 2);
    assert_false(claimed(&s, 71) || claimed(&s, 72));
    /* a row that the application deletes is found again at the next start */
    app(c, "DELETE FROM eth_wallet_balances WHERE wallet = '%s'", wallet_text(72));
    struct store_adopted adopted;
    ok(c, store_migrate(c->store, &c->balance, 1, &adopted, &c->err));
    claim(&s);
    assert_true(claimed(&s, 72));
}

static void in_flight_are_passed_by(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 1, 100, 0);
    old_rows(c, 1, 10);
    address flying[3] = {wallet_no(1), wallet_no(3), wallet_no(5)};
    struct sweep s = sweep_of(c, 3);
    s.pick.in_flight = flying;
    s.pick.n_in_flight = 3;
    claim(&s);
    assert_int_equal(s.n, 3);
    assert_true(claimed(&s, 2) && claimed(&s, 4) && claimed(&s, 6));
}

static void observed_later_are_passed_by(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 1, 100, 0);
    old_rows(c, 1, 5);
    app(c, "UPDATE eth_wallet_balances SET observed_block = 90 WHERE wallet = '%s'",
        wallet_text(2));
    struct sweep s = sweep_of(c, 10);
    s.pick.max_observed = 60;
    claim(&s);
    assert_int_equal(s.n, 4);
    assert_false(claimed(&s, 2));
}

static void foreign_spellings_are_left_alone(void **state)
{
    struct contract *c = *state;
    struct store_stale *rows;
    size_t n;
    put_blocks(c, 1, 100, 0);
    app(c, "INSERT INTO eth_wallet_balances (wallet, balance, updated_at) VALUES "
           "('0xABCDEF00000000000000000000000000000000AB', '1', '1970-01-01 00:00:00'), "
           "('0x', '1', '1970-01-01 00:00:00'), ('', '1', '1999-01-01 00:00:00'), "
           "('zzz', '1', '1999-01-01 00:00:00')");
    old_rows(c, 1, 3);
    struct sweep s = sweep_of(c, 10);
    claim(&s);
    assert_int_equal(s.n, 3);
    ok(c, store_next_by_key(c->store, &c->balance,
                            &(struct store_page){.limit = 10, .arena = &c->arena}, &rows, &n,
                            &c->err));
    assert_int_equal(n, 3);
}

static void by_key_pages_through_all(void **state)
{
    struct contract *c = *state;
    struct store_stale *rows;
    size_t n, total = 0;
    address after = {{0}};
    put_blocks(c, 1, 100, 0);
    old_rows(c, 1, 50);
    poison(c, 10, 12);
    do {
        ok(c, store_next_by_key(c->store, &c->balance,
                                &(struct store_page){
                                    .after = total ? &after : NULL, .limit = 7, .arena = &c->arena},
                                &rows, &n, &c->err));
        for (size_t i = 1; i < n; i++)
            assert_true(address_compare(&rows[i - 1].wallet, &rows[i].wallet) < 0);
        if (n)
            after = rows[n - 1].wallet;
        total += n;
    } while (n == 7);
    assert_int_equal(total, 47);
    /* only rows older than 2001-01-01 00:00:19.5 */
    ok(c, store_next_by_key(c->store, &c->balance,
                            &(struct store_page){.before_us = INT64_C(978307219500000),
                                                 .limit = 100,
                                                 .arena = &c->arena},
                            &rows, &n, &c->err));
    assert_int_equal(n, 16);
    assert_false(rows[0].unanchored);
    assert_int_equal(rows[0].observed_block, 1);
}

int main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fresh, gone)
    const struct CMUnitTest tests[] = {
        T(oldest_first),
        T(rows_dated_ahead_are_read),
        T(every_row_once_a_lap),
        T(placeholders_in_the_middle_of_a_pass_are_next),
        T(one_poisoned_wallet),
        T(poisoned_199),
        T(poisoned_200),
        T(poisoned_1000),
        T(poisoned_9000),
        T(an_expired_quarantine_is_claimed_again),
        T(listed_without_a_row_come_first),
        T(in_flight_are_passed_by),
        T(observed_later_are_passed_by),
        T(foreign_spellings_are_left_alone),
        T(by_key_pages_through_all),
    };
    return contract_main(argc, argv, "pick", tests, sizeof tests / sizeof tests[0]);
}
