/* Headers: JSON that is written is RLP of a header, and is hashed as a whole. */
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "eth/header.h"
#include "eth/keccak.h"
#include "fuzz.h"

static void from_rlp(const uint8_t *data, size_t n)
{
    struct full_header h;
    hash32 hash;
    if (header_decode((struct rlp_bytes){data, n}, &h, NULL) < 0)
        return;
    keccak256(data, n, &hash);
    HOLDS(hash_equal(&hash, &h.at.hash));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    enum { FRONTIER = 15, NEWEST = 23 };
    struct rlp_item items[NEWEST];
    struct err err = {0};
    struct buf out = BUF_INIT(HEADER_RLP_MAX);
    struct json *doc = json_parse((const char *)data, n, 65536, NULL);
    if (doc && header_encode(doc, &out, &err) == 0) {
        HOLDS(rlp_read_list((struct rlp_bytes){(const uint8_t *)out.data, out.len}, items,
                            NEWEST) >= FRONTIER);
        from_rlp((const uint8_t *)out.data, out.len);
    }
    from_rlp(data, n);
    buf_free(&out);
    json_free(doc);
    return 0;
}
