/*
 * Which daemon writes. One owns the lease (store/lease.h); the others stand by and look at it twice
 * a second. One that stands by takes the lease when it is free, or when nothing of it moved for
 * three seconds of this process's own clock: no clock of a database is compared.
 *
 * The owner stands on the shared page, so that a worker that is started again goes on under it.
 */
#ifndef TRACK_TAKEOVER_H
#define TRACK_TAKEOVER_H

#include "proc/counters.h"
#include "store/lease.h"
#include "track/tracker.h"

enum { TAKEOVER_STILL_MS = 3000, TAKEOVER_LOOK_MS = 500 };

/* What was seen of the lease, and since when. */
struct takeover_watch {
    bool seen;
    struct lease_owner owner;
    uint64_t beat;
    int64_t since_ms;
    int64_t still_ms; /* how long it must stand still; 0: TAKEOVER_STILL_MS */
};
/* Is the lease to be taken now? now_ms: monotonic. */
bool takeover_is_due(struct takeover_watch *w, const struct lease_view *v, int64_t now_ms);

struct takeover {
    struct tracker *t;
    struct takeover_watch watch;
    char *fingerprint;
    struct lease_owner owner; /* the one we had last; generation 0: none so far */
    struct beat *beat;        /* while we own the lease */
};

void takeover_open(struct takeover *w, struct tracker *t);
void takeover_close(struct takeover *w);

enum { TAKEOVER_NAMES = 400 };

enum takeover_state {
    TAKEOVER_STANDBY, /* another daemon owns the lease */
    TAKEOVER_RESUMED, /* it is this daemon's */
    TAKEOVER_TAKEN,   /* just now: *adopted says what the start at these tables found */
};
struct takeover_report {
    enum takeover_state state;
    bool went_back; /* the database came back at an older state */
    /* STANDBY: balances whose terms, triggers or wallets are others than the owner's; "": none. */
    char changed[TAKEOVER_NAMES];
    struct store_adopted adopted;
};
/* For a command that writes, before it writes: ERR_USAGE while a daemon with other settings owns
 * the lease. When none does, the command's become the store's. Waits for seconds where a daemon
 * with other settings has ended without a word. */
int takeover_check_settings(struct tracker *t, struct err *err);

/* One look. Unless STANDBY, t->store has entered the fence of the role. */
int takeover_try(struct takeover *w, const char *role, struct takeover_report *ret,
                 struct err *err);
/* The lease is another's by now. */
bool takeover_is_lost(const struct takeover *w);
/* Enters a fence of the owner on the page; false in *ret: there is none, or not yet. */
int takeover_join(struct tracker *t, const char *role, bool *ret, struct err *err);
/* At the daemon's end: others need not wait. Nothing if none was owned. */
void takeover_release(struct takeover *w);

/* The owner on the page, as a line: "GENERATION HOLDER". */
void takeover_owner_text(const struct lease_owner *o, char ret[COUNTERS_OWNER]);

#endif
