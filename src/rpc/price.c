#include "rpc/price.h"
#include "base/mem.h"

#include <string.h>

struct row {
    const char *list;
    const char *method; /* NULL: any other */
    uint64_t units;
};

/* The lists as the providers publish them: Alchemy's compute units, Infura's credits, QuickNode's
 * credits on Ethereum and its rollups. The first row that fits counts. */
static const struct row rows[] = {
    {"alchemy", "eth_chainId", 0},
    {"alchemy", "eth_blockNumber", 10},
    {"alchemy", "eth_subscribe", 10},
    {"alchemy", "eth_unsubscribe", 10},
    {"alchemy", "eth_call", 26},
    {"alchemy", "eth_getLogs", 60},
    {"alchemy", NULL, 20},
    {"infura", "eth_getLogs", 255},
    {"infura", "eth_subscribe", 5},
    {"infura", NULL, 80},
    {"quicknode", NULL, 20},
};

/* Thousandths of a unit, for each push and for each of its bytes. */
static const struct {
    const char *list;
    uint64_t head, log, log_again, byte;
} pushes[] = {
    {"alchemy", 0, 0, 0, 40},
    {"infura", 50000, 300000, 0, 0}, /* for each block that has logs */
    {"quicknode", 20000, 20000, 20000, 0},
    {"flat", 1000, 1000, 1000, 0},
};

static uint64_t own_price(const struct conf_endpoint *e, const char *method)
{
    uint64_t dearest = 0;
    for (size_t i = 0; i < e->n_prices; i++) {
        if (strcmp(e->prices[i].method, method) == 0)
            return e->prices[i].units;
        if (e->prices[i].units > dearest)
            dearest = e->prices[i].units;
    }
    return dearest;
}

uint64_t price_of(const struct conf_endpoint *e, const char *method)
{
    if (!e->price)
        return e->n_prices ? own_price(e, method) : 1;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (strcmp(rows[i].list, e->price) == 0 &&
            (!rows[i].method || strcmp(rows[i].method, method) == 0))
            return rows[i].units;
    return 1; /* flat */
}

uint64_t price_of_push(const struct conf_endpoint *e, enum price_push kind, size_t bytes)
{
    if (!e->price && e->n_prices)
        return own_price(e, "eth_subscribe") * 1000;
    for (size_t i = 0; i < COUNT_OF(pushes); i++) {
        if (strcmp(pushes[i].list, e->price ? e->price : "flat") != 0)
            continue;
        uint64_t each = kind == PRICE_PUSH_HEAD  ? pushes[i].head
                        : kind == PRICE_PUSH_LOG ? pushes[i].log
                                                 : pushes[i].log_again;
        return each + pushes[i].byte * bytes;
    }
    return 0;
}
