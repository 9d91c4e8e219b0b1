#include "track/refresh/full_refresh.h"
#include "base/err.h"
#include "base/parse.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void full_refresh_make_key(const struct tracked *b, char out[128])
{
    snprintf(out, 128, "all_due:%.100s", b->conf->name);
}

static int full_refresh_write_block(struct tracker *t, const struct tracked *b, uint64_t block,
                                    struct err *err)
{
    char key[128], text[24];
    full_refresh_make_key(b, key);
    snprintf(text, sizeof text, "%" PRIu64, block);
    return store_state_set(t->store, key, text, err);
}

int full_refresh_get(struct tracker *t, const struct tracked *b, uint64_t *ret, struct err *err)
{
    struct arena arena;
    const char *text;
    char key[128];
    full_refresh_make_key(b, key);
    arena_init(&arena);
    int rc = store_state_get(t->store, key, &arena, &text, err);
    if (rc == 0 && (!text || !parse_u64(text, strlen(text), ret)))
        *ret = 0;
    arena_free(&arena);
    return rc;
}

int full_refresh_set(struct tracker *t, const struct tracked *b, uint64_t block, struct err *err)
{
    uint64_t now = 0;
    if (full_refresh_get(t, b, &now, err) < 0)
        return -1;
    return now >= block ? 0 : full_refresh_write_block(t, b, block, err);
}

int full_refresh_clear(struct tracker *t, const struct tracked *b, uint64_t block, struct err *err)
{
    uint64_t now = 0;
    if (full_refresh_get(t, b, &now, err) < 0)
        return -1;
    return now > block ? 0 : full_refresh_write_block(t, b, 0, err);
}
