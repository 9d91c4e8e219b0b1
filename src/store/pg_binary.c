/*
 * PostgreSQL's binary forms: big-endian integers, times in microseconds since 2000, NUMERIC in
 * digits of base 10,000, arrays as a header and length-prefixed elements (utils/adt/numeric.c,
 * arrayfuncs.c and timestamp.c describe them by their recv and send functions). Binary because a
 * batch of thousands of values is then neither printed nor parsed on either side.
 */
#include "store/pg.h"

#include "base/mem.h"

#include <string.h>

#define EPOCH_2000_US INT64_C(946684800000000)

enum { NUMERIC_POSITIVE = 0, NUMERIC_DIGITS = 20 /* 78 decimals in base 10,000 */ };

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v & 0xffff);
}

static void put64(uint8_t *p, uint64_t v)
{
    put32(p, (uint32_t)(v >> 32));
    put32(p + 4, (uint32_t)v);
}

static unsigned get16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

/* INT64_MIN and INT64_MAX are the infinities on both sides. */
static uint64_t time_out(int64_t us)
{
    if (us == INT64_MAX || us < INT64_MIN + EPOCH_2000_US)
        return (uint64_t)(us == INT64_MAX ? INT64_MAX : INT64_MIN);
    return (uint64_t)(us - EPOCH_2000_US);
}

static int64_t time_in(uint64_t v)
{
    int64_t us = (int64_t)v;
    if (us == INT64_MIN || us > INT64_MAX - EPOCH_2000_US)
        return us == INT64_MIN ? INT64_MIN : INT64_MAX;
    return us + EPOCH_2000_US;
}

/* ---- parameters ------------------------------------------------------------------------------ */

static void add(struct pg_params *p, Oid type, const void *value, size_t n, int format)
{
    p->types[p->n] = type;
    p->values[p->n] = value;
    p->lengths[p->n] = (int)n;
    p->formats[p->n] = format;
    p->n++;
}

void pg_p_text(struct pg_params *p, const char *text)
{
    add(p, PG_TEXT, text ? arena_strdup(p->arena, text) : NULL, text ? strlen(text) : 0, 1);
}

void pg_p_int(struct pg_params *p, bool has, uint64_t v)
{
    uint8_t *out = has ? arena_alloc(p->arena, 8) : NULL;
    if (has)
        put64(out, v > INT64_MAX ? INT64_MAX : v);
    add(p, PG_INT8, out, 8, 1);
}

void pg_p_time(struct pg_params *p, int64_t us)
{
    uint8_t *out = arena_alloc(p->arena, 8);
    put64(out, time_out(us));
    add(p, PG_TIMESTAMPTZ, out, 8, 1);
}

void pg_p_address(struct pg_params *p, const address *a)
{
    char text[ADDRESS_TEXT];
    address_text(a, text);
    pg_p_text(p, text);
}

void pg_p_after(struct pg_params *p, const address *after)
{
    if (after)
        pg_p_address(p, after);
    else
        pg_p_text(p, "");
}

void pg_p_hash(struct pg_params *p, const hash32 *h)
{
    char text[HASH_TEXT];
    hash_text(h, text);
    pg_p_text(p, text);
}

/* ---- arrays ---------------------------------------------------------------------------------- */

enum { ARRAY_HEADER = 20 };

static size_t largest(Oid element)
{
    switch (element) {
    case PG_NUMERIC:
        return 8 + 2 * NUMERIC_DIGITS;
    case PG_TEXT:
        return HASH_TEXT; /* wallets and hashes; what may be longer asks for more room */
    default:
        return 8;
    }
}

void pg_array_begin(struct pg_array *a, struct arena *arena, Oid element, size_t room)
{
    *a = (struct pg_array){.element = element, .len = ARRAY_HEADER};
    a->data = arena_alloc(arena, ARRAY_HEADER + room * (4 + largest(element)));
}

static uint8_t *element(struct pg_array *a, size_t n)
{
    uint8_t *at = a->data + a->len;
    put32(at, (uint32_t)n);
    a->len += 4 + n;
    a->n++;
    return at + 4;
}

void pg_array_null(struct pg_array *a)
{
    put32(a->data + a->len, UINT32_MAX);
    a->len += 4;
    a->n++;
    a->has_null = true;
}

void pg_array_text(struct pg_array *a, const char *text, size_t n)
{
    if (n > PG_ARRAY_TEXT)
        n = PG_ARRAY_TEXT;
    memcpy(element(a, n), text, n);
}

void pg_array_address(struct pg_array *a, const address *w)
{
    char text[ADDRESS_TEXT];
    address_text(w, text);
    memcpy(element(a, ADDRESS_TEXT - 1), text, ADDRESS_TEXT - 1);
}

void pg_array_addresses(struct pg_array *a, struct arena *arena, const address *list, size_t n)
{
    pg_array_begin(a, arena, PG_TEXT, n);
    for (size_t i = 0; i < n; i++)
        pg_array_address(a, &list[i]);
}

void pg_array_hash(struct pg_array *a, const hash32 *h)
{
    char text[HASH_TEXT];
    hash_text(h, text);
    memcpy(element(a, HASH_TEXT - 1), text, HASH_TEXT - 1);
}

void pg_array_int(struct pg_array *a, uint64_t v)
{
    put64(element(a, 8), v > INT64_MAX ? INT64_MAX : v);
}

void pg_array_time(struct pg_array *a, int64_t us)
{
    put64(element(a, 8), time_out(us));
}

void pg_array_tid(struct pg_array *a, const uint8_t tid[PG_TID_SIZE])
{
    memcpy(element(a, PG_TID_SIZE), tid, PG_TID_SIZE);
}

void pg_array_number(struct pg_array *a, const u256 *v)
{
    uint16_t digits[NUMERIC_DIGITS];
    int n = 0, zeros = 0;
    u256 rest = *v;
    while (!u256_is_zero(&rest)) { /* four digits of base 10,000 a division */
        uint64_t four = u256_div_u64(&rest, &rest, UINT64_C(10000000000000000));
        for (int i = 0; i < 4 && (four || !u256_is_zero(&rest)); i++) {
            digits[n++] = (uint16_t)(four % 10000);
            four /= 10000;
        }
    }
    while (zeros < n && digits[zeros] == 0) /* NUMERIC strips trailing zeros; so its sender must */
        zeros++;
    uint8_t *out = element(a, 8 + 2 * (size_t)(n - zeros));
    put16(out, (unsigned)(n - zeros));
    put16(out + 2, n ? (unsigned)(n - 1) : 0); /* weight of the first digit */
    put16(out + 4, NUMERIC_POSITIVE);
    put16(out + 6, 0); /* digits after the point to show */
    out += 8;
    for (int i = n - 1; i >= zeros; i--, out += 2)
        put16(out, digits[i]);
}

void pg_p_array(struct pg_params *p, struct pg_array *a)
{
    Oid type = a->element == PG_TEXT          ? PG_TEXT_ARRAY
               : a->element == PG_TID         ? PG_TID_ARRAY
               : a->element == PG_INT8        ? PG_INT8_ARRAY
               : a->element == PG_TIMESTAMPTZ ? PG_TIMESTAMPTZ_ARRAY
                                              : PG_NUMERIC_ARRAY;
    put32(a->data, a->n ? 1 : 0); /* dimensions */
    put32(a->data + 4, a->has_null);
    put32(a->data + 8, a->element);
    put32(a->data + 12, a->n);
    put32(a->data + 16, 1); /* subscripts start here */
    add(p, type, a->data, a->n ? a->len : 12, 1);
}

/* ---- results --------------------------------------------------------------------------------- */

static const uint8_t *bytes(const PGresult *r, int row, int col, int want)
{
    if (PQgetisnull(r, row, col) || (want >= 0 && PQgetlength(r, row, col) != want))
        return NULL;
    return (const uint8_t *)PQgetvalue(r, row, col);
}

const char *pg_get_text(const PGresult *r, int row, int col)
{
    return (const char *)bytes(r, row, col, -1);
}

/* Only the spelling our tables use: another one would be another key. */
bool pg_get_address(const PGresult *r, int row, int col, address *ret)
{
    const char *text = (const char *)bytes(r, row, col, ADDRESS_TEXT - 1);
    if (!text)
        return false;
    for (int i = 0; i < ADDRESS_TEXT - 1; i++)
        if (text[i] >= 'A' && text[i] <= 'Z')
            return false;
    return address_parse_loose(text, ADDRESS_TEXT - 1, ret);
}

bool pg_get_hash(const PGresult *r, int row, int col, hash32 *ret)
{
    const char *text = (const char *)bytes(r, row, col, HASH_TEXT - 1);
    return text && hash_parse(text, HASH_TEXT - 1, ret);
}

bool pg_get_int(const PGresult *r, int row, int col, uint64_t *ret)
{
    const uint8_t *p = bytes(r, row, col, 8);
    if (!p)
        return false;
    int64_t v = (int64_t)get64(p);
    *ret = v > 0 ? (uint64_t)v : 0;
    return true;
}

bool pg_get_bool(const PGresult *r, int row, int col)
{
    const uint8_t *p = bytes(r, row, col, 1);
    return p && p[0];
}

int64_t pg_get_time(const PGresult *r, int row, int col)
{
    const uint8_t *p = bytes(r, row, col, 8);
    return p ? time_in(get64(p)) : 0;
}

bool pg_get_tid(const PGresult *r, int row, int col, uint8_t ret[PG_TID_SIZE])
{
    const uint8_t *p = bytes(r, row, col, PG_TID_SIZE);
    if (p)
        memcpy(ret, p, PG_TID_SIZE);
    return p != NULL;
}

bool pg_get_number(const PGresult *r, int row, int col, u256 *ret)
{
    const uint8_t *p = bytes(r, row, col, -1);
    if (!p || PQgetlength(r, row, col) < 8)
        return false;
    int n = (int)get16(p);
    int weight = (int)(int16_t)get16(p + 2);
    if (get16(p + 4) != NUMERIC_POSITIVE || PQgetlength(r, row, col) != 8 + 2 * n)
        return false; /* negative, NaN or infinite */
    if (n == 0) {
        *ret = U256_ZERO;
        return true;
    }
    if (weight < n - 1 || weight >= NUMERIC_DIGITS)
        return false; /* a fraction, or above 10^80 */
    u256 v = U256_ZERO;
    for (int i = 0; i <= weight; i++) {
        u256 digit = u256_of(i < n ? get16(p + 8 + 2 * i) : 0);
        if (u256_mul_u64(&v, &v, 10000) != 0 || u256_add(&v, &v, &digit))
            return false;
    }
    *ret = v;
    return true;
}
