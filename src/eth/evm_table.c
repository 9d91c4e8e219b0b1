/* The table of instructions, and those that only compute. */
#include "eth/evm_internal.h"

#include "num/u256_math.h"

#include <string.h>

enum { PUSH0 = 0x5f, DUP1 = 0x80, SWAP1 = 0x90 };

static void evm_op_stop(struct evm_frame *f, u256 *s)
{
    (void)s;
    f->end = EVM_RETURNED;
}

static void evm_op_invalid(struct evm_frame *f, u256 *s)
{
    (void)s;
    evm_fail(f);
}

/* ---- arithmetic ------------------------------------------------------------------------------ */

#define EVM_OP_TWO(name)                                                                           \
    static void evm_op_##name(struct evm_frame *f, u256 *s)                                        \
    {                                                                                              \
        (void)f;                                                                                   \
        u256_##name(s, &s[1], &s[0]);                                                              \
    }
EVM_OP_TWO(add)
EVM_OP_TWO(sub)
EVM_OP_TWO(mul)
EVM_OP_TWO(div)
EVM_OP_TWO(sdiv)
EVM_OP_TWO(mod)
EVM_OP_TWO(smod)
EVM_OP_TWO(exp)
EVM_OP_TWO(signextend)
EVM_OP_TWO(byte)
EVM_OP_TWO(shl)
EVM_OP_TWO(shr)
EVM_OP_TWO(sar)

static void evm_op_addmod(struct evm_frame *f, u256 *s)
{
    (void)f;
    u256_addmod(s, &s[2], &s[1], &s[0]);
}

static void evm_op_mulmod(struct evm_frame *f, u256 *s)
{
    (void)f;
    u256_mulmod(s, &s[2], &s[1], &s[0]);
}

/* ---- comparison and bits --------------------------------------------------------------------- */

static void evm_op_lt(struct evm_frame *f, u256 *s)
{
    (void)f;
    *s = u256_of(u256_compare(&s[1], &s[0]) < 0);
}

static void evm_op_gt(struct evm_frame *f, u256 *s)
{
    (void)f;
    *s = u256_of(u256_compare(&s[1], &s[0]) > 0);
}

static void evm_op_slt(struct evm_frame *f, u256 *s)
{
    (void)f;
    *s = u256_of(u256_less_signed(&s[1], &s[0]));
}

static void evm_op_sgt(struct evm_frame *f, u256 *s)
{
    (void)f;
    *s = u256_of(u256_less_signed(&s[0], &s[1]));
}

static void evm_op_eq(struct evm_frame *f, u256 *s)
{
    (void)f;
    *s = u256_of(u256_equal(&s[1], &s[0]));
}

static void evm_op_iszero(struct evm_frame *f, u256 *s)
{
    (void)f;
    *s = u256_of(u256_is_zero(s));
}

static void evm_op_and(struct evm_frame *f, u256 *s)
{
    (void)f;
    for (int i = 0; i < 4; i++)
        s->limb[i] &= s[1].limb[i];
}

static void evm_op_or(struct evm_frame *f, u256 *s)
{
    (void)f;
    for (int i = 0; i < 4; i++)
        s->limb[i] |= s[1].limb[i];
}

static void evm_op_xor(struct evm_frame *f, u256 *s)
{
    (void)f;
    for (int i = 0; i < 4; i++)
        s->limb[i] ^= s[1].limb[i];
}

static void evm_op_not(struct evm_frame *f, u256 *s)
{
    (void)f;
    u256_not(s, s);
}

static void evm_op_clz(struct evm_frame *f, u256 *s)
{
    (void)f;
    *s = u256_of(256 - u256_bits(s));
}

/* ---- stack and flow -------------------------------------------------------------------------- */

static void evm_op_nothing(struct evm_frame *f, u256 *s) /* POP, JUMPDEST */
{
    (void)f;
    (void)s;
}

static void evm_op_push(struct evm_frame *f, u256 *s)
{
    uint8_t word[EVM_WORD] = {0};
    size_t n = f->op - PUSH0, left = f->pc < f->code.n ? f->code.n - f->pc : 0;
    if (n && left)
        memcpy(word + EVM_WORD - n, f->code.bytes + f->pc, n < left ? n : left);
    u256_from_be32(s, word);
    f->pc += n;
}

/* in = n, out = n + 1: the deepest operand is s[0]. */
static void evm_op_dup(struct evm_frame *f, u256 *s)
{
    s[f->op - DUP1 + 1] = s[0];
}

/* in = out = n + 1. */
static void evm_op_swap(struct evm_frame *f, u256 *s)
{
    size_t top = f->op - SWAP1 + 1u;
    u256 kept = s[0];
    s[0] = s[top];
    s[top] = kept;
}

static void evm_jump(struct evm_frame *f, const u256 *to)
{
    uint64_t pc;
    if (u256_get_u64(to, &pc) && pc < f->code.n && f->jumps[pc / 8] >> (pc % 8) & 1)
        f->pc = (size_t)pc;
    else
        evm_fail(f);
}

static void evm_op_jump(struct evm_frame *f, u256 *s)
{
    evm_jump(f, s);
}

static void evm_op_jumpi(struct evm_frame *f, u256 *s)
{
    if (!u256_is_zero(&s[0]))
        evm_jump(f, &s[1]);
}

static void evm_op_pc(struct evm_frame *f, u256 *s)
{
    *s = u256_of(f->pc - 1);
}

/* ---- the table ------------------------------------------------------------------------------- */

#define DUP(n)  [DUP1 + (n)-1] = {evm_op_dup, "DUP", (n), (n) + 1}
#define SWAP(n) [SWAP1 + (n)-1] = {evm_op_swap, "SWAP", (n) + 1, (n) + 1}
#define PUSH(n) [PUSH0 + (n)] = {evm_op_push, "PUSH", 0, 1}
#define LOG(n)  [0xa0 + (n)] = {evm_op_write, "LOG", (n) + 2, 0}

/* clang-format off */
const struct evm_op evm_ops[256] = {
    [0x00] = {evm_op_stop, "STOP", 0, 0},
    [0x01] = {evm_op_add, "ADD", 2, 1},
    [0x02] = {evm_op_mul, "MUL", 2, 1},
    [0x03] = {evm_op_sub, "SUB", 2, 1},
    [0x04] = {evm_op_div, "DIV", 2, 1},
    [0x05] = {evm_op_sdiv, "SDIV", 2, 1},
    [0x06] = {evm_op_mod, "MOD", 2, 1},
    [0x07] = {evm_op_smod, "SMOD", 2, 1},
    [0x08] = {evm_op_addmod, "ADDMOD", 3, 1},
    [0x09] = {evm_op_mulmod, "MULMOD", 3, 1},
    [0x0a] = {evm_op_exp, "EXP", 2, 1},
    [0x0b] = {evm_op_signextend, "SIGNEXTEND", 2, 1},

    [0x10] = {evm_op_lt, "LT", 2, 1},
    [0x11] = {evm_op_gt, "GT", 2, 1},
    [0x12] = {evm_op_slt, "SLT", 2, 1},
    [0x13] = {evm_op_sgt, "SGT", 2, 1},
    [0x14] = {evm_op_eq, "EQ", 2, 1},
    [0x15] = {evm_op_iszero, "ISZERO", 1, 1},
    [0x16] = {evm_op_and, "AND", 2, 1},
    [0x17] = {evm_op_or, "OR", 2, 1},
    [0x18] = {evm_op_xor, "XOR", 2, 1},
    [0x19] = {evm_op_not, "NOT", 1, 1},
    [0x1a] = {evm_op_byte, "BYTE", 2, 1},
    [0x1b] = {evm_op_shl, "SHL", 2, 1},
    [0x1c] = {evm_op_shr, "SHR", 2, 1},
    [0x1d] = {evm_op_sar, "SAR", 2, 1},
    [0x1e] = {evm_op_clz, "CLZ", 1, 1},

    [0x20] = {evm_op_keccak256, "KECCAK256", 2, 1},

    [0x30] = {evm_op_address, "ADDRESS", 0, 1},
    [0x31] = {evm_op_balance, "BALANCE", 1, 1},
    [0x32] = {evm_op_zero, "ORIGIN", 0, 1},
    [0x33] = {evm_op_caller, "CALLER", 0, 1},
    [0x34] = {evm_op_zero, "CALLVALUE", 0, 1},
    [0x35] = {evm_op_calldataload, "CALLDATALOAD", 1, 1},
    [0x36] = {evm_op_calldatasize, "CALLDATASIZE", 0, 1},
    [0x37] = {evm_op_calldatacopy, "CALLDATACOPY", 3, 0},
    [0x38] = {evm_op_codesize, "CODESIZE", 0, 1},
    [0x39] = {evm_op_codecopy, "CODECOPY", 3, 0},
    [0x3a] = {evm_op_zero, "GASPRICE", 0, 1},
    [0x3b] = {evm_op_extcodesize, "EXTCODESIZE", 1, 1},
    [0x3c] = {evm_op_extcodecopy, "EXTCODECOPY", 4, 0},
    [0x3d] = {evm_op_returndatasize, "RETURNDATASIZE", 0, 1},
    [0x3e] = {evm_op_returndatacopy, "RETURNDATACOPY", 3, 0},
    [0x3f] = {evm_op_extcodehash, "EXTCODEHASH", 1, 1},

    [0x40] = {evm_op_blockhash, "BLOCKHASH", 1, 1},
    [0x41] = {evm_op_coinbase, "COINBASE", 0, 1},
    [0x42] = {evm_op_timestamp, "TIMESTAMP", 0, 1},
    [0x43] = {evm_op_number, "NUMBER", 0, 1},
    [0x44] = {evm_op_prevrandao, "PREVRANDAO", 0, 1},
    [0x45] = {evm_op_gaslimit, "GASLIMIT", 0, 1},
    [0x46] = {evm_op_chainid, "CHAINID", 0, 1},
    [0x47] = {evm_op_selfbalance, "SELFBALANCE", 0, 1},
    [0x48] = {evm_op_basefee, "BASEFEE", 0, 1},
    [0x49] = {evm_op_zero, "BLOBHASH", 1, 1},
    [0x4a] = {evm_op_unprovable, "BLOBBASEFEE", 0, 1},

    [0x50] = {evm_op_nothing, "POP", 1, 0},
    [0x51] = {evm_op_mload, "MLOAD", 1, 1},
    [0x52] = {evm_op_mstore, "MSTORE", 2, 0},
    [0x53] = {evm_op_mstore8, "MSTORE8", 2, 0},
    [0x54] = {evm_op_sload, "SLOAD", 1, 1},
    [0x55] = {evm_op_write, "SSTORE", 2, 0},
    [0x56] = {evm_op_jump, "JUMP", 1, 0},
    [0x57] = {evm_op_jumpi, "JUMPI", 2, 0},
    [0x58] = {evm_op_pc, "PC", 0, 1},
    [0x59] = {evm_op_msize, "MSIZE", 0, 1},
    [0x5a] = {evm_op_gas, "GAS", 0, 1},
    [0x5b] = {evm_op_nothing, "JUMPDEST", 0, 0},
    [0x5c] = {evm_op_tload, "TLOAD", 1, 1},
    [0x5d] = {evm_op_write, "TSTORE", 2, 0},
    [0x5e] = {evm_op_mcopy, "MCOPY", 3, 0},

    PUSH(0), PUSH(1), PUSH(2), PUSH(3), PUSH(4), PUSH(5), PUSH(6), PUSH(7), PUSH(8), PUSH(9),
    PUSH(10), PUSH(11), PUSH(12), PUSH(13), PUSH(14), PUSH(15), PUSH(16), PUSH(17), PUSH(18),
    PUSH(19), PUSH(20), PUSH(21), PUSH(22), PUSH(23), PUSH(24), PUSH(25), PUSH(26), PUSH(27),
    PUSH(28), PUSH(29), PUSH(30), PUSH(31), PUSH(32),
    DUP(1), DUP(2), DUP(3), DUP(4), DUP(5), DUP(6), DUP(7), DUP(8), DUP(9), DUP(10), DUP(11),
    DUP(12), DUP(13), DUP(14), DUP(15), DUP(16),
    SWAP(1), SWAP(2), SWAP(3), SWAP(4), SWAP(5), SWAP(6), SWAP(7), SWAP(8), SWAP(9), SWAP(10),
    SWAP(11), SWAP(12), SWAP(13), SWAP(14), SWAP(15), SWAP(16),
    LOG(0), LOG(1), LOG(2), LOG(3), LOG(4),

    [0xf0] = {evm_op_write, "CREATE", 3, 1},
    [0xf1] = {evm_op_call, "CALL", 7, 1},
    [0xf2] = {evm_op_call, "CALLCODE", 7, 1},
    [0xf3] = {evm_op_return, "RETURN", 2, 0},
    [0xf4] = {evm_op_call, "DELEGATECALL", 6, 1},
    [0xf5] = {evm_op_write, "CREATE2", 4, 1},
    [0xfa] = {evm_op_call, "STATICCALL", 6, 1},
    [0xfd] = {evm_op_revert, "REVERT", 2, 0},
    [0xfe] = {evm_op_invalid, "INVALID", 0, 0},
    [0xff] = {evm_op_write, "SELFDESTRUCT", 1, 0},
};
/* clang-format on */
