/*
 * A recursive-descent parser over a cursor. The first mistake ends it: one signature is one line of
 * a configuration, and what follows a mistake is rarely worth reporting.
 */
#include "eth/signature.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/parse.h"
#include "eth/keccak.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { EVENT_INDEXED_MAX = 3 };

struct signature_cursor {
    const char *s;
    size_t n, at;
    struct err *err;
};

struct word { /* a piece of the text */
    const char *s;
    size_t n, column;
};

static int signature_fail(const struct signature_cursor *c, size_t column, const char *what,
                          const char *piece, size_t n)
{
    if (n == 0)
        return err_set(c->err, ERR_USAGE, "column %zu: %s", column, what);
    return err_set(c->err, ERR_USAGE, "column %zu: %s \"%.*s\"", column, what,
                   (int)(n > 80 ? 80 : n), piece);
}

/* At the cursor: quotes what stands there, or says that the text ends. */
static int signature_fail_here(const struct signature_cursor *c, const char *expected)
{
    size_t n = c->at < c->n ? 1 : 0;
    while (c->at + n < c->n && isalnum((unsigned char)c->s[c->at]) &&
           isalnum((unsigned char)c->s[c->at + n]))
        n++;
    char what[160];
    snprintf(what, sizeof what, "expected %s%s", expected, n ? ", found" : ", found the end");
    return signature_fail(c, c->at + 1, what, c->s + c->at, n);
}

static void signature_skip_blanks(struct signature_cursor *c)
{
    while (c->at < c->n && strchr(" \t\r\n", c->s[c->at]) && c->s[c->at])
        c->at++;
}

static bool signature_next_is(struct signature_cursor *c, char ch)
{
    signature_skip_blanks(c);
    return c->at < c->n && c->s[c->at] == ch;
}

static bool signature_take(struct signature_cursor *c, char ch)
{
    bool there = signature_next_is(c, ch);
    c->at += there;
    return there;
}

static bool signature_name_char(char ch, bool first)
{
    return isalpha((unsigned char)ch) || ch == '_' || ch == '$' ||
           (!first && isdigit((unsigned char)ch));
}

static struct word signature_peek_word(struct signature_cursor *c)
{
    signature_skip_blanks(c);
    struct word w = {c->s + c->at, 0, c->at + 1};
    while (c->at + w.n < c->n && signature_name_char(w.s[w.n], w.n == 0))
        w.n++;
    return w;
}

static bool signature_word_is(const struct word *w, const char *text)
{
    return w->n == strlen(text) && memcmp(w->s, text, w->n) == 0;
}

static bool signature_word_in(const struct word *w, const char *const *list)
{
    for (; *list; list++)
        if (signature_word_is(w, *list))
            return true;
    return false;
}

static bool signature_take_word(struct signature_cursor *c, const char *text)
{
    struct word w = signature_peek_word(c);
    if (!signature_word_is(&w, text))
        return false;
    c->at += w.n;
    return true;
}

/* "uint" alone means uint256; otherwise digits from low to high in steps. */
static bool signature_sized(const struct word *w, const char *stem, uint64_t low, uint64_t high,
                            uint64_t step)
{
    uint64_t size;
    size_t k = strlen(stem);
    return w->n > k && memcmp(w->s, stem, k) == 0 && w->s[k] != '0' &&
           parse_u64(w->s + k, w->n - k, &size) && size >= low && size <= high && size % step == 0;
}

static bool signature_elementary(const struct word *w, const char **ret_canonical)
{
    static const char *const plain[] = {"address", "bool", "bytes", "string", NULL};
    *ret_canonical = signature_word_is(w, "uint")  ? "uint256"
                     : signature_word_is(w, "int") ? "int256"
                                                   : NULL;
    return *ret_canonical || signature_word_in(w, plain) || signature_sized(w, "uint", 8, 256, 8) ||
           signature_sized(w, "int", 8, 256, 8) || signature_sized(w, "bytes", 1, 32, 1);
}

static int signature_parse_array_suffix(struct signature_cursor *c, struct word *type,
                                        char ret[SIG_TYPE])
{
    size_t used = strlen(ret);
    while (signature_take(c, '[')) {
        size_t start = c->at, digits = 0;
        uint64_t count;
        while (start + digits < c->n && isdigit((unsigned char)c->s[start + digits]))
            digits++;
        c->at += digits;
        if (digits && (c->s[start] == '0' || !parse_u64(c->s + start, digits, &count)))
            return signature_fail(c, start + 1, "bad array length", c->s + start, digits);
        if (!signature_take(c, ']'))
            return signature_fail_here(c, "\"]\"");
        if (used + digits + 2 >= SIG_TYPE)
            return signature_fail(c, type->column, "type is too long", type->s,
                                  c->at + 1 - type->column);
        used += (size_t)snprintf(ret + used, SIG_TYPE - used, "[%.*s]", (int)digits, c->s + start);
    }
    return 0;
}

static int signature_parse_type(struct signature_cursor *c, char ret[SIG_TYPE])
{
    struct word w = signature_peek_word(c);
    const char *canonical;
    if (signature_next_is(c, '(') || signature_word_is(&w, "tuple")) {
        signature_fail(c, w.column, "tuples are not supported", w.s, 0);
        return err_hint(c->err, "only elementary types and arrays of them can be read");
    }
    if (w.n == 0)
        return signature_fail_here(c, "a type");
    if (w.n >= SIG_TYPE || !signature_elementary(&w, &canonical))
        return signature_fail(c, w.column, "unknown type", w.s, w.n);
    c->at += w.n;
    snprintf(ret, SIG_TYPE, "%.*s", (int)w.n, w.s);
    if (canonical)
        snprintf(ret, SIG_TYPE, "%s", canonical);
    return signature_parse_array_suffix(c, &w, ret);
}

static const char *const locations[] = {"memory", "calldata", "storage", "payable", NULL};
static const char *const reserved[] = {"indexed",   "memory",  "calldata", "storage", "payable",
                                       "returns",   "view",    "pure",     "public",  "external",
                                       "anonymous", "address", "bool",     "bytes",   "string",
                                       "uint",      "int",     "tuple",    NULL};

static int signature_copy_name(const struct signature_cursor *c, const struct word *w,
                               char ret[SIG_NAME])
{
    if (w->n >= SIG_NAME)
        return signature_fail(c, w->column, "name is longer than 63 bytes:", w->s, w->n);
    if (signature_word_in(w, reserved))
        return signature_fail(c, w->column, "not usable as a name:", w->s, w->n);
    memcpy(ret, w->s, w->n);
    ret[w->n] = '\0';
    return 0;
}

/* type [indexed] [memory|calldata|…] [name] */
static int signature_parse_param(struct signature_cursor *c, bool event, struct signature *sig)
{
    struct sig_param *p = &sig->params[sig->n_params];
    if (signature_parse_type(c, p->type) < 0)
        return -1;
    struct word w = signature_peek_word(c);
    if (signature_word_is(&w, "indexed")) {
        if (!event)
            return signature_fail(c, w.column, "\"indexed\" is for events, not for views", w.s, 0);
        p->indexed = true;
        c->at += w.n;
    }
    for (w = signature_peek_word(c); signature_word_in(&w, locations); w = signature_peek_word(c))
        c->at += w.n;
    if (w.n) {
        if (signature_copy_name(c, &w, p->name) < 0)
            return -1;
        if (signature_find(sig, p->name) >= 0)
            return signature_fail(c, w.column, "duplicate name", w.s, w.n);
        c->at += w.n;
    }
    sig->n_params++;
    return 0;
}

static int signature_parse_params(struct signature_cursor *c, bool event, struct signature *sig)
{
    int indexed = 0;
    if (!signature_take(c, '('))
        return signature_fail_here(c, "\"(\"");
    if (signature_take(c, ')'))
        return 0;
    do {
        signature_skip_blanks(c);
        size_t column = c->at + 1;
        if (sig->n_params == SIG_PARAMS)
            return signature_fail(c, column, "more than 16 parameters", "", 0);
        if (signature_parse_param(c, event, sig) < 0)
            return -1;
        indexed += sig->params[sig->n_params - 1].indexed;
        if (indexed > EVENT_INDEXED_MAX)
            return signature_fail(c, column, "more than 3 indexed parameters", "", 0);
    } while (signature_take(c, ','));
    if (!signature_take(c, ')'))
        return signature_fail_here(c, "\",\" or \")\"");
    return 0;
}

/* [view|pure|external|public]… [returns (type [location] [name])] */
static int signature_parse_view_tail(struct signature_cursor *c, struct signature *sig)
{
    static const char *const modifiers[] = {"view", "pure", "external", "public", NULL};
    struct word w = signature_peek_word(c);
    for (; signature_word_in(&w, modifiers); w = signature_peek_word(c))
        c->at += w.n;
    if (!signature_take_word(c, "returns"))
        return 0;
    if (!signature_take(c, '('))
        return signature_fail_here(c, "\"(\"");
    if (signature_parse_type(c, sig->returns) < 0)
        return -1;
    for (w = signature_peek_word(c); signature_word_in(&w, locations); w = signature_peek_word(c))
        c->at += w.n;
    char ignored[SIG_NAME];
    if (w.n && signature_copy_name(c, &w, ignored) < 0)
        return -1;
    c->at += w.n;
    if (signature_next_is(c, ','))
        return signature_fail(c, c->at + 1, "a view with more than one return value cannot be read",
                              "", 0);
    return signature_take(c, ')') ? 0 : signature_fail_here(c, "\")\"");
}

static int signature_finish(const struct signature_cursor *c, struct signature *sig)
{
    size_t n = (size_t)snprintf(sig->canonical, SIG_TEXT, "%s(", sig->name);
    for (int i = 0; i < sig->n_params && n < SIG_TEXT; i++)
        n += (size_t)snprintf(sig->canonical + n, SIG_TEXT - n, "%s%s", i ? "," : "",
                              sig->params[i].type);
    if (n < SIG_TEXT)
        n += (size_t)snprintf(sig->canonical + n, SIG_TEXT - n, ")");
    if (n >= SIG_TEXT)
        return signature_fail(c, 1, "signature is longer than 300 bytes in canonical form", "", 0);
    keccak256(sig->canonical, n, &sig->hash);
    memcpy(sig->selector, sig->hash.b, sizeof sig->selector);
    return 0;
}

static int signature_parse_whole(const char *s, size_t n, bool event, struct signature *ret,
                                 struct err *err)
{
    struct signature_cursor c = {s, n, 0, err};
    struct signature sig = {0};
    if (n >= SIG_TEXT)
        return signature_fail(&c, SIG_TEXT, "signature is longer than 300 bytes", "", 0);
    struct word w = signature_peek_word(&c);
    if (signature_word_is(&w, event ? "event" : "function")) {
        size_t start = c.at;
        c.at += w.n;
        w = signature_peek_word(&c);
        if (w.n == 0) { /* a name after all: "event(address)" */
            c.at = start;
            w = signature_peek_word(&c);
        }
    }
    if (w.n == 0)
        return signature_fail_here(&c, "a name");
    if (signature_copy_name(&c, &w, sig.name) < 0)
        return -1;
    c.at += w.n;
    if (signature_parse_params(&c, event, &sig) < 0 ||
        (!event && signature_parse_view_tail(&c, &sig) < 0))
        return -1;
    signature_skip_blanks(&c);
    if (event && signature_take_word(&c, "anonymous"))
        return signature_fail(&c, c.at - strlen("anonymous") + 1,
                              "an anonymous event has no topic to find it by", "", 0);
    if (c.at < c.n)
        return signature_fail_here(&c, "the end of the signature");
    if (signature_finish(&c, &sig) < 0)
        return -1;
    *ret = sig;
    return 0;
}

int view_parse(const char *s, size_t n, struct signature *ret, struct err *err)
{
    return signature_parse_whole(s, n, false, ret, err);
}

int event_parse(const char *s, size_t n, struct signature *ret, struct err *err)
{
    return signature_parse_whole(s, n, true, ret, err);
}

int signature_find(const struct signature *sig, const char *name)
{
    for (int i = 0; i < sig->n_params; i++)
        if (sig->params[i].name[0] && strcmp(sig->params[i].name, name) == 0)
            return i;
    return -1;
}
