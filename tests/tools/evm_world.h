/* Accounts, code and storage from a table, for the tests of the interpreter. */
#ifndef EVM_WORLD_H
#define EVM_WORLD_H

#include "eth/evm.h"

struct evm_world_entry {
    struct evm_world_entry *next;
    enum evm_kind kind;
    address of;
    hash32 slot;
    struct evm_account account;
    struct evm_code code;
    u256 value;
};

struct evm_world {
    struct evm_world_entry *buckets[4096];
    bool all; /* what is not in the table is empty, not missing */
};

/* The entry, made if it is not there. */
struct evm_world_entry *evm_world_put(struct evm_world *w, enum evm_kind kind, const address *of,
                                      const hash32 *slot);
/* bytes: copied. */
void evm_world_put_code(struct evm_world *w, const address *of, const uint8_t *bytes, size_t n);
struct evm_state evm_world_state(struct evm_world *w);
void evm_world_clear(struct evm_world *w);

#endif
