/* What requests cost: the providers' published figures, and a user's own table. */
#include "base/mem.h"
#include "rpc/cost.h"
#include "rpc/price.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void published_prices(void **state)
{
    static const struct {
        const char *list, *method;
        uint64_t units;
    } cases[] = {
        {"alchemy", "eth_blockNumber", 10},
        {"alchemy", "eth_getBlockByNumber", 20},
        {"alchemy", "eth_getBlockByHash", 20},
        {"alchemy", "eth_call", 26},
        {"alchemy", "eth_getLogs", 60},
        {"alchemy", "eth_chainId", 0},
        {"alchemy", "eth_subscribe", 10},
        {"infura", "eth_blockNumber", 80},
        {"infura", "eth_call", 80},
        {"infura", "eth_getLogs", 255},
        {"infura", "eth_subscribe", 5},
        {"quicknode", "eth_call", 20},
        {"quicknode", "eth_getLogs", 20},
        {"flat", "eth_getLogs", 1},
        {"flat", "anything", 1},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct conf_endpoint e = {.price = cases[i].list};
        if (price_of(&e, cases[i].method) != cases[i].units)
            fail_msg("%s %s costs %llu", cases[i].list, cases[i].method,
                     (unsigned long long)price_of(&e, cases[i].method));
    }
}

/* A block on mainnet as Infura bills it: the head, its logs, one read. */
static void a_block_at_infura(void **state)
{
    struct conf_endpoint e = {.price = "infura"};
    (void)state;
    assert_int_equal(price_of(&e, "eth_getBlockByNumber") + price_of(&e, "eth_getLogs") +
                         price_of(&e, "eth_call"),
                     80 + 255 + 80);
}

static void pushes_have_prices(void **state)
{
    static const struct {
        const char *list;
        uint64_t head, log, again;
    } cases[] = {{"alchemy", 60000, 60000, 60000},
                 {"infura", 50000, 300000, 0},
                 {"quicknode", 20000, 20000, 20000},
                 {"flat", 1000, 1000, 1000}};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct conf_endpoint e = {.price = cases[i].list};
        assert_int_equal(price_of_push(&e, PRICE_PUSH_HEAD, 1500), cases[i].head);
        assert_int_equal(price_of_push(&e, PRICE_PUSH_LOG, 1500), cases[i].log);
        assert_int_equal(price_of_push(&e, PRICE_PUSH_LOG_AGAIN, 1500), cases[i].again);
    }
    const struct conf_price rows[] = {{"eth_call", 7}, {"eth_subscribe", 2}};
    struct conf_endpoint own = {.prices = rows, .n_prices = COUNT_OF(rows)};
    assert_int_equal(price_of_push(&own, PRICE_PUSH_HEAD, 1500), 2000);
}

/* Requests a block, at one unit each: blocks of 12 s, 2 s and 0.25 s. */
static void following_costs_a_few_requests_a_block(void **state)
{
    static const struct {
        int64_t block_ms;
        double idle, busy;
    } cases[] = {{12000, 3.2, 4.2}, {2000, 2.2, 3.2}, {250, 0.4, 0.4}};
    struct conf_endpoint e = {.price = "flat"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct cost_shape s = {.block_ms = cases[i].block_ms};
        struct cost_day d = cost_of_following(&e, &s);
        double blocks = 86400e3 / (double)cases[i].block_ms;
        assert_true((double)d.idle / blocks <= cases[i].idle);
        assert_true((double)d.busy / blocks <= cases[i].busy);
        assert_true(d.idle_bloom <= d.idle && d.idle <= d.busy);
    }
}

static void own_table(void **state)
{
    const struct conf_price rows[] = {{"eth_call", 7}, {"eth_getLogs", 50}, {"eth_chainId", 0}};
    struct conf_endpoint e = {.prices = rows, .n_prices = COUNT_OF(rows)};
    (void)state;
    assert_int_equal(price_of(&e, "eth_call"), 7);
    assert_int_equal(price_of(&e, "eth_chainId"), 0);
    /* Left out: as the dearest, so that the budget holds. */
    assert_int_equal(price_of(&e, "eth_getBlockByHash"), 50);
    e.n_prices = 0;
    assert_int_equal(price_of(&e, "eth_call"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_prices),
        cmocka_unit_test(a_block_at_infura),
        cmocka_unit_test(pushes_have_prices),
        cmocka_unit_test(following_costs_a_few_requests_a_block),
        cmocka_unit_test(own_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
