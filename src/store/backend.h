/*
 * A backend is one database behind the verbs of store.h.
 *
 * Contract, besides the rules at the top of store.h:
 *  - An open store embeds `struct store` as its first member; store.c fills in everything but ops.
 *  - store.c has already checked what does not need the database: counts of zero are answered, a
 *    batch is sorted and unique, names fit. A backend does not check again.
 *  - Outputs are untouched on failure, and after a failure no transaction is left open.
 *  - Rows are decided by rule.h, never in SQL: both databases must do the same.
 *  - Locks are taken in one order: anchor, rows by wallet, quarantine by wallet, the list, dirty
 *    marks, checkpoint, our last-write mark, drift, changes. Two writers can then wait, but
 *    not deadlock.
 */
#ifndef STORE_BACKEND_H
#define STORE_BACKEND_H

#include "base/random.h"
#include "base/url.h"
#include "store/rule.h"
#include "store/store.h"

enum {
    SCHEMA_VERSION = 2,
    CHANGES_KEPT = 1000000,
    /* trueup_changes is pruned when its id passes a multiple of this: cheap, and seldom */
    CHANGES_STEP = 10000,
    STORE_BATCH_MAX = 1000000, /* wallets in one call: a ceiling, far above what is sensible */
};

/* What the placeholder range is: rows an application inserted with a guess and 1970. */
#define PLACEHOLDER_END "1971-01-01 00:00:00"

struct backend;
struct store {
    const struct backend *ops;
    char *url;
    char *who;
    char masked[URL_TEXT];
    struct rng rng;
};

struct backend {
    int (*reopen)(struct store *s, struct err *err);
    void (*close)(struct store *s);

    int (*migrate)(struct store *s, const struct store_balance *b, size_t n,
                   struct store_adopted *ret, struct err *err);
    int (*check)(struct store *s, const struct store_balance *b, size_t n, struct err *err);
    int (*reset_chain)(struct store *s, const struct store_balance *b, size_t n, struct err *err);

    int (*headers_put)(struct store *s, const struct anchor *h, size_t n, struct err *err);
    int (*headers_below)(struct store *s, uint64_t max, size_t limit, struct arena *arena,
                         struct anchor **ret, size_t *ret_n, struct err *err);
    int (*rewind)(struct store *s, const struct store_balance *b, size_t n, uint64_t first_bad,
                  uint64_t *ret_rows, struct err *err);
    int (*headers_prune)(struct store *s, uint64_t below, struct err *err);

    int (*apply)(struct store *s, const struct store_batch *batch, struct arena *arena,
                 struct store_applied *ret, struct err *err);
    int (*checkpoint_get)(struct store *s, const struct store_balance *b, uint64_t *ret,
                          bool *ret_found, struct err *err);

    int (*claim_stale)(struct store *s, const struct store_balance *b,
                       const struct store_pick *pick, struct store_cursor *cursor,
                       struct arena *arena, struct store_stale **ret, size_t *ret_n, bool *ret_lap,
                       struct err *err);
    int (*next_by_key)(struct store *s, const struct store_balance *b, const address *after,
                       int64_t before_us, size_t limit, struct arena *arena,
                       struct store_stale **ret, size_t *ret_n, struct err *err);
    int (*quarantine_due)(struct store *s, const struct store_balance *b, size_t limit,
                          struct arena *arena, address **ret, size_t *ret_n, struct err *err);
    /* By list, by query and by having a row; STORE_SEEN never comes here. */
    int (*tracked)(struct store *s, const struct store_balance *b, const address *wallets, size_t n,
                   bool *ret_tracked, struct err *err);

    int (*row)(struct store *s, const struct store_balance *b, const address *wallet,
               struct store_row *ret, bool *ret_found, struct err *err);
    int (*count)(struct store *s, const struct store_balance *b, struct store_counts *ret,
                 struct err *err);
    int (*wallets_add)(struct store *s, const struct store_balance *b, const address *wallets,
                       size_t n, size_t *ret_added, struct err *err);
    int (*wallets_remove)(struct store *s, const struct store_balance *b, const address *wallets,
                          size_t n, size_t *ret_removed, struct err *err);
    int (*wallets_list)(struct store *s, const struct store_balance *b, const address *after,
                        size_t limit, struct arena *arena, address **ret, size_t *ret_n,
                        struct err *err);
    int (*dirty_due)(struct store *s, const struct store_balance *b, uint64_t number, size_t limit,
                     struct arena *arena, struct store_dirty **ret, size_t *ret_n, struct err *err);
    int (*dirty_drop)(struct store *s, const struct store_balance *b,
                      const struct store_dirty *marks, size_t n, struct err *err);

    int (*state_get)(struct store *s, const char *key, struct arena *arena, const char **ret,
                     struct err *err);
    int (*state_set)(struct store *s, const char *key, const char *value, struct err *err);
    /* The value is the time it ends, a space, and the holder. */
    int (*lease_take)(struct store *s, const char *key, const char *holder, const char *instead_of,
                      unsigned seconds, struct err *err);
    int (*lease_drop)(struct store *s, const char *key, const char *holder, struct err *err);
    int (*lease_holder)(struct store *s, const char *key, struct arena *arena, const char **ret,
                        struct err *err);
    int (*learned_get)(struct store *s, const char *endpoint, const char *reader,
                       struct arena *arena, const char **ret, struct err *err);
    int (*learned_put)(struct store *s, const char *endpoint, const char *reader, const char *sizes,
                       struct err *err);
};

/* Each connects, or fails; *ret is a zeroed-out store of its own kind with ops set. */
int sqlite_open(const char *url, const char *who, struct store **ret, struct err *err);
int pg_open(const char *url, const char *who, struct store **ret, struct err *err);

/* Fills url, who, masked, rng of a fresh store; store_base_free() undoes it. */
void store_base_init(struct store *s, const struct backend *ops, const char *url, const char *who);
void store_base_free(struct store *s);

#endif
