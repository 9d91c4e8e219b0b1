/* What may be drawn on a terminal: nothing but plain lines where TERM says so or is not there. */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <stdbool.h>

/* Lines may be redrawn in place: fd is a terminal, and TERM is neither absent, empty nor "dumb". */
bool terminal_redraws(int fd);
/* The same, and NO_COLOR is absent or empty (no-color.org). */
bool terminal_has_colours(int fd);

#endif
