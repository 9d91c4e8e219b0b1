/*
 * PostgreSQL's binary forms: big-endian integers, times in microseconds since 2000, NUMERIC in
 * digits of base 10,000, arrays as a header and length-prefixed elements (utils/adt/numeric.c,
 * arrayfuncs.c and timestamp.c describe them by their recv and send functions). Binary because a
 * batch of thousands of values is then neither printed nor parsed on either side.
 */
#include "store/pg.h"

#include <string.h>

#define EPOCH_2000_US INT64_C(946684800000000)

enum { NUMERIC_POSITIVE = 0, NUMERIC_DIGITS = 20 /* 78 decimals in base 10,000 */ };

static void pg_put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void pg_put32(uint8_t *p, uint32_t v)
{
    pg_put16(p, v >> 16);
    pg_put16(p + 2, v & 0xffff);
}

static void pg_put64(uint8_t *p, uint64_t v)
{
    pg_put32(p, (uint32_t)(v >> 32));
    pg_put32(p + 4, (uint32_t)v);
}

static unsigned pg_get16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

static uint64_t pg_get64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

/* INT64_MIN and INT64_MAX are the infinities on both sides. */
static uint64_t pg_time_out(int64_t us)
{
    if (us == INT64_MAX || us < INT64_MIN + EPOCH_2000_US)
        return (uint64_t)(us == INT64_MAX ? INT64_MAX : INT64_MIN);
    return (uint64_t)(us - EPOCH_2000_US);
}

static int64_t pg_time_in(uint64_t v)
{
    int64_t us = (int64_t)v;
    if (us == INT64_MIN || us > INT64_MAX - EPOCH_2000_US)
        return us == INT64_MIN ? INT64_MIN : INT64_MAX;
    return us + EPOCH_2000_US;
}

/* ---- parameters ------------------------------------------------------------------------------ */

/* Types by their fixed object id (pg_type.dat), and the room that a value of a set may take. */
static const struct {
    Oid type, array;
    size_t room;
} pg_kinds[] = {
    [DB_TEXT] = {25, 1009, 200},       [DB_NUMBER] = {20, 1016, 8},
    [DB_TIME] = {1184, 1185, 8},       [DB_ADDRESS] = {25, 1009, ADDRESS_TEXT},
    [DB_HASH] = {25, 1009, HASH_TEXT}, [DB_BALANCE] = {1700, 1231, 8 + 2 * NUMERIC_DIGITS},
    [DB_TID] = {27, 1010, TID_SIZE},   [DB_XID] = {28, 1011, XID_SIZE},
};

static size_t pg_put_balance(uint8_t *out, const u256 *v)
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
    pg_put16(out, (unsigned)(n - zeros));
    pg_put16(out + 2, n ? (unsigned)(n - 1) : 0); /* weight of the first digit */
    pg_put16(out + 4, NUMERIC_POSITIVE);
    pg_put16(out + 6, 0); /* digits after the point to show */
    out += 8;
    for (int i = n - 1; i >= zeros; i--, out += 2)
        pg_put16(out, digits[i]);
    return 8 + 2 * (size_t)(n - zeros);
}

/* In binary; how many bytes, and up to the room of the kind may be written. A text of a set is cut
 * to its room. */
static size_t pg_put_value(uint8_t *out, enum db_kind kind, const void *at)
{
    switch (kind) {
    case DB_TEXT: {
        const char *s = *(const char *const *)at;
        size_t n = s ? strnlen(s, pg_kinds[DB_TEXT].room) : 0;
        if (n > 0)
            memcpy(out, s, n);
        return n;
    }
    case DB_NUMBER: {
        uint64_t v = *(const uint64_t *)at;
        pg_put64(out, v > INT64_MAX ? INT64_MAX : v);
        return 8;
    }
    case DB_TIME:
        pg_put64(out, pg_time_out(*(const int64_t *)at));
        return 8;
    case DB_ADDRESS:
        address_text(at, (char *)out);
        return ADDRESS_TEXT - 1;
    case DB_HASH:
        hash_text(at, (char *)out);
        return HASH_TEXT - 1;
    case DB_BALANCE:
        return pg_put_balance(out, at);
    case DB_TID:
        memcpy(out, at, TID_SIZE);
        return TID_SIZE;
    case DB_XID:
        memcpy(out, at, XID_SIZE);
        return XID_SIZE;
    case DB_NONE:
        break;
    }
    return 0;
}

enum { ARRAY_HEADER = 20 };

/* A header and each value behind its length. */
static size_t pg_put_array(uint8_t *out, const struct db_param *p, size_t n)
{
    uint8_t *to = out + ARRAY_HEADER;
    bool has_null = false;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *at = (const uint8_t *)p->at + i * p->stride;
        const bool *has = p->has ? (const bool *)((const uint8_t *)p->has + i * p->stride) : NULL;
        size_t len = 0;
        if (!has || *has)
            len = pg_put_value(to + 4, p->kind, at);
        pg_put32(to, has && !*has ? UINT32_MAX : (uint32_t)len);
        has_null |= has && !*has;
        to += 4 + len;
    }
    pg_put32(out, n ? 1 : 0); /* dimensions */
    pg_put32(out + 4, has_null);
    pg_put32(out + 8, pg_kinds[p->kind].type);
    pg_put32(out + 12, (uint32_t)n);
    pg_put32(out + 16, 1); /* subscripts start here */
    return n ? (size_t)(to - out) : 12;
}

static void pg_bind_one(struct pg_params *ret, const struct db_param *p, size_t set,
                        struct arena *arena)
{
    uint8_t *out = NULL;
    size_t n = 0;
    if (p->stride && p->at) {
        out = arena_alloc(arena, ARRAY_HEADER + set * (4 + pg_kinds[p->kind].room));
        n = pg_put_array(out, p, set);
    } else if (p->stride || p->kind == DB_TEXT) {
        out = (uint8_t *)p->at;      /* of any length, as it is */
        n = out ? strlen(p->at) : 0; /* NULL is NULL, for a set too */
    } else {
        out = arena_alloc(arena, pg_kinds[p->kind].room);
        n = pg_put_value(out, p->kind, p->at ? p->at : &p->number);
    }
    ret->types[ret->n] = p->stride ? pg_kinds[p->kind].array : pg_kinds[p->kind].type;
    ret->values[ret->n] = (const char *)out;
    ret->lengths[ret->n] = (int)n;
    ret->formats[ret->n] = 1;
    ret->n++;
}

void pg_bind(struct pg_params *ret, const struct db_query *q, struct arena *arena)
{
    ret->n = 0;
    for (size_t i = 0; i < DB_PARAMS && q->params[i].kind != DB_NONE; i++)
        pg_bind_one(ret, &q->params[i], q->set, arena);
}

/* ---- results --------------------------------------------------------------------------------- */

static const uint8_t *pg_get_bytes(const struct db_rows *r, int col, size_t *ret_n)
{
    *ret_n = (size_t)PQgetlength(r->at, r->row, col);
    if (*ret_n == 0 && PQgetisnull(r->at, r->row, col))
        return NULL;
    return (const uint8_t *)PQgetvalue(r->at, r->row, col);
}

const char *pg_get_text(const struct db_rows *r, int col, size_t *ret_n)
{
    return (const char *)pg_get_bytes(r, col, ret_n);
}

/* A bigint or a boolean. */
bool pg_get_number(const struct db_rows *r, int col, int64_t *ret)
{
    size_t n;
    const uint8_t *p = pg_get_bytes(r, col, &n);
    if (!p || (n != 8 && n != 1))
        return false;
    *ret = n == 8 ? (int64_t)pg_get64(p) : p[0];
    return true;
}

int64_t pg_get_time(const struct db_rows *r, int col)
{
    size_t n;
    const uint8_t *p = pg_get_bytes(r, col, &n);
    return p && n == 8 ? pg_time_in(pg_get64(p)) : 0;
}

static bool pg_get_fixed(const struct db_rows *r, int col, uint8_t *ret, size_t size)
{
    size_t n;
    const uint8_t *p = pg_get_bytes(r, col, &n);
    if (!p || n != size)
        return false;
    memcpy(ret, p, size);
    return true;
}

bool pg_get_tid(const struct db_rows *r, int col, uint8_t ret[TID_SIZE])
{
    return pg_get_fixed(r, col, ret, TID_SIZE);
}

bool pg_get_xid(const struct db_rows *r, int col, uint8_t ret[XID_SIZE])
{
    return pg_get_fixed(r, col, ret, XID_SIZE);
}

bool pg_get_balance(const struct db_rows *r, int col, u256 *ret)
{
    size_t len;
    const uint8_t *p = pg_get_bytes(r, col, &len);
    if (!p || len < 8)
        return false;
    int n = (int)pg_get16(p);
    int weight = (int)(int16_t)pg_get16(p + 2);
    if (pg_get16(p + 4) != NUMERIC_POSITIVE || len != 8 + 2 * (size_t)n)
        return false; /* negative, NaN or infinite */
    if (n == 0) {
        *ret = U256_ZERO;
        return true;
    }
    if (weight < n - 1 || weight >= NUMERIC_DIGITS)
        return false; /* a fraction, or above 10^80 */
    u256 v = U256_ZERO;
    for (int i = 0; i <= weight; i++) {
        u256 digit = u256_of(i < n ? pg_get16(p + 8 + 2 * i) : 0);
        if (u256_mul_u64(&v, &v, 10000) != 0 || u256_add(&v, &v, &digit))
            return false;
    }
    *ret = v;
    return true;
}
