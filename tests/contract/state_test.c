/* Headers, reorgs, quarantine, the list, dirty marks, small state. */
#include "contract.h"

#include <stdlib.h>
#include <string.h>

static struct store_applied apply_failures(struct contract *c, uint64_t at,
                                           struct store_failure *failures, size_t n)
{
    struct store_applied done;
    struct store_batch batch = {
        .balance = &c->balance, .at = block_no(at, 0), .failures = failures, .n_failures = n};
    ok(c, store_apply(c->store, &batch, &c->arena, &done, &c->err));
    return done;
}

static void fail_one(struct contract *c, unsigned wallet, uint64_t at, bool has_event,
                     uint64_t event_block)
{
    struct store_failure f = {.wallet = wallet_no(wallet),
                              .reason = "held: reverted",
                              .has_event = has_event,
                              .event_block = event_block};
    assert_int_equal(apply_failures(c, at, &f, 1).quarantined, 1);
}

/* ---- headers --------------------------------------------------------------------------------- */

static void headers_come_back_whole_and_newest_first(void **state)
{
    struct contract *c = *state;
    struct anchor at, *list, want = block_no(20, 0);
    size_t n;
    bool found;
    put_blocks(c, 10, 30, 0);
    ok(c, store_header_at(c->store, 20, &at, &found, &c->err));
    assert_true(found);
    assert_memory_equal(&at, &want, sizeof want);
    ok(c, store_header_at(c->store, 31, &at, &found, &c->err));
    assert_false(found);
    ok(c, store_header_at(c->store, 9, &at, &found, &c->err));
    assert_false(found);
    ok(c, store_headers_below(c->store,
                              &(struct store_page){.up_to = 25, .limit = 3, .arena = &c->arena},
                              &list, &n, &c->err));
    assert_int_equal(n, 3);
    assert_int_equal(list[0].number, 25);
    assert_int_equal(list[2].number, 23);
    ok(c, store_headers_below(
              c->store, &(struct store_page){.up_to = UINT64_MAX, .limit = 100, .arena = &c->arena},
              &list, &n, &c->err));
    assert_int_equal(n, 21);
}

static void another_header_takes_the_place(void **state)
{
    struct contract *c = *state;
    struct anchor at, old = block_no(20, 0), new = block_no(20, 1);
    bool found;
    put_blocks(c, 10, 20, 0);
    ok(c, store_headers_put(c->store, &new, 1, &c->err));
    ok(c, store_header_at(c->store, 20, &at, &found, &c->err));
    assert_true(found);
    assert_memory_equal(&at, &new, sizeof new);
    assert_string_equal(app_value(c, "SELECT count(*) FROM trueup_blocks WHERE number = 20"), "2");
    ok(c, store_headers_put(c->store, &old, 1, &c->err)); /* and back */
    ok(c, store_header_at(c->store, 20, &at, &found, &c->err));
    assert_true(found);
    assert_memory_equal(&at, &old, sizeof old);
}

static void prune_keeps_the_newest_and_the_young(void **state)
{
    struct contract *c = *state;
    struct anchor other = block_no(15, 1), young = block_no(14, 0);
    put_blocks(c, 10, 15, 0);
    ok(c, store_headers_put(c->store, &other, 1, &c->err));
    put_blocks(c, 30, 32, 0);
    struct store_prune prune = {.below = 31, .keep = 3, .before = young.timestamp};
    ok(c, store_headers_prune(c->store, &prune, &c->err));
    assert_string_equal(app_value(c, "SELECT count(*) FROM trueup_blocks"),
                        "6"); /* 14, both at 15, and 30 to 32 */
    prune.before = UINT32_MAX;
    ok(c, store_headers_prune(c->store, &prune, &c->err));
    /* 15 is the third at or below 31; the dropped block at its number stays with it */
    assert_string_equal(app_value(c, "SELECT count(*) FROM trueup_blocks"), "5");
    prune.keep = 2;
    ok(c, store_headers_prune(c->store, &prune, &c->err));
    assert_string_equal(app_value(c, "SELECT count(*) FROM trueup_blocks"), "3");
    prune.keep = 100;
    ok(c, store_headers_prune(c->store, &prune, &c->err));
    assert_string_equal(app_value(c, "SELECT count(*) FROM trueup_blocks"), "3");
}

static void rewind_makes_rows_unanchored_and_due(void **state)
{
    struct contract *c = *state;
    struct anchor at;
    bool found;
    uint64_t rows = 0;
    put_blocks(c, 1, 100, 0);
    write_one(c, 1, 5, 50, EVENT(50), CAUSE_EVENT);
    write_one(c, 2, 6, 60, EVENT(60), CAUSE_EVENT);
    write_one(c, 3, 7, 61, SWEEP, CAUSE_SWEEP);
    ok(c, store_rewind(c->store, &c->balance, 1, 60, &rows, &c->err));
    assert_int_equal(rows, 2);
    assert_true(row_of(c, 1).has_observed);
    assert_false(row_of(c, 2).has_observed);
    assert_false(row_of(c, 3).has_observed);
    assert_int_equal(row_of(c, 2).balance.limb[0], 6); /* the value stays until it is read again */
    assert_int_equal(row_of(c, 2).blocknumber, 60);    /* and this is never lowered */
    ok(c, store_header_at(c->store, 60, &at, &found, &c->err));
    assert_false(found);
    ok(c, store_header_at(c->store, 59, &at, &found, &c->err));
    assert_true(found);

    struct store_cursor cursor = {0};
    struct store_pick pick = {.want = 2, .max_observed = 59, .cursor = &cursor, .arena = &c->arena};
    struct store_stale *stale;
    size_t n;
    ok(c, store_claim_stale(c->store, &c->balance, &pick, &stale, &n, &c->err));
    assert_int_equal(n, 2); /* before wallet 1, though that one is older */
    assert_true(stale[0].unanchored && stale[1].unanchored);
    /* a lower block is no hindrance: the proof is gone */
    assert_int_equal(write_one(c, 2, 9, 55, SWEEP, CAUSE_REORG).outcome, OUTCOME_CHANGED);
    assert_int_equal(row_of(c, 2).observed_block, 55);
}

/* ---- quarantine ------------------------------------------------------------------------------ */

static void quarantine_backs_off(void **state)
{
    struct contract *c = *state;
    const char *waited = on_postgres
                             ? "SELECT extract(epoch FROM retry_at - (now() AT TIME ZONE "
                               "'UTC'))::bigint FROM trueup_quarantine"
                             : "SELECT CAST((julianday(retry_at) - julianday('now')) * 86400 AS "
                               "INTEGER) FROM trueup_quarantine";
    put_blocks(c, 1, 100, 0);
    write_one(c, 1, 5, 50, EVENT(50), CAUSE_EVENT);
    struct store_row before = row_of(c, 1);
    long last = 0;
    for (int i = 0; i < 14; i++) {
        fail_one(c, 1, 51, false, 0);
        long now = strtol(app_value(c, "%s", waited), NULL, 10);
        long base = 60L << (i < 11 ? i : 11);
        base = base > 86400 ? 86400 : base;
        assert_in_range(now, base - 5, base + base / 4 + 5);
        assert_true(now > last || base == 86400);
        last = now;
    }
    struct store_row after = row_of(c, 1);
    assert_true(after.waiting);
    after.waiting = false;
    assert_memory_equal(&before, &after, sizeof after); /* a failure writes no value */
    assert_string_equal(app_value(c, "SELECT failures FROM trueup_quarantine"), "14");
    assert_string_equal(app_value(c, "SELECT reason FROM trueup_quarantine"), "held: reverted");
}

static void quarantine_pays_its_event_when_read_at_last(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 1, 100, 0);
    write_one(c, 1, 5, 40, EVENT(40), CAUSE_EVENT);
    fail_one(c, 1, 60, true, 55);
    fail_one(c, 1, 61, false, 0); /* a failure without an event does not forget it */
    fail_one(c, 1, 61, true, 50); /* nor does an older one */
    assert_string_equal(app_value(c, "SELECT event_block FROM trueup_quarantine"), "55");
    write_one(c, 1, 5, 70, SWEEP, CAUSE_SWEEP);
    assert_int_equal(row_of(c, 1).blocknumber, 55);
    assert_string_equal(app_value(c, "SELECT count(*) FROM trueup_quarantine"), "0");
    /* without a row too */
    fail_one(c, 2, 60, true, 60);
    struct store_old old = write_one(c, 2, 8, 65, EVENT(62), CAUSE_EVENT);
    assert_int_equal(old.outcome, OUTCOME_INSERTED);
    assert_int_equal(row_of(c, 2).blocknumber, 62);
    assert_string_equal(app_value(c, "SELECT count(*) FROM trueup_quarantine"), "0");
}

static void a_read_before_the_event_does_not_pay_it(void **state)
{
    struct contract *c = *state;
    address *due;
    size_t n;
    put_blocks(c, 1, 100, 0);
    write_one(c, 1, 5, 40, EVENT(40), CAUSE_EVENT);
    fail_one(c, 1, 90, true, 90);
    ok(c, store_quarantine_due(c->store, &c->balance,
                               &(struct store_page){.limit = 10, .arena = &c->arena}, &due, &n,
                               &c->err));
    assert_int_equal(n, 0);
    write_one(c, 1, 6, 60, SWEEP, CAUSE_SWEEP); /* the sweep reads further back */
    assert_int_equal(row_of(c, 1).balance.limb[0], 6);
    assert_int_equal(row_of(c, 1).blocknumber, 40);
    ok(c, store_quarantine_due(c->store, &c->balance,
                               &(struct store_page){.limit = 10, .arena = &c->arena}, &due, &n,
                               &c->err));
    assert_int_equal(n, 1); /* it can be read again: at once */
    address want = wallet_no(1);
    assert_true(address_equal(&due[0], &want));
    write_one(c, 1, 7, 91, SWEEP, CAUSE_EVENT);
    assert_int_equal(row_of(c, 1).blocknumber, 90);
    assert_string_equal(app_value(c, "SELECT count(*) FROM trueup_quarantine"), "0");
}

static void failures_and_writes_go_together(void **state)
{
    struct contract *c = *state;
    struct store_applied done;
    put_blocks(c, 1, 100, 0);
    struct store_write w[2] = {EVENT(50), EVENT(50)};
    w[0].wallet = wallet_no(1);
    w[1].wallet = wallet_no(3);
    struct store_failure f[2] = {
        {.wallet = wallet_no(2), .reason = "staked: empty", .has_event = true, .event_block = 50},
        {.wallet = wallet_no(4), .reason = "staked: empty"}};
    struct store_dirty d[2] = {
        {.wallet = wallet_no(1), .number = 50, .hash = block_no(50, 0).hash},
        {.wallet = wallet_no(3), .number = 50, .hash = block_no(50, 0).hash}};
    struct store_batch batch = {.balance = &c->balance,
                                .at = block_no(50, 0),
                                .writes = w,
                                .n_writes = 2,
                                .failures = f,
                                .n_failures = 2,
                                .dirty = d,
                                .n_dirty = 2,
                                .has_checkpoint = true,
                                .checkpoint = 50};
    for (int i = 0; i < 2; i++) /* a repeated batch does no harm */
        ok(c, store_apply(c->store, &batch, &c->arena, &done, &c->err));
    assert_int_equal(done.refreshed, 2);
    assert_int_equal(done.quarantined, 2);
    assert_string_equal(app_value(c, "SELECT count(*) FROM trueup_dirty"), "2");
    assert_string_equal(app_value(c, "SELECT count(*) FROM trueup_quarantine"), "2");
    assert_string_equal(app_value(c, "SELECT last_block FROM eth_indexer_checkpoints WHERE name = "
                                     "'audio_transfers'"),
                        "50");
}

static void a_checkpoint_is_never_lowered(void **state)
{
    struct contract *c = *state;
    struct store_batch batch = {.balance = &c->balance, .has_checkpoint = true};
    struct store_applied done;
    uint64_t last = 0;
    bool found = false, gone = true;
    put_blocks(c, 40, 50, 0);
    batch.at = block_no(50, 0);
    batch.checkpoint = 50;
    ok(c, store_apply(c->store, &batch, &c->arena, &done, &c->err));
    batch.at = block_no(45, 0);
    batch.checkpoint = 45;
    ok(c, store_apply(c->store, &batch, &c->arena, &done, &c->err));
    struct anchor at = block_no(47, 0);
    ok(c, store_checkpoint_advance(c->store, &c->balance, &at, &gone, &c->err));
    assert_false(gone);
    ok(c, store_checkpoint_get(c->store, &c->balance, &last, &found, &c->err));
    assert_true(found);
    assert_int_equal(last, 50);
}

/* ---- list, dirty, state ---------------------------------------------------------------------- */

static void list_is_kept_in_key_order(void **state)
{
    struct contract *c = *state;
    address w[5], *page;
    size_t n;
    for (unsigned i = 0; i < 5; i++)
        w[i] = wallet_no(50 - i);
    ok(c, store_wallets_add(c->store, &c->balance, w, 5, &n, &c->err));
    assert_int_equal(n, 5);
    ok(c, store_wallets_add(c->store, &c->balance, w, 5, &n, &c->err));
    assert_int_equal(n, 0);
    ok(c, store_wallets_list(c->store, &c->balance,
                             &(struct store_page){.limit = 3, .arena = &c->arena}, &page, &n,
                             &c->err));
    assert_int_equal(n, 3);
    assert_true(address_equal(&page[0], &w[4]));
    address last = page[2];
    ok(c, store_wallets_list(c->store, &c->balance,
                             &(struct store_page){.after = &last, .limit = 3, .arena = &c->arena},
                             &page, &n, &c->err));
    assert_int_equal(n, 2);
    assert_true(address_equal(&page[1], &w[0]));
    ok(c, store_wallets_remove(c->store, &c->balance, w, 2, &n, &c->err));
    assert_int_equal(n, 2);
    ok(c, store_wallets_remove(c->store, &c->balance, w, 2, &n, &c->err));
    assert_int_equal(n, 0);
    struct store_counts counts;
    ok(c, store_count(c->store, &c->balance, &counts, &c->err));
    assert_int_equal(counts.listed, 3);
    assert_int_equal(counts.rows, 0);
}

static void remove_takes_row_quarantine_and_marks(void **state)
{
    struct contract *c = *state;
    struct store_applied done;
    size_t n;
    put_blocks(c, 1, 100, 0);
    write_one(c, 1, 5, 50, EVENT(50), CAUSE_EVENT);
    write_one(c, 2, 5, 50, EVENT(50), CAUSE_EVENT);
    fail_one(c, 1, 60, true, 60);
    struct store_dirty d = {.wallet = wallet_no(1), .number = 60};
    struct store_batch batch = {
        .balance = &c->balance, .at = block_no(60, 0), .dirty = &d, .n_dirty = 1};
    ok(c, store_apply(c->store, &batch, &c->arena, &done, &c->err));
    address w = wallet_no(1);
    ok(c, store_wallets_remove(c->store, &c->balance, &w, 1, &n, &c->err));
    assert_int_equal(n, 1); /* not listed, but it had a row */
    assert_false(has_row(c, 1));
    assert_true(has_row(c, 2));
    assert_string_equal(app_value(c, "SELECT (SELECT count(*) FROM trueup_quarantine) + (SELECT "
                                     "count(*) FROM trueup_dirty)"),
                        "0");
}

static void tracked_by_rule_list_or_row(void **state)
{
    struct contract *c = *state;
    bool tracked[4];
    size_t n;
    put_blocks(c, 1, 100, 0);
    address w[4] = {wallet_no(3), wallet_no(1), wallet_no(2), {{0}}};
    ok(c, store_tracked(c->store, &c->balance, w, 4, tracked, &c->err));
    assert_true(tracked[0] && tracked[1] && tracked[2]);
    assert_false(tracked[3]); /* the zero address is none */
    c->balance.tracking = STORE_LISTED;
    ok(c, store_tracked(c->store, &c->balance, w, 4, tracked, &c->err));
    assert_false(tracked[0] || tracked[1] || tracked[2] || tracked[3]);
    ok(c, store_wallets_add(c->store, &c->balance, &w[1], 1, &n, &c->err));
    write_one(c, 2, 5, 50, SWEEP, CAUSE_SWEEP);
    ok(c, store_tracked(c->store, &c->balance, w, 4, tracked, &c->err));
    assert_true(!tracked[0] && tracked[1] && tracked[2] && !tracked[3]);
}

/* An event is answered by a row anchored at its block or later, or by a quarantine that waits for
 * it. The block number alone, or the anchor alone, is not enough. */
static void answered_events(void **state)
{
    struct contract *c = *state;
    struct store_applied done;
    put_blocks(c, 1, 100, 0);
    write_one(c, 1, 5, 50, EVENT(50), CAUSE_EVENT);
    write_one(c, 2, 5, 50, SWEEP, CAUSE_SWEEP); /* anchored, and no event was applied */
    write_one(c, 3, 5, 40, EVENT(40), CAUSE_EVENT);
    struct store_failure failed = {
        .wallet = wallet_no(4), .reason = "held: reverted", .has_event = true, .event_block = 45};
    struct store_batch batch = {
        .balance = &c->balance, .at = block_no(60, 0), .failures = &failed, .n_failures = 1};
    ok(c, store_apply(c->store, &batch, &c->arena, &done, &c->err));
    const struct {
        unsigned wallet;
        uint64_t block;
        bool answered;
    } rows[] = {{1, 50, true}, {1, 49, true}, {1, 51, false}, {2, 50, false}, {3, 41, false},
                {3, 40, true}, {4, 45, true}, {4, 44, true},  {4, 46, false}, {5, 1, false}};
    enum { N = sizeof rows / sizeof rows[0] };
    struct store_event events[N];
    bool answered[N];
    for (size_t i = 0; i < N; i++)
        events[i] = (struct store_event){wallet_no(rows[i].wallet), rows[i].block};
    ok(c, store_answered(c->store, &c->balance, events, N, answered, &c->err));
    for (size_t i = 0; i < N; i++)
        if (answered[i] != rows[i].answered)
            fail_msg("wallet %u at block %u", rows[i].wallet, (unsigned)rows[i].block);
    /* A row that was read at or above the event needs its blocknumber alone. */
    const struct store_event later[] = {
        {wallet_no(1), 51}, {wallet_no(2), 50}, {wallet_no(3), 41}, {wallet_no(5), 1}};
    ok(c, store_raise_blocknumbers(c->store, &c->balance, later, 4, &c->err));
    ok(c, store_answered(c->store, &c->balance, later, 4, answered, &c->err));
    assert_true(!answered[0] && answered[1] && !answered[2] && !answered[3]);
    /* A dropped block takes the anchor, and with it the answer. */
    uint64_t n;
    ok(c, store_rewind(c->store, &c->balance, 1, 50, &n, &c->err));
    ok(c, store_answered(c->store, &c->balance, events, 1, answered, &c->err));
    assert_false(answered[0]);
}

static void query_decides_on_postgres_and_is_refused_elsewhere(void **state)
{
    struct contract *c = *state;
    bool tracked[3] = {true, true, true};
    address w[3] = {wallet_no(1), wallet_no(2), wallet_no(3)};
    c->balance.tracking = STORE_QUERY;
    c->balance.query = "SELECT upper(wallet) FROM users WHERE lower(wallet) = ANY($1)";
    if (!on_postgres) {
        assert_int_equal(store_tracked(c->store, &c->balance, w, 3, tracked, &c->err), -1);
        assert_int_equal(c->err.kind, ERR_STORE);
        assert_non_null(strstr(c->err.text, "query"));
        return;
    }
    assert_int_equal(store_tracked(c->store, &c->balance, w, 3, tracked, &c->err), -1);
    assert_true(tracked[0]); /* untouched on failure */
    app(c, "CREATE TABLE users (wallet text)");
    app(c, "INSERT INTO users VALUES (NULL), ('%s'), ('nonsense')", wallet_text(2));
    app(c, "INSERT INTO users SELECT '0x' || upper(substr('%s', 3))", wallet_text(3));
    ok(c, store_tracked(c->store, &c->balance, w, 3, tracked, &c->err));
    assert_true(!tracked[0] && tracked[1] && tracked[2]);
    c->balance.query = "INSERT INTO users VALUES ('x') RETURNING $1::text[]::text";
    assert_int_equal(store_tracked(c->store, &c->balance, w, 3, tracked, &c->err), -1);
    assert_string_equal(app_value(c, "SELECT count(*) FROM users"), "4");
}

static void dirty_marks_are_due_by_block(void **state)
{
    struct contract *c = *state;
    struct store_applied done;
    struct store_dirty *due, d[3];
    size_t n;
    put_blocks(c, 1, 100, 0);
    for (unsigned i = 0; i < 3; i++)
        d[i] = (struct store_dirty){.wallet = wallet_no(9 - i),
                                    .number = 50 + 10 * i,
                                    .hash = block_no(50 + 10 * i, 0).hash,
                                    .endpoint = i > 0 ? "alchemy" : NULL};
    struct store_batch batch = {
        .balance = &c->balance, .at = block_no(90, 0), .dirty = d, .n_dirty = 3};
    ok(c, store_apply(c->store, &batch, &c->arena, &done, &c->err));
    ok(c, store_dirty_due(c->store, &c->balance,
                          &(struct store_page){.up_to = 49, .limit = 10, .arena = &c->arena}, &due,
                          &n, &c->err));
    assert_int_equal(n, 0);
    ok(c, store_dirty_due(c->store, &c->balance,
                          &(struct store_page){.up_to = 60, .limit = 10, .arena = &c->arena}, &due,
                          &n, &c->err));
    assert_int_equal(n, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_true(address_equal(&due[i].wallet, &d[i].wallet));
        assert_int_equal(due[i].number, d[i].number);
        assert_true(hash_equal(&due[i].hash, &d[i].hash));
    }
    assert_null(due[0].endpoint);
    assert_string_equal(due[1].endpoint, "alchemy");
    ok(c, store_dirty_drop(c->store, &c->balance, 59, &c->err));
    ok(c, store_dirty_due(c->store, &c->balance,
                          &(struct store_page){.up_to = 100, .limit = 10, .arena = &c->arena}, &due,
                          &n, &c->err));
    assert_int_equal(n, 2);
    assert_int_equal(due[0].number, 60);
}

static void state_and_learned_texts(void **state)
{
    struct contract *c = *state;
    const char *text = "x";
    static char large[STORE_STATE_MAX + 2];
    ok(c, store_state_get(c->store, "chain.id", &c->arena, &text, &c->err));
    assert_null(text);
    ok(c, store_state_set(c->store, "chain.id", "1", &c->err));
    ok(c, store_state_set(c->store, "chain.id", "it's \"8453\"", &c->err));
    ok(c, store_state_get(c->store, "chain.id", &c->arena, &text, &c->err));
    assert_string_equal(text, "it's \"8453\"");
    memset(large, 'x', sizeof large - 1);
    assert_int_equal(store_state_set(c->store, "large", large, &c->err), -1);
    large[STORE_STATE_MAX] = '\0';
    ok(c, store_state_set(c->store, "large", large, &c->err));
    ok(c, store_learned_put(c->store, "alchemy", "override", "{\"n\":4000}", &c->err));
    ok(c, store_learned_put(c->store, "alchemy", "override", "{\"n\":2000}", &c->err));
    ok(c, store_learned_get(c->store, "alchemy", "override", &c->arena, &text, &c->err));
    assert_string_equal(text, "{\"n\":2000}");
    ok(c, store_learned_get(c->store, "alchemy", "single", &c->arena, &text, &c->err));
    assert_null(text);
}

static void counts_are_of_the_whole(void **state)
{
    struct contract *c = *state;
    struct store_counts counts;
    put_blocks(c, 1, 100, 0);
    ok(c, store_count(c->store, &c->balance, &counts, &c->err));
    assert_int_equal(counts.rows, 0);
    assert_int_equal(counts.oldest_us, 0);
    write_one(c, 1, 5, 50, EVENT(50), CAUSE_EVENT);
    fail_one(c, 7, 50, false, 0);
    app(c,
        "INSERT INTO eth_wallet_balances (wallet, balance, updated_at) VALUES ('%s', '7', "
        "'2001-02-03 04:05:06')",
        wallet_text(2));
    ok(c, store_count(c->store, &c->balance, &counts, &c->err));
    assert_int_equal(counts.rows, 2);
    assert_int_equal(counts.unanchored, 1);
    assert_int_equal(counts.quarantined, 1);
    assert_true(counts.oldest_us == INT64_C(981173106000000));
    assert_true(counts.now_us - row_of(c, 1).updated_us < INT64_C(60000000));
    assert_true(counts.now_us >= row_of(c, 1).updated_us);
}

static void changes_are_recorded_with_cause(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 1, 100, 0);
    write_one(c, 1, 5, 50, EVENT(50), CAUSE_EVENT);
    write_one(c, 1, 5, 51, SWEEP, CAUSE_SWEEP);
    write_one(c, 1, 6, 52, SWEEP, CAUSE_SWEEP);
    write_one(c, 1, 7, 53, SWEEP, CAUSE_AUDIT);
    assert_string_equal(app_value(c, "SELECT count(*) FROM trueup_changes"), "3");
    assert_string_equal(app_value(c, "SELECT cause FROM trueup_changes WHERE old IS NULL AND new = "
                                     "'5' AND block = 50"),
                        "event");
    assert_string_equal(app_value(c,
                                  "SELECT cause FROM trueup_changes WHERE old = '5' AND new = "
                                  "'6' AND block = 52 AND wallet = '%s' AND balance = 'audio'",
                                  wallet_text(1)),
                        "sweep");
    assert_string_equal(app_value(c, "SELECT cause FROM trueup_changes WHERE old = '6'"), "audit");
}

static void changes_are_bounded(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 1, 100, 0);
    write_one(c, 1, 1, 50, SWEEP, CAUSE_SWEEP);
    if (on_postgres)
        app(c, "SELECT setval('trueup_changes_id_seq', 1009999, false)");
    else
        app(c, "UPDATE sqlite_sequence SET seq = 1009998 WHERE name = 'trueup_changes'");
    write_one(c, 1, 2, 51, SWEEP, CAUSE_SWEEP); /* 1,009,999 */
    assert_string_equal(app_value(c, "SELECT count(*) FROM trueup_changes"), "2");
    write_one(c, 1, 3, 52, SWEEP, CAUSE_SWEEP); /* 1,010,000: those up to 10,000 go */
    assert_string_equal(app_value(c, "SELECT count(*) FROM trueup_changes"), "2");
    assert_string_equal(app_value(c, "SELECT min(id) FROM trueup_changes"), "1009999");
}

int main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fresh, gone)
    const struct CMUnitTest tests[] = {
        T(headers_come_back_whole_and_newest_first),
        T(another_header_takes_the_place),
        T(prune_keeps_the_newest_and_the_young),
        T(rewind_makes_rows_unanchored_and_due),
        T(quarantine_backs_off),
        T(quarantine_pays_its_event_when_read_at_last),
        T(a_read_before_the_event_does_not_pay_it),
        T(failures_and_writes_go_together),
        T(a_checkpoint_is_never_lowered),
        T(list_is_kept_in_key_order),
        T(remove_takes_row_quarantine_and_marks),
        T(tracked_by_rule_list_or_row),
        T(answered_events),
        T(query_decides_on_postgres_and_is_refused_elsewhere),
        T(dirty_marks_are_due_by_block),
        T(state_and_learned_texts),
        T(counts_are_of_the_whole),
        T(changes_are_recorded_with_cause),
        T(changes_are_bounded),
    };
    return contract_main(argc, argv, "state", tests, sizeof tests / sizeof tests[0]);
}
