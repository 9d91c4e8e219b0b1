/*
 * The moment in which a worker could be left alone: its supervisor dies after the fork, and before
 * the worker has asked to die with it. The kernel tells a child nothing of what came before it
 * asked; so the child looks for itself.
 *
 * prctl() is ours here, and waits in that moment until the parent is dead.
 */
#include "base/err.h"
#include "proc/child.h"
#include "vectors.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HERE_FD = 200, LIVES_FD = 201 }; /* "I am there", "I run": writing ends of pipes */

static bool wait_for_it;

int prctl(int option, ...)
{
    va_list ap;
    va_start(ap, option);
    unsigned long value = va_arg(ap, unsigned long);
    va_end(ap);
    if (option == PR_SET_PDEATHSIG && wait_for_it) {
        const pid_t parent = getppid(), self = getpid();
        if (write(HERE_FD, &self, sizeof self) != sizeof self)
            _exit(3);
        while (getppid() == parent)
            usleep(1000);
    }
    return (int)syscall(SYS_prctl, option, value, 0, 0, 0);
}

/* The worker: only says that it runs, and stays. */
static int worker(void)
{
    if (write(LIVES_FD, "!", 1) != 1)
        return 3;
    for (;;)
        pause();
}

/* The supervisor: starts it, and dies when told. */
static pid_t start_supervisor(void)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    struct child_ask ask = {.role = "follow", .text = "", .n = 0};
    struct err err = {0};
    pid_t child;
    if (child_start(&ask, NULL, &child, &err) < 0)
        _exit(3);
    for (;;)
        pause();
}

static void make_pipe(int write_to, int *ret_read)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(dup2(ends[1], write_to), write_to);
    close(ends[1]);
    *ret_read = ends[0];
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
}

static bool runs(int lives)
{
    char c;
    fcntl(lives, F_SETFL, O_NONBLOCK);
    return read(lives, &c, 1) == 1;
}

static void no_worker_is_left_alone(void **state)
{
    (void)state;
    int here, lives, status = 0;
    pid_t left;
    make_pipe(HERE_FD, &here);
    make_pipe(LIVES_FD, &lives);
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1UL), 0); /* so that it is ours to wait for */
    wait_for_it = true;
    pid_t supervisor = start_supervisor();
    assert_int_equal(read(here, &left, sizeof left), sizeof left);
    kill(supervisor, SIGKILL);
    assert_int_equal(waitpid(supervisor, NULL, 0), supervisor);
    for (int i = 0; waitpid(left, &status, WNOHANG) == 0; i++) {
        if (i >= 1000 || runs(lives)) {
            kill(left, SIGKILL);
            fail_msg("it lives on without its supervisor");
        }
        usleep(5000);
    }
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    assert_false(runs(lives));
}

/* The same without the moment: it does run, so the test above sees what it says it sees; and it
 * goes with its supervisor. */
static void one_that_asked_in_time_runs_and_is_told(void **state)
{
    (void)state;
    int lives, status = 0;
    char c;
    make_pipe(LIVES_FD, &lives);
    wait_for_it = false;
    pid_t supervisor = start_supervisor();
    assert_int_equal(read(lives, &c, 1), 1);
    kill(supervisor, SIGKILL);
    assert_int_equal(waitpid(supervisor, NULL, 0), supervisor);
    assert_true(waitpid(-1, &status, 0) > 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "worker") == 0)
        return worker();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_worker_is_left_alone),
        cmocka_unit_test(one_that_asked_in_time_runs_and_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
