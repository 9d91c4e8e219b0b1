/*
 * Shape of the call data, after the selector (all words of 32 bytes):
 *
 *     0x20                     where the array starts
 *     n                        its length
 *     offset × n               of each element, from here on counted
 *     element × n:             target, allowFailure, 0x60, length, data padded to whole words
 *
 * The reply has the same shape with elements of success, 0x40, length, data.
 */
#include "eth/aggregate3.h"
#include "base/err.h"
#include "eth/abi.h"

#include <inttypes.h>

enum { WORD = 32, CALLS_MAX = 100000, CALL_HEAD = 4 * WORD };

static const uint8_t selector[4] = {0x82, 0xad, 0x56, 0xcb};

static size_t aggregate3_padding(size_t n)
{
    return (WORD - n % WORD) % WORD;
}

static void aggregate3_put_number(struct buf *hex, uint64_t v)
{
    uint8_t word[WORD];
    abi_put_u64(word, v);
    buf_addhex(hex, word, WORD);
}

void aggregate3_encode(struct buf *hex, const struct call3 *calls, size_t n)
{
    static const uint8_t zeros[WORD];
    if (n > CALLS_MAX) {
        hex->overflow = true;
        return;
    }
    buf_addhex(hex, selector, sizeof selector);
    aggregate3_put_number(hex, WORD);
    aggregate3_put_number(hex, n);
    uint64_t offset = (uint64_t)n * WORD;
    for (size_t i = 0; i < n; i++) {
        aggregate3_put_number(hex, offset);
        offset += CALL_HEAD + calls[i].data_len + aggregate3_padding(calls[i].data_len);
    }
    for (size_t i = 0; i < n && !hex->overflow; i++) {
        uint8_t target[WORD];
        abi_put_address(target, &calls[i].target);
        buf_addhex(hex, target, WORD);
        aggregate3_put_number(hex, true);
        aggregate3_put_number(hex, 3 * WORD);
        aggregate3_put_number(hex, calls[i].data_len);
        buf_addhex(hex, calls[i].data, calls[i].data_len);
        buf_addhex(hex, zeros, aggregate3_padding(calls[i].data_len));
    }
}

size_t aggregate3_first_data(size_t n)
{
    return 2 * (sizeof selector + 2 * WORD + n * WORD + CALL_HEAD);
}

/* The number in the word at base + offset, where base is inside the reply and offset is anything.
 */
static bool aggregate3_number_at(const uint8_t *reply, size_t len, size_t base, uint64_t offset,
                                 uint64_t *ret)
{
    if (len - base < WORD || offset > len - base - WORD)
        return false;
    return abi_get_u64(reply + base + offset, ret);
}

static bool aggregate3_decode_one(const uint8_t *reply, size_t len, size_t base, uint64_t offset,
                                  struct result3 *ret)
{
    uint64_t success, data_offset, data_len;
    if (!aggregate3_number_at(reply, len, base, offset, &success) || success > 1)
        return false;
    size_t element = base + (size_t)offset;
    if (!aggregate3_number_at(reply, len, element, WORD, &data_offset) ||
        !aggregate3_number_at(reply, len, element, data_offset, &data_len))
        return false;
    size_t data = element + (size_t)data_offset + WORD;
    if (data_len > len - data)
        return false;
    *ret = (struct result3){success == 1, reply + data, (size_t)data_len};
    return true;
}

int aggregate3_decode(const uint8_t *reply, size_t len, struct result3 *results, size_t n,
                      struct err *err)
{
    uint64_t start, count;
    if (!aggregate3_number_at(reply, len, 0, 0, &start) ||
        !aggregate3_number_at(reply, len, 0, start, &count))
        return err_set(err, ERR_FAILED, "aggregate3 reply of %zu bytes holds no array", len);
    if (count != n)
        return err_set(err, ERR_FAILED, "aggregate3 reply has %" PRIu64 " results, expected %zu",
                       count, n);
    size_t base = (size_t)start + WORD;
    for (size_t i = 0; i < n; i++) {
        uint64_t offset;
        if (!aggregate3_number_at(reply, len, base, (uint64_t)i * WORD, &offset) ||
            !aggregate3_decode_one(reply, len, base, offset, &results[i]))
            return err_set(err, ERR_FAILED,
                           "aggregate3 reply of %zu bytes is malformed at result %zu", len, i);
    }
    return 0;
}
