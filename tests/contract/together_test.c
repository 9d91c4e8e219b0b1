/* Two processes write at once, one is killed in the middle: the rows must not show it. */
#include "contract.h"

#include "base/mem.h"
#include "base/random.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WALLETS = 300, ROUNDS = 60 };

static uint64_t seed;

/* The value of a wallet at a block, so that any row can be checked on its own. */
static uint64_t truth(unsigned wallet, uint64_t block)
{
    return wallet * 1000003ULL + block / 3;
}

struct writer {
    struct store *store;
    struct contract *c;
    struct rng rng;
    bool follow;
};

/* What a batch holds comes from the seed alone, so that the parent can say what must be there. */
static uint64_t draw(struct rng *rng, bool picked[WALLETS])
{
    uint64_t at = 1 + rng_below(rng, 100);
    for (unsigned i = 0; i < WALLETS; i++)
        picked[i] = rng_below(rng, 3) == 0;
    return at;
}

/* Writes random wallets at a random block: follow with events, the sweep without. */
static int write_some(struct writer *w, struct arena *arena)
{
    struct store_write writes[WALLETS];
    bool picked[WALLETS];
    size_t n = 0;
    uint64_t at = draw(&w->rng, picked);
    for (unsigned i = 0; i < WALLETS; i++)
        if (picked[i])
            writes[n++] = (struct store_write){.wallet = wallet_no(i),
                                               .value = u256_of(truth(i, at)),
                                               .insert = INSERT_ALWAYS,
                                               .has_event = w->follow,
                                               .event_block = w->follow ? at : 0};
    struct store_batch batch = {.balance = &w->c->balance,
                                .at = block_no(at, 0),
                                .writes = writes,
                                .n_writes = n,
                                .cause = w->follow ? CAUSE_EVENT : CAUSE_SWEEP,
                                .has_checkpoint = w->follow,
                                .checkpoint = at};
    struct store_applied done;
    struct err err;
    for (int attempt = 0; attempt < 20; attempt++) {
        if (store_apply(w->store, &batch, arena, &done, &err) == 0)
            return done.anchor_gone ? -1 : 0;
        if (err.kind != ERR_STORE_LOST)
            break;
    }
    fprintf(stderr, "# %s: %s\n", w->follow ? "follow" : "sweep", err.text);
    return -1;
}

static pid_t start_writer(struct contract *c, bool follow, int rounds)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid != 0)
        return pid;
    struct writer w = {.c = c, .follow = follow, .rng = {seed + follow}};
    struct arena arena;
    struct err err;
    arena_init(&arena);
    if (store_open(c->url, NULL, follow ? "trueup follow" : "trueup sweep", &w.store, &err) != 0)
        _exit(2);
    for (int i = 0; rounds == 0 || i < rounds; i++) {
        if (write_some(&w, &arena) != 0)
            _exit(3);
        arena_clear(&arena);
    }
    store_close(w.store);
    _exit(0);
}

static int exit_of(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void rows_are_true(struct contract *c)
{
    unsigned rows = 0;
    for (unsigned i = 0; i < WALLETS; i++) {
        if (!has_row(c, i))
            continue;
        struct store_row row = row_of(c, i);
        assert_true(row.has_observed);
        assert_int_equal(row.balance.limb[0], truth(i, row.observed_block));
        if (row.has_blocknumber)
            assert_true(row.blocknumber <= row.observed_block);
        rows++;
    }
    assert_true(rows > 0);
}

static void two_writers_neither_fail_nor_go_back(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 1, 100, 0);
    print_message("# TRUEUP_SEED=%llu\n", (unsigned long long)seed);
    pid_t follow = start_writer(c, true, ROUNDS), sweep = start_writer(c, false, ROUNDS);
    assert_int_equal(exit_of(follow), 0);
    assert_int_equal(exit_of(sweep), 0);
    rows_are_true(c);
    /* no write was lost: the highest block each wallet was read at, and the highest event */
    uint64_t observed[WALLETS] = {0}, event[WALLETS] = {0};
    for (int follows = 0; follows < 2; follows++) {
        struct rng rng = {seed + (unsigned)follows};
        bool picked[WALLETS];
        for (int round = 0; round < ROUNDS; round++) {
            uint64_t at = draw(&rng, picked);
            for (unsigned i = 0; i < WALLETS; i++) {
                if (picked[i] && at > observed[i])
                    observed[i] = at;
                if (picked[i] && follows && at > event[i])
                    event[i] = at;
            }
        }
    }
    for (unsigned i = 0; i < WALLETS; i++) {
        assert_int_equal(row_of(c, i).observed_block, observed[i]);
        assert_int_equal(row_of(c, i).blocknumber, event[i]);
    }
    assert_string_equal(app_value(c, "SELECT count(*) FROM trueup_state WHERE key LIKE "
                                     "'wrote:audio:%%'"),
                        "2");
}

static void a_killed_writer_leaves_whole_batches(void **state)
{
    struct contract *c = *state;
    struct rng rng = {seed};
    put_blocks(c, 1, 100, 0);
    for (int i = 0; i < 6; i++) {
        pid_t pid = start_writer(c, i % 2 == 0, 0);
        struct pollfd none = {.fd = -1};
        poll(&none, 1, 30 + (int)rng_below(&rng, 150)); /* the moment is the test's input */
        kill(pid, SIGKILL);
        assert_int_equal(exit_of(pid), 128 + SIGKILL);
    }
    /* the next writer is held up by nothing a dead one left */
    pid_t pid = start_writer(c, true, 3);
    assert_int_equal(exit_of(pid), 0);
    rows_are_true(c);
}

static void an_open_transaction_leaves_nothing(void **state)
{
    struct contract *c = *state;
    put_blocks(c, 1, 100, 0);
    write_one(c, 1, 5, 50, EVENT(50), CAUSE_EVENT);
    pid_t pid = fork();
    if (pid == 0) {
        /* a value no column takes makes the last statements of the batch fail: a row alone would be
         * written in a transaction of its own */
        struct store *s;
        struct err err;
        struct arena arena;
        struct store_applied done;
        struct store_dirty mark = {.wallet = wallet_no(1), .number = 60};
        struct store_balance other = c->balance;
        arena_init(&arena);
        other.checkpoint = NULL;
        if (store_open(c->url, NULL, "trueup follow", &s, &err) != 0)
            _exit(2);
        struct store_batch batch = {.balance = &other,
                                    .at = block_no(60, 0),
                                    .dirty = &mark,
                                    .n_dirty = 1,
                                    .has_checkpoint = true,
                                    .checkpoint = 60};
        _exit(store_apply(s, &batch, &arena, &done, &err) == -1 ? 0 : 3);
    }
    assert_int_equal(exit_of(pid), 0);
    assert_int_equal(row_of(c, 1).balance.limb[0], 5);
    assert_int_equal(row_of(c, 1).blocknumber, 50);
    assert_string_equal(app_value(c, "SELECT count(*) FROM trueup_changes"), "1");
    assert_string_equal(app_value(c, "SELECT count(*) FROM trueup_dirty"), "0");
}

static void removal_wins_over_a_planned_write(void **state)
{
    struct contract *c = *state;
    address w[40];
    size_t n;
    put_blocks(c, 1, 100, 0);
    for (unsigned i = 0; i < 40; i++)
        w[i] = wallet_no(i);
    ok(c, store_wallets_add(c->store, &c->balance, w, 40, &n, &c->err));
    pid_t pid = fork();
    if (pid == 0) { /* the sweep, planning the same wallets over and over */
        struct store *s;
        struct err err;
        struct arena arena;
        struct store_applied done = {0};
        struct store_write writes[40];
        arena_init(&arena);
        if (store_open(c->url, NULL, "trueup sweep", &s, &err) != 0)
            _exit(2);
        for (int round = 0; round < 200; round++) {
            for (unsigned i = 0; i < 40; i++)
                writes[i] = (struct store_write){.wallet = w[i], .insert = INSERT_IF_LISTED};
            struct store_batch batch = {
                .balance = &c->balance, .at = block_no(50, 0), .writes = writes, .n_writes = 40};
            if (store_apply(s, &batch, &arena, &done, &err) != 0 && err.kind != ERR_STORE_LOST)
                _exit(3);
            if (done.absent == 40)
                _exit(0);
            arena_clear(&arena);
        }
        _exit(4);
    }
    for (unsigned i = 0; i < 40; i += 4)
        ok(c, store_wallets_remove(c->store, &c->balance, &w[i], 4, &n, &c->err));
    assert_int_equal(exit_of(pid), 0);
    for (unsigned i = 0; i < 40; i++)
        assert_false(has_row(c, i));
}

static void a_rewind_meets_a_batch_in_flight(void **state)
{
    struct contract *c = *state;
    uint64_t rows;
    put_blocks(c, 1, 100, 0);
    pid_t follow = start_writer(c, true, ROUNDS);
    for (uint64_t first_bad = 100; first_bad > 60; first_bad -= 4) {
        int rc = store_rewind(c->store, &c->balance, 1, first_bad, &rows, &c->err);
        if (rc != 0)
            assert_int_equal(c->err.kind, ERR_STORE_LOST);
    }
    exit_of(follow); /* its anchor goes away under it: it stops, or it was done before */
    for (unsigned i = 0; i < WALLETS; i++)
        if (has_row(c, i) && row_of(c, i).has_observed)
            assert_true(row_of(c, i).observed_block < 64);
}

/* A library that gets no memory may go on failing for ever; a fresh process does not. */
static void no_memory_ends_the_process(void **state)
{
    struct contract *c = *state;
    if (on_postgres)
        return;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct store *s;
        struct store_row row;
        address a = wallet_no(1);
        if (store_open(c->url, NULL, "trueup test", &s, &c->err) != 0)
            _exit(1);
        sqlite3_hard_heap_limit64(sqlite3_memory_used() + 1000);
        store_rows(s, &c->balance, &a, 1, &row, &c->err);
        _exit(0);
    }
    assert_int_equal(exit_of(child), MEM_EXIT_STATUS);
}

/* As another process sees it: locks are not inherited, and what the child closes drops none of
 * ours. */
static bool file_is_locked(const char *file)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int fd = open(file, O_RDWR | O_CLOEXEC);
        if (fd < 0 || fcntl(fd, F_GETLK, &lock) != 0)
            _exit(2);
        _exit(lock.l_type == F_UNLCK ? 0 : 1);
    }
    int status = exit_of(child);
    assert_in_range(status, 0, 1);
    return status == 1;
}

/* fcntl(2): closing any descriptor of a file drops every lock that the process has on it. */
static void a_second_connection_keeps_the_locks_of_the_first(void **state)
{
    struct contract *c = *state;
    if (on_postgres)
        return;
    const char *file = c->url + strlen("sqlite:");
    assert_true(file_is_locked(file));
    struct store *second = another(c, "trueup test statistics");
    assert_true(file_is_locked(file));
    store_close(second);
    assert_true(file_is_locked(file));
}

int main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fresh, gone)
    const struct CMUnitTest tests[] = {
        T(two_writers_neither_fail_nor_go_back),
        T(a_killed_writer_leaves_whole_batches),
        T(an_open_transaction_leaves_nothing),
        T(removal_wins_over_a_planned_write),
        T(a_rewind_meets_a_batch_in_flight),
        T(no_memory_ends_the_process),
        T(a_second_connection_keeps_the_locks_of_the_first),
    };
    const char *given = getenv("TRUEUP_SEED");
    seed = given ? strtoull(given, NULL, 10) : rng_seed_from_system();
    return contract_main(argc, argv, "together", tests, sizeof tests / sizeof tests[0]);
}
