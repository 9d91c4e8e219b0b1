#include "cli/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool terminal_redraws(int fd)
{
    const char *kind = getenv("TERM");
    return isatty(fd) && kind && kind[0] && strcmp(kind, "dumb") != 0;
}

bool terminal_has_colours(int fd)
{
    const char *plain = getenv("NO_COLOR");
    return terminal_redraws(fd) && !(plain && plain[0]);
}
