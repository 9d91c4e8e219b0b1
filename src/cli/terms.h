/* Does a term's contract answer at all? A wrong address, or one of another chain, is an ordinary
 * account to a node: it answers every call, with nothing, and no event ever comes from it. */
#ifndef CLI_TERMS_H
#define CLI_TERMS_H

#include "conf/conf.h"
#include "rpc/rpc.h"

#include <stdbool.h>

/* *ret_silent: the view answers a wallet, at the newest block, with other than a word of 32 bytes,
 * or reverts. An error when the node cannot be asked. */
int term_is_silent(struct rpc *node, const address *contract, const uint8_t selector[4],
                   bool *ret_silent, struct err *err);

#endif
