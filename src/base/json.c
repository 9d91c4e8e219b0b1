#include "base/json.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/parse.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <string.h>

/* Else a text for which there was no memory would read as one that is no JSON. */
__attribute__((constructor)) static void json_use_our_memory(void)
{
    cJSON_InitHooks(&(cJSON_Hooks){.malloc_fn = mem_alloc, .free_fn = mem_free});
}

/* struct json is never defined: a value is a cJSON item behind another name. */
static const cJSON *json_to_item(const struct json *v)
{
    return (const cJSON *)(const void *)v;
}

static struct json *json_from_item(cJSON *i)
{
    return (struct json *)(void *)i;
}

/* No NUL, no backslash, nothing above 0x7f among these eight? A false "no" costs time only. */
static bool json_text_is_plain(const unsigned char *s)
{
    static const uint64_t ones = UINT64_C(0x0101010101010101), tops = UINT64_C(0x8080808080808080);
    uint64_t v;
    memcpy(&v, s, sizeof v);
    return ((v | (v - ones) | ((v ^ ones * '\\') - ones)) & tops) == 0;
}

/* cJSON accepts any bytes inside a string and cuts at an escaped NUL; both are refused here, on the
 * raw text, in one pass. */
static const char *json_scan_text(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    for (size_t i = 0; i < n; i++) {
        while (n - i >= 8 && json_text_is_plain(s + i))
            i += 8;
        if (i == n)
            break;
        if (s[i] == '\\') {
            if (n - i >= 6 && memcmp(s + i, "\\u0000", 6) == 0)
                return "has an escaped NUL";
            i++;
            continue;
        }
        if (s[i] == 0)
            return "has a NUL byte";
        if (s[i] < 0x80)
            continue;
        size_t follow = s[i] >= 0xf0 ? 3 : s[i] >= 0xe0 ? 2 : s[i] >= 0xc2 ? 1 : 0;
        if (follow == 0 || s[i] > 0xf4 || n - i <= follow)
            return "is not UTF-8";
        for (size_t k = 1; k <= follow; k++)
            if ((s[i + k] & 0xc0) != 0x80)
                return "is not UTF-8";
        i += follow;
    }
    return NULL;
}

struct json *json_parse(const char *text, size_t n, size_t ceiling, struct err *err)
{
    if (n > ceiling) {
        err_set(err, ERR_TOO_LARGE, "JSON text of %zu bytes is over the ceiling of %zu", n,
                ceiling);
        return NULL;
    }
    const char *trouble = json_scan_text(text, n);
    if (trouble) {
        err_set(err, ERR_FAILED, "JSON text %s", trouble);
        return NULL;
    }
    const char *end = NULL;
    cJSON *doc = cJSON_ParseWithLengthOpts(text, n, &end, false);
    if (!doc) {
        err_set(err, ERR_FAILED, "not JSON at byte %zu: \"%.*s\"",
                end ? (size_t)(end - text) : (size_t)0, (int)(n > 80 ? 80 : n), text);
        return NULL;
    }
    while (end < text + n && strchr(" \t\r\n", *end))
        end++;
    if (end != text + n) {
        cJSON_Delete(doc);
        err_set(err, ERR_FAILED, "JSON text goes on after its end, at byte %zu",
                (size_t)(end - text));
        return NULL;
    }
    return json_from_item(doc);
}

void json_free(struct json *doc)
{
    cJSON_Delete((cJSON *)(void *)doc);
}

const struct json *json_get(const struct json *object, const char *key)
{
    if (!json_is_object(object))
        return NULL;
    return json_from_item(cJSON_GetObjectItemCaseSensitive(json_to_item(object), key));
}

size_t json_count(const struct json *array)
{
    size_t n = 0;
    for (const struct json *v = json_first(array); v; v = json_next(v))
        n++;
    return n;
}

const struct json *json_first(const struct json *array_or_object)
{
    if (!json_is_array(array_or_object) && !json_is_object(array_or_object))
        return NULL;
    return json_from_item(json_to_item(array_or_object)->child);
}

const struct json *json_next(const struct json *v)
{
    return v ? json_from_item(json_to_item(v)->next) : NULL;
}

const char *json_key(const struct json *member)
{
    return member ? json_to_item(member)->string : NULL;
}

bool json_is_null(const struct json *v)
{
    return v && cJSON_IsNull(json_to_item(v));
}

bool json_is_object(const struct json *v)
{
    return v && cJSON_IsObject(json_to_item(v));
}

bool json_is_array(const struct json *v)
{
    return v && cJSON_IsArray(json_to_item(v));
}

bool json_is_string(const struct json *v)
{
    return v && cJSON_IsString(json_to_item(v));
}

bool json_bool(const struct json *v, bool fallback)
{
    return v && cJSON_IsBool(json_to_item(v)) ? (bool)cJSON_IsTrue(json_to_item(v)) : fallback;
}

const char *json_str(const struct json *v)
{
    return json_is_string(v) ? json_to_item(v)->valuestring : NULL;
}

bool json_i64(const struct json *v, int64_t *ret)
{
    const char *s = json_str(v);
    if (s) {
        bool negative = s[0] == '-';
        uint64_t u;
        if (!parse_u64(s + negative, strlen(s) - negative, &u) || u > INT64_MAX)
            return false;
        *ret = negative ? -(int64_t)u : (int64_t)u;
        return true;
    }
    if (!v || !cJSON_IsNumber(json_to_item(v)))
        return false;
    double d = json_to_item(v)->valuedouble;
    if (!(fabs(d) <= 9007199254740992.0) || d != floor(d))
        return false;
    *ret = (int64_t)d;
    return true;
}

bool json_quantity(const struct json *v, uint64_t *ret)
{
    const char *s = json_str(v);
    return s && parse_hex_u64(s, strlen(s), ret);
}

void json_print(const struct json *v, struct buf *b)
{
    char *text = v ? cJSON_PrintUnformatted(json_to_item(v)) : NULL;
    if (!text)
        return;
    size_t n = strlen(text), left = b->ceiling - b->len;
    buf_add(b, text, n < left ? n : left);
    b->overflow |= n > left;
    cJSON_free(text);
}
