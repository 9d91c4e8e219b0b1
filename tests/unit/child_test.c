/* How a process ended, in words; and that ours are told apart from a killer's. Real wait statuses.
 */
#include "base/buf.h"
#include "base/err.h"
#include "proc/child.h"
#include "vectors.h"

#include <fcntl.h>
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

/* Reads its settings as a worker does, from what stands on its descriptor: the status says how. */
static int settings_from(int fd, char *ret, size_t room)
{
    int out[2], status;
    assert_int_equal(pipe(out), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct buf text = BUF_INIT(CHILD_TEXT_MAX);
        struct err err = {0};
        if (fd < 0)
            close(CHILD_SETTINGS_FD);
        else
            dup2(fd, CHILD_SETTINGS_FD);
        int rc = child_read_settings(&text, &err);
        const char *said = rc < 0 ? err.text : buf_str(&text);
        ssize_t sent = write(out[1], said, strlen(said));
        _exit(rc < 0 ? 1 : sent < 0 ? 2 : 0);
    }
    close(out[1]);
    ssize_t n = read(out[0], ret, room - 1);
    ret[n < 0 ? 0 : n] = '\0';
    close(out[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

static void settings_that_cannot_be_read_say_so(void **state)
{
    (void)state;
    char said[200];
    int whole[2];
    assert_int_equal(pipe(whole), 0);
    assert_int_equal(write(whole[1], "store: x", 8), 8);
    close(whole[1]);
    assert_int_equal(settings_from(whole[0], said, sizeof said), 0);
    assert_string_equal(said, "store: x");
    int folder = open("/", O_RDONLY);
    assert_int_equal(settings_from(folder, said, sizeof said), 1);
    assert_string_equal(said, "settings cannot be read: Is a directory");
    assert_int_equal(settings_from(-1, said, sizeof said), 1);
    assert_string_equal(said, "settings cannot be read: Bad file descriptor");
    close(folder);
    close(whole[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exits),
        cmocka_unit_test(signals),
        cmocka_unit_test(little_room_cuts_the_words),
        cmocka_unit_test(settings_are_looked_for_by_their_mark),
        cmocka_unit_test(settings_that_cannot_be_read_say_so),
    };
    return cmocka_run_group_tests_name("child", tests, NULL, NULL);
}
