#include "eth/jsonrpc.h"
#include "base/err.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "base/parse.h"

#include <inttypes.h>
#include <string.h>

/* Of an error, this much is kept for classification. Longer ones carry revert data or HTML. */
enum { WHOLE_MAX = 64 * 1024 };

void jsonrpc_request(struct buf *out, uint64_t id, const char *method, const char *params,
                     size_t params_len)
{
    buf_addf(out, "{\"jsonrpc\":\"2.0\",\"id\":%" PRIu64 ",\"method\":", id);
    json_write_string(out, method, strlen(method));
    buf_adds(out, ",\"params\":");
    if (params)
        buf_add(out, params, params_len);
    else
        buf_adds(out, "[]");
    buf_addc(out, '}');
}

static bool jsonrpc_id_is(const struct json *v, uint64_t id)
{
    int64_t n;
    return json_i64(v, &n) && n >= 0 && (uint64_t)n == id;
}

static bool jsonrpc_is_present(const struct json *v)
{
    return v && !json_is_null(v);
}

/* The error's own words: a string, or an object's message. */
static const char *jsonrpc_message_of(const struct json *error)
{
    const char *s = json_str(json_is_string(error) ? error : json_get(error, "message"));
    return s ? s : "";
}

/* Of an array of errors the first one counts. */
static void jsonrpc_read_error(const struct json *error, struct jsonrpc_reply *r)
{
    r->is_error = true;
    r->error = json_is_array(error) ? json_first(error) : error;
    if (!json_i64(json_get(r->error, "code"), &r->code))
        r->code = 0;
    r->message = jsonrpc_message_of(r->error);
    buf_init(&r->whole, WHOLE_MAX);
    /* The message comes first, so that it is there whatever the rest is cut to. */
    size_t n = strlen(r->message);
    buf_add(&r->whole, r->message, n < WHOLE_MAX / 2 ? n : WHOLE_MAX / 2);
    buf_addc(&r->whole, '\n');
    json_print(error, &r->whole);
}

static int jsonrpc_read_envelope(const struct json *envelope, uint64_t id, struct jsonrpc_reply *r,
                                 struct err *err)
{
    if (json_is_array(envelope) && json_first(envelope) && !json_next(json_first(envelope)))
        envelope = json_first(envelope);
    const struct json *error = json_get(envelope, "error"), *result = json_get(envelope, "result");
    const struct json *their_id = json_get(envelope, "id");
    if (!json_is_object(envelope) || (!jsonrpc_is_present(error) && !result))
        return err_set(err, ERR_FAILED, "not a JSON-RPC reply: it has neither result nor error");
    if (jsonrpc_is_present(error) && jsonrpc_is_present(result))
        return err_set(err, ERR_FAILED, "not a JSON-RPC reply: it has both a result and an error");
    bool ours =
        jsonrpc_id_is(their_id, id) || (jsonrpc_is_present(error) && !jsonrpc_is_present(their_id));
    if (!ours)
        return err_set(err, ERR_FAILED, "reply belongs to another request than %" PRIu64, id);
    if (jsonrpc_is_present(error))
        jsonrpc_read_error(error, r);
    else
        r->result = result;
    return 0;
}

int jsonrpc_reply_parse(const char *text, size_t n, size_t ceiling, uint64_t id,
                        struct jsonrpc_reply *ret, struct err *err)
{
    struct jsonrpc_reply r = {.doc = json_parse(text, n, ceiling, err)};
    if (!r.doc)
        return -1;
    if (jsonrpc_read_envelope(r.doc, id, &r, err) < 0) {
        json_free(r.doc);
        return -1;
    }
    *ret = r;
    return 0;
}

void jsonrpc_reply_free(struct jsonrpc_reply *r)
{
    if (!r)
        return;
    json_free(r->doc);
    buf_free(&r->whole);
    *r = (struct jsonrpc_reply){0};
}

/* ---- batches --------------------------------------------------------------------------------- */

static const char *jsonrpc_skip_space(const char *s, const char *end)
{
    while (s < end && (*s == ' ' || *s == '\t' || *s == '\n' || *s == '\r'))
        s++;
    return s;
}

/* From an opening quote to behind the closing one; NULL: there is none. */
static const char *jsonrpc_skip_string(const char *s, const char *end)
{
    for (s++; s < end; s++) {
        const char *quote = memchr(s, '"', (size_t)(end - s));
        size_t slashes = 0;
        if (!quote)
            return NULL;
        while (quote - slashes > s && quote[-1 - (ptrdiff_t)slashes] == '\\')
            slashes++;
        s = quote;
        if (slashes % 2 == 0)
            return s + 1;
    }
    return NULL;
}

/* From an opening brace to behind the one that closes it; NULL: there is none. */
static const char *jsonrpc_skip_object(const char *s, const char *end)
{
    size_t depth = 0;
    while (s && s < end) {
        if (*s == '"') {
            s = jsonrpc_skip_string(s, end);
            continue;
        }
        depth += *s == '{';
        if (*s == '}' && --depth == 0)
            return s + 1;
        s++;
    }
    return NULL;
}

size_t jsonrpc_split_batch(const char *text, size_t n, struct jsonrpc_slice *ret, size_t most)
{
    const char *end = text + n, *s = jsonrpc_skip_space(text, end);
    size_t found = 0;
    if (s == end || *s != '[')
        return 0;
    for (;;) {
        s = jsonrpc_skip_space(s + 1, end);
        const char *from = s;
        if (s == end || *s != '{' || found == most || !(s = jsonrpc_skip_object(s, end)))
            return 0;
        ret[found++] = (struct jsonrpc_slice){from, (size_t)(s - from)};
        s = jsonrpc_skip_space(s, end);
        if (s == end || (*s != ',' && *s != ']'))
            return 0;
        if (*s == ']')
            return jsonrpc_skip_space(s + 1, end) == end ? found : 0;
    }
}

/* ---- data ------------------------------------------------------------------------------------ */

static bool jsonrpc_hex_bytes(const char *s, uint8_t **ret, size_t *ret_len)
{
    size_t n = s ? strlen(s) : 0;
    if (n < 2 || n % 2)
        return false;
    size_t len = (n - 2) / 2;
    uint8_t *bytes = mem_alloc(len ? len : 1);
    if (!parse_0x(s, n, bytes, len)) {
        mem_free(bytes);
        return false;
    }
    *ret = bytes;
    *ret_len = len;
    return true;
}

bool jsonrpc_result_bytes(const struct json *result, uint8_t **ret, size_t *ret_len)
{
    return jsonrpc_hex_bytes(json_str(result), ret, ret_len);
}

bool jsonrpc_revert_bytes(const struct jsonrpc_reply *r, uint8_t **ret, size_t *ret_len)
{
    const struct json *data = json_get(r->error, "data");
    if (json_is_object(data))
        data = json_get(data, "data");
    const char *s = json_str(data);
    const char *word = s ? strchr(s, ' ') : NULL;
    return jsonrpc_hex_bytes(word ? word + 1 : s, ret, ret_len);
}
