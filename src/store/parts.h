/*
 * A batch in parts (promise 5): one row that the database refuses holds up no other.
 *
 * A batch is first tried as one transaction. Refused, it is halved, and each half is a transaction
 * of its own, until the refused rows are alone. They enter quarantine in the last transaction,
 * which also carries the checkpoint: nothing is vouched for before every row is written or
 * quarantined.
 *
 * Where both halves of 8 rows or more are refused for one reason, or a smaller batch is refused
 * whole, rows of the table that were written lately are tried first, and rolled back. Refused as
 * well: the table refuses, and no row is quarantined.
 */
#ifndef STORE_PARTS_H
#define STORE_PARTS_H

#include "store/driver.h"

/* How a reason in trueup_quarantine begins that is the table's, not the wallet's. */
#define REASON_REFUSED "refused by the database: "
#define REASON_CHANGED "changed by a trigger of the table: "

int parts_apply(struct store *s, const struct store_batch *batch, struct arena *arena,
                struct store_applied *ret, struct err *err);

/* ---- refused.c: what parts.c asks of the database beside the batch ----------------------------
 */

/* Would rows that were written lately be taken now? They are updated to what they hold, and rolled
 * back. *ret true without any such row. −1: the database failed. */
int refused_try_controls(struct store *s, const struct store_balance *b, bool *ret_taken,
                         struct err *err);

/* The wallets of a batch that were refused, in key order. */
struct refused_rows {
    const struct store_balance *b;
    const struct store_write *writes;
    struct store_failure *failures; /* beside each; .first_insert is set */
    size_t n;
};
/* Finds which of them have no row. Those that have one and hold another value than was read lose
 * their anchor, where the table lets them. First inserts beyond the most that are kept are taken
 * out of the list and counted. */
int refused_prepare(struct store *s, struct refused_rows *r, uint64_t read_at, struct err *err);

#endif
