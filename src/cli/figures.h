/* Numbers for people. */
#ifndef CLI_FIGURES_H
#define CLI_FIGURES_H

#include <stdint.h>

enum { FIGURE_TEXT = 32 };

/* "18,000,000" and "1.4 GB". Both return out. */
const char *figure_grouped(uint64_t v, char out[FIGURE_TEXT]);
const char *figure_bytes(double bytes, char out[FIGURE_TEXT]);

#endif
