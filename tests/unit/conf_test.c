/*
 * Settings from every side: files that are right, files that are wrong in one way each (the exact
 * text is beside them), the order of flag, environment, first user's names, file and default, what
 * travels to workers, and that docs and starter file say what the table says.
 */
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/loaded.h"
#include "conf/value.h"
#include "conf_reference.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define TEST_ROOT TEST_VECTORS "/../.."
#define TEST_CONF TEST_VECTORS "/../conf"

static const char AUDIO[] = "0x18aAA7115705e8be94bfFEBDE57Af9BFc265B998";
static char secret[] = "TEST_SECRET=s3cretvalue";

/* --- helpers --- */

static char *read_whole(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    char *text = mem_zero(1, YAML_TEXT_MAX + 1);
    size_t n = fread(text, 1, YAML_TEXT_MAX, f);
    fclose(f);
    text[n] = '\0';
    return text;
}

static void write_whole(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    fclose(f);
}

/* Loads, and demands that nothing was wrong. */
static struct conf *load_good(const struct conf_source_set *from)
{
    struct conf_problems problems;
    struct conf *c = conf_load(from, &problems);
    if (!c)
        fail_msg("refused: %s", buf_str(&problems.text));
    assert_int_equal(problems.count, 0);
    conf_problems_free(&problems);
    return c;
}

static struct conf *load_good_file(const char *file, char *const *environ_)
{
    const struct conf_source_set from = {.file = file, .environ_ = environ_};
    return load_good(&from);
}

static void expect_refusal(const struct conf_source_set *from, const char *words)
{
    struct conf_problems problems;
    struct conf *c = conf_load(from, &problems);
    assert_null(c);
    if (!strstr(buf_str(&problems.text), words))
        fail_msg("expected %s\nin %s", words, buf_str(&problems.text));
    conf_problems_free(&problems);
}

static char *written(const struct conf *c, enum conf_for who)
{
    struct buf b = BUF_INIT(4 << 20);
    conf_write(c, who, &b);
    assert_false(b.overflow);
    char *text = mem_strdup(buf_str(&b));
    buf_free(&b);
    return text;
}

static struct conf *load_text(const char *text)
{
    struct conf_problems problems;
    struct conf *c = conf_load_text(text, strlen(text), &problems);
    if (!c)
        fail_msg("refused: %sin:\n%s", buf_str(&problems.text), text);
    conf_problems_free(&problems);
    return c;
}

static int in_folder(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", TEST_CONF, name);
    return chdir(path);
}

static int in_empty_folder(void **state)
{
    static char path[] = "/tmp/trueup-conf-XXXXXX";
    (void)state;
    if (!strstr(path, "XXXXXX"))
        return chdir(path);
    return mkdtemp(path) ? chdir(path) : -1;
}

static int in_good(void **state)
{
    (void)state;
    return in_folder("good");
}

/* --- files that are wrong --- */

static int is_yaml(const struct dirent *e)
{
    const char *dot = strrchr(e->d_name, '.');
    return dot && strcmp(dot, ".yaml") == 0;
}

static bool check_broken(const char *file)
{
    char *environ_[] = {secret, NULL};
    const struct conf_source_set from = {.file = file, .environ_ = environ_};
    struct conf_problems problems;
    char name[300];
    snprintf(name, sizeof name, "%.*s.expected", (int)(strlen(file) - 5), file);
    assert_null(conf_load(&from, &problems));
    assert_true(problems.count > 0);
    if (getenv("TRUEUP_WRITE_EXPECTED"))
        write_whole(name, buf_str(&problems.text));
    char *expected = read_whole(name);
    bool same = expected && strcmp(expected, buf_str(&problems.text)) == 0;
    if (!same)
        print_message("%s: expected\n%sgot\n%s", file, expected ? expected : "(no file)\n",
                      buf_str(&problems.text));
    /* all that is secret in those files, and in the environment */
    static const char *const secrets[] = {"password", "secretkey", "s3cret", "two words", "pass/"};
    for (size_t i = 0; i < COUNT_OF(secrets); i++)
        if (strstr(buf_str(&problems.text), secrets[i]))
            fail_msg("%s: shows \"%s\": %s", file, secrets[i], buf_str(&problems.text));
    mem_free(expected);
    conf_problems_free(&problems);
    return same;
}

static void test_each_class_of_error(void **state)
{
    struct dirent **files;
    int differ = 0;
    (void)state;
    assert_int_equal(in_folder("broken"), 0);
    int n = scandir(".", &files, is_yaml, alphasort);
    assert_true(n > 50);
    for (int i = 0; i < n; i++) {
        differ += !check_broken(files[i]->d_name);
        free(files[i]);
    }
    free(files);
    assert_int_equal(differ, 0);
}

/* A long list of problems is cut, a short one is whole. */
static void test_many_problems_are_cut(void **state)
{
    struct buf text = BUF_INIT(1 << 20);
    struct conf_problems problems;
    (void)state;
    for (int i = 0; i < 1000; i++)
        buf_addf(&text, "typo%d: x\n", i);
    assert_null(conf_load_text(buf_str(&text), text.len, &problems));
    assert_true(problems.count > PROBLEMS_SHOWN);
    assert_non_null(strstr(buf_str(&problems.text), "and more problems"));
    assert_true(problems.text.len < 200000);
    conf_problems_free(&problems);
    buf_free(&text);
}

/* Hostile sizes end in words, soon. */
static void test_ceilings(void **state)
{
    struct buf text = BUF_INIT(2 << 20);
    struct conf_problems problems;
    (void)state;
    for (int i = 0; i < 100000; i++)
        buf_addf(&text, "k%d: x\n", i);
    assert_null(conf_load_text(buf_str(&text), text.len, &problems));
    assert_non_null(
        strstr(buf_str(&problems.text), "settings:1001:1: too many settings in one map"));
    conf_problems_free(&problems);
    buf_clear(&text);
    for (int i = 0; i < 100001; i++)
        buf_adds(&text, "- x\n");
    assert_null(conf_load_text(buf_str(&text), text.len, &problems));
    assert_non_null(strstr(buf_str(&problems.text), "too many values"));
    conf_problems_free(&problems);
    buf_clear(&text);
    buf_adds(&text, "store: ");
    for (int i = 0; i < 70000; i++)
        buf_addc(&text, 'x');
    assert_null(conf_load_text(buf_str(&text), text.len, &problems));
    assert_non_null(strstr(buf_str(&problems.text), "settings:1:8: store: value is too long"));
    conf_problems_free(&problems);
    while (text.len <= YAML_TEXT_MAX)
        buf_adds(&text, "# and more\n");
    assert_null(conf_load_text(buf_str(&text), text.len, &problems));
    assert_non_null(strstr(buf_str(&problems.text), "file is too long"));
    conf_problems_free(&problems);
    buf_free(&text);
}

/* --- names of the last edition --- */

static void test_old_names(void **state)
{
    static char finality[] = "TRUEUP_CHAIN_SETTLE=7", freshness[] = "TRUEUP_CHAIN_FRESHNESS=3s";
    char *environ_[] = {finality, freshness, NULL};
    const char *file =
        "store: sqlite:a.db\nchain:\n  poll: 5s\n  endpoints: [{url: 'http://n'}]\n"
        "balances: [{name: a, terms: [{name: t, contract: "
        "'0x18aAA7115705e8be94bfFEBDE57Af9BFc265B998', view: balanceOf(address)}]}]\n";
    const struct conf_source_set from = {.file = "old.yaml", .environ_ = environ_};
    struct conf_problems problems;
    (void)state;
    write_whole("old.yaml", file);
    struct conf *c = conf_load(&from, &problems);
    assert_non_null(c);
    assert_int_equal(c->chain.finality, FINALITY_DEPTH);
    assert_int_equal(c->chain.finality_depth, 7);
    assert_int_equal(c->chain.freshness_ms, 3000); /* the environment's, over the file's old name */
    assert_string_equal(conf_warnings(c),
                        "environment TRUEUP_CHAIN_SETTLE: this setting is called "
                        "TRUEUP_CHAIN_FINALITY now; the old name is taken in this edition\n"
                        "old.yaml:3:3: chain.poll: this setting is called chain.freshness now; the "
                        "old name is taken in this edition\n");
    conf_free(c);
    conf_problems_free(&problems);
}

static void test_old_and_new_name_in_the_environment(void **state)
{
    static char old[] = "TRUEUP_CHAIN_POLL=7s", new[] = "TRUEUP_CHAIN_FRESHNESS=3s";
    char *environ_[] = {old, new, NULL};
    const struct conf_source_set from = {.file = "old.yaml", .environ_ = environ_};
    struct conf_problems problems;
    (void)state;
    assert_null(conf_load(&from, &problems));
    assert_string_equal(buf_str(&problems.text),
                        "environment TRUEUP_CHAIN_POLL: the same setting is given as "
                        "TRUEUP_CHAIN_FRESHNESS, too; expected one of them\n");
    conf_problems_free(&problems);
}

/* --- files that are right --- */

static void test_every_setting_is_taken(void **state)
{
    char *environ_[] = {secret, NULL};
    struct conf *c = load_good_file("full.yaml", environ_);
    const struct conf_endpoint *e = c->chain.endpoints;
    (void)state;
    assert_int_equal(c->chain.id, 42161);
    assert_int_equal(c->chain.n_endpoints, 3);
    assert_string_equal(e[0].url, "https://user:password@node.example/v2/s3cretvalue");
    assert_string_equal(e[0].ws, "wss://node.example/v2/s3cretvalue");
    assert_string_equal(e[0].price, "alchemy");
    assert_int_equal(e[0].reader, READER_MULTICALL3);
    assert_null(e[1].ws);
    assert_null(e[1].price);
    assert_int_equal(e[1].n_prices, 2);
    assert_string_equal(e[1].prices[1].method, "eth_getLogs");
    assert_int_equal(e[1].prices[1].units, 75);
    assert_string_equal(e[1].name, "[::1]");
    assert_string_equal(e[2].name, "[::1]-2");
    assert_string_equal(e[2].ws, "ws://[::1]:8546");
    assert_int_equal(c->chain.finality, FINALITY_DEPTH);
    assert_int_equal(c->chain.finality_depth, 12);
    assert_int_equal(c->chain.freshness_ms, 250);
    assert_int_equal(c->chain.anchor, ANCHOR_ARBSYS);
    assert_string_equal(c->store, "postgres://trueup:password@db/app?sslmode=disable");
    assert_string_equal(c->schema, "trueup_own");
    assert_int_equal(c->sweep.interval_ms, 300000);
    assert_int_equal(c->sweep.batch, 500);
    assert_int_equal(c->sweep.max_age_ms, 86400000);
    assert_int_equal(c->budget.per_second, 300);
    assert_int_equal(c->budget.per_day, 5000000);
    assert_string_equal(c->http.listen, "[::]:1325");
    assert_string_equal(c->http.token, "s3cretvalue");
    assert_true(c->http.protect_health);
    assert_int_equal(c->log.level, LOG_DEBUG);
    assert_true(c->log.json);
    assert_string_equal(conf_file(c), "full.yaml");
    conf_free(c);
}

static void test_every_part_of_a_balance_is_taken(void **state)
{
    char *environ_[] = {secret, NULL}, text[ADDRESS_TEXT];
    struct conf *c = load_good_file("full.yaml", environ_);
    const struct conf_balance *b = c->balances;
    (void)state;
    assert_int_equal(c->n_balances, 2);
    assert_string_equal(b[0].table, "app.eth_wallet_balances");
    assert_string_equal(b[0].checkpoint, "audio:transfers");
    assert_int_equal(b[0].n_terms, 2);
    assert_int_equal(b[0].terms[0].gas, 3000000);
    assert_int_equal(b[0].terms[1].gas, 2000000);
    assert_string_equal(b[0].terms[0].view.returns, "uint256");
    address_checksum(&b[0].terms[0].contract, text);
    assert_string_equal(text, AUDIO);
    assert_int_equal(b[0].n_triggers, 3);
    assert_int_equal(b[0].triggers[0].n_sources, 2);
    assert_int_equal(b[0].triggers[0].sources[1].param, 1);
    assert_true(address_equal(&b[0].triggers[0].contract, &b[0].terms[0].contract));
    assert_true(b[0].triggers[1].all);
    assert_true(b[0].triggers[2].sources[1].is_view);
    assert_string_equal(b[0].triggers[2].sources[1].view.canonical, "getDelegatorsList(address)");
    assert_int_equal(b[0].wallets, WALLETS_QUERY);
    assert_string_equal(b[0].query, "SELECT lower(wallet) FROM users -- it's \"quoted\": ${not a "
                                    "variable}\n WHERE wallet = ANY($1)\n");
    assert_int_equal(b[1].wallets, WALLETS_LISTED);
    assert_string_equal(b[1].table, "listed_balances");
    assert_string_equal(b[1].checkpoint, "listed");
    assert_int_equal(b[1].n_triggers, 0);
    conf_free(c);
}

static void test_defaults(void **state)
{
    struct conf *c = load_good_file("least.yaml", NULL);
    char text[ADDRESS_TEXT];
    (void)state;
    assert_int_equal(c->chain.id, 0);
    assert_string_equal(c->chain.endpoints[0].name, "localhost");
    assert_string_equal(c->chain.endpoints[0].ws, "ws://localhost:8545");
    assert_string_equal(c->chain.endpoints[0].price, "flat");
    assert_int_equal(c->chain.endpoints[0].reader, READER_AUTO);
    assert_int_equal(c->chain.finality, FINALITY_AUTO);
    assert_int_equal(c->chain.freshness_ms, 0);
    assert_int_equal(c->chain.anchor, ANCHOR_AUTO);
    address_checksum(&c->chain.multicall, text);
    assert_string_equal(text, "0xcA11bde05977b3631167028862bE2a173976CA11");
    assert_string_equal(c->balances[0].table, "token_balances");
    assert_string_equal(c->balances[0].checkpoint, "token");
    assert_int_equal(c->balances[0].terms[0].gas, 2000000);
    assert_int_equal(c->balances[0].wallets, WALLETS_SEEN);
    assert_int_equal(c->sweep.interval_ms, 30000);
    assert_int_equal(c->sweep.batch, 0);
    assert_int_equal(c->sweep.max_age_ms, 0);
    assert_int_equal(c->budget.per_second + c->budget.per_day, 0);
    assert_string_equal(c->http.listen, "127.0.0.1:1325");
    assert_null(c->http.token);
    assert_false(c->http.protect_health);
    assert_int_equal(c->log.level, LOG_INFO);
    assert_false(c->log.json);
    conf_free(c);
}

static void test_one_balance_alone(void **state)
{
    char *environ_[] = {secret, NULL};
    struct conf_source_set from = {
        .file = "full.yaml", .environ_ = environ_, .only_balance = "listed"};
    struct conf *c = load_good(&from);
    (void)state;
    assert_int_equal(c->n_balances, 1);
    assert_string_equal(c->balances[0].name, "listed");
    char *text = written(c, CONF_FOR_USER); /* places are still the file's */
    assert_non_null(strstr(text, "name: listed  # full.yaml:46"));
    mem_free(text);
    conf_free(c);
    from.only_balance = "lsited";
    expect_refusal(&from, "--balance: no balance of the name \"lsited\"; expected one of audio, "
                          "listed\n");
}

/* --- order of precedence --- */

/* Each source is stronger than those before it. */
static void test_order_of_sources(void **state)
{
    char first[] = "ethStaleRefreshBatchSize=11", env[] = "TRUEUP_SWEEP_BATCH=12";
    char first_url[] = "ethRpcUrl=http://first:1", env_url[] = "TRUEUP_RPC_URL=http://env:1";
    char first_store[] = "writeDbUrl=postgres://first/a", env_store[] = "TRUEUP_STORE=sqlite:env";
    char empty[] = "TRUEUP_LOG_LEVEL=";
    char *all[] = {first, first_url, first_store, env, env_url, env_store, empty, NULL};
    char *only_first[] = {first, first_url, first_store, NULL};
    const struct conf_flag flags[] = {{"sweep.batch", "13", "--batch"},
                                      {"chain.endpoints[0].url", "http://flag:1", "--rpc"},
                                      {"store", "sqlite:flag", "--store"},
                                      {"log.level", "trace", "--log-level"}};
    struct conf_source_set from = {.file = "least.yaml"};
    const struct {
        char *const *environ_;
        size_t n_flags;
        uint64_t batch;
        const char *url, *store;
    } cases[] = {{NULL, 0, 0, "http://localhost:8545", "sqlite:trueup.db"},
                 {only_first, 0, 11, "http://first:1", "postgres://first/a"},
                 {all, 0, 12, "http://env:1", "sqlite:env"},
                 {all, 4, 13, "http://flag:1", "sqlite:flag"}};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        from.environ_ = cases[i].environ_;
        from.flags = flags;
        from.n_flags = cases[i].n_flags;
        struct conf *c = load_good(&from);
        assert_int_equal(c->sweep.batch, cases[i].batch);
        assert_string_equal(c->chain.endpoints[0].url, cases[i].url);
        assert_string_equal(c->store, cases[i].store);
        assert_int_equal(c->log.level, cases[i].n_flags ? LOG_TRACE : LOG_INFO);
        conf_free(c);
    }
}

/* A bad value is named by where it came from, and a good one behind it does not hide it. */
static void test_places_of_other_sources(void **state)
{
    char env[] = "TRUEUP_SWEEP_INTERVAL=30", url[] = "TRUEUP_RPC_URL=ftp://u:password@n/key";
    char seconds[] = "ethStaleRefreshIntervalSecs=soon", item[] = "TRUEUP_BALANCES_7_TABLE=x";
    char typo[] = "TRUEUP_SWEEP_INTERVALL=30s", other[] = "TRUEUP_PORT_1325_TCP=tcp://10.0.0.1";
    char *a[] = {env, url, item, typo, other, NULL}, *b[] = {seconds, NULL};
    struct conf_source_set from = {.file = "least.yaml", .environ_ = a};
    const struct conf_flag flag = {"store", "mysql://u:password@h/db", "--store"};
    (void)state;
    expect_refusal(&from,
                   "environment TRUEUP_SWEEP_INTERVAL: sweep.interval: not a duration "
                   "\"30\"; expected a duration from 100ms to 3650d, such as 30s, 5m or 24h\n");
    expect_refusal(&from, "environment TRUEUP_RPC_URL: chain.endpoints[0].url: bad URL scheme "
                          "\"ftp://n/…\"; expected http://… or https://…\n");
    expect_refusal(&from,
                   "environment TRUEUP_BALANCES_7_TABLE: balances[7].table: there is no such "
                   "item; expected a number below 2\n");
    expect_refusal(&from, "environment TRUEUP_SWEEP_INTERVALL: unknown setting "
                          "\"TRUEUP_SWEEP_INTERVALL\"; expected TRUEUP_SWEEP_INTERVAL\n");
    from.environ_ = b; /* as its service takes it: for the default */
    struct conf *c = load_good(&from);
    assert_int_equal(c->sweep.interval_ms, 30000);
    assert_non_null(
        strstr(conf_warnings(c), "ethStaleRefreshIntervalSecs: sweep.interval: \"soon\""));
    conf_free(c);
    from.environ_ = NULL;
    from.flags = &flag;
    from.n_flags = 1;
    expect_refusal(&from,
                   "--store: store: bad URL scheme \"mysql://h/…\"; expected postgres://… or "
                   "sqlite:FILE\n");
}

/* --rpc means that node alone, unless it is the file's own; --rpc of the same URL changes nothing.
 */
static void test_another_node_sets_the_files_aside(void **state)
{
    char *environ_[] = {secret, NULL};
    struct conf_flag flag = {"chain.endpoints[0].url", "http://other:8545", "--rpc"};
    struct conf_source_set from = {
        .file = "full.yaml", .environ_ = environ_, .flags = &flag, .n_flags = 1};
    struct conf *c = load_good(&from);
    (void)state;
    assert_int_equal(c->chain.n_endpoints, 1);
    assert_string_equal(c->chain.endpoints[0].name, "other");
    assert_string_equal(c->chain.endpoints[0].ws, "ws://other:8545");
    assert_string_equal(c->chain.endpoints[0].price, "flat");
    conf_free(c);
    flag.value = "https://user:password@node.example/v2/s3cretvalue";
    c = load_good(&from);
    assert_int_equal(c->chain.n_endpoints, 3);
    assert_string_equal(c->chain.endpoints[0].name, "first");
    conf_free(c);
}

/* What a stronger source replaces is not read: its variables need not be set. */
static void test_replaced_value_needs_no_variable(void **state)
{
    const struct conf_flag flags[] = {{"chain.endpoints[0].url", "http://a", "--rpc"},
                                      {"http.token", "t", "--token"}};
    const struct conf_source_set from = {.file = "full.yaml", .flags = flags, .n_flags = 2};
    (void)state;
    struct conf *c = load_good(&from);
    assert_string_equal(c->http.token, "t");
    conf_free(c);
}

/* An alias shares a node in the tree: setting one contract by environment leaves the other. */
static void test_environment_and_aliases(void **state)
{
    char other[] = "TRUEUP_BALANCES_0_TERMS_0_CONTRACT=0x00000000000000000000000000000000000000aa";
    char *environ_[] = {secret, other, NULL};
    struct conf *c = load_good_file("full.yaml", environ_);
    (void)state;
    assert_int_equal(c->balances[0].terms[0].contract.b[19], 0xaa);
    assert_int_equal(c->balances[1].terms[0].contract.b[19], 0x98);
    assert_int_equal(c->balances[0].triggers[0].contract.b[19], 0x98);
    conf_free(c);
    c = load_good_file("alias.yaml", environ_);
    assert_int_equal(c->balances[0].terms[0].contract.b[19], 0xaa);
    assert_int_equal(c->balances[1].terms[0].contract.b[19], 0x98);
    conf_free(c);
}

/* --- without a file --- */

static void test_token_alone(void **state)
{
    const struct conf_flag flag = {"chain.endpoints[0].url", "http://localhost:8545", "--rpc"};
    struct conf_source_set from = {.flags = &flag, .n_flags = 1, .token = AUDIO};
    struct conf *c = load_good(&from);
    const struct conf_balance *b = c->balances;
    (void)state;
    assert_null(conf_file(c));
    assert_string_equal(c->store, "sqlite:trueup.db");
    assert_int_equal(c->n_balances, 1);
    assert_null(b->name);
    assert_int_equal(b->n_terms, 1);
    assert_string_equal(b->terms[0].view.canonical, "balanceOf(address)");
    assert_int_equal(b->n_triggers, 1);
    assert_string_equal(b->triggers[0].event.canonical, "Transfer(address,address,uint256)");
    assert_int_equal(b->triggers[0].n_sources, 2);
    assert_int_equal(b->wallets, WALLETS_SEEN);
    /* unnamed, it travels too */
    char *text = written(c, CONF_FOR_FOLLOW);
    struct conf *again = load_text(text);
    assert_null(again->balances[0].name);
    conf_free(again);
    mem_free(text);
    conf_free(c);
}

static void test_token_is_checked(void **state)
{
    const struct conf_flag flag = {"chain.endpoints[0].url", "http://localhost:8545", "--rpc"};
    struct conf_source_set from = {.flags = &flag, .n_flags = 1, .token = "0x12"};
    char env[] = "TRUEUP_TOKEN=0x18aAA7115705e8be94bfFEBDE57Af9BFc265B998";
    char *environ_[] = {env, NULL};
    (void)state;
    expect_refusal(&from,
                   "--token: token: not an address \"0x12\"; expected 0x and 40 hex digits\n");
    from.token = AUDIO;
    from.n_flags = 0;
    expect_refusal(&from,
                   "no file: chain: missing setting \"endpoints\"; expected a list of 1 to 8, "
                   "or --rpc URL\n");
    from.token = NULL;
    expect_refusal(&from, "no configuration: neither ./trueup.yaml nor ");
    from.n_flags = 1;
    from.environ_ = environ_;
    struct conf *c = load_good(&from);
    assert_int_equal(c->n_balances, 1);
    conf_free(c);
}

static void test_naming_after_the_symbol(void **state)
{
    static const char *const cases[][2] = {{"AUDIO", "audio"},
                                           {"USD₮0", "usd0"},
                                           {"1INCH", "inch"},
                                           {"", "token"},
                                           {"$$$", "token"},
                                           {"a_b'; DROP TABLE x", "a_bdroptablex"},
                                           {"ABCDEFGHIJABCDEFGHIJABCDEFGHIJABCDEFGHIJABCD",
                                            "abcdefghijabcdefghijabcdefghijabcdefghij"},
                                           {NULL, "token"}};
    const struct conf_flag flag = {"chain.endpoints[0].url", "http://localhost:8545", "--rpc"};
    const struct conf_source_set from = {.flags = &flag, .n_flags = 1, .token = AUDIO};
    char table[64];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct conf *c = load_good(&from);
        conf_name_balance(c, cases[i][0]);
        assert_string_equal(c->balances[0].name, cases[i][1]);
        assert_string_equal(c->balances[0].checkpoint, cases[i][1]);
        snprintf(table, sizeof table, "%s_balances", cases[i][1]);
        assert_string_equal(c->balances[0].table, table);
        conf_name_balance(c, "other"); /* once only */
        assert_string_equal(c->balances[0].name, cases[i][1]);
        char *text = written(c, CONF_FOR_SWEEP);
        conf_free(load_text(text));
        mem_free(text);
        conf_free(c);
    }
}

/* --- the first user --- */

static void test_first_user_without_a_file(void **state)
{
    char url[] = "ethRpcUrl=https://node.example/v2/key", db[] = "writeDbUrl=postgres://db/app";
    char *environ_[] = {url, db, NULL};
    const struct conf_source_set from = {.environ_ = environ_};
    struct conf *c = load_good(&from);
    const struct conf_balance *b = c->balances;
    (void)state;
    assert_string_equal(c->chain.endpoints[0].url, "https://node.example/v2/key");
    assert_string_equal(c->chain.endpoints[0].ws, "wss://node.example/v2/key");
    assert_string_equal(c->store, "postgres://db/app");
    assert_int_equal(c->chain.id, 1);
    assert_int_equal(c->n_balances, 1);
    assert_string_equal(b->table, "eth_wallet_balances");
    assert_string_equal(b->checkpoint, "audio_transfers");
    assert_int_equal(b->n_terms, 3);
    assert_string_equal(b->terms[1].view.canonical, "totalStakedFor(address)");
    assert_string_equal(b->terms[2].view.canonical, "getTotalDelegatorStake(address)");
    assert_int_equal(b->n_triggers, 12);
    assert_int_equal(b->wallets, WALLETS_QUERY);
    assert_int_equal(c->sweep.interval_ms, 30000);
    assert_int_equal(c->sweep.batch, 50);
    assert_string_equal(c->http.listen, "[::]:1325");
    conf_free(c);
}

static void test_first_user_names_all(void **state)
{
    char url[] = "ethRpcUrl=http://n", ws[] = "ethWsUrl=ws://m", db[] = "writeDbUrl=postgresql://d";
    char interval[] = "ethStaleRefreshIntervalSecs=7", batch[] = "ethStaleRefreshBatchSize=9";
    char a[] = "ethAudioContractAddress=0x00000000000000000000000000000000000000a1";
    char s[] = "ethStakingContractAddress=0x00000000000000000000000000000000000000b2";
    char g[] = "ethDelegateManagerContractAddress=0x00000000000000000000000000000000000000c3";
    char *environ_[] = {url, ws, db, interval, batch, a, s, g, NULL};
    struct conf *c = load_good_file(TEST_ROOT "/etc/audius.yaml", environ_);
    const struct conf_balance *b = c->balances;
    static const uint8_t of_trigger[] = {0xa1, 0xa1, 0xb2, 0xb2, 0xb2, 0xb2,
                                         0xc3, 0xc3, 0xc3, 0xc3, 0xc3, 0xc3};
    (void)state;
    assert_string_equal(c->chain.endpoints[0].ws, "ws://m");
    assert_int_equal(c->sweep.interval_ms, 7000);
    assert_int_equal(c->sweep.batch, 9);
    assert_int_equal(b->terms[0].contract.b[19], 0xa1);
    assert_int_equal(b->terms[1].contract.b[19], 0xb2);
    assert_int_equal(b->terms[2].contract.b[19], 0xc3);
    for (size_t i = 0; i < b->n_triggers; i++)
        assert_int_equal(b->triggers[i].contract.b[19], of_trigger[i]);
    conf_free(c);
}

/* The topics are those seen on the chain. */
static void test_first_user_events(void **state)
{
    static const struct {
        size_t trigger;
        const char *topic;
    } known[] = {{0, "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"},
                 {2, "0x1449c6dd7851abc30abf37f57715f492010519147cc2652fbc38202c18a6ee90"},
                 {3, "0x7fc4727e062e336010f2c282598ef5f14facb3de68cf8195c2f23e1454b2b74e"},
                 {4, "0x45a371af55b0726877a30f464edc14db5879ab096590bacce682cf6c18223596"},
                 {6, "0x82d701855f3ac4a098fc0249261c5e06d1050d23c8aa351fae8abefc2a464fda"},
                 {9, "0x34fcbac0073d7c3d388e51312faf357774904998eeb8fca628b9e6f65ee1cbf7"},
                 {10, "0xe05ad941535eea602efe44ddd7d96e5db6ad9a4865c360257aad8cf4c0a94469"}};
    char db[] = "writeDbUrl=postgres://db/app", text[HASH_TEXT];
    char *environ_[] = {db, NULL};
    struct conf *c = load_good_file(TEST_ROOT "/etc/audius.yaml", environ_);
    (void)state;
    /* no node: it loads, and there is nothing to ask */
    assert_int_equal(c->chain.n_endpoints, 0);
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        hash_text(&c->balances[0].triggers[known[i].trigger].event.hash, text);
        assert_string_equal(text, known[i].topic);
    }
    assert_true(c->balances[0].triggers[10].sources[1].is_view);
    conf_free(c);
}

/* --- to workers and back --- */

static void check_round_trip(const char *file, enum conf_for who)
{
    char db[] = "writeDbUrl=postgres://db/app", url[] = "ethRpcUrl=http://n/key";
    char *audius[] = {db, url, NULL}, *others[] = {secret, NULL};
    struct conf *c = load_good_file(file, strstr(file, "audius") ? audius : others);
    char *once = written(c, who);
    struct conf *again = load_text(once);
    char *twice = written(again, who);
    assert_string_equal(once, twice);
    for (size_t i = 0; i < c->n_balances; i++) {
        const struct conf_balance *a = &c->balances[i], *b = &again->balances[i];
        assert_memory_equal(&a->terms_print, &b->terms_print, sizeof a->terms_print);
        assert_memory_equal(&a->rules_print, &b->rules_print, sizeof a->rules_print);
        for (size_t k = 0; k < a->n_terms; k++)
            assert_memory_equal(&a->terms[k].view, &b->terms[k].view, sizeof a->terms[k].view);
        for (size_t k = 0; k < a->n_triggers; k++)
            assert_memory_equal(&a->triggers[k].event, &b->triggers[k].event,
                                sizeof a->triggers[k].event);
    }
    mem_free(once);
    mem_free(twice);
    conf_free(again);
    conf_free(c);
}

static void test_round_trips(void **state)
{
    static const char *const files[] = {"full.yaml", "least.yaml", "shuffled.yaml", "alias.yaml",
                                        TEST_ROOT "/etc/audius.yaml"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(files); i++)
        for (int who = CONF_FOR_FOLLOW; who <= CONF_FOR_WEB; who++)
            check_round_trip(files[i], (enum conf_for)who);
}

static void test_each_gets_only_its_part(void **state)
{
    static const struct {
        enum conf_for who;
        bool url, ws, store, token;
    } parts[] = {{CONF_FOR_FOLLOW, true, false, true, false},
                 {CONF_FOR_SWEEP, true, false, true, false},
                 {CONF_FOR_LISTEN, false, true, false, false},
                 {CONF_FOR_WEB, false, false, true, true},
                 {CONF_FOR_USER, false, false, false, false}};
    char value[] = "TEST_SECRET=hushhush";
    char *environ_[] = {value, NULL};
    struct conf *c = load_good_file("full.yaml", environ_);
    (void)state;
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        char *text = written(c, parts[i].who);
        assert_int_equal(strstr(text, "https://user:password@node.example/v2/hushhush") != NULL,
                         parts[i].url);
        assert_int_equal(strstr(text, "wss://node.example/v2/hushhush") != NULL, parts[i].ws);
        assert_int_equal(strstr(text, "trueup:password@db") != NULL, parts[i].store);
        assert_int_equal(strstr(text, "token: hushhush") != NULL, parts[i].token);
        if (parts[i].who == CONF_FOR_USER) {
            assert_null(strstr(text, "hush"));
            assert_null(strstr(text, "password"));
        }
        mem_free(text);
    }
    conf_free(c);
}

static void test_what_is_shown_says_where_it_came_from(void **state)
{
    char env[] = "TRUEUP_SWEEP_BATCH=12", first[] = "ethStaleRefreshIntervalSecs=5";
    char *environ_[] = {env, first, NULL};
    const struct conf_flag flag = {"log.level", "warn", "--log-level"};
    const struct conf_source_set from = {
        .file = "least.yaml", .environ_ = environ_, .flags = &flag, .n_flags = 1};
    struct conf *c = load_good(&from);
    char *text = written(c, CONF_FOR_USER);
    (void)state;
    assert_non_null(strstr(text, "  batch: 12  # environment TRUEUP_SWEEP_BATCH\n"));
    assert_non_null(strstr(text, "  interval: 5s  # environment ethStaleRefreshIntervalSecs\n"));
    assert_non_null(strstr(text, "  level: warn  # --log-level\n"));
    assert_non_null(strstr(text, "store: sqlite:trueup.db  # least.yaml:2\n"));
    assert_non_null(strstr(text, "  format: text  # default\n"));
    mem_free(text);
    conf_free(c);
}

/* --- fingerprints --- */

static void test_fingerprints(void **state)
{
    char *environ_[] = {secret, NULL};
    struct conf *a = load_good_file("full.yaml", environ_);
    struct conf *b = load_good_file("shuffled.yaml", NULL);
    const hash32 *terms = &a->balances[0].terms_print, *rules = &a->balances[0].rules_print;
    (void)state;
    assert_true(hash_equal(terms, &b->balances[0].terms_print));
    assert_true(hash_equal(rules, &b->balances[0].rules_print));
    conf_free(b);
    static const struct {
        const char *name, *value;
        bool terms, rules;
    } changes[] = {
        {"TRUEUP_BALANCES_0_TERMS_1_CONTRACT", "0x00000000000000000000000000000000000000aa", 1, 0},
        {"TRUEUP_BALANCES_0_TERMS_1_VIEW", "stakeOf(address)", 1, 0},
        {"TRUEUP_BALANCES_0_TERMS_1_GAS", "500000", 0, 0},
        {"TRUEUP_BALANCES_0_TERMS_1_NAME", "x", 0, 0},
        {"TRUEUP_BALANCES_0_TRIGGERS_1_EVENT", "Upgraded2(address indexed implementation)", 0, 1},
        {"TRUEUP_BALANCES_0_TRIGGERS_0_EVENT", "Transfer(address from, address to, uint256 v)", 0,
         1},
        {"TRUEUP_BALANCES_0_TRIGGERS_1_CONTRACT", "0x00000000000000000000000000000000000000aa", 0,
         1},
        {"TRUEUP_BALANCES_0_WALLETS", "seen", 0, 1},
        {"TRUEUP_BALANCES_0_TABLE", "other", 0, 0}};
    for (size_t i = 0; i < COUNT_OF(changes); i++) {
        char entry[200];
        snprintf(entry, sizeof entry, "%s=%s", changes[i].name, changes[i].value);
        char *changed[] = {secret, entry, NULL};
        struct conf *c = load_good_file("full.yaml", changed);
        assert_int_equal(!hash_equal(terms, &c->balances[0].terms_print), changes[i].terms);
        assert_int_equal(!hash_equal(rules, &c->balances[0].rules_print), changes[i].rules);
        conf_free(c);
    }
    conf_free(a);
}

/* --- the table itself --- */

static bool accepts(const struct setting *row, uint64_t value, const char *unit)
{
    char entry[300], path[160];
    struct buf name = BUF_INIT(200), item = BUF_INIT(200);
    for (const char *s = row->path; *s; s++) {
        buf_addc(&item, *s);
        buf_adds(&item, s[0] == '[' ? "0" : "");
    }
    snprintf(path, sizeof path, "%s", buf_str(&item));
    setting_env_name(path, &name);
    snprintf(entry, sizeof entry, "%s=%llu%s", buf_str(&name), (unsigned long long)value, unit);
    char *environ_[] = {secret, entry, NULL};
    const struct conf_source_set from = {.file = "full.yaml", .environ_ = environ_};
    struct conf_problems problems;
    struct conf *c = conf_load(&from, &problems);
    assert_int_equal(problems.count, c ? 0 : 1);
    if (!c)
        assert_non_null(strstr(buf_str(&problems.text), "out of range"));
    bool ok = c != NULL;
    conf_problems_free(&problems);
    conf_free(c);
    buf_free(&name);
    buf_free(&item);
    return ok;
}

static void test_ranges_at_their_edges(void **state)
{
    int rows = 0;
    (void)state;
    for (size_t i = 0; i < n_settings; i++) {
        const struct setting *row = &settings[i];
        bool duration = row->kind == &kind_duration;
        if (!duration && row->kind != &kind_number && row->kind != &kind_finality)
            continue;
        const char *unit = duration ? "ms" : "";
        assert_true(accepts(row, row->min, unit));
        assert_true(accepts(row, row->max, unit));
        assert_false(accepts(row, row->max + 1, unit));
        if (row->min > 0)
            assert_false(accepts(row, row->min - 1, unit));
        rows++;
    }
    assert_true(rows >= 9);
}

static void test_environment_names(void **state)
{
    bool old;
    (void)state;
    for (size_t i = 0; i < n_settings; i++) {
        struct buf name = BUF_INIT(200), path = BUF_INIT(200);
        char found[160];
        for (const char *s = settings[i].path; *s; s++) {
            buf_addc(&path, *s);
            buf_adds(&path, s[0] == '[' ? "3" : "");
        }
        setting_env_name(buf_str(&path), &name);
        const struct setting *row = setting_by_env(buf_str(&name), found, sizeof found, &old);
        if (kind_is_scalar(settings[i].kind)) {
            assert_ptr_equal(row, &settings[i]);
            assert_string_equal(found, buf_str(&path));
        } else {
            assert_null(row);
        }
        buf_free(&name);
        buf_free(&path);
    }
    char found[160];
    assert_string_equal(setting_by_env("TRUEUP_SWEEP_INTERVAL", found, sizeof found, &old)->path,
                        "sweep.interval");
    assert_string_equal(setting_by_env("TRUEUP_STORE", found, sizeof found, &old)->path, "store");
    assert_false(old);
    assert_string_equal(setting_by_env("TRUEUP_CHAIN_SETTLE", found, sizeof found, &old)->path,
                        "chain.finality");
    assert_true(old);
    assert_string_equal(found, "chain.finality");
    assert_null(setting_by_env("TRUEUP_SWEEP", found, sizeof found, &old));
    assert_null(setting_by_env("TRUEUP_BALANCES__TABLE", found, sizeof found, &old));
    assert_null(setting_by_env("TRUEUP_SWEEP_INTERVALS", found, sizeof found, &old));
}

static void test_rows_are_complete(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_settings; i++) {
        const struct setting *row = &settings[i];
        assert_non_null(row->help);
        assert_true(row->workers != 0);
        assert_non_null(row->kind->expects);
        bool leaf = row->kind->write != NULL;
        assert_int_equal(leaf, row->kind->read_text != NULL || row->kind->read_node != NULL);
        if (leaf && !row->required && !row->def && !row->derived)
            fail_msg("%s has no default", row->path);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(row->path, settings[k].path);
    }
}

static void test_edit_distance(void **state)
{
    (void)state;
    assert_int_equal(edit_distance("settle", "settle", 2), 0);
    assert_int_equal(edit_distance("settel", "settle", 2), 1);
    assert_int_equal(edit_distance("setle", "settle", 2), 1);
    assert_int_equal(edit_distance("interval", "intervall", 2), 1);
    assert_int_equal(edit_distance("", "ab", 2), 2);
    assert_int_equal(edit_distance("kitten", "sitting", 5), 3);
    assert_int_equal(edit_distance("abc", "xyz", 2), 3);
    assert_string_equal(setting_nearest("sweep", "intrval")->path, "sweep.interval");
    assert_null(setting_nearest("sweep", "url"));
}

/* --- what people read --- */

static void test_starter_file_loads(void **state)
{
    char url[] = "RPC_URL=http://localhost:8545";
    char token[] = "TOKEN_ADDRESS=0x18aAA7115705e8be94bfFEBDE57Af9BFc265B998";
    char store[] = "TRUEUP_STORE=postgres://db/app"; /* not every setting is for SQLite */
    char *environ_[] = {url, token, NULL}, *with_store[] = {url, token, store, NULL};
    struct buf out = BUF_INIT(1 << 16);
    (void)state;
    conf_write_starter(&out);
    write_whole("starter.yaml", buf_str(&out));
    struct conf *c = load_good_file("starter.yaml", environ_);
    assert_int_equal(c->balances[0].n_triggers, 1);
    conf_free(c);
    /* every setting is in it, and each may be switched on */
    for (size_t i = 0; i < n_settings; i++)
        assert_non_null(strstr(buf_str(&out), settings[i].help));
    for (char *s = out.data; (s = strstr(s, "\n")) && s[1];) {
        s++;
        size_t blanks = strspn(s, " ");
        const char *word = s + blanks + 2, *colon = strpbrk(word, ": \n");
        if (strncmp(s + blanks, "# ", 2) == 0 && *colon == ':' && colon[1] == ' ') {
            memmove(s + blanks, s + blanks + 2, strlen(s + blanks + 2) + 1);
        }
    }
    write_whole("starter.yaml", out.data);
    c = load_good_file("starter.yaml", with_store);
    assert_null(c->chain.endpoints[0].ws);
    conf_free(c);
    buf_free(&out);
    unlink("starter.yaml");
}

static void test_docs_agree_with_the_table(void **state)
{
    static const char begin[] = "<!-- settings -->\n", end[] = "<!-- /settings -->\n";
    static const char path[] = TEST_ROOT "/docs/configuration.md";
    struct buf out = BUF_INIT(1 << 18), whole = BUF_INIT(1 << 20);
    char *docs = read_whole(path);
    (void)state;
    assert_non_null(docs);
    char *from = strstr(docs, begin), *to = strstr(docs, end);
    assert_true(from && to);
    from += strlen(begin);
    conf_write_reference(&out);
    if (getenv("TRUEUP_WRITE_EXPECTED")) {
        buf_add(&whole, docs, (size_t)(from - docs));
        buf_adds(&whole, buf_str(&out));
        buf_adds(&whole, to);
        write_whole(path, buf_str(&whole));
    } else {
        *to = '\0';
        assert_string_equal(from, buf_str(&out));
    }
    buf_free(&whole);
    buf_free(&out);
    mem_free(docs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_class_of_error),
        cmocka_unit_test(test_many_problems_are_cut),
        cmocka_unit_test(test_ceilings),
        cmocka_unit_test_setup(test_every_setting_is_taken, in_good),
        cmocka_unit_test_setup(test_every_part_of_a_balance_is_taken, in_good),
        cmocka_unit_test_setup(test_defaults, in_good),
        cmocka_unit_test_setup(test_one_balance_alone, in_good),
        cmocka_unit_test_setup(test_order_of_sources, in_good),
        cmocka_unit_test_setup(test_places_of_other_sources, in_good),
        cmocka_unit_test_setup(test_another_node_sets_the_files_aside, in_good),
        cmocka_unit_test_setup(test_replaced_value_needs_no_variable, in_good),
        cmocka_unit_test_setup(test_environment_and_aliases, in_good),
        cmocka_unit_test_setup(test_old_names, in_empty_folder),
        cmocka_unit_test_setup(test_old_and_new_name_in_the_environment, in_empty_folder),
        cmocka_unit_test_setup(test_token_alone, in_empty_folder),
        cmocka_unit_test_setup(test_token_is_checked, in_empty_folder),
        cmocka_unit_test_setup(test_naming_after_the_symbol, in_empty_folder),
        cmocka_unit_test_setup(test_first_user_without_a_file, in_empty_folder),
        cmocka_unit_test_setup(test_first_user_names_all, in_empty_folder),
        cmocka_unit_test_setup(test_first_user_events, in_empty_folder),
        cmocka_unit_test_setup(test_round_trips, in_good),
        cmocka_unit_test_setup(test_each_gets_only_its_part, in_good),
        cmocka_unit_test_setup(test_what_is_shown_says_where_it_came_from, in_good),
        cmocka_unit_test_setup(test_fingerprints, in_good),
        cmocka_unit_test_setup(test_ranges_at_their_edges, in_good),
        cmocka_unit_test(test_environment_names),
        cmocka_unit_test(test_rows_are_complete),
        cmocka_unit_test(test_edit_distance),
        cmocka_unit_test_setup(test_starter_file_loads, in_empty_folder),
        cmocka_unit_test(test_docs_agree_with_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
