/*
 * The lease: one daemon writes to a store at a time, and each of its transactions says so.
 *
 * trueup_lease has one row: generation, holder, fingerprint of the settings, beat, facts. A taking
 * raises the generation and draws a new holder; the pair is an owner. trueup_fence has a row a
 * connection that writes. A store that entered a fence begins each transaction with that row: it
 * must still hold the owner and the sequence number of our last commit. It does not when another
 * daemon took the lease, and when the database came back at an older state. Then the verb fails
 * with ERR_FENCED, nothing of it is written, and what the process knows from the store is void.
 */
#ifndef STORE_LEASE_H
#define STORE_LEASE_H

#include "store/store.h"

enum { LEASE_HOLDER = 33, LEASE_FACTS = 4096 };

/* The connections that write. One that writes beside another one of its process has its own row. */
#define FENCE_FOLLOW "follow"
#define FENCE_SWEEP  "sweep"
#define FENCE_JOB    "job"
#define FENCE_JOB2   "job2"
#define FENCE_JOB3   "job3"

struct lease_owner {
    uint64_t generation;
    char holder[LEASE_HOLDER]; /* 128 random bits in hex; "": the lease is free */
};

struct lease_view {
    struct lease_owner owner;
    uint64_t beat;
    const char *fingerprint, *facts; /* in the arena */
};
int lease_read(struct store *s, struct arena *arena, struct lease_view *ret, struct err *err);

/* Takes the lease, if it is still as seen: first the transactions that its old owner left open are
 * ended, for they hold its rows. trueup_changes has a new epoch then. */
int lease_take(struct store *s, const struct lease_view *seen, const char *fingerprint,
               struct lease_owner *ret, bool *ret_taken, struct err *err);
/* The same for a command, which owns no lease: from here on its settings are the store's. */
int lease_set_fingerprint(struct store *s, const struct lease_view *seen, const char *fingerprint,
                          bool *ret_set, struct err *err);
/* Shows that the owner lives. False in *ret_held: it owns the lease no more. */
int lease_beat(struct store *s, const struct lease_owner *o, const char *facts, bool *ret_held,
               struct err *err);
/* Frees the lease; nothing if it is another's. */
int lease_release(struct store *s, const struct lease_owner *o, struct err *err);

/* A command that writes owns the fences of a job. The same as above, but facts is its words:
 * "sweep, process 12 on host"; there is no fingerprint. */
int fence_job_read(struct store *s, struct arena *arena, struct lease_view *ret, struct err *err);
int fence_job_take(struct store *s, const struct lease_view *seen, const char *words,
                   struct lease_owner *ret, bool *ret_taken, struct err *err);
int fence_job_beat(struct store *s, const struct lease_owner *o, const char *words, bool *ret_held,
                   struct err *err);
int fence_job_release(struct store *s, const struct lease_owner *o, struct err *err);

/* From here on each transaction of s begins with the fence of this role. False in *ret_entered: the
 * row is another owner's. *ret_back: it is behind what this store has committed under this owner,
 * so the database went back; trueup_changes has a new epoch then. */
int fence_enter(struct store *s, const char *role, const struct lease_owner *o, bool *ret_entered,
                bool *ret_back, struct err *err);

#endif
