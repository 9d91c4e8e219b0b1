#include "eth/lens_asm.h"

#include <assert.h>
#include <string.h>

static void asm_emit(struct lens_asm *a, const void *bytes, size_t n)
{
    if (n > LENS_CODE_MAX - a->code->len) {
        a->overflow = true;
        return;
    }
    memcpy(a->code->b + a->code->len, bytes, n);
    a->code->len += n;
}

static void asm_emit_byte(struct lens_asm *a, unsigned b)
{
    asm_emit(a, &(uint8_t){(uint8_t)b}, 1);
}

void asm_init(struct lens_asm *a, struct lens_code *code)
{
    *a = (struct lens_asm){.code = code};
    code->len = 0;
}

void asm_op(struct lens_asm *a, enum lens_op op, const char *stack)
{
    (void)stack;
    asm_emit_byte(a, op);
}

void asm_dup(struct lens_asm *a, int n, const char *stack)
{
    (void)stack;
    asm_emit_byte(a, OP_DUP1 + (unsigned)n - 1);
}

void asm_swap(struct lens_asm *a, int n, const char *stack)
{
    (void)stack;
    asm_emit_byte(a, OP_SWAP1 + (unsigned)n - 1);
}

void asm_push_bytes(struct lens_asm *a, const uint8_t *bytes, size_t n, const char *stack)
{
    (void)stack;
    assert(n >= 1 && n <= 32);
    asm_emit_byte(a, OP_PUSH1 + (unsigned)n - 1);
    asm_emit(a, bytes, n);
}

void asm_push(struct lens_asm *a, uint64_t value, const char *stack)
{
    uint8_t bytes[8];
    size_t n = 1;
    for (int i = 0; i < 8; i++)
        bytes[7 - i] = (uint8_t)(value >> (8 * i));
    while (n < 8 && value >> (8 * n))
        n++;
    asm_push_bytes(a, bytes + 8 - n, n, stack);
}

void asm_push_place(struct lens_asm *a, uint64_t place, const char *name, const char *stack)
{
    (void)name;
    asm_push(a, place, stack);
}

void asm_push_label(struct lens_asm *a, enum lens_label l, const char *stack)
{
    if (a->n_uses == LENS_USES_MAX) {
        a->overflow = true;
        return;
    }
    a->uses[a->n_uses].at = a->code->len + 1;
    a->uses[a->n_uses++].label = l;
    asm_push_bytes(a, (const uint8_t[2]){0}, 2, stack);
}

void asm_jump(struct lens_asm *a, enum lens_label l, const char *stack)
{
    asm_push_label(a, l, "");
    asm_op(a, OP_JUMP, stack);
}

void asm_jump_if(struct lens_asm *a, enum lens_label l, const char *stack)
{
    asm_push_label(a, l, "");
    asm_op(a, OP_JUMPI, stack);
}

void asm_land(struct lens_asm *a, enum lens_label l, const char *stack)
{
    a->at[l] = a->code->len;
    asm_op(a, OP_JUMPDEST, stack);
}

void asm_end(struct lens_asm *a)
{
    a->at[AT_END] = a->code->len;
    a->at[AT_WALLETS] = a->code->len + NONCE_WORD;
    for (size_t i = 0; i < a->n_uses && !a->overflow; i++) {
        size_t to = a->at[a->uses[i].label];
        a->code->b[a->uses[i].at] = (uint8_t)(to >> 8);
        a->code->b[a->uses[i].at + 1] = (uint8_t)to;
    }
    /* The shape bounds the size; that it does is a property the tests check at its largest. */
    assert(!a->overflow);
}
