#include "track/sync/rescan.h"
#include "base/err.h"
#include "base/parse.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { KEY = 128 };

static void rescan_make_key(const char *what, const struct tracked *b, char out[KEY])
{
    snprintf(out, KEY, "%s:%.100s", what, b->conf->name);
}

static int rescan_load_block(struct tracker *t, const char *what, const struct tracked *b,
                             uint64_t *ret, bool *ret_found, struct err *err)
{
    char key[KEY];
    const char *text;
    struct arena arena;
    arena_init(&arena);
    rescan_make_key(what, b, key);
    int rc = store_state_get(t->store, key, &arena, &text, err);
    if (rc == 0)
        *ret_found = text && parse_u64(text, strlen(text), ret);
    arena_free(&arena);
    return rc;
}

static int rescan_save_block(struct tracker *t, const char *what, const struct tracked *b,
                             uint64_t block, struct err *err)
{
    char key[KEY], text[24];
    rescan_make_key(what, b, key);
    snprintf(text, sizeof text, "%" PRIu64, block);
    return store_state_set(t->store, key, text, err);
}

int rescan_set(struct tracker *t, const struct tracked *b, uint64_t synced, struct err *err)
{
    return rescan_save_block(t, "rescan", b, synced, err);
}

/* What it leaves is no number: were its last block to stay, it would read as "synced only so far"
 * as soon as the checkpoint has moved on. */
int rescan_end(struct tracker *t, const struct tracked *b, struct err *err)
{
    char key[KEY];
    rescan_make_key("rescan", b, key);
    return store_state_set(t->store, key, "none", err);
}

static int rescan_check_balance(struct tracker *t, const struct tracked *b, struct err *err)
{
    uint64_t ours, now, at;
    bool had_ours = false, found = false, under_way = false;
    if (store_checkpoint_ours(t->store, &b->store, &ours, &had_ours, err) < 0 ||
        store_checkpoint_get(t->store, &b->store, &now, &found, err) < 0)
        return -1;
    if (!had_ours || !found || now <= ours)
        return 0;
    if (rescan_load_block(t, "rescan", b, &at, &under_way, err) < 0)
        return -1;
    if (rescan_save_block(t, "passed", b, now, err) < 0)
        return -1;
    return under_way && at <= ours ? 0 : rescan_set(t, b, ours, err);
}

int rescan_check_others(struct tracker *t, struct err *err)
{
    for (size_t i = 0; i < t->n_balances; i++)
        if (rescan_check_balance(t, &t->balances[i], err) < 0)
            return -1;
    return 0;
}
