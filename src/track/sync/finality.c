#include "track/sync/finality.h"
#include "base/clock.h"
#include "base/err.h"
#include "track/sync/positions.h"
#include "track/sync/sample.h"

#include <inttypes.h>

static const char reorgs_key[] = "reorgs";

int finality_load(struct tracker *t, struct finality *ret, struct err *err)
{
    struct positions p;
    struct arena arena;
    const char *reorgs = NULL;
    *ret = (struct finality){0};
    arena_init(&arena);
    int rc = positions_load(t, &p, err);
    if (rc == 0 && p.known)
        rc = store_header_at(t->store, p.finalized, &ret->at, &ret->known, err);
    if (rc == 0)
        rc = store_state_get(t->store, reorgs_key, &arena, &reorgs, err);
    ret->has_reorgs = reorgs != NULL;
    arena_free(&arena);
    return rc;
}

int finality_note_reorg(struct tracker *t, struct finality *f, struct err *err)
{
    if (f->has_reorgs)
        return 0;
    f->has_reorgs = true;
    return store_state_set(t->store, reorgs_key, "seen", err);
}

/* The block at a number, which the chain has for its head is above it. The head's endpoint is
 * asked: another one may not have it, or be wrong. */
static int finality_get_block(struct tracker *t, struct endpoint *of, uint64_t number,
                              const struct header *head, struct header *ret, struct err *err)
{
    struct rpc_headers_ask ask = {.of = of, .numbers = &number, .n = 1};
    bool found;
    if (number >= head->at.number) {
        *ret = *head;
        return 0;
    }
    if (rpc_headers_numbers(t->node, &ask, ret, &found, err) < 0)
        return -1;
    return found ? 0
                 : err_set(err, ERR_FAILED, "the node has head %" PRIu64 " but not block %" PRIu64,
                           head->at.number, number);
}

static bool finality_is_deep(const struct header *head, const struct anchor *a)
{
    return a->number + FINALITY_DEPTH_BLOCKS <= head->at.number &&
           a->timestamp + FINALITY_DEPTH_S <= head->at.timestamp;
}

/* The newest block that is deep enough, by number, halving over header times. Block 0 on a chain
 * that is younger. */
static int finality_find_deep(struct tracker *t, struct endpoint *of, const struct header *head,
                              struct anchor *ret, struct err *err)
{
    struct header h;
    uint64_t low = 0, high = head->at.number > FINALITY_DEPTH_BLOCKS
                                 ? head->at.number - FINALITY_DEPTH_BLOCKS
                                 : 0;
    /* Most chains are deep enough close to `high`: the steps down double until they are. */
    for (uint64_t step = 1, at = high; at > low; step *= 2) {
        if (finality_get_block(t, of, at, head, &h, err) < 0)
            return -1;
        if (finality_is_deep(head, &h.at)) {
            low = at;
            break;
        }
        high = at - 1;
        at = high > step ? high - step : 0;
    }
    while (low < high) {
        uint64_t middle = low + (high - low + 1) / 2;
        if (finality_get_block(t, of, middle, head, &h, err) < 0)
            return -1;
        if (finality_is_deep(head, &h.at))
            low = middle;
        else
            high = middle - 1;
    }
    if (finality_get_block(t, of, low, head, &h, err) < 0)
        return -1;
    *ret = h.at;
    return 0;
}

/* The newest stored sample that is deep enough: samples are dense near the head. */
static int finality_find_sample(struct tracker *t, const struct header *head, struct anchor *ret,
                                bool *ret_found, struct err *err)
{
    uint64_t below =
        head->at.number > FINALITY_DEPTH_BLOCKS ? head->at.number - FINALITY_DEPTH_BLOCKS : 0;
    struct arena arena;
    struct anchor *list;
    size_t n;
    arena_init(&arena);
    struct store_page page = {.up_to = below, .limit = SAMPLE_KEEP, .arena = &arena};
    int rc = store_headers_below(t->store, &page, &list, &n, err);
    *ret_found = false;
    for (size_t i = 0; rc == 0 && i < n && !*ret_found; i++) {
        *ret_found = finality_is_deep(head, &list[i]);
        if (*ret_found)
            *ret = list[i];
    }
    arena_free(&arena);
    return rc;
}

enum finality_tag { FINALITY_TAG_GOOD, FINALITY_TAG_OLD, FINALITY_TAG_FAILED };

static enum finality_tag finality_ask_tag(struct tracker *t, const struct finality *f,
                                          const struct header *head, struct anchor *ret,
                                          struct err *err)
{
    struct header h;
    bool found;
    bool safe = t->conf->chain.finality == FINALITY_SAFE;
    if (rpc_header_tag(t->node, safe ? TAG_SAFE : TAG_FINALIZED, &h, &found, err) < 0)
        return FINALITY_TAG_FAILED;
    const char *name = safe ? "safe" : "finalized";
    if (!found)
        err_set(err, ERR_FAILED, "the node does not know the tag \"%s\"", name);
    else if (f->has_reorgs && h.at.number + FINALITY_NEAR > head->at.number)
        err_set(err, ERR_FAILED, "the tag \"%s\" follows the head of a chain that has reorgs",
                name);
    if (err->kind != ERR_NONE)
        return FINALITY_TAG_FAILED;
    /* Above the head: the answer came from a node that is ahead. */
    *ret = h.at.number > head->at.number ? head->at : h.at;
    return ret->timestamp + FINALITY_OLD_S < head->at.timestamp ? FINALITY_TAG_OLD
                                                                : FINALITY_TAG_GOOD;
}

/* Counts what the tag says. True: a depth stands in for it from now on. Pure. */
static bool finality_on_tag(struct finality *f, enum finality_tag tag, int64_t now_ms)
{
    if (tag != FINALITY_TAG_FAILED) {
        f->errors = 0;
        f->tag_seen = true;
    } else if (f->errors++ == 0) {
        f->error_ms = now_ms;
    }
    if (tag == FINALITY_TAG_GOOD)
        f->old_since_ms = 0;
    else if (tag == FINALITY_TAG_OLD && f->old_since_ms == 0)
        f->old_since_ms = now_ms;
    bool old = f->old_since_ms > 0 && now_ms - f->old_since_ms >= FINALITY_OLD_MS;
    /* At a first start no block is final meanwhile, so the number of failures is enough. */
    bool missing =
        f->errors >= FINALITY_ERRORS && (!f->known || now_ms - f->error_ms >= FINALITY_ERRORS_MS);
    return old || missing;
}

static int finality_poll_tag(struct tracker *t, struct finality *f, const struct header *head,
                             struct anchor *ret, struct err *err)
{
    struct err why = {0};
    bool found = false;
    enum finality_tag tag = finality_ask_tag(t, f, head, ret, &why);
    /* The node's silence is not the tag's. */
    if (why.kind != ERR_NONE && why.kind != ERR_FAILED) {
        *err = why;
        return -1;
    }
    f->stands_in = finality_on_tag(f, tag, clock_ms());
    if (f->stands_in && finality_find_sample(t, head, ret, &found, err) < 0)
        return -1;
    if (f->stands_in)
        return found ? 0 : finality_find_deep(t, f->of, head, ret, err);
    if (tag != FINALITY_TAG_FAILED)
        return 0;
    *ret = f->at;
    if (f->known)
        return 0;
    err_set(err, ERR_FAILED, "no block is known to be final yet, asked %u times of %d: %.300s",
            f->errors, FINALITY_ERRORS, why.text);
    return err_hint(err, "after %d failures a depth stands in; chain.finality sets one at once",
                    FINALITY_ERRORS);
}

static int finality_poll_depth(struct tracker *t, const struct finality *f,
                               const struct header *head, struct anchor *ret, struct err *err)
{
    struct header h;
    uint64_t depth = t->conf->chain.finality_depth,
             number = head->at.number > depth ? head->at.number - depth : 0;
    if (f->known && number <= f->at.number)
        return 0;
    if (finality_get_block(t, f->of, number, head, &h, err) < 0)
        return -1;
    *ret = h.at;
    return 0;
}

int finality_poll(struct tracker *t, struct finality *f, const struct header *head,
                  int64_t every_ms, struct anchor *ret, struct err *err)
{
    struct anchor at = f->at;
    int64_t now = clock_ms();
    *ret = f->at;
    if (f->known && f->asked_ms > 0 && now - f->asked_ms < every_ms)
        return 0;
    int rc = t->conf->chain.finality == FINALITY_DEPTH ? finality_poll_depth(t, f, head, &at, err)
                                                       : finality_poll_tag(t, f, head, &at, err);
    if (rc < 0)
        return -1;
    f->asked_ms = now;
    if (!f->known || at.number > f->at.number)
        *ret = at;
    return 0;
}

void finality_raise(struct finality *f, const struct anchor *at)
{
    if (!f->known || at->number > f->at.number)
        f->at = *at;
    f->known = true;
}

int finality_find(struct tracker *t, const struct header *head, struct anchor *ret, struct err *err)
{
    struct finality f = {0};
    struct err why = {0};
    if (t->conf->chain.finality == FINALITY_DEPTH)
        return finality_poll_depth(t, &f, head, ret, err);
    if (finality_ask_tag(t, &f, head, ret, &why) == FINALITY_TAG_GOOD)
        return 0;
    return finality_find_deep(t, NULL, head, ret, err);
}
