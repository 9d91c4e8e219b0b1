/* JSON of values with a type of their own. */
#ifndef WEB_JSON_VALUES_H
#define WEB_JSON_VALUES_H

#include "base/json_write.h"
#include "eth/address.h"
#include "num/u256.h"

/* "2026-11-22T10:29:35.123456Z"; null for what is below 0. */
void json_add_time(struct buf *out, const char *key, int64_t us);
void json_add_seconds(struct buf *out, const char *key, uint64_t wall_s);       /* 0: null */
void json_add_milliseconds(struct buf *out, const char *key, uint64_t wall_ms); /* 0: null */
void json_add_address(struct buf *out, const char *key, const address *a);
void json_add_amount(struct buf *out, const char *key, const u256 *v); /* decimal, as text */

#endif
