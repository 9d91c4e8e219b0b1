/*
 * What the tables of commands and settings say, for others to read: parts of the manual pages
 * (mdoc), and completion for shells. `trueup reference`, a hidden command, prints them;
 * tools/reference puts them where they belong, and a unit test holds the files to them.
 */
#ifndef CLI_REFERENCE_H
#define CLI_REFERENCE_H

#include "base/buf.h"
#include "cli/cli.h"

enum { REFERENCE_MAX = 1 << 20 };

void manual_head(const struct command *c, struct buf *out);    /* NAME and SYNOPSIS */
void manual_options(const struct command *c, struct buf *out); /* a list of its own options */
void manual_common(struct buf *out);                           /* of those every command takes */
void manual_commands(struct buf *out);
void manual_settings(struct buf *out);

/* bash, zsh or fish; false for another word. */
bool completion_write_shell(const char *shell, struct buf *out);

#endif
