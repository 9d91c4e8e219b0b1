/*
 * The contract of the store, as tests that do not know which database they run on.
 *
 * Each test gets a fresh database with one balance, migrated. The backend comes from the first
 * argument: "sqlite" (a file in a temporary folder) or "postgres" (a database of its own in the
 * cluster TRUEUP_TEST_POSTGRES names; missing, the test fails). Besides the store under test there
 * is a raw connection, "the application's", for what only SQL can say.
 */
#ifndef TESTS_CONTRACT_H
#define TESTS_CONTRACT_H

#include "base/arena.h"
#include "base/err.h"
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct contract {
    struct store *store;
    struct store_balance balance;
    struct arena arena;
    struct err err;
    char url[512];
};

extern bool on_postgres;
int contract_main(int argc, char **argv, const char *name, const struct CMUnitTest *tests,
                  size_t n);

int fresh(void **state);       /* an empty database, migrated */
int fresh_empty(void **state); /* an empty database, nothing in it; the store is open */
int gone(void **state);

struct store *another(struct contract *c, const char *who); /* a second connection */

/* The application's own SQL; fails the test on error. value: first column of the first row as text,
 * "" for NULL or no row; valid until the next call. */
void app(struct contract *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *app_value(struct contract *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* A connection of its own that stays open, to hold locks and snapshots. */
void *app_hold(struct contract *c, const char *sql);
void app_release(void *held);

#define ok(c, call)                                                                                \
    do {                                                                                           \
        if ((call) != 0)                                                                           \
            fail_msg("%s: %s (%s)", #call, (c)->err.text, (c)->err.hint);                          \
    } while (0)

address wallet_no(unsigned i);
const char *wallet_text(unsigned i); /* one of eight rotating buffers */
struct anchor block_no(uint64_t number, unsigned fork);
void put_blocks(struct contract *c, uint64_t from, uint64_t to, unsigned fork);

/* One wallet, one value. */
struct store_old write_one(struct contract *c, unsigned wallet, uint64_t value, uint64_t at,
                           struct store_write extra, enum store_cause cause);
struct store_row row_of(struct contract *c, unsigned wallet);
bool has_row(struct contract *c, unsigned wallet);

#define EVENT(n)                                                                                   \
    (struct store_write)                                                                           \
    {                                                                                              \
        .has_event = true, .event_block = (n), .insert = INSERT_ALWAYS                             \
    }
#define SWEEP                                                                                      \
    (struct store_write)                                                                           \
    {                                                                                              \
        .insert = INSERT_ALWAYS                                                                    \
    }

#endif
