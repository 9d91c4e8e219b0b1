/* The interpreter of views: the outside's programs, what it calls unprovable, what it misses, and
 * its ceilings. Beside this, tests/evm/differential.py holds it to a node. */
#include "../tools/evm_world.h"
#include "eth/evm.h"
#include "eth/keccak.h"
#include "vectors.h"

static struct evm_world world;
static const struct evm_block block = {.number = 1000,
                                       .timestamp = 1700000000,
                                       .chain_id = 1,
                                       .gas_limit = 30000000,
                                       .parent = {{0xaa}},
                                       .base_fee = {{7}}};

static const address target = {{0x7e, 1}}, other = {{0x0e, 2}};

static int start(void **state)
{
    (void)state;
    world.all = true;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    evm_world_clear(&world);
    return 0;
}

static void put_code(const address *of, const char *hex)
{
    uint8_t code[4096];
    size_t n = strlen(hex) / 2;
    assert_true(n <= sizeof code && parse_hex(hex, strlen(hex), code, n));
    evm_world_put_code(&world, of, code, n);
}

static struct evm_result run_at(const struct evm_block *at, uint64_t steps)
{
    static const uint8_t data[36] = {0xde, 0xad, 0xbe, 0xef, [35] = 5};
    struct evm_state state = evm_world_state(&world);
    struct evm_result r;
    evm_call(&(struct evm_ask){.block = at,
                               .state = &state,
                               .to = target,
                               .data = data,
                               .n = sizeof data,
                               .steps_max = steps},
             &r);
    return r;
}

static struct evm_result run(const char *code)
{
    put_code(&target, code);
    return run_at(&block, EVM_STEPS_MAX);
}

/* The program's code, and RETURN of the word on top of the stack. */
static void check_word(const char *code, uint64_t expected)
{
    char whole[512];
    u256 word;
    snprintf(whole, sizeof whole, "%s60005260206000f3", code);
    struct evm_result r = run(whole);
    if (r.end != EVM_RETURNED || r.n != 32)
        fail_msg("%s ended with %d (%s)", code, r.end, r.why);
    u256_from_be32(&word, r.data);
    mem_free(r.data);
    const u256 wanted = u256_of(expected);
    if (!u256_equal(&word, &wanted))
        fail_msg("%s gives %llx, not %llx", code, (unsigned long long)word.limb[0],
                 (unsigned long long)expected);
}

static void check_end(const char *code, enum evm_end end, const char *why)
{
    struct evm_result r = run(code);
    mem_free(r.data);
    if (r.end != end || (end == EVM_UNPROVABLE && strcmp(r.why, why) != 0))
        fail_msg("%s ended with %d (%s), not %d (%s)", code, r.end, r.why, end, why ? why : "");
}

/* ---- the outside's programs ------------------------------------------------------------------ */

static void vm_row(char *fields[], int n)
{
    assert_int_equal(n, 3);
    struct evm_result r = run(fields[1] + 2);
    uint8_t expected[32];
    static const uint8_t zero[32];
    assert_true(parse_0x(fields[2], strlen(fields[2]), expected, 32));
    /* A program that a node ends for its gas stores nothing. */
    bool same = r.end == EVM_RETURNED ? r.n == 32 && memcmp(r.data, expected, 32) == 0
                                      : memcmp(zero, expected, 32) == 0;
    if (!same)
        fail_msg("%s: ended with %d (%s)", fields[0], r.end, r.why);
    mem_free(r.data);
}

static void ethereum_tests(void **state)
{
    (void)state;
    assert_in_range(vector_rows("evm.txt", vm_row), 150, 1000);
}

/* ---- what is known of the call and its block ------------------------------------------------- */

static void environment(void **state)
{
    (void)state;
    check_word("36", 36);               /* CALLDATASIZE */
    check_word("600435", 5);            /* CALLDATALOAD */
    check_word("61ffff35", 0);          /* beyond the end */
    check_word("33", 0);                /* CALLER */
    check_word("43", 1000);             /* NUMBER */
    check_word("42", 1700000000);       /* TIMESTAMP */
    check_word("46", 1);                /* CHAINID */
    check_word("48", 7);                /* BASEFEE */
    check_word("45", 30000000);         /* GASLIMIT */
    check_word("6103e74060f81c", 0xaa); /* BLOCKHASH of the parent */
    check_word("6103e840", 0);          /* of itself */
    check_word("6102e740", 0);          /* of the 257th before */
    check_word("5f", 0);                /* PUSH0 */
    check_word("60011e", 255);          /* CLZ */
    check_word("5f1e", 256);
    check_word("600160005c", 0);                         /* TLOAD */
    check_word("60aa60005360016000602060005e602051", 0); /* MCOPY of nothing moves nothing */
    check_word("60aa60005360206000600160005e60005160f01c60ff16", 0);
    check_word("60ab601f536020600060405e604051", 0xab);
    check_word("30803b60005260005150600060005260005b5060003560e01c", 0xdeadbeef);
}

static void accounts(void **state)
{
    (void)state;
    hash32 hash;
    keccak256("", 0, &hash);
    evm_world_put(&world, EVM_ACCOUNT, &other, NULL)->account =
        (struct evm_account){.exists = true, .balance = u256_of(77), .code_hash = hash};
    char code[128];
    snprintf(code, sizeof code, "730e02%036d31", 0);
    check_word(code, 77); /* BALANCE */
    snprintf(code, sizeof code, "730e02%036d3f60e01c", 0);
    check_word(code, 0xc5d24601); /* EXTCODEHASH without code */
    snprintf(code, sizeof code, "730e03%036d3f", 0);
    check_word(code, 0); /* of no account */
    put_code(&other, "6001600260036004");
    snprintf(code, sizeof code, "730e02%036d3b", 0);
    check_word(code, 8); /* EXTCODESIZE */
    snprintf(code, sizeof code, "601f60016000730e02%036d3c60005160f81c", 0);
    check_word(code, 1); /* EXTCODECOPY */
    check_word("47", 0); /* SELFBALANCE */
}

/* ---- calls ----------------------------------------------------------------------------------- */

#define OTHER "730e02000000000000000000000000000000000000"

static void calls(void **state)
{
    (void)state;
    put_code(&other, "60055460005260206000f3"); /* its slot 5 */
    hash32 slot = {{[31] = 5}};
    evm_world_put(&world, EVM_SLOT, &other, &slot)->value = u256_of(1111);
    evm_world_put(&world, EVM_SLOT, &target, &slot)->value = u256_of(2222);
    check_word("60206000600060006000" OTHER "5af150600051", 1111); /* CALL */
    check_word("6020600060006000" OTHER "5afa50600051", 1111);     /* STATICCALL */
    check_word("6020600060006000" OTHER "5af450600051", 2222);     /* DELEGATECALL: the caller's */
    check_word("60206000600060006000" OTHER "5af250600051", 2222); /* CALLCODE */
    check_word("6020600060006000" OTHER "5afa503d", 32);           /* RETURNDATASIZE */
    put_code(&other, "3360005260206000f3");
    check_word("6020600060006000" OTHER "5afa5060005160901c", 0x7e01); /* CALLER is the contract */
    check_word("6020600060006000" OTHER "5af450600051", 0);            /* … or its own caller */
    put_code(&other, "60aa60005360016000fd");
    check_word("6020600060006000" OTHER "5afa", 0);                  /* a revert … */
    check_word("6020600060006000" OTHER "5afa5060005160f81c", 0xaa); /* … and its data */
    check_word("6000600060006000" OTHER "5afa506001600060003e60005160f81c", 0xaa);
    check_end("6000600060006000" OTHER "5afa506002600060003e00", EVM_FAILED, NULL);
    put_code(&other, "6001600055");
    check_word("6000600060006000" OTHER "5afa", 0); /* a write in a static call fails it */
    put_code(&other, "ef01007e03000000000000000000000000000000000000"); /* EIP-7702 */
    address delegate = {{0x7e, 3}};
    put_code(&delegate, "60055460005260206000f3");
    check_word("6020600060006000" OTHER "5afa50600051", 1111);
}

static void precompiles(void **state)
{
    (void)state;
    check_word("60ab600053602060206001600060045afa5060205160f81c", 0xab); /* identity */
    check_word("60206020600060006002"
               "5afa5060205160e01c",
               0xe3b0c442); /* SHA-256 of nothing */
    check_end("602060206000600060015afa00", EVM_UNPROVABLE, "precompile 0x01 (ecrecover)");
    check_end("602060206000600060055afa00", EVM_UNPROVABLE, "precompile 0x05 (modexp)");
    check_end("602060206000600060645afa00", EVM_UNPROVABLE, "precompile 0x64 (unknown)");
}

/* ---- what is never a result ------------------------------------------------------------------ */

static void unprovable(void **state)
{
    (void)state;
    check_end("6001600055", EVM_UNPROVABLE, "SSTORE");
    check_end("600160005d", EVM_UNPROVABLE, "TSTORE");
    check_end("60006000a0", EVM_UNPROVABLE, "LOG");
    check_end("600060006000f0", EVM_UNPROVABLE, "CREATE");
    check_end("6000600060006000f5", EVM_UNPROVABLE, "CREATE2");
    check_end("6000ff", EVM_UNPROVABLE, "SELFDESTRUCT");
    check_end("4a", EVM_UNPROVABLE, "BLOBBASEFEE");
    check_end("5a60005260206000f3", EVM_UNPROVABLE, "GAS");
    check_end("6103e64060005260206000f3", EVM_UNPROVABLE, "BLOCKHASH");
    check_end("60006000600060006001" OTHER "5af1", EVM_UNPROVABLE, "CALL with value");
    check_end("6000600060006000" OTHER "617530fa", EVM_UNPROVABLE,
              "STATICCALL with a gas limit of its own");
    struct evm_block foreign = block;
    foreign.foreign = true;
    put_code(&target, "4360005260206000f3");
    struct evm_result r = run_at(&foreign, EVM_STEPS_MAX);
    assert_int_equal(r.end, EVM_UNPROVABLE);
    assert_string_equal(r.why, "NUMBER");
}

static void ceilings(void **state)
{
    (void)state;
    put_code(&target, "5b600056");
    struct evm_result r = run_at(&block, 1000);
    assert_int_equal(r.end, EVM_UNPROVABLE);
    assert_string_equal(r.why, "more than 1000 steps");
    assert_in_range(r.steps, 990, 1000);
    check_end("60006301000001525b00", EVM_UNPROVABLE, "more than 2 MiB of memory");
    check_end("60007fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff52",
              EVM_UNPROVABLE, "more than 2 MiB of memory");
    check_end("6000600060006000305afa00", EVM_UNPROVABLE, "calls nested deeper than 128");
}

static void failures(void **state)
{
    (void)state;
    check_end("fe", EVM_FAILED, NULL);
    check_end("0c", EVM_FAILED, NULL);           /* no such instruction */
    check_end("50", EVM_FAILED, NULL);           /* an empty stack */
    check_end("5b5f600056", EVM_FAILED, NULL);   /* a full one */
    check_end("600456605b00", EVM_FAILED, NULL); /* a JUMPDEST in the data of a PUSH */
    check_end("60ff56", EVM_FAILED, NULL);       /* a jump beyond the end */
    check_end("60006000fd", EVM_REVERTED, NULL);
    check_end("", EVM_RETURNED, NULL);     /* no code */
    check_end("6000", EVM_RETURNED, NULL); /* its end is a STOP */
}

static void check_missing(enum evm_kind kind, const address *of, uint8_t slot)
{
    struct evm_result r = run_at(&block, EVM_STEPS_MAX);
    assert_int_equal(r.end, EVM_MISSING);
    assert_int_equal(r.missing.kind, kind);
    assert_true(address_equal(&r.missing.of, of));
    assert_int_equal(r.missing.slot.b[31], slot);
}

static void missing_state_is_named(void **state)
{
    (void)state;
    evm_world_clear(&world);
    world.all = false;
    check_missing(EVM_CODE, &target, 0);
    put_code(&target, "6020600060006000" OTHER "5afa50" OTHER "3160005401600052"
                      "60206000f3");
    check_missing(EVM_CODE, &other, 0);
    put_code(&other, "60095400");
    check_missing(EVM_SLOT, &other, 9);
    hash32 nine = {{[31] = 9}}, zero = {{0}};
    evm_world_put(&world, EVM_SLOT, &other, &nine);
    check_missing(EVM_ACCOUNT, &other, 0);
    evm_world_put(&world, EVM_ACCOUNT, &other, NULL)->account.balance = u256_of(40);
    check_missing(EVM_SLOT, &target, 0);
    evm_world_put(&world, EVM_SLOT, &target, &zero)->value = u256_of(2);
    struct evm_result r = run_at(&block, EVM_STEPS_MAX);
    assert_int_equal(r.end, EVM_RETURNED);
    assert_int_equal(r.data[31], 42);
    mem_free(r.data);
    world.all = true;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ethereum_tests, start, stop),
        cmocka_unit_test_setup_teardown(environment, start, stop),
        cmocka_unit_test_setup_teardown(accounts, start, stop),
        cmocka_unit_test_setup_teardown(calls, start, stop),
        cmocka_unit_test_setup_teardown(precompiles, start, stop),
        cmocka_unit_test_setup_teardown(unprovable, start, stop),
        cmocka_unit_test_setup_teardown(ceilings, start, stop),
        cmocka_unit_test_setup_teardown(failures, start, stop),
        cmocka_unit_test_setup_teardown(missing_state_is_named, start, stop),
    };
    return cmocka_run_group_tests_name("evm", tests, NULL, NULL);
}
