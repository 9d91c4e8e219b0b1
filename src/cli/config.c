/*
 * trueup config check|show|init: is the configuration right, what does it come to, and something to
 * start from. None of them asks a node or a store.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_MAX = 4 * 1024 * 1024 };

const struct cli_option config_options[] = {
    {"stdout", NULL, NULL, "init: print the starter file instead of writing it"},
    {0},
};

/* To standard output, or -1 with the error. */
static int config_print_text(const struct buf *text, struct err *err)
{
    if (fwrite(buf_str(text), 1, text->len, stdout) == text->len && fflush(stdout) == 0)
        return 0;
    return err_set(err, ERR_FAILED, "cannot write to standard output: %s", strerror(errno));
}

/* check says that all is well, show prints the settings. */
static int config_print(struct cli *cli, struct err *err)
{
    struct conf *conf = cli_conf(cli, false);
    if (!conf)
        return 2;
    struct buf out = BUF_INIT(TEXT_MAX);
    if (strcmp(cli->args[0], "show") == 0)
        conf_write(conf, CONF_FOR_USER, &out);
    else
        buf_addf(&out, "%s: ok\n", conf_file(conf) ? conf_file(conf) : "no file");
    int rc = config_print_text(&out, err);
    buf_free(&out);
    conf_free(conf);
    return rc;
}

/* A new file or none: what is there is not touched, and half a file does not stay. */
static int write_new(const char *name, const struct buf *text, struct err *err)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 && errno == EEXIST) {
        err_set(err, ERR_USAGE, "%s is there already", name);
        return err_hint(err, "-c FILE writes another, --stdout prints it");
    }
    if (fd < 0)
        return err_set(err, ERR_FAILED, "cannot create %s: %s", name, strerror(errno));
    FILE *f = fdopen(fd, "w");
    bool whole = f && fwrite(buf_str(text), 1, text->len, f) == text->len && fflush(f) == 0;
    int why = errno;
    if ((f ? fclose(f) : close(fd)) != 0 && whole) {
        whole = false;
        why = errno;
    }
    if (whole)
        return 0;
    unlink(name);
    return err_set(err, ERR_FAILED, "cannot write %s: %s", name, strerror(why));
}

static int config_init(struct cli *cli, struct err *err)
{
    const char *name = cli->file ? cli->file : "trueup.yaml";
    bool to_stdout = cli_has(cli, "stdout") || strcmp(name, "-") == 0 ||
                     (cli->n_args == 2 && strcmp(cli->args[1], "-") == 0);
    struct buf text = BUF_INIT(TEXT_MAX);
    conf_write_starter(&text);
    int rc = to_stdout ? config_print_text(&text, err) : write_new(name, &text, err);
    buf_free(&text);
    if (rc == 0 && !to_stdout)
        printf("%s written: fill it in, then `trueup config check`\n", name);
    return rc;
}

static const struct {
    const char *name;
    int (*run)(struct cli *cli,
               struct err *err); /* 0, 2 when refused and said, -1 with the error */
} actions[] = {{"check", config_print}, {"show", config_print}, {"init", config_init}};

int command_config(struct cli *cli)
{
    struct err err = {0};
    bool dash = cli->n_args == 2 && strcmp(cli->args[1], "-") == 0;
    for (size_t i = 0; i < COUNT_OF(actions); i++) {
        if (strcmp(actions[i].name, cli->args[0]) != 0)
            continue;
        if (cli->n_args > 1 && !(dash && actions[i].run == config_init))
            return cli_usage(cli, "config %s: unexpected argument \"%s\"", actions[i].name,
                             cli->args[1]);
        int rc = actions[i].run(cli, &err);
        return rc < 0 ? cli_fail(&err) : rc;
    }
    return cli_usage(cli, "config: unknown action \"%s\", expected check, show or init",
                     cli->args[0]);
}
