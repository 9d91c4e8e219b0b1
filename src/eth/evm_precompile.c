/* Precompiles that views use: identity and SHA-256. Every other one is named and unprovable. */
#include "eth/evm_internal.h"

#include "base/mem.h"
#include "eth/sha256.h"

#include <string.h>

enum { SHA256_AT = 2, IDENTITY_AT = 4 };

static const char *const names[] = {
    [0x01] = "ecrecover",     [0x02] = "sha256",
    [0x03] = "ripemd160",     [0x04] = "identity",
    [0x05] = "modexp",        [0x06] = "bn254 addition",
    [0x07] = "bn254 product", [0x08] = "bn254 pairing",
    [0x09] = "blake2f",       [0x0a] = "KZG point evaluation",
};

/* Ethereum's are below 0x12 and at 0x100; chains put their own, and system contracts that the
 * client answers for, below 0x10000. The zero address is an account like any. */
bool evm_is_precompile(const address *a)
{
    static const uint8_t above[sizeof a->b - 2];
    return memcmp(a->b, above, sizeof above) == 0 && (a->b[18] || a->b[19]);
}

enum evm_end evm_run_precompile(struct evm_frame *f, const address *a, struct evm_bytes input,
                                uint8_t **ret, size_t *n)
{
    unsigned which = (unsigned)a->b[18] << 8 | a->b[19];
    if (which != SHA256_AT && which != IDENTITY_AT) {
        const char *name = which < COUNT_OF(names) ? names[which] : "unknown";
        evm_refuse(f, "precompile 0x%02x (%s)", which, name);
        return f->end;
    }
    if (!evm_spend_bytes(f, input.n * 10))
        return f->end;
    hash32 hash;
    if (which == SHA256_AT) {
        sha256(input.at, input.n, &hash);
        input = (struct evm_bytes){hash.b, sizeof hash.b};
    }
    *n = input.n;
    *ret = mem_alloc(input.n ? input.n : 1);
    if (input.n)
        memcpy(*ret, input.at, input.n);
    return EVM_RETURNED;
}
