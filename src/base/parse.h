/*
 * Strict parsing: a function consumes the whole text or fails and leaves its output untouched. The
 * libc calls that guess (atoi, strtol, sscanf) are not used anywhere.
 */
#ifndef BASE_PARSE_H
#define BASE_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decimal digits only, no sign, no blanks. */
bool parse_u64(const char *s, size_t n, uint64_t *ret);
/* The number at the front of *s, which ends at a blank or with the text; *s moves behind the blanks
 * that follow. For texts of ours that are a row of numbers. */
bool parse_u64_next(const char **s, uint64_t *ret);
/* 0x and 1 to 16 hex digits: a JSON-RPC quantity. Leading zeros are tolerated (some nodes). */
bool parse_hex_u64(const char *s, size_t n, uint64_t *ret);
/* Exactly 2 * count hex digits, no 0x. */
bool parse_hex(const char *s, size_t n, uint8_t *ret, size_t count);
/* "0x" and exactly 2 * count hex digits. */
bool parse_0x(const char *s, size_t n, uint8_t *ret, size_t count);
/* "250ms", "30s", "5m", "24h", "7d", into milliseconds; a bare number is refused. */
bool parse_duration(const char *s, size_t n, int64_t *ret_ms);
/* One character of UTF-8, by RFC 3629: its length, or 0 when it is malformed. n > 0. */
size_t parse_utf8(const char *text, size_t n, uint32_t *ret);
int hex_digit(char c); /* 0 … 15, or −1 */

#endif
