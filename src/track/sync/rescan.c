#include "track/sync/rescan.h"
#include "base/err.h"
#include "base/parse.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { KEY = 128 };

static void key_of(const char *what, const struct tracked *b, char out[KEY])
{
    snprintf(out, KEY, "%s:%.100s", what, b->conf->name);
}

static int block_get(struct tracker *t, const char *what, const struct tracked *b, uint64_t *ret,
                     bool *ret_found, struct err *err)
{
    char key[KEY];
    const char *text;
    struct arena arena;
    arena_init(&arena);
    key_of(what, b, key);
    int rc = store_state_get(t->store, key, &arena, &text, err);
    if (rc == 0)
        *ret_found = text && parse_u64(text, strlen(text), ret);
    arena_free(&arena);
    return rc;
}

static int block_set(struct tracker *t, const char *what, const struct tracked *b, uint64_t block,
                     struct err *err)
{
    char key[KEY], text[24];
    key_of(what, b, key);
    snprintf(text, sizeof text, "%" PRIu64, block);
    return store_state_set(t->store, key, text, err);
}

int rescan_set(struct tracker *t, const struct tracked *b, uint64_t synced, struct err *err)
{
    return block_set(t, "rescan", b, synced, err);
}

/* What it leaves is no number: were its last block to stay, it would read as "synced only so far"
 * as soon as the checkpoint has moved on. */
int rescan_over(struct tracker *t, const struct tracked *b, struct err *err)
{
    char key[KEY];
    key_of("rescan", b, key);
    return store_state_set(t->store, key, "none", err);
}

static int after_ours(struct tracker *t, const struct tracked *b, struct err *err)
{
    uint64_t ours, now, at;
    bool had_ours = false, found = false, under_way = false;
    if (store_checkpoint_ours(t->store, &b->store, &ours, &had_ours, err) < 0 ||
        store_checkpoint_get(t->store, &b->store, &now, &found, err) < 0)
        return -1;
    if (!had_ours || !found || now <= ours)
        return 0;
    if (block_get(t, "rescan", b, &at, &under_way, err) < 0)
        return -1;
    if (block_set(t, "passed", b, now, err) < 0)
        return -1;
    return under_way && at <= ours ? 0 : rescan_set(t, b, ours, err);
}

int rescan_what_others_passed(struct tracker *t, struct err *err)
{
    for (size_t i = 0; i < t->n_balances; i++)
        if (after_ours(t, &t->balances[i], err) < 0)
            return -1;
    return 0;
}
