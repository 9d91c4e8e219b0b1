/*
 * Compares the sum of one term over all rows with the token's totalSupply() at one block. When they
 * are equal, every holder has a row and no row holds too much. No other check finds holders that no
 * event named. It is exact only for tokens that keep accounts; the report is worded for that.
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
