#include "web/query.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

const char *query_value(const char *query, const char *name, char *ret, size_t room)
{
    size_t n = strlen(name);
    for (const char *s = query; *s;) {
        size_t part = strcspn(s, "&");
        if (part > n && strncmp(s, name, n) == 0 && s[n] == '=') {
            snprintf(ret, room, "%.*s", (int)(part - n - 1), s + n + 1);
            return ret;
        }
        s += part + (s[part] == '&');
    }
    return NULL;
}

static bool query_is_known(const char *name, size_t n, const char *known)
{
    while (*known) {
        size_t m = strcspn(known, " ");
        if (m == n && strncmp(known, name, n) == 0)
            return true;
        known += m + (known[m] == ' ');
    }
    return false;
}

const char *query_unknown(const char *query, const char *known, char *ret, size_t room)
{
    for (const char *s = query; *s;) {
        size_t part = strcspn(s, "&"), n = strcspn(s, "=&");
        if (n > 0 && !query_is_known(s, n, known)) {
            snprintf(ret, room, "%.*s", (int)n, s);
            return ret;
        }
        s += part + (s[part] == '&');
    }
    return NULL;
}
