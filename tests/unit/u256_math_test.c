/* Against GMP, on edges and on random numbers; the EVM's rules for zero and for signs by hand. */
#include "num/u256_math.h"
#include "vectors.h"

#include <gmp.h>

enum { ROUNDS = 5000 };

static mpz_t word; /* 2^256 */

static void to_gmp(mpz_t z, const u256 *a)
{
    mpz_import(z, 4, -1, sizeof a->limb[0], 0, 0, a->limb);
}

static void to_gmp_signed(mpz_t z, const u256 *a)
{
    to_gmp(z, a);
    if (a->limb[3] >> 63)
        mpz_sub(z, z, word);
}

/* Modulo 2^256, as two's complement does it. */
static void check(mpz_t expected, const u256 *ours)
{
    mpz_t z;
    mpz_init(z);
    to_gmp(z, ours);
    mpz_fdiv_r(expected, expected, word);
    assert_int_equal(mpz_cmp(z, expected), 0);
    mpz_clear(z);
}

/* Limbs of equal bits are frequent: a plain random number hardly ever carries, and its quotient's
 * digit is hardly ever guessed wrong. */
static u256 random_number(struct rng *rng)
{
    u256 a;
    size_t limbs = rng_below(rng, 5);
    for (size_t i = 0; i < 4; i++) {
        static const uint64_t edges[] = {0, UINT64_MAX, 1, (uint64_t)1 << 63, UINT64_MAX >> 1};
        a.limb[i] =
            rng_below(rng, 2) ? edges[rng_below(rng, 5)] : rng_next(rng) >> rng_below(rng, 64);
        if (i >= limbs)
            a.limb[i] = 0;
    }
    return a;
}

static void check_unsigned(const u256 *a, const u256 *b, const u256 *m)
{
    mpz_t x, y, n, r;
    mpz_inits(x, y, n, r, NULL);
    to_gmp(x, a), to_gmp(y, b), to_gmp(n, m);
    u256 ours;
    u256_mul(&ours, a, b);
    mpz_mul(r, x, y);
    check(r, &ours);
    u256_exp(&ours, a, b);
    mpz_powm(r, x, y, word);
    check(r, &ours);
    if (!u256_is_zero(b)) {
        u256_div(&ours, a, b);
        mpz_tdiv_q(r, x, y);
        check(r, &ours);
        u256_mod(&ours, a, b);
        mpz_tdiv_r(r, x, y);
        check(r, &ours);
    }
    if (!u256_is_zero(m)) {
        u256_addmod(&ours, a, b, m);
        mpz_add(r, x, y);
        mpz_tdiv_r(r, r, n);
        check(r, &ours);
        u256_mulmod(&ours, a, b, m);
        mpz_mul(r, x, y);
        mpz_tdiv_r(r, r, n);
        check(r, &ours);
    }
    mpz_clears(x, y, n, r, NULL);
}

static void check_signed(const u256 *a, const u256 *b)
{
    mpz_t x, y, r;
    mpz_inits(x, y, r, NULL);
    to_gmp_signed(x, a), to_gmp_signed(y, b);
    u256 ours;
    assert_int_equal(u256_less_signed(a, b), mpz_cmp(x, y) < 0);
    if (!u256_is_zero(b)) {
        u256_sdiv(&ours, a, b);
        mpz_tdiv_q(r, x, y);
        check(r, &ours);
        u256_smod(&ours, a, b);
        mpz_tdiv_r(r, x, y);
        check(r, &ours);
    }
    mpz_clears(x, y, r, NULL);
}

static void check_bits(const u256 *v, unsigned by)
{
    mpz_t x, r;
    mpz_inits(x, r, NULL);
    u256 ours, count = u256_of(by);
    to_gmp(x, v);
    assert_int_equal(u256_bits(v), u256_is_zero(v) ? 0 : mpz_sizeinbase(x, 2));
    u256_shl(&ours, &count, v);
    mpz_mul_2exp(r, x, by);
    check(r, &ours);
    u256_shr(&ours, &count, v);
    mpz_fdiv_q_2exp(r, x, by);
    check(r, &ours);
    u256_byte(&ours, &count, v);
    mpz_fdiv_q_2exp(r, x, by < 32 ? 248 - 8 * by : 256);
    mpz_fdiv_r_2exp(r, r, 8);
    check(r, &ours);
    to_gmp_signed(x, v);
    u256_sar(&ours, &count, v);
    mpz_fdiv_q_2exp(r, x, by);
    check(r, &ours);
    mpz_clears(x, r, NULL);
}

static void random_numbers(void **state)
{
    (void)state;
    struct rng rng = vector_rng();
    for (int i = 0; i < ROUNDS; i++) {
        u256 a = random_number(&rng), b = random_number(&rng), m = random_number(&rng);
        check_unsigned(&a, &b, &m);
        check_signed(&a, &b);
        check_bits(&a, (unsigned)rng_below(&rng, 300));
    }
}

/* Every pair of the numbers around the limbs' ends. */
static void edges(void **state)
{
    (void)state;
    static const uint64_t limbs[] = {0, UINT64_MAX, (uint64_t)1 << 63};
    enum { N = 81 };
    static u256 numbers[N];
    for (size_t i = 0; i < N; i++)
        numbers[i] = (u256){{limbs[i % 3], limbs[i / 3 % 3], limbs[i / 9 % 3], limbs[i / 27]}};
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < N; k++) {
            check_unsigned(&numbers[i], &numbers[k], &numbers[(i * 7 + k * 3) % N]);
            check_signed(&numbers[i], &numbers[k]);
        }
}

/* Yellow paper, appendix H. */
static void zero_divides_to_zero(void **state)
{
    (void)state;
    u256 seven = u256_of(7), zero = U256_ZERO, ours;
    void (*const two[])(u256 *, const u256 *, const u256 *) = {u256_div, u256_mod, u256_sdiv,
                                                               u256_smod};
    for (size_t i = 0; i < 4; i++) {
        ours = seven;
        two[i](&ours, &seven, &zero);
        assert_true(u256_is_zero(&ours));
    }
    ours = seven;
    u256_addmod(&ours, &seven, &seven, &zero);
    assert_true(u256_is_zero(&ours));
    ours = seven;
    u256_mulmod(&ours, &seven, &seven, &zero);
    assert_true(u256_is_zero(&ours));
    u256_exp(&ours, &zero, &zero);
    assert_int_equal(ours.limb[0], 1);
}

static void signs_are_extended(void **state)
{
    (void)state;
    u256 v = {{0x1122334455667788, 0x99aabbccddeeff80, 7, 9}}, ours;
    struct {
        uint64_t index;
        u256 expected;
    } cases[] = {
        {0, {{UINT64_MAX - 0x77, UINT64_MAX, UINT64_MAX, UINT64_MAX}}}, /* 0x88 */
        {1, {{0x7788, 0, 0, 0}}},
        {7, {{0x1122334455667788, 0, 0, 0}}},
        {8, {{0x1122334455667788, UINT64_MAX - 0x7f, UINT64_MAX, UINT64_MAX}}}, /* 0x80 */
        {30, {{0x1122334455667788, 0x99aabbccddeeff80, 7, 9}}},
        {31, {{0x1122334455667788, 0x99aabbccddeeff80, 7, 9}}},
        {UINT64_MAX, {{0x1122334455667788, 0x99aabbccddeeff80, 7, 9}}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        u256 index = u256_of(cases[i].index);
        u256_signextend(&ours, &index, &v);
        assert_true(u256_equal(&ours, &cases[i].expected));
    }
    u256 beyond = {{0, 1, 0, 0}}; /* byte 2^64 */
    u256_signextend(&ours, &beyond, &v);
    assert_true(u256_equal(&ours, &v));
    u256_shl(&ours, &beyond, &v);
    assert_true(u256_is_zero(&ours));
    u256_byte(&ours, &beyond, &v);
    assert_true(u256_is_zero(&ours));
}

/* The instructions write into an operand. */
static void results_may_alias(void **state)
{
    (void)state;
    struct rng rng = vector_rng();
    for (int i = 0; i < 1000; i++) {
        u256 a = random_number(&rng), b = random_number(&rng), m = random_number(&rng), r, s;
        u256_mulmod(&r, &a, &b, &m);
        s = m;
        u256_mulmod(&s, &a, &b, &s);
        assert_true(u256_equal(&r, &s));
        u256_sdiv(&r, &a, &b);
        s = b;
        u256_sdiv(&s, &a, &s);
        assert_true(u256_equal(&r, &s));
        u256_exp(&r, &a, &b);
        s = b;
        u256_exp(&s, &a, &s);
        assert_true(u256_equal(&r, &s));
        u256_signextend(&r, &a, &b);
        s = b;
        u256_signextend(&s, &a, &s);
        assert_true(u256_equal(&r, &s));
    }
}

int main(void)
{
    mpz_init(word);
    mpz_ui_pow_ui(word, 2, 256);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_numbers),       cmocka_unit_test(edges),
        cmocka_unit_test(zero_divides_to_zero), cmocka_unit_test(signs_are_extended),
        cmocka_unit_test(results_may_alias),
    };
    int failed = cmocka_run_group_tests_name("u256_math", tests, NULL, NULL);
    mpz_clear(word);
    return failed;
}
