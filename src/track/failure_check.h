/*
 * Is it the wallets, or is it everybody? (promise 5)
 *
 * A few failing wallets are bad wallets, and go into quarantine. When at least half of eight or
 * more, or all of fewer, fail on one term, that may just as well be a paused contract, a broken
 * upgrade or a bad endpoint. Then the failing wallets are read once more together with witnesses
 * that lately succeeded: witnesses answer, so the wallets are bad; witnesses fail, or there are
 * none, so it is the contract or the endpoint: raise an alarm, quarantine nobody.
 */
#ifndef TRACK_FAILURE_CHECK_H
#define TRACK_FAILURE_CHECK_H

#include "track/step.h"

/* report->end becomes STEP_BROKEN or STEP_MOVED, or stays STEP_DONE: then the readings may be
 * applied; those re-read are updated in place. −1 when a request failed. */
int failure_check_run(struct tracker *t, const struct step *s, struct reading *readings,
                      struct arena *arena, struct step_report *report, struct err *err);

#endif
