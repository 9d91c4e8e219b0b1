/* Layout of a log: which arguments of its event are topics. See event.h. */
#include "base/parse.h"
#include "eth/abi.h"
#include "eth/event.h"

#include <stdio.h>
#include <string.h>

enum {
    WORD = 32,
    ADDRESS_AT = 12, /* where an address begins in its word */
    SMALL_FROM = 20, /* a word with zeros before this byte is below 2^96: a number, not an address
                        that a key or a contract has */
    TOP_OF_ADDRESS = 4, /* and one with a bit in an address's first four bytes is an address */
};

/* ---- types ----------------------------------------------------------------------------------- */

static bool event_is_dynamic(const char *type)
{
    size_t base = strcspn(type, "[");
    return (base == 5 && memcmp(type, "bytes", 5) == 0) ||
           (base == 6 && memcmp(type, "string", 6) == 0) || strstr(type, "[]");
}

/* Words a type takes in the head of the data: one, or its element count for arrays of fixed length
 * that are static throughout. Zero: more than any data of ours can hold. */
static size_t event_head_words(const char *type)
{
    size_t words = 1;
    if (event_is_dynamic(type))
        return 1;
    for (const char *open = strchr(type, '['); open; open = strchr(open + 1, '[')) {
        uint64_t count;
        if (!parse_u64(open + 1, strcspn(open + 1, "]"), &count) || count > EVENT_DATA_MAX / WORD)
            return 0;
        words *= (size_t)count;
        if (words > EVENT_DATA_MAX / WORD)
            return 0;
    }
    return words;
}

static bool event_all_bytes(const uint8_t *p, size_t n, uint8_t value)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != value)
            return false;
    return true;
}

/* The number behind "uint", "int" or "bytes": 0 when the type is another one. */
static size_t event_type_size(const char *type, const char *base)
{
    uint64_t size;
    size_t n = strlen(base);
    bool is = strncmp(type, base, n) == 0 && parse_u64(type + n, strlen(type + n), &size);
    return is && size > 0 && size <= 256 ? (size_t)size : 0;
}

/* Can a value of this elementary type be encoded so? */
static bool event_word_fits(const char *type, const uint8_t *word)
{
    size_t bits = event_type_size(type, "uint"), size = event_type_size(type, "bytes");
    if (strcmp(type, "address") == 0)
        return event_all_bytes(word, ADDRESS_AT, 0);
    if (strcmp(type, "bool") == 0)
        return event_all_bytes(word, WORD - 1, 0) && word[WORD - 1] <= 1;
    if (bits > 0)
        return event_all_bytes(word, WORD - bits / 8, 0);
    if (size > 0 && size < WORD)
        return event_all_bytes(word + size, WORD - size, 0);
    bits = event_type_size(type, "int");
    return bits == 0 || event_all_bytes(word, WORD - bits / 8, 0) ||
           event_all_bytes(word, WORD - bits / 8, 0xff);
}

/* Dynamic types and arrays are topics by their hash, which may be anything. */
static bool event_topic_fits(const char *type, const uint8_t *word)
{
    return event_is_dynamic(type) || strchr(type, '[') || event_word_fits(type, word);
}

/* In data a dynamic value's head is the offset of its tail. */
static bool event_head_fits(const char *type, const uint8_t *word, size_t data_len)
{
    uint64_t offset = 0;
    if (!event_is_dynamic(type))
        return strchr(type, '[') || event_word_fits(type, word);
    for (size_t i = WORD - sizeof offset; i < WORD; i++)
        offset = offset << 8 | word[i];
    return event_all_bytes(word, WORD - sizeof offset, 0) && offset <= data_len;
}

/* ---- one layout ------------------------------------------------------------------------------ */

/* Walks the arguments with their places. */
struct event_walk {
    const struct event_log *log;
    const struct signature *event;
    unsigned indexed;
    int param, topic;
    size_t word;            /* of the next argument in data */
    const uint8_t *at;      /* this argument's word; NULL: the log ends before it */
    bool is_topic, endless; /* endless: an argument before it has no known size */
};

static bool event_walk_next(struct event_walk *w)
{
    if (w->param == w->event->n_params || w->endless)
        return false;
    const char *type = w->event->params[w->param].type;
    w->at = NULL;
    w->is_topic = w->indexed >> w->param & 1;
    w->param++;
    if (w->is_topic) {
        if (++w->topic < w->log->n_topics)
            w->at = w->log->topics[w->topic].b;
        return true;
    }
    size_t head = event_head_words(type), all = w->log->data_len / WORD;
    if (head == 0)
        w->endless = true;
    else if (head <= all && w->word <= all - head)
        w->at = w->log->data + w->word * WORD;
    w->word += head;
    return true;
}

static bool event_layout_fits(const struct event_log *log, const struct signature *event,
                              unsigned indexed, bool exactly)
{
    struct event_walk w = {.log = log, .event = event, .indexed = indexed};
    bool fixed = true;
    while (event_walk_next(&w)) {
        const char *type = event->params[w.param - 1].type;
        fixed &= w.is_topic || !event_is_dynamic(type);
        if (!w.at || !(w.is_topic ? event_topic_fits(type, w.at)
                                  : event_head_fits(type, w.at, log->data_len)))
            return false;
    }
    return !w.endless && w.topic + 1 == log->n_topics &&
           (!exactly || !fixed || log->data_len == w.word * WORD);
}

static bool event_is_small(const uint8_t *word)
{
    return event_all_bytes(word, SMALL_FROM, 0);
}

static bool event_looks_like_address(const uint8_t *word)
{
    return event_all_bytes(word, ADDRESS_AT, 0) &&
           !event_all_bytes(word + ADDRESS_AT, TOP_OF_ADDRESS, 0);
}

unsigned event_indexed(const struct signature *event)
{
    unsigned indexed = 0;
    for (int i = 0; i < event->n_params; i++)
        indexed |= (unsigned)event->params[i].indexed << i;
    return indexed;
}

/* What a layout makes of the log's words. */
struct event_sense {
    bool small_address; /* an address below 2^96, zero included */
    bool small_wallet;  /* the same without zero, which stands for minting and burning */
    bool address_as_a_number;
};

static struct event_sense event_layout_sense(const struct event_log *log,
                                             const struct signature *event, unsigned indexed)
{
    struct event_walk w = {.log = log, .event = event, .indexed = indexed};
    struct event_sense ret = {0};
    while (event_walk_next(&w)) {
        const char *type = event->params[w.param - 1].type;
        if (w.at && strcmp(type, "address") == 0 && event_is_small(w.at)) {
            ret.small_address = true;
            ret.small_wallet |= !event_all_bytes(w.at, WORD, 0);
        }
        if (w.at && (event_type_size(type, "uint") || event_type_size(type, "int")))
            ret.address_as_a_number |= event_looks_like_address(w.at);
    }
    return ret;
}

/* A small number as an address, and in the same log an address as a number. One alone is no sign:
 * 0x…dead is an address that people send to. */
static bool event_layout_swaps(const struct event_log *log, const struct signature *event,
                               unsigned indexed)
{
    struct event_sense s = event_layout_sense(log, event, indexed);
    return s.small_address && s.address_as_a_number;
}

/* Where the count of topics is the declared one, the values alone speak against the declaration.
 * Then another layout must make full sense. */
static bool event_layout_serves(const struct event_log *log, const struct signature *event,
                                unsigned indexed)
{
    bool same_count = __builtin_popcount(event_indexed(event)) + 1 == log->n_topics;
    return event_layout_fits(log, event, indexed, true) &&
           !event_layout_swaps(log, event, indexed) &&
           !(same_count && event_layout_sense(log, event, indexed).small_wallet);
}

/* ---- the layout of a log --------------------------------------------------------------------- */

/* The layout with this many topics that fits and shares the most with the declared one. */
static bool event_find_other(const struct event_log *log, const struct signature *event,
                             unsigned *ret)
{
    unsigned declared = event_indexed(event);
    int best = -1;
    for (unsigned m = 0; m < 1u << event->n_params; m++) {
        int shared = __builtin_popcount(m & declared);
        if (__builtin_popcount(m) + 1 != log->n_topics || shared <= best || m == declared)
            continue;
        if (event_layout_serves(log, event, m)) {
            best = shared;
            *ret = m;
        }
    }
    return best >= 0;
}

struct event_layout event_layout_of(const struct event_log *log, const struct signature *event)
{
    struct event_layout ret = {.indexed = event_indexed(event)};
    unsigned other = 0;
    bool fits = event_layout_fits(log, event, ret.indexed, false);
    if (fits && !event_layout_swaps(log, event, ret.indexed))
        return ret;
    if (event_find_other(log, event, &other))
        return (struct event_layout){EVENT_AS_OTHER, other};
    ret.fit = fits ? EVENT_AS_DECLARED : EVENT_AS_NONE;
    return ret;
}

bool event_address(const struct event_log *log, const struct signature *event,
                   const struct event_layout *layout, int param, address *ret)
{
    struct event_walk w = {.log = log, .event = event, .indexed = layout->indexed};
    bool none = layout->fit == EVENT_AS_NONE, found = false;
    if (param < 0 || param >= event->n_params || strcmp(event->params[param].type, "address") != 0)
        return false;
    if (none && __builtin_popcount(layout->indexed) + 1 != log->n_topics)
        return false; /* which argument a topic is cannot be said */
    while (!found && event_walk_next(&w))
        found = w.param == param + 1;
    return found && w.at && !(none && event_is_small(w.at)) && abi_get_address(w.at, ret);
}

void event_declaration(const struct signature *event, unsigned indexed, char out[EVENT_TEXT])
{
    size_t n = (size_t)snprintf(out, EVENT_TEXT, "%s(", event->name);
    for (int i = 0; i < event->n_params; i++) {
        const struct sig_param *p = &event->params[i];
        n += (size_t)snprintf(out + n, EVENT_TEXT - n, "%s%s%s%s%s", i ? ", " : "", p->type,
                              indexed >> i & 1 ? " indexed" : "", p->name[0] ? " " : "", p->name);
    }
    snprintf(out + n, EVENT_TEXT - n, ")");
}
