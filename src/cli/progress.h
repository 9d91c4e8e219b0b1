/*
 * Progress for a person: a bar redrawn in place on a terminal (at most ten times a second), a plain
 * line every ten seconds elsewhere. On stderr: results go to stdout.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    char what[96];    /* "sweep audio" */
    const char *unit; /* of what is counted: "rows" */
    bool terminal;
    int64_t started_ms, drawn_ms;
    bool drawn;
};

void progress_start(struct progress *p, const char *unit, const char *what, ...)
    __attribute__((format(printf, 3, 4)));
/* total 0: unknown. requests: RPC requests so far. */
void progress_show(struct progress *p, uint64_t done, uint64_t total, uint64_t requests);
void progress_end(struct progress *p); /* leaves the last line */

#endif
