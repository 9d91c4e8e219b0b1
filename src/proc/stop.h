/*
 * "Were we asked to stop?" — the only thing our signal handlers do is to set this. A wait ends at
 * once when a signal comes, without the race between looking and sleeping.
 */
#ifndef PROC_STOP_H
#define PROC_STOP_H

#include <stdbool.h>
#include <stdint.h>

/* SIGTERM and SIGINT ask to stop; SIGPIPE is ignored. Call once, before anything waits. */
void stop_install(void);
bool stop_asked(void);
int stop_fd(void); /* readable, and stays so, once a stop is asked for; −1 before stop_install() */
/* Sleeps until the monotonic deadline or until a stop is asked for; true when it was. */
bool stop_wait_until(int64_t deadline_ms);
bool stop_wait(int64_t ms);

#endif
