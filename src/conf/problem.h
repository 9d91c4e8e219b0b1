/*
 * The list of everything that is wrong with the settings, gathered in one run.
 *
 * A line is `PLACE: PATH: CAUSE "OFFENDING TEXT"; expected …`, where the place is FILE:LINE:COL, an
 * environment name or a flag. Lines are kept in the order of the file, whatever order the checks
 * ran in. What is quoted never holds a secret: see show_text().
 */
#ifndef CONF_PROBLEM_H
#define CONF_PROBLEM_H

#include "base/arena.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

struct conf_problems;

/* Where a value stands. line 0: the source says it all ("environment TRUEUP_STORE", "--rpc"). */
struct position {
    const char *source;
    size_t line, column;
};

struct problem_line;
struct problems {
    struct arena *arena;
    struct problem_line *lines;
    size_t count, room;
};

enum { PROBLEMS_SHOWN = 200 };

/* path may be "": the whole file. */
void problem_add(struct problems *p, const struct position *at, const char *path, const char *fmt,
                 ...) __attribute__((format(printf, 4, 5)));

/* In order of place, repeats left out, into what conf_load() hands back. */
void problems_write(struct problems *p, struct conf_problems *ret);

/* `"text"`, cut to 80 bytes at a character's edge, control characters as spaces; anything that
 * looks like a URL loses its user, path and query. */
void show_text(struct buf *out, const char *text, size_t n);

#endif
