/* Reading tests/vectors. Whatever is missing or malformed fails the test that asked for it. */
#ifndef TEST_VECTORS_H
#define TEST_VECTORS_H

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static inline char *vector_text(const char *name, size_t *ret_n)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", TEST_VECTORS, name);
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("no vectors at %s", path);
    size_t room = 1024 * 1024;
    char *text = mem_alloc(room + 1);
    *ret_n = fread(text, 1, room, f);
    text[*ret_n] = '\0';
    assert_int_equal(feof(f) != 0, 1);
    fclose(f);
    return text;
}

/* Calls row() for each line that is neither empty nor a comment; returns how many there were. */
static inline int vector_rows(const char *name, void (*row)(char *fields[], int n))
{
    size_t n;
    int rows = 0;
    char *text = vector_text(name, &n), *next;
    for (char *line = text; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        if (line[0] == '#' || line[0] == '\0')
            continue;
        char *fields[8] = {line};
        int count = 1;
        for (char *tab = strchr(line, '\t'); tab && count < 8; tab = strchr(tab + 1, '\t')) {
            *tab = '\0';
            fields[count++] = tab + 1;
        }
        row(fields, count);
        rows++;
    }
    mem_free(text);
    return rows;
}

static inline struct json *vector_json(const char *name)
{
    size_t n;
    struct err err = {0};
    char *text = vector_text(name, &n);
    struct json *doc = json_parse(text, n, n, &err);
    if (!doc)
        fail_msg("%s: %s", name, err.text);
    mem_free(text);
    return doc;
}

static inline const struct json *vector_at(const struct json *array, size_t i)
{
    const struct json *v = json_first(array);
    while (v && i-- > 0)
        v = json_next(v);
    return v;
}

/* "0x…" into fresh memory. */
static inline uint8_t *vector_bytes(const char *hex, size_t *ret_n)
{
    assert_non_null(hex);
    size_t n = (strlen(hex) - 2) / 2;
    uint8_t *bytes = mem_alloc(n ? n : 1);
    assert_true(parse_0x(hex, strlen(hex), bytes, n));
    *ret_n = n;
    return bytes;
}

/* Seeded from TRUEUP_SEED or the system, and printed, so that a red run can be repeated. */
static inline struct rng vector_rng(void)
{
    const char *s = getenv("TRUEUP_SEED");
    struct rng rng = {rng_seed_from_system()};
    if (s && !parse_u64(s, strlen(s), &rng.state))
        fail_msg("TRUEUP_SEED=%s is not a number", s);
    printf("# TRUEUP_SEED=%llu\n", (unsigned long long)rng.state);
    fflush(stdout);
    return rng;
}

#endif
