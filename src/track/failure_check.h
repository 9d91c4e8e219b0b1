/*
 * Tells bad wallets from a broken contract (promise 5).
 *
 * A few failing wallets are bad and go into quarantine. When at least half of eight or more fail on
 * one term, or all of fewer, the cause may be a paused contract, a broken upgrade or a bad
 * endpoint. Then the failing wallets are read once more, together with control wallets that were
 * read well lately. If a control wallet answers, the failing wallets are bad. If none answers, or
 * none is known, the step is broken: an alarm is raised and no wallet is quarantined.
 */
#ifndef TRACK_FAILURE_CHECK_H
#define TRACK_FAILURE_CHECK_H

#include "track/step.h"

/* report->end becomes STEP_BROKEN or STEP_MOVED, or stays STEP_DONE: then the readings may be
 * applied; those re-read are updated in place. −1 when a request failed. */
int failure_check_run(struct tracker *t, const struct step *s, struct reading *readings,
                      struct arena *arena, struct step_report *report, struct err *err);

#endif
