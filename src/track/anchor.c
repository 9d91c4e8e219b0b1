#include "track/anchor.h"
#include "base/err.h"
#include "base/mem.h"
#include "eth/fault_policy.h"

#include <inttypes.h>
#include <string.h>

const char anchor_key[] = "chain.anchor";

static const char *const anchor_names[] = {[ANCHOR_AUTO] = "auto",
                                           [ANCHOR_EVM] = "evm",
                                           [ANCHOR_ARBSYS] = "arbsys",
                                           [ANCHOR_NONE] = "none"};

enum {
    ARBSYS_BLOCKS = 4096, /* the heads of two backends, and what a fast chain makes meanwhile */
    GAP_BLOCKS = RPC_IN_FLIGHT_MAX,
};

const char *anchor_name(enum conf_anchor a)
{
    return anchor_names[a];
}

/* ---- ArbSys ---------------------------------------------------------------------------------- */

/* arbBlockNumber() of the precompile at 0x64, and the head near it. Other chains have nothing
 * there, or a precompile that refuses this. */
static int anchor_ask_arbsys(struct tracker *t, enum conf_anchor *ret, struct err *err)
{
    static const address arbsys = {.b = {[19] = 0x64}};
    static const uint8_t arb_block_number[4] = {0xa3, 0xb1, 0xb3, 0x1d};
    static const uint8_t zeros[24];
    struct header head;
    struct rpc_view_answer a = {0};
    struct rpc_view v = {.to = &arbsys,
                         .data = arb_block_number,
                         .data_len = sizeof arb_block_number,
                         .bound = true};
    *ret = ANCHOR_EVM;
    if (rpc_view(t->node, &v, &a, err) < 0)
        return fault_says(a.fault.fault, FAULT_SAYS_VIEW_REFUSED | FAULT_SAYS_VIEW_NO_GAS)
                   ? 0
                   : err_wrap(err, "ArbSys cannot be asked for");
    uint64_t number = 0;
    bool is_number = a.len == 32 && memcmp(a.data, zeros, sizeof zeros) == 0;
    for (size_t i = sizeof zeros; is_number && i < 32; i++)
        number = number << 8 | a.data[i];
    mem_free(a.data);
    if (!is_number)
        return 0;
    if (tracker_get_head(t, &head, err) < 0)
        return -1;
    uint64_t apart = number > head.at.number ? number - head.at.number : head.at.number - number;
    if (apart <= ARBSYS_BLOCKS)
        *ret = ANCHOR_ARBSYS;
    return 0;
}

static int anchor_load(struct tracker *t, enum conf_anchor *ret, struct err *err)
{
    struct arena arena;
    const char *text = NULL;
    arena_init(&arena);
    int rc = t->store ? store_state_get(t->store, anchor_key, &arena, &text, err) : 0;
    for (size_t i = ANCHOR_EVM; text && i < COUNT_OF(anchor_names); i++)
        if (strcmp(text, anchor_names[i]) == 0)
            *ret = (enum conf_anchor)i;
    arena_free(&arena);
    return rc;
}

int anchor_learn(struct tracker *t, struct err *err)
{
    enum conf_anchor a = t->conf->chain.anchor;
    if (a == ANCHOR_AUTO && anchor_load(t, &a, err) < 0)
        return -1;
    if (a == ANCHOR_AUTO &&
        (anchor_ask_arbsys(t, &a, err) < 0 ||
         (t->store && store_state_set(t->store, anchor_key, anchor_names[a], err) < 0)))
        return -1;
    for (size_t i = 0; i < t->n_balances; i++)
        t->balances[i].shape.anchor = a;
    return 0;
}

/* ---- gaps ------------------------------------------------------------------------------------ */

/* Is there no block with the number below this one's? Its parent says. */
static int anchor_check_parent(struct tracker *t, const struct header *h, struct err *err)
{
    struct header parent;
    bool found;
    if (rpc_header_hash(t->node, &h->at.parent, &parent, &found, err) < 0)
        return -1;
    if (!found || parent.at.number + 1 == h->at.number)
        return 0;
    err_set(err, ERR_USAGE,
            "the block numbers of this chain have gaps: the parent of block %" PRIu64
            " is block %" PRIu64,
            h->at.number, parent.at.number);
    return err_hint(err, "trueup syncs by block numbers and cannot serve such a chain");
}

int anchor_check_gaps(struct tracker *t, struct err *err)
{
    uint64_t numbers[GAP_BLOCKS];
    struct header list[GAP_BLOCKS], head;
    bool found[GAP_BLOCKS];
    if (tracker_get_head(t, &head, err) < 0)
        return -1;
    size_t n = head.at.number < GAP_BLOCKS ? (size_t)head.at.number + 1 : GAP_BLOCKS;
    for (size_t i = 0; i < n; i++)
        numbers[i] = head.at.number - i;
    struct rpc_headers_ask ask = {.numbers = numbers, .n = n};
    if (rpc_headers_numbers(t->node, &ask, list, found, err) < 0)
        return -1;
    /* A head that cannot be asked for by its number says nothing of the chain. */
    const struct header *above = NULL;
    for (size_t i = 0; i < n; i++) {
        if (!found[i] && above && anchor_check_parent(t, above, err) < 0)
            return -1;
        above = found[i] ? &list[i] : NULL;
    }
    return 0;
}
