#include "net/ws_url.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/parse.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Percent-decoding of the user part; what is no escape stays as it is. */
static void ws_url_decode(const char *s, size_t n, char *out, size_t room)
{
    size_t k = 0;
    for (size_t i = 0; i < n && k + 1 < room; i++) {
        bool escape =
            s[i] == '%' && i + 2 < n && hex_digit(s[i + 1]) >= 0 && hex_digit(s[i + 2]) >= 0;
        out[k++] = escape ? (char)(hex_digit(s[i + 1]) * 16 + hex_digit(s[i + 2])) : s[i];
        i += escape ? 2 : 0;
    }
    out[k] = '\0';
}

/* host, [v6], host:port, [v6]:port */
static bool ws_url_take_host(const char *s, size_t n, struct ws_url *u)
{
    uint64_t port = u->secure ? 443 : 80;
    bool six = n > 0 && s[0] == '[';
    const char *close = six ? memchr(s, ']', n) : NULL;
    size_t bare = six ? (close ? (size_t)(close - s) + 1 : 0) : n;
    if (!six) {
        const char *colon = memchr(s, ':', n);
        bare = colon ? (size_t)(colon - s) : n;
    }
    if (bare <= (six ? 2u : 0u) || bare >= sizeof u->host)
        return false;
    if (bare < n && (s[bare] != ':' || !parse_u64(s + bare + 1, n - bare - 1, &port) || port == 0 ||
                     port > 65535))
        return false;
    snprintf(u->host, sizeof u->host, "%.*s", (int)(six ? bare - 2 : bare), six ? s + 1 : s);
    u->port = (int)port;
    if (u->port == (u->secure ? 443 : 80))
        snprintf(u->header, sizeof u->header, "%.*s", (int)bare, s);
    else
        snprintf(u->header, sizeof u->header, "%.*s:%d", (int)bare, s, u->port);
    return true;
}

int ws_url_parse(const char *url, struct ws_url *ret, struct err *err)
{
    struct ws_url u = {0};
    const char *s = NULL;
    if (strncasecmp(url, "ws://", 5) == 0)
        s = url + 5;
    else if (strncasecmp(url, "wss://", 6) == 0)
        s = url + 6;
    if (!s)
        return err_set(err, ERR_USAGE, "a WebSocket URL starts with ws:// or wss://");
    u.secure = s == url + 6;
    size_t end = strcspn(s, "/?#");
    const char *at = memrchr(s, '@', end);
    size_t host = at ? (size_t)(at + 1 - s) : 0;
    if (host > 0)
        ws_url_decode(s, host - 1, u.user, sizeof u.user);
    if (!ws_url_take_host(s + host, end - host, &u))
        return err_set(err, ERR_USAGE, "the WebSocket URL has no proper host and port");
    const char *path = s + end;
    size_t n = strcspn(path, "#");
    int len = snprintf(u.path, sizeof u.path, "%s%.*s", path[0] == '/' ? "" : "/", (int)n, path);
    if (len < 0 || (size_t)len >= sizeof u.path)
        return err_set(err, ERR_USAGE, "the WebSocket URL is longer than %zu bytes", sizeof u.path);
    *ret = u;
    return 0;
}

/* ---- proxies --------------------------------------------------------------------------------- */

/* no_proxy as curl reads it: names separated by commas or blanks, "*" is everything, and a name
 * covers its subdomains, with or without a leading dot. */
static bool ws_url_goes_direct(const char *list, const char *host)
{
    size_t have = strlen(host);
    while (list && *list) {
        size_t n = strcspn(list, ", ");
        const char *name = list;
        size_t len = n;
        if (len > 0 && name[0] == '.') {
            name++;
            len--;
        }
        if (len > 1 && name[0] == '[' && name[len - 1] == ']') {
            name++;
            len -= 2;
        }
        if (len == 1 && name[0] == '*')
            return true;
        if (len > 0 && len <= have && strncasecmp(host + have - len, name, len) == 0 &&
            (len == have || host[have - len - 1] == '.'))
            return true;
        list += n;
        list += strspn(list, ", ");
    }
    return false;
}

static const char *ws_url_first_set(const char *(*env)(const char *), const char *const *names,
                                    size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *value = env(names[i]);
        if (value && *value)
            return value;
    }
    return NULL;
}

void ws_url_proxy(const struct ws_url *u, const char *(*env)(const char *name), char *ret,
                  size_t room)
{
    /* HTTP_PROXY in capitals is not looked at: a CGI server would let a client's header set it. */
    static const char *const plain[] = {"http_proxy", "all_proxy", "ALL_PROXY"};
    static const char *const secure[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
    static const char *const none[] = {"no_proxy", "NO_PROXY"};
    ret[0] = '\0';
    const char *proxy = u->secure ? ws_url_first_set(env, secure, COUNT_OF(secure))
                                  : ws_url_first_set(env, plain, COUNT_OF(plain));
    if (!proxy || ws_url_goes_direct(ws_url_first_set(env, none, COUNT_OF(none)), u->host))
        return;
    const char *scheme = strstr(proxy, "://");
    if (scheme && strncasecmp(proxy, "http://", 7) != 0)
        return; /* a SOCKS or TLS proxy: not for this client */
    const char *rest = scheme ? scheme + 3 : proxy;
    size_t n = strcspn(rest, "/");
    const char *at = memchr(rest, '@', n);
    const char *port = strrchr(at ? at : rest, ':');
    bool has_port = port && port < rest + n;
    snprintf(ret, room, "%.*s%s", (int)n, rest, has_port ? "" : ":1080");
}
