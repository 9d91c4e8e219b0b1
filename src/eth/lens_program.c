/*
 * The program itself. Read it beside docs/lens.md, which has the listing of one.
 *
 * Memory: three words of scratch, from which a view is called and into which it answers, then the
 * reply as it is sent. The reply grows at its end, so MSIZE is where the next word goes.
 *
 *     0x000  ............................SSSS   selector of the view, right-aligned
 *     0x020  ............AAAAAAAAAAAAAAAAAAAA   the wallet, as the view's argument
 *     0x040  the view's answer
 *     0x060  number        0x0c0  chain id       0x120  wallets answered
 *     0x080  parent hash   0x0e0  gas at entry   0x140  marks, one bit a wallet
 *     0x0a0  timestamp     0x100  gas at exit           then a word a wallet
 *
 * Stack: `p`, where the next wallet stands in the input, lies at the bottom all the time; above it,
 * within a wallet, the sum of the terms so far.
 *
 * A wallet without a sum has, in its place, `why`: failed term, call's success (2: the sum
 * overflowed), size of the answer, gas used, gas before the call, in fields of 8, 8, 64, 64, 64
 * bits (see lens_reply.c). This road is slow and is hardly ever taken; the other one is counted in
 * gas.
 */
#include "eth/lens.h"
#include "eth/lens_asm.h"

#include <assert.h>
#include <string.h>

enum {
    WORD = 32,
    WALLET_SIZE = 20,

    MEM_SELECTOR = 0x00,
    MEM_WALLET = 0x20,
    MEM_ANSWER = 0x40,
    MEM_REPLY = 0x60,
    MEM_NUMBER = MEM_REPLY,
    MEM_PARENT = 0x80,
    MEM_TIME = 0xa0,
    MEM_CHAIN = 0xc0,
    MEM_ENTRY = 0xe0,
    MEM_EXIT = 0x100,
    MEM_ANSWERED = 0x120,
    MEM_MARKS = MEM_REPLY + LENS_HEADER,

    VIEW_AT = MEM_SELECTOR + WORD - 4, /* the call data of a view: selector and one word */
    VIEW_SIZE = 4 + WORD,

    ARBSYS = 0x64,
    ARBSYS_GAS = 100000,
    ARBSYS_BLOCK_NUMBER = 0xa3b1b31d, /* arbBlockNumber() */
    ARBSYS_BLOCK_HASH = 0x2b407a82,   /* arbBlockHash(uint256) */
};

struct program {
    struct lens_asm a;
    const struct lens_shape *shape;
    uint64_t reserve; /* gas that must be left when the program ends */
};

static bool creates(const struct program *p)
{
    return p->shape->mode != LENS_CALL;
}

static void store_at(struct lens_asm *a, uint64_t where, const char *stack)
{
    asm_push(a, where, "");
    asm_op(a, OP_MSTORE, stack);
}

/* A call to the chain's own precompile; a failure leaves zero, which proves nothing. */
static void arbsys(struct lens_asm *a, uint32_t selector, uint64_t in_size, uint64_t out)
{
    asm_push(a, selector, "");
    store_at(a, MEM_SELECTOR, "");
    asm_push(a, WORD, "");
    asm_push(a, out, "");
    asm_push(a, in_size, "");
    asm_push(a, VIEW_AT, "");
    asm_push(a, ARBSYS, "");
    asm_push(a, ARBSYS_GAS, "");
    asm_op(a, OP_STATICCALL, "success");
    asm_op(a, OP_POP, "");
}

static void anchor_arbsys(struct lens_asm *a)
{
    arbsys(a, ARBSYS_BLOCK_NUMBER, 4, MEM_NUMBER);
    asm_push(a, 1, "1");
    asm_push(a, MEM_NUMBER, "");
    asm_op(a, OP_MLOAD, "number 1");
    asm_op(a, OP_SUB, "number-1");
    store_at(a, MEM_WALLET, "");
    arbsys(a, ARBSYS_BLOCK_HASH, VIEW_SIZE, MEM_PARENT);
    asm_push(a, 0, "0");
    store_at(a, MEM_WALLET, ""); /* only its low 20 bytes are written from here on */
}

static void anchor_evm(struct lens_asm *a)
{
    asm_op(a, OP_NUMBER, "number");
    store_at(a, MEM_NUMBER, "");
    asm_push(a, 1, "1");
    asm_op(a, OP_NUMBER, "number 1");
    asm_op(a, OP_SUB, "number-1");
    asm_op(a, OP_BLOCKHASH, "parent");
    store_at(a, MEM_PARENT, "");
}

static void header(struct program *p)
{
    struct lens_asm *a = &p->a;
    asm_section(a, "which execution this is");
    asm_op(a, OP_GAS, "gas");
    store_at(a, MEM_ENTRY, "");
    if (p->shape->anchor == LENS_ANCHOR_EVM)
        anchor_evm(a);
    else if (p->shape->anchor == LENS_ANCHOR_ARBSYS)
        anchor_arbsys(a);
    asm_op(a, OP_TIMESTAMP, "timestamp");
    store_at(a, MEM_TIME, "");
    asm_op(a, OP_CHAINID, "chain id");
    store_at(a, MEM_CHAIN, "");
}

/* `x` on the stack, a place in the input, becomes its distance from the input's start. */
static void from_start(struct program *p, const char *stack)
{
    if (!creates(p))
        return;
    asm_push_label(&p->a, AT_END, "");
    asm_swap(&p->a, 1, "");
    asm_op(&p->a, OP_SUB, stack);
}

static void divide(struct lens_asm *a, uint64_t by, const char *stack)
{
    asm_push(a, by, "");
    asm_swap(a, 1, "");
    asm_op(a, OP_DIV, stack);
}

static void input_end(struct program *p, const char *stack)
{
    asm_op(&p->a, creates(p) ? OP_CODESIZE : OP_CALLDATASIZE, stack);
}

static void prepare(struct program *p)
{
    struct lens_asm *a = &p->a;
    asm_section(a, "room for ceil(n / 256) words of marks: writing the last word makes the memory"
                   " end there");
    input_end(p, "end of input");
    from_start(p, "size of input");
    divide(a, WALLET_SIZE, "n");
    asm_push(a, 255, "");
    asm_op(a, OP_ADD, "n+255");
    asm_push(a, 8, "");
    asm_op(a, OP_SHR, "words");
    asm_push(a, 5, "");
    asm_op(a, OP_SHL, "bytes");
    asm_push(a, MEM_MARKS - WORD, "");
    asm_op(a, OP_ADD, "last");
    asm_push(a, 0, "0 last");
    asm_swap(a, 1, "last 0");
    asm_op(a, OP_MSTORE, "");
    if (creates(p))
        asm_push_label(a, AT_END, "p");
    else
        asm_push(a, 0, "p");
    asm_jump(a, AT_NEXT_CHECK, "p");
}

/* `x`, the sum or the reason of the wallet at hand, goes into its place. */
static void place(struct program *p, const char *stack)
{
    struct lens_asm *a = &p->a;
    if (p->shape->each) { /* the wallet's words are there already: see wallet() */
        asm_push(a, WORD * (p->shape->n_terms + 1), "");
        asm_op(a, OP_MSIZE, "");
        asm_op(a, OP_SUB, "");
    } else {
        asm_op(a, OP_MSIZE, "");
    }
    asm_op(a, OP_MSTORE, stack);
}

static void wallet(struct program *p)
{
    struct lens_asm *a = &p->a;
    asm_section(a, "a wallet: 20 bytes of input become the argument");
    asm_land(a, AT_LOOP, "p");
    asm_push(a, WALLET_SIZE, "20 p");
    asm_dup(a, 2, "p 20 p");
    asm_push(a, MEM_WALLET + WORD - WALLET_SIZE, "to p 20 p");
    asm_op(a, creates(p) ? OP_CODECOPY : OP_CALLDATACOPY, "p");
    if (p->shape->each) {
        asm_section(a, "with single terms: room for the sum and each of them");
        asm_push(a, 0, "0 p");
        asm_push(a, WORD * p->shape->n_terms, "");
        asm_op(a, OP_MSIZE, "");
        asm_op(a, OP_ADD, "last 0 p");
        asm_op(a, OP_MSTORE, "p");
    }
}

static uint64_t limit_of(const struct lens_term *t)
{
    const uint64_t most = (uint64_t)1 << 60; /* so that what is added to it stays in 64 bits */
    return t->gas < most ? t->gas : most;
}

/* Gas without which a term is not called. A call gets at most 63/64 of what is there (EIP-150), so
 * its limit L needs ceil(64 L / 63) = L + ceil(L / 63). Alone there is no limit; but what is kept
 * back must be small against what is given, for the rule of half to say something. */
static uint64_t need_of(const struct program *p, const struct lens_term *t)
{
    uint64_t limit = limit_of(t);
    return p->shape->alone ? 4 * p->reserve : limit + (limit + 62) / 63 + p->reserve;
}

static void check_gas(struct program *p, size_t i)
{
    struct lens_asm *a = &p->a;
    asm_op(a, OP_GAS, i ? "before sum p" : "before p");
    asm_dup(a, 1, i ? "before before sum p" : "before before p");
    asm_push(a, need_of(p, &p->shape->terms[i]), "");
    asm_op(a, OP_GT, i ? "need>before before sum p" : "need>before before p");
    asm_jump_if(a, i ? AT_STOP_SUM : AT_STOP, i ? "before sum p" : "before p");
}

static void call_view(struct program *p, size_t i)
{
    struct lens_asm *a = &p->a;
    const struct lens_term *t = &p->shape->terms[i];
    asm_push(a, WORD, "");
    asm_push(a, MEM_ANSWER, "");
    asm_push(a, VIEW_SIZE, "");
    asm_push(a, VIEW_AT, "in, size, out, size, …");
    asm_push_bytes(a, t->contract.b, sizeof t->contract.b, "contract, in, size, out, size, …");
    if (p->shape->alone) {
        asm_push(a, p->reserve, "");
        asm_op(a, OP_GAS, "");
        asm_op(a, OP_SUB, "limit, contract, in, size, out, size, …");
    } else {
        asm_push(a, limit_of(t), "limit, contract, in, size, out, size, …");
    }
    asm_op(a, OP_STATICCALL, i ? "ok before sum p" : "ok before p");
}

/* Success, exactly 32 bytes, and at most half of the gas used: else to AT_BAD. */
static void judge(struct program *p, size_t i)
{
    struct lens_asm *a = &p->a;
    asm_dup(a, 1, "ok ok before …");
    asm_push(a, WORD, "32 ok ok before …");
    asm_op(a, OP_RETURNDATASIZE, "size 32 ok ok before …");
    asm_op(a, OP_EQ, "size=32 ok ok before …");
    asm_op(a, OP_AND, "fine ok before …");
    asm_dup(a, 3, "before fine ok before …");
    if (p->shape->alone) {
        asm_op(a, OP_GAS, "");
        asm_push(a, 1, "");
        asm_op(a, OP_SHL, "2*after before fine ok before …");
    } else {
        asm_push(a, limit_of(&p->shape->terms[i]) / 2 + 1, "");
        asm_op(a, OP_GAS, "");
        asm_op(a, OP_ADD, "after+half+1 before fine ok before …");
    }
    asm_op(a, OP_GT, "light fine ok before …");
    asm_op(a, OP_AND, "good ok before …");
    asm_jump_if(a, AT_GOOD + (enum lens_label)i, i ? "ok before sum p" : "ok before p");
    if (i) {
        asm_swap(a, 2, "sum before ok p");
        asm_op(a, OP_POP, "before ok p");
        asm_swap(a, 1, "ok before p");
    }
    asm_push(a, i, "term ok before p");
    asm_jump(a, AT_BAD, "term ok before p");
    asm_land(a, AT_GOOD + (enum lens_label)i, i ? "ok before sum p" : "ok before p");
    asm_op(a, OP_POP, i ? "before sum p" : "before p");
    asm_op(a, OP_POP, i ? "sum p" : "p");
}

static void add_answer(struct program *p, size_t i)
{
    struct lens_asm *a = &p->a;
    asm_push(a, MEM_ANSWER, "");
    asm_op(a, OP_MLOAD, i ? "value sum p" : "value p, which is the sum so far");
    if (i) {
        asm_op(a, OP_ADD, "sum p");
        asm_dup(a, 1, "sum sum p");
        asm_push(a, MEM_ANSWER, "");
        asm_op(a, OP_MLOAD, "value sum sum p");
        asm_op(a, OP_GT, "value>sum sum p: then it went round");
        asm_jump_if(a, AT_OVERFLOW, "sum p");
    }
    if (p->shape->each) {
        asm_push(a, MEM_ANSWER, "");
        asm_op(a, OP_MLOAD, "value sum p");
        asm_push(a, WORD * (p->shape->n_terms - i), "");
        asm_op(a, OP_MSIZE, "");
        asm_op(a, OP_SUB, "place value sum p");
        asm_op(a, OP_MSTORE, "sum p");
    }
}

static void term(struct program *p, size_t i)
{
    struct lens_asm *a = &p->a;
    const struct lens_shape *s = p->shape;
    struct buf title = BUF_INIT(64);
    buf_addf(&title, "term %zu: the full limit or nothing", i);
    asm_section(a, buf_str(&title));
    buf_free(&title);
    check_gas(p, i);
    /* The word keeps its selector; what follows may need the same one. */
    bool same = i && memcmp(s->terms[i - 1].selector, s->terms[i].selector, 4) == 0;
    if (!same) {
        asm_push_bytes(a, s->terms[i].selector, 4, "selector …");
        store_at(a, MEM_SELECTOR, i ? "before sum p" : "before p");
    }
    call_view(p, i);
    judge(p, i);
    add_answer(p, i);
}

static void next(struct program *p)
{
    struct lens_asm *a = &p->a;
    asm_section(a, "the wallet has its sum; the next one");
    place(p, "p");
    asm_land(a, AT_NEXT, "p");
    asm_push(a, WALLET_SIZE, "");
    asm_op(a, OP_ADD, "p");
    asm_land(a, AT_NEXT_CHECK, "p");
    input_end(p, "end p");
    asm_dup(a, 2, "p end p");
    asm_op(a, OP_LT, "p<end p");
    asm_jump_if(a, AT_LOOP, "p");
}

static void done(struct program *p)
{
    struct lens_asm *a = &p->a;
    asm_section(a, "out: p tells how many wallets were answered");
    asm_land(a, AT_DONE, "p");
    from_start(p, "p-start");
    divide(a, WALLET_SIZE, "answered");
    store_at(a, MEM_ANSWERED, "");
    asm_op(a, OP_GAS, "gas");
    store_at(a, MEM_EXIT, "");
    asm_push(a, MEM_REPLY, "");
    asm_op(a, OP_MSIZE, "");
    asm_op(a, OP_SUB, "size");
    asm_push(a, MEM_REPLY, "from size");
    asm_op(a, p->shape->mode == LENS_CREATE_REVERT ? OP_REVERT : OP_RETURN, "");
}

static void stop(struct program *p)
{
    struct lens_asm *a = &p->a;
    asm_section(a, "not enough gas for the next call: the wallet at p is not answered");
    if (p->shape->n_terms > 1) {
        asm_land(a, AT_STOP_SUM, "before sum p");
        asm_op(a, OP_POP, "sum p");
    }
    asm_land(a, AT_STOP, "before (or sum) p");
    asm_op(a, OP_POP, "p");
    asm_jump(a, AT_DONE, "p");
}

static void or_field(struct lens_asm *a, uint64_t shift, const char *stack)
{
    asm_push(a, shift, "");
    asm_op(a, OP_SHL, "");
    asm_op(a, OP_OR, stack);
}

/* Why a wallet has no sum. */
static void reasons(struct program *p)
{
    struct lens_asm *a = &p->a;
    if (p->shape->n_terms > 1) {
        asm_section(a, "the sum does not fit 256 bits");
        asm_land(a, AT_OVERFLOW, "sum p");
        asm_op(a, OP_POP, "p");
        asm_push(a, 0x200, "why p");
        asm_jump(a, AT_MARK, "why p");
    }
    asm_section(a, "a term failed, answered oddly, or used too much: all that is known of it");
    asm_land(a, AT_BAD, "term ok before p");
    asm_swap(a, 1, "ok term before p");
    or_field(a, 8, "why before p");
    asm_op(a, OP_RETURNDATASIZE, "size why before p");
    or_field(a, 64, "why before p");
    asm_swap(a, 1, "before why p");
    asm_op(a, OP_GAS, "gas before why p");
    asm_dup(a, 2, "before gas before why p");
    asm_op(a, OP_SUB, "used before why p");
    asm_push(a, 128, "");
    asm_op(a, OP_SHL, "used<<128 before why p");
    asm_swap(a, 1, "before used<<128 why p");
    or_field(a, 192, "used|before why p");
    asm_op(a, OP_OR, "why p");
}

static void mark(struct program *p)
{
    struct lens_asm *a = &p->a;
    asm_section(a, "in place of the sum; and the wallet's bit");
    asm_land(a, AT_MARK, "why p");
    place(p, "p");
    asm_dup(a, 1, "p p");
    from_start(p, "p-start p");
    divide(a, WALLET_SIZE, "i p");
    asm_push(a, 1, "1 i p");
    asm_dup(a, 2, "i 1 i p");
    asm_push(a, 255, "255 i 1 i p");
    asm_op(a, OP_AND, "i%256 1 i p");
    asm_op(a, OP_SHL, "bit i p");
    asm_swap(a, 1, "i bit p");
    asm_push(a, 8, "");
    asm_op(a, OP_SHR, "i/256 bit p");
    asm_push(a, 5, "");
    asm_op(a, OP_SHL, "");
    asm_push(a, MEM_MARKS, "");
    asm_op(a, OP_ADD, "word bit p");
    asm_dup(a, 1, "word word bit p");
    asm_op(a, OP_MLOAD, "marks word bit p");
    asm_dup(a, 3, "bit marks word bit p");
    asm_op(a, OP_OR, "marks word bit p");
    asm_swap(a, 1, "word marks bit p");
    asm_op(a, OP_MSTORE, "bit p");
    asm_op(a, OP_POP, "p");
    asm_jump(a, AT_NEXT, "p");
}

static void assemble(const struct lens_shape *s, size_t n_wallets, struct lens_code *code,
                     struct buf *listing)
{
    assert(s->n_terms >= 1 && s->n_terms <= LENS_TERMS_MAX && n_wallets <= LENS_WALLETS_MAX);
    struct program p = {.shape = s, .reserve = LENS_MARGIN};
    if (s->mode == LENS_CREATE) /* its last act is paid for after it has ended */
        p.reserve += LENS_DEPOSIT * (uint64_t)lens_reply_size(s, n_wallets);
    asm_init(&p.a, code, listing);
    header(&p);
    prepare(&p);
    wallet(&p);
    for (size_t i = 0; i < s->n_terms; i++)
        term(&p, i);
    next(&p);
    done(&p);
    stop(&p);
    reasons(&p);
    mark(&p);
    asm_end(&p.a);
}

void lens_assemble(const struct lens_shape *s, size_t n_wallets, struct lens_code *ret)
{
    assemble(s, n_wallets, ret, NULL);
}

void lens_listing(const struct lens_shape *s, size_t n_wallets, struct buf *text)
{
    struct lens_code code;
    assemble(s, n_wallets, &code, text);
}
