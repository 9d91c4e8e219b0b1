/*
 * JSON-RPC 2.0 text: requests out, envelopes in. Pure; transport is net/ and rpc/.
 *
 * What real nodes do to envelopes is accepted (RPC folklore, each case has a test): HTTP 4xx/5xx
 * bodies that hold a valid error, an `error` that is a plain string or an array, numeric strings as
 * codes, `id: null` on errors, a one-element array around a single answer. What is not accepted:
 * another id on a result, both or neither of result and error.
 */
#ifndef ETH_JSONRPC_H
#define ETH_JSONRPC_H

#include "base/buf.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

/* {"jsonrpc":"2.0","id":id,"method":"…","params":…}; params is JSON text, "[]" if NULL. */
void jsonrpc_request(struct buf *out, uint64_t id, const char *method, const char *params,
                     size_t params_len);

struct jsonrpc_reply {
    struct json *doc;          /* owns the rest; json_free() it */
    const struct json *result; /* set when the call succeeded; may be a JSON null */
    bool is_error;
    const struct json *error; /* what it is, in doc */
    int64_t code;             /* 0 if the error has none */
    const char *message;      /* never NULL when is_error */
    struct buf whole;         /* the serialised error (message, data and all) for classification */
};

/* err is set when the text is no JSON-RPC reply to id at all (HTML, truncated, another id). */
int jsonrpc_reply_parse(const char *text, size_t n, size_t ceiling, uint64_t id,
                        struct jsonrpc_reply *ret, struct err *err);
void jsonrpc_reply_free(struct jsonrpc_reply *r);

struct jsonrpc_slice {
    const char *text;
    size_t n;
};
/* The objects of an array of at most `most` objects, as they stand in the text; 0: it is none. */
size_t jsonrpc_split_batch(const char *text, size_t n, struct jsonrpc_slice *ret, size_t most);

/* What a call reverted with, where the error tells: `data` as hex (geth, reth, erigon, besu,
 * anvil), as hex behind a word ("Reverted 0x…", nethermind and its kin), or as `data` in an object.
 */
bool jsonrpc_revert_bytes(const struct jsonrpc_reply *r, uint8_t **ret, size_t *ret_len);

/* The bytes of a "0x…" string result of any even length; *ret is the caller's to mem_free(). */
bool jsonrpc_result_bytes(const struct json *result, uint8_t **ret, size_t *ret_len);

#endif
