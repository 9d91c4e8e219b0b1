#include "conf/problem.h"
#include "base/mem.h"
#include "base/url.h"
#include "conf/conf.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct problem_line {
    struct position at;
    size_t order;
    const char *text; /* "path: words" */
};

enum { PROBLEM_TEXT = 1500, SHOWN_TEXT = 80, LISTED = 256 * 1024 };

void problem_add(struct problems *p, const struct position *at, const char *path, const char *fmt,
                 ...)
{
    char words[PROBLEM_TEXT];
    va_list ap;
    if (p->count > PROBLEMS_SHOWN)
        return;
    va_start(ap, fmt);
    vsnprintf(words, sizeof words, fmt, ap);
    va_end(ap);
    if (p->count == p->room) {
        struct problem_line *old = p->lines;
        p->room = p->room ? p->room * 2 : 8;
        p->lines = arena_zero(p->arena, p->room, sizeof *p->lines);
        if (old)
            memcpy(p->lines, old, p->count * sizeof *old);
    }
    p->lines[p->count] = (struct problem_line){
        .at = *at,
        .order = p->count,
        .text = arena_printf(p->arena, "%s%s%s", path, *path ? ": " : "", words)};
    p->count++;
}

/* The file's own lines by place; what has no line keeps the order in which it was found, in front.
 */
static int problem_compare_position(const void *a, const void *b)
{
    const struct problem_line *x = a, *y = b;
    if (x->at.line != y->at.line)
        return x->at.line < y->at.line ? -1 : 1;
    if (x->at.column != y->at.column)
        return x->at.column < y->at.column ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static bool problem_same(const struct problem_line *a, const struct problem_line *b)
{
    return a->at.line == b->at.line && a->at.column == b->at.column &&
           strcmp(a->at.source, b->at.source) == 0 && strcmp(a->text, b->text) == 0;
}

void problems_write(struct problems *p, struct conf_problems *ret)
{
    buf_init(&ret->text, LISTED);
    ret->count = 0;
    if (p->count)
        qsort(p->lines, p->count, sizeof *p->lines, problem_compare_position);
    for (size_t i = 0; i < p->count; i++) {
        const struct problem_line *l = &p->lines[i];
        if (i > 0 && problem_same(l, l - 1))
            continue;
        if (++ret->count > PROBLEMS_SHOWN) {
            buf_adds(&ret->text, "and more problems, not listed\n");
            break;
        }
        buf_adds(&ret->text, l->at.source);
        if (l->at.line)
            buf_addf(&ret->text, ":%zu:%zu", l->at.line, l->at.column);
        buf_addf(&ret->text, ": %s\n", l->text);
    }
}

void conf_problems_free(struct conf_problems *p)
{
    if (p)
        buf_free(&p->text);
}

/* Cut at a character's edge, control characters as blanks. */
static void problem_show_clean(struct buf *out, const char *text, size_t n)
{
    size_t cut = n > SHOWN_TEXT ? SHOWN_TEXT : n;
    while (cut < n && cut > 0 && ((unsigned char)text[cut] & 0xC0) == 0x80)
        cut--;
    buf_addc(out, '"');
    for (size_t i = 0; i < cut; i++)
        buf_addc(out, (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? ' ' : text[i]);
    buf_adds(out, cut < n ? "…\"" : "\"");
}

/* url_masked() ends the user part at the first slash; a password with a slash in it would show its
 * beginning. So an @ behind that slash hides the host as well. */
static void problem_show_url(struct buf *out, const char *url)
{
    char masked[URL_TEXT];
    size_t scheme = 0;
    while (isalnum((unsigned char)url[scheme]) || (url[scheme] && strchr("+.-", url[scheme])))
        scheme++;
    const char *host = strstr(url, "://") + 3;
    url_masked(masked, url);
    if (url + scheme + 3 != host)
        buf_adds(out, "(text with a URL)");
    else if (masked[0] == '(' || strchr(host + strcspn(host, "/?#"), '@'))
        buf_adds(out, "(url)");
    else
        problem_show_clean(out, masked, strlen(masked));
}

void show_text(struct buf *out, const char *text, size_t n)
{
    if (strstr(text, "://"))
        problem_show_url(out, text);
    else
        problem_show_clean(out, text, n);
}
