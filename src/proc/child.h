/*
 * Starting ourselves again in another role: fork *and* exec, so that nothing is inherited: no
 * connection, no library state. It is the binary that runs, also when its file was replaced: all
 * processes of a daemon are of one version.
 *
 * The child gets its settings as text through a pipe on fd 3 and an environment of a few harmless
 * names; secrets are neither in its arguments nor in its environment. It is in a process group of
 * its own (a terminal's Ctrl-C reaches the supervisor alone) and dies when its parent does.
 */
#ifndef PROC_CHILD_H
#define PROC_CHILD_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct err;

enum {
    CHILD_SETTINGS_FD = 3,
    CHILD_RESULT_FD = 4,
    CHILD_TEXT_MAX = 512 * 1024,
};

struct child_ask {
    const char *role; /* started as `trueup worker ROLE` */
    const char *text; /* what it finds on fd 3 */
    size_t n;
};

/* result_fd: NULL, or receives the reading end of what the child writes to fd 4. */
int child_start(const struct child_ask *ask, int *result_fd, pid_t *ret, struct err *err);

/* In the child: true when settings were handed over on fd 3, and reads them. */
bool child_has_settings(void);
int child_read_settings(struct buf *ret, struct err *err);

/* What a wait status means, in words: "status 1", "signal 9 (Killed)"; exit_code −1 when
 * it did not exit by itself. */
void child_status_text(int status, char *out, size_t room, int *exit_code);

#endif
