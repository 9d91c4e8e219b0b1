/* How a process ended, in words; and that ours are told apart from a killer's. Real wait statuses.
 */
#include "proc/child.h"
#include "vectors.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static int status_of(int exit_code, int sig)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        signal(sig ? sig : SIGTERM, SIG_DFL); /* cmocka catches some */
        if (sig)
            raise(sig);
        _exit(exit_code);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void exits(void **state)
{
    (void)state;
    for (int code = 0; code <= 255; code += 51) {
        char words[80], want[80];
        int got = -2;
        child_status_text(status_of(code, 0), words, sizeof words, &got);
        assert_int_equal(got, code);
        snprintf(want, sizeof want, "status %d", code);
        assert_string_equal(words, want);
    }
}

/* The number of a signal must never read as an exit status: 4 ends the daemon, SIGILL does not. */
static void signals(void **state)
{
    (void)state;
    const int list[] = {SIGKILL, SIGTERM, SIGILL, SIGINT};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        char words[80], want[80];
        int got = 0;
        child_status_text(status_of(0, list[i]), words, sizeof words, &got);
        assert_int_equal(got, -1);
        snprintf(want, sizeof want, "signal %d (%s)", list[i], strsignal(list[i]));
        assert_string_equal(words, want);
    }
}

static void little_room_cuts_the_words(void **state)
{
    (void)state;
    char words[9] = "";
    int got = 0;
    child_status_text(status_of(0, SIGKILL), words, sizeof words, &got);
    assert_string_equal(words, "signal 9");
    assert_int_equal(got, -1);
}

static void settings_are_looked_for_by_their_mark(void **state)
{
    (void)state;
    unsetenv("TRUEUP_SETTINGS_FD");
    assert_false(child_has_settings());
    setenv("TRUEUP_SETTINGS_FD", "4", 1);
    assert_false(child_has_settings());
    setenv("TRUEUP_SETTINGS_FD", "3", 1);
    assert_true(child_has_settings());
    unsetenv("TRUEUP_SETTINGS_FD");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exits),
        cmocka_unit_test(signals),
        cmocka_unit_test(little_room_cuts_the_words),
        cmocka_unit_test(settings_are_looked_for_by_their_mark),
    };
    return cmocka_run_group_tests_name("child", tests, NULL, NULL);
}
