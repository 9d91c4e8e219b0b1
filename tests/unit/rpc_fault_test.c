/*
 * Every fault the scripted provider can play, and what the node makes of it: what is asked again,
 * what goes to the caller, in which words, and that no word holds a key. Numbers are the rows of
 * tests/provider/README.md.
 */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/url.h"
#include "provider_child.h"
#include "rpc_setup.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the provider says no -------------------------------------------------------------------- */

static void rate_limit_waits_as_told(void **state) /* 1 */
{
    provider_rules("{'fault':'rate-429','times':1,'args':{'after':1}}");
    struct rpc_answer a = ASK(*state, "eth_chainId");
    assert_true(a.took_ms >= 1000);
    assert_result(&a, "0x1");
    assert_int_equal(provider_requests(), 2);
}

static void rate_limit_with_a_date(void **state) /* 1 */
{
    /* Whole seconds: a date two seconds ahead is more than one second away. */
    provider_rules("{'fault':'rate-429','times':1,'args':{'date':2}}");
    struct rpc_answer a = ASK(*state, "eth_chainId");
    assert_true(a.took_ms >= 900);
    assert_result(&a, "0x1");
}

static void rate_limit_without_a_time(void **state) /* 1 */
{
    struct setup *s = *state;
    provider_rules("{'fault':'rate-429','times':3}");
    struct rpc_answer a = ASK(s, "eth_chainId");
    assert_result(&a, "0x1");
    assert_int_equal(provider_requests(), 4);
    const struct endpoint_counters *c = endpoint_counters(rpc_endpoint(s->node, 0));
    assert_int_equal(c->retries, 3);
    assert_int_equal(c->by_fault[FAULT_RATE], 3);
    assert_int_equal(c->requests, 4);
}

static void rate_limit_beyond_the_deadline(void **state) /* 1 */
{
    struct setup *s = *state;
    provider_rules("{'fault':'rate-429','args':{'after':100000}}");
    struct rpc_answer a = ASK(s, "eth_chainId");
    assert_fault(&a, FAULT_RATE);
    assert_true(a.took_ms < 9000);
    assert_ptr_equal(a.endpoint, rpc_endpoint(s->node, 0));
    /* Capped at five minutes, less what has passed since. */
    assert_in_range(a.fault.retry_after_ms, 290 * 1000, 300 * 1000);
    /* The next is answered from memory, with the same words. */
    struct rpc_answer b = ASK(s, "eth_blockNumber");
    assert_fault(&b, FAULT_RATE);
    assert_string_equal(a.text, b.text);
    assert_in_range(b.fault.retry_after_ms, 290 * 1000, 300 * 1000);
    assert_int_equal(provider_requests(), 1);
}

static void rate_limit_in_a_good_status(void **state) /* 2 */
{
    provider_rules("{'fault':'rate-200','times':1}");
    struct rpc_answer a = ASK(*state, "eth_chainId");
    assert_true(a.took_ms >= 1000);
    assert_result(&a, "0x1");
}

static void rate_limit_moves_on(void **state) /* 1 */
{
    struct setup *s = *state;
    provider_rules("{'fault':'rate-429','path':'/a/','args':{'after':100}}");
    struct rpc_answer a = ASK(s, "eth_chainId");
    assert_ptr_equal(a.endpoint, rpc_endpoint(s->node, 1));
    assert_true(a.took_ms < 9000);
    assert_result(&a, "0x1");
    assert_ptr_equal(rpc_best(s->node), rpc_endpoint(s->node, 1));
}

static void billing_goes_straight(void **state) /* 3 */
{
    struct setup *s = *state;
    provider_rules("{'fault':'billing'}");
    struct rpc_answer a = ASK(s, "eth_chainId");
    assert_fault(&a, FAULT_BILLING);
    assert_non_null(strstr(a.text, "Monthly capacity limit exceeded."));
    assert_in_range(a.fault.retry_after_ms, 290 * 1000, 300 * 1000);
    a = ASK(s, "eth_chainId");
    assert_fault(&a, FAULT_BILLING);
    assert_int_equal(provider_requests(), 1);
}

static void unavailable_is_asked_again(void **state) /* 4 */
{
    provider_rules("{'fault':'http-503','times':2}");
    struct rpc_answer a = ASK(*state, "eth_chainId");
    assert_result(&a, "0x1");
    assert_int_equal(provider_requests(), 3);
}

static void unavailable_until_the_deadline(void **state) /* 4 */
{
    provider_rules("{'fault':'http-503'}");
    struct rpc_answer a = ask(*state, "eth_chainId", "[]", 1500);
    assert_fault(&a, FAULT_DOWN);
    assert_non_null(strstr(a.text, "HTTP 503: upstream connect error"));
    assert_true(a.took_ms < 9000);
    assert_int_equal(a.status, 503);
    assert_true(provider_requests() >= 3);
}

static void error_under_http_500(void **state) /* 5 */
{
    struct setup *s = *state;
    provider_rules("{'fault':'error-500','times':1}");
    struct rpc_answer a = ASK(s, "eth_chainId"); /* "not processed yet": the backend is behind */
    assert_result(&a, "0x1");
    assert_int_equal(provider_requests(), 2);
    provider_rules("{'fault':'error-500','args':{'text':'execution reverted','code':3}}");
    a = ASK(s, "eth_call");
    assert_fault(&a, FAULT_REVERT);
    assert_int_equal(a.status, 500);
}

static void behind_is_not_retried_when_told(void **state) /* 5 */
{
    provider_rules("{'fault':'error-500'}");
    struct rpc_answer a =
        ask_with(*state, (struct rpc_request){.method = "eth_chainId",
                                              .no_retry = RPC_NO_RETRY(FAULT_BEHIND)});
    assert_fault(&a, FAULT_BEHIND);
    assert_int_equal(provider_requests(), 1);
}

/* What says something about the question is never asked again. */
static void faults_of_the_question(void **state) /* 6 */
{
    static const struct {
        const char *method, *text;
        enum fault fault;
    } rows[] = {
        {"eth_call", "execution reverted", FAULT_REVERT},
        {"eth_call", "out of gas", FAULT_GAS},
        {"eth_call", "missing trie node 00ff", FAULT_PRUNED},
        {"eth_call", "hash is not currently canonical", FAULT_NOT_CANONICAL},
        {"eth_getLogs", "eth_getLogs is limited to a 10,000 range", FAULT_RANGE},
        {"eth_getLogs", "query returned more than 10000 results", FAULT_DENSITY},
        {"eth_getLogs", "query exceeds max results 20000, retry with the range 100-200",
         FAULT_WINDOW},
        {"eth_getLogs", "exceed max addresses or topics per search position", FAULT_FILTER},
        {"eth_nope", "Method not found", FAULT_UNSUPPORTED},
        {"eth_call", "invalid params", FAULT_INVALID},
    };
    struct setup *s = *state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        provider_rules("{'fault':'error','args':{'text':'%s'}}", rows[i].text);
        struct rpc_answer a = ASK(s, rows[i].method);
        assert_fault(&a, rows[i].fault);
        assert_non_null(strstr(a.text, rows[i].text));
        assert_int_equal(provider_requests(), i + 1);
        if (rows[i].fault == FAULT_RANGE)
            assert_int_equal(a.fault.limit, 9999);
    }
}

static void no_retry_is_once(void **state) /* 4 */
{
    provider_rules("{'fault':'http-503','times':1}");
    struct rpc_answer a =
        ask_with(*state, (struct rpc_request){.method = "eth_chainId",
                                              .no_retry = RPC_NO_RETRY(FAULT_DOWN)});
    assert_fault(&a, FAULT_DOWN);
    assert_int_equal(provider_requests(), 1);
}

static void unknown_words_are_tried_three_times(void **state) /* 6 */
{
    provider_rules("{'fault':'error','args':{'text':'the moon is full'}}");
    struct rpc_answer a = ASK(*state, "eth_chainId");
    assert_fault(&a, FAULT_UNKNOWN);
    assert_int_equal(provider_requests(), 3);
}

static void keys_are_masked_in_the_nodes_words(void **state) /* 7 */
{
    struct setup *s = *state;
    provider_rules("{'fault':'echo-url','args':{'status':200}}");
    struct rpc_answer a = ASK(s, "eth_chainId");
    assert_no_secret(a.text);
    assert_non_null(strstr(a.text, "no access to http://127.0.0.1:"));
    provider_rules("{'fault':'echo-url','args':{'html':true}}");
    a = ASK(s, "eth_chainId");
    assert_no_secret(a.text);
    assert_non_null(strstr(a.text, "a web page, \"Forbidden"));
    /* In the error of a blocking verb, which is built from it. */
    struct header h;
    bool found;
    struct err err;
    assert_int_equal(rpc_header_tag(s->node, TAG_LATEST, &h, &found, &err), -1);
    assert_no_secret(err.text);
    /* A key of which only the head would fit is not shown in part. */
    char out[40];
    url_scrub(out, sizeof out, "0123456789012345678901234567890 " KEY, s->urls[0]);
    assert_string_equal(out, "0123456789012345678901234567890 …");
    url_scrub(out, 20, "0123456789012 " KEY, s->urls[0]);
    assert_no_secret(out);
    assert_null(strstr(out, "Key"));
}

static void redirect_is_an_error(void **state) /* 8 */
{
    provider_rules("{'fault':'redirect'}");
    struct rpc_answer a = ASK(*state, "eth_chainId");
    assert_fault(&a, FAULT_INVALID);
    assert_non_null(strstr(a.text, "redirects to http://elsewhere.example/…"));
    assert_null(strstr(a.text, "SECRETPATH"));
    assert_int_equal(provider_requests(), 1);
    assert_null(a.endpoint);
}

/* ---- envelopes ------------------------------------------------------------------------------- */

static void web_pages(void **state) /* 9 */
{
    struct setup *s = *state;
    provider_rules("{'fault':'html','times':1}"); /* a 502 page under HTTP 200 */
    struct rpc_answer a = ASK(s, "eth_chainId");
    assert_result(&a, "0x1");
    provider_rules("{'fault':'html','args':{'page':'<html>hello</html>'}}");
    a = ask(s, "eth_chainId", "[]", 0);
    assert_fault(&a, FAULT_GARBLED);
    provider_rules("{'fault':'html','times':1,'args':{'status':429}}");
    a = ASK(s, "eth_chainId");
    assert_result(&a, "0x1");
}

static void foreign_answers_are_not_believed(void **state) /* 10, 15 */
{
    struct setup *s = *state;
    provider_rules("{'fault':'wrong-id','times':1},{'fault':'truncated-json','times':1}");
    struct rpc_answer a = ASK(s, "eth_chainId");
    assert_result(&a, "0x1");
    assert_int_equal(provider_requests(), 3);
    provider_reset();
    provider_rules("{'fault':'wrong-id'}");
    a = ASK(s, "eth_chainId");
    assert_fault(&a, FAULT_GARBLED);
    assert_int_equal(provider_requests(), 4);
}

static void odd_envelopes_are_read(void **state) /* 11, 12, 13, 14 */
{
    struct setup *s = *state;
    provider_rules("{'fault':'id-null'}");
    struct rpc_answer a = ASK(s, "eth_call");
    assert_fault(&a, FAULT_REVERT);
    provider_rules("{'fault':'array'}");
    a = ASK(s, "eth_chainId");
    assert_result(&a, "0x1");
    provider_rules("{'fault':'error-string','times':1}");
    a = ASK(s, "eth_chainId"); /* "rate limit reached" */
    assert_result(&a, "0x1");
    assert_int_equal(endpoint_counters(rpc_endpoint(s->node, 0))->by_fault[FAULT_RATE], 1);
    provider_rules("{'fault':'null-result'}");
    a = ASK(s, "eth_call");
    assert_true(json_is_null(a.result));
    assert_result(&a, NULL);
}

/* ---- the wire -------------------------------------------------------------------------------- */

static void replies_may_be_compressed(void **state) /* 16 */
{
    struct setup *s = *state;
    provider_rules("{'fault':'gzip'}");
    struct rpc_answer a = ask(s, "toy_hex", "[200000]", 0);
    assert_int_equal(strlen(json_str(a.result)), 200002);
    assert_result(&a, NULL);
    const struct endpoint_counters *c = endpoint_counters(rpc_endpoint(s->node, 0));
    assert_in_range(c->bytes_in, 200, 2000); /* what was on the wire, not what it became */
    size_t n;
    const struct json *const *log = provider_log(&n);
    assert_non_null(strstr(json_str(json_get(log[0], "encoding")), "gzip"));
}

static void counters_count_headers(void **state)
{
    struct setup *s = *state;
    struct rpc_answer a = ask(s, "toy_hex", "[100000]", 0);
    assert_result(&a, NULL);
    size_t n;
    int64_t in = 0, out = 0;
    const struct json *const *log = provider_log(&n);
    assert_true(json_i64(json_get(log[0], "bytes_in"), &in) &&
                json_i64(json_get(log[0], "bytes_out"), &out));
    const struct endpoint_counters *c = endpoint_counters(rpc_endpoint(s->node, 0));
    assert_in_range(c->bytes_out, in + 150, in + 600);
    assert_in_range(c->bytes_in, out + 100, out + 400);
}

static void replies_have_a_ceiling(void **state) /* 17, 22 */
{
    struct setup *s = *state;
    static const char *const rules[] = {"{'fault':'gzip-bomb'}",
                                        "{'fault':'oversize','args':{'declared':true}}",
                                        "{'fault':'oversize','args':{'declared':false}}"};
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        provider_rules("%s", rules[i]);
        struct rpc_answer a =
            ask_with(s, (struct rpc_request){.method = "eth_getLogs", .reply_max = 1 << 20});
        assert_fault(&a, FAULT_DENSITY);
        assert_non_null(strstr(a.text, "over the ceiling of 1048576 bytes"));
        assert_int_equal(provider_requests(), i + 1);
    }
    /* 200 MB were offered twice in the clear; the connection was cut long before. */
    assert_true(endpoint_counters(rpc_endpoint(s->node, 0))->bytes_in < 8 << 20);
}

static void slow_replies_end_at_the_deadline(void **state) /* 18, 19 */
{
    struct setup *s = *state;
    static const char *const rules[] = {"{'fault':'slow-loris'}", "{'fault':'silence'}"};
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        provider_rules("%s", rules[i]);
        struct rpc_answer a = ask(s, "eth_chainId", "[]", 600);
        assert_fault(&a, FAULT_TIME);
        assert_in_range(a.took_ms, 550, 9000);
        assert_null(a.endpoint);
    }
}

static void broken_connections_are_made_again(void **state) /* 20, 21 */
{
    struct setup *s = *state;
    provider_rules("{'fault':'reset','times':1},{'fault':'reset','times':1,'args':{'half':true}}");
    struct rpc_answer a = ASK(s, "eth_chainId");
    assert_result(&a, "0x1");
    assert_int_equal(provider_requests(), 3);
    provider_rules("{'fault':'half-close','times':1}");
    a = ASK(s, "eth_chainId");
    assert_result(&a, "0x1");
    provider_rules("{'fault':'half-close'}");
    a = ask(s, "eth_chainId", "[]", 400);
    assert_fault(&a, FAULT_DOWN);
    assert_null(a.endpoint);
}

/* The deadline cuts the second attempt short: what the first one met is the answer. */
static void an_attempt_cut_short_says_less_than_the_one_before(void **state) /* 19, 20 */
{
    struct setup *s = *state;
    provider_rules("{'fault':'reset','times':1},{'fault':'silence'}");
    struct rpc_answer a = ask(s, "eth_chainId", "[]", 700);
    assert_fault(&a, FAULT_DOWN);
    assert_int_equal(provider_requests(), 2);
    assert_in_range(a.took_ms, 650, 9000);
}

static void kept_connections_may_close(void **state) /* 23, 24 */
{
    struct setup *s = *state;
    const struct endpoint_counters *c = endpoint_counters(rpc_endpoint(s->node, 0));
    /* Many in a row: curl's own second tries are few over the life of a handle. */
    provider_rules("{'fault':'close-after','times':20}");
    for (int i = 0; i < 21; i++) {
        struct rpc_answer a = ASK(s, "eth_chainId");
        assert_result(&a, "0x1");
    }
    provider_rules("{'fault':'stale-connection','times':10}");
    for (int i = 0; i < 21; i++) {
        struct rpc_answer a = ASK(s, "eth_chainId");
        assert_result(&a, "0x1");
    }
    /* Noticed below: no fault was seen and nothing counted as a retry. */
    assert_int_equal(c->faults, 0);
    assert_int_equal(c->retries, 0);
    assert_int_equal(c->requests, 42);
}

static void connections_are_kept(void **state)
{
    struct setup *s = *state;
    size_t before = provider_connections();
    for (int i = 0; i < 20; i++) {
        struct rpc_answer a = ASK(s, "eth_chainId");
        assert_result(&a, "0x1");
    }
    /* One for the node; the two looks at the count have their own. */
    assert_in_range(provider_connections() - before, 1, 3);
}

/* A port that nobody listens on. */
static int closed_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    close(fd);
    return ntohs(at.sin_port);
}

static void nobody_listens(void **state)
{
    struct setup *s = *state;
    char url[100];
    const char *list[] = {url};
    struct err err = {0};
    snprintf(url, sizeof url, "http://127.0.0.1:%d/v2/" KEY, closed_port());
    reopen(s, list, 1);
    struct rpc_answer a = ask_with(
        s, (struct rpc_request){.method = "eth_chainId", .deadline_ms = clock_ms() + 1200});
    assert_fault(&a, FAULT_DOWN);
    assert_null(a.endpoint);
    assert_true(endpoint_counters(rpc_endpoint(s->node, 0))->requests >= 3);
    struct rpc_request q = {.method = "eth_chainId", .deadline_ms = clock_ms() + 200};
    assert_int_equal(rpc_call(s->node, &q, &a, &err), -1);
    assert_int_equal(err.kind, ERR_UNREACHABLE);
    assert_fault(&a, FAULT_DOWN);
    assert_no_secret(err.text);
}

static void other_schemes_are_refused(void **state)
{
    struct setup *s = *state;
    static const char *const urls[] = {"file:///etc/passwd", "ftp://127.0.0.1/x", "not a url"};
    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        reopen(s, &urls[i], 1);
        struct rpc_answer a = ASK(s, "eth_chainId");
        assert_fault(&a, FAULT_INVALID);
        assert_true(a.took_ms < 9000);
    }
}

static struct rpc_answer ask_tls(struct setup *s, const char *host, const char *authorities)
{
    char url[100];
    const char *list[] = {url};
    snprintf(url, sizeof url, "https://%s:%d/v2/" KEY, host, provider_tls_port());
    if (authorities)
        setenv("SSL_CERT_FILE", authorities, 1);
    reopen(s, list, 1);
    struct rpc_answer a = ASK(s, "eth_chainId");
    unsetenv("SSL_CERT_FILE");
    return a;
}

static void certificates_are_verified(void **state)
{
    static const char ca[] = PROVIDER_DIR "/tls/ca.pem";
    struct setup *s = *state;
    struct rpc_answer a = ask_tls(s, "localhost", ca);
    assert_result(&a, "0x1");
    assert_int_equal(provider_requests(), 1);
    a = ask_tls(s, "localhost", NULL); /* an authority the system does not know */
    assert_fault(&a, FAULT_DOWN);
    assert_string_equal(a.fault.rule, "tls");
    assert_non_null(strstr(a.text, "certificate"));
    assert_int_equal(endpoint_counters(rpc_endpoint(s->node, 0))->requests, 1);
    a = ask_tls(s, "127.0.0.1", ca); /* another name than certified */
    assert_fault(&a, FAULT_DOWN);
    assert_string_equal(a.fault.rule, "tls");
    assert_int_equal(provider_requests(), 1);
}

/* ---- caps ------------------------------------------------------------------------------------ */

static void size_caps(void **state) /* 28, 29, 30 */
{
    struct setup *s = *state;
    provider_rules("{'fault':'request-cap','args':{'bytes':200}}");
    char params[400];
    snprintf(params, sizeof params, "[\"%0300d\"]", 0);
    struct rpc_answer a = ask(s, "eth_call", params, 0);
    assert_fault(&a, FAULT_FILTER);
    assert_int_equal(a.status, 413);
    provider_rules("{'fault':'reply-cap','args':{'bytes':1000}}");
    a = ask(s, "toy_hex", "[2000]", 0);
    assert_fault(&a, FAULT_DENSITY);
    provider_rules("{'fault':'gas-refused','args':{'cap':1000}}");
    a = ask(s, "eth_call", "[{\"gas\":\"0x3e9\"},\"latest\"]", 0);
    assert_fault(&a, FAULT_GAS);
    a = ask(s, "eth_call", "[{\"gas\":\"0x3e8\"},\"latest\"]", 0);
    assert_result(&a, "0x");
    assert_int_equal(provider_requests(), 4);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_one, close_node)
    const struct CMUnitTest tests[] = {
        TEST(rate_limit_waits_as_told),
        TEST(rate_limit_with_a_date),
        TEST(rate_limit_without_a_time),
        TEST(rate_limit_beyond_the_deadline),
        TEST(rate_limit_in_a_good_status),
        cmocka_unit_test_setup_teardown(rate_limit_moves_on, open_two, close_node),
        TEST(billing_goes_straight),
        TEST(unavailable_is_asked_again),
        TEST(unavailable_until_the_deadline),
        TEST(error_under_http_500),
        TEST(behind_is_not_retried_when_told),
        TEST(faults_of_the_question),
        TEST(no_retry_is_once),
        TEST(unknown_words_are_tried_three_times),
        TEST(keys_are_masked_in_the_nodes_words),
        TEST(redirect_is_an_error),
        TEST(web_pages),
        TEST(foreign_answers_are_not_believed),
        TEST(odd_envelopes_are_read),
        TEST(replies_may_be_compressed),
        TEST(counters_count_headers),
        TEST(replies_have_a_ceiling),
        TEST(slow_replies_end_at_the_deadline),
        TEST(broken_connections_are_made_again),
        TEST(an_attempt_cut_short_says_less_than_the_one_before),
        TEST(kept_connections_may_close),
        TEST(connections_are_kept),
        TEST(nobody_listens),
        TEST(other_schemes_are_refused),
        TEST(certificates_are_verified),
        TEST(size_caps),
    };
    return cmocka_run_group_tests_name("node_fault", tests, start_provider, stop_provider);
}
