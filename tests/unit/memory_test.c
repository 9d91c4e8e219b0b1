/*
 * Libraries without memory: each allocation they make fails once. The process ends with its last
 * words, or has not minded; it never refuses what is right, nor goes on with half a library.
 */
#include "base/err.h"
#include "conf/conf.h"
#include "net/http.h"
#include "net/memory.h"
#include "short_of_memory.h"
#include "vectors.h"

static const char settings[] =
    "chain: {endpoints: [{name: local, url: 'http://127.0.0.1:1', ws: off}]}\n"
    "store: sqlite:trueup.db\n"
    "balances:\n"
    "  - name: audio\n"
    "    terms:\n"
    "      - name: held\n"
    "        contract: '0x18aAA7115705e8be94bfFEBDE57Af9BFc265B998'\n"
    "        view: balanceOf(address)\n";

static int read_settings(void *ctx)
{
    struct conf_problems problems = {0};
    (void)ctx;
    memory_counts();
    return conf_load_text(settings, sizeof settings - 1, &problems) ? 0 : 2;
}

/* Settings that are refused end the daemon: a worker that had no memory must not refuse them. */
static void settings_are_not_refused(void **state)
{
    (void)state;
    assert_true(each_allocation_fails("settings", read_settings, NULL).allocations > 30);
}

static int open_http(void *ctx)
{
    struct http *h = NULL;
    struct err err = {0};
    (void)ctx;
    net_memory_init();
    memory_counts();
    return http_open(&h, &err) == 0 ? 0 : 1;
}

/* OpenSSL starts here. By itself it bears nearly all of it, and lacks a cipher from then on; what
 * may go on is what the C library does of its own, such as opening a file. */
static void tls_does_not_start_by_halves(void **state)
{
    (void)state;
    struct short_of_memory tried = each_allocation_fails("http_open", open_http, NULL);
    assert_true(tried.allocations > 1000);
    assert_true(tried.borne < 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_are_not_refused),
        cmocka_unit_test(tls_does_not_start_by_halves),
    };
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
