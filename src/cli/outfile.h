/*
 * A file that is there whole or not at all: written beside its place as NAME.part, made durable,
 * and only then renamed. What a kill leaves behind is the part, which the next run writes over. "-"
 * is stdout, which cannot be taken back.
 */
#ifndef CLI_OUTFILE_H
#define CLI_OUTFILE_H

#include <limits.h>
#include <stdio.h>

struct err;

struct outfile {
    FILE *f;
    char name[PATH_MAX], part[PATH_MAX + 8]; /* name "" for stdout */
};

/* Fails when the folder cannot be written to, and while another process writes the same file. */
int outfile_open(struct outfile *o, const char *name, struct err *err);
int outfile_printf(struct outfile *o, struct err *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int outfile_keep(struct outfile *o, struct err *err); /* it is in its place now, and durable */
void outfile_drop(struct outfile *o);                 /* nothing of it stays; harmless after keep */

#endif
