/*
 * The store for those who prove: a fair sample of the rows, rows as they stand beside what was
 * read, and the ledger of drift. These verbs have the rules of store.h.
 */
#ifndef STORE_AUDIT_H
#define STORE_AUDIT_H

#include "store/store.h"
#include "store/view.h"

enum { STORE_SAMPLE_MOST = 100000, DRIFT_KEPT = 1000000, DRIFT_DAYS = 30 };

/* `limit` rows of the table (all, if it has no more), each set of that size as likely as any other;
 * in key order, in the arena. How it stays cheap is the backend's: see there. Rows whose wallet is
 * not canonical are none. limit: at most STORE_SAMPLE_MOST. */
int store_sample(struct store *s, const struct store_balance *b, const struct store_page *page,
                 address **ret, size_t *ret_n, struct err *err);

/* Did the chain take back the block that stood at this number? Its own header need not be stored: a
 * dropped header above says so, unless one that stands is between. */
int store_header_replaced(struct store *s, uint64_t number, bool *ret, struct err *err);

/* Tells the cause of records that were filed as "unknown". endpoint may be NULL. */
int store_drift_set_cause(struct store *s, const uint64_t *ids, size_t n, const char *cause,
                          const char *endpoint, struct err *err);
/* An event that a first look left out. */
struct store_missed {
    address wallet;
    uint64_t block;       /* the event's */
    const char *endpoint; /* that left it out */
    u256 stored, actual;  /* the row's balance before it was read for this event, and after */
};
/* Files them as "missed_log", sorted by block, unless a record of this wallet and of this block or
 * a later one says so already; one whose cause is unknown gets this cause. *ret: records filed. */
int store_drift_file_missed(struct store *s, const struct store_balance *b,
                            const struct store_missed *list, size_t n, uint64_t *ret,
                            struct err *err);
/* Takes back records that turned out to be none. */
int store_drift_drop(struct store *s, const uint64_t *ids, size_t n, struct err *err);
/* Records older than DRIFT_DAYS, and all but the newest DRIFT_KEPT; a bounded number a call. */
int store_drift_prune(struct store *s, struct err *err);

#endif
