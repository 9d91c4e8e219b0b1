#include "eth/block.h"
#include "base/err.h"
#include "base/json.h"
#include "base/parse.h"
#include "eth/keccak.h"

#include <string.h>

static int block_bad_field(const char *field, const struct json *v, struct err *err)
{
    const char *s = json_str(v);
    if (!v || json_is_null(v))
        return err_set(err, ERR_FAILED, "block header has no \"%s\"", field);
    return err_set(err, ERR_FAILED, "block header has a malformed \"%s\": \"%.80s\"", field,
                   s ? s : "(not a string)");
}

static int block_read_quantity(const struct json *block, const char *field, uint64_t *ret,
                               struct err *err)
{
    const struct json *v = json_get(block, field);
    return json_quantity(v, ret) ? 0 : block_bad_field(field, v, err);
}

static int block_read_hash(const struct json *block, const char *field, hash32 *ret,
                           struct err *err)
{
    const struct json *v = json_get(block, field);
    const char *s = json_str(v);
    return s && hash_parse(s, strlen(s), ret) ? 0 : block_bad_field(field, v, err);
}

/* A bloom only saves questions. One that is no bloom ("0x", say) is none, and the header stands. */
static void block_read_bloom(const struct json *block, struct header *h)
{
    const char *s = json_str(json_get(block, "logsBloom"));
    h->has_bloom = s && parse_0x(s, strlen(s), h->logs.b, sizeof h->logs.b);
}

int header_from_json(const struct json *result, struct header *ret, bool *ret_found,
                     struct err *err)
{
    struct header h = {0};
    if (json_is_null(result)) {
        *ret_found = false;
        return 0;
    }
    if (!json_is_object(result))
        return err_set(err, ERR_FAILED, "block header is not an object");
    if (block_read_quantity(result, "number", &h.at.number, err) < 0 ||
        block_read_hash(result, "hash", &h.at.hash, err) < 0 ||
        block_read_hash(result, "parentHash", &h.at.parent, err) < 0 ||
        block_read_quantity(result, "timestamp", &h.at.timestamp, err) < 0)
        return -1;
    block_read_bloom(result, &h);
    *ret = h;
    *ret_found = true;
    return 0;
}

/* The bits of a key. Bit 0 of the filter is the lowest bit of its last byte. */
enum { BLOOM_BITS = 3 };

static void block_bloom_bits(const void *key, size_t n, unsigned ret[BLOOM_BITS])
{
    hash32 h;
    keccak256(key, n, &h);
    for (size_t i = 0; i < BLOOM_BITS; i++)
        ret[i] = ((unsigned)h.b[2 * i] << 8 | h.b[2 * i + 1]) & 2047;
}

void bloom_add(struct bloom *bloom, const void *key, size_t n)
{
    unsigned bits[BLOOM_BITS];
    block_bloom_bits(key, n, bits);
    for (size_t i = 0; i < BLOOM_BITS; i++)
        bloom->b[sizeof bloom->b - 1 - bits[i] / 8] |= (uint8_t)(1u << bits[i] % 8);
}

static bool block_bloom_holds(const struct bloom *bloom, const void *key, size_t n)
{
    unsigned bits[BLOOM_BITS];
    block_bloom_bits(key, n, bits);
    for (size_t i = 0; i < BLOOM_BITS; i++)
        if (!(bloom->b[sizeof bloom->b - 1 - bits[i] / 8] >> bits[i] % 8 & 1))
            return false;
    return true;
}

bool header_may_hold(const struct header *h, const address *contract, const hash32 *topic)
{
    return !h->has_bloom || (block_bloom_holds(&h->logs, contract->b, sizeof contract->b) &&
                             block_bloom_holds(&h->logs, topic->b, sizeof topic->b));
}

bool header_may_hold_any(const struct header *h)
{
    static const struct bloom none;
    return !h->has_bloom || memcmp(&h->logs, &none, sizeof none) != 0;
}
