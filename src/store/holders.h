/*
 * Holders named by event history, on their way to the table: trueup_found. A backfill leaves each
 * here with the highest block whose event named it, together with the note how far it has looked,
 * in one transaction; so a backfill that was killed goes on from there, and its memory need not
 * hold them all.
 *
 * Beside it what else a command needs that goes through all wallets: rows by key, and all that a
 * balance's query names.
 */
#ifndef STORE_HOLDERS_H
#define STORE_HOLDERS_H

#include "store/store.h"

struct named_holder {
    address wallet;
    uint64_t block;
};

/* Adds holders, sorted by wallet and unique; the block of one that is known is raised, never
 * lowered. The note becomes a state in the same transaction (NULL: none). */
struct store_note {
    const char *key, *value;
};
int store_holders_put(struct store *s, const struct store_balance *b,
                      const struct named_holder *list, size_t n, const struct store_note *note,
                      struct err *err);

enum holders_which {
    HOLDERS_UNREAD, /* no row answers the event: its blocknumber and observed_block are below it */
    HOLDERS_WITHOUT_ROW, /* the table has no row */
};
struct holders_page {
    enum holders_which which;
    const address *after; /* NULL: from the start */
    size_t limit;
    struct arena *arena; /* for the answer */
};
/* In key order; fewer than limit means the end. */
int store_holders_next(struct store *s, const struct store_balance *b,
                       const struct holders_page *page, struct named_holder **ret, size_t *ret_n,
                       struct err *err);
int store_holders_count(struct store *s, const struct store_balance *b, uint64_t *ret,
                        struct err *err);
int store_holders_clear(struct store *s, const struct store_balance *b, struct err *err);

/* The wallets of all rows in key order, quarantined ones too, after `after` (NULL: from the start).
 * Fewer than limit means the end. What is no wallet of ours is left out. */
int store_keys(struct store *s, const struct store_balance *b, const struct store_page *page,
               address **ret, size_t *ret_n, struct err *err);

/* The same, and listed wallets that have no row. */
int store_keys_and_list(struct store *s, const struct store_balance *b,
                        const struct store_page *page, address **ret, size_t *ret_n,
                        struct err *err);

/* Which of these have no row; sorted and unique. */
int store_without_row(struct store *s, const struct store_balance *b, const address *wallets,
                      size_t n, bool *ret_without, struct err *err);

/* Everything the balance's query names when $1 is NULL, handed over in pages, in no order. What is
 * no wallet is passed by and counted. ERR_STORE on SQLite, which has no query. */
int store_walk_query(struct store *s, const struct store_balance *b,
                     void (*take)(void *ctx, const address *wallets, size_t n), void *ctx,
                     uint64_t *ret_odd, struct err *err);

#endif
