/*
 * The supervisor with workers of the test's own: this program is started again as `worker NAME`,
 * and what it does then stands in the text it is given. What the supervisor counts is read from
 * the shared page, as web reads it.
 */
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "proc/alive.h"
#include "proc/child.h"
#include "proc/counters.h"
#include "proc/crash_report.h"
#include "proc/reload.h"
#include "proc/stop.h"
#include "proc/supervisor.h"
#include "vectors.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SERVICES = 2, WAIT_MS = 20000 };

/* AddressSanitizer has its own way to end a process that crashes, and needs memory without end. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* ---- the workers ----------------------------------------------------------------------------- */

static volatile uint64_t spin;

static int worker(const char *role)
{
    struct buf text = {0};
    struct err err;
    char what[64]; /* a copy: a leak at exit would change the status under a sanitizer */
    counters_attach(role);
    crash_report_install();
    alive_begin();
    stop_install();
    if (child_read_settings(&text, &err) < 0)
        return 2;
    snprintf(what, sizeof what, "%s", buf_str(&text));
    buf_free(&text);
    if (strcmp(role, "reload") == 0) {
        struct buf answer = BUF_INIT(65536);
        if (strcmp(what, "broken") == 0)
            return 2;
        if (strcmp(what, "endless") == 0)
            stop_wait_until(INT64_MAX);
        reload_text_part(&answer, "follow", "live on", 7);
        reload_text_part(&answer, "sweep", "live", 4);
        bool sent = write(4, answer.data, answer.len) == (ssize_t)answer.len;
        buf_free(&answer);
        return sent ? 0 : 1;
    }
    if (strcmp(what, "status 1") == 0)
        return 1;
    if (strcmp(what, "status 1, five times") == 0) {
        struct counters_worker_view mine;
        counters_worker_get(0, &mine);
        if (mine.deaths[DEATH_EXIT] < 5)
            return 1;
    }
    if (strcmp(what, "status 4") == 0)
        return 4;
    if (strcmp(what, "crash") == 0)
        *(volatile int *)(uintptr_t)spin = 1;
    if (strcmp(what, "abort") == 0)
        abort();
    if (strcmp(what, "memory") == 0) {
        struct rlimit small = {64 << 20, 64 << 20};
        setrlimit(RLIMIT_AS, &small);
        for (;;)
            memset(mem_alloc(1 << 20), 1, 1 << 20);
    }
    while (strcmp(what, "loop") == 0)
        spin++;
    while (strcmp(what, "deaf") == 0) {
        signal(SIGABRT, SIG_IGN);
        pause();
    }
    if (strcmp(what, "busy") == 0) { /* a call that takes long, and is announced */
        alive_busy(3000);
        usleep(1500000);
    }
    stop_wait_until(INT64_MAX);
    return 0;
}

/* ---- the test's side ------------------------------------------------------------------------- */

static pid_t supervisor;
static int64_t reload_ms = 20000;
static int said = -1;     /* what it logs */
static char heard[65536]; /* what has been read of that */
static size_t heard_len;

static void start(const char *follow, const char *sweep, const char *reload,
                  struct service_limits limits)
{
    struct err err = {0};
    int ends[2];
    assert_int_equal(counters_create(&err), 0);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    supervisor = fork();
    if (supervisor == 0) {
        struct service services[SERVICES] = {
            {.name = "follow", .settings = BUF_INIT(1000), .limits = limits},
            {.name = "sweep", .settings = BUF_INIT(1000), .limits = limits}};
        struct supervision ask = {
            .services = services, .n = SERVICES, .reload = reload, .reload_ms = reload_ms};
        ask.reload_len = reload ? strlen(reload) : 0;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ends[1], STDERR_FILENO);
        buf_adds(&services[0].settings, follow);
        buf_adds(&services[1].settings, sweep);
        _exit(supervisor_run(&ask, &err));
    }
    close(ends[1]);
    said = ends[0];
    heard_len = 0;
    fcntl(said, F_SETPIPE_SZ, 1 << 20);
}

static int stop(void)
{
    int status = 0;
    kill(supervisor, SIGTERM);
    assert_int_equal(waitpid(supervisor, &status, 0), supervisor);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool read_log(void)
{
    ssize_t got = read(said, heard + heard_len, sizeof heard - 1 - heard_len);
    heard_len += got > 0 ? (size_t)got : 0;
    heard[heard_len] = '\0';
    return got > 0;
}

static const char *log_text(void)
{
    while (read_log())
        ;
    close(said);
    return heard;
}

/* How often the log has these words so far. */
static int logged(const char *words)
{
    struct pollfd log = {.fd = said, .events = POLLIN};
    int n = 0;
    while (poll(&log, 1, 0) > 0 && read_log())
        ;
    for (const char *at = heard; (at = strstr(at, words)); at++)
        n++;
    return n;
}

static struct counters_worker_view look(size_t slot)
{
    struct counters_worker_view w;
    counters_worker_get(slot, &w);
    return w;
}

#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        int64_t end_ = clock_ms() + WAIT_MS;                                                       \
        while (!(condition)) {                                                                     \
            if (clock_ms() > end_)                                                                 \
                fail_msg("waited for " #condition);                                                \
            usleep(2000);                                                                          \
        }                                                                                          \
    } while (0)

static const struct service_limits usual = {
    .deaths = 20, .within_ms = 60000, .parked_ms = 60000, .patience_ms = 20000, .well_ms = 60000};

/* Of what a worker dies is counted by kind, and the other one does not notice. */
static void each_death_has_its_kind(void **state)
{
    (void)state;
    const struct {
        const char *what;
        enum counters_death kind;
        const char *words, *where;
    } deaths[] = {{"status 1", DEATH_EXIT, "status 1", NULL},
                  {"crash", DEATH_CRASH, "signal 11", "where=\"address 0x0 in "},
                  {"abort", DEATH_CRASH, "signal 6", "where=\"in "},
                  {"memory", DEATH_MEMORY, "out of memory", NULL}};
    for (size_t i = 0; i < (SANITIZED ? 1 : COUNT_OF(deaths)); i++) {
        start(deaths[i].what, "live", NULL, usual);
        UNTIL(look(0).deaths[deaths[i].kind] >= 2);
        assert_non_null(strstr(look(0).exit_reason, deaths[i].words));
        assert_int_not_equal(look(1).pid, 0);
        for (int d = 0; d < DEATHS; d++) {
            assert_int_equal(look(1).deaths[d], 0);
            assert_true(d == (int)deaths[i].kind || look(0).deaths[d] == 0);
        }
        assert_int_equal(stop(), 0);
        const char *text = log_text();
        if (deaths[i].where && !strstr(text, deaths[i].where))
            fail_msg("no %s in:\n%s", deaths[i].where, text);
    }
}

/* The place it tells is one that addr2line finds, whatever the program was loaded at. */
static void the_last_words_name_the_place(void **state)
{
    (void)state;
    if (SANITIZED)
        return;
    start("crash", "live", NULL, usual);
    UNTIL(look(0).deaths[DEATH_CRASH] >= 1);
    assert_int_equal(stop(), 0);
    const char *text = log_text(), *at = strstr(text, "trueup+0x");
    if (!at)
        fail_msg("no place in:\n%s", text);
    char command[600], self[300] = "", found[200] = "";
    assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    snprintf(command, sizeof command, "addr2line -f -e %s %.*s", self, (int)strcspn(at + 7, " \""),
             at + 7);
    FILE *p = popen(command, "r");
    assert_non_null(p);
    assert_non_null(fgets(found, sizeof found, p));
    pclose(p);
    assert_string_equal(found, "worker\n");
}

static void killed_from_outside(void **state)
{
    (void)state;
    start("live", "live", NULL, usual);
    UNTIL(look(1).pid != 0);
    kill(look(1).pid, SIGKILL);
    UNTIL(look(1).deaths[DEATH_SIGNAL] == 1 && look(1).pid != 0);
    assert_int_equal(look(0).deaths[DEATH_SIGNAL], 0);
    assert_int_equal(stop(), 0);
    log_text();
}

/* ---- hung ------------------------------------------------------------------------------------ */

static void one_that_loops_is_found_and_says_where(void **state)
{
    (void)state;
    struct service_limits l = usual;
    l.patience_ms = 300;
    start("loop", "live", NULL, l);
    UNTIL(look(0).deaths[DEATH_HUNG] >= 1);
    assert_non_null(strstr(look(0).exit_reason, "hung: no sign of life for 300 ms"));
    assert_non_null(strstr(look(0).exit_reason, "signal 6"));
    assert_int_equal(stop(), 0);
    const char *text = log_text();
    assert_non_null(strstr(text, "worker hangs, killed name=follow"));
    assert_true(SANITIZED || strstr(text, "where=\"in "));
}

static void one_that_is_deaf_is_killed_for_good(void **state)
{
    (void)state;
    struct service_limits l = usual;
    l.patience_ms = 300;
    start("deaf", "live", NULL, l);
    UNTIL(look(0).deaths[DEATH_HUNG] >= 1);
    assert_non_null(strstr(look(0).exit_reason, "signal 9"));
    assert_int_equal(stop(), 0);
    log_text();
}

/* Neither a long wait nor a long call that was announced is taken for a hang. */
static void waiting_is_not_hanging(void **state)
{
    (void)state;
    struct service_limits l = usual;
    l.patience_ms = ALIVE_EVERY_MS + 500;
    start("live", "live", NULL, l);
    UNTIL(look(0).pid && look(1).pid);
    usleep((ALIVE_EVERY_MS + 1500) * 1000);
    for (int i = 0; i < SERVICES; i++)
        assert_int_equal(look(i).deaths[DEATH_HUNG], 0);
    assert_int_equal(stop(), 0);
    log_text();
    l.patience_ms = 500;
    start("busy", "", NULL, l);
    UNTIL(look(0).pid);
    usleep(1700000);
    assert_int_equal(look(0).deaths[DEATH_HUNG], 0);
    assert_int_equal(stop(), 0);
    log_text();
}

/* All stood still together: a paused container. Nobody is killed for it. */
static void a_machine_that_slept_is_forgiven(void **state)
{
    (void)state;
    struct service_limits l = usual;
    l.patience_ms = 3000;
    start("live", "live", NULL, l);
    UNTIL(look(0).pid && look(1).pid);
    const pid_t all[] = {supervisor, look(0).pid, look(1).pid};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        kill(all[i], SIGSTOP);
    usleep(9000000);
    kill(supervisor, SIGCONT); /* it looks first, before they could say anything */
    UNTIL(logged("was suspended"));
    for (size_t i = 0; i < COUNT_OF(all); i++)
        kill(all[i], SIGCONT);
    usleep(300000);
    for (int i = 0; i < SERVICES; i++) {
        assert_int_equal(look(i).deaths[DEATH_HUNG], 0);
        assert_int_equal(look(i).pid, all[i + 1]);
    }
    assert_int_equal(stop(), 0);
    assert_non_null(strstr(log_text(), "was suspended"));
}

/* ---- the budget ------------------------------------------------------------------------------ */

static void who_dies_too_often_is_parked(void **state)
{
    (void)state;
    struct service_limits l = usual;
    l.deaths = 3;
    l.parked_ms = 1000;
    start("status 1", "live", NULL, l);
    UNTIL(look(0).parked_until != 0);
    assert_int_equal(look(0).deaths[DEATH_EXIT], 3);
    int64_t began = clock_ms();
    UNTIL(look(0).deaths[DEATH_EXIT] >= 5); /* two slow tries */
    assert_true(clock_ms() - began >= 1900);
    assert_true(look(0).parked_until != 0);
    assert_true(look(1).pid != 0 && look(1).parked_until == 0);
    assert_int_equal(stop(), 0);
    assert_non_null(strstr(log_text(), "worker is parked: it died too often name=follow"));
}

/* One that lives long enough after it was parked has its budget back. */
static void who_lives_again_is_well_again(void **state)
{
    (void)state;
    struct service_limits l = usual;
    l.deaths = 3;
    l.parked_ms = 200;
    l.well_ms = 700;
    start("status 1, five times", "live", NULL, l);
    UNTIL(look(0).deaths[DEATH_EXIT] == 5 && look(0).pid != 0);
    assert_true(look(0).parked_until != 0);
    UNTIL(look(0).parked_until == 0);
    kill(look(0).pid, SIGKILL);
    UNTIL(look(0).deaths[DEATH_SIGNAL] == 1 && look(0).pid != 0);
    assert_int_equal(look(0).parked_until, 0);
    assert_int_equal(stop(), 0);
    assert_non_null(strstr(log_text(), "worker recovered name=follow"));
}

static void deaths_far_apart_do_not_spend_it(void **state)
{
    (void)state;
    struct service_limits l = usual;
    l.deaths = 3;
    l.within_ms = 50; /* the back-off alone takes longer */
    start("status 1", "live", NULL, l);
    UNTIL(look(0).deaths[DEATH_EXIT] >= 5);
    assert_int_equal(look(0).parked_until, 0);
    assert_int_equal(stop(), 0);
    log_text();
}

static void another_chain_ends_the_daemon(void **state)
{
    (void)state;
    int status;
    start("status 4", "live", NULL, usual);
    assert_int_equal(waitpid(supervisor, &status, 0), supervisor);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 4);
    log_text();
}

/* ---- other settings -------------------------------------------------------------------------- */

static void only_who_has_other_settings_is_restarted(void **state)
{
    (void)state;
    start("live", "live", "", usual);
    UNTIL(look(0).pid && look(1).pid);
    pid_t follow = look(0).pid, sweep = look(1).pid;
    kill(supervisor, SIGHUP);
    UNTIL(look(0).pid != follow && look(0).pid != 0);
    assert_int_equal(look(1).pid, sweep);
    for (int d = 0; d < DEATHS; d++)
        assert_int_equal(look(0).deaths[d], 0);
    follow = look(0).pid;
    kill(supervisor, SIGHUP);
    kill(supervisor, SIGHUP);
    UNTIL(logged("settings were read again") >= 2);
    assert_int_equal(look(0).pid, follow); /* nothing is other any more */
    assert_int_equal(stop(), 0);
    log_text();
}

static void settings_that_are_refused_change_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        start("live", "live", i ? "endless" : "broken", usual);
        UNTIL(look(0).pid && look(1).pid);
        pid_t follow = look(0).pid, sweep = look(1).pid;
        kill(supervisor, SIGHUP);
        UNTIL(logged(i ? "reading the settings again" : "the old ones stay"));
        assert_int_equal(look(0).pid, follow);
        assert_int_equal(look(1).pid, sweep);
        int64_t began = clock_ms();
        assert_int_equal(stop(), 0);
        assert_true(clock_ms() - began < 2000);
        assert_non_null(strstr(log_text(), i ? "reading the settings again" : "the old ones stay"));
    }
}

/* Whoever reads them knows every secret, so it may not stay for ever; the next one is a new one. */
static void who_reads_them_for_too_long_is_killed(void **state)
{
    (void)state;
    reload_ms = 200;
    start("live", "live", "endless", usual);
    reload_ms = 20000;
    UNTIL(look(0).pid && look(1).pid);
    const pid_t follow = look(0).pid;
    for (int i = 1; i <= 2; i++) {
        kill(supervisor, SIGHUP);
        UNTIL(logged("the old ones stay") == i);
    }
    assert_int_equal(look(0).pid, follow);
    assert_int_equal(stop(), 0);
    const char *text = log_text();
    assert_non_null(strstr(text, "the old ones stay reason=\"signal 9 (Killed)\" attempt=1"));
    assert_non_null(strstr(text, "the old ones stay reason=\"signal 9 (Killed)\" attempt=2"));
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "worker") == 0)
        return child_has_settings() ? worker(argv[2]) : 0;
    log_setup(LOG_INFO, false, "trueup");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_death_has_its_kind),
        cmocka_unit_test(the_last_words_name_the_place),
        cmocka_unit_test(killed_from_outside),
        cmocka_unit_test(one_that_loops_is_found_and_says_where),
        cmocka_unit_test(one_that_is_deaf_is_killed_for_good),
        cmocka_unit_test(waiting_is_not_hanging),
        cmocka_unit_test(a_machine_that_slept_is_forgiven),
        cmocka_unit_test(who_dies_too_often_is_parked),
        cmocka_unit_test(who_lives_again_is_well_again),
        cmocka_unit_test(deaths_far_apart_do_not_spend_it),
        cmocka_unit_test(another_chain_ends_the_daemon),
        cmocka_unit_test(only_who_has_other_settings_is_restarted),
        cmocka_unit_test(settings_that_are_refused_change_nothing),
        cmocka_unit_test(who_reads_them_for_too_long_is_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
