/*
 * The supervisor: starts the workers, watches them, starts them again when they die or hang, and
 * stops them in order. It holds no connection and reads no file after the start; what a worker
 * needs is a text it keeps and hands over at each start.
 *
 * It never stops the whole for the fault of one worker (proc/worker_process.h). Two ends are not
 * faults but answers, and end the daemon: exit status 4 (another chain) and 2 (settings refused).
 */
#ifndef PROC_SUPERVISOR_H
#define PROC_SUPERVISOR_H

#include "proc/worker_process.h"

struct err;

struct supervision {
    struct service *services; /* in the order of start; stopped in the reverse order */
    size_t n;
    /* For who reads the settings again at SIGHUP (proc/reload.h); NULL: SIGHUP does nothing. */
    const char *reload;
    size_t reload_len;
    int64_t reload_ms; /* how long that may take */
    /* Told of each part of its answer that is no service's. */
    void (*on_part)(const char *name, const char *text, size_t n);
};

/* Runs until SIGTERM or SIGINT (returns 0) or until a worker's exit status ends the daemon (returns
 * it). Logs starts, deaths and restarts. Settings of services change with SIGHUP. */
int supervisor_run(struct supervision *ask, struct err *err);

#endif
