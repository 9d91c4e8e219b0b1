/*
 * ${NAME} and ${NAME:-default} in a value of the file. $${ stands for ${ itself, so that what
 * conf_write() writes means the same whatever the environment holds.
 *
 * A problem here quotes the reference alone: what stands around it may be a password.
 */
#include "base/buf.h"
#include "conf/decode.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { EXPANDED_MAX = YAML_SCALAR_MAX };

struct reference { /* ${name:-fallback} */
    const char *name, *fallback;
    size_t name_n, fallback_n;
    bool has_fallback;
};

/* At "${": the reference's length, or 0 when it is none. */
static size_t expand_scan_reference(const char *s, size_t n, struct reference *ret)
{
    size_t i = 2;
    *ret = (struct reference){.name = s + 2};
    if (i < n && isdigit((unsigned char)s[i]))
        return 0;
    while (i < n && (isalnum((unsigned char)s[i]) || s[i] == '_'))
        i++;
    ret->name_n = i - 2;
    if (i + 1 < n && s[i] == ':' && s[i + 1] == '-') {
        ret->has_fallback = true;
        ret->fallback = s + i + 2;
        const char *end = memchr(s + i + 2, '}', n - i - 2);
        i = end ? (size_t)(end - s) : n;
        ret->fallback_n = i < n ? (size_t)(s + i - ret->fallback) : 0;
    }
    return ret->name_n && i < n && s[i] == '}' ? i + 1 : 0;
}

static const char *expand_look_up(char *const *environ_, const struct reference *r)
{
    for (; environ_ && *environ_; environ_++)
        if (strncmp(*environ_, r->name, r->name_n) == 0 && (*environ_)[r->name_n] == '=')
            return *environ_ + r->name_n + 1;
    return NULL;
}

struct expansion {
    struct decoder *d;
    const struct spot *spot;
    struct buf *out;
};

/* at: where in the text. shown, n: the reference, or its part that may be quoted. */
static void expand_refuse(const struct expansion *e, size_t at, const char *cause,
                          const char *shown, size_t n, const char *expected)
{
    struct position place = e->spot->node->place;
    if (e->spot->node->exact)
        place.column += at + e->spot->node->quoted;
    problem_add(e->d->problems, &place, e->spot->path, "%s \"%.*s\"; expected %s", cause, (int)n,
                shown, expected);
}

/* Appends what the reference stands for. False: a problem was added. */
static bool expand_resolve(const struct expansion *e, size_t at, const struct reference *r)
{
    const char *value = expand_look_up(e->d->environ_, r);
    if (r->has_fallback && (!value || !*value)) {
        buf_add(e->out, r->fallback, r->fallback_n);
        return true;
    }
    if (!value) {
        char shown[160], expected[200];
        size_t n = r->name_n > 100 ? 100 : r->name_n;
        snprintf(shown, sizeof shown, "${%.*s}", (int)n, r->name);
        snprintf(expected, sizeof expected, "it set, or ${%.*s:-default}", (int)n, r->name);
        expand_refuse(e, at, "variable is not set", shown, strlen(shown), expected);
        return false;
    }
    if (!text_is_clean(value, strlen(value))) {
        expand_refuse(e, at, "variable holds a control character or no UTF-8", r->name,
                      r->name_n > 100 ? 100 : r->name_n, "text");
        return false;
    }
    buf_adds(e->out, value);
    return true;
}

static size_t expand_shown_length(const struct spot *s, const char *text, size_t n)
{
    size_t len = 2;
    while (!s->row->secret && len < n && len < 40 && (unsigned char)text[len] >= 0x20 &&
           (unsigned char)text[len] < 0x7F && text[len - 1] != '}')
        len++;
    return len;
}

static bool expand_into(const struct expansion *e)
{
    const char *text = e->spot->node->text;
    size_t n = e->spot->node->n;
    struct buf *out = e->out;
    for (size_t i = 0; i < n;) {
        struct reference r;
        if (text[i] != '$' || i + 1 >= n) {
            buf_addc(out, text[i++]);
        } else if (text[i + 1] == '$' && i + 2 < n && text[i + 2] == '{') {
            buf_adds(out, "${");
            i += 3;
        } else if (text[i + 1] != '{') {
            buf_addc(out, text[i++]);
        } else {
            size_t len = expand_scan_reference(text + i, n - i, &r);
            if (len == 0) {
                expand_refuse(e, i, "not a variable", text + i,
                              expand_shown_length(e->spot, text + i, n - i),
                              "${NAME} or ${NAME:-default}, or $${ for the two letters ${");
                return false;
            }
            if (!expand_resolve(e, i, &r))
                return false;
            i += len;
        }
    }
    return true;
}

const char *expand_text(struct decoder *d, const struct spot *s, size_t *ret_n)
{
    struct buf out = BUF_INIT(EXPANDED_MAX);
    char *text = NULL;
    if (expand_into(&(struct expansion){d, s, &out})) {
        if (out.overflow) {
            spot_refuse_at(d, s, 0, "value is too long", "at most 65536 bytes");
        } else {
            text = arena_strdup(d->arena, buf_str(&out));
            *ret_n = out.len;
        }
    }
    buf_free(&out);
    return text;
}
