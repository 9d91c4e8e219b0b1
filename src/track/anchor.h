/*
 * How the chain numbers its blocks, learnt once and kept in trueup_state.
 *
 * On Arbitrum the EVM's NUMBER and BLOCKHASH are those of the chain below it; the precompile ArbSys
 * at 0x64 has its own. Chains whose block numbers have gaps are refused: a block number
 * stands for all blocks below it.
 */
#ifndef TRACK_ANCHOR_H
#define TRACK_ANCHOR_H

#include "track/tracker.h"

extern const char anchor_key[]; /* in trueup_state */

/* Sets where the reads of all balances learn their block: as configured, as stored, or as the node
 * says now, which is stored then. */
int anchor_learn(struct tracker *t, struct err *err);
const char *anchor_name(enum conf_anchor a); /* "evm", "arbsys" … */

/* ERR_USAGE, with the block, where the numbers of the newest blocks have a gap. */
int anchor_check_gaps(struct tracker *t, struct err *err);

#endif
