/* Logs. Text that starts with "!" is a signature, a newline, a count of topics and raw bytes for
 * topics and data: the way from a declaration to an address. Anything else is JSON. */
#include "base/arena.h"
#include "base/json.h"
#include "eth/event.h"
#include "fuzz.h"

#include <string.h>

static void find_addresses(const struct event_log *log, const struct signature *event)
{
    struct event_layout layout = event_layout_of(log, event);
    char text[EVENT_TEXT];
    HOLDS(layout.fit <= EVENT_AS_NONE && layout.indexed >> event->n_params == 0);
    event_declaration(event, layout.indexed, text);
    event_matches(log, &log->contract, event);
    for (int i = -1; i <= event->n_params; i++) {
        address a;
        if (event_address(log, event, &layout, i, &a)) {
            HOLDS(i >= 0 && i < event->n_params);
            touch(a.b, sizeof a.b);
        }
    }
}

static void from_raw(const char *text, size_t n)
{
    struct event_log log = {0};
    struct signature event;
    const char *end = memchr(text, '\n', n);
    if (!end || event_parse(text, (size_t)(end - text), &event, NULL) < 0 || end + 1 == text + n)
        return;
    const uint8_t *p = (const uint8_t *)end + 2;
    size_t left = n - (size_t)(end - text) - 2;
    log.n_topics = (uint8_t)end[1] % (EVENT_TOPICS + 1);
    for (int i = 0; i < log.n_topics && left >= 32; i++, p += 32, left -= 32)
        memcpy(log.topics[i].b, p, 32);
    log.data = p;
    log.data_len = left;
    find_addresses(&log, &event);
}

static void from_json(const char *text, size_t n)
{
    static const char transfer[] = "Transfer(address indexed from, address indexed to, uint256 v)";
    struct event_log *logs;
    struct signature event;
    struct arena arena;
    size_t count;
    struct json *doc = json_parse(text, n, 65536, NULL);
    arena_init(&arena);
    HOLDS(event_parse(transfer, sizeof transfer - 1, &event, NULL) == 0);
    if (doc && event_logs_from_json(doc, 20, &arena, &logs, &count, NULL) == 0) {
        HOLDS(count <= 20);
        for (size_t i = 0; i < count; i++) {
            HOLDS(logs[i].n_topics >= 0 && logs[i].n_topics <= EVENT_TOPICS);
            touch(logs[i].data, logs[i].data_len);
            find_addresses(&logs[i], &event);
        }
    }
    arena_free(&arena);
    json_free(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n > 0 && data[0] == '!')
        from_raw((const char *)data + 1, n - 1);
    else
        from_json((const char *)data, n);
    return 0;
}
