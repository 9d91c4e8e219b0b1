#include "base/parse.h"

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

bool parse_hex(const char *s, size_t n, uint8_t *ret, size_t count)
{
    if (n != count * 2)
        return false;
    int bad = 0;
    for (size_t i = 0; i < n; i++)
        bad |= hex_digit(s[i]); /* negative once any is */
    if (bad < 0)
        return false;
    for (size_t i = 0; i < count; i++)
        ret[i] = (uint8_t)((unsigned)hex_digit(s[2 * i]) << 4 | (unsigned)hex_digit(s[2 * i + 1]));
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
