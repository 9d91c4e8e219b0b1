/* RLP: what is taken is canonical, so it is written again as it was. */
#include "base/buf.h"
#include "eth/rlp.h"
#include "fuzz.h"

#include <string.h>

enum { ITEMS = 256, DEPTH = 64 };

static bool write_again(const struct rlp_item *item, struct buf *out, int depth)
{
    struct rlp_item items[ITEMS];
    if (!item->is_list) {
        rlp_add_bytes(out, item->body.at, item->body.n);
        return true;
    }
    size_t at = rlp_begin(out), n = rlp_read_list(item->whole, items, ITEMS);
    if (depth == DEPTH || (n == 0 && item->body.n > 0))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!write_again(&items[i], out, depth + 1))
            return false;
    rlp_end(out, at);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct rlp_item item;
    struct buf out = BUF_INIT(n);
    uint64_t number;
    if (!rlp_read((struct rlp_bytes){data, n}, &item))
        return 0;
    HOLDS(item.whole.n == n && item.body.n <= n);
    touch(item.body.at, item.body.n);
    if (write_again(&item, &out, 0))
        HOLDS(!out.overflow && out.len == n && memcmp(out.data, data, n) == 0);
    buf_clear(&out);
    if (rlp_get_u64(&item, &number)) {
        rlp_add_u64(&out, number);
        HOLDS(out.len == n && memcmp(out.data, data, n) == 0);
    }
    buf_free(&out);
    return 0;
}
