/* help and version: printed from the tables. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

static void print_options(const struct cli_option *o)
{
    for (; o->name; o++) {
        char left[40];
        snprintf(left, sizeof left, "--%s%s%s", o->name, o->value ? " " : "",
                 o->value ? o->value : "");
        printf("  %-22s %s\n", left, o->help);
    }
}

static int help_one(const struct command *c)
{
    printf("usage: trueup %s [options]%s%s\n\n%s\n", c->name, c->args[0] ? " " : "", c->args,
           c->summary);
    if (c->text)
        printf("\n%s", c->text);
    printf("\noptions:\n");
    print_options(c->options);
    printf("  %-22s %s\n", "-c FILE", "settings (default ./trueup.yaml, /etc/trueup/trueup.yaml)");
    print_options(cli_common);
    return 0;
}

int command_help(struct cli *cli)
{
    if (cli->n_args > 0) {
        const struct command *c = command_find(cli->args[0]);
        if (!c)
            return cli_usage(cli, "unknown command \"%s\"", cli->args[0]);
        return help_one(c);
    }
    printf(
        "trueup keeps a database table of token balances equal to the chain, and can prove it.\n\n"
        "usage: trueup COMMAND [options]\n\n");
    for (const struct command *c = commands; c->name; c++)
        if (!c->hidden)
            printf("  %-10s %s\n", c->name, c->summary);
    printf("\n`trueup help COMMAND` says what a command takes. To begin:\n\n"
           "  trueup run --rpc URL --token ADDR      keeps that token's balances in ./trueup.db\n"
           "  trueup config init                     writes a commented trueup.yaml\n\n"
           "exit status: 0 done; 1 failed; 2 bad usage or configuration; 3 drift found by audit;\n"
           "4 no endpoint, wrong chain or chain reset; 5 store unreachable or refused;\n"
           "6 audit could not compare every row. status: 0 green, 1 red, 6 amber, 4 no daemon\n");
    return 0;
}

int command_version(struct cli *cli)
{
    (void)cli;
    printf("trueup %s\n", TRUEUP_VERSION);
    return 0;
}
