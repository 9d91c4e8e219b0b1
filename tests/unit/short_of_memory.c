#include "short_of_memory.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { SECONDS = 10, MOST = 50000 };
enum { THROUGH = 91 }; /* as work() ended with 0, and no allocation had failed */

static bool counting;
static size_t count, fails_at;

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

static bool fails(void)
{
    if (!counting || ++count != fails_at)
        return false;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t n)
{
    return fails() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    return fails() ? NULL : __libc_realloc(p, n);
}

void memory_counts(void)
{
    counting = true;
}

void memory_is_plenty(void)
{
    counting = false;
}

static int in_child(int (*work)(void *), void *ctx, size_t at)
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(open("/dev/null", O_WRONLY), STDERR_FILENO); /* last words, by the thousand */
        signal(SIGALRM, SIG_DFL);
        signal(SIGSEGV, SIG_DFL); /* cmocka's would go on with the test */
        alarm(SECONDS);
        fails_at = at;
        int rc = work(ctx);
        _exit(rc ? rc : count < fails_at ? THROUGH : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

struct short_of_memory each_allocation_fails(const char *name, int (*work)(void *), void *ctx)
{
    struct short_of_memory ret = {0};
    for (size_t n = 1; n < MOST; n++) {
        int status = in_child(work, ctx, n);
        if (WIFSIGNALED(status))
            fail_msg("%s, allocation %zu: %s", name, n,
                     WTERMSIG(status) == SIGALRM ? "hangs" : strsignal(WTERMSIG(status)));
        if (WEXITSTATUS(status) == THROUGH)
            return ret;
        if (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != MEM_EXIT_STATUS)
            fail_msg("%s, allocation %zu: ended with %d", name, n, WEXITSTATUS(status));
        ret.allocations++;
        ret.borne += WEXITSTATUS(status) == 0;
    }
    fail_msg("%s: no end of allocations", name);
    return ret;
}
