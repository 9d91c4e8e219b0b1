/* What readers share: the table of them, names, and the sentinel. */
#include "read/reader.h"
#include "base/mem.h"
#include "eth/abi.h"

#include <string.h>

const struct reader *const readers[] = {&reader_override,   &reader_create_revert, &reader_create,
                                        &reader_multicall3, &reader_single,        NULL};

const char *reading_status_name(enum reading_status s)
{
    static const char *const names[] = {
        [READ_OK] = "ok",
        [READ_REVERTED] = "reverted",
        [READ_EMPTY] = "empty answer",
        [READ_BAD_LENGTH] = "answer is not 32 bytes",
        [READ_OVERFLOW] = "sum overflows 256 bits",
        [READ_NEGATIVE] = "looks negative: say returns (int256) or returns (uint256)",
        [READ_OUT_OF_GAS] = "out of gas",
        [READ_UNANSWERED] = "unanswered",
        [READ_UNANCHORED] = "unanchored",
        [READ_UNPROVEN] = "cannot be proven",
    };
    return (size_t)s < COUNT_OF(names) ? names[s] : "unknown";
}

bool reader_add(u256 *sum, const u256 *term)
{
    return !u256_add(sum, sum, term);
}

/*
 * Price of modexp with base and exponent zero, exponent of E > 32 bytes, modulus of M bytes:
 *   EIP-2565: ceil(M/8)^2 * 8 (E − 32) / 3          M = 1024: 16,384 * 8 / 3 per byte of E
 *   EIP-7883: 2 * ceil(M/8)^2 * 16 (E − 32)         M =  256:  2,048 * 16     per byte of E
 * EIP-7823 (Osaka) refuses lengths over 1,024 bytes, so both stay below: up to 43 M gas.
 */
void sentinel_encode(const struct sentinel *s, uint8_t ret[SENTINEL_CALL])
{
    bool osaka = s->kind == SENTINEL_EIP7883;
    uint64_t modulus = osaka ? 256 : 1024;
    uint64_t exponent = 32 + (osaka ? (s->gas + 32767) / 32768 : (s->gas * 3 + 131071) / 131072);
    abi_put_u64(ret, 0);
    abi_put_u64(ret + 32, exponent);
    abi_put_u64(ret + 64, modulus);
}
