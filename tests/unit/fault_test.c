/* What providers say, row by row from tests/vectors/provider_errors.txt, and how the phrase finder
 * behaves on hostile text. */
#include "eth/fault.h"
#include "eth/fault_phrase.h"
#include "vectors.h"

static int wrong;

static uint64_t number_after(const char *s)
{
    uint64_t v;
    size_t n = strspn(s, "0123456789");
    if (!parse_u64(s, n, &v))
        fail_msg("bad number in vectors: %s", s);
    return v;
}

static void expectation(const char *expects, struct fault_info *want)
{
    if (strncmp(expects, "limit=", 6) == 0)
        want->limit = number_after(expects + 6);
    else if (strncmp(expects, "retry=", 6) == 0)
        want->retry_after_ms = (int64_t)number_after(expects + 6);
    else if (strncmp(expects, "rate=", 5) == 0)
        want->per_second = number_after(expects + 5);
    else if (strncmp(expects, "window=", 7) == 0) {
        want->has_window = true;
        want->from = number_after(expects + 7);
        want->to = number_after(strchr(expects, '-') + 1);
    } else
        assert_string_equal(expects, "-");
}

static int64_t code_of(const char *s)
{
    return s[0] == '-' ? -(int64_t)number_after(s + 1) : (int64_t)number_after(s);
}

static void check_row(char *f[], int n)
{
    assert_int_equal(n, 7);
    enum fault_method method = strcmp(f[2], "logs") == 0   ? FAULT_GETLOGS
                               : strcmp(f[2], "call") == 0 ? FAULT_CALL
                                                           : FAULT_ANY;
    struct fault_info want = {.retry_after_ms = -1}, got;
    expectation(f[5], &want);
    fault_classify(method, (int)number_after(f[3]), code_of(f[4]), f[6], strlen(f[6]), &got);
    bool same = strcmp(got.rule, f[0]) == 0 && strcmp(fault_name(got.fault), f[1]) == 0 &&
                got.limit == want.limit && got.has_window == want.has_window &&
                got.from == want.from && got.to == want.to &&
                got.retry_after_ms == want.retry_after_ms && got.per_second == want.per_second;
    if (!same) {
        print_error("%s/%s %s http %s code %s \"%s\": got %s/%s limit %llu window %d %llu-%llu "
                    "retry %lld rate %llu\n",
                    f[0], f[1], f[2], f[3], f[4], f[6], got.rule, fault_name(got.fault),
                    (unsigned long long)got.limit, got.has_window, (unsigned long long)got.from,
                    (unsigned long long)got.to, (long long)got.retry_after_ms,
                    (unsigned long long)got.per_second);
        wrong++;
    }
}

static void every_known_text_hits_its_rule(void **state)
{
    (void)state;
    int rows = vector_rows("provider_errors.txt", check_row);
    assert_true(rows >= 221);
    assert_int_equal(wrong, 0);
}

static void only_the_given_length_is_read(void **state)
{
    (void)state;
    struct fault_info got;
    const char *text = "header not found";
    fault_classify(FAULT_CALL, 200, 0, text, strlen(text) - 1, &got);
    assert_string_equal(got.rule, "15");
    fault_classify(FAULT_CALL, 0, 0, NULL, 0, &got);
    assert_string_equal(got.rule, "15");
}

static void find(const char *text, const char *phrase, bool expected, struct phrase_hit *hit)
{
    if (phrase_find(text, strlen(text), phrase, hit) != expected)
        fail_msg("\"%s\" in \"%s\"", phrase, text);
}

static void phrases(void **state)
{
    (void)state;
    struct phrase_hit hit;
    find("a limit of 1,234,567 blocks", "limit of @", true, &hit);
    assert_int_equal(hit.number[0], 1234567);
    find("a limit of 12,34 blocks", "limit of @", true, &hit);
    assert_int_equal(hit.number[0], 12);
    find("a limit of 10k", "limit of @", true, &hit);
    assert_int_equal(hit.number[0], 10000);
    find("a limit of 10kb", "limit of @", true, &hit);
    assert_int_equal(hit.number[0], 10);
    find("limit of 99999999999999999999", "limit of @", true, &hit);
    assert_true(hit.number[0] == UINT64_MAX);
    find("limit of", "limit of @", false, &hit);
    find("limit of x 5", "limit of_@", false, &hit);
    find("limit of .....5", "limit of_@", false, &hit);
    find("limit of : 5", "limit of_@", true, &hit);
    find("aab", "ab", true, &hit); /* starts again inside a failed match */
    find("range is of 5, range of 7", "range{ is}{ of} @", true, &hit);
    assert_int_equal(hit.number[0], 5);
    find("[0xfffffffffffffffff, 0x1]", "[%,_%]", false, &hit);
    find("[0x, 0x1]", "[%,_%]", false, &hit);
    find("retry in 1h2m3s", "in ~", true, &hit);
    assert_int_equal(hit.duration_ms, 3723000);
    find("retry in 1.5s.", "in ~", true, &hit);
    assert_int_equal(hit.duration_ms, 1500);
    find("retry in 3 minutes", "in ~", true, &hit);
    assert_int_equal(hit.duration_ms, 180000);
    find("retry in 250ms", "in ~", true, &hit);
    assert_int_equal(hit.duration_ms, 250);
}

/* The longest text, made to be as bad as possible for each kind of mark, stays cheap. */
static void hostile_text_is_cheap(void **state)
{
    (void)state;
    static const char *const pieces[] = {"9", "9,999",    "try with",     "[0x1,",     "max ",
                                         " ", "range 9 ", "\"from\":0x1", "retry in 9"};
    char text[8192];
    for (size_t p = 0; p < COUNT_OF(pieces); p++) {
        for (size_t i = 0; i < sizeof text; i++)
            text[i] = pieces[p][i % strlen(pieces[p])];
        struct fault_info got;
        fault_classify(FAULT_GETLOGS, 200, -32000, text, sizeof text, &got);
        assert_int_not_equal(got.fault, FAULT_NONE);
    }
}

static void names(void **state)
{
    (void)state;
    for (int f = FAULT_NONE; f <= FAULT_UNKNOWN; f++)
        assert_true(strlen(fault_name((enum fault)f)) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_known_text_hits_its_rule),
        cmocka_unit_test(only_the_given_length_is_read),
        cmocka_unit_test(phrases),
        cmocka_unit_test(hostile_text_is_cheap),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
