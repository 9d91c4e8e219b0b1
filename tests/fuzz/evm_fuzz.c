/* Code and call data. The first byte is the length of the call data, the rest is code, which may
 * call itself. Twice with the same state: the result is the same, and within its ceilings. */
#include "base/mem.h"
#include "eth/evm.h"
#include "fuzz.h"

#include <string.h>

enum { STEPS = 20000 };

struct fuzz_world {
    struct evm_code code;
};

static bool fuzz_get_account(void *ctx, const address *of, struct evm_account *ret)
{
    (void)ctx;
    *ret = (struct evm_account){.exists = of->b[19] & 1, .balance = u256_of(of->b[18])};
    return of->b[19] != 0xee;
}

static bool fuzz_get_code(void *ctx, const address *of, struct evm_code *ret)
{
    const struct fuzz_world *w = ctx;
    *ret = of->b[0] == 0x7e ? w->code : (struct evm_code){0};
    return of->b[19] != 0xee;
}

static bool fuzz_get_slot(void *ctx, const address *of, const hash32 *slot, u256 *ret)
{
    (void)ctx;
    (void)of;
    u256_from_be32(ret, slot->b);
    return slot->b[31] != 0xee;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct evm_block block = {.number = 1000, .timestamp = 1700000000, .chain_id = 1};
    if (n == 0 || (size_t)data[0] + 1 > n)
        return 0;
    struct fuzz_world w = {.code = {data + 1 + data[0], n - 1 - data[0]}};
    struct evm_state state = {.ctx = &w,
                              .get_account = fuzz_get_account,
                              .get_code = fuzz_get_code,
                              .get_slot = fuzz_get_slot};
    struct evm_ask ask = {.block = &block,
                          .state = &state,
                          .to = {{0x7e}},
                          .data = data + 1,
                          .n = data[0],
                          .steps_max = STEPS};
    struct evm_result first, again;
    evm_call(&ask, &first);
    evm_call(&ask, &again);
    HOLDS(first.end != EVM_RUNNING && first.end == again.end && first.steps == again.steps);
    HOLDS(first.steps <= STEPS && first.n == again.n && first.n <= EVM_MEMORY_MAX);
    HOLDS(first.n == 0 || memcmp(first.data, again.data, first.n) == 0);
    HOLDS(first.end != EVM_UNPROVABLE || first.why[0]);
    touch(first.data, first.n);
    mem_free(first.data);
    mem_free(again.data);
    return 0;
}
