#include "track/refresh/full_refresh.h"

/* Replaces the block, unless the one that is kept is above `above`. */
static int full_refresh_replace(struct tracker *t, const struct tracked *b, uint64_t above,
                                uint64_t block, struct err *err)
{
    uint64_t now;
    bool found;
    if (tracker_load_block(t, "all_due", b, &now, &found, err) < 0)
        return -1;
    return found && now > above ? 0 : tracker_save_block(t, "all_due", b, block, err);
}

int full_refresh_get(struct tracker *t, const struct tracked *b, uint64_t *ret, struct err *err)
{
    bool found;
    int rc = tracker_load_block(t, "all_due", b, ret, &found, err);
    if (!found)
        *ret = 0;
    return rc;
}

int full_refresh_set(struct tracker *t, const struct tracked *b, uint64_t block, struct err *err)
{
    return full_refresh_replace(t, b, block - 1, block, err);
}

int full_refresh_clear(struct tracker *t, const struct tracked *b, uint64_t block, struct err *err)
{
    return full_refresh_replace(t, b, block, 0, err);
}
