/*
 * One ordered table. A row hits when all the conditions it states hold: a phrase in the text, an
 * HTTP status, a code. Phrases of one meaning stand together; what the order protects is said where
 * it matters. Words first, then the codes and statuses that mean the same everywhere.
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

enum take { NOTHING, LIMIT, WINDOW };

struct fault_rule {
    const char *rule;
    enum fault fault;
    int methods;
    const char *phrase; /* NULL: any text */
    enum take take;
    int http; /* 0: any; below 10: the class, 5 for 5xx */
    int code; /* 0: any */
};

static const struct fault_rule rows[] = {
    /* A revert carries words of the contract's own choosing: no other row may read them. */
    {"revert", FAULT_REVERT, CALL, "execution reverted"},
    {"revert", FAULT_REVERT, CALL, "processing transaction: revert"},
    {"revert", FAULT_REVERT, CALL, "reverted with "},

    /* Rate before ranges: "limited to N" can speak of requests. */
    {"R", FAULT_BILLING, ALL, "monthly capacity"},
    {"R", FAULT_BILLING, ALL, "payment required"},
    {"R", FAULT_BILLING, ALL, "daily request count exceeded"},
    {"R", FAULT_BILLING, ALL, "daily limit"},
    {"R", FAULT_BILLING, ALL, .http = 402},
    {"R", FAULT_BILLING, ALL, .code = 402},
    {"R", FAULT_BILLING, ALL, .code = -33000}, /* Infura */
    {"R", FAULT_RATE, ALL, .http = 429},
    {"R", FAULT_RATE, ALL, .code = 429}, /* over WebSocket there is no status */
    {"R", FAULT_RATE, ALL, "rate limit"},
    {"R", FAULT_RATE, ALL, "rate exceeded"},
    {"R", FAULT_RATE, ALL, "too many requests"},
    {"R", FAULT_RATE, ALL, "compute units"},
    {"R", FAULT_RATE, ALL, "capacity"},
    {"R", FAULT_RATE, ALL, "quota"},
    {"R", FAULT_RATE, ALL, "request limit reached"},
    {"R", FAULT_RATE, ALL, "per second"},
    {"R", FAULT_RATE, ALL, "/second"},
    {"R", FAULT_RATE, ALL, "under too much load"},
    {"R", FAULT_RATE, ALL, "upgrade your tier"},
    {"R", FAULT_RATE, ALL, "limit for your current plan"},

    {"gas", FAULT_GAS, CALL, "out of gas"},
    {"gas", FAULT_GAS, CALL, "outofgas"},
    {"gas", FAULT_GAS, CALL, "gas required exceeds"},
    {"gas", FAULT_GAS, CALL, "intrinsic gas"},
    {"gas", FAULT_GAS, CALL, "gas limit"},
    {"gas", FAULT_GAS, CALL, "gas too low"},
    {"gas", FAULT_GAS, CALL, "gas uint64 overflow"},

    /* The server's own suggestion beats the limit named in the same sentence. */
    {"1", FAULT_WINDOW, LOGS, "try with*[%,_%]", WINDOW},
    {"1", FAULT_WINDOW, LOGS, "should work*[%,_%]", WINDOW},
    {"1", FAULT_WINDOW, LOGS, "\"from\":_%*\"to\":_%", WINDOW},    /* Infura's error.data */
    {"2", FAULT_WINDOW, LOGS, "retry with the range @-@", WINDOW}, /* reth; decimal */
    {"2", FAULT_WINDOW, LOGS, "too large, try @-@", WINDOW},
    {"3", FAULT_RANGE, LOGS, "requested too many blocks from # to #, maximum is set to @", LIMIT},
    {"4", FAULT_RANGE, LOGS, "max{imum} {allowed }{block }range{ is}{ of}_@", LIMIT},
    {"4", FAULT_RANGE, LOGS, "block range greater than @ max", LIMIT},
    {"4", FAULT_RANGE, LOGS, "block range exceeds @", LIMIT},
    {"4", FAULT_RANGE, LOGS, "maximum allowed is @ blocks", LIMIT},
    {"4", FAULT_RANGE, LOGS, "distance: @", LIMIT},
    {"4", FAULT_RANGE, LOGS, "block range is too wide (maximum @", LIMIT},
    {"4", FAULT_RANGE, LOGS, "query must be smaller than size @", LIMIT},
    {"4", FAULT_RANGE, LOGS, "exceeds the maximum of @ blocks", LIMIT},
    {"4", FAULT_RANGE, LOGS, "range exceeds server limit, narrow your filter: @", LIMIT},
    {"5", FAULT_RANGE, LOGS, "limited to # - @", LIMIT},
    {"5", FAULT_RANGE, LOGS, "limited to {a }@", LIMIT},
    {"5", FAULT_RANGE, LOGS, "at most @ blocks", LIMIT},
    {"5", FAULT_RANGE, LOGS, "requested blocks is @", LIMIT},
    {"5", FAULT_RANGE, LOGS, "up to a @ block range", LIMIT},
    {"5", FAULT_RANGE, LOGS, "range allowed for your plan (# > @)", LIMIT},
    {"5", FAULT_RANGE, LOGS, "ranges over @ blocks are not supported", LIMIT},
    {"5", FAULT_RANGE, LOGS, "range # exceeds limit of @", LIMIT},
    {"5", FAULT_RANGE, LOGS, "max is @ blocks", LIMIT},
    {"6", FAULT_RANGE, LOGS, "block range limit exceeded"},
    {"6", FAULT_RANGE, LOGS, "block range is too wide"},
    {"6", FAULT_RANGE, LOGS, "block range {is }too large"},
    {"6", FAULT_RANGE, LOGS, "range threshold exceeded"},
    {"6", FAULT_RANGE, LOGS, "exceeded max allowed"},
    {"6", FAULT_RANGE, LOGS, "exceeds maximum rpc range limit"},
    {"6", FAULT_RANGE, LOGS, "block range is bigger than"},
    {"6", FAULT_RANGE, LOGS, "range is too large"},
    {"6", FAULT_RANGE, LOGS, "too many blocks"},

    {"7", FAULT_DENSITY, ALL, "returned more than #"},
    {"7", FAULT_DENSITY, ALL, "more than # logs"},
    {"7", FAULT_DENSITY, ALL, "exceeds max results"},
    {"7", FAULT_DENSITY, ALL, "too many logs"},
    {"7", FAULT_DENSITY, ALL, "too many results"},
    {"7", FAULT_DENSITY, ALL, "logs matched by query exceeds limit"},
    {"7", FAULT_DENSITY, ALL, "response is too big"},
    {"7", FAULT_DENSITY, ALL, "response size"},
    {"7", FAULT_DENSITY, ALL, "response too large"},
    /* Our request, not the answer, before the general "is too big". */
    {"9", FAULT_FILTER, ALL, "request body"},
    {"9", FAULT_FILTER, ALL, "request entity too large"},
    {"9", FAULT_FILTER, ALL, "payload too large"},
    {"9", FAULT_FILTER, ALL, "content too large"},
    {"9", FAULT_FILTER, ALL, "request too large"},
    {"9", FAULT_FILTER, CALL, "initcode size"},
    {"9", FAULT_FILTER, CALL, "max code size"},
    {"7", FAULT_DENSITY, ALL, "is too big"},

    {"8", FAULT_TIME, ALL, "timed out"},
    {"8", FAULT_TIME, ALL, "timeout"},
    {"8", FAULT_TIME, ALL, "time-out"},
    {"8", FAULT_TIME, ALL, "deadline exceeded"},
    {"8", FAULT_TIME, ALL, "took too long"},

    {"9", FAULT_FILTER, ALL, "contains # filters"},
    {"9", FAULT_FILTER, ALL, "max addresses or topics"},
    {"9", FAULT_FILTER, ALL, "specify less number of address"},

    /* Before "block not found" and "is not available": a tag or a method that is not there. */
    {"feature", FAULT_UNSUPPORTED, ALL, "finalized block not found"},
    {"feature", FAULT_UNSUPPORTED, ALL, "safe block not found"},
    {"feature", FAULT_UNSUPPORTED, ALL, "does not exist/is not available"},
    {"feature", FAULT_UNSUPPORTED, ALL, "method not found"},
    {"canonical", FAULT_NOT_CANONICAL, ALL, "not currently canonical"},
    {"canonical", FAULT_NOT_CANONICAL, ALL, "is not canonical"},

    /* Missing data before reverts: Alchemy says "Unknown block" with code 3 near the tip. */
    {"10", FAULT_BEHIND, ALL, "extends beyond current head"},
    {"10", FAULT_BEHIND, ALL, "beyond head block"},
    {"10", FAULT_BEHIND, ALL, "greater than latest"},
    {"10", FAULT_BEHIND, ALL, "after last accepted block"},
    {"10", FAULT_BEHIND, ALL, "cannot query unfinalized"},
    {"10", FAULT_BEHIND, ALL, "not yet complete, please try again"},
    {"10", FAULT_BEHIND, ALL, "not processed yet"},
    {"10", FAULT_BEHIND, ALL, "unknown block"},
    {"10", FAULT_BEHIND, ALL, "block not found"},
    {"10", FAULT_BEHIND, ALL, "block # not found"},
    {"10", FAULT_BEHIND, ALL, "block 0x* not found"},
    {"10", FAULT_BEHIND, ALL, "could not find block"},
    {"10", FAULT_BEHIND, ALL, "header not found"},
    {"10", FAULT_BEHIND, ALL, "header for hash not found"},

    {"11", FAULT_PRUNED, ALL, "pruned"},
    {"11", FAULT_PRUNED, ALL, "archive"},
    {"11", FAULT_PRUNED, ALL, "archival"},
    {"11", FAULT_PRUNED, ALL, "not included in your current plan"},
    {"11", FAULT_PRUNED, ALL, "missing trie node"},
    {"11", FAULT_PRUNED, ALL, "historical state"},
    {"11", FAULT_PRUNED, ALL, "no state available"},
    {"11", FAULT_PRUNED, ALL, "state unavailable"},
    {"11", FAULT_PRUNED, ALL, "state *is not available"},
    {"11", FAULT_PRUNED, ALL, "old data not available"},
    {"11", FAULT_PRUNED, ALL, "purged for block"},
    {"11", FAULT_PRUNED, ALL, .code = 4444}, /* EIP-4444, geth */

    {"12", FAULT_DOWN, ALL, "no backend is currently healthy"},
    {"12", FAULT_DOWN, ALL, "bad gateway"},
    {"12", FAULT_DOWN, ALL, "service unavailable"},
    {"12", FAULT_DOWN, ALL, "connection reset"},
    {"12", FAULT_DOWN, ALL, "connection refused"},
    {"12", FAULT_DOWN, ALL, "broken pipe"},
    {"12", FAULT_DOWN, ALL, "unexpected eof"},
    {"12", FAULT_DOWN, ALL, "empty reply"},

    {"13", FAULT_BATCH, ALL, "exceeds max batch size"},
    {"13", FAULT_BATCH, ALL, "too many rpc calls in batch"},
    {"13", FAULT_BATCH, ALL, "batch too large"},
    {"13", FAULT_BATCH, ALL, "batch size"},
    {"13", FAULT_BATCH, ALL, "batch{ed} requests are not"},

    /* Code 3 and bare words of the virtual machine. */
    {"revert", FAULT_REVERT, CALL, .code = 3},
    {"revert", FAULT_REVERT, CALL, .code = -32015},
    {"revert", FAULT_REVERT, CALL, "vm execution error"},
    {"revert", FAULT_REVERT, CALL, "vm exception"},
    {"revert", FAULT_REVERT, CALL, "evm error"},
    {"revert", FAULT_REVERT, CALL, "invalid opcode"},
    {"revert", FAULT_REVERT, CALL, "bad instruction"},
    {"revert", FAULT_REVERT, CALL, "invalid jump"},
    {"revert", FAULT_REVERT, CALL, "stack underflow"},
    {"revert", FAULT_REVERT, CALL, "stack limit reached"},
    {"revert", FAULT_REVERT, CALL, "revert"},

    {"feature", FAULT_UNSUPPORTED, ALL, "unsupported"},
    {"feature", FAULT_UNSUPPORTED, ALL, "not supported"},
    {"feature", FAULT_UNSUPPORTED, ALL, "too many arguments"},
    {"feature", FAULT_UNSUPPORTED, ALL, "not whitelisted"},
    {"feature", FAULT_UNSUPPORTED, ALL, "malformed blocknumber"},
    {"feature", FAULT_UNSUPPORTED, ALL, "not a supported commitment"},

    {"14", FAULT_INVALID, ALL, "invalid block range"},
    {"14", FAULT_INVALID, ALL, "invalid params"},

    /* So general that for eth_getLogs it also means "too much": there it is left unknown, which
     * slows down and halves both. */
    {"R", FAULT_RATE, ALL & ~LOGS, "limit exceeded"},

    /* No words we know. Statuses that mean one thing, codes that mean one thing, then the rest. */
    {"R", FAULT_RATE, ALL, .http = 503, .code = -32005}, /* nethermind's queue is full */
    {"9", FAULT_FILTER, ALL, .http = 413},
    {"8", FAULT_TIME, ALL, .http = 408},
    {"8", FAULT_TIME, ALL, .http = 504},
    {"8", FAULT_TIME, ALL, .http = 524}, /* Cloudflare */
    {"R", FAULT_RATE, ALL, .code = -32029},
    {"R", FAULT_RATE, ALL, .code = -32090},
    {"7", FAULT_DENSITY, ALL, .code = -32008},
    {"7", FAULT_DENSITY, ALL, .code = -32020},
    {"8", FAULT_TIME, ALL, .code = -32016},
    {"8", FAULT_TIME, ALL, .code = -32017},
    {"8", FAULT_TIME, ALL, .code = -32002},
    {"10", FAULT_BEHIND, ALL, .code = -32001},
    {"10", FAULT_BEHIND, ALL, .code = -39001}, /* besu */
    {"12", FAULT_DOWN, ALL, .code = -32010},
    {"12", FAULT_DOWN, ALL, .code = -32011},
    {"feature", FAULT_UNSUPPORTED, ALL, .code = -32601},
    {"feature", FAULT_UNSUPPORTED, ALL, .code = -32612}, /* QuickNode */
    {"feature", FAULT_UNSUPPORTED, ALL, .code = -32613},
    {"feature", FAULT_UNSUPPORTED, ALL, .code = -32004},
    {"14", FAULT_INVALID, ALL, .code = -32602},
    {"14", FAULT_INVALID, ALL, .code = -32600},
    {"14", FAULT_INVALID, ALL, .code = -32700},
    {"12", FAULT_DOWN, ALL, .http = 5},
    {"14", FAULT_INVALID, ALL, .http = 401},
    {"14", FAULT_INVALID, ALL, .http = 403},
    {"14", FAULT_INVALID, ALL, .http = 404},
    {"14", FAULT_INVALID, ALL, .http = 405},
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

static bool fault_http_is(int wanted, int status)
{
    return wanted == 0 || wanted == status || (wanted < 10 && wanted == status / 100);
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
    return r->methods & 1 << in->method && fault_http_is(r->http, in->http_status) &&
           (r->code == 0 || r->code == in->code) &&
           (r->phrase == NULL || phrase_find(in->text, in->n, r->phrase, hit));
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
    for (size_t i = 0; i < n_phrases; i++)
        if (phrase_find(low, n, phrases[i], &hit))
            return true;
    return false;
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
