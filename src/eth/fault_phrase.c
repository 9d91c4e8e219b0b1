#include "eth/fault_phrase.h"
#include "base/mem.h"
#include "base/parse.h"

#include <string.h>

enum { GAP_MAX = 4, ANY_MAX = 64, NUMBER_MAX = 26, HEX_MAX = 2 + 16 };
enum { DAY_MS = 24 * 3600 * 1000 };

static bool phrase_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool phrase_is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static void phrase_keep_number(struct phrase_hit *hit, uint64_t v)
{
    if (hit->n < PHRASE_NUMBERS)
        hit->number[hit->n++] = v;
}

/* Is there a separator at s with exactly three digits behind it? "10.5" is no grouped number. */
static bool phrase_group_follows(const char *s, const char *end)
{
    return end - s >= 4 && (s[0] == ',' || s[0] == '.') && phrase_is_digit(s[1]) &&
           phrase_is_digit(s[2]) && phrase_is_digit(s[3]) &&
           (end - s == 4 || !phrase_is_digit(s[4]));
}

static bool phrase_scan_number(const char **s, const char *end, uint64_t *ret)
{
    const char *p = *s;
    uint64_t v = 0;
    bool overflow = false;
    for (; p < end && p - *s < NUMBER_MAX &&
           (phrase_is_digit(*p) || (p > *s && phrase_group_follows(p, end)));
         p++) {
        if (!phrase_is_digit(*p))
            continue;
        overflow |= __builtin_mul_overflow(v, (uint64_t)10, &v);
        overflow |= __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v);
    }
    if (p == *s || (p < end && phrase_is_digit(*p)))
        return false;
    if (p < end && *p == 'k' && (p + 1 == end || !phrase_is_letter(p[1]))) {
        overflow |= __builtin_mul_overflow(v, (uint64_t)1000, &v);
        p++;
    }
    *s = p;
    *ret = overflow ? UINT64_MAX : v;
    return true;
}

static bool phrase_scan_hex(const char **s, const char *end, uint64_t *ret)
{
    size_t n = 0, left = (size_t)(end - *s);
    while (n < left && n <= HEX_MAX && (hex_digit((*s)[n]) >= 0 || (n == 1 && (*s)[n] == 'x')))
        n++;
    if (!parse_hex_u64(*s, n, ret))
        return false;
    *s += n;
    return true;
}

static const struct {
    const char *name;
    double ms;
} units[] = {
    {"ns", 1e-6},  {"us", 1e-3},     {"µs", 1e-3},      {"ms", 1},        {"milliseconds", 1},
    {"s", 1e3},    {"sec", 1e3},     {"secs", 1e3},     {"second", 1e3},  {"seconds", 1e3},
    {"m", 60e3},   {"min", 60e3},    {"mins", 60e3},    {"minute", 60e3}, {"minutes", 60e3},
    {"h", 3600e3}, {"hour", 3600e3}, {"hours", 3600e3},
};

static bool phrase_scan_unit(const char **s, const char *end, double *ret_ms)
{
    const char *p = *s;
    while (p < end && (phrase_is_letter(*p) || (unsigned char)*p >= 0x80))
        p++;
    size_t n = (size_t)(p - *s);
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        if (strlen(units[i].name) != n || memcmp(units[i].name, *s, n) != 0)
            continue;
        *ret_ms = units[i].ms;
        *s = p;
        return true;
    }
    return false;
}

static bool phrase_scan_decimal(const char **s, const char *end, double *ret)
{
    const char *p = *s;
    double v = 0, scale = 1;
    bool fraction = false;
    for (; p < end && p - *s < NUMBER_MAX; p++) {
        if (*p == '.' && !fraction && p > *s && end - p > 1 && phrase_is_digit(p[1])) {
            fraction = true;
            continue;
        }
        if (!phrase_is_digit(*p))
            break;
        v = v * 10 + (*p - '0');
        scale *= fraction ? 10 : 1;
    }
    if (p == *s)
        return false;
    *s = p;
    *ret = v / scale;
    return true;
}

static bool phrase_scan_duration(const char **s, const char *end, int64_t *ret)
{
    const char *p = *s;
    double total = 0, v, unit;
    if (!phrase_scan_decimal(&p, end, &v))
        return false;
    const char *after = p + (p < end && *p == ' ');
    if (phrase_scan_unit(&after, end, &unit)) {
        for (total = v * unit, p = after; phrase_scan_decimal(&after, end, &v); p = after) {
            if (!phrase_scan_unit(&after, end, &unit))
                break;
            total += v * unit;
        }
    } else if (p == end || (!phrase_is_letter(*p) && *p != ' ')) {
        total = v * 1e3;
    } else {
        return false; /* "retry in 10 blocks" */
    }
    *s = p;
    *ret = total < DAY_MS ? (int64_t)total : DAY_MS;
    return true;
}

static bool phrase_scan_mark(char mark, const char **s, const char *end, struct phrase_hit *hit)
{
    uint64_t v;
    if (mark == '~')
        return phrase_scan_duration(s, end, &hit->duration_ms);
    if (mark == '%' ? !phrase_scan_hex(s, end, &v) : !phrase_scan_number(s, end, &v))
        return false;
    if (mark != '#')
        phrase_keep_number(hit, v);
    return true;
}

static bool phrase_fits(const char *p, const char *s, const char *end, struct phrase_hit *hit);

/* A wildcard: the rest of the phrase after the fewest characters. */
static bool phrase_fits_after(const char *p, const char *s, const char *end, struct phrase_hit *hit)
{
    int most = *p == '*' ? ANY_MAX : GAP_MAX;
    for (int k = 0; k <= most; k++, s++) {
        struct phrase_hit before = *hit;
        if (phrase_fits(p + 1, s, end, hit))
            return true;
        *hit = before;
        if (s == end || (*p == '_' && (phrase_is_digit(*s) || phrase_is_letter(*s))))
            return false;
    }
    return false;
}

static bool phrase_fits(const char *p, const char *s, const char *end, struct phrase_hit *hit)
{
    for (; *p; p++) {
        if (*p == '*' || *p == '_')
            return phrase_fits_after(p, s, end, hit);
        if (*p == '{') {
            const char *close = strchr(p, '}');
            size_t n = (size_t)(close - p - 1);
            struct phrase_hit before = *hit;
            if ((size_t)(end - s) >= n && memcmp(s, p + 1, n) == 0 &&
                phrase_fits(close + 1, s + n, end, hit))
                return true;
            *hit = before;
            p = close;
        } else if (strchr("@#%~", *p)) {
            if (!phrase_scan_mark(*p, &s, end, hit))
                return false;
        } else if (s == end || *s++ != *p) {
            return false;
        }
    }
    return true;
}

bool phrase_find(const char *text, size_t n, const char *phrase, struct phrase_hit *ret)
{
    const char *end = text + n;
    bool literal = !strchr("@#%~_*{", phrase[0]);
    for (const char *s = text; s < end; s++) {
        if (literal && !(s = memchr(s, phrase[0], (size_t)(end - s))))
            return false;
        struct phrase_hit hit = {.duration_ms = -1};
        if (phrase_fits(phrase, s, end, &hit)) {
            *ret = hit;
            return true;
        }
    }
    return false;
}
