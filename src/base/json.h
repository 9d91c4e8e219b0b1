/*
 * Reading JSON that somebody else wrote.
 *
 * A façade over cJSON, which is lax in places that matter here: this module refuses trailing bytes,
 * invalid UTF-8 and texts over the caller's ceiling, and treats "\u0000" as an error instead of
 * silently cutting the string. Depth is cJSON's limit (1,000). Duplicate keys: the first counts.
 *
 * A document owns everything reached from it; values are valid until json_free(). Every accessor
 * accepts NULL and a value of another type, and answers "absent".
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct json; /* a value; the one from json_parse() owns the tree */

/* NULL with err set when the text is not one JSON value of at most ceiling bytes. */
struct json *json_parse(const char *text, size_t n, size_t ceiling, struct err *err);
void json_free(struct json *doc);

const struct json *json_get(const struct json *object, const char *key);
size_t json_count(const struct json *array);
const struct json *json_first(const struct json *array_or_object);
const struct json *json_next(const struct json *value);
const char *json_key(const struct json *member); /* the name of an object's member */

bool json_is_null(const struct json *v);
bool json_is_object(const struct json *v);
bool json_is_array(const struct json *v);
bool json_is_string(const struct json *v);
bool json_bool(const struct json *v, bool fallback);
const char *json_str(const struct json *v); /* NULL if it is not a string */
/* A whole number that a double holds exactly, or a string of decimal digits. */
bool json_i64(const struct json *v, int64_t *ret);
/* A JSON-RPC quantity: a "0x…" string of at most 64 bits. */
bool json_quantity(const struct json *v, uint64_t *ret);
/* Appends the value as compact text; what does not fit below b's ceiling is cut off at it. */
void json_print(const struct json *v, struct buf *b);

#endif
