/* Against GMP, on edges and on random numbers of every length. */
#include "num/u256.h"
#include "vectors.h"

#include <gmp.h>

enum { ROUNDS = 20000 };

static u256 of_limbs(uint64_t l3, uint64_t l2, uint64_t l1, uint64_t l0)
{
    return (u256){{l0, l1, l2, l3}};
}

static void to_gmp(mpz_t z, const u256 *a)
{
    mpz_import(z, 4, -1, sizeof a->limb[0], 0, 0, a->limb);
}

/* Random with runs of equal bits: a plain random number hardly ever carries across a limb. */
static u256 random_number(struct rng *rng)
{
    u256 a;
    for (int i = 0; i < 4; i++) {
        switch (rng_below(rng, 4)) {
        case 0:
            a.limb[i] = 0;
            break;
        case 1:
            a.limb[i] = UINT64_MAX;
            break;
        case 2:
            a.limb[i] = rng_next(rng) >> rng_below(rng, 64);
            break;
        default:
            a.limb[i] = rng_next(rng);
        }
    }
    return a;
}

static const uint64_t M = UINT64_MAX;

static void check_text(const u256 *a)
{
    mpz_t z;
    mpz_init(z);
    to_gmp(z, a);
    char dec[U256_DEC_ROOM], oracle[100];
    u256 back;
    size_t n = u256_to_dec(a, dec);
    mpz_get_str(oracle, 10, z);
    assert_string_equal(dec, oracle);
    assert_int_equal(n, strlen(oracle));
    assert_true(u256_from_dec(dec, n, &back) && u256_equal(a, &back));
    uint8_t bytes[32] = {0};
    size_t count;
    mpz_export(oracle, &count, 1, 1, 1, 0, z);
    memcpy(bytes + 32 - count, oracle, count);
    u256_from_be32(&back, bytes);
    assert_true(u256_equal(a, &back));
    mpz_clear(z);
}

/* Compares a result of ours and what ran over its end with GMP's full result. */
static void check_result(mpz_t full, const u256 *ours, uint64_t over)
{
    mpz_t z, high;
    mpz_inits(z, high, NULL);
    to_gmp(z, ours);
    mpz_import(high, 1, -1, sizeof over, 0, 0, &over);
    mpz_mul_2exp(high, high, 256);
    mpz_add(z, z, high);
    assert_int_equal(mpz_cmp(z, full), 0);
    mpz_clears(z, high, NULL);
}

static void check_arithmetic(const u256 *a, const u256 *b, uint64_t m)
{
    mpz_t x, y, r, mod;
    mpz_inits(x, y, r, mod, NULL);
    to_gmp(x, a);
    to_gmp(y, b);
    u256 ours;
    bool carry = u256_add(&ours, a, b);
    mpz_add(r, x, y);
    check_result(r, &ours, carry);

    bool borrow = u256_sub(&ours, a, b);
    mpz_sub(r, x, y);
    if (borrow) {
        mpz_setbit(mod, 256);
        mpz_add(r, r, mod);
    }
    assert_int_equal(borrow, mpz_cmp(x, y) < 0);
    check_result(r, &ours, 0);
    assert_int_equal(u256_compare(a, b), (mpz_cmp(x, y) > 0) - (mpz_cmp(x, y) < 0));

    uint64_t over = u256_mul_u64(&ours, a, m);
    mpz_mul_ui(r, x, m);
    check_result(r, &ours, over);

    if (m) {
        uint64_t rest = u256_div_u64(&ours, a, m);
        assert_true(rest == mpz_fdiv_q_ui(r, x, m));
        check_result(r, &ours, 0);
    }
    u256 alias = *a;
    u256_add(&ours, a, b);
    u256_add(&alias, &alias, b);
    assert_true(u256_equal(&alias, &ours));
    alias = *b;
    u256_sub(&ours, a, b);
    u256_sub(&alias, a, &alias);
    assert_true(u256_equal(&alias, &ours));
    mpz_clears(x, y, r, mod, NULL);
}

static void edges(void **state)
{
    (void)state;
    const uint64_t billions = 10000000000000000000u;
    const u256 list[] = {
        U256_ZERO,
        u256_of(1),
        u256_of(M),
        u256_of(billions - 1),
        u256_of(billions),
        of_limbs(0, 0, 1, 0),
        of_limbs(0, 0, M, M),
        of_limbs(0, 1, 0, 0),
        of_limbs(0, M, M, M),
        of_limbs(1, 0, 0, 0),
        of_limbs(1u << 31, 0, 0, 0),
        of_limbs(0x8000000000000000, 0, 0, 0),
        of_limbs(M, M, M, M - 1),
        of_limbs(M, M, M, M),
    };
    const uint64_t factors[] = {0, 1, 2, 10, billions, M};
    for (size_t i = 0; i < COUNT_OF(list); i++) {
        check_text(&list[i]);
        for (size_t k = 0; k < COUNT_OF(list); k++)
            for (size_t m = 0; m < COUNT_OF(factors); m++)
                check_arithmetic(&list[i], &list[k], factors[m]);
    }
    assert_true(u256_is_zero(&list[0]));
    assert_false(u256_is_zero(&list[9]));
}

static void powers_of_ten(void **state)
{
    (void)state;
    u256 a = u256_of(1);
    for (int i = 0; i < U256_DEC_MAX; i++) {
        u256 one = u256_of(1), below;
        u256_sub(&below, &a, &one);
        check_text(&a);
        check_text(&below);
        u256_mul_u64(&a, &a, 10);
    }
}

static void random_numbers(void **state)
{
    (void)state;
    struct rng rng = vector_rng();
    for (int i = 0; i < ROUNDS; i++) {
        u256 a = random_number(&rng), b = random_number(&rng);
        check_text(&a);
        check_arithmetic(&a, &b, rng_next(&rng) >> rng_below(&rng, 64));
    }
}

static void reading_is_strict(void **state)
{
    (void)state;
    const char *max = "1157920892373161954235709850086879078532699846656405640394575840079131296399"
                      "35";
    const char *bad_dec[] = {
        "",
        "-1",
        "+1",
        " 1",
        "1 ",
        "0x1",
        "1e3",
        "1.0",
        "12345678901234567890a",
        "115792089237316195423570985008687907853269984665640564039457584007913129639936",
        "999999999999999999999999999999999999999999999999999999999999999999999999999999",
        "1000000000000000000000000000000000000000000000000000000000000000000000000000000"};
    u256 v = u256_of(7);
    for (size_t i = 0; i < COUNT_OF(bad_dec); i++)
        if (u256_from_dec(bad_dec[i], strlen(bad_dec[i]), &v))
            fail_msg("accepted \"%s\"", bad_dec[i]);
    u256 seven = u256_of(7), all = of_limbs(M, M, M, M);
    assert_true(u256_equal(&v, &seven)); /* untouched */
    assert_true(u256_from_dec(max, strlen(max), &v) && u256_equal(&v, &all));
    const char *zeros = "00000000000000000000000000000000000000000000000000000000000000000000000000"
                        "000000000000000000000000000000000007";
    assert_true(u256_from_dec(zeros, strlen(zeros), &v) && u256_equal(&v, &seven));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edges),
        cmocka_unit_test(powers_of_ten),
        cmocka_unit_test(random_numbers),
        cmocka_unit_test(reading_is_strict),
    };
    return cmocka_run_group_tests_name("u256", tests, NULL, NULL);
}
