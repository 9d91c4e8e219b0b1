/* Replies as text: the envelope, a header or bytes as result, the classification of an error. */
#include "base/mem.h"
#include "eth/block.h"
#include "eth/fault.h"
#include "eth/jsonrpc.h"
#include "fuzz.h"

#include <string.h>

static void read_result(const struct json *result)
{
    struct header h;
    bool found;
    uint8_t *bytes;
    size_t len;
    if (header_from_json(result, &h, &found, NULL) == 0 && found) {
        address a = {{1}};
        header_may_hold(&h, &a, &h.at.hash);
    }
    if (jsonrpc_result_bytes(result, &bytes, &len)) {
        HOLDS(strlen(json_str(result)) == 2 + 2 * len);
        touch(bytes, len);
        mem_free(bytes);
    }
}

/* The objects of a batch lie in the text, one behind the other. */
static void split(const char *text, size_t n)
{
    struct jsonrpc_slice slices[4];
    size_t found = jsonrpc_split_batch(text, n, slices, 4);
    const char *at = text;
    HOLDS(found <= 4);
    for (size_t i = 0; i < found; i++) {
        HOLDS(slices[i].text > at && slices[i].text + slices[i].n < text + n);
        HOLDS(slices[i].text[0] == '{' && slices[i].text[slices[i].n - 1] == '}');
        at = slices[i].text + slices[i].n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct jsonrpc_reply r;
    split((const char *)data, n);
    if (jsonrpc_reply_parse((const char *)data, n, 65536, 7, &r, NULL) < 0)
        return 0;
    HOLDS(r.is_error ? r.message != NULL && r.result == NULL : r.result != NULL);
    if (r.is_error) {
        struct fault_info info;
        HOLDS(r.whole.len <= 64 * 1024);
        fault_classify(FAULT_CALL, 200, r.code, buf_str(&r.whole), r.whole.len, &info);
        HOLDS(info.rule != NULL);
    } else {
        read_result(r.result);
    }
    jsonrpc_reply_free(&r);
    return 0;
}
