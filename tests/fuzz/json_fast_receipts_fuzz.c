/* The way from a reply to receipts and their root. What is taken, a document has the same of. */
#include "base/arena.h"
#include "base/json.h"
#include "eth/receipt.h"
#include "fuzz.h"
#include "rpc/json_fast.h"

#include <string.h>

static void same(const struct receipt *r, const struct json *v)
{
    uint64_t gas;
    HOLDS(json_quantity(json_get(v, "cumulativeGasUsed"), &gas) && gas == r->gas);
    HOLDS(json_count(json_get(v, "logs")) == r->n_logs);
    const struct json *log = json_first(json_get(v, "logs"));
    for (size_t i = 0; i < r->n_logs; i++, log = json_next(log)) {
        const char *data = json_str(json_get(log, "data"));
        HOLDS(data && strlen(data) == 2 + 2 * r->logs[i].data_len);
        HOLDS(json_count(json_get(log, "topics")) == (size_t)r->logs[i].n_topics);
        touch(r->logs[i].data, r->logs[i].data_len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena arena;
    struct receipt *list, *again;
    size_t count, count_again;
    hash32 root;
    arena_init(&arena);
    if (json_fast_receipt_list((const char *)data, n, &arena, &list, &count)) {
        receipts_root(list, count, &root);
        /* An escape may spell a known name in another way, and only the document knows. */
        struct json *doc =
            memchr(data, '\\', n) ? NULL : json_parse((const char *)data, n, n, NULL);
        const struct json *v = json_first(doc);
        HOLDS(!doc || json_count(doc) == count);
        for (size_t i = 0; doc && i < count; i++, v = json_next(v))
            same(&list[i], v);
        json_free(doc);
    }
    if (json_fast_receipts((const char *)data, n, 7, &arena, &again, &count_again))
        receipts_root(again, count_again, &root);
    arena_free(&arena);
    return 0;
}
