#include "base/parse.h"
#include "bench/rpcserver/rpcserver.h"
#include "eth/jsonrpc.h"

#include <endian.h>
#include <inttypes.h>
#include <string.h>

enum { GENESIS_TIME = 1600000000, BLOCK_SECONDS = 12, FINAL_DEPTH = 2, BLOOM_BYTES = 256 };

/* ---- the chain: a block's hash tells its number ---------------------------------------------- */

void block_hash_of(uint64_t number, hash32 *ret)
{
    uint64_t be = htobe64(number);
    memset(ret->b, 0xbe, sizeof ret->b);
    memcpy(ret->b + sizeof ret->b - sizeof be, &be, sizeof be);
}

uint64_t block_time_of(uint64_t number)
{
    return GENESIS_TIME + BLOCK_SECONDS * number;
}

bool block_by_hash(const struct rules *r, const hash32 *hash, uint64_t *ret)
{
    hash32 same;
    uint64_t number;
    memcpy(&number, hash->b + sizeof hash->b - sizeof number, sizeof number);
    number = be64toh(number);
    block_hash_of(number, &same);
    if (number > r->head || !hash_equal(&same, hash))
        return false;
    *ret = number;
    return true;
}

static void add_block(const struct rules *r, uint64_t number, struct buf *out)
{
    hash32 hash, parent = {0};
    char text[HASH_TEXT], parent_text[HASH_TEXT];
    static const uint8_t bloom[BLOOM_BYTES];
    if (number > r->head) {
        buf_adds(out, "null");
        return;
    }
    block_hash_of(number, &hash);
    if (number > 0)
        block_hash_of(number - 1, &parent);
    hash_text(&hash, text);
    hash_text(&parent, parent_text);
    buf_addf(out,
             "{\"number\":\"0x%" PRIx64 "\",\"hash\":\"%s\",\"parentHash\":\"%s\","
             "\"timestamp\":\"0x%" PRIx64 "\",\"gasLimit\":\"0x2faf080\",\"transactions\":[],"
             "\"logsBloom\":\"0x",
             number, text, parent_text, block_time_of(number));
    buf_addhex(out, bloom, sizeof bloom);
    buf_adds(out, "\"}");
}

/* ---- JSON, as much of it as our callers write ------------------------------------------------ */

/* The text after "key": and blanks, from `from` on; NULL if the key is not there. */
static const char *value_of(const char *from, const char *key)
{
    char quoted[40];
    size_t n = strlen(key);
    if (!from || n + 3 > sizeof quoted)
        return NULL;
    quoted[0] = '"';
    memcpy(quoted + 1, key, n);
    memcpy(quoted + 1 + n, "\"", 2);
    const char *at = strstr(from, quoted);
    if (!at)
        return NULL;
    at += n + 2;
    return at + strspn(at, " :\t\r\n");
}

/* The inside of the string at `at`. */
static bool string_at(const char *at, const char **ret, size_t *ret_len)
{
    const char *end = at && *at == '"' ? strchr(at + 1, '"') : NULL;
    if (!end)
        return false;
    *ret = at + 1;
    *ret_len = (size_t)(end - at - 1);
    return true;
}

static bool hex_of(const char *from, const char *key, const char **ret, size_t *ret_len)
{
    if (!string_at(value_of(from, key), ret, ret_len) || *ret_len < 2)
        return false;
    *ret += 2;
    *ret_len -= 2;
    return true;
}

/* "latest", "finalized" …, a number, or a hash anywhere in the text. */
static bool block_of(const struct rules *r, const char *text, uint64_t *ret)
{
    const char *s, *hash_at = value_of(text, "blockHash");
    size_t n;
    hash32 hash;
    if (hash_at)
        return string_at(hash_at, &s, &n) && hash_parse(s, n, &hash) &&
               block_by_hash(r, &hash, ret);
    *ret = r->head;
    if (!string_at(text + strcspn(text, "\"{"), &s, &n))
        return true;
    if (n == 9 && memcmp(s, "finalized", n) == 0)
        *ret = r->head - FINAL_DEPTH;
    else if (n == 8 && memcmp(s, "earliest", n) == 0)
        *ret = 0;
    else if (n == 66)
        return hash_parse(s, n, &hash) && block_by_hash(r, &hash, ret);
    else
        parse_hex_u64(s, n, ret);
    return true;
}

static bool quantity_of(const char *from, const char *key, uint64_t *ret)
{
    const char *s;
    size_t n;
    return string_at(value_of(from, key), &s, &n) && parse_hex_u64(s, n, ret);
}

/* ---- methods --------------------------------------------------------------------------------- */

static void add_error(struct buf *out, int code, const char *words)
{
    buf_addf(out, "\"error\":{\"code\":%d,\"message\":\"%s\"}", code, words);
}

static void add_call(const struct rules *r, const char *params, struct buf *out)
{
    struct call c = {0};
    const char *s, *rest, *words;
    size_t n;
    if (!hex_of(params, "data", &c.data, &c.data_len)) {
        add_error(out, -32602, "no data");
        return;
    }
    /* What follows the data is looked through apart, so that its length costs nothing. */
    rest = c.data + c.data_len;
    const char *to = value_of(params, "to"), *gas = value_of(params, "gas");
    if (!to || to > c.data)
        to = value_of(rest, "to"); /* viem writes it behind the data */
    c.has_to = string_at(to, &s, &n) && address_parse_loose(s, n, &c.to);
    if (gas && gas < c.data && string_at(gas, &s, &n))
        parse_hex_u64(s, n, &c.gas);
    c.has_override = hex_of(rest, "code", &c.code, &c.code_len);
    if (!block_of(r, rest + 1 + strcspn(rest + 1, ",]"), &c.block)) {
        add_error(out, -32000, "header not found");
        return;
    }
    size_t start = out->len;
    buf_adds(out, "\"result\":\"0x");
    if (call_answer(r, &c, out, &words)) {
        buf_addc(out, '"');
        return;
    }
    out->len = start;
    add_error(out, -32000, words);
}

static void add_result(const struct rules *r, const char *method, size_t n, const char *params,
                       struct buf *out)
{
#define IS(name) (n == sizeof name - 1 && memcmp(method, name, n) == 0)
    uint64_t number;
    if (IS("eth_call")) {
        add_call(r, params, out);
    } else if (IS("eth_chainId")) {
        buf_addf(out, "\"result\":\"0x%" PRIx64 "\"", r->chain_id);
    } else if (IS("eth_blockNumber")) {
        buf_addf(out, "\"result\":\"0x%" PRIx64 "\"", r->head);
    } else if (IS("eth_getBlockByNumber") || IS("eth_getBlockByHash")) {
        buf_adds(out, "\"result\":");
        if (params && block_of(r, params + 1, &number))
            add_block(r, number, out);
        else
            buf_adds(out, "null");
    } else if (IS("eth_getLogs")) {
        uint64_t from = 0, to = r->head;
        if (quantity_of(params, "fromBlock", &from) && quantity_of(params, "toBlock", &to))
            add_logs(r, from, to, out);
        else
            buf_adds(out, "\"result\":[]");
    } else if (IS("eth_getCode")) {
        buf_adds(out, "\"result\":\"0x\"");
    } else {
        add_error(out, -32601, "the method does not exist");
    }
#undef IS
}

static void answer_one(const struct rules *r, const char *request, struct buf *reply)
{
    const char *method = "", *id = value_of(request, "id");
    size_t n = 0;
    string_at(value_of(request, "method"), &method, &n);
    buf_addf(reply, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,", id ? (int)strspn(id, "0123456789") : 4,
             id ? id : "null");
    add_result(r, method, n, value_of(request, "params"), reply);
    buf_addc(reply, '}');
}

void answer(const struct rules *r, const char *request, size_t len, struct buf *reply)
{
    enum { BATCH_MOST = 16 };
    struct jsonrpc_slice calls[BATCH_MOST];
    size_t n = jsonrpc_split_batch(request, len, calls, BATCH_MOST);
    if (n == 0) {
        answer_one(r, request, reply);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        buf_addc(reply, i ? ',' : '[');
        answer_one(r, calls[i].text, reply);
    }
    buf_addc(reply, ']');
}
