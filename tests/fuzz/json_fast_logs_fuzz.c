/* The quick way from a reply to logs: what it takes, the careful way reads the same. */
#include "eth/event.h"
#include "eth/jsonrpc.h"
#include "fuzz.h"
#include "rpc/json_fast.h"

#include <string.h>

static void same(const struct event_log *a, const struct event_log *b)
{
    HOLDS(address_equal(&a->contract, &b->contract) && a->n_topics == b->n_topics);
    for (int i = 0; i < a->n_topics; i++)
        HOLDS(hash_equal(&a->topics[i], &b->topics[i]));
    HOLDS(a->data_len == b->data_len && memcmp(a->data, b->data, a->data_len) == 0);
    HOLDS(a->block == b->block && hash_equal(&a->block_hash, &b->block_hash));
    HOLDS(a->index == b->index && a->removed == b->removed);
    HOLDS(!b->no_block && !b->no_hash && !b->unreadable && !a->unplaced);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct jsonrpc_reply r;
    struct arena arena;
    struct event_log *quick, *careful;
    size_t n_quick, n_careful;
    arena_init(&arena);
    if (json_fast_logs((const char *)data, n, 7, 50, &arena, &quick, &n_quick)) {
        HOLDS(jsonrpc_reply_parse((const char *)data, n, 65536, 7, &r, NULL) == 0);
        HOLDS(!r.is_error && json_is_array(r.result));
        HOLDS(event_logs_from_json(r.result, 50, &arena, &careful, &n_careful, NULL) == 0);
        HOLDS(n_quick == n_careful);
        for (size_t i = 0; i < n_quick; i++)
            same(&quick[i], &careful[i]);
        jsonrpc_reply_free(&r);
    }
    arena_free(&arena);
    return 0;
}
