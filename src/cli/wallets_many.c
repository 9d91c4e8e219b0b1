/*
 * trueup wallets import FILE: into the list; all of it or, when lines are no wallets, nothing.
 * trueup wallets sync: whom the balance's query names and the table does not know, into the list.
 *
 * Both write pages in key order and skip what is there, so that a rerun after a kill ends in the
 * same list. What is listed without a row is read first by the sweep.
 */
#include "cli/wallets_many.h"
#include "base/mem.h"
#include "cli/progress.h"
#include "cli/wallet_file.h"
#include "store/holders.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { PAGE = 20000 };

/* ---- into the list --------------------------------------------------------------------------- */

struct adding {
    struct tracker *t;
    const struct store_balance *b;
    struct job *lease;
    struct progress progress;
    bool only_without_row;
    size_t added;
};

static int wallets_set_stopped(const struct tracker *t, struct err *err)
{
    if (!t->stop || !t->stop())
        return 0;
    err_set(err, ERR_STOPPED, "stopped");
    return err_hint(err, "run it again: what is in the list already is passed by");
}

/* Leaves those that have no row. */
static int keep_without_row(const struct adding *a, address *page, size_t *n, struct err *err)
{
    bool *without = mem_alloc((*n + 1) * sizeof *without);
    size_t kept = 0;
    int rc = store_without_row(a->t->store, a->b, page, *n, without, err);
    for (size_t i = 0; rc == 0 && i < *n; i++)
        if (without[i])
            page[kept++] = page[i];
    if (rc == 0)
        *n = kept;
    mem_free(without);
    return rc;
}

static int add_page(struct adding *a, address *page, size_t n, struct err *err)
{
    size_t added = 0;
    if (job_check(a->lease, err) < 0 || wallets_set_stopped(a->t, err) < 0)
        return -1;
    if (a->only_without_row && keep_without_row(a, page, &n, err) < 0)
        return -1;
    if (store_wallets_add(a->t->store, a->b, page, n, &added, err) < 0)
        return -1;
    a->added += added;
    return 0;
}

/* l is finalized; it is not good for anything afterwards. */
static int add_all(struct adding *a, struct wallet_list *l, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < l->n; i += PAGE) {
        rc = add_page(a, l->list + i, l->n - i < PAGE ? l->n - i : PAGE, err);
        progress_show(&a->progress, i, l->n, 0);
    }
    return rc;
}

static void wallets_begin_adding(struct adding *a, struct session *s, const struct store_balance *b)
{
    *a = (struct adding){.t = &s->t, .b = b, .lease = &s->lease};
    progress_start(&a->progress, "wallets", "%s %s", s->cli->args[0], b->name);
}

/* ---- import ---------------------------------------------------------------------------------- */

/* Before anything is written: a bad line is mostly a wrong column or a cut file. */
static int read_checked(const struct cli *cli, struct wallet_list *ret, struct err *err)
{
    const char *name = cli->args[1];
    if (wallet_file_load(name, ret, err) < 0)
        return -1;
    if (ret->bad > 0 && !cli_has(cli, "skip-bad")) {
        err_set(err, ERR_USAGE,
                "%s: %" PRIu64 " of %" PRIu64 " lines are no wallets; nothing was "
                "imported",
                name, ret->bad, ret->lines);
        return err_hint(err, "correct them, or leave them out with --skip-bad");
    }
    wallet_list_sort_unique(ret);
    return 0;
}

static void print_import(const struct adding *a, const struct wallet_list *l, bool json)
{
    if (json)
        printf("{\"balance\":\"%s\",\"lines\":%" PRIu64 ",\"bad\":%" PRIu64
               ",\"wallets\":%zu,\"added\":%zu}\n",
               a->b->name, l->lines, l->bad, l->n, a->added);
    else
        printf("%s: %zu wallets in %" PRIu64 " lines, %zu added, %zu were listed already\n",
               a->b->name, l->n, l->lines, a->added, l->n - a->added);
}

int wallets_import(struct session *s, void *ctx, struct err *err)
{
    struct wallet_list l = {0};
    (void)ctx;
    if (s->cli->n_args != 2)
        return err_set(err, ERR_USAGE, "wallets import wants one file, or - for stdin");
    int rc = read_checked(s->cli, &l, err);
    if (rc == 0)
        rc = job_take(&s->lease, &s->t, "import", err);
    for (size_t i = 0; rc == 0 && i < s->t.n_balances; i++) {
        struct adding a;
        wallets_begin_adding(&a, s, &s->t.balances[i].store);
        rc = add_all(&a, &l, err);
        progress_end(&a.progress);
        if (rc == 0)
            print_import(&a, &l, s->json);
    }
    wallet_list_free(&l);
    return rc;
}

/* ---- sync ------------------------------------------------------------------------------------ */

static void take_page(void *ctx, const address *wallets, size_t n)
{
    wallet_list_add(ctx, wallets, n);
}

/* Holders that a backfill found, and that the query names by now. */
static int add_found(struct adding *a, struct err *err)
{
    address after;
    bool started = false;
    size_t n = PAGE;
    int rc = 0;
    while (rc == 0 && n == PAGE) {
        struct arena arena;
        struct named_holder *page;
        arena_init(&arena);
        rc = store_holders_next(a->t->store, a->b,
                                &(struct holders_page){.which = HOLDERS_WITHOUT_ROW,
                                                       .after = started ? &after : NULL,
                                                       .limit = PAGE,
                                                       .arena = &arena},
                                &page, &n, err);
        address *wallets = arena_alloc(&arena, (PAGE + 1) * sizeof *wallets);
        bool *tracked = arena_alloc(&arena, (PAGE + 1) * sizeof *tracked);
        size_t kept = 0;
        for (size_t i = 0; rc == 0 && i < n; i++)
            wallets[i] = page[i].wallet;
        if (rc == 0 && n > 0) {
            after = page[n - 1].wallet;
            started = true;
            rc = store_tracked(a->t->store, a->b, wallets, n, tracked, err);
        }
        for (size_t i = 0; rc == 0 && i < n; i++)
            if (tracked[i])
                wallets[kept++] = wallets[i];
        if (rc == 0)
            rc = add_page(a, wallets, kept, err);
        arena_free(&arena);
    }
    return rc;
}

static int sync_one(struct session *s, const struct store_balance *b, struct err *err)
{
    struct wallet_list l = {0};
    struct adding a;
    uint64_t odd = 0;
    wallets_begin_adding(&a, s, b);
    a.only_without_row = true;
    int rc = store_walk_query(s->t.store, b, take_page, &l, &odd, err);
    wallet_list_sort_unique(&l);
    size_t named = l.n;
    if (rc == 0)
        rc = add_all(&a, &l, err);
    if (rc == 0)
        rc = add_found(&a, err);
    progress_end(&a.progress);
    wallet_list_free(&l);
    if (rc < 0)
        return -1;
    printf(s->json ? "{\"balance\":\"%s\",\"named\":%zu,\"odd\":%" PRIu64 ",\"added\":%zu}\n"
                   : "%s: the query names %zu wallets (%" PRIu64 " values are none), %zu new ones "
                     "without a row: the sweep reads them first\n",
           b->name, named, odd, a.added);
    if (named == 0 && !s->json)
        fprintf(stderr, "hint: to be asked for all its wallets a query must take NULL for $1: "
                        "… WHERE ($1::text[] IS NULL OR lower(wallet) = ANY($1))\n");
    return 0;
}

int wallets_sync(struct session *s, void *ctx, struct err *err)
{
    size_t queries = 0;
    (void)ctx;
    for (size_t i = 0; i < s->t.n_balances; i++)
        queries += s->t.balances[i].store.tracking == STORE_QUERY;
    if (s->cli->n_args != 1 || queries == 0)
        return err_set(err, ERR_USAGE,
                       queries ? "wallets sync takes nothing"
                               : "wallets sync: no balance has `wallets: {query: …}`");
    int rc = job_take(&s->lease, &s->t, "sync", err);
    for (size_t i = 0; rc == 0 && i < s->t.n_balances; i++)
        if (s->t.balances[i].store.tracking == STORE_QUERY)
            rc = sync_one(s, &s->t.balances[i].store, err);
    return rc;
}
