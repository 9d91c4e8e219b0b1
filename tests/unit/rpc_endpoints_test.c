/*
 * Several endpoints, as two URLs of the scripted provider: hedges, who is on which chain, who lied,
 * logs that one leaves out and a rate that is named.
 */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "provider_child.h"
#include "rpc/logs.h"
#include "rpc/rpc_internal.h"
#include "rpc_setup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define OK(call) ok((call), &err, #call)

static void ok(int rc, const struct err *err, const char *what)
{
    if (rc != 0)
        fail_msg("%s: %s", what, err->text);
}

static struct endpoint *first(struct setup *s)
{
    return rpc_endpoint(s->node, 0);
}

static struct endpoint *second(struct setup *s)
{
    return rpc_endpoint(s->node, 1);
}

static void assert_notice(struct setup *s, const char *message, const char *why)
{
    struct rpc_notice n;
    while (rpc_take_notice(s->node, &n)) {
        assert_no_secret(n.why);
        if (strstr(n.message, message) && strstr(n.why, why))
            return;
    }
    fail_msg("nobody was told \"%s … %s\"", message, why);
}

/* ---- hedges ---------------------------------------------------------------------------------- */

static void a_slow_answer_is_asked_for_elsewhere(void **state) /* 19 */
{
    struct setup *s = *state;
    for (int i = 0; i < 10; i++) {
        struct rpc_answer a = ASK(s, "eth_chainId");
        assert_ptr_equal(a.endpoint, first(s));
        assert_result(&a, "0x1");
    }
    provider_rules("{'fault':'silence','path':'/a/','args':{'seconds':30}}");
    struct rpc_answer a = ASK(s, "eth_chainId");
    assert_ptr_equal(a.endpoint, second(s));
    assert_in_range(a.took_ms, 200, 5000);
    assert_result(&a, "0x1");
    assert_int_equal(endpoint_counters(second(s))->hedges, 1);
    assert_int_equal(endpoint_counters(first(s))->beaten, 1);
    assert_int_equal(rpc_in_flight(s->node), 0);
    /* The loser is abandoned: it is never handed out. */
    struct err err = {0};
    assert_int_equal(rpc_next(s->node, 50, &a, &err), 0);
}

static void one_that_is_always_beaten_is_left_alone(void **state) /* 19 */
{
    struct setup *s = *state;
    provider_rules("{'fault':'silence','path':'/a/','args':{'seconds':60}}");
    for (int i = 0; i < 12 && first(s)->circuit.state != BREAKER_OPEN; i++) {
        struct rpc_answer a = ask(s, "eth_chainId", "[]", 8000);
        assert_result(&a, "0x1");
    }
    assert_int_equal(first(s)->circuit.state, BREAKER_OPEN);
    struct rpc_answer a = ASK(s, "eth_chainId");
    assert_true(a.took_ms < 1000);
    assert_result(&a, "0x1");
}

static void a_fault_waits_for_the_hedge(void **state) /* 19 */
{
    struct setup *s = *state;
    /* The first says no after the second was asked, who says yes later still. */
    provider_rules("{'fault':'silence','path':'/b/','args':{'seconds':0.8}},"
                   "{'fault':'slow-loris','path':'/a/','args':{'pace':0.01}}");
    provider_order("{\"answers\":[{\"method\":\"eth_call\",\"result\":\"0x\"}]}");
    struct rpc_answer a = ask(s, "eth_call", "[]", 0);
    assert_fault(&a, FAULT_NONE);
    rpc_answer_free(&a);
    provider_rules("{'fault':'silence','path':'/a/','args':{'seconds':30}},"
                   "{'fault':'error','path':'/b/','args':{'text':'execution reverted'}}");
    /* The hedge's fault is not the answer: the first is still waited for. */
    a = ask(s, "eth_call", "[]", 2500);
    assert_fault(&a, FAULT_TIME);
}

static void only_live_requests_are_hedged(void **state) /* 19 */
{
    struct setup *s = *state;
    provider_rules("{'fault':'silence','path':'/a/','args':{'seconds':1.5}}");
    struct rpc_answer a =
        ask_with(s, (struct rpc_request){.method = "eth_chainId", .lane = RPC_SWEEP});
    assert_ptr_equal(a.endpoint, first(s));
    assert_result(&a, "0x1");
    a = ask_with(s, (struct rpc_request){.method = "eth_chainId", .only = first(s)});
    assert_ptr_equal(a.endpoint, first(s));
    assert_result(&a, "0x1");
    a = ask_with(
        s, (struct rpc_request){.method = "eth_chainId", .only = first(s), .second = second(s)});
    assert_ptr_equal(a.endpoint, second(s));
    assert_result(&a, "0x1");
    assert_int_equal(endpoint_counters(second(s))->hedges, 1);
}

/* ---- nonces ---------------------------------------------------------------------------------- */

/* A call that is answered with its data, which is the nonce. */
static struct rpc_answer ask_echo(struct setup *s, struct rpc_request q)
{
    struct buf params = BUF_INIT(256);
    buf_adds(&params, "[{\"data\":\"0x");
    nonce_add_word(&params, &q.nonce);
    buf_adds(&params, "\"},\"latest\"]");
    q.method = "eth_call";
    q.params = params.data;
    q.params_len = params.len;
    q.bytes = true;
    struct rpc_answer a = ask_with(s, q);
    buf_free(&params);
    return a;
}

static void assert_own_nonce(const struct rpc_answer *a)
{
    static const struct nonce none;
    assert_fault(a, FAULT_NONE);
    assert_int_equal(a->n_bytes, NONCE_WORD);
    assert_true(nonce_is_word(&a->nonce, a->bytes));
    assert_memory_not_equal(a->nonce.b, none.b, sizeof none.b);
}

static void each_try_has_its_own_nonce(void **state)
{
    struct setup *s = *state;
    struct nonce last = {0};
    provider_order("{\"toy\":{\"call_result\":\"data\"}}");
    for (int i = 0; i < 4; i++) {
        struct rpc_answer a = ask_echo(s, (struct rpc_request){.only = first(s)});
        assert_own_nonce(&a);
        assert_memory_not_equal(a.nonce.b, last.b, sizeof last.b);
        last = a.nonce;
        rpc_answer_free(&a);
    }
    provider_reset();
    provider_order("{\"toy\":{\"call_result\":\"data\"}}");
    provider_rules("{'fault':'http-503','times':1}");
    struct rpc_answer a = ask_echo(s, (struct rpc_request){.only = first(s)});
    assert_own_nonce(&a);
    rpc_answer_free(&a);
    size_t n;
    const struct json *const *log = provider_log(&n);
    assert_int_equal(n, 2);
    const char *data[2];
    for (size_t i = 0; i < n; i++)
        data[i] = json_str(json_get(json_first(json_get(log[i], "params")), "data"));
    assert_string_not_equal(data[0], data[1]);
}

/* The hedge's answer is its own: with its nonce, which is not its twin's. */
static void a_hedge_has_its_own_nonce(void **state)
{
    struct setup *s = *state;
    provider_order("{\"toy\":{\"call_result\":\"data\"}}");
    provider_rules("{'fault':'silence','path':'/a/','args':{'seconds':30}}");
    struct rpc_answer a = ask_echo(s, (struct rpc_request){.only = first(s), .second = second(s)});
    assert_ptr_equal(a.endpoint, second(s));
    assert_own_nonce(&a);
    assert_memory_not_equal(a.nonce.b, s->node->callers[0].entry.attempt.nonce.b, sizeof a.nonce.b);
    rpc_answer_free(&a);
}

/* After some answers of other requests in a row the circuit opens; a right one ends the row. */
static void one_that_mixes_up_answers_is_left_alone(void **state)
{
    struct setup *s = *state;
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 5; k++)
            endpoint_report_misplaced(first(s));
        assert_int_equal(first(s)->circuit.state, BREAKER_CLOSED);
        endpoint_report_placed(first(s));
    }
    assert_int_equal(endpoint_counters(first(s))->misplaced, 15);
    assert_notice(s, "answer of another request discarded", "");
    for (int k = 0; k < 6; k++)
        endpoint_report_misplaced(first(s));
    assert_int_equal(first(s)->circuit.state, BREAKER_OPEN);
    assert_notice(s, "endpoint circuit opened", "answers of other requests");
    struct rpc_answer a = ASK(s, "eth_chainId");
    assert_ptr_equal(a.endpoint, second(s));
    assert_result(&a, "0x1");
}

/* ---- who is on which chain ------------------------------------------------------------------- */

static void the_wrong_one_is_set_aside(void **state) /* 31 */
{
    struct setup *s = *state;
    struct err err = {0};
    uint64_t id = 1;
    hash32 genesis;
    provider_rules(
        "{'fault':'result','path':'/a/','method':'eth_chainId','args':{'result':'0x5'}}");
    rpc_expect(s->node, &id, NULL);
    OK(rpc_identify(s->node, &id, &genesis, &err));
    assert_int_equal(id, 1);
    assert_int_equal(first(s)->circuit.state, BREAKER_WRONG_CHAIN);
    assert_notice(s, "endpoint not used", "is on chain 5, not 1");
    struct rpc_answer a = ASK(s, "eth_blockNumber");
    assert_ptr_equal(a.endpoint, second(s));
    assert_result(&a, "0x64");
}

static void all_wrong_is_for_the_caller_to_refuse(void **state) /* 31 */
{
    struct setup *s = *state;
    struct err err = {0};
    uint64_t id = 1;
    hash32 genesis;
    provider_rules("{'fault':'result','method':'eth_chainId','args':{'result':'0x5'}}");
    rpc_expect(s->node, &id, NULL);
    OK(rpc_identify(s->node, &id, &genesis, &err));
    assert_int_equal(id, 5);
    /* But while one is silent, it may be the right one. */
    provider_rules("{'fault':'error','path':'/a/','args':{'text':'method not found'}},"
                   "{'fault':'result','method':'eth_chainId','args':{'result':'0x5'}}");
    id = 1;
    reopen(s, (const char *const[]){s->urls[0], s->urls[1]}, 2);
    rpc_expect(s->node, &id, NULL);
    assert_int_equal(rpc_identify(s->node, &id, &genesis, &err), -1);
    assert_int_equal(err.kind, ERR_UNREACHABLE);
    assert_non_null(strstr(err.text, "it is on another chain (5)"));
    assert_no_secret(err.text);
}

/* The pause is over and the look at the endpoint is out: a request whose time is up meanwhile is
 * answered with what the endpoint failed of. Its own wait in line says nothing of the endpoint. */
static void a_request_that_waits_for_a_look_is_told_why(void **state)
{
    struct setup *s = *state;
    struct err err = {0};
    uint64_t id;
    hash32 genesis;
    OK(rpc_identify(s->node, &id, &genesis, &err));
    provider_rules("{'fault':'reset'}");
    while (first(s)->circuit.state != BREAKER_OPEN) {
        struct rpc_answer a = ask(s, "eth_blockNumber", "[]", 500);
        assert_fault(&a, FAULT_DOWN);
    }
    provider_rules("{'fault':'silence','args':{'seconds':30}}");
    int64_t pause = first(s)->circuit.not_before_ms - clock_ms();
    struct rpc_answer a = ask(s, "eth_blockNumber", "[]", (int)pause + 500);
    assert_int_equal(first(s)->circuit.state, BREAKER_HALF_OPEN);
    assert_fault(&a, FAULT_DOWN);
    assert_string_equal(a.fault.rule, "paused");
    assert_null(a.endpoint);
}

/* ---- who lied -------------------------------------------------------------------------------- */

/* Drives what is asked about the endpoints until it is answered. */
static void let_doubts_end(struct setup *s)
{
    for (int i = 0; i < 200 && first(s)->doubt.entry.state != ENTRY_FREE; i++) {
        struct rpc_answer a = ASK(s, "eth_chainId");
        assert_result(&a, "0x1");
    }
    assert_int_equal(first(s)->doubt.entry.state, ENTRY_FREE);
}

static void a_wrong_block_is_confirmed_before_the_blame(void **state)
{
    struct setup *s = *state;
    struct err err = {0};
    struct header h;
    bool found;
    OK(rpc_header_number(s->node, 50, &h, &found, &err));
    struct anchor gone = h.at;
    gone.hash.b[0] ^= 1; /* no longer the chain's: the endpoint may be right */
    endpoint_doubt_block(first(s), &gone, "answered from another block than asked");
    assert_int_equal(endpoint_counters(first(s))->blamed, 0);
    let_doubts_end(s);
    assert_int_equal(endpoint_counters(first(s))->blamed, 0);
    assert_int_equal(first(s)->circuit.state, BREAKER_CLOSED);
    endpoint_doubt_block(first(s), &h.at, "answered from another block than asked");
    assert_ptr_equal(first(s)->doubt.entry.only, second(s));
    let_doubts_end(s);
    assert_int_equal(endpoint_counters(first(s))->blamed, 1);
    assert_int_equal(first(s)->circuit.state, BREAKER_OPEN);
}

static void a_wrong_block_opens_the_circuit(void **state)
{
    struct setup *s = *state;
    endpoint_report_wrong_block(first(s), "answered from another block than asked");
    assert_int_equal(endpoint_counters(first(s))->blamed, 1);
    assert_int_equal(first(s)->circuit.state, BREAKER_OPEN);
    assert_ptr_equal(rpc_best(s->node), second(s));
    assert_notice(s, "circuit opened", "answered from another block than asked");
}

static void alone_it_is_blamed_at_once_and_still_asked(void **state)
{
    struct setup *s = *state;
    endpoint_report_wrong_block(first(s), "answered from another block than asked");
    assert_int_equal(endpoint_counters(first(s))->blamed, 1);
    struct rpc_answer a = ASK(s, "eth_chainId");
    assert_true(a.took_ms < 1000);
    assert_result(&a, "0x1");
}

/* ---- logs that one leaves out ---------------------------------------------------------------- */

#define TOPIC "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"

static void logs_left_out_are_found_elsewhere(void **state) /* 35 */
{
    struct setup *s = *state;
    struct err err = {0};
    struct arena arena;
    struct logs logs;
    address contract;
    hash32 topic;
    assert_true(address_parse_loose("0x18aaa7115705e8be94bffebde57af9bfc265b998", 42, &contract));
    assert_true(hash_parse(TOPIC, strlen(TOPIC), &topic));
    struct log_filter f = {&contract, 1, &topic, 1};
    provider_order("{\"toy\":{\"head\":5000},\"answers\":[{\"method\":\"eth_getLogs\",\"result\":[{"
                   "\"address\":\"0x18aaa7115705e8be94bffebde57af9bfc265b998\",\"topics\":[\"" TOPIC
                   "\"],"
                   "\"data\":\"0x\",\"blockNumber\":\"0x5\",\"logIndex\":\"0x0\",\"removed\":false,"
                   "\"blockHash\":\"" TOPIC "\",\"transactionHash\":\"" TOPIC
                   "\",\"transactionIndex\":\"0x0\"}"
                   "]}]}");
    provider_rules("{'fault':'omit-logs','path':'/a/','method':'eth_getLogs'}");
    arena_init(&arena);
    struct logs_ask range = {.filter = &f, .to = 999, .lane = RPC_CATCHUP, .arena = &arena};
    OK(rpc_logs_range(s->node, &range, &logs, &err));
    assert_int_equal(logs.n, 0); /* nobody doubts so short an empty answer */
    assert_ptr_equal(logs.by, first(s));
    range.to = 1000;
    OK(rpc_logs_range(s->node, &range, &logs, &err));
    assert_int_equal(logs.n, 1);
    assert_ptr_equal(logs.by, second(s));
    assert_int_equal(endpoint_counters(first(s))->missed_logs, 1);
    assert_notice(s, "left logs out", "1 of blocks 0 to 1000");
    /* Where the other cannot say, the first answer holds. */
    provider_rules("{'fault':'omit-logs','path':'/a/','method':'eth_getLogs'},"
                   "{'fault':'range-cap','method':'eth_getLogs','args':{'blocks':10}}");
    OK(rpc_logs_range(s->node, &range, &logs, &err));
    assert_int_equal(logs.n, 0);
    arena_free(&arena);
    provider_order("{\"toy\":{\"head\":100},\"answers\":[]}");
}

/* ---- logs of one block ----------------------------------------------------------------------- */

/* The bloom speaks of two contracts, and the first answer has a log of one of them. */
static void a_contract_that_only_the_bloom_has_is_asked_for_elsewhere(void **state) /* 60 */
{
    struct setup *s = *state;
    struct err err = {0};
    struct arena arena;
    struct logs logs;
    address contracts[2];
    hash32 topic;
    assert_true(
        address_parse_loose("0x18aaa7115705e8be94bffebde57af9bfc265b998", 42, &contracts[0]));
    assert_true(
        address_parse_loose("0xe6d97b2099f142513be7a2a068be040656ae4591", 42, &contracts[1]));
    assert_true(hash_parse(TOPIC, strlen(TOPIC), &topic));
    struct log_filter f = {contracts, 2, &topic, 1};
    struct header h = {.at = {.number = 5, .hash = topic}, .has_bloom = true};
    memset(&h.logs, 0xff, sizeof h.logs);
    provider_order("{\"answers\":[{\"method\":\"eth_getLogs\",\"result\":[{"
                   "\"address\":\"0x18aaa7115705e8be94bffebde57af9bfc265b998\",\"topics\":[\"" TOPIC
                   "\"],\"data\":\"0x\",\"blockNumber\":\"0x5\",\"logIndex\":\"0x0\","
                   "\"blockHash\":\"" TOPIC "\"}]}]}");
    provider_rules("{'fault':'bend-logs','path':'/b/','args':{'beside':[{'logIndex':'0x1',"
                   "'address':'0xe6d97b2099f142513be7a2a068be040656ae4591'}]}}");
    arena_init(&arena);
    struct logs_ask ask = {.filter = &f, .lane = RPC_LIVE, .arena = &arena, .by = first(s)};
    OK(rpc_logs_block(s->node, &ask, &h, &logs, &err));
    assert_int_equal(logs.n, 2);
    assert_ptr_equal(logs.by, second(s));
    assert_int_equal(endpoint_counters(first(s))->missed_logs, 1);
    arena_free(&arena);
    provider_order("{\"answers\":[]}");
}

static void a_refused_block_hash_is_asked_by_number(void **state) /* 61 */
{
    struct setup *s = *state;
    struct err err = {0};
    struct arena arena;
    struct logs logs;
    struct header h;
    bool found;
    address contract;
    hash32 topic;
    assert_true(address_parse_loose("0x18aaa7115705e8be94bffebde57af9bfc265b998", 42, &contract));
    assert_true(hash_parse(TOPIC, strlen(TOPIC), &topic));
    struct log_filter f = {&contract, 1, &topic, 1};
    OK(rpc_header_number(s->node, 5, &h, &found, &err));
    provider_rules("{'fault':'no-hash-logs','method':'eth_getLogs'}");
    arena_init(&arena);
    struct logs_ask ask = {.filter = &f, .lane = RPC_LIVE, .arena = &arena};
    OK(rpc_logs_block(s->node, &ask, &h, &logs, &err));
    assert_int_equal(logs.n, 0);
    assert_int_equal(endpoint_logs_by_hash(first(s)), CAP_NO);
    assert_notice(s, "refuses eth_getLogs by blockHash", "blockHash is not supported");
    arena_free(&arena);
}

/* ---- pace ------------------------------------------------------------------------------------ */

static void a_named_rate_is_kept_to(void **state) /* 2 */
{
    struct setup *s = *state;
    struct err err = {0};
    struct rpc_answer a;
    provider_rules("{'fault':'rate-200','times':1,'args':{'text':'20/second request limit reached"
                   " - reduce calls per second'}}");
    /* Forty at once are more than twenty a second. */
    int64_t start = clock_ms();
    for (int i = 0; i < 40; i++) {
        struct rpc_request q = {
            .method = "eth_chainId", .lane = RPC_LIVE, .deadline_ms = clock_ms() + 20000};
        OK(rpc_submit(s->node, &q, &err));
    }
    for (int i = 0; i < 40; i++) {
        assert_int_equal(rpc_next(s->node, 20000, &a, &err), 1);
        assert_result(&a, "0x1");
    }
    uint64_t pace = first(s)->load.pace.bucket.per_second;
    assert_true(pace > 0 && pace <= 30);
    assert_true(clock_ms() - start >= 700);
}

#define ONE(test) cmocka_unit_test_setup_teardown(test, open_one, close_node)
#define TWO(test) cmocka_unit_test_setup_teardown(test, open_two, close_node)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TWO(a_slow_answer_is_asked_for_elsewhere),
        TWO(one_that_is_always_beaten_is_left_alone),
        TWO(a_fault_waits_for_the_hedge),
        TWO(only_live_requests_are_hedged),
        TWO(each_try_has_its_own_nonce),
        TWO(a_hedge_has_its_own_nonce),
        TWO(one_that_mixes_up_answers_is_left_alone),
        TWO(the_wrong_one_is_set_aside),
        TWO(all_wrong_is_for_the_caller_to_refuse),
        TWO(a_wrong_block_is_confirmed_before_the_blame),
        TWO(a_wrong_block_opens_the_circuit),
        ONE(alone_it_is_blamed_at_once_and_still_asked),
        TWO(logs_left_out_are_found_elsewhere),
        TWO(a_contract_that_only_the_bloom_has_is_asked_for_elsewhere),
        ONE(a_refused_block_hash_is_asked_by_number),
        ONE(a_named_rate_is_kept_to),
        ONE(a_request_that_waits_for_a_look_is_told_why),
    };
    return cmocka_run_group_tests(tests, start_provider, stop_provider);
}
