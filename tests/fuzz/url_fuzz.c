/* URLs: what is printed of one never holds its key, and taking a WebSocket URL apart stays within
 * its rooms. Text up to the first newline is the URL, the rest is what a library or a node said. */
#include "base/err.h"
#include "base/mem.h"
#include "base/url.h"
#include "fuzz.h"
#include "net/ws_url.h"

#include <stdio.h>
#include <string.h>

static const char *proxy;

static const char *from_environment(const char *name)
{
    return strstr(name, "no_proxy") || strstr(name, "NO_PROXY") ? NULL : proxy;
}

static void check_ws(const char *url, const char *said)
{
    struct ws_url u;
    struct err err = {0};
    char found[600];
    if (ws_url_parse(url, &u, &err) < 0) {
        HOLDS(err.text[0]);
        return;
    }
    HOLDS(u.host[0] && u.header[0] && u.port > 0 && u.port < 65536);
    HOLDS(u.path[0] == '/');
    HOLDS(strlen(u.path) < sizeof u.path && strlen(u.user) < sizeof u.user);
    proxy = said;
    ws_url_proxy(&u, from_environment, found, sizeof found);
    HOLDS(memchr(found, 0, sizeof found));
}

/* Words with the URL in them, whole and once more: nothing of its key may be left. */
static void check_scrubbed(const char *url, const char *said)
{
    char out[1024], text[20000];
    snprintf(text, sizeof text, "%s %s", said, url);
    url_scrub(out, sizeof out, text, url);
    HOLDS(memchr(out, 0, sizeof out));
    url_scrub(out, 8, text, url);
    HOLDS(memchr(out, 0, 8));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char masked[URL_TEXT], host[64];
    char *url = mem_strndup((const char *)data, n);
    char *said = strchr(url, '\n');
    if (said)
        *said++ = '\0';
    url_masked(masked, url);
    HOLDS(memchr(masked, 0, sizeof masked));
    if (url_host(url, host, sizeof host))
        HOLDS(host[0] && strlen(host) < sizeof host);
    check_scrubbed(url, said ? said : "");
    check_ws(url, said);
    mem_free(url);
    return 0;
}
