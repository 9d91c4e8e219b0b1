/*
 * The store as people look at it: rows, changes, drift and figures over all rows, read only. These
 * verbs have the rules of store.h; they are apart because nothing that decides about a balance is
 * here: numbers come as the text the database shows.
 */
#ifndef STORE_VIEW_H
#define STORE_VIEW_H

#include "store/store.h"

enum { VIEW_NUMBER = 96, VIEW_BUCKETS = 64, VIEW_WORD = 24 };

struct view_row {
    address wallet;
    char balance[VIEW_NUMBER];
    bool has_blocknumber, has_observed;
    uint64_t blocknumber, observed_block;
    int64_t updated_us;
};

struct view_ask {
    const struct store_balance *b;
    const address *wallets;
    size_t n, limit;
    uint64_t after;
    struct arena *arena; /* for the answer */
};

/* Those of the n wallets that have a row, in no order. */
int view_rows(struct store *s, const struct view_ask *ask, struct view_row **ret, size_t *ret_n,
              struct err *err);
/* The largest balances first. A scan: never per request. */
int view_top(struct store *s, const struct view_ask *ask, struct view_row **ret, size_t *ret_n,
             struct err *err);

struct view_quarantine {
    uint64_t failures;
    char reason[256];
    int64_t retry_us;
    bool has_event; /* an event named it meanwhile, in this block */
    uint64_t event_block;
};
int view_quarantined(struct store *s, const struct store_balance *b, const address *wallet,
                     struct view_quarantine *ret, bool *ret_found, struct err *err);

struct view_change {
    uint64_t id, block;
    const char *balance, *old, *new_, *cause; /* old NULL: the row was new */
    address wallet;
    int64_t at_us;
};
/* Of all balances, with id > after, oldest first. */
int view_changes_after(struct store *s, const struct view_ask *ask, struct view_change **ret,
                       size_t *ret_n, struct err *err);
/* The newest first: of one wallet of a balance, or of all (b NULL). */
int view_changes_latest(struct store *s, const struct view_ask *ask, struct view_change **ret,
                        size_t *ret_n, struct err *err);

struct view_feed {
    uint64_t oldest, newest; /* ids of the table; 0: it is empty */
    const char *epoch;       /* changes when the database went back; "" before the first start */
};
int view_feed(struct store *s, struct arena *arena, struct view_feed *ret, struct err *err);

struct view_drift {
    uint64_t id, block;
    const char *balance, *stored, *actual, *cause, *endpoint; /* endpoint may be NULL */
    address wallet;
    bool has_age;
    uint64_t age; /* as the record has it, seconds */
    int64_t found_us;
};
/* The newest first: of one wallet of a balance, or of all (b NULL). */
int view_drift_latest(struct store *s, const struct view_ask *ask, struct view_drift **ret,
                      size_t *ret_n, struct err *err);

struct view_cause {
    const char *balance, *cause;
    uint64_t n;
};
int view_drift_causes(struct store *s, struct arena *arena, struct view_cause **ret, size_t *ret_n,
                      struct err *err);

/* Ages of all rows, in one scan. */
struct view_ages {
    uint64_t rows, unanchored, quarantined, listed;
    /* unanchored or older than max_age, and in quarantine: for these there is an excuse */
    uint64_t excused_unanchored, excused_old;
    uint64_t unreadable;   /* rows of wallets in quarantine: they keep their last value */
    uint64_t refused;      /* of those, rows that the database refuses */
    uint64_t refused_new;  /* wallets whose first row the database refuses */
    char refused_why[128]; /* the database's words for one of them */
    uint64_t old;          /* older than max_age */
    int64_t oldest_us, newest_us, now_us;
    uint64_t buckets[VIEW_BUCKETS]; /* [i]: rows of an age below limits[i], and not below
                                       limits[i − 1]; [n_limits]: the others */
};
struct view_scale {
    const uint32_t *limits_s;
    size_t n_limits;
    int64_t max_age_ms;
};
int view_ages(struct store *s, const struct store_balance *b, const struct view_scale *scale,
              struct view_ages *ret, struct err *err);

/* What `trueup doctor` wants to know. Where the database cannot tell, a field stays empty. */
struct view_facts {
    char version[80];
    bool may_write; /* INSERT, UPDATE and DELETE on the table */
    bool owner;
    bool table_exists, has_updated_index;
    bool has_observed;
    uint64_t bytes, rows_estimate;
    uint64_t non_canonical;
    uint64_t triggers,
        careless_triggers; /* the latter fire on an UPDATE that leaves balance as is */
    char careless_name[80];
    int64_t now_us;
    bool standby; /* read-only for now */
    /* Rights of the role: may it make tables in the schema, and write the checkpoints? A table that
     * is not there is made. */
    bool no_schema, may_create, may_write_checkpoints;
    char role[80], schema[80];
    bool made;             /* our own tables are there */
    char write_error[256]; /* what one UPDATE, rolled back, was refused with; "": it was not */
    bool pooled; /* a pooler in transaction mode stands in between, as far as one can see */
};
int view_facts(struct store *s, const struct store_balance *b, struct view_facts *ret,
               struct err *err);

#endif
