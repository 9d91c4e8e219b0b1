#include "cli/figures.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>

const char *figure_grouped(uint64_t v, char out[FIGURE_TEXT])
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%" PRIu64, v), at = 0;
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

const char *figure_bytes(double bytes, char out[FIGURE_TEXT])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    size_t i = 0;
    for (; bytes >= 1000 && i < COUNT_OF(units) - 1; i++)
        bytes /= 1000;
    snprintf(out, FIGURE_TEXT, "%.*f %s", i && bytes < 10 ? 1 : 0, bytes, units[i]);
    return out;
}
