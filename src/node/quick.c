#include "node/quick.h"
#include "base/mem.h"
#include "base/parse.h"

#include <string.h>

struct cursor {
    const char *at, *end;
};

static void skip_blanks(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t'))
        c->at++;
}

static bool take(struct cursor *c, char wanted)
{
    skip_blanks(c);
    if (c->at == c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

/* The inside of a string. One with an escape in it would end at the wrong place: there is none
 * among the strings that are accepted afterwards, so it is refused then. */
static bool take_string(struct cursor *c, const char **ret, size_t *ret_len)
{
    if (!take(c, '"'))
        return false;
    const char *close = memchr(c->at, '"', (size_t)(c->end - c->at));
    if (!close)
        return false;
    *ret = c->at;
    *ret_len = (size_t)(close - c->at);
    c->at = close + 1;
    return true;
}

static bool take_id(struct cursor *c, uint64_t id)
{
    uint64_t got;
    const char *start;
    skip_blanks(c);
    for (start = c->at; c->at < c->end && *c->at >= '0' && *c->at <= '9';)
        c->at++;
    return parse_u64(start, (size_t)(c->at - start), &got) && got == id;
}

static bool is(const char *s, size_t n, const char *wanted)
{
    return n == strlen(wanted) && memcmp(s, wanted, n) == 0;
}

static bool decode(const char *hex, size_t n, uint8_t **ret, size_t *ret_len)
{
    if (n < 2 || n % 2 || hex[0] != '0' || hex[1] != 'x')
        return false;
    size_t len = (n - 2) / 2;
    uint8_t *bytes = mem_alloc(len);
    if (!parse_hex(hex + 2, n - 2, bytes, len)) {
        mem_free(bytes);
        return false;
    }
    *ret = bytes;
    *ret_len = len;
    return true;
}

bool quick_bytes(const char *text, size_t n, uint64_t id, uint8_t **ret, size_t *ret_len)
{
    struct cursor c = {text, text + n};
    const char *key, *value, *result = NULL;
    size_t key_len, len, result_len = 0;
    bool has_version = false, has_id = false;
    if (!take(&c, '{'))
        return false;
    do {
        if (!take_string(&c, &key, &key_len) || !take(&c, ':'))
            return false;
        if (is(key, key_len, "id") && !has_id) {
            has_id = take_id(&c, id);
            if (!has_id)
                return false;
        } else if (is(key, key_len, "jsonrpc") && !has_version) {
            has_version = take_string(&c, &value, &len) && is(value, len, "2.0");
            if (!has_version)
                return false;
        } else if (is(key, key_len, "result") && !result) {
            if (!take_string(&c, &result, &result_len))
                return false;
        } else {
            return false;
        }
    } while (take(&c, ','));
    bool closed = take(&c, '}');
    skip_blanks(&c);
    return closed && c.at == c.end && has_id && result && decode(result, result_len, ret, ret_len);
}
