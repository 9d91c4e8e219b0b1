/* Microseconds since 1970 in UTC, and their text as SQLite tables hold it. Pure. */
#ifndef STORE_TIMES_H
#define STORE_TIMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TIME_TEXT = 27 }; /* "2026-11-22 10:29:35.123456" */

void time_to_text(int64_t us, char ret[TIME_TEXT]);
/* With or without a fraction of 1 to 6 digits. */
bool time_from_text(const char *s, size_t n, int64_t *ret_us);

#endif
