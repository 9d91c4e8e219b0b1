#include "conf/value.h"
#include "base/mem.h"
#include "base/parse.h"

#include <ctype.h>
#include <string.h>

#define FIELD(type, row, base)  ((type *)(void *)((char *)(base) + (row)->offset))
#define FIELDC(type, row, base) ((const type *)(const void *)((const char *)(base) + (row)->offset))

/* --- words --- */

int value_word(const char *words, const char *text, size_t n)
{
    int index = 0;
    for (const char *w = words; *w; index++) {
        size_t len = strcspn(w, " ");
        if (len == n && memcmp(w, text, n) == 0)
            return index;
        w += len + (w[len] == ' ');
    }
    return -1;
}

static void value_word_add(const char *words, int index, struct buf *out)
{
    const char *w = words;
    for (; index > 0 && *w; index--)
        w += strcspn(w, " ") + (w[strcspn(w, " ")] == ' ');
    buf_add(out, w, strcspn(w, " "));
}

static void value_words(const char *words, struct buf *out)
{
    for (const char *w = words; *w;) {
        size_t len = strcspn(w, " ");
        bool last = w[len] == '\0';
        if (w != words)
            buf_adds(out, last ? " or " : ", ");
        buf_add(out, w, len);
        w += len + !last;
    }
}

static bool value_is_zero_word(const struct setting *row, const char *text)
{
    return row->zero && strcmp(row->zero, text) == 0;
}

/* --- YAML text --- */

static bool value_plain_safe(const char *s)
{
    if (!isalnum((unsigned char)*s) && *s != '/' && *s != '.')
        return false;
    for (; *s; s++) {
        bool colon = *s == ':' && (isalnum((unsigned char)s[1]) || s[1] == '/');
        if (!isalnum((unsigned char)*s) && !strchr("_./@-", *s) && !colon)
            return false;
    }
    return true;
}

void value_quote(const char *s, struct buf *out)
{
    bool lines = strpbrk(s, "\n\r\t") != NULL;
    char quote = lines ? '"' : '\'';
    if (strcmp(s, "null") != 0 && value_plain_safe(s)) {
        buf_adds(out, s);
        return;
    }
    buf_addc(out, quote);
    for (; *s; s++) {
        if (s[0] == '$' && s[1] == '{')
            buf_addc(out, '$');
        if (!lines && *s == '\'')
            buf_addc(out, '\'');
        if (lines && strchr("\"\\\n\r\t", *s)) {
            buf_addc(out, '\\');
            buf_addc(out, *s == '\n' ? 'n' : *s == '\r' ? 'r' : *s == '\t' ? 't' : *s);
        } else {
            buf_addc(out, *s);
        }
    }
    buf_addc(out, quote);
}

/* --- what is expected --- */

static void value_duration_add(uint64_t ms, struct buf *out);

static void value_urls_add(const char *schemes, struct buf *out)
{
    size_t n = strcspn(schemes, " ");
    buf_addf(out, "%.*s://… or %s://…", (int)n, schemes, schemes + n + 1);
}

/* False: it is no blank, but text in braces. */
static bool value_blank_fill(const struct setting *row, const char *blank, size_t n,
                             struct buf *out)
{
    const unsigned long long min = row->min, max = row->max;
#define IS(text) (n == sizeof(text) - 1 && strncmp(blank, (text), n) == 0)
    if (IS("{words}"))
        value_words(row->words, out);
    else if (IS("{min}"))
        buf_addf(out, "%llu", min);
    else if (IS("{max}"))
        buf_addf(out, "%llu", max);
    else if (IS("{max-1}"))
        buf_addf(out, "%llu", max - 1);
    else if (IS("{min_ms}"))
        value_duration_add(min, out);
    else if (IS("{max_ms}"))
        value_duration_add(max, out);
    else if (IS("{count}"))
        min ? buf_addf(out, "%llu to %llu", min, max) : buf_addf(out, "at most %llu", max);
    else if (IS("{names}"))
        setting_names_add(row->path, out);
    else if (IS("{urls}"))
        value_urls_add(row->words, out);
    else if (IS("{zero}"))
        buf_addf(out, row->zero ? ", or %s" : "%s", row->zero ? row->zero : "");
    else
        return false;
#undef IS
    return true;
}

bool kind_is_scalar(const struct kind *kind)
{
    return kind->read_text || kind->or_text;
}

void kind_expected(const struct setting *row, struct buf *out)
{
    for (const char *s = row->kind->expects; *s;) {
        size_t n = *s == '{' ? strcspn(s, "}") + 1 : 0;
        if (n && value_blank_fill(row, s, n, out))
            s += n;
        else
            buf_addc(out, *s++);
    }
}

/* --- section, list --- */

const struct kind kind_section = {.name = "map", .expects = "a map of {names}"};
const struct kind kind_list = {.name = "list", .expects = "a list of {count}"};

/* --- numbers --- */

static bool value_all_digits(const char *text)
{
    return *text && text[strspn(text, "0123456789")] == '\0';
}

static bool value_number_parse(struct decoder *d, const struct spot *s, const char *text, size_t n,
                               uint64_t *ret)
{
    uint64_t v;
    const struct setting *row = s->row;
    if (value_is_zero_word(row, text)) {
        *ret = 0;
        return true;
    }
    if (!parse_u64(text, n, &v) && !value_all_digits(text))
        return spot_refuse(d, s, "not a number");
    if (!parse_u64(text, n, &v) || v < row->min || v > row->max)
        return spot_refuse(d, s, "out of range");
    *ret = v;
    return true;
}

static bool value_number_read(struct decoder *d, const struct spot *s, const char *text, size_t n,
                              void *base)
{
    return value_number_parse(d, s, text, n, FIELD(uint64_t, s->row, base));
}

/* What is below the least was not given: only a setting without a default may be so. */
static void value_number_write(const struct setting *row, const void *base, struct buf *out)
{
    uint64_t v = *FIELDC(uint64_t, row, base);
    if (v == 0 && row->zero)
        buf_adds(out, row->zero);
    else if (v >= row->min)
        buf_addf(out, "%llu", (unsigned long long)v);
}

const struct kind kind_number = {.name = "number",
                                 .read_text = value_number_read,
                                 .write = value_number_write,
                                 .expects = "a number from {min} to {max}{zero}"};

static bool value_finality_read(struct decoder *d, const struct spot *s, const char *text, size_t n,
                                void *base)
{
    struct conf *c = base;
    int word = value_word(s->row->words, text, n);
    if (word >= 0) {
        c->chain.finality = (enum conf_finality)word;
        c->chain.finality_depth = 0;
        return true;
    }
    if (!value_all_digits(text))
        return spot_refuse(d, s, "unknown word");
    if (!value_number_parse(d, s, text, n, &c->chain.finality_depth))
        return false;
    c->chain.finality = FINALITY_DEPTH;
    return true;
}

static void value_finality_write(const struct setting *row, const void *base, struct buf *out)
{
    const struct conf *c = base;
    if (c->chain.finality == FINALITY_DEPTH)
        buf_addf(out, "%llu", (unsigned long long)c->chain.finality_depth);
    else
        value_word_add(row->words, (int)c->chain.finality, out);
}

const struct kind kind_finality = {.name = "word or number",
                                   .read_text = value_finality_read,
                                   .write = value_finality_write,
                                   .expects = "{words}, or a number of blocks up to {max}"};

/* --- durations --- */

static void value_duration_add(uint64_t ms, struct buf *out)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
    size_t i = 0;
    while (ms % units[i].ms != 0)
        i++;
    buf_addf(out, "%llu%s", (unsigned long long)(ms / units[i].ms), units[i].unit);
}

static bool value_duration_read(struct decoder *d, const struct spot *s, const char *text, size_t n,
                                void *base)
{
    int64_t ms = 0;
    if (!value_is_zero_word(s->row, text)) {
        if (!parse_duration(text, n, &ms))
            return spot_refuse(d, s, "not a duration");
        if ((uint64_t)ms < s->row->min || (uint64_t)ms > s->row->max)
            return spot_refuse(d, s, "out of range");
    }
    *FIELD(int64_t, s->row, base) = ms;
    return true;
}

static void value_duration_write(const struct setting *row, const void *base, struct buf *out)
{
    int64_t ms = *FIELDC(int64_t, row, base);
    if (ms == 0 && row->zero)
        buf_adds(out, row->zero);
    else
        value_duration_add((uint64_t)ms, out);
}

const struct kind kind_duration = {
    .name = "duration",
    .read_text = value_duration_read,
    .write = value_duration_write,
    .expects = "a duration from {min_ms} to {max_ms}, such as 30s, 5m or 24h{zero}"};

/* --- words and yes/no --- */

/* A word's field is an enum or a bool: its size tells which. */
static bool value_word_read(struct decoder *d, const struct spot *s, const char *text, size_t n,
                            void *base)
{
    int word = value_word(s->row->words, text, n);
    if (word < 0)
        return spot_refuse(d, s, "unknown word");
    if (s->row->size == sizeof(bool))
        *FIELD(bool, s->row, base) = word != 0;
    else
        memcpy(FIELD(char, s->row, base), &word, sizeof word);
    return true;
}

static void value_word_write(const struct setting *row, const void *base, struct buf *out)
{
    int word = 0;
    if (row->size == sizeof(bool))
        word = *FIELDC(bool, row, base);
    else
        memcpy(&word, FIELDC(char, row, base), sizeof word);
    value_word_add(row->words, word, out);
}

const struct kind kind_word = {
    .name = "word", .read_text = value_word_read, .write = value_word_write, .expects = "{words}"};

static bool value_yes_no_read(struct decoder *d, const struct spot *s, const char *text, size_t n,
                              void *base)
{
    int word = value_word("no yes false true off on", text, n);
    if (word < 0)
        return spot_refuse(d, s, "neither yes nor no");
    *FIELD(bool, s->row, base) = word & 1;
    return true;
}

static void value_yes_no_write(const struct setting *row, const void *base, struct buf *out)
{
    buf_adds(out, *FIELDC(bool, row, base) ? "yes" : "no");
}

const struct kind kind_yes_no = {.name = "yes or no",
                                 .read_text = value_yes_no_read,
                                 .write = value_yes_no_write,
                                 .expects = "yes or no"};
