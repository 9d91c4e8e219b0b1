#include "track/sync/positions.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/parse.h"

#include <inttypes.h>
#include <string.h>

uint64_t positions_sweep_block(uint64_t head, uint64_t finalized, uint64_t synced, uint64_t first)
{
    uint64_t at = head > POSITIONS_STATE ? head - POSITIONS_STATE : 0;
    if (finalized > at)
        at = finalized;
    if (first > at)
        at = first;
    return synced < at ? synced : at;
}

int positions_save(struct tracker *t, const struct positions *p, struct err *err)
{
    struct buf text = BUF_INIT(STORE_STATE_MAX);
    buf_addf(&text, "%" PRIu64 " %" PRIu64 " %" PRIu64, p->head, p->finalized, p->first);
    for (size_t i = 0; i < t->n_balances && i < POSITIONS_BALANCES; i++)
        buf_addf(&text, " %s=%" PRIu64, t->balances[i].conf->name, p->synced[i]);
    int rc = store_state_set(t->store, "positions", buf_str(&text), err);
    buf_free(&text);
    return rc;
}

/* name=block, for as many as there are; a balance that is configured no more is passed over. */
static void positions_parse_synced(const struct tracker *t, const char *s, struct positions *p)
{
    while (*s) {
        size_t name = strcspn(s, "= "), n = strcspn(s, " ");
        for (size_t i = 0; i < t->n_balances && i < POSITIONS_BALANCES && name < n; i++) {
            const char *ours = t->balances[i].conf->name;
            if (strlen(ours) == name && memcmp(ours, s, name) == 0)
                parse_u64(s + name + 1, n - name - 1, &p->synced[i]);
        }
        s += n;
        s += strspn(s, " ");
    }
}

static struct positions positions_parse(const struct tracker *t, const char *text)
{
    struct positions p = {0};
    if (text) {
        p.known = parse_u64_next(&text, &p.head) && parse_u64_next(&text, &p.finalized) &&
                  parse_u64_next(&text, &p.first);
        positions_parse_synced(t, text, &p);
    }
    return p;
}

int positions_load(struct tracker *t, struct positions *ret, struct err *err)
{
    struct arena arena;
    const char *text;
    arena_init(&arena);
    int rc = store_state_get(t->store, "positions", &arena, &text, err);
    *ret = positions_parse(t, rc == 0 ? text : NULL);
    arena_free(&arena);
    return rc;
}

int positions_load_balance(struct tracker *t, const struct tracked *b, struct balance_position *ret,
                           struct err *err)
{
    struct arena arena;
    struct store_position at;
    arena_init(&arena);
    int rc = store_position(t->store, &b->store, &arena, &at, err);
    if (rc == 0) {
        struct positions p = positions_parse(t, at.positions);
        uint64_t seen = p.synced[b - t->balances];
        *ret = (struct balance_position){.known = p.known,
                                         .head = p.head,
                                         .finalized = p.finalized,
                                         .first = p.first,
                                         .has_synced = at.has_checkpoint,
                                         .synced = at.checkpoint,
                                         .refresh_below = at.all_due};
        /* Another program may have moved the checkpoint past what we saw. */
        if (ret->has_synced && seen > ret->synced)
            ret->synced = seen;
        if (ret->has_synced && at.has_rescan && at.rescan < ret->synced)
            ret->synced = at.rescan;
    }
    arena_free(&arena);
    return rc;
}
