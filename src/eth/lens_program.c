/*
 * The program itself. Read it beside docs/lens.md, which has the listing of one.
 *
 * Memory: three words of scratch, from which a view is called and into which it answers, then the
 * reply as it is sent:
 *
 *     0x000  ............................SSSS   selector of the view, right-aligned
 *     0x020  ............AAAAAAAAAAAAAAAAAAAA   the wallet, as the view's argument
 *     0x040  the view's answer
 *     0x060  number        0x0e0  gas at entry       0x160  the request's nonce
 *     0x080  parent hash   0x100  gas at exit        0x180  sums of 16 bytes, one a wallet
 *     0x0a0  timestamp     0x120  wallets answered          then notes of two words
 *     0x0c0  chain id      0x140  linked hash
 *
 * A sum is stored as a whole word shifted up by 16 bytes: the lower half falls on the next wallet's
 * place, which is written later (or stays zero). Notes are added at the end of memory, MSIZE.
 *
 * Stack: at the bottom all the time `p`, where the next wallet stands in the input, and below it
 * `out`, where its sum goes. Above them, within a wallet, the sum of the terms so far.
 *
 * A note is two words: which wallet (with bit 64 set if the other word is a sum of more than 128
 * bits), and why there is no sum: failed term, call's success (2: the sum overflowed), size of the
 * answer, gas used, gas before the call, in fields of 8, 8, 64, 64, 64 bits (see lens_reply.c).
 * This road is slow and is hardly ever taken; the other one is counted in gas.
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
    MEM_LINK = 0x140,
    MEM_NONCE = 0x160,
    MEM_SUMS = MEM_REPLY + LENS_HEADER,
    SUM_SIZE = 16,

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
    size_t reply_most;
    uint64_t reserve; /* gas that must be left when the program ends */
};

static bool lens_creates(const struct program *p)
{
    return p->shape->mode != LENS_CALL;
}

static const struct {
    uint64_t place;
    const char *name;
} places[] = {
    {MEM_SELECTOR, "selector"},
    {MEM_WALLET, "wallet"},
    {MEM_ANSWER, "answer"},
    {MEM_NUMBER, "number"},
    {MEM_PARENT, "parent hash"},
    {MEM_TIME, "timestamp"},
    {MEM_CHAIN, "chain id"},
    {MEM_ENTRY, "gas at entry"},
    {MEM_EXIT, "gas at exit"},
    {MEM_ANSWERED, "wallets answered"},
    {MEM_LINK, "linked hash"},
    {MEM_NONCE, "nonce"},
    {MEM_SUMS, "sums"},
    {VIEW_AT, "call data of a view"},
    {MEM_WALLET + WORD - WALLET_SIZE, "wallet's 20 bytes"},
};

static void lens_push_place(struct lens_asm *a, uint64_t where, const char *stack)
{
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (places[i].place == where) {
            asm_push_place(a, where, places[i].name, stack);
            return;
        }
    assert(!"a place without a name");
}

static void lens_emit_store(struct lens_asm *a, uint64_t where, const char *stack)
{
    lens_push_place(a, where, "");
    asm_op(a, OP_MSTORE, stack);
}

static void lens_emit_load(struct lens_asm *a, uint64_t where, const char *stack)
{
    lens_push_place(a, where, "");
    asm_op(a, OP_MLOAD, stack);
}

/* A call to the chain's own precompile; a failure leaves zero, which proves nothing. */
static void lens_emit_arbsys(struct lens_asm *a, uint32_t selector, uint64_t in_size, uint64_t out)
{
    asm_push(a, selector, "");
    lens_emit_store(a, MEM_SELECTOR, "");
    asm_push(a, WORD, "");
    lens_push_place(a, out, "");
    asm_push(a, in_size, "");
    lens_push_place(a, VIEW_AT, "");
    asm_push(a, ARBSYS, "");
    asm_push(a, ARBSYS_GAS, "");
    asm_op(a, OP_STATICCALL, "success");
    asm_op(a, OP_POP, "");
}

static void lens_emit_anchor_arbsys(const struct program *p, struct lens_asm *a)
{
    lens_emit_arbsys(a, ARBSYS_BLOCK_NUMBER, 4, MEM_NUMBER);
    if (p->shape->has_link) {
        asm_push(a, p->shape->link, "link");
        lens_emit_store(a, MEM_WALLET, "");
        lens_emit_arbsys(a, ARBSYS_BLOCK_HASH, VIEW_SIZE, MEM_LINK);
    }
    asm_push(a, 1, "1");
    lens_emit_load(a, MEM_NUMBER, "number 1");
    asm_op(a, OP_SUB, "number-1");
    lens_emit_store(a, MEM_WALLET, "");
    lens_emit_arbsys(a, ARBSYS_BLOCK_HASH, VIEW_SIZE, MEM_PARENT);
    asm_push(a, 0, "0");
    lens_emit_store(a, MEM_WALLET, ""); /* only its low 20 bytes are written from here on */
}

static void lens_emit_anchor_evm(const struct program *p, struct lens_asm *a)
{
    asm_op(a, OP_NUMBER, "number");
    lens_emit_store(a, MEM_NUMBER, "");
    asm_push(a, 1, "1");
    asm_op(a, OP_NUMBER, "number 1");
    asm_op(a, OP_SUB, "number-1");
    asm_op(a, OP_BLOCKHASH, "parent");
    lens_emit_store(a, MEM_PARENT, "");
    if (p->shape->has_link) {
        asm_push(a, p->shape->link, "link");
        asm_op(a, OP_BLOCKHASH, "linked hash");
        lens_emit_store(a, MEM_LINK, "");
    }
}

/* A creation has no call data: its nonce stands behind the program. */
static void lens_emit_nonce(struct program *p)
{
    struct lens_asm *a = &p->a;
    asm_push(a, NONCE_WORD, "32");
    if (lens_creates(p))
        asm_push_label(a, AT_END, "from 32");
    else
        asm_push(a, 0, "from 32");
    lens_push_place(a, MEM_NONCE, "to from 32");
    asm_op(a, lens_creates(p) ? OP_CODECOPY : OP_CALLDATACOPY, "");
}

static void lens_emit_header(struct program *p)
{
    struct lens_asm *a = &p->a;
    asm_section(a, "which execution this is, and which request it answers");
    asm_op(a, OP_GAS, "gas");
    lens_emit_store(a, MEM_ENTRY, "");
    if (p->shape->anchor == LENS_ANCHOR_EVM)
        lens_emit_anchor_evm(p, a);
    else if (p->shape->anchor == LENS_ANCHOR_ARBSYS)
        lens_emit_anchor_arbsys(p, a);
    lens_emit_nonce(p);
    asm_op(a, OP_TIMESTAMP, "timestamp");
    lens_emit_store(a, MEM_TIME, "");
    asm_op(a, OP_CHAINID, "chain id");
    lens_emit_store(a, MEM_CHAIN, "");
}

/* Where the first wallet stands in the input. */
static void lens_emit_start(struct program *p, const char *stack)
{
    if (lens_creates(p))
        asm_push_label(&p->a, AT_WALLETS, stack);
    else
        asm_push(&p->a, NONCE_WORD, stack);
}

/* `x` on the stack, a place in the input, becomes its distance from the first wallet's. */
static void lens_emit_from_start(struct program *p, const char *stack)
{
    lens_emit_start(p, "");
    asm_swap(&p->a, 1, "");
    asm_op(&p->a, OP_SUB, stack);
}

static void lens_emit_divide(struct lens_asm *a, uint64_t by, const char *stack)
{
    asm_push(a, by, "");
    asm_swap(a, 1, "");
    asm_op(a, OP_DIV, stack);
}

static void lens_emit_input_end(struct program *p, const char *stack)
{
    asm_op(&p->a, lens_creates(p) ? OP_CODESIZE : OP_CALLDATASIZE, stack);
}

static void lens_emit_prologue(struct program *p)
{
    struct lens_asm *a = &p->a;
    asm_section(
        a, "room for the sums: a zero in their last word, 32 * (n / 2), makes memory end there");
    lens_emit_input_end(p, "end of input");
    lens_emit_from_start(p, "size of the wallets");
    lens_emit_divide(a, 2 * WALLET_SIZE, "n/2");
    asm_push(a, 5, "");
    asm_op(a, OP_SHL, "32*(n/2)");
    lens_push_place(a, MEM_SUMS, "");
    asm_op(a, OP_ADD, "last");
    asm_push(a, 0, "0 last");
    asm_swap(a, 1, "last 0");
    asm_op(a, OP_MSTORE, "");
    lens_push_place(a, MEM_SUMS, "out");
    lens_emit_start(p, "p out");
    asm_jump(a, AT_NEXT_CHECK, "p out");
}

static void lens_emit_wallet(struct program *p)
{
    struct lens_asm *a = &p->a;
    asm_section(a, "a wallet: 20 bytes of input become the argument");
    asm_land(a, AT_LOOP, "p out");
    asm_push(a, WALLET_SIZE, "20 p out");
    asm_dup(a, 2, "p 20 p out");
    lens_push_place(a, MEM_WALLET + WORD - WALLET_SIZE, "to p 20 p out");
    asm_op(a, lens_creates(p) ? OP_CODECOPY : OP_CALLDATACOPY, "p out");
}

static uint64_t lens_emit_limit(const struct lens_term *t)
{
    const uint64_t most = (uint64_t)1 << 60; /* so that what is added to it stays in 64 bits */
    return t->gas < most ? t->gas : most;
}

/* Gas without which a term is not called. A call gets at most 63/64 of what is there (EIP-150), so
 * its limit L needs ceil(64 L / 63) = L + ceil(L / 63). Alone there is no limit; but what is kept
 * back must be small against what is given, for the rule of half to say something. */
static uint64_t lens_emit_need(const struct program *p, const struct lens_term *t)
{
    uint64_t limit = lens_emit_limit(t);
    return p->shape->isolated ? 4 * p->reserve : limit + (limit + 62) / 63 + p->reserve;
}

static void lens_emit_gas_check(struct program *p, size_t i)
{
    struct lens_asm *a = &p->a;
    asm_op(a, OP_GAS, i ? "before sum p out" : "before p out");
    asm_dup(a, 1, i ? "before before sum p out" : "before before p out");
    asm_push(a, lens_emit_need(p, &p->shape->terms[i]), "");
    asm_op(a, OP_GT, i ? "need>before before sum p out" : "need>before before p out");
    asm_jump_if(a, i ? AT_STOP_SUM : AT_STOP, i ? "before sum p out" : "before p out");
}

static void lens_emit_call(struct program *p, size_t i)
{
    struct lens_asm *a = &p->a;
    const struct lens_term *t = &p->shape->terms[i];
    asm_push(a, WORD, "");
    lens_push_place(a, MEM_ANSWER, "");
    asm_push(a, VIEW_SIZE, "");
    lens_push_place(a, VIEW_AT, "from, size, to, size, …");
    asm_push_bytes(a, t->contract.b, sizeof t->contract.b, "contract, from, size, to, size, …");
    if (p->shape->isolated) {
        asm_push(a, p->reserve, "");
        asm_op(a, OP_GAS, "");
        asm_op(a, OP_SUB, "limit, contract, from, size, to, size, …");
    } else {
        asm_push(a, lens_emit_limit(t), "limit, contract, from, size, to, size, …");
    }
    asm_op(a, OP_STATICCALL, i ? "ok before sum p out" : "ok before p out");
}

/* Success, exactly 32 bytes, and at most half of the gas used: else to AT_BAD. */
static void lens_emit_verdict(struct program *p, size_t i)
{
    struct lens_asm *a = &p->a;
    asm_dup(a, 1, "ok ok before …");
    asm_push(a, WORD, "32 ok ok before …");
    asm_op(a, OP_RETURNDATASIZE, "size 32 ok ok before …");
    asm_op(a, OP_EQ, "size=32 ok ok before …");
    asm_op(a, OP_AND, "fine ok before …");
    asm_dup(a, 3, "before fine ok before …");
    if (p->shape->isolated) {
        asm_op(a, OP_GAS, "");
        asm_push(a, 1, "");
        asm_op(a, OP_SHL, "2*after before fine ok before …");
    } else {
        asm_push(a, lens_emit_limit(&p->shape->terms[i]) / 2 + 1, "");
        asm_op(a, OP_GAS, "");
        asm_op(a, OP_ADD, "after+half+1 before fine ok before …");
    }
    asm_op(a, OP_GT, "light fine ok before …");
    asm_op(a, OP_AND, "good ok before …");
    asm_jump_if(a, AT_GOOD + (enum lens_label)i, i ? "ok before sum p out" : "ok before p out");
    if (i) {
        asm_swap(a, 2, "sum before ok p out");
        asm_op(a, OP_POP, "before ok p out");
        asm_swap(a, 1, "ok before p out");
    }
    asm_push(a, i, "term ok before p out");
    asm_jump(a, AT_BAD, "term ok before p out");
    asm_land(a, AT_GOOD + (enum lens_label)i, i ? "ok before sum p out" : "ok before p out");
    asm_op(a, OP_POP, i ? "before sum p out" : "before p out");
    asm_op(a, OP_POP, i ? "sum p out" : "p out");
}

static void lens_emit_add(struct program *p, size_t i)
{
    struct lens_asm *a = &p->a;
    lens_emit_load(a, MEM_ANSWER, i ? "value sum p out" : "value p out: the sum so far");
    if (!i)
        return;
    asm_op(a, OP_ADD, "sum p out");
    asm_dup(a, 1, "sum sum p out");
    lens_emit_load(a, MEM_ANSWER, "value sum sum p out");
    asm_op(a, OP_GT, "value>sum sum p out: then it went round");
    asm_jump_if(a, AT_OVERFLOW, "sum p out");
}

static void lens_emit_term(struct program *p, size_t i)
{
    struct lens_asm *a = &p->a;
    const struct lens_shape *s = p->shape;
    asm_section(a, i ? "the next term: the full limit or nothing"
                     : "the first term: the full limit or nothing");
    lens_emit_gas_check(p, i);
    /* The word keeps its selector; what follows may need the same one. */
    bool same = i && memcmp(s->terms[i - 1].selector, s->terms[i].selector, 4) == 0;
    if (!same) {
        asm_push_bytes(a, s->terms[i].selector, 4, "selector …");
        lens_emit_store(a, MEM_SELECTOR, i ? "before sum p out" : "before p out");
    }
    lens_emit_call(p, i);
    lens_emit_verdict(p, i);
    lens_emit_add(p, i);
}

static void lens_emit_next(struct program *p)
{
    struct lens_asm *a = &p->a;
    asm_section(a, "the wallet has its sum; the next one");
    asm_dup(a, 1, "sum sum p out");
    asm_push(a, 128, "");
    asm_op(a, OP_SHR, "sum>>128 sum p out");
    asm_jump_if(a, AT_WIDE, "sum p out");
    asm_push(a, 128, "");
    asm_op(a, OP_SHL, "sum<<128 p out");
    asm_dup(a, 3, "out sum<<128 p out");
    asm_op(a, OP_MSTORE, "p out");
    asm_land(a, AT_NEXT, "p out");
    asm_swap(a, 1, "out p");
    asm_push(a, SUM_SIZE, "");
    asm_op(a, OP_ADD, "out p");
    asm_swap(a, 1, "p out");
    asm_push(a, WALLET_SIZE, "");
    asm_op(a, OP_ADD, "p out");
    asm_land(a, AT_NEXT_CHECK, "p out");
    lens_emit_input_end(p, "end p out");
    asm_dup(a, 2, "p end p out");
    asm_op(a, OP_LT, "p<end p out");
    asm_jump_if(a, AT_LOOP, "p out");
}

static void lens_emit_done(struct program *p)
{
    struct lens_asm *a = &p->a;
    asm_section(a, "out: p tells how many wallets were answered");
    asm_land(a, AT_DONE, "p out");
    lens_emit_from_start(p, "p-start out");
    lens_emit_divide(a, WALLET_SIZE, "answered out");
    lens_emit_store(a, MEM_ANSWERED, "out");
    asm_op(a, OP_GAS, "gas out");
    lens_emit_store(a, MEM_EXIT, "out");
    lens_push_place(a, MEM_REPLY, "");
    asm_op(a, OP_MSIZE, "");
    asm_op(a, OP_SUB, "size out");
    lens_push_place(a, MEM_REPLY, "from size out");
    asm_op(a, p->shape->mode == LENS_CREATE_REVERT ? OP_REVERT : OP_RETURN, "");
}

static void lens_emit_stop(struct program *p)
{
    struct lens_asm *a = &p->a;
    asm_section(a, "not enough gas for the next call: the wallet at p is not answered");
    if (p->shape->mode == LENS_CREATE || p->shape->n_terms > 1) {
        if (p->shape->mode == LENS_CREATE)
            asm_land(a, AT_STOP_NOTE, "kind why p out");
        if (p->shape->n_terms > 1)
            asm_land(a, AT_STOP_SUM, "before sum p out");
        asm_op(a, OP_POP, "sum p out");
    }
    asm_land(a, AT_STOP, "before (or what was below) p out");
    asm_op(a, OP_POP, "p out");
    asm_jump(a, AT_DONE, "p out");
}

static void lens_emit_or_field(struct lens_asm *a, uint64_t shift, const char *stack)
{
    asm_push(a, shift, "");
    asm_op(a, OP_SHL, "");
    asm_op(a, OP_OR, stack);
}

static void lens_emit_odd_sums(struct program *p)
{
    struct lens_asm *a = &p->a;
    asm_section(a, "a sum of more than 128 bits, whole");
    asm_land(a, AT_WIDE, "sum p out");
    asm_push(a, 1, "");
    asm_push(a, 64, "");
    asm_op(a, OP_SHL, "kind sum p out");
    asm_jump(a, AT_NOTE, "kind sum p out");
    if (p->shape->n_terms == 1)
        return;
    asm_section(a, "the sum does not fit 256 bits");
    asm_land(a, AT_OVERFLOW, "sum p out");
    asm_op(a, OP_POP, "p out");
    asm_push(a, 0x200, "why p out");
    asm_push(a, 0, "kind why p out");
    asm_jump(a, AT_NOTE, "kind why p out");
}

static void lens_emit_reason(struct program *p)
{
    struct lens_asm *a = &p->a;
    asm_section(a, "a term failed, answered oddly, or used too much: all that is known of it");
    asm_land(a, AT_BAD, "term ok before p out");
    asm_swap(a, 1, "ok term before p out");
    lens_emit_or_field(a, 8, "why before p out");
    asm_op(a, OP_RETURNDATASIZE, "size why before p out");
    lens_emit_or_field(a, 64, "why before p out");
    asm_swap(a, 1, "before why p out");
    asm_op(a, OP_GAS, "gas before why p out");
    asm_dup(a, 2, "before gas before why p out");
    asm_op(a, OP_SUB, "used before why p out");
    asm_push(a, 128, "");
    asm_op(a, OP_SHL, "used<<128 before why p out");
    asm_swap(a, 1, "before used<<128 why p out");
    lens_emit_or_field(a, 192, "used|before why p out");
    asm_op(a, OP_OR, "why p out");
    asm_push(a, 0, "kind why p out");
}

static void lens_emit_note(struct program *p)
{
    struct lens_asm *a = &p->a;
    asm_section(a, "a note at the end of memory: which wallet, and what of it");
    asm_land(a, AT_NOTE, "kind why p out");
    if (p->shape->mode == LENS_CREATE) {
        asm_push(a, MEM_REPLY + p->reply_most - 2 * WORD, "");
        asm_op(a, OP_MSIZE, "");
        asm_op(a, OP_GT, "no room? kind why p out");
        asm_jump_if(a, AT_STOP_NOTE, "kind why p out");
    }
    asm_dup(a, 3, "p kind why p out");
    lens_emit_from_start(p, "p-start kind why p out");
    lens_emit_divide(a, WALLET_SIZE, "i kind why p out");
    asm_op(a, OP_OR, "which why p out");
    asm_op(a, OP_MSIZE, "");
    asm_op(a, OP_MSTORE, "why p out");
    asm_op(a, OP_MSIZE, "");
    asm_op(a, OP_MSTORE, "p out");
    asm_jump(a, AT_NEXT, "p out");
}

void lens_assemble(const struct lens_shape *s, size_t n_wallets, struct lens_code *ret)
{
    assert(s->n_terms >= 1 && s->n_terms <= LENS_TERMS_MAX && n_wallets <= LENS_WALLETS_MAX);
    struct program p = {.shape = s, .reserve = LENS_MARGIN};
    p.reply_most = lens_reply_most(s, n_wallets);
    if (s->mode == LENS_CREATE) /* its last act is paid for after it has ended */
        p.reserve += LENS_DEPOSIT * (uint64_t)p.reply_most;
    asm_init(&p.a, ret);
    lens_emit_header(&p);
    lens_emit_prologue(&p);
    lens_emit_wallet(&p);
    for (size_t i = 0; i < s->n_terms; i++)
        lens_emit_term(&p, i);
    lens_emit_next(&p);
    lens_emit_done(&p);
    lens_emit_stop(&p);
    lens_emit_odd_sums(&p);
    lens_emit_reason(&p);
    lens_emit_note(&p);
    asm_end(&p.a);
}
