/* The range controller against a scripted provider's limits: it must cover every block, exactly
 * once, in few refusals, and never go above a ceiling it was told. */
#include "track/sync/range.h"
#include "vectors.h"

static struct fault_info fault_of(enum fault f)
{
    return (struct fault_info){.fault = f, .rule = "", .retry_after_ms = -1};
}

/* ---- a provider ------------------------------------------------------------------------------ */

struct limits {
    uint64_t blocks; /* at most so many in one answer; 0: any number */
    bool names_it;   /* the refusal says the number */
    uint64_t logs;   /* at most so many in one answer; 0: any number */
    uint64_t logs_a_block;
};

/* Blocks [from, to]: the logs, or −1 with the refusal. */
static int64_t ask(const struct limits *l, uint64_t from, uint64_t to, struct fault_info *ret)
{
    uint64_t blocks = to - from + 1;
    if (l->blocks && blocks > l->blocks) {
        *ret = fault_of(FAULT_RANGE);
        ret->limit = l->names_it ? l->blocks - 1 : 0;
        return -1;
    }
    if (l->logs && blocks * l->logs_a_block > l->logs) {
        *ret = fault_of(FAULT_DENSITY);
        return -1;
    }
    return (int64_t)(blocks * l->logs_a_block);
}

struct outcome {
    unsigned requests, refusals;
    uint64_t widest;
};

static struct outcome sync_next_blocks(struct range *r, const struct limits *l, uint64_t from,
                                       uint64_t head)
{
    struct outcome o = {0};
    while (from <= head) {
        uint64_t to = head - from > r->width ? from + r->width : head;
        struct fault_info f;
        int64_t logs = ask(l, from, to, &f);
        o.requests++;
        assert_in_range(o.requests, 1, 200000);
        if (logs >= 0) {
            range_on_answer(r, to - from, (size_t)logs);
            o.widest = to - from > o.widest ? to - from : o.widest;
            from = to + 1;
            continue;
        }
        o.refusals++;
        assert_int_equal(range_on_fault(r, to - from, &f), RANGE_AGAIN);
    }
    return o;
}

static void a_named_ceiling_is_learnt_at_once(void **state)
{
    (void)state;
    const uint64_t caps[] = {2, 10, 100, 500, 1000, 1999, 2000, 3000, 10000};
    for (size_t i = 0; i < sizeof caps / sizeof caps[0]; i++) {
        struct limits l = {.blocks = caps[i], .names_it = true};
        struct range r;
        range_init(&r);
        struct outcome o =
            sync_next_blocks(&r, &l, 0, 200000 < caps[i] * 100 ? 200000 : caps[i] * 100);
        assert_in_range(o.refusals, 0, 1);
        assert_int_equal(r.ceiling, caps[i] - 1);
        assert_int_equal(o.widest, caps[i] - 1);
    }
}

static void an_unnamed_ceiling_is_searched_once(void **state)
{
    (void)state;
    const uint64_t caps[] = {1, 2, 3, 7, 100, 1000, 2000, 5000, 10000};
    for (size_t i = 0; i < sizeof caps / sizeof caps[0]; i++) {
        struct limits l = {.blocks = caps[i]};
        struct range r;
        range_init(&r);
        uint64_t head = caps[i] * 200;
        struct outcome o = sync_next_blocks(&r, &l, 0, head);
        print_message("# cap %llu: %u requests, %u refused, widest %llu\n",
                      (unsigned long long)caps[i], o.requests, o.refusals,
                      (unsigned long long)o.widest + 1);
        assert_in_range(o.refusals, 0, 20);
        assert_in_range(o.requests, 1, 200 * 5 / 4 + 40); /* near what is possible */
        struct outcome again = sync_next_blocks(&r, &l, head + 1, head * 2);
        assert_in_range(again.refusals, 0, 1);
    }
}

/* Dense and thin stretches: the width shrinks at once, and grows back. */
static void density_is_not_a_ceiling(void **state)
{
    (void)state;
    struct limits dense = {.logs = 10000, .logs_a_block = 3000}, thin = {.logs = 10000};
    struct range r;
    range_init(&r);
    struct outcome o = sync_next_blocks(&r, &dense, 0, 999);
    assert_in_range(o.refusals, 1, 15);
    assert_in_range(o.widest, 0, 2);
    assert_int_equal(r.ceiling, RANGE_MOST);
    o = sync_next_blocks(&r, &thin, 1000, 1000 + 3000000);
    assert_int_equal(o.refusals, 0);
    assert_in_range(o.requests, 1, 40);
    assert_true(o.widest > 500000);
}

/* More logs in one block than the provider gives: no width helps, so the caller is told. */
static void one_block_is_the_floor(void **state)
{
    (void)state;
    const enum fault faults[] = {FAULT_DENSITY, FAULT_RANGE, FAULT_GARBLED, FAULT_WINDOW};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct range r;
        struct fault_info f = fault_of(faults[i]);
        range_init(&r);
        unsigned n = 0;
        while (range_on_fault(&r, r.width, &f) == RANGE_AGAIN)
            assert_in_range(++n, 1, 12);
        assert_int_equal(r.width, 0);
        assert_int_equal(range_on_fault(&r, 0, &f), RANGE_GIVE_UP);
        range_on_answer(&r, 0, 1);
        assert_true(r.width > 0); /* and it grows again, whatever it was */
    }
}

static void a_suggested_window_gives_its_width_only(void **state)
{
    (void)state;
    struct range r;
    struct fault_info f = fault_of(FAULT_WINDOW);
    f.has_window = true, f.from = 7, f.to = 106; /* elsewhere, but 100 blocks */
    range_init(&r);
    assert_int_equal(range_on_fault(&r, r.width, &f), RANGE_AGAIN);
    assert_int_equal(r.width, 99);
    assert_int_equal(r.ceiling, RANGE_MOST);
    f.from = 106, f.to = 7; /* inverted, as one provider does: just half */
    assert_int_equal(range_on_fault(&r, 99, &f), RANGE_AGAIN);
    assert_int_equal(r.width, 49);
    f.from = 0, f.to = 5000; /* wider than what was refused */
    assert_int_equal(range_on_fault(&r, 49, &f), RANGE_AGAIN);
    assert_int_equal(r.width, 24);
}

/* What is no matter of width leaves the width alone. */
static void a_rate_limit_does_not_shrink(void **state)
{
    (void)state;
    const enum fault waits[] = {FAULT_RATE, FAULT_BEHIND, FAULT_DOWN};
    const enum fault ends[] = {FAULT_NONE,   FAULT_BILLING,       FAULT_FILTER,
                               FAULT_PRUNED, FAULT_BATCH,         FAULT_REVERT,
                               FAULT_GAS,    FAULT_NOT_CANONICAL, FAULT_UNSUPPORTED};
    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
        struct range r;
        struct fault_info f = fault_of(waits[i]);
        range_init(&r);
        assert_int_equal(range_on_fault(&r, 1999, &f), RANGE_WAIT);
        assert_int_equal(r.width, RANGE_FIRST);
        unsigned n = 1;
        while (range_on_fault(&r, 1999, &f) == RANGE_WAIT)
            assert_in_range(++n, 1, 50); /* not for ever without a word */
        range_on_answer(&r, 1999, 0);
        assert_int_equal(range_on_fault(&r, 1999, &f), RANGE_WAIT);
    }
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        struct range r;
        struct fault_info f = fault_of(ends[i]);
        range_init(&r);
        assert_int_equal(range_on_fault(&r, 1999, &f), RANGE_GIVE_UP);
        assert_int_equal(r.width, RANGE_FIRST);
    }
}

static void slowness_shrinks_and_waits(void **state)
{
    (void)state;
    const enum fault faults[] = {FAULT_TIME, FAULT_INVALID, FAULT_UNKNOWN};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct range r;
        struct fault_info f = fault_of(faults[i]);
        range_init(&r);
        unsigned n = 0;
        while (range_on_fault(&r, r.width, &f) == RANGE_WAIT)
            assert_in_range(++n, 1, 50);
        assert_int_equal(r.width, 0); /* it gives up at one block only */
    }
}

static void a_short_last_window_says_nothing(void **state)
{
    (void)state;
    struct range r;
    range_init(&r);
    range_on_answer(&r, 3, 0);
    assert_int_equal(r.width, RANGE_FIRST);
    range_on_answer(&r, RANGE_FIRST, 9000); /* near where answers are cut */
    assert_int_equal(r.width, RANGE_FIRST / 2);
    range_on_answer(&r, r.width, 5000); /* neither thin nor dense */
    assert_int_equal(r.width, RANGE_FIRST / 2);
}

static void it_never_goes_above_any_ceiling(void **state)
{
    (void)state;
    struct range r;
    range_init(&r);
    for (int i = 0; i < 100; i++) {
        range_on_answer(&r, r.width, 0);
        assert_in_range(r.width, 0, RANGE_MOST);
    }
    assert_int_equal(r.width, RANGE_MOST);
    struct fault_info f = fault_of(FAULT_RANGE);
    f.limit = 99;
    range_on_fault(&r, r.width, &f);
    f.limit = 499; /* said later, wider: the narrower stands */
    range_on_fault(&r, 500, &f);
    for (int i = 0; i < 100; i++)
        range_on_answer(&r, r.width, 0);
    assert_int_equal(r.width, 99);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_named_ceiling_is_learnt_at_once),
        cmocka_unit_test(an_unnamed_ceiling_is_searched_once),
        cmocka_unit_test(density_is_not_a_ceiling),
        cmocka_unit_test(one_block_is_the_floor),
        cmocka_unit_test(a_suggested_window_gives_its_width_only),
        cmocka_unit_test(a_rate_limit_does_not_shrink),
        cmocka_unit_test(slowness_shrinks_and_waits),
        cmocka_unit_test(a_short_last_window_says_nothing),
        cmocka_unit_test(it_never_goes_above_any_ceiling),
    };
    return cmocka_run_group_tests_name("range", tests, NULL, NULL);
}
