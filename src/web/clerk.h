/*
 * A clerk is a thread that talks SQL, so that the server never has to: whatever the database does,
 * the server goes on answering. Work is handed to it and comes back finished; nobody waits for it,
 * and what is not back in time is answered for without it.
 *
 * A job runs on the clerk's thread and may touch only what it owns. It comes back through `done`,
 * on the thread that calls clerk_collect().
 */
#ifndef WEB_CLERK_H
#define WEB_CLERK_H

#include "base/err.h"
#include "store/store.h"

struct clerk;

enum { CLERK_QUEUE = 128 };

struct clerk_job {
    /* −1 with the error set: the store failed. May be called once more then. */
    int (*work)(struct store *s, struct clerk_job *job, struct err *err);
    void (*done)(struct clerk_job *job); /* frees it */
    int rc;
    struct err err;
};

struct clerk_round { /* what it does by itself, again and again */
    void *ctx;
    /* Returns how many ms later it wants to be called again. */
    int64_t (*work)(void *ctx, struct store *s);
    void (*failed)(void *ctx, const struct err *err); /* the store could not be reached */
};

/* wake is called on the clerk's thread when a job is back. */
int clerk_open(const char *url, const char *who, const struct clerk_round *round,
               void (*wake)(void *ctx), void *ctx, struct clerk **ret, struct err *err);
/* Waits for what is under way, but not long; false when it had to be left behind: then the process
 * should end without tidying up. */
bool clerk_close(struct clerk *c);

/* False when too much is waiting already; then the job is the caller's still. */
bool clerk_submit(struct clerk *c, struct clerk_job *job);
void clerk_collect(struct clerk *c);

#endif
