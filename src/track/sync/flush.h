/*
 * Flush: from the affected wallets of one balance to written rows. Lists of wallets are asked for
 * (fan-out), untracked wallets are dropped, the others are read and written page by page. The
 * checkpoint, where there is one to write, goes into the last page's transaction. A flush knows
 * nothing of windows of blocks: the caller says which block the wallets are read at.
 */
#ifndef TRACK_SYNC_FLUSH_H
#define TRACK_SYNC_FLUSH_H

#include "track/events.h"
#include "track/step.h"

struct flush {
    struct tracked *balance;
    enum store_cause cause;
    struct anchor at;    /* the block the wallets are read at */
    uint64_t finalized;  /* names of later blocks go into trueup_dirty, with the first page */
    bool has_checkpoint; /* written last, and also when no wallet is affected */
    uint64_t checkpoint;
};

struct flush_report {
    bool blocked;      /* a page could not be read or written at this block (why): the pages before
                          it are written, the checkpoint is not */
    size_t updated;    /* rows written */
    size_t unanswered; /* views of triggers that answered no list of wallets */
    struct err why;
};

/* Resolves *affected in place and drops untracked wallets from its names, so a caller may try the
 * same set again. −1: a request or the store failed; the pages before it are written, the
 * checkpoint is not. *ret is filled in both cases. */
int flush_run(struct tracker *t, const struct flush *f, struct affected_set *affected,
              struct flush_report *ret, struct err *err);

#endif
