#include "track/sync/log_source.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/parse.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char log_source_key[] = "answered";

/* Of the triggers: under others, other logs were asked for. */
static void log_source_make_print(const struct tracker *t, char out[17])
{
    uint64_t sum = 0;
    for (size_t i = 0; i < t->n_balances; i++)
        for (size_t k = 0; k < 8; k++)
            sum = sum * 257 + t->balances[i].store.rules_print.b[k];
    snprintf(out, 17, "%016" PRIx64, sum);
}

void log_source_set(struct log_source *a, uint64_t from, const char *endpoint)
{
    const char *name = endpoint ? endpoint : "";
    while (a->n > 0 && a->runs[a->n - 1].from >= from) {
        a->n--;
        a->moved = true;
    }
    if (a->n > 0 && strncmp(a->runs[a->n - 1].name, name, LOG_SOURCE_NAME - 1) == 0)
        return;
    if (a->n == LOG_SOURCE_RUNS)
        memmove(a->runs, a->runs + 1, --a->n * sizeof a->runs[0]);
    a->runs[a->n].from = from;
    snprintf(a->runs[a->n].name, LOG_SOURCE_NAME, "%s", name);
    a->n++;
    a->moved = true;
}

void log_source_fill(struct log_source *a, uint64_t from, uint64_t to, const char *endpoint)
{
    const struct log_source old = *a;
    log_source_set(a, from, endpoint);
    if (old.n == 0)
        return;
    log_source_set(a, to + 1, log_source_get(&old, to + 1));
    for (size_t i = 0; i < old.n; i++)
        if (old.runs[i].from > to + 1)
            log_source_set(a, old.runs[i].from, old.runs[i].name);
}

const char *log_source_get(const struct log_source *a, uint64_t block)
{
    size_t i = a->n;
    while (i > 0 && a->runs[i - 1].from > block)
        i--;
    return i > 0 && a->runs[i - 1].name[0] ? a->runs[i - 1].name : NULL;
}

uint64_t log_source_end(const struct log_source *a, uint64_t block)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->runs[i].from > block)
            return a->runs[i].from - 1;
    return UINT64_MAX;
}

/* "PRINT FROM=NAME FROM=NAME …"; endpoint names have no spaces. */
static void log_source_parse_runs(const char *s, const char *print, struct log_source *a)
{
    size_t n = strcspn(s, " ");
    if (n != strlen(print) || memcmp(s, print, n) != 0)
        return;
    for (s += n; *s && a->n < LOG_SOURCE_RUNS; s += n) {
        uint64_t from;
        s++;
        n = strcspn(s, " ");
        size_t digits = strcspn(s, "= ");
        if (digits >= n || !parse_u64(s, digits, &from))
            continue;
        a->runs[a->n].from = from;
        snprintf(a->runs[a->n].name, LOG_SOURCE_NAME, "%.*s", (int)(n - digits - 1),
                 s + digits + 1);
        a->n++;
    }
}

int log_source_load(struct tracker *t, struct log_source *ret, struct err *err)
{
    struct arena arena;
    const char *text;
    char print[17];
    arena_init(&arena);
    int rc = store_state_get(t->store, log_source_key, &arena, &text, err);
    log_source_make_print(t, print);
    if (rc == 0) {
        *ret = (struct log_source){0};
        log_source_parse_runs(text ? text : "", print, ret);
    }
    arena_free(&arena);
    return rc;
}

int log_source_save(struct tracker *t, struct log_source *a, struct err *err)
{
    char print[17];
    struct buf text = BUF_INIT(STORE_STATE_MAX);
    if (!a->moved)
        return 0;
    log_source_make_print(t, print);
    buf_adds(&text, print);
    for (size_t i = 0; i < a->n; i++)
        buf_addf(&text, " %" PRIu64 "=%s", a->runs[i].from, a->runs[i].name);
    int rc = store_state_set(t->store, log_source_key, buf_str(&text), err);
    buf_free(&text);
    if (rc == 0)
        a->moved = false;
    return rc;
}
