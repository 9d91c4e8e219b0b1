/*
 * What a URL asks for behind its '?': NAME=VALUE parts with '&' between, decoded already.
 */
#ifndef WEB_QUERY_H
#define WEB_QUERY_H

#include <stddef.h>

/* The value of the first part that is called name, cut to room; NULL if there is none. A part that
 * has no '=' has no value, and is none. Returns ret. */
const char *query_value(const char *query, const char *name, char *ret, size_t room);

/* The first parameter of the query that is none of the known ones, a blank between them, cut to
 * room; NULL if there is none. */
const char *query_unknown(const char *query, const char *known, char *ret, size_t room);

#endif
