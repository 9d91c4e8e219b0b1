/* Parsing by getopt_long from the tables, and what all commands share: settings, errors, exit. */
#include "cli/cli.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "conf/settings.h"
#include "net/memory.h"
#include "worker/worker.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int cli_fail(const struct err *err)
{
    if (log_is_json())
        log_error_err("trueup cannot go on", err);
    else
        fprintf(stderr, "trueup: %s\n", err->text);
    if (err->hint[0] && !log_is_json())
        fprintf(stderr, "hint: %s\n", err->hint);
    return worker_exit_status(err);
}

int cli_usage(const struct cli *cli, const char *fmt, ...)
{
    va_list ap;
    fputs("trueup: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nhint: `trueup help%s%s` says what there is\n", cli->command ? " " : "",
            cli->command ? cli->command->name : "");
    return 2;
}

const char *cli_value(const struct cli *cli, const char *name)
{
    for (size_t i = 0; i < cli->n_given; i++)
        if (strcmp(cli->given[i].name, name) == 0)
            return cli->given[i].value ? cli->given[i].value : "";
    return NULL;
}

bool cli_has(const struct cli *cli, const char *name)
{
    return cli_value(cli, name) != NULL;
}

int cli_number(const struct cli *cli, const char *name, uint64_t *ret, struct err *err)
{
    const char *text = cli_value(cli, name);
    if (text && !parse_u64(text, strlen(text), ret))
        return err_set(err, ERR_USAGE, "--%s: \"%s\" is not a number", name, text);
    return 0;
}

/* ---- parsing --------------------------------------------------------------------------------- */

static size_t add_long(struct option *longs, const struct cli_option **by_index, size_t n,
                       const struct cli_option *options)
{
    for (; options->name; options++, n++) {
        longs[n] = (struct option){options->name, options->value ? required_argument : no_argument,
                                   NULL, 1000 + (int)n};
        by_index[n] = options;
    }
    return n;
}

/* getopt_long takes any unambiguous beginning of a name; a script that says --bat today would
 * change its meaning with the next option. */
static bool spelled_out(const char *arg, const char *name)
{
    size_t n = strlen(name);
    return strncmp(arg, "--", 2) == 0 && strncmp(arg + 2, name, n) == 0 &&
           (arg[2 + n] == '\0' || arg[2 + n] == '=');
}

/* A URL may carry a key, and anybody on the machine may look at our arguments (ps). Between the
 * start and this line it is there to be seen; a file or the environment is the better place for it.
 */
static void hide_argument(const char *value)
{
    char *at = (char *)(uintptr_t)value; /* argv is ours to write to (C17 5.1.2.2.1) */
    memset(at, '*', strlen(at));
}

static int take_option(struct cli *cli, const struct cli_option *o, const char *value, int argc,
                       char **argv)
{
    bool exact = false;
    for (int i = 0; i < argc && !exact; i++)
        exact = spelled_out(argv[i], o->name);
    if (!exact)
        return cli_usage(cli, "options must be spelled out: --%s", o->name);
    if (o->path) {
        if (cli->n_flags == CLI_FLAGS)
            return cli_usage(cli, "too many options");
        size_t room = strlen(o->name) + 3;
        char *flag = mem_alloc(room);
        snprintf(flag, room, "--%s", o->name);
        cli->flags[cli->n_flags++] = (struct conf_flag){o->path, mem_strdup(value), flag};
        if (strstr(value, "://"))
            hide_argument(value);
    } else {
        if (cli->n_given == CLI_OPTIONS)
            return cli_usage(cli, "too many options");
        cli->given[cli->n_given].name = o->name;
        cli->given[cli->n_given++].value = value;
    }
    return 0;
}

/* -y, for the commands that ask. */
static int take_yes(struct cli *cli)
{
    for (const struct cli_option *o = cli->command->options; o->name; o++)
        if (strcmp(o->name, "yes") == 0 && cli->n_given < CLI_OPTIONS) {
            cli->given[cli->n_given++].name = o->name;
            return 0;
        }
    return cli_usage(cli, "unknown option -y");
}

/* ---- what is nearly right -------------------------------------------------------------------- */

enum { NEAR = 2 }; /* edits */

static int unknown_command(const char *name)
{
    const struct command *near = NULL;
    size_t least = NEAR + 1;
    for (const struct command *c = commands; c->name; c++) {
        size_t d = c->hidden ? least : edit_distance(name, c->name, NEAR);
        if (d < least && d < strlen(c->name)) {
            near = c;
            least = d;
        }
    }
    fprintf(stderr, "trueup: unknown command \"%s\"\n", name);
    if (near)
        fprintf(stderr, "hint: is it `trueup %s`? `trueup help` says what there is\n", near->name);
    else
        fputs("hint: `trueup help` says what there is\n", stderr);
    return 2;
}

static int unknown_option(const struct cli *cli, const char *given)
{
    const struct cli_option *lists[] = {cli->command->options, cli_common}, *near = NULL;
    size_t least = NEAR + 1;
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        for (const struct cli_option *o = lists[i]; o->name; o++) {
            size_t d = edit_distance(given + strspn(given, "-"), o->name, NEAR);
            if (d < least && d < strlen(o->name)) {
                near = o;
                least = d;
            }
        }
    fprintf(stderr, "trueup: unknown option %s\n", given);
    fprintf(stderr, "hint: %s%s%s`trueup help %s` says what there is\n", near ? "is it --" : "",
            near ? near->name : "", near ? "? " : "", cli->command->name);
    return 2;
}

static int too_few(const struct cli *cli)
{
    fprintf(stderr, "trueup: %s: too few arguments\n", cli->command->name);
    fprintf(stderr, "hint: trueup %s [options] %s\n", cli->command->name, cli->command->args);
    return 2;
}

static int parse_options(struct cli *cli, int argc, char **argv)
{
    struct option longs[64] = {0};
    const struct cli_option *by_index[64];
    size_t n = add_long(longs, by_index, 0, cli->command->options);
    n = add_long(longs, by_index, n, cli_common);
    longs[n] = (struct option){0};
    opterr = 0;
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, ":c:hy", longs, NULL)) != -1;) {
        int rc = 0;
        if (c == 'c')
            cli->file = optarg;
        else if (c == 'h' && !cli_has(cli, "help") && cli->n_given < CLI_OPTIONS)
            cli->given[cli->n_given++].name = "help";
        else if (c == 'h')
            continue; /* said already */
        else if (c == 'y')
            rc = take_yes(cli);
        else if (c >= 1000)
            rc = take_option(cli, by_index[c - 1000], optarg, argc, argv);
        else if (c == ':')
            rc = cli_usage(cli, "option %s wants a value", argv[optind - 1]);
        else
            rc = unknown_option(cli, argv[optind - 1]);
        if (rc)
            return rc;
    }
    cli->args = argv + optind;
    cli->n_args = argc - optind;
    return 0;
}

static int cli_run_command(struct cli *cli, int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return command_help(cli);
    if (strcmp(argv[1], "--version") == 0)
        return command_version(cli);
    cli->command = command_find(argv[1]);
    if (!cli->command)
        return unknown_command(argv[1]);
    int rc = parse_options(cli, argc - 1, argv + 1);
    if (rc)
        return rc;
    if (cli_has(cli, "help")) {
        cli->args = (char *[]){(char *)(uintptr_t)cli->command->name};
        cli->n_args = 1;
        return command_help(cli);
    }
    if (cli->n_args < cli->command->min_args)
        return too_few(cli);
    if (cli->command->max_args >= 0 && cli->n_args > cli->command->max_args)
        return cli_usage(cli, "%s: unexpected argument \"%s\"", cli->command->name,
                         cli->args[cli->command->max_args]);
    return cli->command->run(cli);
}

int cli_main(int argc, char **argv)
{
    struct cli cli = {0};
    net_memory_init();
    int status = cli_run_command(&cli, argc, argv);
    for (size_t i = 0; i < cli.n_flags; i++) {
        mem_free((char *)(uintptr_t)cli.flags[i].value);
        mem_free((char *)(uintptr_t)cli.flags[i].flag);
    }
    return status;
}

/* ---- settings -------------------------------------------------------------------------------- */

void cli_log_lines(enum log_level level, const char *message, const char *name, const char *lines)
{
    for (const char *line = lines; *line; line += *line == '\n') {
        size_t n = strcspn(line, "\n");
        char *one = mem_strndup(line, n);
        LOG_AT_(level, message, LOG_STR(name, one));
        mem_free(one);
        line += n;
    }
}

void cli_report_problems(const struct conf_problems *problems, const char *who)
{
    if (!problems->json) {
        fprintf(stderr, "%s", buf_str(&problems->text));
        return;
    }
    log_setup(LOG_INFO, true, who);
    cli_log_lines(LOG_ERROR, "settings refused", "problem", buf_str(&problems->text));
}

struct conf *cli_conf(const struct cli *cli, bool may_be_nothing)
{
    struct conf_problems problems = {0};
    struct conf_source_set from = {.file = cli->file,
                                   .flags = cli->flags,
                                   .n_flags = cli->n_flags,
                                   .environ_ = environ,
                                   .token = cli_value(cli, "token"),
                                   .only_balance = cli_value(cli, "balance"),
                                   .may_be_nothing = may_be_nothing};
    struct conf *conf = conf_load(&from, &problems);
    if (!conf) {
        cli_report_problems(&problems, NULL);
    } else {
        log_setup((enum log_level)conf->log.level, conf->log.json, NULL);
        cli_log_lines(LOG_WARN, "check this setting", "setting", conf_warnings(conf));
    }
    conf_problems_free(&problems);
    return conf;
}
