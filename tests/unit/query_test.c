/* The parameters of a URL, as the WHATWG's URLSearchParams gives them: the first of a name counts.
 */
#include "base/mem.h"
#include "web/query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_values(void **state)
{
    static const struct {
        const char *query, *name, *value;
    } rows[] = {
        {"", "limit", NULL},
        {"limit=5", "limit", "5"},
        {"limit=", "limit", ""},
        {"limit", "limit", NULL},
        {"a=1&limit=7&limit=8", "limit", "7"},
        {"&&limit=7&", "limit", "7"},
        {"limits=7", "limit", NULL},
        {"xlimit=7", "limit", NULL},
        {"a=limit=7", "limit", NULL},
        {"limit=a=b", "limit", "a=b"},
        {"Limit=7", "limit", NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char room[16];
        const char *got = query_value(rows[i].query, rows[i].name, room, sizeof room);
        if (!rows[i].value != !got || (got && strcmp(got, rows[i].value) != 0))
            fail_msg("%s in \"%s\": %s", rows[i].name, rows[i].query, got ? got : "(none)");
    }
}

/* Longer than the caller has room for: cut, never written past its end. */
static void test_room(void **state)
{
    char room[4];
    (void)state;
    assert_string_equal(query_value("order=balance", "order", room, sizeof room), "bal");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
