/* Which blocks a look asks about, over time; which logs are late; what a bloom is worth. */
#include "track/sync/bloom.h"
#include "track/sync/look_span.h"
#include "vectors.h"

enum { WIDTH = 2000 };

struct moment { /* a look */
    int64_t at_ms;
    uint64_t head;
    bool due;
    uint64_t from; /* to the head */
    const char *why;
};

static void play(struct look_span *s, const struct moment *moments, size_t n, int64_t overlap_ms)
{
    for (size_t i = 0; i < n; i++) {
        const struct moment *m = &moments[i];
        uint64_t from = 0;
        look_span_on_head(s, m->head, m->at_ms);
        bool due = look_span_next(s, WIDTH, m->at_ms, &from);
        if (due != m->due || (due && from != m->from))
            fail_msg("look %zu (%s): %d from %llu", i, m->why, due, (unsigned long long)from);
        if (due)
            look_span_on_answer(s, from, m->head, m->at_ms, overlap_ms);
    }
}

static void slow_blocks_are_asked_about_three_times(void **state)
{
    (void)state;
    static struct look_span s;
    look_span_begin(&s, 99);
    s.wide_ms = 100000; /* a wide look was just taken */
    static const struct moment moments[] = {
        {100000, 100, true, 100, "the first look"},
        {102000, 100, true, 100, "not yet five seconds"},
        {105000, 100, true, 100, "five seconds after it was first seen"},
        {106000, 100, false, 0, "no block is due"},
        {112000, 101, true, 101, "two samples are no three"},
        {114000, 102, true, 100, "never later than the sample before the last"},
        {118000, 103, true, 100, "a wide look: all of the last minute"},
        {119000, 103, true, 102, "102 was asked four seconds after it was first seen"},
    };
    play(&s, moments, sizeof moments / sizeof moments[0], LOOK_OVERLAP_MS);
}

static void fast_blocks_are_asked_about_for_the_overlap(void **state)
{
    (void)state;
    static struct look_span s;
    look_span_begin(&s, 1000);
    s.wide_ms = 50000;
    static const struct moment moments[] = {
        {50000, 1008, true, 1001, "eight blocks in two seconds"},
        {52000, 1016, true, 1001, "none is five seconds old"},
        {54000, 1024, true, 1001, "still none"},
        {56000, 1032, true, 1001, "the first eight are, and this is their last question"},
        {58000, 1040, true, 1009, "so it goes on"},
        {60000, 1048, true, 1017, "and on"},
        {65000, 1048, true, 1001, "a wide look"},
        {66000, 1048, false, 0, "all of it was asked late enough"},
    };
    play(&s, moments, sizeof moments / sizeof moments[0], LOOK_OVERLAP_MS);
    uint64_t from;
    look_span_on_head(&s, 1056, 80000);
    assert_true(look_span_next(&s, WIDTH, 80000, &from) && from == 1001);
    assert_true(look_span_next(&s, 20, 80000, &from));
    assert_int_equal(from, 1036); /* one range long, but never without what is due */
}

static void what_is_learnt_doubles_up_to_a_minute(void **state)
{
    (void)state;
    assert_int_equal(look_span_grow_overlap(LOOK_OVERLAP_MS), 10000);
    assert_int_equal(look_span_grow_overlap(40000), 60000);
    assert_int_equal(look_span_grow_overlap(60000), 60000);
}

static void logs_that_were_not_there_before_are_late(void **state)
{
    (void)state;
    static struct look_span s;
    struct event_log logs[] = {{.block = 101}, {.block = 102}, {.block = 102}, {.block = 1000000}};
    look_span_begin(&s, 100);
    look_span_on_head(&s, 102, 0);
    assert_int_equal(look_span_count_late(&s, 101, 102, logs, 2), 0); /* the first question */
    look_span_on_answer(&s, 101, 102, 0, LOOK_OVERLAP_MS);
    assert_int_equal(look_span_count_late(&s, 101, 102, logs, 2), 0); /* nothing new */
    assert_int_equal(look_span_count_late(&s, 101, 102, logs, 4), 1); /* one more in 102 */
    assert_int_equal(look_span_count_late(&s, 101, 102, logs, 1), 0); /* fewer: a backend lags */
    assert_int_equal(look_span_count_late(&s, 101, 102, logs, 3), 0); /* counted before */
    look_span_rewind(&s, 102);
    look_span_on_head(&s, 102, 0);
    assert_int_equal(look_span_count_late(&s, 101, 102, logs, 3), 0); /* another branch */
}

static void a_count_that_changes_is_doubted(void **state)
{
    (void)state;
    static struct look_span s;
    struct anchor at;
    struct event_log logs[] = {{.block = 101, .block_hash = {{1}}},
                               {.block = 102, .block_hash = {{2}}},
                               {.block = 102, .block_hash = {{2}}},
                               {.block = 103, .block_hash = {{3}}}};
    look_span_begin(&s, 100);
    look_span_on_head(&s, 102, 0);
    assert_false(look_span_find_changed(&s, 101, 102, logs, 2, &at)); /* the first question */
    look_span_count_late(&s, 101, 102, logs, 2);
    look_span_on_answer(&s, 101, 102, 0, LOOK_OVERLAP_MS);
    look_span_on_head(&s, 103, 1000);
    assert_false(look_span_find_changed(&s, 101, 103, logs, 2, &at));
    assert_true(look_span_find_changed(&s, 101, 103, logs, 4, &at)); /* one more in 102 */
    assert_int_equal(at.number, 102);
    assert_int_equal(at.hash.b[0], 2);
    assert_true(look_span_find_changed(&s, 101, 103, logs + 1, 1, &at)); /* none in 101 */
    assert_int_equal(at.number, 101);
    assert_int_equal(at.hash.b[0], 1);
    assert_false(look_span_find_changed(&s, 102, 103, logs + 1, 1, &at)); /* 101 is not asked */
    logs[0].block_hash = (hash32){{0}}; /* a node that gives no hash: nothing to ask for */
    look_span_count_late(&s, 101, 102, logs, 1);
    assert_false(look_span_find_changed(&s, 101, 103, logs + 1, 1, &at));
    look_span_rewind(&s, 101);
    assert_false(look_span_find_changed(&s, 101, 103, logs, 4, &at)); /* another branch */
}

static void a_rewind_asks_again(void **state)
{
    (void)state;
    static struct look_span s;
    uint64_t from;
    look_span_begin(&s, 100);
    look_span_on_head(&s, 110, 0);
    look_span_on_answer(&s, 101, 110, 9000, LOOK_OVERLAP_MS);
    s.wide_ms = 9000;
    assert_false(look_span_next(&s, WIDTH, 9000, &from));
    look_span_rewind(&s, 105);
    look_span_on_head(&s, 108, 9000);
    assert_true(look_span_next(&s, WIDTH, 9000, &from) && from == 105);
}

/* A bloom that holds everything, or nothing. */
static struct header header_of(uint64_t number, int byte)
{
    struct header h = {.at = {.number = number}, .has_bloom = true};
    h.at.hash.b[0] = (uint8_t)number;
    memset(h.logs.b, byte, sizeof h.logs.b);
    return h;
}

static void blooms_prove_themselves_once(void **state)
{
    (void)state;
    struct bloom_trust b = {0};
    struct header h = header_of(1, 0xff);
    for (uint64_t i = 1; i <= BLOOM_ENOUGH; i++) {
        struct event_log log = {.n_topics = 1, .block = i, .block_hash = header_of(i, 0).at.hash};
        h = header_of(i, 0xff);
        assert_int_equal(b.state, BLOOM_LEARNING);
        bloom_on_log(&b, &h, &log);
        bloom_on_log(&b, &h, &log); /* a block counts once */
    }
    assert_int_equal(b.state, BLOOM_PROVEN);
    assert_true(bloom_take_news(&b) && !bloom_take_news(&b));
    struct event_log log = {.n_topics = 1, .block = 9, .block_hash = h.at.hash};
    h = header_of(9, 0);
    bloom_on_log(&b, &h, &log);
    assert_int_equal(b.state, BLOOM_PROVEN); /* of another branch: it says nothing */
    log.block_hash = h.at.hash;
    bloom_on_log(&b, &h, &log);
    assert_int_equal(b.state, BLOOM_REFUTED);
    assert_true(bloom_take_news(&b));
    for (uint64_t i = 20; i < 40; i++) {
        h = header_of(i, 0xff);
        log.block = i;
        log.block_hash = h.at.hash;
        bloom_on_log(&b, &h, &log);
    }
    assert_int_equal(b.state, BLOOM_REFUTED); /* for good */
    assert_int_equal(b.block, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slow_blocks_are_asked_about_three_times),
        cmocka_unit_test(fast_blocks_are_asked_about_for_the_overlap),
        cmocka_unit_test(what_is_learnt_doubles_up_to_a_minute),
        cmocka_unit_test(logs_that_were_not_there_before_are_late),
        cmocka_unit_test(a_count_that_changes_is_doubted),
        cmocka_unit_test(a_rewind_asks_again),
        cmocka_unit_test(blooms_prove_themselves_once),
    };
    return cmocka_run_group_tests_name("look_span", tests, NULL, NULL);
}
