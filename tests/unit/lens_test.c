/*
 * The program as an object (jumps, stack depths, size) and the decoder against replies made here.
 * That the program does what it should is for the integration tests: only a real EVM knows.
 */
#include "../tools/lens_listing.h"
#include "eth/abi.h"
#include "eth/lens.h"
#include "eth/lens_asm.h"
#include "vectors.h"

enum { WORD = 32 };

static struct lens_term terms[LENS_TERMS_MAX];

static struct lens_shape shape_of(size_t n_terms, enum lens_mode mode, bool isolated)
{
    for (size_t i = 0; i < LENS_TERMS_MAX; i++) {
        memset(&terms[i], (int)(0x11 + i), sizeof terms[i]);
        terms[i].gas = 2000000;
    }
    return (struct lens_shape){
        .terms = terms, .n_terms = n_terms, .mode = mode, .isolated = isolated};
}

/* ---- the program ----------------------------------------------------------------------------- */

/* What an instruction takes from the stack and leaves on it; facts of the yellow paper. */
static void effect_of(uint8_t op, int *takes, int *leaves)
{
    static const struct {
        uint8_t op, takes, leaves;
    } effects[] = {
        {OP_ADD, 2, 1},       {OP_SUB, 2, 1},          {OP_DIV, 2, 1},
        {OP_LT, 2, 1},        {OP_GT, 2, 1},           {OP_EQ, 2, 1},
        {OP_AND, 2, 1},       {OP_OR, 2, 1},           {OP_SHL, 2, 1},
        {OP_SHR, 2, 1},       {OP_CALLDATASIZE, 0, 1}, {OP_CALLDATACOPY, 3, 0},
        {OP_CODESIZE, 0, 1},  {OP_CODECOPY, 3, 0},     {OP_RETURNDATASIZE, 0, 1},
        {OP_BLOCKHASH, 1, 1}, {OP_TIMESTAMP, 0, 1},    {OP_NUMBER, 0, 1},
        {OP_CHAINID, 0, 1},   {OP_POP, 1, 0},          {OP_MLOAD, 1, 1},
        {OP_MSTORE, 2, 0},    {OP_JUMP, 1, 0},         {OP_JUMPI, 2, 0},
        {OP_MSIZE, 0, 1},     {OP_GAS, 0, 1},          {OP_JUMPDEST, 0, 0},
        {OP_RETURN, 2, 0},    {OP_STATICCALL, 6, 1},   {OP_REVERT, 2, 0},
    };
    if (op >= OP_PUSH1 && op < OP_DUP1) {
        *takes = 0, *leaves = 1;
        return;
    }
    if (op >= OP_DUP1 && op < OP_SWAP1) {
        *takes = op - OP_DUP1 + 1, *leaves = *takes + 1;
        return;
    }
    if (op >= OP_SWAP1 && op < OP_SWAP1 + 16) {
        *takes = *leaves = op - OP_SWAP1 + 2;
        return;
    }
    for (size_t i = 0; i < sizeof effects / sizeof *effects; i++)
        if (effects[i].op == op) {
            *takes = effects[i].takes, *leaves = effects[i].leaves;
            return;
        }
    fail_msg("no instruction of the lens: 0x%02x", op);
}

/* Walks every road through the program: each place is always reached with the same stack depth,
 * nothing is taken from an empty stack, jumps land on JUMPDEST, and no road runs off the end. */
static void walk(const struct lens_code *code)
{
    int depth[LENS_CODE_MAX];
    size_t todo[LENS_CODE_MAX], n_todo = 1;
    memset(depth, 0xff, sizeof depth);
    depth[0] = 0, todo[0] = 0;
    while (n_todo) {
        size_t at = todo[--n_todo];
        uint8_t op = code->b[at];
        int takes = 0, leaves = 0, now = depth[at];
        effect_of(op, &takes, &leaves);
        assert_true(now >= takes);
        now += leaves - takes;
        assert_true(now <= 16);
        size_t next[2], n_next = 0;
        if (op == OP_RETURN || op == OP_REVERT)
            continue;
        if (op != OP_JUMP)
            next[n_next++] = at + 1 + (op >= OP_PUSH1 && op < OP_DUP1 ? op - OP_PUSH1 + 1u : 0);
        if (op == OP_JUMP || op == OP_JUMPI) { /* PUSH2 stands right before */
            assert_int_equal(code->b[at - 3], OP_PUSH1 + 1);
            size_t to = (size_t)code->b[at - 2] << 8 | code->b[at - 1];
            assert_true(to < code->len);
            assert_int_equal(code->b[to], OP_JUMPDEST);
            next[n_next++] = to;
        }
        for (size_t i = 0; i < n_next; i++) {
            assert_true(next[i] < code->len);
            if (depth[next[i]] < 0) {
                depth[next[i]] = now;
                todo[n_todo++] = next[i];
            }
            assert_int_equal(depth[next[i]], now);
        }
    }
    /* Nothing is dead: at least every landing place has been stood on. */
    for (size_t at = 0; at < code->len; at++) {
        uint8_t op = code->b[at];
        if (op == OP_JUMPDEST)
            assert_true(depth[at] >= 0);
        if (op >= OP_PUSH1 && op < OP_DUP1)
            at += op - OP_PUSH1 + 1u;
    }
}

static void every_road_is_sound(void **state)
{
    (void)state;
    struct lens_code code;
    for (size_t n_terms = 1; n_terms <= LENS_TERMS_MAX; n_terms++)
        for (int form = 0; form < 3 * 3 * 2; form++) {
            struct lens_shape s = shape_of(n_terms, (enum lens_mode)(form % 3), form / 9 % 2);
            s.anchor = (enum lens_anchor)(form / 3 % 3);
            s.has_link = n_terms % 2;
            s.link = 1000;
            lens_assemble(&s, 700, &code);
            walk(&code);
        }
}

static void the_program_is_small(void **state)
{
    (void)state;
    struct lens_code code;
    struct lens_shape s = shape_of(3, LENS_CALL, false);
    lens_assemble(&s, 4700, &code);
    assert_in_range(code.len, 1, 480);
    /* The worst there can be is what reader create counts with. */
    s = shape_of(LENS_TERMS_MAX, LENS_CREATE_REVERT, false);
    s.anchor = LENS_ANCHOR_ARBSYS;
    s.has_link = true;
    s.link = UINT64_MAX;
    for (size_t i = 0; i < LENS_TERMS_MAX; i++)
        terms[i].gas = UINT64_MAX;
    lens_assemble(&s, 2000, &code);
    assert_in_range(code.len + NONCE_WORD, 1, 2560);
    walk(&code);
}

static void a_creation_reply_fits_its_limit(void **state)
{
    (void)state;
    struct lens_shape s = shape_of(3, LENS_CREATE, false);
    assert_int_equal(lens_reply_size(0), LENS_HEADER + 32);
    assert_int_equal(lens_reply_size(1), LENS_HEADER + 32);
    assert_int_equal(lens_reply_size(2), LENS_HEADER + 64);
    assert_int_equal(lens_reply_size(1400), 22720);
    assert_int_equal(lens_reply_most(&s, 1), LENS_HEADER + 32 + 64);
    for (size_t n = 0; n <= 1400; n++) {
        assert_true(lens_reply_most(&s, n) <= 24576);
        /* There is always room for some notes, so that each request gets on. */
        assert_true(lens_reply_most(&s, n) >= lens_reply_size(n) + (n < 16 ? n : 16) * 64);
    }
    s.mode = LENS_CALL;
    assert_int_equal(lens_reply_most(&s, 100), lens_reply_size(100) + 100 * 64);
}

static void the_listing_says_what_the_code_does(void **state)
{
    (void)state;
    struct lens_shape s = shape_of(2, LENS_CALL, false);
    struct lens_code code;
    struct buf text = BUF_INIT(1 << 16);
    lens_assemble(&s, 1, &code);
    lens_listing(&s, 1, &text);
    size_t lines = 0, at = 0;
    for (const char *line = buf_str(&text); line; line = strchr(line, '\n')) {
        line += *line == '\n';
        uint8_t where[2];
        if (strnlen(line, 5) < 5 || !parse_hex(line, 4, where, 2) || line[4] != ' ')
            continue;
        assert_int_equal((size_t)where[0] << 8 | where[1], at);
        uint8_t op = code.b[at];
        at += 1 + (op >= OP_PUSH1 && op < OP_DUP1 ? op - OP_PUSH1 + 1u : 0);
        lines++;
    }
    assert_int_equal(at, code.len);
    assert_true(lines > 150);
    buf_free(&text);
}

static void nobody_lives_at_its_address(void **state)
{
    (void)state;
    /* Keccak-256 of the words, computed by viem. */
    static const char *const want[] = {"0x6fc746d3df5b79b05e0acda5ef8cfe20f1e5d989",
                                       "0x768d5c8d9a1be3bc7e1612bb2d0e0e38d9655857"};
    for (unsigned i = 0; i < 2; i++) {
        address a;
        char text[ADDRESS_TEXT];
        lens_address(i, &a);
        address_text(&a, text);
        assert_string_equal(text, want[i]);
    }
}

/* ---- the reply ------------------------------------------------------------------------------- */

enum { WALLETS = 600, REPLY_MAX = LENS_HEADER + WALLETS * 16 + 32 + WALLETS * 64 };

struct reply {
    uint8_t b[REPLY_MAX];
    size_t len, n;
    struct lens_shape shape;
};

static uint8_t *sum_at(struct reply *r, size_t wallet)
{
    return r->b + LENS_HEADER + wallet * 16;
}

/* n wallets, the first `answered` with their index as sum. */
static void make(struct reply *r, struct lens_shape shape, size_t n, size_t answered)
{
    memset(r, 0, sizeof *r);
    r->shape = shape;
    r->n = n;
    const uint64_t header[] = {1000, 0, 1700000000, 31337, 5000000, 4000000, answered};
    for (size_t i = 0; i < 7; i++)
        abi_put_u64(r->b + i * WORD, header[i]);
    memset(r->b + WORD, 0xab, WORD);
    memset(r->b + 7 * WORD, 0xcd, WORD);
    memset(r->b + 8 * WORD + 16, 0xef, 16);
    for (size_t i = 0; i < answered; i++) {
        sum_at(r, i)[14] = (uint8_t)(i >> 8);
        sum_at(r, i)[15] = (uint8_t)i;
    }
    r->len = LENS_HEADER + 32 * (n / 2 + 1);
}

static void add_note(struct reply *r, u256 key, u256 word)
{
    const u256 *words[] = {&key, &word};
    for (size_t i = 0; i < 2 * WORD; i++)
        r->b[r->len + i] = (uint8_t)(words[i / WORD]->limb[3 - i % WORD / 8] >> (56 - i % 8 * 8));
    r->len += 2 * WORD;
}

static void reason(struct reply *r, size_t i, uint64_t low, uint64_t size, uint64_t used,
                   uint64_t before)
{
    memset(sum_at(r, i), 0, 16);
    add_note(r, (u256){{i, 0, 0, 0}}, (u256){{low, size, used, before}});
}

static int open_reply(struct reply *r, struct lens_reply *ret, struct err *err)
{
    /* A copy of the exact size, so that a sanitizer sees any step beyond it. */
    static uint8_t *copy;
    mem_free(copy);
    copy = mem_alloc(r->len ? r->len : 1);
    memcpy(copy, r->b, r->len);
    int rc = lens_open(&r->shape, r->n, copy, r->len, ret, err);
    if (rc < 0) {
        mem_free(copy);
        copy = NULL;
    }
    return rc;
}

static void refused(struct reply *r)
{
    struct lens_reply view = {.number = 77};
    struct err err = {0};
    assert_int_equal(open_reply(r, &view, &err), -1);
    assert_true(strlen(err.text) > 0);
    assert_int_equal(view.number, 77); /* untouched */
}

static struct reply r;

static void sums_and_header(void **state)
{
    (void)state;
    struct lens_reply view;
    struct lens_cell cell;
    struct err err = {0};
    make(&r, shape_of(3, LENS_CALL, false), WALLETS, WALLETS);
    memset(sum_at(&r, 7), 0xff, 16);
    assert_int_equal(open_reply(&r, &view, &err), 0);
    assert_int_equal(view.number, 1000);
    assert_int_equal(view.timestamp, 1700000000);
    assert_int_equal(view.chain_id, 31337);
    assert_int_equal(view.gas_entry - view.gas_exit, 1000000);
    assert_int_equal(view.parent.b[0], 0xab);
    assert_int_equal(view.link.b[0], 0xcd);
    assert_int_equal(view.answered, WALLETS);
    for (size_t i = 0; i < WALLETS; i++) {
        const u256 want = i == 7 ? (u256){{UINT64_MAX, UINT64_MAX, 0, 0}} : u256_of(i);
        lens_cell(&view, i, &cell);
        assert_int_equal(cell.status, LENS_OK);
        assert_int_equal(cell.term, -1);
        assert_true(u256_equal(&cell.sum, &want));
    }
}

/* Only the whole word counts, and only a reply that has one. */
static void an_answer_carries_its_nonce(void **state)
{
    (void)state;
    struct nonce nonce;
    memset(nonce.b, 0xef, sizeof nonce.b);
    make(&r, shape_of(3, LENS_CALL, false), 10, 10);
    assert_true(lens_answers(&nonce, r.b, r.len));
    assert_false(lens_answers(&nonce, r.b, LENS_HEADER - 1));
    assert_false(lens_answers(&nonce, r.b, 0));
    for (size_t i = 0; i < WORD; i++) {
        r.b[8 * WORD + i] ^= 1;
        assert_false(lens_answers(&nonce, r.b, r.len));
        r.b[8 * WORD + i] ^= 1;
    }
}

static void check_cell(size_t i, enum lens_status status, int term, u256 sum)
{
    struct lens_reply view;
    struct lens_cell cell;
    struct err err = {0};
    if (open_reply(&r, &view, &err) < 0)
        fail_msg("%s", err.text);
    lens_cell(&view, i, &cell);
    assert_int_equal(cell.status, status);
    assert_int_equal(cell.term, term);
    assert_true(u256_equal(&cell.sum, &sum));
}

static void a_wide_sum_follows_whole(void **state)
{
    (void)state;
    const u256 widest = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    const u256 narrowest = {{0, 0, 1, 0}};
    make(&r, shape_of(3, LENS_CALL, false), WALLETS, WALLETS);
    memset(sum_at(&r, 3), 0, 16);
    memset(sum_at(&r, 599), 0, 16);
    add_note(&r, (u256){{3, 1, 0, 0}}, widest);
    add_note(&r, (u256){{599, 1, 0, 0}}, narrowest);
    check_cell(3, LENS_OK, -1, widest);
    check_cell(599, LENS_OK, -1, narrowest);
    check_cell(0, LENS_OK, -1, U256_ZERO);
    check_cell(4, LENS_OK, -1, u256_of(4));
}

static void each_reason_is_told_apart(void **state)
{
    (void)state;
    static const struct {
        uint64_t low, size, used, before;
        enum lens_status status;
        int term;
    } cases[] = {
        {0x002, 0, 1000, 3000000, LENS_REVERTED, 2},
        {0x001, 32, 1000, 3000000, LENS_REVERTED, 1}, /* a revert with 32 bytes of data */
        {0x000, 100000, 999999, 3000000, LENS_REVERTED, 0},
        {0x101, 0, 1000, 3000000, LENS_EMPTY, 1},
        {0x101, 31, 1000, 3000000, LENS_BAD_LENGTH, 1},
        {0x102, 33, 1000, 3000000, LENS_BAD_LENGTH, 2},
        {0x102, 64, 1000, 3000000, LENS_BAD_LENGTH, 2},
        {0x102, 32, 1000001, 3000000, LENS_HEAVY, 2},
        {0x100, 0, 1000001, 3000000, LENS_HEAVY, 0},
        {0x000, 0, 2000000, 3000000, LENS_HEAVY, 0},
        {0x200, 0, 0, 0, LENS_OVERFLOW, -1},
    };
    /* All of them in one reply, between good wallets. */
    make(&r, shape_of(3, LENS_CALL, false), WALLETS, WALLETS);
    for (size_t c = 0; c < COUNT_OF(cases); c++)
        reason(&r, 3 * c, cases[c].low, cases[c].size, cases[c].used, cases[c].before);
    for (size_t c = 0; c < COUNT_OF(cases); c++) {
        check_cell(3 * c, cases[c].status, cases[c].term, U256_ZERO);
        check_cell(3 * c + 1, LENS_OK, -1, u256_of(3 * c + 1));
        check_cell(3 * c + 2, LENS_OK, -1, u256_of(3 * c + 2));
    }
    /* Alone, the measure is half of what was there. */
    make(&r, shape_of(1, LENS_CALL, true), 1, 1);
    reason(&r, 0, 0, 0, 20000000, 49000000);
    check_cell(0, LENS_REVERTED, 0, U256_ZERO);
    make(&r, shape_of(1, LENS_CALL, true), 1, 1);
    reason(&r, 0, 0, 0, 48000000, 49000000);
    check_cell(0, LENS_HEAVY, 0, U256_ZERO);
    /* A failure with less than the limit proves nothing; an odd length is one all the same. */
    make(&r, shape_of(1, LENS_CALL, true), 1, 1);
    reason(&r, 0, 0, 0, 1000, 1999999);
    check_cell(0, LENS_HEAVY, 0, U256_ZERO);
    make(&r, shape_of(1, LENS_CALL, true), 1, 1);
    reason(&r, 0, 0x100, 0, 1000, 1999999);
    check_cell(0, LENS_EMPTY, 0, U256_ZERO);
}

static void a_short_answer_tells_where_it_ends(void **state)
{
    (void)state;
    struct lens_reply view;
    struct err err = {0};
    make(&r, shape_of(2, LENS_CALL, false), 300, 17);
    assert_int_equal(open_reply(&r, &view, &err), 0);
    assert_int_equal(view.answered, 17);
    sum_at(&r, 17)[15] = 1; /* a sum beyond the end */
    refused(&r);
}

static void what_is_no_reply_is_refused(void **state)
{
    (void)state;
    const struct lens_shape s = shape_of(3, LENS_CALL, false);
    for (size_t len = 0; len < 1000; len++) { /* every length but its own */
        make(&r, s, 10, 10);
        if (len != r.len) {
            r.len = len;
            refused(&r);
        }
    }
    static const size_t small_words[] = {0, 2, 3, 4, 5, 6};
    for (size_t k = 0; k < COUNT_OF(small_words); k++) { /* header words beyond 64 bits */
        make(&r, s, 10, 10);
        r.b[small_words[k] * WORD + 23] = 1;
        refused(&r);
    }
    make(&r, s, 10, 10);
    abi_put_u64(r.b + 5 * WORD, 5000001); /* gained gas */
    refused(&r);
    make(&r, s, 10, 10);
    abi_put_u64(r.b + 6 * WORD, 11); /* answered more than asked */
    refused(&r);
    make(&r, s, 10, 10);
    sum_at(&r, 10)[3] = 1; /* not zero behind the last sum */
    refused(&r);
}

static void notes_that_cannot_be_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint64_t key[4], word[4];
    } cases[] = {
        {{4}, {0x003, 0, 1000, 3000000}},     /* a term that is not there */
        {{4}, {0x300, 0, 1000, 3000000}},     /* neither success nor failure */
        {{4}, {0x10100, 0, 1000, 3000000}},   /* bits of no field */
        {{4}, {0x100, 32, 1000, 3000000}},    /* nothing wrong with it */
        {{4}, {0x100, 32, 1000000, 3000000}}, /* exactly half is still fine */
        {{4}, {0x000, 0, 3000001, 3000000}},  /* used more than there was */
        {{4}, {0x201, 0, 0, 0}},              /* an overflow blames no term */
        {{4}, {0x200, 0, 1, 0}},              /* nor gas */
        {{9}, {0x000, 0, 1000, 3000000}},     /* not answered */
        {{20}, {0x000, 0, 1000, 3000000}},    /* not asked */
        {{4, 2}, {0x000, 0, 1000, 3000000}},  /* a note of no kind */
        {{4, 0, 1}, {0x000, 0, 1000, 3000000}},
        {{4, 0, 0, 1}, {0x000, 0, 1000, 3000000}},
        {{4, 1}, {5, 5, 0, 0}},           /* a sum that has a place of its own */
        {{2}, {0x000, 0, 1000, 3000000}}, /* out of order: 3 was noted before */
        {{3}, {0x000, 0, 1000, 3000000}}, /* twice */
    };
    const struct lens_shape s = shape_of(3, LENS_CALL, false);
    struct lens_reply view;
    for (size_t c = 0; c < COUNT_OF(cases); c++) {
        u256 key, word;
        memcpy(&key, cases[c].key, sizeof key);
        memcpy(&word, cases[c].word, sizeof word);
        make(&r, s, 10, 9);
        for (size_t i = 2; i < 5; i++)
            memset(sum_at(&r, i), 0, 16);
        reason(&r, 3, 0x002, 0, 1000, 3000000);
        assert_int_equal(open_reply(&r, &view, NULL), 0);
        add_note(&r, key, word);
        refused(&r);
    }
    make(&r, s, 10, 10); /* a sum, and a note why there is none */
    reason(&r, 4, 0x002, 0, 1000, 3000000);
    sum_at(&r, 4)[0] = 1;
    refused(&r);
    make(&r, shape_of(1, LENS_CALL, false), 10, 10); /* one term alone cannot overflow */
    reason(&r, 4, 0x200, 0, 0, 0);
    refused(&r);
}

static void random_reply(struct reply *to, struct rng *rng)
{
    size_t n = rng_below(rng, 300), answered = rng_below(rng, n + 1);
    make(to, shape_of(1 + rng_below(rng, 3), LENS_CALL, rng_below(rng, 2)), n, answered);
    for (size_t i = 0; i < answered; i++)
        if (rng_below(rng, 20) == 0)
            reason(to, i, rng_below(rng, 2), 5, 100, 1000);
}

/* Whatever happens to a good reply, either it is refused or every cell can be read. */
static void damage_is_harmless(void **state)
{
    (void)state;
    struct rng rng = vector_rng();
    int accepted = 0;
    for (int round = 0; round < 20000; round++) {
        random_reply(&r, &rng);
        for (uint64_t k = rng_below(&rng, 4); k; k--)
            r.b[rng_below(&rng, r.len)] = (uint8_t)rng_next(&rng);
        if (rng_below(&rng, 4) == 0)
            r.len = rng_below(&rng, r.len + 1);
        struct lens_reply view;
        struct err err = {0};
        if (open_reply(&r, &view, &err) < 0)
            continue;
        accepted++;
        assert_true(view.answered <= r.n);
        for (size_t i = 0; i < view.answered; i++) {
            struct lens_cell cell;
            lens_cell(&view, i, &cell);
            assert_true(cell.term < (int)r.shape.n_terms);
            assert_int_equal(cell.term >= 0,
                             cell.status != LENS_OK && cell.status != LENS_OVERFLOW);
        }
    }
    assert_true(accepted > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_road_is_sound),
        cmocka_unit_test(the_program_is_small),
        cmocka_unit_test(a_creation_reply_fits_its_limit),
        cmocka_unit_test(the_listing_says_what_the_code_does),
        cmocka_unit_test(nobody_lives_at_its_address),
        cmocka_unit_test(sums_and_header),
        cmocka_unit_test(an_answer_carries_its_nonce),
        cmocka_unit_test(a_wide_sum_follows_whole),
        cmocka_unit_test(each_reason_is_told_apart),
        cmocka_unit_test(a_short_answer_tells_where_it_ends),
        cmocka_unit_test(what_is_no_reply_is_refused),
        cmocka_unit_test(notes_that_cannot_be_are_refused),
        cmocka_unit_test(damage_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
