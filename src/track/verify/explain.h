/*
 * Everything known of one wallet of a balance: its row, what is pending for it, its value on the
 * chain at one block, and its last changes. It only reads; `trueup explain` prints it.
 */
#ifndef TRACK_VERIFY_EXPLAIN_H
#define TRACK_VERIFY_EXPLAIN_H

#include "read/read.h"
#include "store/audit.h"
#include "track/tracker.h"

enum { EXPLAIN_CHANGES = 20, EXPLAIN_DRIFT = 20 };

enum explain_verdict {
    EXPLAIN_RIGHT,       /* the row holds what the chain says at that block, or proved it later */
    EXPLAIN_NO_ROW,      /* there is none, and none is due */
    EXPLAIN_NEW,         /* there is none yet: the sweep reads the wallet first */
    EXPLAIN_UNANCHORED,  /* the row is a placeholder, adopted, or of a block that a reorg took back
                          */
    EXPLAIN_QUARANTINED, /* it cannot be read; the row keeps what it had */
    EXPLAIN_UNREADABLE,  /* it cannot be read just now, and is not in quarantine yet */
    EXPLAIN_PENDING,     /* differs, and is about to be read: an event, a block becoming final */
    EXPLAIN_BEHIND,      /* differs, at a block that is not synced yet */
    EXPLAIN_DRIFTED,     /* differs, and no event says why */
};

struct explain {
    address wallet;
    bool tracked; /* by the balance's rule, its list or by having a row */
    struct store_row row;
    bool quarantined;
    struct view_quarantine quarantine;
    uint64_t full_refresh; /* every row observed before this block is due; 0: none */
    bool has_synced;
    uint64_t synced;
    uint64_t finalized; /* causes of drift above it are not looked for yet */

    struct anchor at; /* the chain's word: */
    struct reading sum, terms[READ_TERMS_MAX];
    size_t n_terms;

    struct view_change *changes; /* the newest first; in the arena */
    size_t n_changes;
    struct view_drift *drift; /* the same */
    size_t n_drift;
    enum explain_verdict verdict;
};

int explain_gather(struct tracker *t, struct tracked *b, const address *wallet, struct arena *arena,
                   struct explain *ret, struct err *err);

#endif
