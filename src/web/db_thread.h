/*
 * A database thread is a thread that talks SQL, so that the server never has to: whatever the
 * database does, the server goes on answering. Work is handed to it and comes back finished; nobody
 * waits for it, and what is not back in time is answered for without it.
 *
 * A job runs on the database thread's thread and may touch only what it owns. It comes back through
 * `done`, on the thread that calls db_thread_collect().
 */
#ifndef WEB_DB_THREAD_H
#define WEB_DB_THREAD_H

#include "base/err.h"
#include "store/store.h"

struct db_thread;

enum { DB_THREAD_QUEUE = 128 };

struct db_thread_job {
    /* −1 with the error set: the store failed. May be called once more then. */
    int (*work)(struct store *s, struct db_thread_job *job, struct err *err);
    void (*done)(struct db_thread_job *job); /* frees it */
    int rc;
    struct err err;
};

struct db_thread_round { /* what it does by itself, again and again */
    void *ctx;
    /* Returns how many ms later it wants to be called again. */
    int64_t (*work)(void *ctx, struct store *s);
    void (*failed)(void *ctx, const struct err *err); /* the store could not be reached */
};

struct db_thread_owner {
    const char *url;         /* of the store … */
    const char *schema;      /* … and of its tables; may be NULL */
    const char *who;         /* the connection's name there */
    void (*wake)(void *ctx); /* called on the database thread when a job is back */
    void *ctx;
};

/* Copies what it is given, but for what ctx points at. */
int db_thread_open(const struct db_thread_owner *owner, const struct db_thread_round *round,
                   struct db_thread **ret, struct err *err);
/* Waits for what is under way, but not long; false when it had to be left behind: then the process
 * should end without tidying up. */
bool db_thread_close(struct db_thread *c);

/* False when too much is waiting already; then the job is the caller's still. */
bool db_thread_submit(struct db_thread *c, struct db_thread_job *job);
void db_thread_collect(struct db_thread *c);

#endif
