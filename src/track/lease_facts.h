/*
 * The facts in the row of the lease (docs/formats.md): what the lights of a daemon that stands by
 * are computed from. The daemon that writes stores what its counters say; the worker follow of
 * another one shows it as its own. All times are ages, since the clocks of two machines differ.
 */
#ifndef TRACK_LEASE_FACTS_H
#define TRACK_LEASE_FACTS_H

#include "store/lease.h"

/* By the counters of this daemon. */
void lease_facts_write(char ret[LEASE_FACTS]);
/* Into the counters of this worker; a text that cannot be read changes nothing. */
void lease_facts_show(const char *facts);
/* At a taking: what failed in the old writer says nothing about this one. */
void lease_facts_forget(void);

#endif
