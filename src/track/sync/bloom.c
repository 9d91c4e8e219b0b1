#include "track/sync/bloom.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/parse.h"

#include <inttypes.h>
#include <string.h>

static const char bloom_key[] = "bloom";
static const char *const bloom_words[] = {
    [BLOOM_LEARNING] = "learning", [BLOOM_PROVEN] = "proven", [BLOOM_REFUTED] = "refuted"};

/* "STATE HELD BLOCK". */
static void bloom_parse(const char *text, struct bloom_trust *ret)
{
    *ret = (struct bloom_trust){0};
    for (size_t i = 0; i < COUNT_OF(bloom_words); i++) {
        size_t n = strlen(bloom_words[i]);
        if (strncmp(text, bloom_words[i], n) != 0 || text[n] != ' ')
            continue;
        const char *held = text + n + 1, *block = held + strcspn(held, " ");
        if (*block && parse_u64(held, (size_t)(block - held), &ret->held) &&
            parse_u64(block + 1, strlen(block + 1), &ret->block))
            ret->state = (enum bloom_state)i;
    }
}

int bloom_load(struct tracker *t, struct bloom_trust *ret, struct err *err)
{
    struct arena arena;
    const char *text;
    arena_init(&arena);
    int rc = store_state_get(t->store, bloom_key, &arena, &text, err);
    if (rc == 0)
        bloom_parse(text ? text : "", ret);
    arena_free(&arena);
    return rc;
}

int bloom_save(struct tracker *t, struct bloom_trust *b, struct err *err)
{
    struct buf text = BUF_INIT(64);
    if (!b->moved)
        return 0;
    buf_addf(&text, "%s %" PRIu64 " %" PRIu64, bloom_words[b->state], b->held, b->block);
    int rc = store_state_set(t->store, bloom_key, buf_str(&text), err);
    buf_free(&text);
    if (rc == 0)
        b->moved = false;
    return rc;
}

static void bloom_set_state(struct bloom_trust *b, enum bloom_state state, uint64_t block)
{
    b->news = b->moved = true;
    b->state = state;
    b->block = block;
}

void bloom_on_log(struct bloom_trust *b, const struct header *h, const struct event_log *log)
{
    if (b->state == BLOOM_REFUTED || !h->has_bloom || log->n_topics == 0 ||
        !hash_equal(&h->at.hash, &log->block_hash))
        return;
    if (!header_may_hold(h, &log->contract, &log->topics[0])) {
        bloom_set_state(b, BLOOM_REFUTED, log->block);
    } else if (b->state == BLOOM_LEARNING && log->block > b->block) {
        b->block = log->block;
        b->moved = true;
        if (++b->held >= BLOOM_ENOUGH)
            bloom_set_state(b, BLOOM_PROVEN, log->block);
    }
}

bool bloom_take_news(struct bloom_trust *b)
{
    bool news = b->news;
    b->news = false;
    return news;
}
