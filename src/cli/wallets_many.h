/* The verbs of `trueup wallets` that handle millions: import and sync. */
#ifndef CLI_WALLETS_MANY_H
#define CLI_WALLETS_MANY_H

#include "cli/cli.h"

int wallets_import(struct tracker *t, const struct cli *cli, struct err *err);
int wallets_sync(struct tracker *t, const struct cli *cli, struct err *err);

#endif
