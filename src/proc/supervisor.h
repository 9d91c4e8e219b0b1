/*
 * The supervisor: starts the workers, starts them again when they die, stops them in order. It
 * holds no connection and reads no file after the start; what a worker needs is a text it keeps and
 * hands over at each start.
 *
 * It never stops the whole for the fault of one worker. Two ends are not faults but answers, and
 * end the daemon: exit status 4 (another chain) and 2 (settings refused).
 */
#ifndef PROC_SUPERVISOR_H
#define PROC_SUPERVISOR_H

#include <stddef.h>

struct err;

struct service {          /* in the order of start; stopped in the reverse order */
    const char *name;     /* "follow": run as `trueup worker follow` */
    const char *settings; /* the text it gets; the caller's */
    size_t settings_len;
};

/* Runs until SIGTERM or SIGINT (returns 0) or until a worker's exit status ends the daemon (returns
 * it). Logs starts, deaths and restarts. */
int supervise(const struct service *services, size_t n, struct err *err);

#endif
