/*
 * A small interpreter of view code: eth_call without a node, for views whose code and state are
 * proven. The rules are those of the latest fork.
 *
 * It is pure. Accounts, code and storage come from the caller; what the caller does not have yet
 * ends the run with EVM_MISSING and is named, so that it can be fetched before the next run. What a
 * view cannot do, or what has no answer from proven data, ends it with EVM_UNPROVABLE and is named:
 * writes, creation, value, foreign precompiles, the gas that is left. There is no gas here: the
 * result is the one that a view has when gas suffices. Steps, memory and depth have ceilings, and
 * reaching one is EVM_UNPROVABLE, never a result.
 */
#ifndef ETH_EVM_H
#define ETH_EVM_H

#include "eth/address.h"
#include "num/u256.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    EVM_STEPS_MAX = 20000000, /* instructions, and words copied or hashed */
    /* Of all frames together. A node asks 8.6 million gas for that much: with more, the call in
     * which it is used may end there for its gas, and the caller go on. */
    EVM_MEMORY_MAX = 2 * 1024 * 1024,
    EVM_DEPTH_MAX = 128,       /* the EVM's own is 1,024 */
    EVM_CODE_MAX = 512 * 1024, /* EIP-170 has 24 KiB; some chains allow more */
    EVM_WHY_MAX = 96,
};

struct evm_block {
    uint64_t number, timestamp, chain_id, gas_limit;
    hash32 parent;
    address coinbase;
    u256 prev_randao; /* the difficulty, before Paris */
    u256 base_fee;
    bool foreign; /* the chain's EVM has other numbers than its headers: reading them is unprovable
                   */
};

struct evm_account {
    bool exists; /* and is not empty by EIP-161 */
    u256 balance;
    hash32 code_hash;
};

struct evm_code {
    const uint8_t *bytes;
    size_t n;
};

/* Each gives false for what is not known yet. What it gives stays valid during the run. */
struct evm_state {
    void *ctx;
    bool (*get_account)(void *ctx, const address *of, struct evm_account *ret);
    bool (*get_code)(void *ctx, const address *of, struct evm_code *ret);
    bool (*get_slot)(void *ctx, const address *of, const hash32 *slot, u256 *ret);
};

struct evm_ask {
    const struct evm_block *block;
    const struct evm_state *state;
    address to;
    const uint8_t *data;
    size_t n;
    uint64_t steps_max; /* at most EVM_STEPS_MAX */
};

enum evm_end {
    EVM_RUNNING, /* never an end */
    EVM_RETURNED,
    EVM_REVERTED,
    EVM_FAILED, /* an exceptional halt: a bad jump, an invalid instruction, a write in a static call
                 */
    EVM_MISSING,    /* `missing` is to be fetched */
    EVM_UNPROVABLE, /* `why` names what */
};

enum evm_kind { EVM_ACCOUNT, EVM_CODE, EVM_SLOT };

struct evm_missing {
    enum evm_kind kind;
    address of;
    hash32 slot; /* of EVM_SLOT */
};

struct evm_result {
    enum evm_end end;
    uint8_t *data; /* of EVM_RETURNED and EVM_REVERTED; the caller's to mem_free() */
    size_t n;
    struct evm_missing missing;
    char why[EVM_WHY_MAX];
    uint64_t steps;
};

/* A call from the zero address, without value. */
void evm_call(const struct evm_ask *ask, struct evm_result *ret);

#endif
