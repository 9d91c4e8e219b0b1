/* trueup config check|show|init. */
#include "cli/cli.h"

const struct cli_option config_options[] = {{0}};

int command_config(struct cli *cli)
{
    return cli_usage(cli, "config: not there yet");
}
