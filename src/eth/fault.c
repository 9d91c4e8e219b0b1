/*
 * One ordered table. A row hits when all the conditions it states hold: one of its phrases in the
 * text, one of its HTTP statuses, one of its codes. What the order protects is said where it
 * matters. What is about money and rates comes first; then words, then the codes and statuses that
 * mean the same everywhere.
 */
#include "eth/fault.h"
#include "base/mem.h"
#include "eth/fault_phrase.h"

#include <string.h>

enum {
    LOGS = 1 << FAULT_GETLOGS,
    CALL = 1 << FAULT_CALL,
    ALL = LOGS | CALL | 1 << FAULT_ANY,
};

/* The head of a text is enough: what follows is data, a stack trace or HTML. */
enum { TEXT_MAX = 8192 };

enum { BLOCKS_MAX = 10000000, PER_SECOND_MAX = 1000000 };

enum { PHRASES_MOST = 16, CODES_MOST = 4 };

enum take { NOTHING, LIMIT, WINDOW };

struct fault_rule {
    const char *rule;
    enum fault fault;
    int methods;
    enum take take;
    /* Each list: any one of these; an empty list is no condition. */
    const char *phrases[PHRASES_MOST];
    int http[CODES_MOST]; /* below 10: the class, 5 for 5xx */
    int codes[CODES_MOST];
};

static const struct fault_rule rows[] = {
    /* A revert carries words of the contract's own choosing: no other row may read them. */
    {"revert", FAULT_REVERT, CALL,
     .phrases = {"execution reverted", "processing transaction: revert", "reverted with "}},

    /* Rate before ranges: "limited to N" can speak of requests. */
    {"R", FAULT_BILLING, ALL,
     .phrases = {"monthly capacity", "payment required", "daily request count exceeded",
                 "daily limit"}},
    {"R", FAULT_BILLING, ALL, .http = {402}},
    {"R", FAULT_BILLING, ALL, .codes = {402, -33000 /* Infura */}},
    {"R", FAULT_RATE, ALL, .http = {429}},
    {"R", FAULT_RATE, ALL, .codes = {429 /* over WebSocket there is no status */}},
    {"R", FAULT_RATE, ALL,
     .phrases = {"rate limit", "rate exceeded", "too many requests", "compute units", "capacity",
                 "quota", "request limit reached", "per second", "/second", "under too much load",
                 "upgrade your tier", "limit for your current plan"}},

    {"gas", FAULT_GAS, CALL,
     .phrases = {"out of gas", "outofgas", "gas required exceeds", "intrinsic gas", "gas limit",
                 "gas too low", "gas uint64 overflow"}},

    /* The server's own suggestion beats the limit named in the same sentence. */
    {"1", FAULT_WINDOW, LOGS, .take = WINDOW,
     .phrases = {"try with*[%,_%]", "should work*[%,_%]",
                 "\"from\":_%*\"to\":_%" /* Infura's error.data */}},
    {"2", FAULT_WINDOW, LOGS, .take = WINDOW,
     .phrases = {"retry with the range @-@" /* reth; decimal */, "too large, try @-@"}},
    {"3", FAULT_RANGE, LOGS, .take = LIMIT,
     .phrases = {"requested too many blocks from # to #, maximum is set to @"}},
    {"4", FAULT_RANGE, LOGS, .take = LIMIT,
     .phrases = {"max{imum} {allowed }{block }range{ is}{ of}_@", "block range greater than @ max",
                 "block range exceeds @", "maximum allowed is @ blocks", "distance: @",
                 "block range is too wide (maximum @", "query must be smaller than size @",
                 "exceeds the maximum of @ blocks",
                 "range exceeds server limit, narrow your filter: @"}},
    {"5", FAULT_RANGE, LOGS, .take = LIMIT,
     .phrases = {"limited to # - @", "limited to {a }@", "at most @ blocks",
                 "requested blocks is @", "up to a @ block range",
                 "range allowed for your plan (# > @)", "ranges over @ blocks are not supported",
                 "range # exceeds limit of @", "max is @ blocks"}},
    {"6", FAULT_RANGE, LOGS,
     .phrases = {"block range limit exceeded", "block range is too wide",
                 "block range {is }too large", "range threshold exceeded", "exceeded max allowed",
                 "exceeds maximum rpc range limit", "block range is bigger than",
                 "range is too large", "too many blocks"}},

    {"7", FAULT_DENSITY, ALL,
     .phrases = {"returned more than #", "more than # logs", "exceeds max results", "too many logs",
                 "too many results", "logs matched by query exceeds limit", "response is too big",
                 "response size", "response too large"}},
    /* Our request, not the answer, before the general "is too big". */
    {"9", FAULT_FILTER, ALL,
     .phrases = {"request body", "request entity too large", "payload too large",
                 "content too large", "request too large"}},
    {"9", FAULT_FILTER, CALL, .phrases = {"initcode size", "max code size"}},
    {"7", FAULT_DENSITY, ALL, .phrases = {"is too big"}},

    {"8", FAULT_TIME, ALL,
     .phrases = {"timed out", "timeout", "time-out", "deadline exceeded", "took too long"}},

    {"9", FAULT_FILTER, ALL,
     .phrases = {"contains # filters", "max addresses or topics",
                 "specify less number of address"}},

    /* Before "block not found" and "is not available": a tag or a method that is not there. */
    {"feature", FAULT_UNSUPPORTED, ALL,
     .phrases = {"finalized block not found", "safe block not found",
                 "does not exist/is not available", "method not found"}},
    {"canonical", FAULT_NOT_CANONICAL, ALL,
     .phrases = {"not currently canonical", "is not canonical"}},

    /* Missing data before reverts: Alchemy says "Unknown block" with code 3 near the tip. */
    {"10", FAULT_BEHIND, ALL,
     .phrases = {"extends beyond current head", "beyond head block", "greater than latest",
                 "after last accepted block", "cannot query unfinalized",
                 "not yet complete, please try again", "not processed yet", "unknown block",
                 "invalid block tag", "blockhash cannot be found" /* both: Hardhat */,
                 "block not found", "block # not found", "block 0x* not found",
                 "could not find block", "header not found", "header for hash not found"}},

    {"11", FAULT_PRUNED, ALL,
     .phrases = {"pruned", "archive", "archival", "not included in your current plan",
                 "missing trie node", "historical state", "no state available", "state unavailable",
                 "state *is not available", "old data not available", "purged for block"}},
    {"11", FAULT_PRUNED, ALL, .codes = {4444 /* EIP-4444, geth */}},

    {"12", FAULT_DOWN, ALL,
     .phrases = {"no backend is currently healthy", "bad gateway", "service unavailable",
                 "connection reset", "connection refused", "broken pipe", "unexpected eof",
                 "empty reply"}},

    {"13", FAULT_BATCH, ALL,
     .phrases = {"exceeds max batch size", "too many rpc calls in batch", "batch too large",
                 "batch size", "batch{ed} requests are not"}},

    /* Code 3 and bare words of the virtual machine. */
    {"revert", FAULT_REVERT, CALL, .codes = {3, -32015}},
    {"revert", FAULT_REVERT, CALL,
     .phrases = {"vm execution error", "vm exception", "evm error", "invalid opcode",
                 "bad instruction", "invalid jump", "stack underflow", "stack limit reached",
                 "revert"}},

    {"feature", FAULT_UNSUPPORTED, ALL,
     .phrases = {"unsupported", "not supported", "too many arguments", "not whitelisted",
                 "malformed blocknumber", "not a supported commitment"}},

    {"14", FAULT_INVALID, ALL, .phrases = {"invalid block range", "invalid params"}},

    /* So general that for eth_getLogs it also means "too much": there it is left unknown, which
     * slows down and halves both. */
    {"R", FAULT_RATE, ALL & ~LOGS, .phrases = {"limit exceeded"}},

    /* No words we know. Statuses that mean one thing, codes that mean one thing, then the rest. */
    {"R", FAULT_RATE, ALL, .http = {503 /* nethermind's queue is full */}, .codes = {-32005}},
    {"9", FAULT_FILTER, ALL, .http = {413}},
    {"8", FAULT_TIME, ALL, .http = {408, 504, 524 /* Cloudflare */}},
    {"R", FAULT_RATE, ALL, .codes = {-32029, -32090}},
    {"7", FAULT_DENSITY, ALL, .codes = {-32008, -32020}},
    {"8", FAULT_TIME, ALL, .codes = {-32016, -32017, -32002}},
    {"10", FAULT_BEHIND, ALL, .codes = {-32001, -39001 /* besu */}},
    {"12", FAULT_DOWN, ALL, .codes = {-32010, -32011}},
    {"feature", FAULT_UNSUPPORTED, ALL, .codes = {-32601, -32612 /* QuickNode */, -32613, -32004}},
    {"14", FAULT_INVALID, ALL, .codes = {-32602, -32600, -32700}},
    {"12", FAULT_DOWN, ALL, .http = {5}},
    {"14", FAULT_INVALID, ALL, .http = {401, 403, 404, 405}},
};

static const char *const waits[] = {
    "retry in ~",        "retry after ~",          "retry-after_~",
    "try again in ~",    "\"backoff_seconds\":_~", "\"retry_after\":_~",
    "\"retryafter\":_~",
};

static const char *const rates[] = {
    "@/second", "@/sec", "@ requests per second", "@ request per second", "@ requests/s", "@ req/s",
};

static char fault_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* The text in lower case, as phrases are. The length of it. */
static size_t fault_lower_text(const char *text, size_t n, char low[TEXT_MAX])
{
    n = n < TEXT_MAX ? n : TEXT_MAX;
    for (size_t i = 0; i < n; i++)
        low[i] = fault_lower(text[i]);
    return n;
}

static bool fault_http_is_listed(const int list[CODES_MOST], int status)
{
    bool listed = list[0] == 0;
    for (size_t i = 0; i < CODES_MOST && list[i] && !listed; i++)
        listed = list[i] == status || (list[i] < 10 && list[i] == status / 100);
    return listed;
}

static bool fault_code_is_listed(const int list[CODES_MOST], int64_t code)
{
    bool listed = list[0] == 0;
    for (size_t i = 0; i < CODES_MOST && list[i] && !listed; i++)
        listed = list[i] == code;
    return listed;
}

/* The first of a list of phrases that ends with NULL or at its most. */
static bool fault_find_phrase(const char *const *list, size_t most, const char *text, size_t n,
                              struct phrase_hit *hit)
{
    bool found = false;
    for (size_t i = 0; i < most && list[i] && !found; i++)
        found = phrase_find(text, n, list[i], hit);
    return found;
}

/* A failure as it came: its text is in lower case. */
struct fault_input {
    enum fault_method method;
    int http_status;
    int64_t code;
    const char *text;
    size_t n;
};

static bool fault_rule_matches(const struct fault_rule *r, const struct fault_input *in,
                               struct phrase_hit *hit)
{
    return r->methods & 1 << in->method && fault_http_is_listed(r->http, in->http_status) &&
           fault_code_is_listed(r->codes, in->code) &&
           (!r->phrases[0] || fault_find_phrase(r->phrases, PHRASES_MOST, in->text, in->n, hit));
}

static void fault_take_numbers(const struct fault_rule *r, const struct phrase_hit *hit,
                               struct fault_info *ret)
{
    if (r->take == LIMIT && hit->n == 1 && hit->number[0] > 0 && hit->number[0] <= BLOCKS_MAX)
        ret->limit = hit->number[0] - 1;
    if (r->take == WINDOW && hit->n == 2) {
        ret->has_window = true;
        ret->from = hit->number[0];
        ret->to = hit->number[1];
    }
}

static void fault_find_waits(const char *text, size_t n, struct fault_info *ret)
{
    struct phrase_hit hit;
    for (size_t i = 0; i < COUNT_OF(waits) && ret->retry_after_ms < 0; i++)
        if (phrase_find(text, n, waits[i], &hit))
            ret->retry_after_ms = hit.duration_ms;
    for (size_t i = 0; i < COUNT_OF(rates) && ret->per_second == 0; i++)
        if (ret->fault == FAULT_RATE && phrase_find(text, n, rates[i], &hit) &&
            hit.number[0] <= PER_SECOND_MAX)
            ret->per_second = hit.number[0];
}

void fault_classify(enum fault_method method, int http_status, int64_t code, const char *text,
                    size_t n, struct fault_info *ret)
{
    char low[TEXT_MAX];
    struct phrase_hit hit = {.duration_ms = -1};
    n = fault_lower_text(text, n, low);
    bool page = n > 0 && low[0] == '<', nothing = n == 0 && code == 0 && http_status != 0;
    *ret = (struct fault_info){.fault = page || nothing ? FAULT_GARBLED : FAULT_UNKNOWN,
                               .rule = page || nothing ? "garbled" : "15",
                               .retry_after_ms = -1};
    const struct fault_input in = {method, http_status, code, low, n};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (!fault_rule_matches(&rows[i], &in, &hit))
            continue;
        ret->fault = rows[i].fault;
        ret->rule = rows[i].rule;
        fault_take_numbers(&rows[i], &hit, ret);
        break;
    }
    fault_find_waits(low, n, ret);
}

static bool fault_has_phrase(const char *text, const char *const *phrases, size_t n_phrases)
{
    char low[TEXT_MAX];
    struct phrase_hit hit;
    size_t n = fault_lower_text(text, strlen(text), low);
    return fault_find_phrase(phrases, n_phrases, low, n, &hit);
}

bool fault_text_reverted(const char *text)
{
    static const char *const words[] = {"revert"};
    return fault_has_phrase(text, words, COUNT_OF(words));
}

bool fault_text_ran_out(const char *text)
{
    static const char *const words[] = {"out of gas", "outofgas", "gas required", "too low",
                                        "overflow"};
    return fault_has_phrase(text, words, COUNT_OF(words));
}
