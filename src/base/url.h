/*
 * URLs as people may see them. A provider's key sits in the user part, the path or the query, so
 * what is printed keeps scheme, host and port and nothing else: "https://node.example/…".
 */
#ifndef BASE_URL_H
#define BASE_URL_H

#include <stdbool.h>
#include <stddef.h>

enum { URL_TEXT = 300 };

/* The printable form of url into out[URL_TEXT]; what does not look like a URL becomes "(url)".
 * "sqlite:FILE" is kept whole: a file name is no secret. */
void url_masked(char *out, const char *url);

/* The host alone, without port or brackets' loss: "node.example", "[::1]". False if there is none.
 */
bool url_host(const char *url, char *out, size_t room);

/* Copies text to out with every occurrence of url replaced by the masked form, and what of its user
 * part, path and query is long enough to be a secret replaced by dots, even where it stands alone.
 * Text that does not fit is cut at the end. For words that come from libraries and from nodes. */
void url_scrub(char *out, size_t room, const char *text, const char *url);

#endif
