/* WebSocket URLs and their proxies; what RFC 6455 section 3 and curl's manual say of no_proxy. */
#include "base/err.h"
#include "base/mem.h"
#include "net/ws_url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_parts(void **state)
{
    static const struct {
        const char *url, *host, *header, *path, *user;
        int port;
        bool secure;
    } rows[] = {
        {"ws://node.example", "node.example", "node.example", "/", "", 80, false},
        {"wss://node.example/v2/key", "node.example", "node.example", "/v2/key", "", 443, true},
        {"WSS://node.example:8546/?k=1#x", "node.example", "node.example:8546", "/?k=1", "", 8546,
         true},
        {"ws://[::1]:8545/a", "::1", "[::1]:8545", "/a", "", 8545, false},
        {"ws://[::1]", "::1", "[::1]", "/", "", 80, false},
        {"wss://u:p%40ss@node.example?x", "node.example", "node.example", "/?x", "u:p@ss", 443,
         true},
        {"ws://a@b@node.example:1/", "node.example", "node.example:1", "/", "a@b", 1, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct ws_url u;
        struct err err = {0};
        if (ws_url_parse(rows[i].url, &u, &err) < 0)
            fail_msg("%s: %s", rows[i].url, err.text);
        assert_string_equal(u.host, rows[i].host);
        assert_string_equal(u.header, rows[i].header);
        assert_string_equal(u.path, rows[i].path);
        assert_string_equal(u.user, rows[i].user);
        assert_int_equal(u.port, rows[i].port);
        assert_int_equal(u.secure, rows[i].secure);
    }
}

static void test_refused(void **state)
{
    static const char *const rows[] = {
        "",        "http://node.example", "ws://",      "ws:///path",   "ws://:80",   "ws://host:",
        "ws://[]", "ws://[::1",           "ws://h:0/x", "ws://h:65536", "ws://h:8x/", "ws://[::1]x",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct ws_url u;
        struct err err = {0};
        if (ws_url_parse(rows[i], &u, &err) == 0)
            fail_msg("\"%s\" was taken for %s", rows[i], u.host);
        assert_true(err.text[0]);
    }
}

static const char *const *environment; /* name, value, …, NULL */

static const char *look_up(const char *name)
{
    for (size_t i = 0; environment[i]; i += 2)
        if (strcmp(environment[i], name) == 0)
            return environment[i + 1];
    return NULL;
}

static void test_proxies(void **state)
{
    static const struct {
        const char *url;
        const char *env[7];
        const char *proxy;
    } rows[] = {
        {"ws://n.example", {NULL}, ""},
        {"ws://n.example", {"http_proxy", "http://p:3128/", NULL}, "p:3128"},
        {"wss://n.example", {"http_proxy", "http://p:3128", NULL}, ""},
        {"wss://n.example", {"https_proxy", "http://u:w@p:8080", NULL}, "u:w@p:8080"},
        {"wss://n.example", {"HTTPS_PROXY", "p", NULL}, "p:1080"},
        {"wss://n.example", {"all_proxy", "p:1", "https_proxy", "q:2", NULL}, "q:2"},
        {"ws://n.example", {"HTTP_PROXY", "p:1", NULL}, ""},
        {"ws://n.example", {"all_proxy", "socks5://p:1", NULL}, ""},
        {"ws://n.example", {"http_proxy", "p:1", "no_proxy", "*", NULL}, ""},
        {"ws://n.example", {"http_proxy", "p:1", "no_proxy", "a.b, .example", NULL}, ""},
        {"ws://n.example", {"http_proxy", "p:1", "no_proxy", "n.example", NULL}, ""},
        {"ws://n.example", {"http_proxy", "p:1", "no_proxy", "xample", NULL}, "p:1"},
        {"ws://n.example", {"http_proxy", "p:1", "NO_PROXY", "EXAMPLE", NULL}, ""},
        {"ws://[::1]:1", {"http_proxy", "p:1", "no_proxy", "[::1]", NULL}, ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct ws_url u;
        char proxy[600];
        assert_int_equal(ws_url_parse(rows[i].url, &u, NULL), 0);
        environment = rows[i].env;
        ws_url_proxy(&u, look_up, proxy, sizeof proxy);
        if (strcmp(proxy, rows[i].proxy) != 0)
            fail_msg("row %zu: \"%s\", not \"%s\"", i, proxy, rows[i].proxy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_proxies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
