#include "proc/hint.h"
#include "base/clock.h"
#include "base/err.h"
#include "proc/alive.h"
#include "proc/stop.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(sizeof(struct hint) <= PIPE_BUF, "a hint is written whole or not at all");

static int ends[2] = {
    -1, -1}; /* of the supervisor: one pipe a process, as it has one page of counters */

int hint_create(struct err *err)
{
    if (ends[0] >= 0)
        return 0;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return err_set(err, ERR_FAILED, "pipe: %s", strerror(errno));
    fcntl(ends[1], F_SETPIPE_SZ, HINT_PIPE); /* refused: the usual 64 KB */
    return 0;
}

int hint_end_for(const char *worker)
{
    if (strcmp(worker, "follow") == 0)
        return ends[0];
    return strcmp(worker, "listen") == 0 ? ends[1] : -1;
}

int hint_attach(void)
{
    struct stat st;
    return fstat(HINT_FD, &st) == 0 && S_ISFIFO(st.st_mode) ? HINT_FD : -1;
}

bool hint_send(int fd, const struct hint *h)
{
    return fd >= 0 && write(fd, h, sizeof *h) == (ssize_t)sizeof *h;
}

bool hint_receive(int fd, struct hint *ret)
{
    struct hint h;
    if (fd < 0 || read(fd, &h, sizeof h) != (ssize_t)sizeof h)
        return false;
    *ret = h;
    return true;
}

void hint_wait_until(int fd, int64_t deadline_ms)
{
    struct pollfd p[] = {{.fd = stop_fd(), .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    int left;
    while (!stop_asked() && (left = ms_until(deadline_ms)) > 0)
        if (poll(p, 2, alive_slice(left)) > 0)
            return;
}
