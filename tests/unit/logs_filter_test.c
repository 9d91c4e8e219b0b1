/* What is left of an answer of eth_getLogs, and what is counted. */
#include "base/mem.h"
#include "proc/counters.h"
#include "rpc/logs_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { FROM = 10, TO = 20 };

static const address ours = {{0xaa}}, foreign = {{0xbb}};
static const hash32 topic = {{0x01}}, other_topic = {{0x02}}, block = {{0x0b}}, sibling = {{0x0c}};
static const struct log_filter filter = {.contracts = &ours, 1, .topics = &topic, 1};

static struct event_log log_of(uint64_t number, uint64_t index, uint8_t wallet)
{
    struct event_log log = {.contract = ours,
                            .topics = {topic, {{wallet}}},
                            .n_topics = 2,
                            .block = number,
                            .block_hash = block,
                            .index = index};
    return log;
}

static uint64_t counted(enum logs_ignored why)
{
    return counters_sum((enum cell)(CELL_LOGS_IGNORED + (int)why));
}

static void ask_range(struct event_log *list, size_t n, struct logs *ret)
{
    struct logs_question q = {&filter, FROM, TO, NULL};
    *ret = (struct logs){.list = list, .n = n, .to.at = {.number = TO, .hash = block}};
    logs_filter_answer(&q, ret);
}

static void good_logs_stay(void **state)
{
    (void)state;
    struct event_log list[] = {log_of(10, 0, 1), log_of(12, 3, 2), log_of(11, 1, 3)};
    struct logs l;
    ask_range(list, COUNT_OF(list), &l);
    assert_int_equal(l.n, 3);
    assert_int_equal(l.list[1].block, 11);
    assert_false(l.list[0].unplaced || l.list[1].unplaced || l.list[2].unplaced);
}

/* Some nodes count from 0 in each transaction, others give every log the same index. */
static void an_index_identifies_nothing(void **state)
{
    (void)state;
    struct event_log list[] = {log_of(10, 0, 1), log_of(10, 0, 2), log_of(10, 0, 3),
                               log_of(10, 0, 1)};
    struct logs l;
    uint64_t before = counted(LOGS_DUPLICATE);
    ask_range(list, COUNT_OF(list), &l);
    assert_int_equal(l.n, 3);
    assert_int_equal(counted(LOGS_DUPLICATE) - before, 1);
}

static void what_was_not_asked_for(void **state)
{
    (void)state;
    struct event_log list[] = {log_of(10, 0, 1), log_of(10, 1, 2), log_of(10, 2, 3),
                               log_of(10, 3, 4), log_of(10, 4, 5), {.unreadable = true}};
    uint64_t strange = counted(LOGS_FOREIGN), removed = counted(LOGS_REMOVED),
             unreadable = counted(LOGS_UNREADABLE);
    struct logs l;
    list[1].contract = foreign;
    list[2].topics[0] = other_topic;
    list[3].n_topics = 0;
    list[4].removed = true;
    ask_range(list, COUNT_OF(list), &l);
    assert_int_equal(l.n, 1);
    assert_int_equal(l.list[0].topics[1].b[0], 1);
    assert_int_equal(counted(LOGS_FOREIGN) - strange, 3);
    assert_int_equal(counted(LOGS_REMOVED) - removed, 1);
    assert_int_equal(counted(LOGS_UNREADABLE) - unreadable, 1);
}

static void a_block_of_no_use_names_its_wallets(void **state)
{
    (void)state;
    struct event_log list[] = {log_of(1000000000000, 0, 1), log_of(9, 0, 2), log_of(0, 0, 3),
                               log_of(20, 0, 4)};
    uint64_t outside = counted(LOGS_OUTSIDE_RANGE), none = counted(LOGS_NO_BLOCK);
    struct logs l;
    list[2].no_block = true;
    list[3].no_hash = true;
    list[3].block_hash = (hash32){{0}};
    ask_range(list, COUNT_OF(list), &l);
    assert_int_equal(l.n, 4);
    for (size_t i = 0; i < l.n; i++) {
        assert_int_equal(l.list[i].block, TO); /* never above what was asked for */
        assert_int_equal(l.list[i].unplaced, l.list[i].topics[1].b[0] != 4);
        assert_false(l.list[i].no_hash);
    }
    assert_int_equal(counted(LOGS_OUTSIDE_RANGE) - outside, 2);
    assert_int_equal(counted(LOGS_NO_BLOCK) - none, 2);
}

static void one_block_by_hash(void **state)
{
    (void)state;
    struct event_log list[] = {log_of(15, 0, 1), log_of(15, 1, 2), log_of(15, 2, 3)};
    struct logs_question q = {&filter, 15, 15, &block};
    struct logs l = {.list = list, .n = COUNT_OF(list)};
    uint64_t before = counted(LOGS_OTHER_BLOCK);
    list[0].block_hash = sibling;
    list[1].no_hash = list[1].no_block = true; /* the question says which */
    logs_filter_answer(&q, &l);
    assert_int_equal(l.n, 2);
    assert_int_equal(l.other_block, 1);
    assert_int_equal(counted(LOGS_OTHER_BLOCK) - before, 1);
    for (size_t i = 0; i < l.n; i++)
        assert_true(l.list[i].block == 15 && !l.list[i].unplaced &&
                    hash_equal(&l.list[i].block_hash, &block));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_logs_stay),
        cmocka_unit_test(an_index_identifies_nothing),
        cmocka_unit_test(what_was_not_asked_for),
        cmocka_unit_test(a_block_of_no_use_names_its_wallets),
        cmocka_unit_test(one_block_by_hash),
    };
    return cmocka_run_group_tests_name("logs_filter", tests, NULL, NULL);
}
