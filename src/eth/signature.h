/*
 * Human-readable signatures, as people write them in a configuration:
 *
 *     balanceOf(address)                      balanceOf(address) returns (uint256)
 *     getDelegatorsList(address) returns (address[])
 *     Transfer(address indexed from, address indexed to, uint256 value)
 *
 * Elementary types and arrays of them; `uint` and `int` mean 256 bits. Tuples are refused with a
 * clear error: no term or trigger here needs one. An optional leading `function` or `event`,
 * modifiers (`view`, `pure`, `external`, `public`) before `returns`, and
 * data locations (`memory`, `calldata`) are understood. Ceilings: 300 bytes, 16 parameters,
 * names of 63 bytes.
 */
#ifndef ETH_SIGNATURE_H
#define ETH_SIGNATURE_H

#include "eth/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum { SIG_TEXT = 301, SIG_PARAMS = 16, SIG_NAME = 64, SIG_TYPE = 64 };

struct sig_param {
    char type[SIG_TYPE]; /* canonical: "uint256", "address[]" */
    char name[SIG_NAME]; /* "" if not given */
    bool indexed;
};

struct signature {
    char name[SIG_NAME];
    struct sig_param params[SIG_PARAMS];
    int n_params;
    char returns[SIG_TYPE];   /* canonical single return type, "" if not given */
    char canonical[SIG_TEXT]; /* "Transfer(address,address,uint256)" */
    hash32 hash;              /* keccak256(canonical): topic0 of an event */
    uint8_t selector[4];      /* its first four bytes: a view's selector */
};

/* err points at the column (1-based, within s) and quotes the offending part. */
int view_parse(const char *s, size_t n, struct signature *ret, struct err *err);
/* At most three indexed parameters; names must be unique where given. */
int event_parse(const char *s, size_t n, struct signature *ret, struct err *err);

/* The parameter called name, or −1. */
int signature_find(const struct signature *sig, const char *name);

#endif
