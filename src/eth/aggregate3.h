/*
 * Multicall3's aggregate3((address target, bool allowFailure, bytes callData)[]), selector
 * 0x82ad56cb, which answers (bool success, bytes returnData)[]. Encoding is streamed into a buffer
 * as hex text, ready for a JSON-RPC request; decoding is from bytes.
 */
#ifndef ETH_AGGREGATE3_H
#define ETH_AGGREGATE3_H

#include "base/buf.h"
#include "eth/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

struct call3 {
    address target;
    const uint8_t *data; /* the caller's, for the length of the call */
    size_t data_len;
};

/* Appends the call data (selector and arguments) as hex without 0x; allowFailure is set for every
 * call. At most 100,000 calls. buf->overflow tells if it did not fit. */
void aggregate3_encode(struct buf *hex, const struct call3 *calls, size_t n);

/* Where in that hex text of n calls the digits of the first call's data begin. */
size_t aggregate3_first_data(size_t n);

struct result3 {
    bool success;
    const uint8_t *data; /* points into the reply */
    size_t data_len;
};

/* Decodes a reply into exactly n results. An offset or length outside the reply, a bool that is
 * neither 0 nor 1, or another count is an error. results is the caller's array of n. */
int aggregate3_decode(const uint8_t *reply, size_t len, struct result3 *results, size_t n,
                      struct err *err);

#endif
