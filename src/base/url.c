#include "base/url.h"

#include <stdio.h>
#include <string.h>

/* Where the parts of scheme://user@host:port/path?query lie; host_end is the end of host:port. */
struct parts {
    size_t scheme_end; /* just after "://" */
    size_t host, host_end;
};

static bool split(const char *url, struct parts *p)
{
    const char *sep = strstr(url, "://");
    if (!sep || sep == url)
        return false;
    p->scheme_end = (size_t)(sep - url) + 3;
    size_t end = p->scheme_end + strcspn(url + p->scheme_end, "/?#");
    size_t at = p->scheme_end;
    for (size_t i = p->scheme_end; i < end; i++)
        if (url[i] == '@')
            at = i + 1;
    p->host = at;
    p->host_end = end;
    return p->host < p->host_end;
}

void url_masked(char *out, const char *url)
{
    struct parts p;
    if (strncmp(url, "sqlite:", 7) == 0) {
        snprintf(out, URL_TEXT, "%s", url);
        return;
    }
    if (!split(url, &p)) {
        snprintf(out, URL_TEXT, "(url)");
        return;
    }
    const char *rest = url + p.host_end;
    bool secret_path = rest[0] != '\0' && strcmp(rest, "/") != 0;
    snprintf(out, URL_TEXT, "%.*s%.*s%s", (int)(p.scheme_end > 40 ? 40 : p.scheme_end), url,
             (int)(p.host_end - p.host > 200 ? 200 : p.host_end - p.host), url + p.host,
             secret_path ? "/…" : "");
}

bool url_host(const char *url, char *out, size_t room)
{
    struct parts p;
    if (!split(url, &p))
        return false;
    size_t end = p.host;
    if (url[end] == '[') {
        while (end < p.host_end && url[end] != ']')
            end++;
        if (end < p.host_end)
            end++;
    } else {
        while (end < p.host_end && url[end] != ':')
            end++;
    }
    if (end == p.host || end - p.host >= room)
        return false;
    memcpy(out, url + p.host, end - p.host);
    out[end - p.host] = '\0';
    return true;
}

/* Replaces each occurrence of secret in text by with, in place within room. */
static void replace_all(char *text, size_t room, const char *secret, const char *with)
{
    size_t slen = strlen(secret), wlen = strlen(with);
    char *at = text;
    while ((at = strstr(at, secret)) != NULL) {
        size_t tail = strlen(at + slen);
        if ((size_t)(at - text) + wlen + tail + 1 > room)
            tail = room - 1 - wlen - (size_t)(at - text) > room ? 0
                                                                : room - 1 - wlen - (size_t)(at - text);
        if ((size_t)(at - text) + wlen + 1 > room) {
            *at = '\0';
            return;
        }
        memmove(at + wlen, at + slen, tail);
        memcpy(at, with, wlen);
        at[wlen + tail] = '\0';
        at += wlen;
    }
}

void url_scrub(char *out, size_t room, const char *text, const char *url)
{
    enum { SHORTEST_SECRET = 4, LONGEST = 2048 };
    char masked[URL_TEXT], part[LONGEST];
    struct parts p;
    snprintf(out, room, "%s", text);
    if (!url || !*url || !split(url, &p))
        return;
    url_masked(masked, url);
    replace_all(out, room, url, masked);
    if (p.host > p.scheme_end) {
        /* user:password — each half may turn up alone */
        snprintf(part, sizeof part, "%.*s", (int)(p.host - p.scheme_end - 1), url + p.scheme_end);
        char *colon = strchr(part, ':');
        if (colon && strlen(colon + 1) >= SHORTEST_SECRET)
            replace_all(out, room, colon + 1, "***");
    }
    const char *rest = url + p.host_end;
    if (strlen(rest) > SHORTEST_SECRET) {
        snprintf(part, sizeof part, "%s", rest);
        replace_all(out, room, part, "/…");
        /* the last segment is where keys live */
        char *last = strrchr(part, '/');
        if (last && strlen(last + 1) >= 8)
            replace_all(out, room, last + 1, "…");
    }
}
