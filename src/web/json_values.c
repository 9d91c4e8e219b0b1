#include "web/json_values.h"
#include "store/times.h"

#include <string.h>

void json_add_time(struct buf *out, const char *key, int64_t us)
{
    char text[TIME_TEXT + 1];
    time_to_text(us > 0 ? us : 0, text);
    text[10] = 'T';
    /* The placeholder of a row that was never read has no fraction. */
    size_t n = us > 0 ? strlen(text) : strlen("1970-01-01T00:00:00");
    text[n] = 'Z';
    text[n + 1] = '\0';
    json_add_text(out, key, us < 0 ? NULL : text);
}

void json_add_seconds(struct buf *out, const char *key, uint64_t wall_s)
{
    json_add_time(out, key, wall_s ? (int64_t)wall_s * 1000000 : -1);
}

void json_add_milliseconds(struct buf *out, const char *key, uint64_t wall_ms)
{
    json_add_time(out, key, wall_ms ? (int64_t)wall_ms * 1000 : -1);
}

void json_add_address(struct buf *out, const char *key, const address *a)
{
    char text[ADDRESS_TEXT];
    address_text(a, text);
    json_add_text(out, key, text);
}

void json_add_amount(struct buf *out, const char *key, const u256 *v)
{
    char text[U256_DEC_ROOM];
    u256_to_dec(v, text);
    json_add_text(out, key, text);
}
