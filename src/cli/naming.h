/* Without any file the one balance is named after its token's symbol(). */
#ifndef CLI_NAMING_H
#define CLI_NAMING_H

#include "conf/conf.h"

struct err;

/* Names what has no name yet, by asking the node; does nothing when all are named. */
int name_balances(struct conf *conf, struct err *err);

#endif
