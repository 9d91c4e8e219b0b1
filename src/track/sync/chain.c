#include "track/sync/chain.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/parse.h"
#include "proc/counters.h"

#include <inttypes.h>
#include <string.h>

uint64_t chain_sweep_block(uint64_t head, uint64_t finalized, uint64_t synced, uint64_t first)
{
    uint64_t at = head > CHAIN_DEPTH ? head - CHAIN_DEPTH : 0;
    if (finalized > at)
        at = finalized;
    if (first > at)
        at = first;
    return synced < at ? synced : at;
}

const struct header *chain_near(const struct chain *c, uint64_t number)
{
    for (size_t i = c->n_near; i > 0; i--)
        if (c->near[i - 1].at.number == number)
            return &c->near[i - 1];
    return NULL;
}

int chain_anchor_below(struct tracker *t, uint64_t number, struct anchor *ret, bool *ret_found,
                       struct err *err)
{
    struct arena arena;
    struct anchor *list;
    size_t n;
    arena_init(&arena);
    int rc = store_headers_below(t->store,
                                 &(struct store_page){.up_to = number, .limit = 1, .arena = &arena},
                                 &list, &n, err);
    if (rc == 0) {
        *ret_found = n > 0;
        if (n > 0)
            *ret = list[0];
    }
    arena_free(&arena);
    return rc;
}

/* ---- positions ------------------------------------------------------------------------------- */

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
static void chain_parse_synced(const struct tracker *t, const char *s, struct positions *p)
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
        chain_parse_synced(t, text, &p);
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

int chain_open(struct tracker *t, struct chain *ret, struct err *err)
{
    struct positions p;
    *ret = (struct chain){0};
    if (positions_load(t, &p, err) < 0)
        return -1;
    if (p.known &&
        store_header_at(t->store, p.finalized, &ret->finalized, &ret->finalized_known, err) < 0)
        return -1;
    return 0;
}

/* ---- finalized ---------------------------------------------------------------------------------
 */

static int chain_find_by_depth(struct tracker *t, const struct header *head, uint64_t depth,
                               struct anchor *ret, struct err *err)
{
    struct header h;
    bool found;
    uint64_t number = head->at.number > depth ? head->at.number - depth : 0;
    if (depth == 0) {
        *ret = head->at;
        return 0;
    }
    if (rpc_header_number(t->node, number, &h, &found, err) < 0)
        return -1;
    if (!found)
        return err_set(err, ERR_FAILED, "the node has head %" PRIu64 " but not block %" PRIu64,
                       head->at.number, number);
    *ret = h.at;
    return 0;
}

int chain_finalized_at(struct tracker *t, const struct header *head, struct anchor *ret,
                       bool *ret_stands_in, struct err *err)
{
    enum conf_finality rule = t->conf->chain.finality;
    struct header h;
    bool found;
    *ret_stands_in = false;
    if (rule == FINALITY_DEPTH)
        return chain_find_by_depth(t, head, t->conf->chain.finality_depth, ret, err);
    if (rpc_header_tag(t->node, rule == FINALITY_SAFE ? TAG_SAFE : TAG_FINALIZED, &h, &found, err) <
        0)
        return -1;
    *ret_stands_in = !found || h.at.number + CHAIN_STALE < head->at.number;
    if (*ret_stands_in)
        return chain_find_by_depth(t, head, CHAIN_DEPTH, ret, err);
    /* Above the head: the tag's answer came from a node that is ahead. */
    *ret = h.at.number > head->at.number ? head->at : h.at;
    return 0;
}

/* Never goes back. */
static int chain_poll_finalized(struct tracker *t, struct chain *c, const struct header *head,
                                struct err *err)
{
    struct anchor finalized;
    bool stands_in;
    if (chain_finalized_at(t, head, &finalized, &stands_in, err) < 0)
        return -1;
    c->depth_stands_in = stands_in;
    if (!c->finalized_known || finalized.number > c->finalized.number)
        c->finalized = finalized;
    c->finalized_known = true;
    return 0;
}

/* ---- the break ------------------------------------------------------------------------------- */

static int chain_compare_stored(struct tracker *t, const struct anchor *stored, bool *ret,
                                bool *ret_there, struct err *err)
{
    struct header h;
    if (rpc_header_number(t->node, stored->number, &h, ret_there, err) < 0)
        return -1;
    *ret = *ret_there && hash_equal(&h.at.hash, &stored->hash);
    return 0;
}

/* Walks down the stored headers to the newest one that the chain still has. The finalized one must
 * be reached: a chain that differs there is another chain. `was` is what we knew before this look:
 * while we were away the chain may have finalized above the last header we stored, on another
 * branch.
 */
static int chain_find_common(struct tracker *t, const struct chain *was, uint64_t head,
                             uint64_t *ret_first_bad, struct err *err)
{
    struct arena arena;
    struct anchor *list;
    size_t n;
    arena_init(&arena);
    int rc = store_headers_below(
        t->store, &(struct store_page){.up_to = UINT64_MAX, .limit = CHAIN_KEEP, .arena = &arena},
        &list, &n, err);
    for (size_t i = 0; rc == 0; i++) {
        bool same, there;
        if (i == n) {
            rc = tracker_err_other_chain(
                err, "none of the %zu headers stored is on the node's chain", n);
            break;
        }
        rc = chain_compare_stored(t, &list[i], &same, &there, err);
        if (rc < 0)
            break;
        if (same) {
            *ret_first_bad = list[i].number + 1;
            break;
        }
        if (!there && list[i].number <= head) {
            /* Not an answer: a backend that lags, or whose database is not whole. */
            rc = err_set(err, ERR_FAILED, "the node has head %" PRIu64 " but not block %" PRIu64,
                         head, list[i].number);
            break;
        }
        if (was->finalized_known && list[i].number <= was->finalized.number) {
            rc = tracker_err_other_chain(
                err, "finalized block %" PRIu64 " has another hash than before", list[i].number);
            break;
        }
    }
    arena_free(&arena);
    return rc;
}

/* ---- growing --------------------------------------------------------------------------------- */

static void chain_keep_near(struct chain *c, const struct header *h)
{
    while (c->n_near > 0 && c->near[c->n_near - 1].at.number >= h->at.number)
        c->n_near--;
    if (c->n_near == CHAIN_NEAR + 1) {
        memmove(c->near, c->near + 1, CHAIN_NEAR * sizeof c->near[0]);
        c->n_near--;
    }
    c->near[c->n_near++] = *h;
}

/* The parent of *child: out of what was asked by number, else asked by hash. */
static int chain_get_parent(struct tracker *t, const struct header *child,
                            const struct header *by_number, struct header *ret, struct err *err)
{
    bool found;
    if (by_number && hash_equal(&by_number->at.hash, &child->at.parent)) {
        *ret = *by_number;
        return 0;
    }
    if (rpc_header_hash(t->node, &child->at.parent, ret, &found, err) < 0)
        return -1;
    return found && ret->at.number + 1 == child->at.number
               ? 0
               : err_set(err, ERR_FAILED, "the node does not have the parent of block %" PRIu64,
                         child->at.number);
}

/* The headers from the head down to just above `below`, oldest first, each the parent of the next;
 * they are asked together by number. *ret_linked: the lowest one's parent is `top`. */
static int chain_walk_down(struct tracker *t, const struct header *head, uint64_t below,
                           const struct anchor *top, struct header *ret, size_t *ret_n,
                           bool *ret_linked, struct err *err)
{
    uint64_t numbers[CHAIN_NEAR];
    struct header asked[CHAIN_NEAR];
    bool found[CHAIN_NEAR];
    uint64_t between = head->at.number > below ? head->at.number - below - 1 : 0;
    size_t n = between < CHAIN_NEAR ? between : CHAIN_NEAR;
    ret[n] = *head;
    for (size_t i = 0; i < n; i++)
        numbers[i] = head->at.number - n + i;
    if (rpc_headers_numbers(t->node, numbers, n, asked, found, err) < 0)
        return -1;
    for (size_t i = n; i > 0; i--)
        if (chain_get_parent(t, &ret[i], found[i - 1] ? &asked[i - 1] : NULL, &ret[i - 1], err) < 0)
            return -1;
    *ret_linked =
        top && ret->at.number == top->number + 1 && hash_equal(&ret->at.parent, &top->hash);
    *ret_n = n + 1;
    return 0;
}

/* Far from what is stored, only the headers above finalized are walked: below, logs are asked for
 * by range. At the very first start the head alone will do, for nothing is synced before it. */
static uint64_t chain_far_below(const struct chain *c, const struct header *head,
                                const struct anchor *top)
{
    uint64_t low = head->at.number > CHAIN_NEAR ? head->at.number - CHAIN_NEAR : 0;
    if (!top)
        return head->at.number > 0 ? head->at.number - 1 : 0;
    return c->finalized.number > low ? c->finalized.number : low;
}

/* Durable before anything is read at them; the finalized one too, which may lie far below. */
static int chain_store_headers(struct tracker *t, struct chain *c, const struct header *list,
                               size_t n, struct err *err)
{
    struct anchor anchors[CHAIN_NEAR + 2];
    size_t k = 0;
    if (c->finalized.number < list[0].at.number)
        anchors[k++] = c->finalized;
    for (size_t i = 0; i < n; i++) {
        anchors[k++] = list[i].at;
        chain_keep_near(c, &list[i]);
    }
    return store_headers_put(t->store, anchors, k, err);
}

/* Connects a head that is above the stored top. Near: every header between is walked. Far: the top
 * is compared with the chain by number, and only the newest headers are stored. */
static int chain_grow_to(struct tracker *t, struct chain *c, const struct chain *was,
                         const struct header *head, const struct anchor *top, enum chain_news *ret,
                         uint64_t *ret_first_bad, struct err *err)
{
    struct header list[CHAIN_NEAR + 1];
    size_t n;
    bool linked, near = top && head->at.number - top->number <= CHAIN_NEAR;
    if (top && !near) {
        bool same, there;
        if (chain_compare_stored(t, top, &same, &there, err) < 0)
            return -1;
        if (!same) {
            *ret = CHAIN_BROKE;
            return chain_find_common(t, was, head->at.number, ret_first_bad, err);
        }
    }
    uint64_t below = near ? top->number : chain_far_below(c, head, top);
    if (chain_walk_down(t, head, below, top, list, &n, &linked, err) < 0)
        return -1;
    if (near && !linked) {
        *ret = CHAIN_BROKE;
        return chain_find_common(t, was, head->at.number, ret_first_bad, err);
    }
    if (chain_store_headers(t, c, list, n, err) < 0)
        return -1;
    *ret = CHAIN_GREW;
    return 0;
}

/* Is this head below what the chain will not take back? */
static bool chain_is_low(const struct chain *c, uint64_t head)
{
    return c->finalized_known && head < c->finalized.number;
}

/* A head of our own chain that is behind us: whether to wait for it. One that lags is waited for
 * for CHAIN_BEHIND_MS, one below finalized for CHAIN_AWAY_MS: a node that crashed may have lost
 * more than what was not finalized, and fetches it again. With each rise of the head it begins
 * anew. */
static bool chain_may_wait(struct chain *c, uint64_t head, int64_t now_ms)
{
    int64_t patience = chain_is_low(c, head) ? CHAIN_AWAY_MS : CHAIN_BEHIND_MS;
    if (c->behind_since_ms == 0 || head > c->behind_at) {
        c->behind_since_ms = now_ms;
        c->behind_at = head;
    }
    return now_ms - c->behind_since_ms < patience;
}

/* For a head so low that no header is stored there. */
static int chain_has_our_genesis(struct tracker *t, bool *ret, struct err *err)
{
    struct header h;
    bool found;
    if (rpc_header_number(t->node, 0, &h, &found, err) < 0)
        return -1;
    *ret = found && hash_equal(&h.at.hash, &t->genesis);
    return 0;
}

/* A head at or below the stored top: the node lags, or the chain was cut or replaced. */
static int chain_on_low_head(struct tracker *t, struct chain *c, const struct header *head,
                             enum chain_news *ret, uint64_t *ret_first_bad, struct err *err)
{
    struct anchor stored;
    bool found;
    if (store_header_at(t->store, head->at.number, &stored, &found, err) < 0)
        return -1;
    bool ours = found && hash_equal(&stored.hash, &head->at.hash);
    bool low = chain_is_low(c, head->at.number);
    if (!found && low && chain_has_our_genesis(t, &ours, err) < 0)
        return -1;
    if (ours && chain_may_wait(c, head->at.number, clock_ms())) {
        *ret = CHAIN_BEHIND;
        return !low ? 0
                    : err_set(err, ERR_FAILED,
                              "the node's head is block %" PRIu64 ", below finalized block %" PRIu64
                              ": it has to catch up first",
                              head->at.number, c->finalized.number);
    }
    if (low)
        return tracker_err_other_chain(
            err, "the head is block %" PRIu64 ", below finalized block %" PRIu64, head->at.number,
            c->finalized.number);
    if (ours) {
        *ret = CHAIN_BROKE;
        *ret_first_bad = head->at.number + 1;
        return 0;
    }
    *ret = CHAIN_BROKE;
    return chain_find_common(t, c, head->at.number, ret_first_bad, err);
}

static bool chain_keeps_up(const struct chain *c, const struct header *head,
                           const struct anchor *top)
{
    return c->known && c->finalized_known && top && head->at.number <= top->number + CHAIN_LIVE;
}

static int chain_update_finalized(struct tracker *t, struct chain *c, const struct header *head,
                                  struct err *err)
{
    if (chain_poll_finalized(t, c, head, err) < 0)
        return -1;
    c->finality_due = false;
    return 0;
}

int chain_advance_finalized(struct tracker *t, struct chain *c, struct err *err)
{
    return c->finality_due && c->known ? chain_update_finalized(t, c, &c->head, err) : 0;
}

/* The head is what the node says, also while nothing can be read or written at it. */
static void chain_count_head(const struct header *head)
{
    if (head->at.number <= counters_get(PART_FOLLOW, CELL_HEAD))
        return;
    counters_set(CELL_HEAD, head->at.number);
    counters_set(CELL_HEAD_TIME, head->at.timestamp);
    counters_set(CELL_HEAD_AT, (uint64_t)wall_ms());
}

int chain_poll(struct tracker *t, struct chain *c, enum chain_news *ret, uint64_t *ret_first_bad,
               struct err *err)
{
    struct header head;
    struct anchor top;
    bool have_top = false;
    *ret = CHAIN_SAME;
    if (tracker_get_head(t, &head, err) < 0)
        return -1;
    chain_count_head(&head);
    if (c->known && hash_equal(&head.at.hash, &c->head.at.hash)) {
        c->behind_since_ms = 0;
        return 0;
    }
    if (chain_anchor_below(t, UINT64_MAX, &top, &have_top, err) < 0)
        return -1;
    int rc;
    if (have_top && head.at.number <= top.number &&
        !(head.at.number == top.number && hash_equal(&head.at.hash, &top.hash))) {
        rc = chain_on_low_head(t, c, &head, ret, ret_first_bad, err);
    } else {
        struct chain before = *c;
        c->finality_due = true;
        rc = chain_keeps_up(c, &head, have_top ? &top : NULL)
                 ? 0
                 : chain_update_finalized(t, c, &head, err);
        if (rc == 0 && have_top && head.at.number == top.number) {
            chain_keep_near(c, &head);
            *ret = CHAIN_GREW; /* the first look after a restart */
        } else if (rc == 0) {
            rc = chain_grow_to(t, c, &before, &head, have_top ? &top : NULL, ret, ret_first_bad,
                               err);
        }
        if (rc < 0 || *ret == CHAIN_BROKE)
            *c = before;
    }
    if (rc == 0 && *ret != CHAIN_BEHIND)
        c->behind_since_ms = 0;
    if (rc == 0 && *ret == CHAIN_GREW) {
        c->head = head;
        c->known = true;
    }
    return rc;
}
