/* Secrets from files: TRUEUP_…_FILE and systemd's credentials, what they hold over, how they are
 * refused, and which other names of the environment are passed over. */
#include "base/buf.h"
#include "conf/loaded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { VARIABLES = 12 };

static char folder[] = "/tmp/trueup-secrets-XXXXXX";

static int in_folder(void **state)
{
    (void)state;
    return strstr(folder, "XXXXXX") && !mkdtemp(folder) ? -1 : chdir(folder);
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(name, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    fclose(f);
}

/* A token's balance beside these variables; *ret_words: what was refused or warned of. */
static struct conf *load(const char *const *environ_, struct buf *ret_words)
{
    char *copy[VARIABLES] = {0};
    struct conf_problems problems;
    const struct conf_source_set from = {.environ_ = copy,
                                         .token = "0x18aAA7115705e8be94bfFEBDE57Af9BFc265B998"};
    for (size_t i = 0; environ_[i]; i++)
        copy[i] = strdup(environ_[i]);
    struct conf *c = conf_load(&from, &problems);
    *ret_words = (struct buf)BUF_INIT(8192);
    buf_adds(ret_words, c ? conf_warnings(c) : buf_str(&problems.text));
    conf_problems_free(&problems);
    for (size_t i = 0; copy[i]; i++)
        free(copy[i]);
    return c;
}

static void refused(const char *const *environ_, const char *words)
{
    struct buf said;
    struct conf *c = load(environ_, &said);
    assert_null(c);
    if (!strstr(buf_str(&said), words))
        fail_msg("expected %s\nin %s", words, buf_str(&said));
    buf_free(&said);
}

static struct conf *good(const char *const *environ_)
{
    struct buf said;
    struct conf *c = load(environ_, &said);
    if (!c || said.len > 0)
        fail_msg("%s", buf_str(&said));
    buf_free(&said);
    return c;
}

/* The line's end that an editor adds is none of the secret; ${ in it is text. */
static void test_variables_name_files(void **state)
{
    put("store", "postgres://u:p${w@h/db\r\n");
    put("url", "https://node.example/v2/key");
    put("second", "https://other.example/key\n");
    put("token", "letmein\n");
    const char *const environ_[] = {"TRUEUP_STORE_FILE=store",
                                    "TRUEUP_RPC_URL_FILE=url",
                                    "TRUEUP_CHAIN_ENDPOINTS_1_URL_FILE=second",
                                    "TRUEUP_CHAIN_ENDPOINTS_0_NAME=main",
                                    "TRUEUP_HTTP_TOKEN_FILE=token",
                                    NULL};
    (void)state;
    struct conf *c = good(environ_);
    assert_string_equal(c->store, "postgres://u:p${w@h/db");
    assert_int_equal(c->chain.n_endpoints, 2);
    assert_string_equal(c->chain.endpoints[0].url, "https://node.example/v2/key");
    assert_string_equal(c->chain.endpoints[1].url, "https://other.example/key");
    assert_string_equal(c->http.token, "letmein");
    struct buf shown = BUF_INIT(65536);
    conf_write(c, CONF_FOR_USER, &shown);
    assert_non_null(strstr(buf_str(&shown), "# environment TRUEUP_STORE_FILE\n"));
    assert_null(strstr(buf_str(&shown), "letmein"));
    buf_free(&shown);
    conf_free(c);
}

/* systemd's credentials are weaker than the environment, and others lie beside them. */
static void test_credentials(void **state)
{
    mkdir("credentials", 0700);
    put("credentials/trueup_store", "sqlite:credential.db\n");
    put("credentials/trueup_rpc_url", "https://credential.example/");
    put("credentials/trueup_log_level", "debug");
    put("credentials/other_store", "no");
    const char *const environ_[] = {"CREDENTIALS_DIRECTORY=credentials", NULL};
    const char *const stronger[] = {"CREDENTIALS_DIRECTORY=credentials",
                                    "TRUEUP_STORE=sqlite:variable.db", NULL};
    const char *const missing[] = {"CREDENTIALS_DIRECTORY=nowhere",
                                   "TRUEUP_RPC_URL=https://n.example/", NULL};
    (void)state;
    struct conf *c = good(environ_);
    assert_string_equal(c->store, "sqlite:credential.db");
    assert_string_equal(c->chain.endpoints[0].url, "https://credential.example/");
    conf_free(c);
    c = good(stronger);
    assert_string_equal(c->store, "sqlite:variable.db");
    conf_free(c);
    refused(missing, "environment CREDENTIALS_DIRECTORY: file \"nowhere\" cannot be read: "
                     "No such file or directory\n");
}

static void test_files_that_are_refused(void **state)
{
    static char huge[70000];
    memset(huge, 'x', sizeof huge - 1);
    put("huge", huge);
    put("none", "\n");
    put("lines", "sqlite:a.db\nsqlite:b.db\n");
    (void)state;
    refused((const char *const[]){"TRUEUP_STORE_FILE=nowhere", NULL},
            "environment TRUEUP_STORE_FILE: file \"nowhere\" cannot be read: No such file or "
            "directory\n");
    refused((const char *const[]){"TRUEUP_STORE_FILE=.", NULL}, "cannot be read: Is a directory\n");
    refused((const char *const[]){"TRUEUP_STORE_FILE=huge", NULL}, "is too long");
    refused((const char *const[]){"TRUEUP_STORE_FILE=none", NULL},
            "environment TRUEUP_STORE_FILE: file \"none\" is empty; expected a secret\n");
    refused((const char *const[]){"TRUEUP_STORE_FILE=lines", NULL}, "holds several lines");
    refused((const char *const[]){"TRUEUP_STORE_FILE=none", "TRUEUP_STORE=sqlite:a.db", NULL},
            "environment TRUEUP_STORE_FILE: the same setting is given as TRUEUP_STORE, too; "
            "expected one of them\n");
    refused((const char *const[]){"TRUEUP_LOG_LEVEL_FILE=none", NULL},
            "environment TRUEUP_LOG_LEVEL_FILE: only a secret may come from a file; expected "
            "TRUEUP_LOG_LEVEL\n");
    refused((const char *const[]){"TRUEUP_STORE_FIEL=none", NULL},
            "unknown setting \"TRUEUP_STORE_FIEL\"; expected TRUEUP_STORE_FILE\n");
}

/* What the value is refused for names the variable, and quotes nothing of it. */
static void test_a_wrong_value_is_not_quoted(void **state)
{
    put("url", "ftp://user:hunter2@node.example/key\n");
    const char *const environ_[] = {"TRUEUP_RPC_URL_FILE=url", NULL};
    struct buf said;
    (void)state;
    assert_null(load(environ_, &said));
    assert_non_null(strstr(buf_str(&said), "environment TRUEUP_RPC_URL_FILE: "));
    assert_null(strstr(buf_str(&said), "hunter2"));
    buf_free(&said);
}

static void test_other_names(void **state)
{
    const char *const environ_[] = {"TRUEUP_RPC_URL=https://n.example/",
                                    "TRUEUP_PORT=tcp://10.0.0.1",
                                    "TRUEUP_SERVICE_HOST=10.0.0.1",
                                    "TRUEUP_PORT_1325_TCP_PORT=1",
                                    "TRUEUP_IMAGE_TAG=7",
                                    NULL};
    struct buf said;
    (void)state;
    struct conf *c = load(environ_, &said);
    assert_non_null(c);
    assert_string_equal(buf_str(&said),
                        "environment TRUEUP_IMAGE_TAG: no setting has this name; it "
                        "is passed over\n");
    buf_free(&said);
    conf_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_variables_name_files, in_folder),
        cmocka_unit_test_setup(test_credentials, in_folder),
        cmocka_unit_test_setup(test_files_that_are_refused, in_folder),
        cmocka_unit_test_setup(test_a_wrong_value_is_not_quoted, in_folder),
        cmocka_unit_test_setup(test_other_names, in_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
