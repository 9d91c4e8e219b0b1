/* Replies to aggregate3 and to views that return address[]. The first byte is how many results are
 * expected; 255 asks the reply itself, so that its count is always the right one. */
#include "eth/abi.h"
#include "eth/aggregate3.h"
#include "fuzz.h"

enum { RESULTS_MAX = 255 };

static bool visit(void *ctx, const address *a)
{
    size_t *seen = ctx;
    touch(a->b, sizeof a->b);
    return ++*seen < 1000;
}

static size_t own_count(const uint8_t *reply, size_t n)
{
    uint64_t start, count;
    if (n < 32 || !abi_get_u64(reply, &start) || start > n || n - start < 32 ||
        !abi_get_u64(reply + start, &count) || count > RESULTS_MAX)
        return 0;
    return (size_t)count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct result3 results[RESULTS_MAX];
    if (n == 0)
        return 0;
    const uint8_t *reply = data + 1;
    size_t len = n - 1, expected = data[0] == 255 ? own_count(reply, len) : data[0];
    if (aggregate3_decode(reply, len, results, expected, NULL) == 0)
        for (size_t i = 0; i < expected; i++) {
            HOLDS(results[i].data >= reply && results[i].data <= reply + len);
            HOLDS(results[i].data_len <= (size_t)(reply + len - results[i].data));
            touch(results[i].data, results[i].data_len);
        }
    size_t seen = 0;
    bool whole = abi_decode_addresses(reply, len, data[0], visit, &seen);
    HOLDS(whole || seen == 0);
    HOLDS(seen <= data[0]);
    return 0;
}
