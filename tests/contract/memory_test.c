/*
 * The store without memory: each allocation of a write and a read fails once, libpq's and SQLite's
 * own, too. The process ends with its last words, or has not minded; no statement runs without one
 * of its parameters, and nobody waits for an answer that had come and could not be kept.
 */
#include "../unit/short_of_memory.h"
#include "contract.h"

#include <string.h>

enum { VALUE = 4711, AT = 20, EVENT_AT = 19 };
enum { NOT_OPEN = 10, NOT_SET, NOT_APPLIED, NOT_READ, NOT_SO }; /* says in which call it broke */

static int write_and_read(struct contract *c, struct store *s, struct err *err)
{
    struct store_write w = EVENT(EVENT_AT);
    struct store_applied done;
    struct store_row row;
    const char *text = NULL;
    w.wallet = wallet_no(1);
    w.value = u256_of(VALUE);
    struct store_batch batch = {.balance = &c->balance,
                                .cause = CAUSE_EVENT,
                                .at = block_no(AT, 0),
                                .writes = &w,
                                .n_writes = 1};
    if (store_state_set(s, "a key", "a value", err) != 0)
        return NOT_SET;
    if (store_apply(s, &batch, &c->arena, &done, err) != 0)
        return NOT_APPLIED;
    if (store_rows(s, &c->balance, &w.wallet, 1, &row, err) != 0 ||
        store_state_get(s, "a key", &c->arena, &text, err) != 0)
        return NOT_READ;
    return row.found && u256_equal(&row.balance, &w.value) && row.has_observed &&
                   row.observed_block == AT && row.has_blocknumber && row.blocknumber == EVENT_AT &&
                   text && strcmp(text, "a value") == 0
               ? 0
               : NOT_SO;
}

static int in_a_session(void *ctx)
{
    struct contract *c = ctx;
    struct store *s = NULL;
    struct err err = {0};
    if (store_open(c->url, NULL, "trueup test", &s, &err) != 0)
        return NOT_OPEN;
    memory_counts();
    int rc = write_and_read(c, s, &err);
    memory_is_plenty();
    store_close(s);
    return rc;
}

static void each_allocation_of_a_write(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 10, AT, 0);
    store_close(c->store); /* SQLite's locks are nothing to share with a child */
    struct short_of_memory tried = each_allocation_fails("a write", in_a_session, c);
    c->store = another(c, "trueup test");
    assert_true(tried.allocations > 50);
    assert_true(has_row(c, 1));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_allocation_of_a_write, fresh, gone),
    };
    return contract_main(argc, argv, "memory", tests, 1);
}
