/* What requests cost: the providers' published figures, and a user's own table. */
#include "base/mem.h"
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
        cmocka_unit_test(own_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
