/*
 * The node as verbs, against the toy chain of the scripted provider: identity, headers, views, the
 * probe; and the order and number of what is in flight. Faults are node_fault_test.c.
 */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "provider_child.h"
#include "rpc_setup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define OK(call) ok((call), &err, #call)

static void ok(int rc, const struct err *err, const char *what)
{
    if (rc != 0)
        fail_msg("%s: %s", what, err->text);
}

/* ---- verbs ----------------------------------------------------------------------------------- */

static void identity(void **state)
{
    struct setup *s = *state;
    struct err err = {0};
    uint64_t chain = 0;
    hash32 genesis;
    char text[HASH_TEXT];
    OK(rpc_identify(s->node, &chain, &genesis, &err));
    assert_int_equal(chain, 1);
    hash_text(&genesis, text);
    /* sha256("0//0"), by sha256sum: the toy chain's block 0 */
    assert_string_equal(text, "0xddb06a1adf9a10b4313adbfb609e9918b97e1e78a7783ea6742c0fc853375342");
}

static void endpoints_must_agree(void **state)
{
    struct setup *s = *state;
    struct err err = {0};
    uint64_t chain = 7;
    hash32 genesis;
    provider_rules("{'fault':'result','path':'/b/','method':'eth_chainId',"
                   "'args':{'result':'0x5'}}");
    assert_int_equal(rpc_identify(s->node, &chain, &genesis, &err), -1);
    assert_int_equal(err.kind, ERR_CHAIN);
    assert_string_equal(err.text,
                        "endpoint \"first\" is on chain 1, endpoint \"second\" on chain 5");
    assert_int_equal(chain, 7);
}

static void one_that_answers_is_enough(void **state)
{
    struct setup *s = *state;
    struct err err = {0};
    uint64_t chain;
    hash32 genesis;
    provider_rules("{'fault':'error','path':'/a/','args':{'text':'method not found'}}");
    OK(rpc_identify(s->node, &chain, &genesis, &err));
    /* One whose chain is not known is not used, healthy as it may be. */
    provider_order("{\"rules\":[]}");
    assert_ptr_equal(rpc_best(s->node), rpc_endpoint(s->node, 1));
    struct rpc_answer a = ASK(s, "eth_chainId");
    assert_ptr_equal(a.endpoint, rpc_endpoint(s->node, 1));
    assert_result(&a, "0x1");
}

static void no_identity(void **state)
{
    struct setup *s = *state;
    struct err err = {0};
    uint64_t chain;
    hash32 genesis;
    provider_rules("{'fault':'echo-url','args':{'html':true}}");
    assert_int_equal(rpc_identify(s->node, &chain, &genesis, &err), -1);
    assert_int_equal(err.kind, ERR_UNREACHABLE);
    assert_no_secret(err.text);
    assert_non_null(strstr(err.text, "endpoint \"first\": HTTP 403"));
}

static void headers(void **state)
{
    struct setup *s = *state;
    struct err err = {0};
    struct header latest, h;
    bool found = false;
    OK(rpc_header_tag(s->node, TAG_LATEST, &latest, &found, &err));
    assert_true(found && latest.has_bloom);
    assert_int_equal(latest.at.number, 100);
    OK(rpc_header_tag(s->node, TAG_FINALIZED, &h, &found, &err));
    assert_int_equal(h.at.number, 36);
    OK(rpc_header_number(s->node, 99, &h, &found, &err));
    assert_true(found && hash_equal(&h.at.hash, &latest.at.parent));
    OK(rpc_header_hash(s->node, &latest.at.hash, &h, &found, &err));
    assert_true(found);
    assert_memory_equal(&h.at, &latest.at, sizeof latest.at);
    OK(rpc_header_number(s->node, 101, &h, &found, &err));
    assert_false(found);
    found = true;
    OK(rpc_header_hash(s->node, &(hash32){{1}}, &h, &found, &err));
    assert_false(found);
}

/* Each client's way to say that there is no such tag, or none yet. */
static void tags_that_are_not_there(void **state)
{
    static const char *const texts[] = {
        "finalized block not found",       "safe block not found",       "Unknown block",
        "malformed blocknumber finalized", "not a supported commitment", "invalid params",
    };
    struct setup *s = *state;
    struct err err = {0};
    struct header h;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        bool found = true;
        provider_rules("{'fault':'error','args':{'text':'%s'}}", texts[i]);
        OK(rpc_header_tag(s->node, i % 2 ? TAG_SAFE : TAG_FINALIZED, &h, &found, &err));
        assert_false(found);
        assert_int_equal(provider_requests(), i + 1); /* and it is not asked for again */
    }
    bool found = true;
    provider_rules("{'fault':'null-result'}");
    OK(rpc_header_tag(s->node, TAG_SAFE, &h, &found, &err));
    assert_false(found);
    /* A refused key is no missing tag. */
    provider_rules("{'fault':'http-503','args':{'status':401}}");
    assert_int_equal(rpc_header_tag(s->node, TAG_FINALIZED, &h, &found, &err), -1);
    assert_int_equal(err.kind, ERR_UNREACHABLE);
    assert_non_null(strstr(err.hint, "its key?"));
}

static void another_block_than_asked(void **state)
{
    struct setup *s = *state;
    struct err err = {0};
    struct header h;
    bool found = false;
    OK(rpc_header_tag(s->node, TAG_LATEST, &h, &found, &err));
    provider_rules("{'fault':'older-header'}");
    assert_int_equal(rpc_header_number(s->node, 50, &h, &found, &err), -1);
    assert_string_equal(err.text, "asked for block 50, got block 49");
    hash32 asked = h.at.hash;
    assert_int_equal(rpc_header_hash(s->node, &asked, &h, &found, &err), -1);
    assert_non_null(strstr(err.text, ", got block 0x"));
}

static uint64_t word_number(const uint8_t *word, size_t len)
{
    uint64_t v = 0;
    assert_int_equal(len, 32);
    for (size_t i = 24; i < 32; i++)
        v = v << 8 | word[i];
    return v;
}

static uint64_t view_number(struct setup *s, const struct anchor *at)
{
    struct err err = {0};
    uint8_t data[4] = {0x70, 0xa0, 0x82, 0x31};
    struct rpc_view view = {.to = &(address){{1}}, .data = data, .data_len = sizeof data, .at = at};
    struct rpc_view_answer a;
    OK(rpc_view(s->node, &view, &a, &err));
    uint64_t v = word_number(a.data, a.len);
    mem_free(a.data);
    return v;
}

static void views_name_their_block(void **state) /* 25, 26, 27 */
{
    struct setup *s = *state;
    struct err err = {0};
    struct header h;
    bool found;
    provider_order("{\"toy\":{\"call_result\":\"number\"}}");
    OK(rpc_header_number(s->node, 70, &h, &found, &err));
    assert_int_equal(view_number(s, NULL), 100);
    assert_int_equal(view_number(s, &h.at), 70);
    OK(endpoint_probe(s->node, rpc_best(s->node), &err));
    assert_int_equal(view_number(s, &h.at), 70);
    /* That these faults do what they say: readers and tests above build on them. */
    provider_rules("{'fault':'ignore-pin'}");
    assert_int_equal(view_number(s, &h.at), 100);
    provider_rules("{'fault':'older-block','args':{'behind':3}}");
    assert_int_equal(view_number(s, &h.at), 97);
    provider_order("{\"toy\":{\"call_result\":\"gas\"}}");
    provider_order("{\"rules\":[]}");
    assert_int_equal(view_number(s, NULL), 16000000);
    provider_rules("{'fault':'gas-cap','args':{'cap':1000}}");
    assert_int_equal(view_number(s, NULL), 1000);
}

static void views_that_fail(void **state)
{
    struct setup *s = *state;
    struct err err = {0};
    struct rpc_view view = {.to = &(address){{1}}};
    struct rpc_view_answer a;
    OK(rpc_view(s->node, &view, &a, &err)); /* "0x" */
    assert_int_equal(a.len, 0);
    mem_free(a.data);
    provider_rules("{'fault':'error','args':{'text':'execution reverted: no'}}");
    assert_int_equal(rpc_view(s->node, &view, &a, &err), -1);
    assert_int_equal(a.fault.fault, FAULT_REVERT);
    assert_int_equal(err.kind, ERR_FAILED);
    provider_rules("{'fault':'null-result'}");
    assert_int_equal(rpc_view(s->node, &view, &a, &err), -1);
    assert_int_equal(a.fault.fault, FAULT_BEHIND);
    provider_rules("{'fault':'result','args':{'result':'0xabc'}}");
    assert_int_equal(rpc_view(s->node, &view, &a, &err), -1);
    assert_int_equal(a.fault.fault, FAULT_GARBLED);
    assert_true(a.data == NULL && a.len == 0);
}

/* ---- the probe ------------------------------------------------------------------------------- */

static enum capability probed(struct setup *s)
{
    struct err err = {0};
    struct endpoint *e = rpc_endpoint(s->node, 0);
    OK(endpoint_probe(s->node, e, &err));
    return endpoint_pins_hash(e);
}

static void assert_block_param(struct setup *s, const char *wanted)
{
    struct anchor at = {.number = 0x1234, .hash = {{0xab}}};
    struct buf out = BUF_INIT(200);
    endpoint_block_param(rpc_endpoint(s->node, 0), &at, &out);
    assert_string_equal(buf_str(&out), wanted);
    buf_free(&out);
}

static void pinning_is_found_by_asking(void **state) /* 25 */
{
    struct setup *s = *state;
    assert_int_equal(endpoint_pins_hash(rpc_endpoint(s->node, 0)), CAP_UNKNOWN);
    assert_block_param(s, "\"0x1234\"");
    assert_int_equal(probed(s), CAP_YES);
    assert_block_param(s, "{\"blockHash\":\"0xab00000000000000000000000000000000000000"
                          "000000000000000000000000\"}");
    provider_rules("{'fault':'ignore-pin'}");
    assert_int_equal(probed(s), CAP_NO);
    assert_block_param(s, "\"0x1234\"");
    /* Refuses every object: the made-up hash for another reason, or the real one as well. */
    provider_rules("{'fault':'error','match':'blockHash','args':{'text':'invalid params'}}");
    assert_int_equal(probed(s), CAP_NO);
    provider_rules("{'fault':'null-result','match':'blockHash'}");
    assert_int_equal(probed(s), CAP_NO);
    provider_rules("{'fault':'error','match':'blockHash','skip':1,'times':9,"
                   "'args':{'text':'execution reverted'}}");
    assert_int_equal(probed(s), CAP_NO);
    provider_order("{\"rules\":[]}");
    assert_int_equal(probed(s), CAP_YES);
}

static void a_silent_endpoint_proves_nothing(void **state)
{
    struct setup *s = *state;
    struct err err = {0};
    struct endpoint *e = rpc_endpoint(s->node, 0);
    provider_rules("{'fault':'rate-429','method':'eth_call','args':{'after':100}}");
    assert_int_equal(endpoint_probe(s->node, e, &err), -1);
    assert_int_equal(endpoint_pins_hash(e), CAP_UNKNOWN);
}

/* ---- many at a time -------------------------------------------------------------------------- */

static void submit(struct setup *s, const char *method, enum rpc_lane lane, void *user)
{
    struct err err = {0};
    struct rpc_request q = {
        .method = method, .lane = lane, .deadline_ms = clock_ms() + 20 * 1000, .user = user};
    OK(rpc_submit(s->node, &q, &err));
}

static void lanes_go_in_order(void **state) /* 19 */
{
    static const char *const order[] = {"live", "catchup", "catchup2", "sweep", "sweep2"};
    struct setup *s = *state;
    struct err err = {0};
    struct rpc_answer a;
    /* Eight fill the endpoint. One place becomes free, and all that waited goes through it singly.
     */
    provider_rules("{'fault':'silence','method':'first','times':1,'args':{'seconds':0.2}},"
                   "{'fault':'silence','method':'first','args':{'seconds':30}}");
    for (int i = 0; i < 8; i++)
        submit(s, "first", RPC_LIVE, NULL);
    submit(s, "sweep", RPC_SWEEP, NULL);
    submit(s, "catchup", RPC_CATCHUP, NULL);
    submit(s, "sweep2", RPC_SWEEP, NULL);
    submit(s, "catchup2", RPC_CATCHUP, NULL);
    submit(s, "live", RPC_LIVE, NULL);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(rpc_next(s->node, 5000, &a, &err), 1);
        rpc_answer_free(&a);
    }
    size_t n;
    const struct json *const *log = provider_log(&n);
    assert_int_equal(n, 8 + COUNT_OF(order));
    for (size_t i = 0; i < COUNT_OF(order); i++)
        assert_string_equal(json_str(json_get(log[8 + i], "method")), order[i]);
}

static void in_flight_is_bounded(void **state)
{
    struct setup *s = *state;
    struct err err = {0};
    struct rpc_answer a;
    size_t before = provider_connections();
    provider_rules("{'fault':'silence','args':{'seconds':0.02}}");
    for (int i = 0; i < RPC_IN_FLIGHT_MAX; i++)
        submit(s, "eth_chainId", RPC_SWEEP, s);
    struct rpc_request q = {.method = "eth_chainId"};
    assert_int_equal(rpc_submit(s->node, &q, &err), -1);
    assert_int_equal(err.kind, ERR_TOO_LARGE);
    int got = 0;
    while (rpc_next(s->node, 5000, &a, &err) == 1) {
        assert_ptr_equal(a.user, s);
        assert_result(&a, "0x1");
        got++;
    }
    assert_int_equal(got, RPC_IN_FLIGHT_MAX);
    assert_int_equal(rpc_in_flight(s->node), 0);
    assert_in_range(provider_connections() - before, 8, 10); /* ours, and the looks at the count */
}

static void too_large_to_send(void **state)
{
    struct setup *s = *state;
    struct err err = {0};
    size_t n = RPC_REQUEST_MAX + 1;
    char *params = mem_alloc(n);
    memset(params, ' ', n);
    struct rpc_request q = {.method = "eth_call", .params = params, .params_len = n};
    assert_int_equal(rpc_submit(s->node, &q, &err), -1);
    assert_int_equal(err.kind, ERR_TOO_LARGE);
    assert_int_equal(rpc_in_flight(s->node), 0);
    /* The largest that is allowed arrives whole. */
    memcpy(params, "[\"", 2);
    memset(params + 2, 'a', RPC_REQUEST_MAX - 4);
    memcpy(params + RPC_REQUEST_MAX - 2, "\"]", 2);
    q = (struct rpc_request){
        .method = "eth_chainId", .params = params, .params_len = RPC_REQUEST_MAX};
    struct rpc_answer a = ask_with(s, q);
    assert_result(&a, "0x1");
    size_t records;
    int64_t size = 0;
    const struct json *const *log = provider_log(&records);
    assert_true(json_i64(json_get(log[0], "bytes_in"), &size) && size > RPC_REQUEST_MAX);
    mem_free(params);
}

static void abandoned_answers_never_come(void **state) /* 19 */
{
    struct setup *s = *state;
    struct err err = {0};
    struct rpc_answer a;
    int keep, drop;
    provider_rules("{'fault':'silence','args':{'seconds':0.1}}");
    for (int i = 0; i < 20; i++)
        submit(s, "eth_chainId", RPC_SWEEP, i % 2 ? &keep : &drop);
    assert_int_equal(rpc_next(s->node, 5000, &a, &err), 1);
    rpc_answer_free(&a);
    bool was_kept = a.user == &keep;
    rpc_abandon(s->node, &drop);
    assert_int_equal(rpc_in_flight(s->node), was_kept ? 9 : 10);
    int got = 0;
    while (rpc_next(s->node, 5000, &a, &err) == 1) {
        assert_ptr_equal(a.user, &keep);
        rpc_answer_free(&a);
        got++;
    }
    assert_int_equal(got, was_kept ? 9 : 10);
    submit(s, "eth_chainId", RPC_SWEEP, &keep);
    rpc_abandon_all(s->node);
    assert_int_equal(rpc_in_flight(s->node), 0);
    assert_int_equal(rpc_next(s->node, 5000, &a, &err), 0);
}

static void next_times_out(void **state) /* 19 */
{
    struct setup *s = *state;
    struct err err = {0};
    struct rpc_answer a;
    assert_int_equal(rpc_next(s->node, 60000, &a, &err), 0); /* nothing in flight: at once */
    provider_rules("{'fault':'silence','args':{'seconds':30}}");
    submit(s, "eth_chainId", RPC_LIVE, NULL);
    int64_t start = clock_ms();
    assert_int_equal(rpc_next(s->node, 0, &a, &err), 0);
    assert_true(clock_ms() - start < 5000);
    assert_int_equal(rpc_next(s->node, 150, &a, &err), 0);
    assert_in_range(clock_ms() - start, 150, 10000);
    assert_int_equal(rpc_in_flight(s->node), 1);
}

static void a_stop_ends_the_wait(void **state) /* 19 */
{
    struct setup *s = *state;
    struct err err = {0};
    struct rpc_answer a;
    struct header h;
    bool found;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    rpc_stop_on(s->node, fds[0]);
    submit(s, "eth_chainId", RPC_LIVE, NULL); /* a quiet pipe changes nothing */
    assert_int_equal(rpc_next(s->node, 5000, &a, &err), 1);
    rpc_answer_free(&a);
    provider_rules("{'fault':'silence','args':{'seconds':30}}");
    assert_int_equal(write(fds[1], "x", 1), 1);
    submit(s, "eth_chainId", RPC_LIVE, NULL);
    int64_t start = clock_ms();
    assert_int_equal(rpc_next(s->node, 20 * 1000, &a, &err), 0);
    rpc_abandon_all(s->node);
    assert_int_equal(rpc_header_tag(s->node, TAG_LATEST, &h, &found, &err), -1);
    assert_int_equal(err.kind, ERR_STOPPED);
    assert_true(clock_ms() - start < 9000);
    close(fds[0]);
    close(fds[1]);
}

static void verbs_want_to_be_alone(void **state)
{
    struct setup *s = *state;
    struct err err = {0};
    struct header h;
    bool found;
    submit(s, "eth_chainId", RPC_LIVE, NULL);
    assert_int_equal(rpc_header_tag(s->node, TAG_LATEST, &h, &found, &err), -1);
    assert_int_equal(rpc_in_flight(s->node), 1);
}

static void blame_pauses(void **state)
{
    struct setup *s = *state;
    struct endpoint *first = rpc_endpoint(s->node, 0);
    assert_ptr_equal(rpc_best(s->node), first);
    for (int i = 0; i < 3; i++)
        endpoint_report_wrong_block(first, "answered from block 5, not 7, at " KEY);
    assert_int_equal(endpoint_counters(first)->blamed, 3);
    assert_ptr_equal(rpc_best(s->node), rpc_endpoint(s->node, 1));
}

/* http_proxy is curl's own business, but it has to go on working. */
static void proxies_come_from_the_environment(void **state)
{
    struct setup *s = *state;
    char proxy[64];
    static const char *const urls[] = {"http://node.invalid/v2/" KEY};
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", provider_port());
    setenv("http_proxy", proxy, 1);
    reopen(s, urls, 1);
    struct rpc_answer a = ASK(s, "eth_chainId");
    unsetenv("http_proxy");
    assert_result(&a, "0x1");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_one, close_node)
#define TWO(f)  cmocka_unit_test_setup_teardown(f, open_two, close_node)
    const struct CMUnitTest tests[] = {
        TEST(identity),
        TWO(endpoints_must_agree),
        TWO(one_that_answers_is_enough),
        TEST(no_identity),
        TEST(headers),
        TEST(tags_that_are_not_there),
        TEST(another_block_than_asked),
        TEST(views_name_their_block),
        TEST(views_that_fail),
        TEST(pinning_is_found_by_asking),
        TEST(a_silent_endpoint_proves_nothing),
        TEST(lanes_go_in_order),
        TEST(in_flight_is_bounded),
        TEST(too_large_to_send),
        TEST(abandoned_answers_never_come),
        TEST(next_times_out),
        TEST(a_stop_ends_the_wait),
        TEST(verbs_want_to_be_alone),
        TWO(blame_pauses),
        TEST(proxies_come_from_the_environment),
    };
    return cmocka_run_group_tests_name("node", tests, start_provider, stop_provider);
}
