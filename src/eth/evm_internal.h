/* What the files of the interpreter share: evm.c (frames and the loop), evm_table.c (the
 * instructions), evm_memory.c, evm_state.c and evm_call.c (what they do). No other file includes
 * this. */
#ifndef ETH_EVM_INTERNAL_H
#define ETH_EVM_INTERNAL_H

#include "eth/evm.h"

enum { EVM_STACK = 1024, EVM_WORD = 32 };

/* Bytes that stay where they are during the run. */
struct evm_bytes {
    const uint8_t *at;
    size_t n;
};

/* One run: the ceilings count over all its frames. */
struct evm {
    const struct evm_ask *ask;
    struct evm_result *result;
    uint64_t steps;
    size_t memory;
    unsigned depth;
};

struct evm_call_ask {
    address code_of, self, caller;
    bool is_static;
    struct evm_bytes input;
};

struct evm_frame {
    struct evm *vm;
    struct evm_call_ask call;
    struct evm_code code;
    uint8_t *jumps; /* a bit for each byte of code: a JUMPDEST that is no data of a PUSH */
    size_t pc;      /* of the next instruction */
    uint8_t op;
    u256 *stack;
    size_t height;
    uint8_t *memory;
    size_t memory_size, memory_room;
    uint8_t *returned; /* by the last call */
    size_t n_returned;
    enum evm_end end;
    size_t out_at, out_n; /* in memory, of EVM_RETURNED and EVM_REVERTED */
};

/* An instruction. s points to the place of its first result; its operands are s[in − 1], which was
 * the top of the stack, down to s[0]. */
typedef void evm_run(struct evm_frame *f, u256 *s);

struct evm_op {
    evm_run *run; /* NULL: no such instruction */
    const char *name;
    uint8_t in, out;
};
extern const struct evm_op evm_ops[256];

/* evm.c */
/* The call in a frame of its own. The output is the caller's to mem_free(). */
enum evm_end evm_run_call(struct evm *vm, const struct evm_call_ask *call, uint8_t **ret,
                          size_t *n);
void evm_fail(struct evm_frame *f);
void evm_miss(struct evm_frame *f, enum evm_kind kind, const address *of, const hash32 *slot);
void evm_refuse(struct evm_frame *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Counts the words of a copy or a hash as steps; false when they are spent. */
bool evm_spend_bytes(struct evm_frame *f, uint64_t bytes);

/* evm_memory.c */
/* Memory [at, at + n) is there: its place, never NULL. NULL: f has ended. */
uint8_t *evm_memory_reach(struct evm_frame *f, const u256 *at, const u256 *n);
/* n bytes of `from` from offset `at` on, zeros behind its end, to `to`. */
void evm_copy_padded(uint8_t *to, size_t n, struct evm_bytes from, const u256 *at);

/* evm_precompile.c */
/* Is the address one of a precompile, or of what a chain may have made one? */
bool evm_is_precompile(const address *a);
/* The output is the caller's to mem_free(). */
enum evm_end evm_run_precompile(struct evm_frame *f, const address *a, struct evm_bytes input,
                                uint8_t **ret, size_t *n);

/* evm_state.c */
void evm_word_to_address(const u256 *v, address *ret);

extern evm_run evm_op_keccak256, evm_op_calldataload, evm_op_calldatasize, evm_op_calldatacopy,
    evm_op_codesize, evm_op_codecopy, evm_op_returndatasize, evm_op_returndatacopy, evm_op_mload,
    evm_op_mstore, evm_op_mstore8, evm_op_msize, evm_op_mcopy, evm_op_return, evm_op_revert;
extern evm_run evm_op_address, evm_op_balance, evm_op_caller, evm_op_zero, evm_op_extcodesize,
    evm_op_extcodecopy, evm_op_extcodehash, evm_op_blockhash, evm_op_coinbase, evm_op_timestamp,
    evm_op_number, evm_op_prevrandao, evm_op_gaslimit, evm_op_chainid, evm_op_selfbalance,
    evm_op_basefee, evm_op_sload, evm_op_tload, evm_op_write, evm_op_unprovable, evm_op_gas;
extern evm_run evm_op_call;

#endif
