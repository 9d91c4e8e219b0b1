/* See err.h. Nothing here may allocate: errors are made when memory or disk may be short. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Outside text may carry newlines or terminal escapes; an error is one printable line. Bytes of
 * multi-byte UTF-8 pass. */
static void err_make_printable(char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c < 0x20 || c == 0x7f)
            *s = ' ';
    }
}

void err_put(struct err *e, enum err_kind kind, const char *fmt, ...)
{
    if (!e)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    err_make_printable(e->text);
    e->kind = kind;
    e->hint[0] = '\0';
}

void err_put_before(struct err *e, const char *fmt, ...)
{
    if (!e)
        return;
    char context[sizeof e->text];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(context, sizeof context - 3, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    size_t len = strlen(context);
    memcpy(context + len, ": ", 3);
    len += 2;
    size_t room = sizeof e->text - len - 1;
    size_t old = strlen(e->text);
    if (old > room)
        old = room;
    memmove(e->text + len, e->text, old);
    memcpy(e->text, context, len);
    e->text[len + old] = '\0';
    err_make_printable(e->text);
}

void err_put_hint(struct err *e, const char *fmt, ...)
{
    if (!e)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->hint, sizeof e->hint, fmt, ap);
    va_end(ap);
}

void err_clear(struct err *e)
{
    e->kind = ERR_NONE;
    e->text[0] = e->hint[0] = '\0';
}
