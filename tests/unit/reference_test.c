/*
 * The files that repeat the program's tables agree with them: the manual has a page for each
 * command, with its words and options; settings and metrics are described as they are. When this
 * fails, run tools/reference and look at the difference.
 */
#include "base/mem.h"
#include "cli/reference.h"
#include "rpc/cost.h"
#include "web/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define TEST_ROOT TEST_VECTORS "/../.."

enum { FILE_MAX = 1 << 20 };

/* A file below the root as text; the caller's to free. */
static char *file(const char *path)
{
    char full[1024];
    snprintf(full, sizeof full, "%s/%s", TEST_ROOT, path);
    FILE *f = fopen(full, "r");
    if (!f)
        fail_msg("%s is missing: run tools/reference", path);
    char *text = mem_alloc(FILE_MAX);
    text[fread(text, 1, FILE_MAX - 1, f)] = '\0';
    fclose(f);
    return text;
}

/* The file holds this part, between its marks. */
static void holds(const char *path, const char *what, const struct buf *part)
{
    struct buf marked = BUF_INIT(FILE_MAX);
    char *text = file(path);
    buf_addf(&marked, ".\\\" begin reference: %s\n%s.\\\" end reference\n", what, buf_str(part));
    if (!strstr(text, buf_str(&marked)))
        fail_msg("%s differs from the program in \"%s\": run tools/reference", path, what);
    mem_free(text);
    buf_free(&marked);
}

static void each_command_has_its_page(void **state)
{
    char *built = file("man/meson.build");
    (void)state;
    for (const struct command *c = commands; c->name; c++) {
        char page[80], what[80];
        struct buf head = BUF_INIT(FILE_MAX), options = BUF_INIT(FILE_MAX);
        if (c->hidden)
            continue;
        snprintf(page, sizeof page, "man/trueup-%s.1", c->name);
        manual_head(c, &head);
        manual_options(c, &options);
        snprintf(what, sizeof what, "man-head %s", c->name);
        holds(page, what, &head);
        snprintf(what, sizeof what, "man-options %s", c->name);
        holds(page, what, &options);
        char *text = file(page);
        if (strstr(text, ".Sh DESCRIPTION\n.Sh"))
            fail_msg("%s describes nothing yet", page);
        assert_non_null(strstr(built, page + strlen("man/")));
        mem_free(text);
        buf_free(&head);
        buf_free(&options);
    }
    mem_free(built);
}

static void the_program_and_the_file_are_described(void **state)
{
    struct buf list = BUF_INIT(FILE_MAX), common = BUF_INIT(FILE_MAX), all = BUF_INIT(FILE_MAX);
    (void)state;
    manual_commands(&list);
    manual_common(&common);
    manual_settings(&all);
    holds("man/trueup.1", "man-commands", &list);
    holds("man/trueup.1", "man-common", &common);
    holds("man/trueup.yaml.5", "man-settings", &all);
    buf_free(&list);
    buf_free(&common);
    buf_free(&all);
}

static void metrics_are_described(void **state)
{
    struct buf text = BUF_INIT(METRICS_MAX);
    char *docs = file("docs/metrics.md");
    (void)state;
    metrics_document(&text);
    assert_string_equal(docs, buf_str(&text));
    mem_free(docs);
    buf_free(&text);
}

static void costs_are_described(void **state)
{
    struct buf text = BUF_INIT(METRICS_MAX);
    char *docs = file("docs/cost.md");
    (void)state;
    cost_document(&text);
    assert_string_equal(docs, buf_str(&text));
    mem_free(docs);
    buf_free(&text);
}

/* README's table is written by hand: it must not forget a command. */
static void the_readme_names_each_command(void **state)
{
    char *readme = file("README.md");
    (void)state;
    for (const struct command *c = commands; c->name; c++) {
        char words[80];
        snprintf(words, sizeof words, "`trueup %s", c->name);
        if (!c->hidden && !strstr(readme, words))
            fail_msg("README.md does not say what `trueup %s` is for", c->name);
    }
    mem_free(readme);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_command_has_its_page),
        cmocka_unit_test(the_program_and_the_file_are_described),
        cmocka_unit_test(metrics_are_described),
        cmocka_unit_test(costs_are_described),
        cmocka_unit_test(the_readme_names_each_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
