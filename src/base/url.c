#include "base/url.h"

#include <ctype.h>
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

static size_t url_word_length(const char *text, const char *end)
{
    size_t n = 0;
    while (text + n < end && (isalnum((unsigned char)text[n]) || strchr("_-.", text[n])))
        n++;
    return n;
}

/* The user and the database's name hold no secret; the password and the parameters may. */
static void url_mask_database(char *out, const char *url, const struct parts *p)
{
    const char *user = url + p->scheme_end, *name = url + p->host_end, *end = url + strlen(url);
    size_t user_n = p->host > p->scheme_end ? url_word_length(user, url + p->host) : 0;
    bool user_is_plain = user_n > 0 && (user[user_n] == ':' || user[user_n] == '@');
    size_t name_n = name[0] == '/' ? url_word_length(name + 1, end) : 0;
    bool whole = name[0] == '\0' || name[1 + name_n] == '\0';
    snprintf(out, URL_TEXT, "%.*s%.*s%s%.*s%s%.*s%s", (int)p->scheme_end, url,
             user_is_plain ? (int)(user_n > 60 ? 60 : user_n) : 0, user, user_is_plain ? "@" : "",
             (int)(p->host_end - p->host > 120 ? 120 : p->host_end - p->host), url + p->host,
             name[0] == '/' ? "/" : "", (int)(name_n > 60 ? 60 : name_n), name_n ? name + 1 : "",
             whole ? "" : "…");
}

void url_masked(char *out, const char *url)
{
    struct parts p = {0};
    if (strncmp(url, "sqlite:", 7) == 0) {
        snprintf(out, URL_TEXT, "%s", url);
        return;
    }
    /* A database's host may stand in its parameters, or be none. */
    bool database = strncmp(url, "postgres", 8) == 0 && strstr(url, "://") != NULL;
    if (!url_split(url, &p) && !database) {
        snprintf(out, URL_TEXT, "(url)");
        return;
    }
    if (!url_may_show_host(url, &p)) {
        snprintf(out, URL_TEXT, "%.*s…", (int)(p.scheme_end > 40 ? 40 : p.scheme_end), url);
        return;
    }
    const char *rest = url + p.host_end;
    if (database) {
        url_mask_database(out, url, &p);
        return;
    }
    bool secret_path = rest[0] != '\0' && strcmp(rest, "/") != 0;
    snprintf(out, URL_TEXT, "%.*s%.*s%s", (int)(p.scheme_end > 40 ? 40 : p.scheme_end), url,
             (int)(p.host_end - p.host > 200 ? 200 : p.host_end - p.host), url + p.host,
             secret_path ? "/…" : "");
}

bool url_hides_host(const char *url)
{
    struct parts p;
    return url_split(url, &p) && !url_may_show_host(url, &p);
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

/* "localhost", "127.0.0.1:8545", "node.example/path": a port, or a name with a dot in lower case.
 */
static size_t url_bare_host(const char *text)
{
    size_t n = 0, dots = 0;
    while (islower((unsigned char)text[n]) || isdigit((unsigned char)text[n]) || text[n] == '-' ||
           text[n] == '.')
        dots += text[n++] == '.';
    size_t port = text[n] == ':' ? strspn(text + n + 1, "0123456789") : 0;
    size_t end = n + (port > 0 && port <= 5 ? port + 1 : 0);
    bool named = (n == 9 && strncmp(text, "localhost", 9) == 0) || dots > 0 || end > n;
    bool whole = text[end] == '\0' || text[end] == '/';
    return n > 0 && n <= 100 && named && whole ? end : 0;
}

bool url_complete(char *out, const char *text, const char *plain, const char *secure)
{
    size_t n = url_bare_host(text);
    bool near = strncmp(text, "localhost", 9) == 0 || strspn(text, "0123456789.:") >= n;
    bool port = memchr(text, ':', n) != NULL;
    const char *scheme = near || (port && strncmp(text + n - 4, ":443", 4) != 0) ? plain : secure;
    if (n == 0)
        return false;
    snprintf(out, URL_TEXT, "%s://%.*s%s", scheme, (int)n, text,
             text[n] && text[n + 1] ? "/…" : "");
    return true;
}

bool url_escape_at(char *out, size_t room, const char *url)
{
    struct parts p;
    size_t len = 0;
    if (!url_split(url, &p))
        p = (struct parts){0};
    for (size_t i = 0; url[i]; i++) {
        bool inside = i >= p.scheme_end && i + 1 < p.host && url[i] == '@';
        if (len + 4 > room)
            return false;
        memcpy(out + len, inside ? "%40" : url + i, inside ? 3 : 1);
        len += inside ? 3 : 1;
    }
    out[len] = '\0';
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
