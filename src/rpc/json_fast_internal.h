/* What the files of json_fast share: a cursor in a text, and what it can take from there. Each
 * function leaves the cursor anywhere where it fails. */
#ifndef RPC_JSON_FAST_INTERNAL_H
#define RPC_JSON_FAST_INTERNAL_H

#include "eth/address.h"
#include "rpc/json_fast.h"

#include <string.h>

struct event_log;

struct json_cursor {
    const char *at, *end;
};

static inline void json_fast_skip_blanks(struct json_cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t'))
        c->at++;
}

static inline bool json_fast_take(struct json_cursor *c, char wanted)
{
    json_fast_skip_blanks(c);
    if (c->at == c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

/* The inside of a string. One with an escape in it would end at the wrong place: there is none
 * among the strings that are accepted afterwards, so it is refused then. */
static inline bool json_fast_take_string(struct json_cursor *c, const char **ret, size_t *ret_len)
{
    if (!json_fast_take(c, '"'))
        return false;
    const char *close = memchr(c->at, '"', (size_t)(c->end - c->at));
    if (!close)
        return false;
    *ret = c->at;
    *ret_len = (size_t)(close - c->at);
    c->at = close + 1;
    return true;
}

static inline bool json_fast_take_word(struct json_cursor *c, const char *word)
{
    size_t n = strlen(word);
    json_fast_skip_blanks(c);
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, word, n) != 0)
        return false;
    c->at += n;
    return true;
}

static inline bool json_fast_is(const char *s, size_t n, const char *wanted)
{
    return n == strlen(wanted) && memcmp(s, wanted, n) == 0;
}

struct json_text {
    const char *at;
    size_t n;
};

/* The envelope: "jsonrpc", "id" and "result", each once. What the result is, take_result says. */
bool json_fast_take_reply(struct json_cursor *c, uint64_t id,
                          bool (*take_result)(struct json_cursor *, void *), void *ctx);
bool json_fast_take_hash(struct json_cursor *c, hash32 *ret);
bool json_fast_take_quantity(struct json_cursor *c, uint64_t *ret);
bool json_fast_take_topics(struct json_cursor *c, struct event_log *log);
/* Whole, whatever its size; in the arena. */
bool json_fast_take_data(struct json_cursor *c, struct arena *arena, struct event_log *log);

#endif
