#include "cli/progress.h"
#include "base/clock.h"
#include "cli/terminal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { REDRAW_MS = 100, LINE_MS = 10000, BAR_MAX = 30 };

void progress_start(struct progress *p, const char *unit, const char *what, ...)
{
    va_list ap;
    *p = (struct progress){.unit = unit,
                           .terminal = terminal_redraws(STDERR_FILENO),
                           .started_ms = clock_ms(),
                           .drawn_ms = clock_ms()};
    va_start(ap, what);
    vsnprintf(p->what, sizeof p->what, what, ap);
    va_end(ap);
}

static int terminal_width(void)
{
    struct winsize w;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : 80;
}

static void progress_draw_line(struct progress *p, uint64_t done, uint64_t total, uint64_t requests)
{
    char line[256], bar[BAR_MAX + 1] = "", eta[CLOCK_TEXT] = "?";
    int64_t spent = clock_ms() - p->started_ms;
    uint64_t rate = spent > 0 ? done * 1000 / (uint64_t)spent : 0;
    if (total > 0) {
        uint64_t part = done >= total ? BAR_MAX : done * BAR_MAX / total;
        memset(bar, '.', BAR_MAX);
        memset(bar, '#', part);
        if (rate > 0)
            duration_text(eta, (int64_t)((total > done ? total - done : 0) * 1000 / rate));
    }
    snprintf(line, sizeof line,
             "%s%s%s%s %" PRIu64 "%s%" PRIu64 " %s, %" PRIu64 "/s, %" PRIu64 " requests, ETA %s",
             p->what, bar[0] ? " [" : "", bar, bar[0] ? "]" : "", done, total ? " of " : " / ",
             total ? total : done, p->unit, rate, requests, eta);
    int width = terminal_width() - 1;
    if (p->terminal) /* blanks wipe the rest of the last line: no escape sequence is needed */
        fprintf(stderr, "\r%-*.*s", width, width, line);
    else
        fprintf(stderr, "%s\n", line);
    p->drawn = true;
}

void progress_show(struct progress *p, uint64_t done, uint64_t total, uint64_t requests)
{
    if (clock_ms() - p->drawn_ms < (p->terminal ? REDRAW_MS : LINE_MS))
        return;
    p->drawn_ms = clock_ms();
    progress_draw_line(p, done, total, requests);
}

void progress_end(struct progress *p)
{
    if (p->drawn && p->terminal)
        fputc('\n', stderr);
}
