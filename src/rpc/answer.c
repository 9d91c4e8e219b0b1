/*
 * From what the transport brought to what it means.
 *
 * The body is looked at before the HTTP status: nodes and proxies send valid JSON-RPC errors with
 * any status. Only where there is no such error does the status speak. A result counts under 2xx
 * alone.
 */
#include "base/err.h"
#include "eth/jsonrpc.h"
#include "rpc/json_fast.h"
#include "rpc/rpc_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { EXCERPT_MAX = 16 * 1024, WORDS_MAX = 128 * 1024 };

static const struct {
    enum http_trouble trouble;
    enum fault fault;
    const char *rule;
    struct verdict verdict;
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

static void set_fault(struct rpc_answer *a, enum fault fault, const char *rule)
{
    a->fault = (struct fault_info){.fault = fault, .rule = rule, .retry_after_ms = -1};
}

static void set_text(struct rpc_answer *a, const struct endpoint *e, const struct buf *words)
{
    endpoint_scrub(e, buf_str(words), a->text, sizeof a->text);
}

static bool is_good(int status)
{
    return status >= 200 && status <= 299;
}

static void add_status(struct buf *words, int status)
{
    if (!is_good(status))
        buf_addf(words, "HTTP %d: ", status);
}

/* What a person can use of a body that is no JSON-RPC: of a web page its title. More than is shown
 * goes in, since a secret is found only whole. */
static void add_body(struct buf *words, const struct http_reply *reply)
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
static void read_error(const struct request *r, const struct endpoint *e,
                       const struct http_reply *reply, const struct jsonrpc_reply *rpc,
                       struct rpc_answer *a)
{
    struct buf words = BUF_INIT(WORDS_MAX);
    fault_classify(r->method, reply->status, rpc->code, rpc->whole.data, rpc->whole.len, &a->fault);
    add_status(&words, reply->status);
    buf_adds(&words, rpc->message[0] ? rpc->message : buf_str(&rpc->whole));
    if (rpc->code)
        buf_addf(&words, " (code %" PRId64 ")", rpc->code);
    set_text(a, e, &words);
    buf_free(&words);
    bool data = r->bytes && a->fault.fault == FAULT_REVERT &&
                jsonrpc_revert_bytes(rpc, &a->bytes, &a->n_bytes) && a->n_bytes > 0;
    if (data && r->reverts) {
        set_fault(a, FAULT_NONE, "");
        a->text[0] = '\0';
    }
}

/* No JSON-RPC: a page of a proxy, a cut reply, another request's. What a 2xx body says in JSON is
 * not searched for words: half of a good answer may hold any. */
static void read_other(const struct request *r, const struct endpoint *e,
                       const struct http_reply *reply, const char *why, struct rpc_answer *a)
{
    struct buf words = BUF_INIT(WORDS_MAX);
    bool good_status = is_good(reply->status);
    bool json = reply->body[0] == '{' || reply->body[0] == '[';
    set_fault(a, FAULT_GARBLED, "garbled");
    if (!good_status || !json)
        fault_classify(r->method, reply->status, 0, reply->body, reply->body_len, &a->fault);
    if (good_status && (json || a->fault.fault == FAULT_UNKNOWN))
        set_fault(a, FAULT_GARBLED, "garbled");
    add_status(&words, reply->status);
    if (good_status)
        buf_adds(&words, why);
    else
        add_body(&words, reply);
    set_text(a, e, &words);
    buf_free(&words);
}

/* The result as the request wants it. false: it is not hex data, though bytes were asked for. */
static bool take_result(const struct request *r, struct jsonrpc_reply *rpc, struct rpc_answer *a)
{
    if (r->bytes && !json_is_null(rpc->result))
        return jsonrpc_result_bytes(rpc->result, &a->bytes, &a->n_bytes);
    a->doc = rpc->doc;
    a->result = rpc->result;
    rpc->doc = NULL;
    return true;
}

static bool read_logs(const struct request *r, const struct http_reply *reply, struct rpc_answer *a)
{
    a->has_logs = json_fast_logs(reply->body, reply->body_len, r->id, RPC_LOGS_MAX, &a->arena,
                                 &a->logs, &a->n_logs);
    if (!a->has_logs)
        arena_free(&a->arena);
    return a->has_logs;
}

static void read_http(const struct request *r, const struct endpoint *e,
                      const struct http_reply *reply, struct rpc_answer *a)
{
    struct jsonrpc_reply rpc;
    struct err why;
    bool good_status = is_good(reply->status);
    set_fault(a, FAULT_NONE, "");
    a->text[0] = '\0';
    if (r->bytes && good_status &&
        json_fast_bytes(reply->body, reply->body_len, r->id, &a->bytes, &a->n_bytes))
        return;
    if (r->logs && good_status && read_logs(r, reply, a))
        return;
    if (jsonrpc_reply_parse(reply->body, reply->body_len, r->reply_max, r->id, &rpc, &why) < 0) {
        read_other(r, e, reply, why.text, a);
        return;
    }
    if (rpc.is_error)
        read_error(r, e, reply, &rpc, a);
    else if (!good_status)
        read_other(r, e, reply, "", a);
    else if (!take_result(r, &rpc, a))
        read_other(r, e, reply, "the result is not hex data", a);
    jsonrpc_reply_free(&rpc);
}

void answer_read(const struct request *r, const struct endpoint *e, const struct http_reply *reply,
                 struct rpc_answer *a, struct verdict *ret)
{
    *ret = (struct verdict){.reached = true};
    a->status = reply->status;
    if (reply->trouble == HTTP_FINE) {
        read_http(r, e, reply, a);
    } else {
        for (size_t i = 0; i < sizeof transport / sizeof transport[0]; i++) {
            if (transport[i].trouble != reply->trouble)
                continue;
            set_fault(a, transport[i].fault, transport[i].rule);
            *ret = transport[i].verdict;
        }
        endpoint_scrub(e, reply->text, a->text, sizeof a->text);
    }
    if (a->fault.fault != FAULT_NONE && reply->retry_after_ms > a->fault.retry_after_ms)
        a->fault.retry_after_ms = reply->retry_after_ms;
}

/* Something answers there, but serves us nothing: mostly a URL without its key, or with another. */
static bool turned_away(int status)
{
    return status == 401 || status == 403 || status == 404;
}

int answer_err(const char *what, const struct rpc_answer *a, struct err *err)
{
    const char *words = a->text[0] ? a->text : fault_name(a->fault.fault);
    if (strcmp(a->fault.rule, "chain") == 0) {
        err_set(err, ERR_CHAIN, "%s", words);
        return err_hint(err, "point chain.endpoints at the right chain, or run `trueup migrate "
                             "--reset-chain` to forget the old one");
    }
    bool silent = !a->endpoint || a->fault.fault == FAULT_DOWN, away = turned_away(a->status);
    err_set(err, silent || away ? ERR_UNREACHABLE : ERR_FAILED, "%s: %s", what, words);
    if (away)
        return err_hint(err, "is the node's URL right, and its key?");
    return silent ? err_hint(err, "is the node running, and is its URL right?") : -1;
}
