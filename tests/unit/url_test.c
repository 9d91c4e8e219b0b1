/* What of a URL people may see: never what may be a key, however odd the URL. */
#include "base/mem.h"
#include "base/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void what_is_shown(void **state)
{
    static const struct {
        const char *url, *shown;
    } rows[] = {
        {"https://node.example", "https://node.example"},
        {"https://node.example/", "https://node.example"},
        {"https://node.example/v2/k3y", "https://node.example/…"},
        {"https://node.example?apikey=k3y", "https://node.example/…"},
        {"https://user:k3y@node.example:8545/", "https://node.example:8545"},
        {"wss://k3y@[::1]:8546", "wss://[::1]:8546"},
        {"postgres://me:k3y@a:5432,b:5433/db", "postgres://me@a:5432,b:5433/db"},
        {"postgres://app@db/main?password=k3y", "postgres://app@db/main…"},
        {"postgresql://k3y:k3y@k3y@db", "postgresql://k3y@db"},
        {"postgres:///main?host=/run", "postgres:///main…"},
        {"postgres://me:k3y@/main?host=/run", "postgres://me@/main…"},
        {"sqlite:/var/lib/trueup.db", "sqlite:/var/lib/trueup.db"},
        /* An @ in the user part, and one behind what ends the host for us. */
        {"https://me@k3y@node.example", "https://node.example"},
        {"postgres://me:k3y/k3y@h/db", "postgres://…"},
        {"postgres://me:1234/k3y@h/db", "postgres://…"},
        /* A port that is none may be the first half of a password. */
        {"postgres://me:k3y/x", "postgres://…"},
        {"postgres://me:k3y?x", "postgres://…"},
        {"https://node.example:k3y", "https://…"},
        {"https://[::1]:k3y/", "https://…"},
        {"postgres://a:5432,b:k3y/db", "postgres://…"},
        {"k3y", "(url)"},
        {"://k3y", "(url)"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char shown[URL_TEXT];
        url_masked(shown, rows[i].url);
        if (strcmp(shown, rows[i].shown) != 0)
            fail_msg("%s is shown as %s", rows[i].url, shown);
    }
}

static void the_host_alone(void **state)
{
    char host[64];
    (void)state;
    assert_true(url_host("https://me:k3y@node.example:8545/v2/k3y", host, sizeof host));
    assert_string_equal(host, "node.example");
    assert_true(url_host("ws://[::1]:8546", host, sizeof host));
    assert_string_equal(host, "[::1]");
    assert_false(url_host("postgres://me:k3y/x", host, sizeof host));
    assert_false(url_host("https://", host, sizeof host));
}

static void other_peoples_words_are_cleaned(void **state)
{
    static const char url[] = "https://me:pass123@node.example/v2/abcdefgh1234?t=5";
    static const struct {
        const char *text, *clean;
    } rows[] = {
        {"cannot ask https://me:pass123@node.example/v2/abcdefgh1234?t=5 now",
         "cannot ask https://node.example/… now"},
        {"key abcdefgh1234 is over its limit", "key … is over its limit"},
        {"login me:pass123 failed", "login *** failed"},
        {"password pass123", "password ***"},
        {"nothing of it", "nothing of it"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char clean[200];
        url_scrub(clean, sizeof clean, rows[i].text, url);
        assert_string_equal(clean, rows[i].clean);
    }
    char cut[20]; /* and no head of a key where the room ends */
    url_scrub(cut, sizeof cut, "a long word: abcdefgh1234", url);
    assert_null(strstr(cut, "abc"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_shown),
        cmocka_unit_test(the_host_alone),
        cmocka_unit_test(other_peoples_words_are_cleaned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
