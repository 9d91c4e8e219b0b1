/*
 * The store, in verbs. Each thing the program needs from a database is one function with typed
 * input and result; no SQL leaves this folder, and callers never ask which database they have.
 *
 * A store is one connection, used by one process and one thread. Each verb stands once, over
 * a driver for PostgreSQL and one for SQLite (store/driver.h); tests/contract runs the same tests
 * on both.
 *
 * Rules of every verb:
 *  - One verb that writes is one transaction: all of it happens or nothing.
 *  - Times come from the database's clock, in UTC, as microseconds since 1970.
 *  - Wallets in a batch are sorted and unique (dirty_sort_unique() in track does it): two writers
 *    with opposite order would deadlock, and PostgreSQL refuses duplicates in one statement.
 *  - Errors: ERR_STORE when the database refuses (schema, rights, version), ERR_STORE_LOST when it
 *    went away, is busy, read-only for now, full, or asks for a retry: store_reopen() and again.
 *    After ERR_STORE_LOST nothing of the verb has been written; only when the connection broke
 *    during the commit itself it may have been, and repeating the verb then does no harm.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/arena.h"
#include "base/err.h"
#include "eth/block.h"
#include "num/u256.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;

/* What the store must know of a balance. The caller's, unchanged while the store is open. */
enum store_tracking { STORE_SEEN, STORE_LISTED, STORE_QUERY };

struct store_balance {
    const char *name;       /* key in trueup's own tables: "audio" */
    const char *table;      /* "eth_wallet_balances"; may be schema-qualified on PostgreSQL */
    const char *checkpoint; /* row in eth_indexer_checkpoints: "audio_transfers" */
    enum store_tracking tracking;
    const char *query;  /* STORE_QUERY: SQL with $1 text[], first column is a tracked wallet */
    hash32 terms_print; /* fingerprint of the terms: another one makes all rows unanchored */
    hash32 rules_print; /* fingerprint of triggers and wallets rule */
};

/* A part of a list, from its start or behind what the caller has. */
struct store_page {
    size_t limit;
    struct arena *arena;  /* for the answer */
    const address *after; /* of a list in key order: NULL is from the start */
    int64_t before_us;    /* of rows: updated before this; 0: all */
    uint64_t up_to;       /* of what has a block: at this one or below */
};

/* url: "postgres://…", "postgresql://…", "sqlite:FILE", or a libpq string with "host=". schema: of
 * our own tables, on PostgreSQL; NULL: the connection's own. who names the connection
 * (application_name). Connects; does not look at the tables. */
int store_open(const char *url, const char *schema, const char *who, struct store **ret,
               struct err *err);
/* ERR_STORE where url names a file that is not there: store_open() would make it. */
int store_find(const char *url, struct err *err);
int store_reopen(struct store *s, struct err *err); /* a fresh connection; keeps the object */
void store_close(struct store *s);                  /* NULL is fine */
/* Do several connections write at the same time, or one after the other? */
bool store_has_parallel_writers(const struct store *s);

/* ---- schema ---------------------------------------------------------------------------------- */

struct store_adopted {
    bool created;       /* the table did not exist */
    bool added_column;  /* observed_block was added */
    bool added_index;   /* on updated_at */
    bool index_missing; /* and could not be added: index_sql is what to run */
    char index_sql[256];
    bool terms_changed;      /* all rows are unanchored now */
    bool rules_changed;      /* other triggers or wallets rule from here on */
    bool foreign_checkpoint; /* another program moved it since we did */
    uint64_t foreign_rows;   /* rows another program wrote since our last write: unanchored now */
    uint64_t non_canonical_rows; /* wallet not 0x + 40 lower-case hex: left alone */
    uint64_t unanchored_rows;    /* may be an estimate on a large table */
};

/* Creates or upgrades trueup's own tables. A daemon of an older version writes no more after it. */
int store_upgrade(struct store *s, struct err *err);
/* The same, then creates or adopts each balance's table (rules:
 * docs/formats.md). Idempotent. Refuses a schema newer than this program. */
int store_migrate(struct store *s, const struct store_balance *balances, size_t n,
                  struct store_adopted *ret, struct err *err);
/* Fails with ERR_STORE and a hint to run `trueup migrate` unless the schema is this program's. */
int store_check(struct store *s, const struct store_balance *balances, size_t n, struct err *err);
/* The balances this database was migrated for, by name, in order. */
int store_balance_names(struct store *s, struct arena *arena, const char *const **ret,
                        size_t *ret_n, struct err *err);
/* Forgets a balance: its list, marks, quarantine and state. Its rows, changes and drift stay. */
int store_forget_balance(struct store *s, const char *name, struct err *err);
/* ERR_STORE where no table of ours was ever made. */
int store_check_made(struct store *s, struct err *err);
/* Forgets headers, checkpoints, dirty marks, quarantine, found holders and all state but keys that
 * begin with terms:, rules:, wrote:, made: or spent; makes every row unanchored and due,
 * blocknumber NULL, for it is of the old chain. Keeps rows and their balances, the wallets list and
 * drift. */
int store_reset_chain(struct store *s, const struct store_balance *balances, size_t n,
                      struct err *err);

/* ---- headers: trueup_blocks ------------------------------------------------------------------ */

/* Stores headers as canonical; another header stored at the same number stops being canonical.
 * Rows are not touched: that is store_rewind()'s. */
int store_headers_put(struct store *s, const struct anchor *headers, size_t n, struct err *err);
/* The canonical header at number; *ret_found false if none is stored. */
int store_header_at(struct store *s, uint64_t number, struct anchor *ret, bool *ret_found,
                    struct err *err);
/* Canonical headers, newest first. */
int store_headers_below(struct store *s, const struct store_page *page, struct anchor **ret,
                        size_t *ret_n, struct err *err);
/* The chain broke at first_bad: headers from there on stop being canonical, and every row of every
 * balance with observed_block >= first_bad becomes unanchored and due: observed_block NULL, and
 * updated_at 1970, for its last read was of a chain that is gone; so every claim looks at it first.
 * Dirty marks from there on stay (their wallets are re-read). */
int store_rewind(struct store *s, const struct store_balance *balances, size_t n,
                 uint64_t first_bad, uint64_t *ret_rows, struct err *err);
/* Drops headers, canonical or not, that are older than `before` and lie below the newest `keep`
 * canonical ones at or below `below`. */
struct store_prune {
    uint64_t below;
    size_t keep;
    uint64_t before; /* a timestamp, seconds */
};
int store_headers_prune(struct store *s, const struct store_prune *p, struct err *err);

/* ---- writing: one batch, one transaction ----------------------------------------------------- */

enum store_cause { /* why a wallet was read; also the `cause` of trueup_changes */
                   CAUSE_EVENT,
                   CAUSE_SWEEP,
                   CAUSE_REREAD,
                   CAUSE_REORG,
                   CAUSE_AUDIT,
                   CAUSE_BACKFILL,
};
const char *store_cause_name(enum store_cause c); /* "event", "sweep" … */

enum store_insert {
    INSERT_NEVER,     /* only an existing row is written */
    INSERT_IF_LISTED, /* a new row only while the wallet is in trueup_wallets, checked in the
                         transaction: `wallets remove` wins over a write already planned */
    INSERT_ALWAYS,
};

struct store_write { /* one anchored value */
    address wallet;
    u256 value;
    bool has_event; /* an event named the wallet: event_block goes into blocknumber */
    uint64_t event_block;
    enum store_insert insert;
};

struct store_failure { /* one wallet that could not be read or written: into quarantine */
    address wallet;
    const char *reason; /* "held: reverted" */
    bool first_insert;  /* refused, and without a row: it has no next try of its own */
    bool has_event;
    uint64_t event_block; /* paid into blocknumber when the wallet is read at last */
};

struct store_dirty { /* a first look named this wallet above finalized */
    address wallet;
    uint64_t number;      /* of the event's block … */
    hash32 hash;          /* … and its hash */
    const char *endpoint; /* that showed the log; NULL or "": not known */
};

struct store_batch {
    const struct store_balance *balance;
    enum store_cause cause;
    struct anchor at;                 /* the block all values were read at; locked first */
    const struct store_write *writes; /* sorted by wallet, unique */
    size_t n_writes;
    const struct store_failure *failures; /* sorted by wallet, unique, disjoint from writes */
    size_t n_failures;
    const struct store_dirty *dirty; /* marks to add, in the same transaction */
    size_t n_dirty;
    bool has_checkpoint; /* last_block = max(old, checkpoint) */
    uint64_t checkpoint;
    /* Every event up to `at` has been answered for this balance: a difference without an event is
     * drift, and filed in trueup_drift with the cause "unknown" (store/audit.h tells it later). */
    bool files_drift;
    uint64_t explained_below; /* rows observed before this block are due anyway: no drift */
};

enum store_outcome {
    OUTCOME_INSERTED,
    OUTCOME_CHANGED,   /* another balance than before */
    OUTCOME_REFRESHED, /* the same balance, anchored anew */
    OUTCOME_OLDER,     /* the row was observed later: at most blocknumber moved */
    OUTCOME_ABSENT,    /* no row, and none may be inserted */
    OUTCOME_MISSED,    /* another program changed the row each time, nothing was written */
    OUTCOME_REFUSED,   /* by the database: quarantined */
    OUTCOME_ALTERED,   /* a trigger made another row of it: quarantined, without an anchor */
};

struct store_old { /* what a write met; parallel to batch.writes */
    enum store_outcome outcome;
    bool existed;
    u256 balance;
    bool odd; /* an adopted balance that is no u256 (negative, a fraction, too large): balance is 0
                 here, and any value read counts as a change */
    bool has_observed;
    uint64_t observed_block;
    bool has_blocknumber;
    uint64_t blocknumber;
    int64_t updated_us;
    bool drifted;
    uint64_t drift_id;   /* its row of trueup_drift */
    const char *altered; /* ALTERED: how, in the arena */
};

struct store_applied {
    bool anchor_gone; /* the header is stored no more or not canonical: nothing was written */
    /* The database refuses rows that it took lately. Nothing is quarantined, and the checkpoint
     * does not move; some rows may be written. */
    bool table_refuses;
    struct err why; /* of that; else of the first refused row, if one was */
    size_t inserted, changed, refreshed, older, absent, missed, quarantined, drifted;
    size_t altered; /* outcomes; counted in `refused` too */
    size_t refused; /* of those quarantined, or dropped since too many first inserts are kept */
    struct store_old *olds; /* n_writes of them, in the arena; NULL if anchor_gone */
};

/* Writes the batch by the rules of store/rule.h: an event never lowers blocknumber; a value read at
 * an older block than the row's observed_block changes nothing; an unchanged value touches
 * updated_at and observed_block only, so that a trigger on `balance` does not fire. A written
 * wallet leaves quarantine, its waiting event_block paid into blocknumber; a failed one enters it
 * or has its failures counted and retry_at moved (1 min doubling to 24 h, with jitter). Changed and
 * inserted values are appended to trueup_changes.
 * A row that the database refuses enters quarantine, "refused by the database: …", and the others
 * are written (store/parts.h): then the batch is several transactions, of which the last one has
 * the checkpoint. A row that a trigger of the table changed enters it as "changed by a trigger of
 * the table: …", and has no anchor. */
int store_apply(struct store *s, const struct store_batch *batch, struct arena *arena,
                struct store_applied *ret, struct err *err);

/* Moves the checkpoint alone, if the anchor is still canonical: a range without any event. */
int store_checkpoint_advance(struct store *s, const struct store_balance *b,
                             const struct anchor *at, bool *ret_anchor_gone, struct err *err);
int store_checkpoint_get(struct store *s, const struct store_balance *b, uint64_t *ret,
                         bool *ret_found, struct err *err);
/* The checkpoint as our last write left it. Less than what is there: another program moved it. */
int store_checkpoint_ours(struct store *s, const struct store_balance *b, uint64_t *ret,
                          bool *ret_found, struct err *err);

/* ---- picking wallets ------------------------------------------------------------------------- */

/* Where a sweep stands in the order of updated_at; zero is the start of a lap. In memory only. */
struct store_cursor {
    bool started;
    bool lap;               /* the last pick came to the end, and the cursor started over */
    int64_t updated_us;     /* lower bound of the next pick */
    int64_t lap_started_ms; /* monotonic: restarted every lap and every ten minutes */
    uint64_t laps;
    bool passed_later; /* the last pick passed rows by that were observed after max_observed */
    /* a look at the placeholder range that turned out slow is not repeated before this */
    int64_t placeholders_not_before_ms;
    int64_t lap_start_us; /* database time: rows written since then belong to the next lap */
    struct {              /* SQLite: the last row looked at, as it spells itself */
        char time[32], wallet[64];
    } after;
    uint64_t walk_at;      /* PostgreSQL: where the walk over the heap stands (pick_pg.c) */
    bool from_end;         /* PostgreSQL: look at the placeholders from their other end */
    int64_t walk_until_ms; /* monotonic: the order by updated_at is too slow to ask until then */
};

struct store_stale {
    address wallet;
    bool has_row;    /* false: listed, without a row yet */
    bool unanchored; /* observed_block is NULL */
    uint64_t observed_block;
    int64_t updated_us;
};

struct store_pick {
    size_t want;           /* at most this many wallets */
    uint64_t max_observed; /* rows observed later than this block are passed by: a read at it could
                              not be written */
    const address *in_flight; /* sorted: being read right now, passed by */
    size_t n_in_flight;
    struct store_cursor *cursor; /* moves */
    bool first_reads;            /* only listed wallets without a row, and placeholders */
    struct arena *arena;         /* for the answer */
};

/* The oldest wallets: first those listed without a row, then placeholders and unanchored rows
 * (updated_at before 1971, or observed_block NULL after a rewind), then by updated_at from the
 * cursor on. Wallets whose quarantine has not expired are passed by. Looks at a bounded number of
 * rows per call: fewer than `want` does not mean the end, cursor->lap does.
 */
int store_claim_stale(struct store *s, const struct store_balance *b, const struct store_pick *pick,
                      struct store_stale **ret, size_t *ret_n, struct err *err);

/* For a flat-out pass: rows with wallet > after (NULL: from the start) in key order, updated before
 * `before_us` (0: all); quarantined ones passed by. Fewer than `limit` means the end. */
int store_next_by_key(struct store *s, const struct store_balance *b, const struct store_page *page,
                      struct store_stale **ret, size_t *ret_n, struct err *err);

/* Listed wallets without a row, in key order; quarantined ones passed by. */
int store_pending(struct store *s, const struct store_balance *b, const struct store_page *page,
                  address **ret, size_t *ret_n, struct err *err);

/* Quarantined wallets whose retry_at has come. */
int store_quarantine_due(struct store *s, const struct store_balance *b,
                         const struct store_page *page, address **ret, size_t *ret_n,
                         struct err *err);

/* Which of these are tracked now: by the balance's rule, by the list, or by having a row. */
int store_tracked(struct store *s, const struct store_balance *b, const address *wallets, size_t n,
                  bool *ret_tracked, struct err *err);

struct store_event { /* an event that names a wallet */
    address wallet;
    uint64_t block;
};
/* Which of these have been answered: the row is anchored at the event's block or later and its
 * blocknumber says so, or the wallet is in quarantine for that block or a later one. */
int store_answered(struct store *s, const struct store_balance *b, const struct store_event *events,
                   size_t n, bool *ret_answered, struct err *err);
/* Rows that are anchored at their event's block or later get its blocknumber, never a lower one:
 * they need no read. Events in the order of wallets. */
int store_raise_blocknumbers(struct store *s, const struct store_balance *b,
                             const struct store_event *events, size_t n, struct err *err);

/* ---- rows, lists, small state ---------------------------------------------------------------- */

struct store_row {
    bool found;
    bool odd; /* the balance is no u256; 0 here */
    bool has_observed, has_blocknumber;
    bool waiting; /* in quarantine */
    u256 balance;
    uint64_t observed_block, blocknumber;
    int64_t updated_us, created_us;
};
/* The rows of these wallets (sorted, unique) as they stand now; ret is parallel to them. */
int store_rows(struct store *s, const struct store_balance *b, const address *wallets, size_t n,
               struct store_row *ret, struct err *err);

struct store_counts {
    uint64_t rows, unanchored, quarantined, listed;
    int64_t oldest_us; /* of anchored and unanchored rows; 0 when there are none */
    int64_t now_us;    /* the database's clock */
};
/* Scans: for commands and the once-a-minute statistics, never per request. */
int store_count(struct store *s, const struct store_balance *b, struct store_counts *ret,
                struct err *err);

/* Tracked wallets that have no row: listed, or in quarantine since their first read. */
int store_count_without_row(struct store *s, const struct store_balance *b, uint64_t *ret,
                            struct err *err);

/* Sorts, and drops what came twice; the new number. */
size_t addresses_sort_unique(address *list, size_t n);

int store_wallets_add(struct store *s, const struct store_balance *b, const address *wallets,
                      size_t n, size_t *ret_added, struct err *err);
/* From the list, the table, quarantine and dirty marks. */
int store_wallets_remove(struct store *s, const struct store_balance *b, const address *wallets,
                         size_t n, size_t *ret_removed, struct err *err);
/* The list in key order. */
int store_wallets_list(struct store *s, const struct store_balance *b,
                       const struct store_page *page, address **ret, size_t *ret_n,
                       struct err *err);

/* Dirty marks, oldest first. */
int store_dirty_due(struct store *s, const struct store_balance *b, const struct store_page *page,
                    struct store_dirty **ret, size_t *ret_n, struct err *err);
/* Drops those of blocks up to this one: the second look has passed it. */
int store_dirty_drop(struct store *s, const struct store_balance *b, uint64_t up_to,
                     struct err *err);

/* trueup_state: short texts by key ("chain.id", "chain.genesis", "rescan:audio"); docs/formats.md
 * lists them. */
enum { STORE_STATE_MAX = 32768 };
int store_state_get(struct store *s, const char *key, struct arena *arena, const char **ret,
                    struct err *err); /* *ret NULL if there is none */
int store_state_set(struct store *s, const char *key, const char *value, struct err *err);

/* Where a balance stands, in one read: what a tick of the sweep asks first. */
struct store_position {
    bool has_checkpoint, has_rescan;
    uint64_t checkpoint;
    uint64_t rescan;       /* state "rescan:NAME": looked at twice so far, in a rescan */
    uint64_t passed;       /* state "passed:NAME", 0 if there is none */
    uint64_t all_due;      /* state "all_due:NAME", 0 if there is none */
    const char *positions; /* state "positions", in the arena; NULL if there is none */
};
int store_position(struct store *s, const struct store_balance *b, struct arena *arena,
                   struct store_position *ret, struct err *err);

/* trueup_learned: sizes by endpoint and reader, as a short text of the caller's. */
int store_learned_get(struct store *s, const char *endpoint, const char *reader,
                      struct arena *arena, const char **ret, struct err *err);
int store_learned_put(struct store *s, const char *endpoint, const char *reader, const char *sizes,
                      struct err *err);

#endif
