/*
 * Reading the settings again, without ever holding the reader in the supervisor: a helper (`trueup
 * worker reload`) is started with a text that says what to read, and hands back what the workers
 * shall get, on a pipe. It has a deadline; what it says beyond a ceiling, or with another status
 * than 0, is not looked at: then everything stays as it was.
 *
 * A file may name anything of the environment, so the helper needs all of it. It gets it in that
 * text, as every worker gets its secrets: its own environment is as clean as theirs.
 *
 * The answer is a row of parts: "NAME LENGTH\n" and as many bytes.
 */
#ifndef PROC_RELOAD_H
#define PROC_RELOAD_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct reload {
    const char *text; /* for the helper; the caller's */
    size_t n;
    int64_t patience_ms; /* of the helper's life */
    pid_t pid;           /* 0: none is under way */
    int fd;              /* −1 */
    int64_t deadline_ms;
    uint64_t attempt; /* counted, so that no failure's line looks like the last one's */
    bool once_more;   /* asked for again meanwhile */
    struct buf answer;
};

void reload_begin(struct reload *r);
/* Takes what can be read without waiting. */
void reload_read(struct reload *r);
/* Kills a helper that takes too long. */
void reload_tick(struct reload *r);
int64_t reload_due(const struct reload *r); /* INT64_MAX: nothing is due */
/* The helper is dead, with this wait status. True: the answer is whole, ask reload_part(). */
bool reload_ended(struct reload *r, int status);
/* The next part, from *at on (first 0); false at the end. name is NUL-terminated. */
bool reload_part(struct reload *r, size_t *at, const char **name, const char **text, size_t *n);
/* When its parts have been taken; begins anew if that was asked for meanwhile. */
void reload_done(struct reload *r);

void reload_text_part(struct buf *out, const char *name, const char *text, size_t n);

#endif
