#include "eth/lens_asm.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

static const struct {
    enum lens_op op;
    const char *name;
} op_names[] = {
    {OP_ADD, "ADD"},
    {OP_SUB, "SUB"},
    {OP_DIV, "DIV"},
    {OP_LT, "LT"},
    {OP_GT, "GT"},
    {OP_EQ, "EQ"},
    {OP_AND, "AND"},
    {OP_OR, "OR"},
    {OP_SHL, "SHL"},
    {OP_SHR, "SHR"},
    {OP_CALLDATASIZE, "CALLDATASIZE"},
    {OP_CALLDATACOPY, "CALLDATACOPY"},
    {OP_CODESIZE, "CODESIZE"},
    {OP_CODECOPY, "CODECOPY"},
    {OP_RETURNDATASIZE, "RETURNDATASIZE"},
    {OP_BLOCKHASH, "BLOCKHASH"},
    {OP_TIMESTAMP, "TIMESTAMP"},
    {OP_NUMBER, "NUMBER"},
    {OP_CHAINID, "CHAINID"},
    {OP_POP, "POP"},
    {OP_MLOAD, "MLOAD"},
    {OP_MSTORE, "MSTORE"},
    {OP_JUMP, "JUMP"},
    {OP_JUMPI, "JUMPI"},
    {OP_MSIZE, "MSIZE"},
    {OP_GAS, "GAS"},
    {OP_JUMPDEST, "JUMPDEST"},
    {OP_RETURN, "RETURN"},
    {OP_STATICCALL, "STATICCALL"},
    {OP_REVERT, "REVERT"},
};

static const char *const label_names[AT_GOOD] = {
    [AT_LOOP] = "loop",         [AT_NEXT_CHECK] = "check",  [AT_DONE] = "done",
    [AT_WIDE] = "wide",         [AT_OVERFLOW] = "overflow", [AT_BAD] = "bad",
    [AT_NOTE] = "note",         [AT_NEXT] = "next",         [AT_STOP_NOTE] = "stop_note",
    [AT_STOP_SUM] = "stop_sum", [AT_STOP] = "stop",         [AT_END] = "end",
};

static void asm_label_text(enum lens_label l, struct buf *out)
{
    if (l < AT_GOOD)
        buf_adds(out, label_names[l]);
    else
        buf_addf(out, "good%d", (int)l - AT_GOOD);
}

static const char *asm_op_name(enum lens_op op)
{
    for (size_t i = 0; i < sizeof op_names / sizeof *op_names; i++)
        if (op_names[i].op == op)
            return op_names[i].name;
    return "?";
}

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

/* One line: where, what, and the stack after it. */
static void asm_list_line(struct lens_asm *a, const char *what, const char *stack)
{
    if (!a->listing)
        return;
    if (*stack)
        buf_addf(a->listing, "%04zx  %-50s ; %s\n", a->code->len, what, stack);
    else
        buf_addf(a->listing, "%04zx  %s\n", a->code->len, what);
}

void asm_init(struct lens_asm *a, struct lens_code *code, struct buf *listing)
{
    *a = (struct lens_asm){.code = code, .listing = listing};
    code->len = 0;
}

void asm_section(struct lens_asm *a, const char *title)
{
    if (a->listing)
        buf_addf(a->listing, "\n      ; %s\n", title);
}

void asm_op(struct lens_asm *a, enum lens_op op, const char *stack)
{
    asm_list_line(a, asm_op_name(op), stack);
    asm_emit_byte(a, op);
}

static void asm_op_numbered(struct lens_asm *a, const char *name, unsigned base, int n,
                            const char *stack)
{
    if (a->listing) {
        struct buf b = BUF_INIT(32);
        buf_addf(&b, "%s%d", name, n);
        asm_list_line(a, buf_str(&b), stack);
        buf_free(&b);
    }
    asm_emit_byte(a, base + (unsigned)n - 1);
}

void asm_dup(struct lens_asm *a, int n, const char *stack)
{
    asm_op_numbered(a, "DUP", OP_DUP1, n, stack);
}

void asm_swap(struct lens_asm *a, int n, const char *stack)
{
    asm_op_numbered(a, "SWAP", OP_SWAP1, n, stack);
}

static void asm_push_text(struct lens_asm *a, const uint8_t *bytes, size_t n, const char *text,
                          const char *stack)
{
    assert(n >= 1 && n <= 32);
    if (a->listing) {
        struct buf b = BUF_INIT(128);
        buf_addf(&b, "PUSH%zu %s", n, text);
        asm_list_line(a, buf_str(&b), stack);
        buf_free(&b);
    }
    asm_emit_byte(a, OP_PUSH1 + (unsigned)n - 1);
    asm_emit(a, bytes, n);
}

static void asm_push_number(struct lens_asm *a, uint64_t value, const char *text, const char *stack)
{
    uint8_t bytes[8];
    size_t n = 1;
    for (int i = 0; i < 8; i++)
        bytes[7 - i] = (uint8_t)(value >> (8 * i));
    while (n < 8 && value >> (8 * n))
        n++;
    asm_push_text(a, bytes + 8 - n, n, text, stack);
}

void asm_push(struct lens_asm *a, uint64_t value, const char *stack)
{
    struct buf text = BUF_INIT(32);
    if (a->listing)
        buf_addf(&text, "%" PRIu64, value);
    asm_push_number(a, value, buf_str(&text), stack);
    buf_free(&text);
}

void asm_push_place(struct lens_asm *a, uint64_t place, const char *name, const char *stack)
{
    struct buf text = BUF_INIT(64);
    if (a->listing)
        buf_addf(&text, "0x%03" PRIx64 " (%s)", place, name);
    asm_push_number(a, place, buf_str(&text), stack);
    buf_free(&text);
}

void asm_push_bytes(struct lens_asm *a, const uint8_t *bytes, size_t n, const char *stack)
{
    struct buf text = BUF_INIT(80);
    if (a->listing) {
        buf_adds(&text, "0x");
        buf_addhex(&text, bytes, n);
    }
    asm_push_text(a, bytes, n, buf_str(&text), stack);
    buf_free(&text);
}

void asm_push_label(struct lens_asm *a, enum lens_label l, const char *stack)
{
    if (a->n_uses == LENS_USES_MAX) {
        a->overflow = true;
        return;
    }
    a->uses[a->n_uses].at = a->code->len + 1;
    a->uses[a->n_uses++].label = l;
    struct buf text = BUF_INIT(32);
    if (a->listing)
        asm_label_text(l, &text);
    asm_push_text(a, (const uint8_t[2]){0}, 2, buf_str(&text), stack);
    buf_free(&text);
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
    if (a->listing) {
        asm_label_text(l, a->listing);
        buf_adds(a->listing, ":\n");
    }
    a->at[l] = a->code->len;
    asm_op(a, OP_JUMPDEST, stack);
}

void asm_end(struct lens_asm *a)
{
    a->at[AT_END] = a->code->len;
    if (a->listing)
        buf_addf(a->listing, "end:\n");
    for (size_t i = 0; i < a->n_uses && !a->overflow; i++) {
        size_t to = a->at[a->uses[i].label];
        a->code->b[a->uses[i].at] = (uint8_t)(to >> 8);
        a->code->b[a->uses[i].at + 1] = (uint8_t)to;
    }
    /* The shape bounds the size; that it does is a property the tests check at its largest. */
    assert(!a->overflow);
}
