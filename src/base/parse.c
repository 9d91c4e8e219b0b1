#include "base/parse.h"

#include <endian.h>
#include <string.h>

/* A table, because replies are megabytes of random digits and a branch on each is mispredicted. */
static const signed char hex_value[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

int hex_digit(char c)
{
    return hex_value[(unsigned char)c] - 1;
}

bool parse_u64(const char *s, size_t n, uint64_t *ret)
{
    uint64_t v = 0;
    if (n == 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s[i] - '0'), &v))
            return false;
    }
    *ret = v;
    return true;
}

bool parse_u64_next(const char **s, uint64_t *ret)
{
    size_t n = strcspn(*s, " ");
    if (!parse_u64(*s, n, ret))
        return false;
    *s += n;
    *s += strspn(*s, " ");
    return true;
}

bool parse_hex_u64(const char *s, size_t n, uint64_t *ret)
{
    uint64_t v = 0;
    if (n < 3 || s[0] != '0' || (s[1] != 'x' && s[1] != 'X'))
        return false;
    for (size_t i = 2; i < n; i++) {
        int d = hex_digit(s[i]);
        if (d < 0 || v >> 60)
            return false;
        v = v << 4 | (uint64_t)d;
    }
    *ret = v;
    return true;
}

/* Hex in bulk: replies are megabytes of it, so eight digits go at once, one in each byte of a word.
 * The value of a digit is its low four bits, plus nine for a letter (which is what bit 6 says). */
enum { DIGITS_AT_ONCE = 8 };
#define EACH_BYTE(v) (UINT64_C(0x0101010101010101) * (v))

static inline uint64_t parse_load8(const char *s)
{
    uint64_t v;
    memcpy(&v, s, sizeof v);
    return le64toh(v); /* the first digit in the lowest byte */
}

static inline uint64_t parse_letters8(uint64_t v)
{
    return v >> 6 & EACH_BYTE(1);
}

static inline uint64_t parse_values8(uint64_t v)
{
    return (v & EACH_BYTE(0x0f)) + 9 * parse_letters8(v);
}

/* Not zero if any of the eight is no hex digit: written back from its value in lower case it must
 * be what it was, its value fits four bits, and it is above nine just when it is a letter. */
static inline uint64_t parse_wrong8(uint64_t v)
{
    uint64_t letters = parse_letters8(v), values = parse_values8(v);
    uint64_t again = values + EACH_BYTE('0') + letters * ('a' - '9' - 1);
    return (again ^ (v | letters << 5)) | (values & EACH_BYTE(0xf0)) |
           (((values + EACH_BYTE(6)) & EACH_BYTE(0x10)) ^ letters << 4);
}

/* Four bytes, the first in the lowest. */
static inline uint32_t parse_pack8(uint64_t values)
{
    uint64_t v = (values << 4 | values >> 8) & UINT64_C(0x00ff00ff00ff00ff);
    v = (v | v >> 8) & UINT64_C(0x0000ffff0000ffff);
    return htole32((uint32_t)(v | v >> 16));
}

bool parse_hex(const char *s, size_t n, uint8_t *ret, size_t count)
{
    if (n != count * 2)
        return false;
    uint64_t wrong = 0;
    size_t bulk = n / DIGITS_AT_ONCE * DIGITS_AT_ONCE;
    for (size_t i = 0; i < bulk; i += DIGITS_AT_ONCE)
        wrong |= parse_wrong8(parse_load8(s + i));
    for (size_t i = bulk; i < n; i++)
        wrong |= hex_value[(unsigned char)s[i]] == 0;
    if (wrong)
        return false;
    for (size_t i = 0; i < bulk; i += DIGITS_AT_ONCE) {
        uint32_t four = parse_pack8(parse_values8(parse_load8(s + i)));
        memcpy(ret + i / 2, &four, sizeof four);
    }
    for (size_t i = bulk; i < n; i += 2)
        ret[i / 2] = (uint8_t)(hex_digit(s[i]) << 4 | hex_digit(s[i + 1]));
    return true;
}

bool parse_0x(const char *s, size_t n, uint8_t *ret, size_t count)
{
    return n >= 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') &&
           parse_hex(s + 2, n - 2, ret, count);
}

bool parse_duration(const char *s, size_t n, int64_t *ret_ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    size_t digits = 0;
    while (digits < n && s[digits] >= '0' && s[digits] <= '9')
        digits++;
    uint64_t v;
    if (!parse_u64(s, digits, &v))
        return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t len = strlen(units[i].unit);
        if (n - digits != len || memcmp(s + digits, units[i].unit, len) != 0)
            continue;
        uint64_t ms;
        if (__builtin_mul_overflow(v, units[i].ms, &ms) || ms > INT64_MAX)
            return false;
        *ret_ms = (int64_t)ms;
        return true;
    }
    return false;
}

size_t parse_utf8(const char *text, size_t n, uint32_t *ret)
{
    const unsigned char *s = (const unsigned char *)text;
    static const struct {
        unsigned char mask, lead;
        uint32_t low;
    } form[] = {{0x80, 0x00, 0}, {0xE0, 0xC0, 0x80}, {0xF0, 0xE0, 0x800}, {0xF8, 0xF0, 0x10000}};
    for (size_t len = 1; len <= sizeof form / sizeof form[0]; len++) {
        if ((s[0] & form[len - 1].mask) != form[len - 1].lead)
            continue;
        uint32_t c = s[0] & (unsigned char)~form[len - 1].mask;
        if (len > n)
            return 0;
        for (size_t i = 1; i < len; i++) {
            if ((s[i] & 0xC0) != 0x80)
                return 0;
            c = c << 6 | (s[i] & 0x3Fu);
        }
        if (c < form[len - 1].low || (c >= 0xD800 && c < 0xE000) || c > 0x10FFFF)
            return 0;
        *ret = c;
        return len;
    }
    return 0;
}
