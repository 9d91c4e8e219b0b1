/*
 * The lens as text: the source of the program once more, with an assembler in front of the
 * program's own that writes a line for each instruction.
 */
#include "lens_listing.h"
#include "base/mem.h"
#include "eth/lens_asm.h"

#include <inttypes.h>
#include <stdio.h>

static struct buf *listing;

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
    [AT_WALLETS] = "wallets",
};

static const char *list_op_name(enum lens_op op)
{
    for (size_t i = 0; i < COUNT_OF(op_names); i++)
        if (op_names[i].op == op)
            return op_names[i].name;
    return "?";
}

static void list_label_text(enum lens_label l, char text[16])
{
    if (l < AT_GOOD)
        snprintf(text, 16, "%s", label_names[l]);
    else
        snprintf(text, 16, "good%d", (int)(l - AT_GOOD));
}

/* One line: where, what, and the stack after it. */
static void list_line(const struct lens_asm *a, const char *what, const char *stack)
{
    if (*stack)
        buf_addf(listing, "%04zx  %-50s ; %s\n", a->code->len, what, stack);
    else
        buf_addf(listing, "%04zx  %s\n", a->code->len, what);
}

static void list_section(const char *title)
{
    buf_addf(listing, "\n      ; %s\n", title);
}

static void list_op(struct lens_asm *a, enum lens_op op, const char *stack)
{
    list_line(a, list_op_name(op), stack);
    asm_op(a, op, stack);
}

static void list_dup(struct lens_asm *a, int n, const char *stack)
{
    char text[8];
    snprintf(text, sizeof text, "DUP%d", n);
    list_line(a, text, stack);
    asm_dup(a, n, stack);
}

static void list_swap(struct lens_asm *a, int n, const char *stack)
{
    char text[8];
    snprintf(text, sizeof text, "SWAP%d", n);
    list_line(a, text, stack);
    asm_swap(a, n, stack);
}

static size_t list_number_size(uint64_t value)
{
    size_t n = 1;
    while (n < 8 && value >> (8 * n))
        n++;
    return n;
}

static void list_push(struct lens_asm *a, uint64_t value, const char *stack)
{
    char text[40];
    snprintf(text, sizeof text, "PUSH%zu %" PRIu64, list_number_size(value), value);
    list_line(a, text, stack);
    asm_push(a, value, stack);
}

static void list_push_place(struct lens_asm *a, uint64_t place, const char *name, const char *stack)
{
    char text[80];
    snprintf(text, sizeof text, "PUSH%zu 0x%03" PRIx64 " (%s)", list_number_size(place), place,
             name);
    list_line(a, text, stack);
    asm_push_place(a, place, name, stack);
}

static void list_push_bytes(struct lens_asm *a, const uint8_t *bytes, size_t n, const char *stack)
{
    struct buf text = BUF_INIT(100);
    buf_addf(&text, "PUSH%zu 0x", n);
    buf_addhex(&text, bytes, n);
    list_line(a, buf_str(&text), stack);
    buf_free(&text);
    asm_push_bytes(a, bytes, n, stack);
}

static void list_push_label(struct lens_asm *a, enum lens_label l, const char *stack)
{
    char name[16], text[24];
    list_label_text(l, name);
    snprintf(text, sizeof text, "PUSH2 %s", name);
    list_line(a, text, stack);
    asm_push_label(a, l, stack);
}

static void list_jump(struct lens_asm *a, enum lens_label l, const char *stack)
{
    list_push_label(a, l, "");
    list_op(a, OP_JUMP, stack);
}

static void list_jump_if(struct lens_asm *a, enum lens_label l, const char *stack)
{
    list_push_label(a, l, "");
    list_op(a, OP_JUMPI, stack);
}

static void list_land(struct lens_asm *a, enum lens_label l, const char *stack)
{
    char name[16];
    list_label_text(l, name);
    buf_addf(listing, "%s:\n", name);
    list_line(a, list_op_name(OP_JUMPDEST), stack);
    asm_land(a, l, stack);
}

static void list_end(struct lens_asm *a)
{
    buf_adds(listing, "end:\n");
    asm_end(a);
}

#define asm_section(a, title) list_section(title)
#define asm_op                list_op
#define asm_dup               list_dup
#define asm_swap              list_swap
#define asm_push              list_push
#define asm_push_place        list_push_place
#define asm_push_bytes        list_push_bytes
#define asm_push_label        list_push_label
#define asm_jump              list_jump
#define asm_jump_if           list_jump_if
#define asm_land              list_land
#define asm_end               list_end
#define lens_assemble         list_assemble
void list_assemble(const struct lens_shape *s, size_t n_wallets, struct lens_code *ret);
#include "eth/lens_program.c"

void lens_listing(const struct lens_shape *s, size_t n_wallets, struct buf *text)
{
    struct lens_code code;
    listing = text;
    list_assemble(s, n_wallets, &code);
}
