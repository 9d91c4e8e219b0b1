#include "rpc_setup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "provider_child.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

int start_provider(void **state)
{
    /* What a developer's shell says about proxies and certificates is not ours. */
    static const char *const foreign[] = {
        "http_proxy", "https_proxy", "HTTPS_PROXY",   "all_proxy",    "ALL_PROXY",
        "no_proxy",   "NO_PROXY",    "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(foreign); i++)
        unsetenv(foreign[i]);
    return provider_start();
}

int stop_provider(void **state)
{
    (void)state;
    provider_stop();
    return 0;
}

void reopen(struct setup *s, const char *const *urls, size_t n)
{
    static const char *const names[] = {"first", "second", "third"};
    struct err err = {0};
    rpc_close(s->node);
    s->conf = (struct conf){.chain.endpoints = s->endpoints, .chain.n_endpoints = n};
    for (size_t i = 0; i < n; i++) {
        if (urls[i] != s->urls[i])
            snprintf(s->urls[i], sizeof s->urls[i], "%s", urls[i]);
        s->endpoints[i] = (struct conf_endpoint){.name = names[i], .url = s->urls[i]};
    }
    if (rpc_open(&s->conf, &s->node, &err) < 0)
        fail_msg("%s", err.text);
}

static int open_with(void **state, size_t n)
{
    char urls[2][200];
    const char *list[2] = {urls[0], urls[1]};
    struct setup *s = mem_zero(1, sizeof *s);
    for (size_t i = 0; i < n; i++)
        snprintf(urls[i], sizeof urls[i],
                 "http://user:" PASSWORD "@127.0.0.1:%d/%c/" KEY "?apikey=" KEY, provider_port(),
                 (char)('a' + i));
    provider_reset();
    reopen(s, list, n);
    *state = s;
    return 0;
}

int open_one(void **state)
{
    return open_with(state, 1);
}

int open_two(void **state)
{
    return open_with(state, 2);
}

int close_node(void **state)
{
    struct setup *s = *state;
    rpc_close(s->node);
    mem_free(s);
    return 0;
}

struct rpc_answer ask_with(struct setup *s, struct rpc_request q)
{
    struct rpc_answer a;
    struct err err = {0};
    if (!q.deadline_ms)
        q.deadline_ms = clock_ms() + 10 * 1000;
    if (rpc_submit(s->node, &q, &err) < 0)
        fail_msg("%s", err.text);
    if (rpc_next(s->node, 15 * 1000, &a, &err) != 1)
        fail_msg("no answer: %s", err.text);
    return a;
}

struct rpc_answer ask(struct setup *s, const char *method, const char *params, int deadline_ms)
{
    return ask_with(
        s, (struct rpc_request){.method = method,
                                .params = params,
                                .params_len = strlen(params),
                                .deadline_ms = deadline_ms ? clock_ms() + deadline_ms : 0});
}

void assert_no_secret(const char *text)
{
    if (strstr(text, KEY) || strstr(text, PASSWORD))
        fail_msg("a secret is in \"%s\"", text);
}

void assert_fault(const struct rpc_answer *a, enum fault fault)
{
    assert_no_secret(a->text);
    if (a->fault.fault != fault)
        fail_msg("fault %s, not %s: %s", fault_name(a->fault.fault), fault_name(fault), a->text);
    if (fault != FAULT_NONE)
        assert_true(a->text[0] != '\0' && a->doc == NULL && a->result == NULL);
}

void assert_result(struct rpc_answer *a, const char *wanted)
{
    assert_fault(a, FAULT_NONE);
    assert_non_null(a->result);
    assert_non_null(a->endpoint);
    assert_string_equal(a->text, "");
    if (wanted)
        assert_string_equal(json_str(a->result), wanted);
    rpc_answer_free(a);
}
