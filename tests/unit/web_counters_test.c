/* The page of counters: one writer a cell, texts never half, and nothing goes back over a restart.
 */
#include "base/err.h"
#include "base/log.h"
#include "proc/counters.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void as_worker(const char *name, void (*work)(void))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(counters_fd(), COUNTERS_FD);
        counters_attach(name);
        work();
        _exit(counters_shared() ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void sweep_work(void)
{
    counters_add(CELL_TICKS_DONE, 2);
    counters_lap(1, false, 10);
    counters_lap(1, true, 5);
    counters_endpoint(0, "alchemy");
    counters_request(0, counters_method("eth_call"), FAULT_NONE, 20, 100, 200);
    counters_request(0, counters_method("eth_call"), FAULT_RATE, 1, 10, 20);
    counters_request(99, 0, FAULT_NONE, 1, 1, 1); /* beyond the page: not counted */
}

static void follow_work(void)
{
    counters_set(CELL_HEAD, 77);
    counters_add(CELL_TICKS_DONE, 1);
    log_error("the last words");
    counters_event_to_row(90, 3);
}

static void parts_are_summed_and_outlive_their_worker(void **state)
{
    struct err err = {0};
    struct counters_endpoint_view e;
    struct counters_lap_view lap;
    (void)state;
    assert_int_equal(counters_create(&err), 0);
    as_worker("sweep", sweep_work);
    as_worker("sweep", sweep_work);
    as_worker("follow", follow_work);
    assert_int_equal(counters_sum(CELL_TICKS_DONE), 5);
    assert_int_equal(counters_get(PART_SWEEP, CELL_TICKS_DONE), 4);
    assert_int_equal(counters_get(PART_FOLLOW, CELL_HEAD), 77);
    assert_true(counters_endpoint_get(0, &e));
    assert_string_equal(e.name, "alchemy");
    assert_int_equal(e.requests[counters_method("eth_call")][FAULT_NONE], 2);
    assert_int_equal(e.requests[counters_method("eth_call")][FAULT_RATE], 2);
    assert_int_equal(e.bytes_out, 220);
    assert_int_equal(e.latency_us, 20000);
    assert_false(counters_endpoint_get(1, &e));
    counters_lap_get(1, &lap);
    assert_int_equal(lap.rows, 5);
    assert_int_equal(lap.laps, 2);
    assert_int_equal(counters_get(PART_FOLLOW, CELL_EVENT_BUCKET), 0);     /* 50 ms */
    assert_int_equal(counters_get(PART_FOLLOW, CELL_EVENT_BUCKET + 1), 3); /* 100 ms */
    assert_int_equal(counters_get(PART_FOLLOW, CELL_EVENT_MS), 270);
}

static void a_death_is_told_with_its_last_words(void **state)
{
    struct counters_worker_view w;
    (void)state;
    counters_worker_started(0, "follow", 4711);
    counters_worker_died(0, DEATH_SIGNAL, "signal 9 (Killed)");
    counters_worker_started(0, "follow", 4712);
    assert_true(counters_worker_get(0, &w));
    assert_int_equal(w.pid, 4712);
    assert_int_equal(w.deaths[DEATH_SIGNAL], 1);
    assert_int_equal(w.deaths[DEATH_EXIT], 0);
    assert_string_equal(w.exit_reason, "signal 9 (Killed)");
    assert_string_equal(w.trouble, "the last words");
    assert_false(counters_worker_get(5, &w));
}

static void die_with_words(void)
{
    snprintf(counters_crash_report(), COUNTERS_WORDS, "in trueup+0x1");
}

/* A worker that crashes at once may be gone before its supervisor notes that it was started. */
static void last_words_that_came_early_are_kept(void **state)
{
    char words[COUNTERS_WORDS];
    (void)state;
    counters_worker_starting("follow");
    as_worker("follow", die_with_words);
    counters_worker_started(0, "follow", 4713);
    counters_crash_report_of("follow", words);
    assert_string_equal(words, "in trueup+0x1");
    counters_worker_starting("follow"); /* and no other worker's */
    counters_crash_report_of("follow", words);
    assert_string_equal(words, "");
}

static _Noreturn void scribble(void)
{
    char text[COUNTERS_TEXT];
    for (unsigned i = 0;; i++) { /* until it is killed */
        memset(text, 'a' + (int)(i % 26), sizeof text);
        text[sizeof text - 1] = '\0';
        log_error(text);
    }
}

enum { LOOKS = 1000 };

/* The reader runs beside the writer; what it gets is of one letter only, or nothing. */
static void a_text_is_never_half_written(void **state)
{
    (void)state;
    counters_worker_started(1, "listen", 1);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(counters_fd(), COUNTERS_FD);
        counters_attach("listen");
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
        scribble();
    }
    int status, whole = 0;
    while (whole < LOOKS && waitpid(pid, &status, WNOHANG) == 0) {
        struct counters_worker_view w;
        assert_true(counters_worker_get(1, &w));
        for (size_t i = 1; w.trouble[0] && i < strlen(w.trouble); i++)
            assert_int_equal(w.trouble[i], w.trouble[0]);
        whole += w.trouble[0] != '\0';
    }
    assert_int_equal(whole, LOOKS);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_summed_and_outlive_their_worker),
        cmocka_unit_test(a_death_is_told_with_its_last_words),
        cmocka_unit_test(last_words_that_came_early_are_kept),
        cmocka_unit_test(a_text_is_never_half_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
