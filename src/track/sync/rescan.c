#include "track/sync/rescan.h"
#include "base/err.h"

#include <stdio.h>

int rescan_set(struct tracker *t, const struct tracked *b, uint64_t verified, struct err *err)
{
    return tracker_save_block(t, "rescan", b, verified, err);
}

/* What it leaves is no number: were its last block to stay, it would read as "synced only so far"
 * as soon as the checkpoint has moved on. */
int rescan_end(struct tracker *t, const struct tracked *b, struct err *err)
{
    char key[128];
    snprintf(key, sizeof key, "rescan:%.100s", b->conf->name);
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
    if (tracker_load_block(t, "rescan", b, &at, &under_way, err) < 0)
        return -1;
    if (tracker_save_block(t, "passed", b, now, err) < 0)
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
