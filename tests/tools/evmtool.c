/*
 * The interpreter for the tests in Python: orders on standard input, one a line, words between
 * blanks, numbers and bytes as 0x…:
 *
 *     block NUMBER TIMESTAMP CHAIN GASLIMIT PARENT COINBASE RANDAO BASEFEE      forgets all state
 *     account ADDRESS EXISTS BALANCE CODEHASH
 *     code ADDRESS BYTES
 *     slot ADDRESS SLOT VALUE
 *     call ADDRESS DATA
 *
 * A call is answered with one line: returned BYTES, reverted BYTES, failed, unprovable WHY, or what
 * is missing: account ADDRESS, code ADDRESS, slot ADDRESS SLOT.
 */
#include "base/mem.h"
#include "base/parse.h"
#include "evm_world.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 9 };

static struct evm_world world;
static struct evm_block block;

static u256 word(const char *hex)
{
    uint8_t bytes[32];
    u256 ret;
    assert(parse_0x(hex, strlen(hex), bytes, sizeof bytes));
    u256_from_be32(&ret, bytes);
    return ret;
}

static hash32 hash(const char *hex)
{
    hash32 ret;
    assert(hash_parse(hex, strlen(hex), &ret));
    return ret;
}

static address account(const char *hex)
{
    address ret;
    assert(address_parse_loose(hex, strlen(hex), &ret));
    return ret;
}

static uint8_t *bytes(const char *hex, size_t *n)
{
    *n = strlen(hex) / 2 - 1;
    uint8_t *ret = mem_alloc(*n ? *n : 1);
    assert(parse_0x(hex, strlen(hex), ret, *n));
    return ret;
}

static void print_bytes(const char *what, const uint8_t *data, size_t n)
{
    printf("%s 0x", what);
    for (size_t i = 0; i < n; i++)
        printf("%02x", data[i]);
}

static void print_missing(const struct evm_missing *m)
{
    static const char *const names[] = {"account", "code", "slot"};
    print_bytes(names[m->kind], m->of.b, sizeof m->of.b);
    if (m->kind == EVM_SLOT)
        print_bytes("", m->slot.b, sizeof m->slot.b);
}

static void call(const char *to, const char *data)
{
    struct evm_state state = evm_world_state(&world);
    struct evm_result result;
    size_t n;
    uint8_t *input = bytes(data, &n);
    evm_call(&(struct evm_ask){.block = &block,
                               .state = &state,
                               .to = account(to),
                               .data = input,
                               .n = n,
                               .steps_max = EVM_STEPS_MAX},
             &result);
    if (result.end == EVM_MISSING)
        print_missing(&result.missing);
    else if (result.end == EVM_UNPROVABLE)
        printf("unprovable %s", result.why);
    else if (result.end == EVM_FAILED)
        printf("failed");
    else
        print_bytes(result.end == EVM_RETURNED ? "returned" : "reverted", result.data, result.n);
    putchar('\n');
    fflush(stdout);
    mem_free(result.data);
    mem_free(input);
}

static void new_block(char *const w[WORDS_MAX])
{
    evm_world_clear(&world);
    block = (struct evm_block){.number = strtoull(w[1], NULL, 16),
                               .timestamp = strtoull(w[2], NULL, 16),
                               .chain_id = strtoull(w[3], NULL, 16),
                               .gas_limit = strtoull(w[4], NULL, 16),
                               .parent = hash(w[5]),
                               .coinbase = account(w[6]),
                               .prev_randao = word(w[7]),
                               .base_fee = word(w[8])};
}

static void order(char *const w[WORDS_MAX], size_t n)
{
    address of = n > 1 && strcmp(w[0], "block") != 0 ? account(w[1]) : (address){{0}};
    if (strcmp(w[0], "block") == 0 && n == 9) {
        new_block(w);
    } else if (strcmp(w[0], "account") == 0 && n == 5) {
        evm_world_put(&world, EVM_ACCOUNT, &of, NULL)->account = (struct evm_account){
            .exists = w[2][0] == '1', .balance = word(w[3]), .code_hash = hash(w[4])};
    } else if (strcmp(w[0], "code") == 0 && n == 3) {
        size_t size;
        uint8_t *code = bytes(w[2], &size);
        evm_world_put_code(&world, &of, code, size);
        mem_free(code);
    } else if (strcmp(w[0], "slot") == 0 && n == 4) {
        hash32 slot = hash(w[2]);
        evm_world_put(&world, EVM_SLOT, &of, &slot)->value = word(w[3]);
    } else if (strcmp(w[0], "call") == 0 && n == 3) {
        call(w[1], w[2]);
    } else {
        fprintf(stderr, "evmtool: no such order: %s\n", w[0]);
        exit(2);
    }
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) {
        char *words[WORDS_MAX] = {0};
        size_t n = 0;
        for (char *rest = line, *w; n < WORDS_MAX && (w = strsep(&rest, " \n"));)
            if (*w)
                words[n++] = w;
        if (n > 0)
            order(words, n);
    }
    evm_world_clear(&world);
    free(line);
    return 0;
}
