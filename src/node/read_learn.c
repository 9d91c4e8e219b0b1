/*
 * What an endpoint can do, found by asking it: which reader, how much gas a call is granted, how a
 * sentinel is priced, and how many wallets a request bears.
 */
#include "base/mem.h"
#include "node/read_internal.h"

#include <inttypes.h>

/* 50 M is geth's and reth's default cap. More asked is silently lowered by the one and refused by
 * the other; less is found by halving. Below the floor nothing useful can be read. */
static const uint64_t gas_first = 50000000, gas_floor = 1500000;

enum { GROW_AFTER = 3, PATIENCE_LEAST = 8, PATIENCE_MOST = 1024 };

struct read_learnt *learnt_of(struct reads *r, const struct endpoint *e)
{
    for (size_t i = 0; i < r->n_learnt; i++)
        if (r->learnt[i].endpoint == e)
            return &r->learnt[i];
    return NULL;
}

/* Faults of the moment: what was asked may have been right. To learn from them would be for good. */
static bool tells_nothing(enum fault f)
{
    return f == FAULT_RATE || f == FAULT_BILLING || f == FAULT_DOWN || f == FAULT_TIME ||
           f == FAULT_GARBLED || f == FAULT_BEHIND || f == FAULT_PRUNED;
}

/* Does a sentinel's price get paid out of `gas`? 1 yes, 0 no, −1 when nobody answered. */
static int sentinel_pays(struct reads *r, struct endpoint *e, const struct sentinel *s,
                         uint64_t gas, struct err *err)
{
    uint8_t data[SENTINEL_CALL];
    struct buf params = BUF_INIT(1024);
    sentinel_encode(s, data);
    buf_addf(&params,
             "[{\"to\":\"0x0000000000000000000000000000000000000005\",\"gas\":\"0x%" PRIx64
             "\",\"data\":\"0x",
             gas);
    buf_addhex(&params, data, sizeof data);
    buf_adds(&params, "\"},\"latest\"]");
    struct node_request q = {.method = "eth_call",
                             .params = params.data,
                             .params_len = params.len,
                             .only = e};
    struct json *doc;
    const struct json *result;
    struct fault_info fault;
    int rc = node_call(r->node, &q, &doc, &result, &fault, err);
    buf_free(&params);
    if (rc == 0) {
        const char *hex = json_str(result);
        bool paid = hex && hex[0] == '0' && hex[1] == 'x' && hex[2] != '\0';
        json_free(doc);
        return paid;
    }
    return err->kind == ERR_STOPPED || err->kind == ERR_UNREACHABLE || tells_nothing(fault.fault) ? -1
                                                                                                   : 0;
}

/* A kind is right when its sentinel is paid out of the whole and not out of less than its price:
 * both ways are asked, so a client that prices it otherwise is noticed. */
static int try_sentinel(struct reads *r, struct read_learnt *l, enum sentinel_kind kind,
                        uint64_t gas, struct err *err)
{
    struct sentinel s = {kind, gas / 2};
    int pays = sentinel_pays(r, l->endpoint, &s, gas, err);
    if (pays <= 0)
        return pays;
    int pays_too_easily = sentinel_pays(r, l->endpoint, &s, gas / 2 - gas / 20, err);
    if (pays_too_easily < 0)
        return -1;
    if (pays_too_easily)
        return 0;
    l->gas = gas;
    l->sentinel = s;
    return 1;
}

static int learn_gas(struct reads *r, struct read_learnt *l, uint64_t gas, struct err *err)
{
    static const enum sentinel_kind kinds[] = {SENTINEL_EIP2565, SENTINEL_EIP7883};
    for (; gas >= gas_floor; gas /= 2) {
        for (size_t i = 0; i < COUNT_OF(kinds); i++) {
            int rc = try_sentinel(r, l, kinds[i], gas, err);
            if (rc != 0)
                return rc < 0 ? -1 : 0;
        }
    }
    /* Nobody prices it as expected: without a sentinel only one call a request is safe. */
    l->sentinel = (struct sentinel){SENTINEL_NONE, 0};
    l->gas = gas_first;
    l->size = 1;
    return 0;
}

int learn_endpoint(struct reads *r, struct endpoint *e, const struct read_shape *shape,
                   struct read_learnt **ret, struct err *err)
{
    struct read_learnt *known = learnt_of(r, e);
    if (known) {
        *ret = known;
        return 0;
    }
    if (r->n_learnt == READ_ENDPOINTS)
        return err_set(err, ERR_TOO_LARGE, "more than %d endpoints", READ_ENDPOINTS);
    enum conf_reader wanted = endpoint_reader_setting(e);
    const struct reader *reader =
        reader_find(wanted == READER_AUTO ? READER_MULTICALL3 : wanted);
    if (!reader)
        return err_set(err, ERR_USAGE, "reader of endpoint \"%s\" is not available",
                       endpoint_name(e));
    (void)shape;
    if (endpoint_pins_hash(e) == CAP_UNKNOWN && endpoint_probe(r->node, e, err) < 0)
        return -1;
    struct read_learnt l = {.endpoint = e, .reader = reader, .size = reader->first_guess};
    if (learn_gas(r, &l, gas_first, err) < 0)
        return -1;
    r->learnt[r->n_learnt] = l;
    *ret = &r->learnt[r->n_learnt++];
    return 0;
}

/* Grows by a quarter after a few full chunks, up to just below what failed. That is forgotten in
 * time, since it may have been a bad moment; each time it fails again, later. */
void learn_size_held(struct read_learnt *l, size_t n)
{
    if (n < l->size || l->sentinel.kind == SENTINEL_NONE)
        return;
    l->successes++;
    size_t next = l->size + l->size / 4 + 1;
    if (l->size_failed && next >= l->size_failed)
        next = l->size_failed - 1;
    if (next > l->reader->most)
        next = l->reader->most;
    if (next > l->size && l->successes >= GROW_AFTER) {
        l->size = next;
        l->successes = 0;
    } else if (l->size_failed && l->successes >= (l->patience ? l->patience : PATIENCE_LEAST)) {
        l->size_failed = 0;
        l->successes = 0;
    }
}

void learn_size_failed(struct read_learnt *l, size_t n)
{
    if (n < 2)
        return;
    if (!l->size_failed || n < l->size_failed)
        l->size_failed = n;
    if (n / 2 < l->size)
        l->size = n / 2;
    l->successes = 0;
    l->patience = l->patience ? l->patience * 2 : PATIENCE_LEAST;
    if (l->patience > PATIENCE_MOST)
        l->patience = PATIENCE_MOST;
}

bool learn_less_gas(struct reads *r, struct read_learnt *l)
{
    (void)r;
    if (l->gas / 2 < gas_floor)
        return false;
    l->gas /= 2;
    l->sentinel.gas = l->gas / 2;
    l->size_failed = 0;
    return true;
}
