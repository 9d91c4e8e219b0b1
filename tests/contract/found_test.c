/* Holders on their way to the table, and walks over all wallets. */
#include "contract.h"

#include "store/holders.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_wallet(const void *a, const void *b)
{
    return address_compare(a, b);
}

/* Wallets first … first + n − 1, each with the block, in key order. */
static struct named_holder *some(struct contract *c, unsigned first, unsigned n, uint64_t block)
{
    struct named_holder *list = arena_zero(&c->arena, n, sizeof *list);
    for (unsigned i = 0; i < n; i++)
        list[i] = (struct named_holder){wallet_no(first + i), block};
    qsort(list, n, sizeof *list, by_wallet);
    return list;
}

static void put(struct contract *c, unsigned first, unsigned n, uint64_t block)
{
    ok(c, store_holders_put(c->store, &c->balance, some(c, first, n, block), n,
                            &(struct store_note){"backfill:audio", "here"}, &c->err));
}

static uint64_t count(struct contract *c)
{
    uint64_t n = 99;
    ok(c, store_holders_count(c->store, &c->balance, &n, &c->err));
    return n;
}

static size_t next(struct contract *c, enum holders_which which, const address *after, size_t limit,
                   struct named_holder **ret)
{
    size_t n;
    ok(c,
       store_holders_next(c->store, &c->balance,
                          &(struct holders_page){
                              .which = which, .after = after, .limit = limit, .arena = &c->arena},
                          ret, &n, &c->err));
    return n;
}

static void blocks_are_raised_and_never_lowered(void **state)
{
    struct contract *c = *state;
    const char *text;
    struct named_holder *list;
    put(c, 1, 5, 100);
    put(c, 3, 5, 50);
    put(c, 5, 1, 200);
    assert_int_equal(count(c), 7);
    assert_int_equal(next(c, HOLDERS_UNREAD, NULL, 100, &list), 7);
    for (size_t i = 0; i < 7; i++) {
        if (i > 0)
            assert_true(address_compare(&list[i - 1].wallet, &list[i].wallet) < 0);
        uint64_t wanted = 50;
        for (unsigned w = 1; w <= 5; w++) {
            address known = wallet_no(w);
            if (address_equal(&list[i].wallet, &known))
                wanted = w == 5 ? 200 : 100;
        }
        assert_int_equal(list[i].block, wanted);
    }
    ok(c, store_state_get(c->store, "backfill:audio", &c->arena, &text, &c->err));
    assert_string_equal(text, "here");
    ok(c, store_holders_clear(c->store, &c->balance, &c->err));
    assert_int_equal(count(c), 0);
}

static void pages_lead_through_all(void **state)
{
    struct contract *c = *state;
    address after;
    struct named_holder *page;
    size_t n, all = 0;
    put(c, 1, 25, 100);
    do {
        n = next(c, HOLDERS_UNREAD, all ? &after : NULL, 10, &page);
        if (n > 0)
            after = page[n - 1].wallet;
        all += n;
    } while (n == 10);
    assert_int_equal(all, 25);
}

/* A holder is read once: when its row answers its last event, it is passed by. */
static void rows_that_answer_are_passed_by(void **state)
{
    struct contract *c = *state;
    struct named_holder *list;
    address unread = wallet_no(2), none = wallet_no(3);
    put_blocks(c, 90, 120, 0);
    put(c, 1, 3, 100);
    write_one(c, 1, 7, 110, EVENT(100), CAUSE_BACKFILL);
    write_one(c, 2, 7, 110, EVENT(99), CAUSE_EVENT); /* an earlier event */
    assert_int_equal(next(c, HOLDERS_UNREAD, NULL, 10, &list), 2);
    assert_int_equal(next(c, HOLDERS_WITHOUT_ROW, NULL, 10, &list), 1);
    assert_true(address_equal(&list[0].wallet, &none));
    write_one(c, 3, 7, 110, SWEEP, CAUSE_SWEEP); /* no event at all */
    assert_int_equal(next(c, HOLDERS_WITHOUT_ROW, NULL, 10, &list), 0);
    assert_int_equal(next(c, HOLDERS_UNREAD, NULL, 10, &list), 2);
    write_one(c, 3, 7, 110, EVENT(100), CAUSE_BACKFILL);
    assert_int_equal(next(c, HOLDERS_UNREAD, NULL, 10, &list), 1);
    assert_true(address_equal(&list[0].wallet, &unread));
    /* Made unanchored, it answers nothing. */
    app(c, "UPDATE eth_wallet_balances SET observed_block = NULL");
    assert_int_equal(next(c, HOLDERS_UNREAD, NULL, 10, &list), 3);
}

static void keys_are_all_rows_that_are_wallets(void **state)
{
    struct contract *c = *state;
    address *page, after;
    size_t n, all = 0;
    put_blocks(c, 90, 120, 0);
    for (unsigned i = 1; i <= 12; i++)
        write_one(c, i, i, 100, SWEEP, CAUSE_SWEEP);
    app(c, "INSERT INTO eth_wallet_balances (wallet, balance) VALUES ('nobody', '1')");
    app(c,
        "INSERT INTO trueup_quarantine (balance, wallet, failures, reason, retry_at) VALUES "
        "('%s', '%s', 1, 'x', '2999-01-01 00:00:00')",
        c->balance.name, wallet_text(3));
    do {
        ok(c, store_keys(c->store, &c->balance,
                         &(struct store_page){
                             .after = all ? &after : NULL, .limit = 5, .arena = &c->arena},
                         &page, &n, &c->err));
        for (size_t i = 0; i < n; i++) {
            if (all + i > 0)
                assert_true(address_compare(&after, &page[i]) < 0);
            after = page[i];
        }
        all += n;
    } while (n == 5);
    assert_int_equal(all, 12);
}

static void who_has_no_row(void **state)
{
    struct contract *c = *state;
    address list[6];
    bool without[6];
    put_blocks(c, 90, 120, 0);
    for (unsigned i = 0; i < 6; i++)
        list[i] = wallet_no(i + 1);
    qsort(list, 6, sizeof *list, by_wallet);
    for (unsigned i = 1; i <= 6; i += 2)
        write_one(c, i, i, 100, SWEEP, CAUSE_SWEEP);
    ok(c, store_without_row(c->store, &c->balance, list, 6, without, &c->err));
    for (unsigned i = 1; i <= 6; i++) {
        address w = wallet_no(i);
        const address *at = bsearch(&w, list, 6, sizeof *list, by_wallet);
        assert_int_equal(without[at - list], i % 2 == 0);
    }
}

struct named {
    address list[16];
    size_t n;
};

static void take(void *ctx, const address *wallets, size_t n)
{
    struct named *named = ctx;
    for (size_t i = 0; i < n; i++)
        named->list[named->n++] = wallets[i];
}

static void all_that_a_query_names(void **state)
{
    struct contract *c = *state;
    struct named named = {0};
    uint64_t odd = 99;
    c->balance.tracking = STORE_QUERY;
    c->balance.query = "SELECT who FROM people WHERE $1::text[] IS NULL OR who = ANY($1)";
    if (!on_postgres) {
        assert_int_equal(store_walk_query(c->store, &c->balance, take, &named, &odd, &c->err), -1);
        assert_int_equal(c->err.kind, ERR_STORE);
        return;
    }
    app(c, "CREATE TABLE people (who TEXT)");
    app(c, "INSERT INTO people VALUES ('%s'), (upper('%s')), ('nobody'), (NULL)", wallet_text(1),
        wallet_text(2));
    ok(c, store_walk_query(c->store, &c->balance, take, &named, &odd, &c->err));
    assert_int_equal(named.n, 2);
    assert_int_equal(odd, 2);
    c->balance.query = "SELECT nothing FROM nowhere";
    assert_int_equal(store_walk_query(c->store, &c->balance, take, &named, &odd, &c->err), -1);
    assert_non_null(strstr(c->err.text, "wallets query of balance"));
    assert_int_equal(count(c), 0); /* the connection still serves */
}

static void an_older_schema_gets_the_table(void **state)
{
    struct contract *c = *state;
    struct store_adopted done;
    app(c, "DROP TABLE trueup_found");
    app(c, "ALTER TABLE trueup_dirty DROP COLUMN endpoint"); /* of schema 3 */
    app(c, "DROP TABLE trueup_lease");                       /* of schema 4 */
    app(c, "DROP TABLE trueup_fence");
    app(c, "ALTER TABLE trueup_blocks RENAME COLUMN on_chain TO canonical");
    app(c, "UPDATE trueup_state SET value = '1' WHERE key = 'schema'");
    assert_int_equal(store_check(c->store, &c->balance, 1, &c->err), -1);
    ok(c, store_migrate(c->store, &c->balance, 1, &done, &c->err));
    put(c, 1, 3, 10);
    assert_int_equal(count(c), 3);
    /* Another chain's holders are none of this one's. */
    ok(c, store_reset_chain(c->store, &c->balance, 1, &c->err));
    assert_int_equal(count(c), 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, fresh, gone)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(blocks_are_raised_and_never_lowered),
        T(pages_lead_through_all),
        T(rows_that_answer_are_passed_by),
        T(keys_are_all_rows_that_are_wallets),
        T(who_has_no_row),
        T(all_that_a_query_names),
        T(an_older_schema_gets_the_table),
    };
    return contract_main(argc, argv, "found", tests, sizeof tests / sizeof tests[0]);
}
