/* One event a line in both formats, and trouble that repeats is held back and counted. */
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROOM = 8192 };

static FILE *file;
static char heard[256];

static int capture(void **state)
{
    (void)state;
    file = tmpfile();
    return file && dup2(fileno(file), STDERR_FILENO) >= 0 ? 0 : -1;
}

/* What was logged since the last call. */
static const char *logged(void)
{
    static char text[ROOM];
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    assert_int_equal(ftruncate(fileno(file), 0), 0);
    rewind(file);
    return text;
}

static size_t lines(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static void whatever_is_in_it_an_event_is_one_line(void **state)
{
    (void)state;
    log_setup(LOG_INFO, false, "sweep");
    log_info("tick complete", LOG_STR("said", "two\nlines \"and\" more"), LOG_U64("rows", 7),
             LOG_I64("late", -3), LOG_STR("none", NULL), LOG_STR("plain", "word"));
    log_debug("not at this level");
    const char *text = logged();
    assert_int_equal(lines(text), 1);
    assert_non_null(strstr(text,
                           " info  sweep: tick complete said=\"two\\nlines \\\"and\\\" more\" "
                           "rows=7 late=-3 none=null plain=word\n"));
}

static void json_lines_are_json(void **state)
{
    struct err err = {0};
    (void)state;
    log_setup(LOG_INFO, true, "follow");
    log_info("a \"message\"", LOG_STR("said", "two\nlines"), LOG_U64("rows", 7));
    const char *text = logged();
    assert_int_equal(lines(text), 1);
    struct json *doc = json_parse(text, strlen(text), ROOM, &err);
    assert_non_null(doc);
    assert_string_equal(json_str(json_get(doc, "msg")), "a \"message\"");
    assert_string_equal(json_str(json_get(doc, "worker")), "follow");
    assert_string_equal(json_str(json_get(doc, "level")), "info");
    assert_string_equal(json_str(json_get(doc, "said")), "two\nlines");
    assert_non_null(json_get(doc, "time"));
    assert_non_null(json_get(doc, "rows"));
    json_free(doc);
}

static void trouble_that_repeats_is_held_back(void **state)
{
    (void)state;
    log_setup(LOG_INFO, false, "follow");
    for (int i = 0; i < 50; i++)
        log_warn("not ready, trying again", LOG_STR("error", "refused"));
    assert_int_equal(lines(logged()), 1);
    /* Other words and other numbers are other events; what is wanted one by one comes one by one.
     */
    log_warn("not ready, trying again", LOG_STR("error", "timed out"));
    for (unsigned i = 0; i < 3; i++)
        log_warn("rows are late", LOG_U64("rows", i));
    for (int i = 0; i < 3; i++)
        log_info("tick complete");
    assert_int_equal(lines(logged()), 7);
}

static void hear(enum log_level level, const char *message, const char *error)
{
    (void)level;
    snprintf(heard, sizeof heard, "%s|%s", message, error ? error : "-");
}

static void last_words_are_heard_with_their_reason(void **state)
{
    (void)state;
    log_setup(LOG_INFO, false, "follow");
    log_watch(hear);
    log_info("all is well");
    assert_string_equal(heard, "");
    log_warn("endpoint lags", LOG_STR("endpoint", "a"), LOG_STR("why", "30 blocks behind"));
    assert_string_equal(heard, "endpoint lags|30 blocks behind");
    log_error("it failed", LOG_STR("error", "refused"));
    assert_string_equal(heard, "it failed|refused");
    log_watch(NULL);
    logged();
}

/* A pipe that is full and stays so: lines are lost and told with the next one that is taken. In a
 * child, since the destination is chosen once a process; a clock ends one that waits. */
static int logs_into_a_full_pipe(const int ends[2])
{
    char taken[65536];
    alarm(30);
    dup2(ends[1], STDERR_FILENO);
    log_setup(LOG_INFO, false, "follow");
    for (int i = 0; i < 3000; i++)
        log_info("a line that nobody reads, as long as lines of a log are in general");
    ssize_t full = read(ends[0], taken, sizeof taken);
    log_info("and one that is taken");
    ssize_t n = read(ends[0], taken, sizeof taken - 1);
    taken[n > 0 ? n : 0] = '\0';
    return full > 0 && strstr(taken, "and one that is taken lost_lines=") ? 0 : 1;
}

static void a_reader_that_stopped_stops_nobody(void **state)
{
    int ends[2], status = -1;
    (void)state;
    assert_int_equal(pipe(ends), 0);
    fcntl(ends[1], F_SETPIPE_SZ, 4096);
    pid_t child = fork();
    if (child == 0)
        _exit(logs_into_a_full_pipe(ends));
    assert_int_equal(waitpid(child, &status, 0), child);
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(status, 0); /* 14: it waited, until the alarm */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_is_in_it_an_event_is_one_line),
        cmocka_unit_test(json_lines_are_json),
        cmocka_unit_test(trouble_that_repeats_is_held_back),
        cmocka_unit_test(last_words_are_heard_with_their_reason),
        cmocka_unit_test(a_reader_that_stopped_stops_nobody),
    };
    return cmocka_run_group_tests(tests, capture, NULL);
}
