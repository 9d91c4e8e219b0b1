/* The quick way from a reply to bytes: what it takes, the careful way reads the same. */
#include "base/mem.h"
#include "eth/jsonrpc.h"
#include "fuzz.h"
#include "rpc/json_fast.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct jsonrpc_reply r;
    uint8_t *quick, *careful;
    size_t n_quick, n_careful;
    if (!json_fast_bytes((const char *)data, n, 7, &quick, &n_quick))
        return 0;
    touch(quick, n_quick);
    HOLDS(jsonrpc_reply_parse((const char *)data, n, 65536, 7, &r, NULL) == 0);
    HOLDS(!r.is_error && jsonrpc_result_bytes(r.result, &careful, &n_careful));
    HOLDS(n_quick == n_careful && memcmp(quick, careful, n_quick) == 0);
    mem_free(quick);
    mem_free(careful);
    jsonrpc_reply_free(&r);
    return 0;
}
