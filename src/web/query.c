#include "web/query.h"

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
