/*
 * An assembler just large enough for the lens: one function a kind of instruction, and labels. It
 * knows no jump but to a label, and labels take two bytes.
 *
 * `stack` is a note for the reader of the source: the stack after the instruction, top first. The
 * listing in docs/lens.md shows the notes; no byte of the program comes from them.
 */
#ifndef ETH_LENS_ASM_H
#define ETH_LENS_ASM_H

#include "eth/address.h"
#include "eth/lens.h"

#include <stddef.h>
#include <stdint.h>

/* The EVM's instructions that the lens uses (yellow paper, appendix H). */
enum lens_op {
    OP_ADD = 0x01,
    OP_SUB = 0x03, /* top − second */
    OP_DIV = 0x04, /* top / second */
    OP_LT = 0x10,  /* top < second */
    OP_GT = 0x11,  /* top > second */
    OP_EQ = 0x14,
    OP_AND = 0x16,
    OP_OR = 0x17,
    OP_SHL = 0x1b, /* second << top */
    OP_SHR = 0x1c, /* second >> top */
    OP_CALLDATASIZE = 0x36,
    OP_CALLDATACOPY = 0x37, /* to, from, size */
    OP_CODESIZE = 0x38,
    OP_CODECOPY = 0x39, /* to, from, size */
    OP_RETURNDATASIZE = 0x3d,
    OP_BLOCKHASH = 0x40,
    OP_TIMESTAMP = 0x42,
    OP_NUMBER = 0x43,
    OP_CHAINID = 0x46,
    OP_POP = 0x50,
    OP_MLOAD = 0x51,
    OP_MSTORE = 0x52, /* at, word */
    OP_JUMP = 0x56,
    OP_JUMPI = 0x57, /* to, condition */
    OP_MSIZE = 0x59, /* end of the memory used so far, in whole words */
    OP_GAS = 0x5a,   /* what is left */
    OP_JUMPDEST = 0x5b,
    OP_PUSH1 = 0x60,
    OP_DUP1 = 0x80,
    OP_SWAP1 = 0x90,
    OP_RETURN = 0xf3,     /* from, size */
    OP_STATICCALL = 0xfa, /* gas, address, in, in size, out, out size; leaves 1 or 0 */
    OP_REVERT = 0xfd,     /* from, size */
};

enum lens_label {
    AT_LOOP,
    AT_NEXT_CHECK,
    AT_DONE,
    AT_WIDE,
    AT_OVERFLOW,
    AT_BAD,
    AT_NOTE,
    AT_NEXT,
    AT_STOP_NOTE,
    AT_STOP_SUM,
    AT_STOP,
    AT_END,     /* the byte after the program: where a creation's nonce stands */
    AT_WALLETS, /* … and its wallets begin */
    AT_GOOD,    /* one a term */
    LENS_LABELS = AT_GOOD + LENS_TERMS_MAX,
};

enum { LENS_USES_MAX = 128 };

struct lens_asm {
    struct lens_code *code;
    size_t at[LENS_LABELS];
    struct {
        size_t at;
        enum lens_label label;
    } uses[LENS_USES_MAX];
    size_t n_uses;
    bool overflow;
};

void asm_init(struct lens_asm *a, struct lens_code *code);
/* What follows is about: a note, too. */
static inline void asm_section(struct lens_asm *a, const char *title)
{
    (void)a;
    (void)title;
}
void asm_op(struct lens_asm *a, enum lens_op op, const char *stack);
void asm_dup(struct lens_asm *a, int n, const char *stack);  /* DUP1 copies the top */
void asm_swap(struct lens_asm *a, int n, const char *stack); /* SWAP1 changes top and second */
/* The shortest PUSH that holds the value, at least one byte. */
void asm_push(struct lens_asm *a, uint64_t value, const char *stack);
/* The same, with a name: a place in memory. */
void asm_push_place(struct lens_asm *a, uint64_t place, const char *name, const char *stack);
void asm_push_bytes(struct lens_asm *a, const uint8_t *bytes, size_t n, const char *stack);
void asm_push_label(struct lens_asm *a, enum lens_label l, const char *stack);
void asm_jump(struct lens_asm *a, enum lens_label l, const char *stack);    /* PUSH2, JUMP */
void asm_jump_if(struct lens_asm *a, enum lens_label l, const char *stack); /* PUSH2, JUMPI */
void asm_land(struct lens_asm *a, enum lens_label l, const char *stack); /* the label, JUMPDEST */
void asm_end(struct lens_asm *a); /* sets AT_END and fills in the labels */

#endif
