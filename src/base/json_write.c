#include "base/json_write.h"

#include "base/parse.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

static void json_write_control(struct buf *b, unsigned char c)
{
    static const char short_from[] = "\"\\\b\f\n\r\t", short_to[] = "\"\\bfnrt";
    const char *at = c ? strchr(short_from, c) : NULL;
    if (at)
        buf_addf(b, "\\%c", short_to[at - short_from]);
    else
        buf_addf(b, "\\u%04x", c);
}

void json_write_string(struct buf *b, const char *s, size_t n)
{
    buf_addc(b, '"');
    for (size_t i = 0; i < n;) {
        unsigned char c = (unsigned char)s[i];
        uint32_t character;
        size_t len;
        if (c < 0x20 || c == '"' || c == '\\' || c == 0x7f) {
            json_write_control(b, c);
            i++;
        } else if ((len = parse_utf8(s + i, n - i, &character)) > 0) {
            buf_add(b, s + i, len);
            i += len;
        } else {
            buf_adds(b, "\xef\xbf\xbd");
            i++;
        }
    }
    buf_addc(b, '"');
}

/* ---- members and elements -------------------------------------------------------------------- */

/* A value ends in a quote, a bracket, a digit or a letter; what goes before the first member does
 * not. */
static void json_write_key(struct buf *b, const char *key)
{
    unsigned char last = b->len ? (unsigned char)b->data[b->len - 1] : ' ';
    if (isalnum(last) || last == '"' || last == '}' || last == ']')
        buf_addc(b, ',');
    if (!key)
        return;
    json_write_string(b, key, strlen(key));
    buf_addc(b, ':');
}

void json_begin(struct buf *b, const char *key, char bracket)
{
    json_write_key(b, key);
    buf_addc(b, bracket);
}

void json_end(struct buf *b, char bracket)
{
    buf_addc(b, bracket);
}

void json_add_bool(struct buf *b, const char *key, bool value)
{
    json_write_key(b, key);
    buf_adds(b, value ? "true" : "false");
}

void json_add_text(struct buf *b, const char *key, const char *text)
{
    json_write_key(b, key);
    if (text)
        json_write_string(b, text, strlen(text));
    else
        buf_adds(b, "null");
}

void json_add_number(struct buf *b, const char *key, uint64_t n)
{
    json_write_key(b, key);
    buf_addf(b, "%" PRIu64, n);
}

void json_add_number_or_null(struct buf *b, const char *key, bool has, uint64_t n)
{
    if (has)
        json_add_number(b, key, n);
    else
        json_add_text(b, key, NULL);
}

void json_add_decimal(struct buf *b, const char *key, double value, int digits)
{
    json_write_key(b, key);
    if (isnan(value))
        buf_adds(b, "null");
    else
        buf_addf(b, "%.*f", digits, value);
}
