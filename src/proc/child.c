#include "proc/child.h"
#include "base/err.h"
#include "base/mem.h"
#include "proc/counters.h"
#include "proc/hint.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ENVIRONMENT_MAX = 64 };

static const char settings_mark[] = "TRUEUP_SETTINGS_FD=3";

/* What a worker may see of our environment: where programs, certificates, proxies and libpq's own
 * files are. Everything else, and with it every secret of ours, stays behind. */
static bool child_may_pass(const char *entry)
{
    static const char *const names[] = {"PATH=",
                                        "HOME=",
                                        "TZ=",
                                        "LANG=",
                                        "LC_ALL=",
                                        "TMPDIR=",
                                        "SSL_CERT_FILE=",
                                        "SSL_CERT_DIR=",
                                        "CURL_CA_BUNDLE=",
                                        "http_proxy=",
                                        "https_proxy=",
                                        "no_proxy=",
                                        "HTTPS_PROXY=",
                                        "NO_PROXY=",
                                        "ALL_PROXY=",
                                        "all_proxy=",
                                        "PG",
                                        "ASAN_OPTIONS=",
                                        "UBSAN_OPTIONS=",
                                        "LSAN_OPTIONS=",
                                        "TSAN_OPTIONS="};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (strncmp(entry, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

static void child_clean_environment(char *ret[ENVIRONMENT_MAX])
{
    size_t n = 0;
    for (char **e = environ; *e && n < ENVIRONMENT_MAX - 2; e++)
        if (child_may_pass(*e))
            ret[n++] = *e;
    ret[n++] = (char *)(uintptr_t)settings_mark;
    ret[n] = NULL;
}

/* The whole text must fit the pipe: nobody reads it before the child runs. */
static int child_settings_pipe(const char *settings, size_t n, int fds[2], struct err *err)
{
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_set(err, ERR_FAILED, "pipe: %s", strerror(errno));
    if (n > 65536)
        fcntl(fds[1], F_SETPIPE_SZ, CHILD_TEXT_MAX * 2);
    fcntl(fds[1], F_SETFL, O_NONBLOCK);
    ssize_t sent = write(fds[1], settings, n);
    if (sent != (ssize_t)n) {
        close(fds[0]);
        close(fds[1]);
        return err_set(err, ERR_TOO_LARGE, "settings of %zu bytes do not fit a pipe", n);
    }
    close(fds[1]);
    return 0;
}

/* From here on only exec or _exit. fds at or below 4 are moved up first, so that dup2 to 3 and 4
 * cannot overwrite one still needed. */
static void child_exec(const struct child_ask *ask, int settings_fd, int result_fd, pid_t parent)
{
    char *env[ENVIRONMENT_MAX];
    char *args[] = {(char *)(uintptr_t) "trueup", (char *)(uintptr_t) "worker",
                    (char *)(uintptr_t)ask->role, NULL};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGCHLD, SIG_DFL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    int settings_high = fcntl(settings_fd, F_DUPFD_CLOEXEC, 10);
    int result_high = result_fd < 0 ? -1 : fcntl(result_fd, F_DUPFD_CLOEXEC, 10);
    int counters_high =
        counters_fd() < 0 ? -1 : fcntl(counters_fd(), F_DUPFD_CLOEXEC, COUNTERS_FD + 1);
    int hint_fd = hint_end_for(ask->role);
    int hint_high = hint_fd < 0 ? -1 : fcntl(hint_fd, F_DUPFD_CLOEXEC, COUNTERS_FD + 1);
    if (counters_high >= 0)
        dup2(counters_high, COUNTERS_FD);
    if (hint_high >= 0)
        dup2(hint_high, HINT_FD);
    if (settings_high < 0 || dup2(settings_high, CHILD_SETTINGS_FD) < 0)
        _exit(1);
    if (result_high >= 0 && dup2(result_high, CHILD_RESULT_FD) < 0)
        _exit(1);
    child_clean_environment(env);
    execve("/proc/self/exe", args, env);
    _exit(127);
}

int child_start(const struct child_ask *ask, int *result_fd, pid_t *ret, struct err *err)
{
    int in[2], out[2] = {-1, -1};
    pid_t parent = getpid();
    if (child_settings_pipe(ask->text, ask->n, in, err) < 0)
        return -1;
    if (result_fd && pipe2(out, O_CLOEXEC) < 0) {
        close(in[0]);
        return err_set(err, ERR_FAILED, "pipe: %s", strerror(errno));
    }
    pid_t pid = fork();
    if (pid == 0)
        child_exec(ask, in[0], out[1], parent);
    int why = errno;
    close(in[0]);
    if (result_fd)
        close(out[1]);
    if (pid < 0) {
        if (result_fd)
            close(out[0]);
        return err_set(err, ERR_FAILED, "fork: %s", strerror(why));
    }
    if (result_fd)
        *result_fd = out[0];
    *ret = pid;
    return 0;
}

bool child_has_settings(void)
{
    const char *mark = getenv("TRUEUP_SETTINGS_FD");
    return mark && strcmp(mark, "3") == 0;
}

int child_read_settings(struct buf *ret, struct err *err)
{
    ret->ceiling = CHILD_TEXT_MAX;
    for (;;) {
        char *to = buf_reserve(ret, 4096);
        if (!to)
            return err_set(err, ERR_TOO_LARGE, "settings over %d bytes", CHILD_TEXT_MAX);
        ssize_t n = read(CHILD_SETTINGS_FD, to, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, ERR_FAILED, "settings cannot be read: %s", strerror(errno));
        if (n == 0)
            break;
        ret->len += (size_t)n;
        ret->data[ret->len] = '\0';
    }
    close(CHILD_SETTINGS_FD);
    unsetenv("TRUEUP_SETTINGS_FD");
    return 0;
}

void child_status_text(int status, char *out, size_t room, int *exit_code)
{
    *exit_code = -1;
    if (WIFEXITED(status)) {
        *exit_code = WEXITSTATUS(status);
        snprintf(out, room, "status %d", *exit_code);
    } else if (WIFSIGNALED(status)) {
        snprintf(out, room, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else {
        snprintf(out, room, "wait status %d", status);
    }
}
