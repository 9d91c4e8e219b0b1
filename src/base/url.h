/*
 * URLs as people may see them. A provider's key sits in the user part, the path or the query, so
 * what is printed keeps scheme, host and port and nothing else: "https://node.example/…".
 */
#ifndef BASE_URL_H
#define BASE_URL_H

#include <stdbool.h>
#include <stddef.h>

enum { URL_TEXT = 300 };

/* The printable form of url into out[URL_TEXT]; what does not look like a URL becomes "(url)". A
 * database's URL keeps its user and database: "postgres://app@db/main".
 * "sqlite:FILE" is kept whole: a file name is no secret. */
void url_masked(char *out, const char *url);

/* Is there a host that cannot be told from a password, since / ? or # stand in it unescaped? */
bool url_hides_host(const char *url);

/* The host alone, without port or brackets' loss: "node.example", "[::1]". False if there is none.
 */
bool url_host(const char *url, char *out, size_t room);

/* The URL that text lacks the scheme of, masked, into out[URL_TEXT]: "localhost:8545" with "ws" is
 * "ws://localhost:8545". False where text is not plainly a host: it may be a key. */
bool url_complete(char *out, const char *text, const char *plain, const char *secure);

/* A database's URL whose password holds an @ that is not escaped: the last @ before the host ends
 * it, and those before it become %40 in out. False where the text is longer than room. */
bool url_escape_at(char *out, size_t room, const char *url);

/* Copies text to out with every occurrence of url replaced by the masked form, and what of its user
 * part, path and query is long enough to be a secret replaced by dots, even where it stands alone.
 * Text that does not fit is cut at the end. For words that come from libraries and from nodes. */
void url_scrub(char *out, size_t room, const char *text, const char *url);

#endif
