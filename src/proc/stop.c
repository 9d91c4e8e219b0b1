#include "proc/stop.h"
#include "base/clock.h"
#include "proc/alive.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static volatile sig_atomic_t asked;
static int wake[2] = {-1, -1}; /* a pipe: written by the handler, watched by the wait */

static void stop_on_signal(int number)
{
    (void)number;
    asked = 1;
    ssize_t ignored = write(wake[1], "", 1);
    (void)ignored;
}

void stop_install(void)
{
    /* The second Ctrl-C ends us at once: the first may wait for a database that hangs. */
    struct sigaction act = {.sa_handler = stop_on_signal, .sa_flags = (int)SA_RESETHAND};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    if (wake[0] < 0 && pipe2(wake, O_CLOEXEC | O_NONBLOCK) < 0)
        wake[0] = wake[1] = -1;
    sigemptyset(&act.sa_mask);
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

bool stop_asked(void)
{
    return asked != 0;
}

int stop_fd(void)
{
    return wake[0];
}

bool stop_wait_until(int64_t deadline_ms)
{
    struct pollfd p = {.fd = wake[0], .events = POLLIN};
    int left;
    while (!asked && (left = ms_until(deadline_ms)) > 0)
        poll(&p, 1, alive_slice(left));
    return stop_asked();
}

bool stop_wait(int64_t ms)
{
    return stop_wait_until(clock_ms() + ms);
}
