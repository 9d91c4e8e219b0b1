/* What prover.c (views and rounds), prover_state.c (what is proven) and prover_fetch.c (requests)
 * share. No other file includes this. */
#ifndef READ_PROVER_INTERNAL_H
#define READ_PROVER_INTERNAL_H

#include "base/arena.h"
#include "eth/evm.h"
#include "read/prover.h"

enum { PROVER_BUCKETS = 16384 };

/* One fact of the state. */
struct proven_fact {
    struct proven_fact *next; /* of its bucket */
    enum evm_kind kind;
    address of;
    hash32 slot; /* of EVM_SLOT */
    bool proven; /* else it is wanted */
    struct evm_account account;
    hash32 storage_root; /* with account */
    struct evm_code code;
    u256 value;
};

struct prover {
    struct rpc *node;
    struct endpoint *endpoint; /* the last that proved something */
    struct anchor at;
    hash32 state_root;
    struct evm_block block;
    struct proven_fact *buckets[PROVER_BUCKETS];
    struct proven_fact **wanted; /* n_wanted of them, each once */
    size_t n_wanted, wanted_room;
    struct arena arena; /* facts, code, words */
    struct prover_cost cost;
    uint64_t bytes_before;
};

/* prover_state.c */
/* The fact, wanted from now on if it was not known. */
struct proven_fact *prover_fact(struct prover *p, enum evm_kind kind, const address *of,
                                const hash32 *slot);
struct evm_state prover_evm_state(struct prover *p);

/* prover_fetch.c: what is wanted is fetched and proven, and nothing is wanted any more. */
int prover_fetch(struct prover *p, struct err *err);

#endif
