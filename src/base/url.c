#include "base/url.h"

#include <stdio.h>
#include <string.h>

/* Where the parts of scheme://user@host:port/path?query lie; host_end is the end of host:port. */
struct parts {
    size_t scheme_end; /* just after "://" */
    size_t host, host_end;
};

static bool url_split(const char *url, struct parts *p)
{
    const char *sep = strstr(url, "://");
    if (!sep || sep == url)
        return false;
    p->scheme_end = (size_t)(sep - url) + 3;
    size_t end = p->scheme_end + strcspn(url + p->scheme_end, "/?#");
    const char *at = memrchr(url + p->scheme_end, '@', end - p->scheme_end);
    p->host = at ? (size_t)(at + 1 - url) : p->scheme_end;
    p->host_end = end;
    return p->host < p->host_end;
}

/* "host:port", several with commas between: a port that is no number may be half a password ("/" in
 * it ends the host for us), and so may what stands before an @ further on. */
static bool url_may_show_host(const char *url, const struct parts *p)
{
    bool in_port = false, in_brackets = false;
    for (size_t i = p->host; i < p->host_end; i++) {
        in_brackets = url[i] == '[' || (in_brackets && url[i] != ']');
        if (in_port && url[i] != ',' && (url[i] < '0' || url[i] > '9'))
            return false;
        in_port = !in_brackets && url[i] != ',' && (in_port || url[i] == ':');
    }
    return strchr(url + p->host_end, '@') == NULL;
}

void url_masked(char *out, const char *url)
{
    struct parts p;
    if (strncmp(url, "sqlite:", 7) == 0) {
        snprintf(out, URL_TEXT, "%s", url);
        return;
    }
    if (!url_split(url, &p)) {
        snprintf(out, URL_TEXT, "(url)");
        return;
    }
    if (!url_may_show_host(url, &p)) {
        snprintf(out, URL_TEXT, "%.*s…", (int)(p.scheme_end > 40 ? 40 : p.scheme_end), url);
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
    if (!url_split(url, &p) || !url_may_show_host(url, &p))
        return false;
    const char *host = url + p.host;
    bool in_brackets = host[0] == '[';
    size_t n = p.host_end - p.host;
    const char *end = memchr(host, in_brackets ? ']' : ':', n);
    if (end)
        n = (size_t)(end - host) + in_brackets;
    if (n == 0 || n >= room)
        return false;
    memcpy(out, host, n);
    out[n] = '\0';
    return true;
}

enum { SECRETS_MAX = 32, SHORTEST_PASSWORD = 4, SHORTEST_TOKEN = 8 };

struct secret {
    const char *text;
    size_t n;
    const char *with;
};

struct secrets {
    struct secret list[SECRETS_MAX];
    size_t n;
};

static void url_add_secret(struct secrets *s, const char *text, size_t n, size_t shortest,
                           const char *with)
{
    if (n >= shortest && s->n < SECRETS_MAX)
        s->list[s->n++] = (struct secret){text, n, with};
}

/* A key may turn up without its URL: each half of the user part, the path with the query, and every
 * piece of these that is long enough to be a key. The longer come first: they hold the shorter. */
static void url_collect_secrets(struct secrets *s, const char *url, const struct parts *p,
                                const char *masked)
{
    const char *rest = url + p->host_end, *user = url + p->scheme_end;
    s->n = 0;
    url_add_secret(s, url, strlen(url), 1, masked);
    url_add_secret(s, rest, strlen(rest), SHORTEST_PASSWORD + 1, "/…");
    if (p->host > p->scheme_end) {
        size_t n = p->host - p->scheme_end - 1, name = 0;
        while (name < n && user[name] != ':')
            name++;
        url_add_secret(s, user, n, SHORTEST_PASSWORD + 1, "***");
        if (name < n)
            url_add_secret(s, user + name + 1, n - name - 1, SHORTEST_PASSWORD, "***");
        url_add_secret(s, user, name, SHORTEST_TOKEN, "***");
    }
    while (*rest) {
        size_t n = strcspn(rest, "/?&=;#");
        url_add_secret(s, rest, n, SHORTEST_TOKEN, "…");
        rest += n + (rest[n] != '\0');
    }
}

/* Looks for secrets in the whole text, not in what of it fits: a cut in the middle of a key would
 * otherwise let its head through. */
void url_scrub(char *out, size_t room, const char *text, const char *url)
{
    char masked[URL_TEXT];
    struct secrets s;
    struct parts p;
    size_t len = 0;
    if (!url || !url_split(url, &p)) {
        snprintf(out, room, "%s", text);
        return;
    }
    url_masked(masked, url);
    url_collect_secrets(&s, url, &p, masked);
    while (*text) {
        const char *put = text;
        size_t put_n = 1, skip = 1;
        for (size_t i = 0; i < s.n; i++) {
            if (strncmp(text, s.list[i].text, s.list[i].n) != 0)
                continue;
            put = s.list[i].with;
            put_n = strlen(put);
            skip = s.list[i].n;
            break;
        }
        if (len + put_n + 1 > room)
            break;
        memcpy(out + len, put, put_n);
        len += put_n;
        text += skip;
    }
    if (room)
        out[len] = '\0';
}
