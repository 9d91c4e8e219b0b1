#include "eth/header.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/parse.h"
#include "eth/keccak.h"

#include <string.h>

enum header_kind { KIND_FIXED, KIND_NUMBER, KIND_BYTES };

enum { NUMBER_BYTES = 32 };

/* In the order of the hash. */
enum {
    HEADER_PARENT,
    HEADER_UNCLES,
    HEADER_MINER,
    HEADER_STATE,
    HEADER_TRANSACTIONS,
    HEADER_RECEIPTS,
    HEADER_BLOOM,
    HEADER_DIFFICULTY,
    HEADER_NUMBER,
    HEADER_GAS_LIMIT,
    HEADER_GAS_USED,
    HEADER_TIME,
    HEADER_EXTRA,
    HEADER_MIX,
    HEADER_NONCE,
    HEADER_FRONTIER, /* so many every header has */
    HEADER_BASE_FEE = HEADER_FRONTIER,
    HEADER_WITHDRAWALS,
    HEADER_BLOB_GAS,
    HEADER_EXCESS_BLOB_GAS,
    HEADER_BEACON_ROOT,
    HEADER_REQUESTS,
    HEADER_ACCESS_LIST,
    HEADER_SLOT,
    HEADER_FIELDS,
};

static const struct header_field {
    const char *name;
    size_t n; /* bytes of KIND_FIXED */
    enum header_kind kind;
    bool begins_group; /* where it is missing, the header ends before it */
} header_fields[HEADER_FIELDS] = {
    [HEADER_PARENT] = {"parentHash", 32, KIND_FIXED, false},
    [HEADER_UNCLES] = {"sha3Uncles", 32, KIND_FIXED, false},
    [HEADER_MINER] = {"miner", 20, KIND_FIXED, false},
    [HEADER_STATE] = {"stateRoot", 32, KIND_FIXED, false},
    [HEADER_TRANSACTIONS] = {"transactionsRoot", 32, KIND_FIXED, false},
    [HEADER_RECEIPTS] = {"receiptsRoot", 32, KIND_FIXED, false},
    [HEADER_BLOOM] = {"logsBloom", 256, KIND_FIXED, false},
    [HEADER_DIFFICULTY] = {"difficulty", 0, KIND_NUMBER, false},
    [HEADER_NUMBER] = {"number", 0, KIND_NUMBER, false},
    [HEADER_GAS_LIMIT] = {"gasLimit", 0, KIND_NUMBER, false},
    [HEADER_GAS_USED] = {"gasUsed", 0, KIND_NUMBER, false},
    [HEADER_TIME] = {"timestamp", 0, KIND_NUMBER, false},
    [HEADER_EXTRA] = {"extraData", 0, KIND_BYTES, false},
    [HEADER_MIX] = {"mixHash", 32, KIND_FIXED, false},
    [HEADER_NONCE] = {"nonce", 8, KIND_FIXED, false},
    [HEADER_BASE_FEE] = {"baseFeePerGas", 0, KIND_NUMBER, true},      /* London */
    [HEADER_WITHDRAWALS] = {"withdrawalsRoot", 32, KIND_FIXED, true}, /* Shanghai */
    [HEADER_BLOB_GAS] = {"blobGasUsed", 0, KIND_NUMBER, true},        /* Cancun, three */
    [HEADER_EXCESS_BLOB_GAS] = {"excessBlobGas", 0, KIND_NUMBER, false},
    [HEADER_BEACON_ROOT] = {"parentBeaconBlockRoot", 32, KIND_FIXED, false},
    [HEADER_REQUESTS] = {"requestsHash", 32, KIND_FIXED, true},           /* Prague */
    [HEADER_ACCESS_LIST] = {"blockAccessListHash", 32, KIND_FIXED, true}, /* Amsterdam, two */
    [HEADER_SLOT] = {"slotNumber", 0, KIND_NUMBER, false},
};

/* ---- writing --------------------------------------------------------------------------------- */

static bool header_add_bytes(struct buf *out, const char *s, size_t n)
{
    if (n < 2 || n % 2 || n > 2 * HEADER_RLP_MAX)
        return false;
    size_t count = (n - 2) / 2;
    uint8_t *bytes = mem_alloc(count ? count : 1);
    bool good = parse_0x(s, n, bytes, count);
    if (good)
        rlp_add_bytes(out, bytes, count);
    mem_free(bytes);
    return good;
}

/* A quantity; zeros in front are tolerated as everywhere, and are not written. */
static bool header_add_number(struct buf *out, const char *s, size_t n)
{
    char digits[2 + 2 * NUMBER_BYTES];
    uint8_t bytes[NUMBER_BYTES];
    size_t from = 0;
    if (n < 3 || n > sizeof digits)
        return false;
    memset(digits, '0', sizeof digits);
    memcpy(digits + sizeof digits - (n - 2), s + 2, n - 2);
    memcpy(digits, s, 2);
    if (!parse_0x(digits, sizeof digits, bytes, sizeof bytes))
        return false;
    while (from < sizeof bytes && bytes[from] == 0)
        from++;
    rlp_add_bytes(out, bytes + from, sizeof bytes - from);
    return true;
}

static bool header_add_field(struct buf *out, const struct header_field *f, const char *s)
{
    size_t n = strlen(s);
    switch (f->kind) {
    case KIND_FIXED:
        return n == 2 + 2 * f->n && header_add_bytes(out, s, n);
    case KIND_NUMBER:
        return header_add_number(out, s, n);
    case KIND_BYTES:
        break;
    }
    return header_add_bytes(out, s, n);
}

int header_encode(const struct json *block, struct buf *out, struct err *err)
{
    size_t at = rlp_begin(out);
    for (size_t i = 0; i < HEADER_FIELDS; i++) {
        const struct header_field *f = &header_fields[i];
        const struct json *v = json_get(block, f->name);
        const char *s = json_str(v);
        if (f->begins_group && (!v || json_is_null(v)))
            break;
        if (!s)
            return err_set(err, ERR_FAILED, "block header has no \"%s\"", f->name);
        if (!header_add_field(out, f, s))
            return err_set(err, ERR_FAILED, "block header has a malformed \"%s\": \"%.80s\"",
                           f->name, s);
    }
    rlp_end(out, at);
    return out->overflow
               ? err_set(err, ERR_TOO_LARGE, "block header is over %d bytes", HEADER_RLP_MAX)
               : 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool header_get_fields(const struct rlp_item *items, struct full_header *h)
{
    return rlp_get_fixed(&items[HEADER_PARENT], h->at.parent.b, sizeof h->at.parent.b) &&
           rlp_get_u64(&items[HEADER_NUMBER], &h->at.number) &&
           rlp_get_u64(&items[HEADER_TIME], &h->at.timestamp) &&
           rlp_get_fixed(&items[HEADER_STATE], h->state_root.b, sizeof h->state_root.b) &&
           rlp_get_fixed(&items[HEADER_RECEIPTS], h->receipts_root.b, sizeof h->receipts_root.b) &&
           rlp_get_fixed(&items[HEADER_BLOOM], h->logs.b, sizeof h->logs.b) &&
           rlp_get_fixed(&items[HEADER_MINER], h->miner.b, sizeof h->miner.b) &&
           rlp_get_fixed(&items[HEADER_MIX], h->mix_hash.b, sizeof h->mix_hash.b) &&
           rlp_get_u64(&items[HEADER_GAS_LIMIT], &h->gas_limit) &&
           rlp_get_u256(&items[HEADER_DIFFICULTY], &h->difficulty) &&
           rlp_get_u256(&items[HEADER_BASE_FEE], &h->base_fee) &&
           rlp_get_u64(&items[HEADER_EXCESS_BLOB_GAS], &h->excess_blob_gas);
}

int header_decode(struct rlp_bytes rlp, struct full_header *ret, struct err *err)
{
    struct rlp_item items[HEADER_FIELDS] = {0}; /* what is not there reads as 0 */
    struct full_header h = {0};
    size_t n = rlp_read_list(rlp, items, HEADER_FIELDS);
    if (n < HEADER_FRONTIER || !header_get_fields(items, &h))
        return err_set(err, ERR_FAILED, "RLP of %zu bytes is no block header", rlp.n);
    keccak256(rlp.at, rlp.n, &h.at.hash);
    *ret = h;
    return 0;
}
