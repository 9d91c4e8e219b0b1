/* When a depth stands in for the tag: by time, not by blocks. */
#include "track/sync/finality.c"
#include "vectors.h"

enum { MINUTE = 60 * 1000, HOUR = 60 * MINUTE };

struct answer {
    int64_t at_ms;
    enum finality_tag tag;
    bool stands_in;
    const char *why;
};

static void play(struct finality f, const struct answer *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (finality_on_tag(&f, rows[i].tag, rows[i].at_ms) != rows[i].stands_in)
            fail_msg("row %zu: %s", i, rows[i].why);
}

#define PLAY(f, rows) play(f, rows, sizeof rows / sizeof rows[0])

static void a_tag_that_is_old(void **state)
{
    (void)state;
    static const struct answer rows[] = {
        {1000, FINALITY_TAG_GOOD, false, "it follows the head"},
        {2000, FINALITY_TAG_OLD, false, "the chain halted for hours: the tag is about to follow"},
        {1000 + HOUR, FINALITY_TAG_OLD, false, "not yet two hours"},
        {2000 + HOUR, FINALITY_TAG_FAILED, false, "one failure says nothing"},
        {1999 + 2 * HOUR, FINALITY_TAG_OLD, false, "not yet two hours"},
        {2000 + 2 * HOUR, FINALITY_TAG_OLD, true, "two hours"},
        {2001 + 2 * HOUR, FINALITY_TAG_FAILED, true, "nothing good came"},
        {2002 + 2 * HOUR, FINALITY_TAG_GOOD, false, "the first good one ends it"},
        {2003 + 2 * HOUR, FINALITY_TAG_OLD, false, "two hours anew"},
    };
    PLAY((struct finality){.known = true}, rows);
}

static void a_tag_that_fails(void **state)
{
    (void)state;
    static const struct answer rows[] = {
        {1000, FINALITY_TAG_FAILED, false, "one"},
        {2000, FINALITY_TAG_FAILED, false, "two"},
        {3000, FINALITY_TAG_FAILED, false, "three"},
        {4000, FINALITY_TAG_FAILED, false, "four"},
        {5000, FINALITY_TAG_FAILED, false, "five, within seconds"},
        {1000 + 2 * MINUTE, FINALITY_TAG_FAILED, true, "two minutes"},
        {2000 + 2 * MINUTE, FINALITY_TAG_GOOD, false, "the first good one ends it"},
        {3000 + 2 * MINUTE, FINALITY_TAG_FAILED, false, "one"},
        {4000 + 4 * MINUTE, FINALITY_TAG_FAILED, false, "two, minutes apart"},
    };
    PLAY((struct finality){.known = true}, rows);
    static const struct answer first_start[] = {
        {1000, FINALITY_TAG_FAILED, false, "one"},
        {1001, FINALITY_TAG_FAILED, false, "two"},
        {1002, FINALITY_TAG_FAILED, false, "three"},
        {1003, FINALITY_TAG_FAILED, false, "four"},
        {1004, FINALITY_TAG_FAILED, true, "no block is final meanwhile, so five are enough"},
    };
    PLAY((struct finality){0}, first_start);
}

static void neither_lowers_what_was_final(void **state)
{
    (void)state;
    struct finality f = {0};
    finality_raise(&f, &(struct anchor){.number = 10});
    assert_true(f.known);
    finality_raise(&f, &(struct anchor){.number = 9});
    assert_int_equal(f.at.number, 10);
    finality_raise(&f, &(struct anchor){.number = 11});
    assert_int_equal(f.at.number, 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tag_that_is_old),
        cmocka_unit_test(a_tag_that_fails),
        cmocka_unit_test(neither_lowers_what_was_final),
    };
    return cmocka_run_group_tests_name("finality", tests, NULL, NULL);
}
