/* trueup wallets add|remove|list|count: the tracked list; import and sync are in wallets_many.c. */
#include "base/mem.h"
#include "cli/wallet_file.h"
#include "cli/wallets_many.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const struct cli_option wallets_options[] = {
    {"skip-bad", NULL, NULL, "import: leave out lines that are no wallets"},
    {0},
};

enum { PAGE = 1000 };

/* add and remove */
static int wallets_change_list(struct session *s, void *ctx, struct err *err)
{
    const struct cli *cli = s->cli;
    bool add = strcmp(cli->args[0], "add") == 0;
    struct wallet_list l = {0};
    size_t done;
    int rc = 0;
    (void)ctx;
    if (cli->n_args < 2) {
        err_set(err, ERR_USAGE, "wallets %s: which wallets?", cli->args[0]);
        return err_hint(err, "trueup wallets %s 0x…", cli->args[0]);
    }
    if (wallet_list_parse(&l, cli->args + 1, cli->n_args - 1, err) < 0)
        return -1;
    for (size_t i = 0; rc == 0 && i < s->t.n_balances; i++) {
        const struct store_balance *b = &s->t.balances[i].store;
        rc = (add ? store_wallets_add : store_wallets_remove)(s->t.store, b, l.list, l.n, &done,
                                                              err);
        if (rc == 0)
            printf("%s: %zu %s\n", b->name, done, add ? "added" : "removed");
    }
    wallet_list_free(&l);
    return rc;
}

static int wallets_list(struct session *s, struct tracked *tracked, void *ctx, struct err *err)
{
    const struct store_balance *b = &tracked->store;
    address after, *page;
    size_t n;
    bool started = false;
    (void)ctx;
    do {
        struct arena arena;
        arena_init(&arena);
        int rc = store_wallets_list(
            s->t.store, b,
            &(struct store_page){.after = started ? &after : NULL, .limit = PAGE, .arena = &arena},
            &page, &n, err);
        for (size_t i = 0; rc == 0 && i < n; i++) {
            char text[ADDRESS_TEXT];
            address_text(&page[i], text);
            printf(s->json ? "{\"balance\":\"%s\",\"wallet\":\"%s\"}\n" : "%s %s\n", b->name, text);
        }
        if (rc == 0 && n > 0)
            after = page[n - 1];
        started = true;
        arena_free(&arena);
        if (rc < 0)
            return -1;
    } while (n == PAGE);
    return 0;
}

static int wallets_count(struct session *s, struct tracked *b, void *ctx, struct err *err)
{
    struct store_counts c;
    (void)ctx;
    if (store_count(s->t.store, &b->store, &c, err) < 0)
        return -1;
    printf(s->json ? "{\"balance\":\"%s\",\"listed\":%" PRIu64 ",\"rows\":%" PRIu64
                     ",\"unanchored\":%" PRIu64 ",\"quarantined\":%" PRIu64 "}\n"
                   : "%s: %" PRIu64 " listed, %" PRIu64 " rows, %" PRIu64 " unanchored, %" PRIu64
                     " in quarantine\n",
           b->store.name, c.listed, c.rows, c.unanchored, c.quarantined);
    return 0;
}

static const struct {
    const char *name;
    int (*work)(struct session *s, void *ctx, struct err *err);
    int (*balance)(struct session *s, struct tracked *b, void *ctx, struct err *err);
    int steps;
} verbs[] = {{"add", wallets_change_list, NULL, SESSION_MIGRATE},
             {"remove", wallets_change_list, NULL, SESSION_CHECK_STORE},
             {"import", wallets_import, NULL, SESSION_MIGRATE},
             {"sync", wallets_sync, NULL, SESSION_MIGRATE},
             {"list", NULL, wallets_list, SESSION_CHECK_STORE},
             {"count", NULL, wallets_count, SESSION_CHECK_STORE}};

int command_wallets(struct cli *cli)
{
    for (size_t i = 0; i < COUNT_OF(verbs); i++)
        if (strcmp(cli->args[0], verbs[i].name) == 0)
            return session_run(cli, &(struct session_plan){.needs = NEEDS_STORE,
                                                           .steps = verbs[i].steps,
                                                           .work = verbs[i].work,
                                                           .balance = verbs[i].balance});
    return cli_usage(cli, "wallets: unknown verb \"%s\"; add, remove, import, sync, list or count",
                     cli->args[0]);
}
