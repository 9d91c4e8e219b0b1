/*
 * From what the transport brought to what it means.
 *
 * The body is looked at before the HTTP status: nodes and proxies send valid JSON-RPC errors with
 * any status. Only where there is no such error does the status speak. A result counts under 2xx
 * alone.
 */
#include "base/err.h"
#include "base/mem.h"
#include "eth/jsonrpc.h"
#include "rpc/json_fast.h"
#include "rpc/rpc_internal.h"

#include <inttypes.h>
#include <string.h>

enum { EXCERPT_MAX = 16 * 1024, WORDS_MAX = 128 * 1024 };

static const struct {
    enum http_trouble trouble;
    enum fault fault;
    const char *rule;
    struct transport_result result;
} transport[] = {
    {HTTP_NO_CONNECTION, FAULT_DOWN, "connect", {.refused = true}},
    {HTTP_BROKEN, FAULT_DOWN, "broken", {0}},
    {HTTP_TIMED_OUT, FAULT_TIME, "deadline", {0}},
    /* As a node's own "response too large": the question asks for too much. */
    {HTTP_TOO_LARGE, FAULT_DENSITY, "ceiling", {.reached = true, .permanent = true}},
    {HTTP_REDIRECT, FAULT_INVALID, "redirect", {.permanent = true}},
    {HTTP_UNTRUSTED, FAULT_DOWN, "tls", {.permanent = true}},
    {HTTP_BAD_URL, FAULT_INVALID, "url", {.permanent = true}},
};

static bool answer_status_good(int status)
{
    return status >= 200 && status <= 299;
}

static void answer_add_status(struct buf *words, int status)
{
    if (!answer_status_good(status))
        buf_addf(words, "HTTP %d: ", status);
}

/* What a person can use of a body that is no JSON-RPC: of a web page its title. More than is shown
 * goes in, since a secret is found only whole. */
static void answer_add_body(struct buf *words, const struct http_reply *reply)
{
    size_t n = reply->body_len < EXCERPT_MAX ? reply->body_len : EXCERPT_MAX;
    const char *title = reply->body[0] == '<' ? strcasestr(reply->body, "<title>") : NULL;
    if (title) {
        title += strlen("<title>");
        buf_addf(words, "a web page, \"%.*s\"", (int)strnlen(title, strcspn(title, "<\r\n")),
                 title);
    } else if (reply->body[0] == '<') {
        buf_adds(words, "a web page");
    } else if (n > 0) {
        buf_add(words, reply->body, n);
    } else {
        buf_adds(words, "no body");
    }
}

/* A JSON-RPC error, under whatever status. */
static void answer_read_error(struct rpc_entry *r, const struct endpoint *e,
                              const struct http_reply *reply, const struct jsonrpc_reply *rpc)
{
    struct rpc_answer *a = &r->answer;
    struct buf words = BUF_INIT(WORDS_MAX);
    fault_classify(r->payload.kind, reply->status, rpc->code, rpc->whole.data, rpc->whole.len,
                   &a->fault);
    answer_add_status(&words, reply->status);
    buf_adds(&words, rpc->message[0] ? rpc->message : buf_str(&rpc->whole));
    if (rpc->code)
        buf_addf(&words, " (code %" PRId64 ")", rpc->code);
    endpoint_scrub(e, buf_str(&words), a->text, sizeof a->text);
    buf_free(&words);
    bool data = r->payload.bytes && a->fault.fault == FAULT_REVERT &&
                jsonrpc_revert_bytes(rpc, &a->bytes, &a->n_bytes) && a->n_bytes > 0;
    if (data && r->payload.reverts) {
        a->fault = fault_make(FAULT_NONE, "");
        a->text[0] = '\0';
    }
}

/* No JSON-RPC: a page of a proxy, a cut reply, another request's. What a 2xx body says in JSON is
 * not searched for words: half of a good answer may hold any. */
static void answer_read_other(struct rpc_entry *r, const struct endpoint *e,
                              const struct http_reply *reply, const char *why)
{
    struct rpc_answer *a = &r->answer;
    struct buf words = BUF_INIT(WORDS_MAX);
    bool good_status = answer_status_good(reply->status);
    bool json = reply->body[0] == '{' || reply->body[0] == '[';
    a->fault = fault_make(FAULT_GARBLED, "garbled");
    if (!good_status || !json)
        fault_classify(r->payload.kind, reply->status, 0, reply->body, reply->body_len, &a->fault);
    if (good_status && (json || a->fault.fault == FAULT_UNKNOWN))
        a->fault = fault_make(FAULT_GARBLED, "garbled");
    answer_add_status(&words, reply->status);
    if (good_status)
        buf_adds(&words, why);
    else
        answer_add_body(&words, reply);
    endpoint_scrub(e, buf_str(&words), a->text, sizeof a->text);
    buf_free(&words);
}

/* Out of an envelope that the fast way does not take. What is no list of receipts stays a result.
 */
static void answer_take_receipts(struct rpc_entry *r, const struct json *result)
{
    struct rpc_answer *a = &r->answer;
    struct buf text = BUF_INIT(r->payload.reply_max);
    json_print(result, &text);
    a->has_receipts = !text.overflow && json_fast_receipt_list(buf_str(&text), text.len, &a->arena,
                                                               &a->receipts, &a->n_receipts);
    if (!a->has_receipts)
        arena_free(&a->arena);
    buf_free(&text);
}

/* The result as the request wants it. false: it is not hex data, though bytes were asked for. */
static bool answer_take_result(struct rpc_entry *r, struct jsonrpc_reply *rpc)
{
    struct rpc_answer *a = &r->answer;
    if (r->payload.bytes && !json_is_null(rpc->result))
        return jsonrpc_result_bytes(rpc->result, &a->bytes, &a->n_bytes);
    if (r->payload.receipts && json_is_array(rpc->result))
        answer_take_receipts(r, rpc->result);
    if (a->has_receipts)
        return true;
    a->doc = rpc->doc;
    a->result = rpc->result;
    rpc->doc = NULL;
    return true;
}

static bool answer_read_logs(struct rpc_entry *r, const struct http_reply *reply)
{
    struct rpc_answer *a = &r->answer;
    a->has_logs = json_fast_logs(reply->body, reply->body_len, r->id, RPC_LOGS_MAX, &a->arena,
                                 &a->logs, &a->n_logs);
    if (!a->has_logs)
        arena_free(&a->arena);
    return a->has_logs;
}

static bool answer_read_receipts(struct rpc_entry *r, const struct http_reply *reply)
{
    struct rpc_answer *a = &r->answer;
    a->has_receipts = json_fast_receipts(reply->body, reply->body_len, r->id, &a->arena,
                                         &a->receipts, &a->n_receipts);
    if (!a->has_receipts)
        arena_free(&a->arena);
    return a->has_receipts;
}

static void answer_read_http(struct rpc_entry *r, const struct endpoint *e,
                             const struct http_reply *reply)
{
    struct rpc_answer *a = &r->answer;
    struct jsonrpc_reply rpc;
    struct err why;
    bool good_status = answer_status_good(reply->status);
    a->fault = fault_make(FAULT_NONE, "");
    a->text[0] = '\0';
    if (r->payload.bytes && good_status &&
        json_fast_bytes(reply->body, reply->body_len, r->id, &a->bytes, &a->n_bytes))
        return;
    if (r->payload.logs && good_status && answer_read_logs(r, reply))
        return;
    if (r->payload.receipts && good_status && answer_read_receipts(r, reply))
        return;
    if (jsonrpc_reply_parse(reply->body, reply->body_len, r->payload.reply_max, r->id, &rpc, &why) <
        0) {
        answer_read_other(r, e, reply, why.text);
        return;
    }
    if (rpc.is_error)
        answer_read_error(r, e, reply, &rpc);
    else if (!good_status)
        answer_read_other(r, e, reply, "");
    else if (!answer_take_result(r, &rpc))
        answer_read_other(r, e, reply, "the result is not hex data");
    jsonrpc_reply_free(&rpc);
}

/* ---- batches --------------------------------------------------------------------------------- */

/* One call of a batch, read from one object of the reply. False: the object is another call's. */
static bool answer_read_part(const struct rpc_entry *r, size_t call, const struct endpoint *e,
                             const struct http_reply *reply, const struct jsonrpc_slice *slice,
                             struct rpc_answer *ret)
{
    const struct rpc_payload_more *more = call > 0 ? &r->payload.more[call - 1] : NULL;
    struct rpc_entry part = {.id = r->id + call,
                             .payload = {.kind = more ? more->kind : r->payload.kind,
                                         .bytes = !more && r->payload.bytes,
                                         .receipts = !more && r->payload.receipts,
                                         .logs = more ? more->logs : r->payload.logs,
                                         .reply_max = r->payload.reply_max}};
    struct http_reply one = *reply;
    one.body = slice->text;
    one.body_len = slice->n;
    answer_read_http(&part, e, &one);
    *ret = part.answer;
    return ret->fault.fault != FAULT_GARBLED;
}

/* The answers come in any order. */
static void answer_read_call(const struct rpc_entry *r, size_t call, const struct endpoint *e,
                             const struct http_reply *reply, const struct jsonrpc_slice *slices,
                             struct rpc_answer *ret)
{
    size_t n = r->payload.n_more + 1;
    for (size_t i = 0; i < n; i++) {
        rpc_answer_free(ret);
        if (answer_read_part(r, call, e, reply, &slices[(call + i) % n], ret))
            return;
    }
}

static void answer_take_first(struct rpc_answer *a, struct rpc_answer *first)
{
    a->fault = first->fault;
    memcpy(a->text, first->text, sizeof a->text);
    a->doc = first->doc;
    a->result = first->result;
    a->bytes = first->bytes;
    a->n_bytes = first->n_bytes;
    a->has_logs = first->has_logs;
    a->logs = first->logs;
    a->n_logs = first->n_logs;
    a->has_receipts = first->has_receipts;
    a->receipts = first->receipts;
    a->n_receipts = first->n_receipts;
    a->arena = first->arena;
}

/* A reply that is no array of as many objects is read as one to the first call: an error says why,
 * and a result is not enough. */
static void answer_read_batch(struct rpc_entry *r, const struct endpoint *e,
                              const struct http_reply *reply)
{
    struct jsonrpc_slice slices[1 + RPC_MORE_MAX];
    struct rpc_answer *a = &r->answer, first = {0};
    size_t n = r->payload.n_more;
    a->no_batch = jsonrpc_split_batch(reply->body, reply->body_len, slices, 1 + n) != 1 + n;
    if (a->no_batch) {
        answer_read_http(r, e, reply);
        if (a->fault.fault == FAULT_NONE)
            answer_read_other(r, e, reply, "the answer to a batch is not one");
        return;
    }
    answer_read_call(r, 0, e, reply, slices, &first);
    answer_take_first(a, &first);
    a->more = mem_zero(RPC_MORE_MAX, sizeof *a->more);
    for (size_t i = 0; i < n; i++) {
        answer_read_call(r, i + 1, e, reply, slices, &a->more[i]);
        if (a->fault.fault != FAULT_NONE || a->more[i].fault.fault == FAULT_NONE)
            continue;
        a->fault = a->more[i].fault;
        memcpy(a->text, a->more[i].text, sizeof a->text);
    }
}

/* Over the ceiling of all answers it is no answer to any question of ours. */
static void answer_judge_ceiling(struct rpc_entry *r, struct transport_result *ret)
{
    if (r->answer.fault.fault != FAULT_DENSITY || r->payload.reply_max < RPC_REPLY_MAX)
        return;
    r->answer.fault = fault_make(FAULT_GARBLED, "ceiling");
    ret->permanent = false;
}

void rpc_answer_read(struct rpc_entry *r, const struct endpoint *e, const struct http_reply *reply,
                     struct transport_result *ret)
{
    struct rpc_answer *a = &r->answer;
    *ret = (struct transport_result){.reached = true};
    a->status = reply->status;
    rpc_answer_free(a); /* of the try before */
    if (reply->trouble == HTTP_FINE && r->payload.n_more > 0) {
        answer_read_batch(r, e, reply);
    } else if (reply->trouble == HTTP_FINE) {
        answer_read_http(r, e, reply);
    } else {
        for (size_t i = 0; i < COUNT_OF(transport); i++) {
            if (transport[i].trouble != reply->trouble)
                continue;
            a->fault = fault_make(transport[i].fault, transport[i].rule);
            *ret = transport[i].result;
        }
        answer_judge_ceiling(r, ret);
        endpoint_scrub(e, reply->text, a->text, sizeof a->text);
    }
    if (a->fault.fault != FAULT_NONE && reply->retry_after_ms > a->fault.retry_after_ms)
        a->fault.retry_after_ms = reply->retry_after_ms;
}

bool rpc_answer_turned_away(const struct rpc_answer *a)
{
    return a->status == 401 || a->status == 403 || a->status == 404;
}

/* The URL that the words of a failed handshake name, as the hint. */
bool rpc_hint_plain_url(const char *words, struct err *err)
{
    const char *at = strstr(words, HTTP_NO_TLS);
    if (at)
        err_put_hint(err, "%s", at + strlen(HTTP_NO_TLS) - strlen("is it "));
    return at != NULL;
}

int rpc_answer_err(const char *what, const struct rpc_answer *a, struct err *err)
{
    const char *words = a->text[0] ? a->text : fault_name(a->fault.fault);
    if (strcmp(a->fault.rule, "chain") == 0) {
        err_set(err, ERR_CHAIN, "%s", words);
        return err_hint(err, "point chain.endpoints at the right chain, or run `trueup migrate "
                             "--reset-chain` to forget the old one");
    }
    bool silent = !a->endpoint || a->fault.fault == FAULT_DOWN, away = rpc_answer_turned_away(a);
    err_set(err, silent || away ? ERR_UNREACHABLE : ERR_FAILED, "%s: %s", what, words);
    if (rpc_hint_plain_url(words, err))
        return -1;
    if (away)
        return err_hint(err, "is the node's URL right, and its key?");
    return silent ? err_hint(err, "is the node running, and is its URL right?") : -1;
}
