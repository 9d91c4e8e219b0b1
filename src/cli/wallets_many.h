/* The verbs of `trueup wallets` that handle millions: import and sync. */
#ifndef CLI_WALLETS_MANY_H
#define CLI_WALLETS_MANY_H

#include "cli/session.h"

int wallets_import(struct session *s, void *ctx, struct err *err);
int wallets_sync(struct session *s, void *ctx, struct err *err);

#endif
