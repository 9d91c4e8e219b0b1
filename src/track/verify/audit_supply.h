/*
 * The sum of one term over all rows against the token's totalSupply() at one block: equal, every
 * holder has a row and no row holds too much. It is the one check that finds holders nobody ever
 * heard of. It holds for tokens that keep accounts; what it says of others is worded accordingly.
 */
#ifndef TRACK_VERIFY_AUDIT_SUPPLY_H
#define TRACK_VERIFY_AUDIT_SUPPLY_H

#include "track/verify/audit.h"

/* The term that is a token's balanceOf(address); −1: none is. */
int audit_supply_term(const struct tracked *b);

/* sum: of that term over all rows, if it is known already; NULL: they are read. */
int audit_supply_check(const struct audit *a, const struct anchor *at, const u256 *sum,
                       struct audit_report *ret, struct err *err);

#endif
