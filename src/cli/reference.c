/*
 * trueup reference WHAT [NAME]: what the program knows about itself, for files that repeat it. A
 * hidden command: tools/reference and the build call it.
 */
#include "cli/reference.h"
#include "rpc/cost.h"
#include "web/metrics.h"

#include <stdio.h>
#include <string.h>

/* Each shown command and its summary, for whoever wants to see to all of them. */
static void list_commands(struct buf *out)
{
    for (const struct command *c = commands; c->name; c++)
        if (!c->hidden)
            buf_addf(out, "%s\t%s\n", c->name, c->summary);
}

static void text_of(const struct command *c, struct buf *out)
{
    buf_adds(out, c->text ? c->text : c->summary);
    buf_adds(out, c->text ? "" : "\n");
}

static const struct {
    const char *name;
    void (*write)(struct buf *out);
    void (*write_of)(const struct command *c, struct buf *out);
} kinds[] = {
    {"commands", list_commands, NULL},
    {"metrics", metrics_document, NULL},
    {"cost", cost_document, NULL},
    {"man-commands", manual_commands, NULL},
    {"man-common", manual_common, NULL},
    {"man-settings", manual_settings, NULL},
    {"man-head", NULL, manual_head},
    {"man-options", NULL, manual_options},
    {"text", NULL, text_of},
};

static bool write_kind(const char *what, const char *name, struct buf *out)
{
    const struct command *c = name ? command_find(name) : NULL;
    if (strcmp(what, "completion") == 0)
        return name && completion_write_shell(name, out);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].name, what) != 0 || (kinds[i].write_of != NULL) != (c != NULL))
            continue;
        if (c)
            kinds[i].write_of(c, out);
        else
            kinds[i].write(out);
        return true;
    }
    return false;
}

int command_reference(struct cli *cli)
{
    struct buf out = BUF_INIT(REFERENCE_MAX);
    const char *name = cli->n_args > 1 ? cli->args[1] : NULL;
    int status = 0;
    if (!write_kind(cli->args[0], name, &out))
        status = cli_usage(cli, "reference: nothing is called \"%s%s%s\"", cli->args[0],
                           name ? " " : "", name ? name : "");
    else
        fputs(buf_str(&out), stdout);
    buf_free(&out);
    return status;
}
