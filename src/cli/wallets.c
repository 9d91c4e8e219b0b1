/* trueup wallets add|remove|list|count: the tracked list; import and sync are in wallets_many.c. */
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/wallets_many.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const struct cli_option wallets_options[] = {
    {"skip-bad", NULL, NULL, "import: leave out lines that are no wallets"},
    {0},
};

enum { PAGE = 1000 };

static int parse_rest(const struct cli *cli, address **ret, size_t *ret_n, struct err *err)
{
    size_t n = (size_t)cli->n_args - 1;
    if (n == 0) {
        err_set(err, ERR_USAGE, "wallets %s: which wallets?", cli->args[0]);
        return err_hint(err, "trueup wallets %s 0x…", cli->args[0]);
    }
    address *list = mem_alloc(n * sizeof *list);
    for (size_t i = 0; i < n; i++) {
        const char *text = cli->args[i + 1];
        if (address_parse(text, strlen(text), &list[i], err) < 0) {
            mem_free(list);
            err->kind = ERR_USAGE;
            return -1;
        }
    }
    *ret = list;
    *ret_n = n;
    return 0;
}

static int wallets_change_list(struct tracker *t, const struct cli *cli, bool add, struct err *err)
{
    address *list;
    size_t n, done;
    if (parse_rest(cli, &list, &n, err) < 0)
        return -1;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < t->n_balances; i++) {
        const struct store_balance *b = &t->balances[i].store;
        rc = add ? store_wallets_add(t->store, b, list, n, &done, err)
                 : store_wallets_remove(t->store, b, list, n, &done, err);
        if (rc == 0)
            printf("%s: %zu %s\n", b->name, done, add ? "added" : "removed");
    }
    mem_free(list);
    return rc;
}

static int list_one(struct tracker *t, const struct store_balance *b, bool json, struct err *err)
{
    address after, *page;
    size_t n;
    bool started = false;
    do {
        struct arena arena;
        arena_init(&arena);
        int rc = store_wallets_list(
            t->store, b,
            &(struct store_page){.after = started ? &after : NULL, .limit = PAGE, .arena = &arena},
            &page, &n, err);
        for (size_t i = 0; rc == 0 && i < n; i++) {
            char text[ADDRESS_TEXT];
            address_text(&page[i], text);
            printf(json ? "{\"balance\":\"%s\",\"wallet\":\"%s\"}\n" : "%s %s\n", b->name, text);
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

static int count_one(struct tracker *t, const struct store_balance *b, bool json, struct err *err)
{
    struct store_counts c;
    if (store_count(t->store, b, &c, err) < 0)
        return -1;
    printf(json ? "{\"balance\":\"%s\",\"listed\":%" PRIu64 ",\"rows\":%" PRIu64
                  ",\"unanchored\":%" PRIu64 ",\"quarantined\":%" PRIu64 "}\n"
                : "%s: %" PRIu64 " listed, %" PRIu64 " rows, %" PRIu64 " unanchored, %" PRIu64
                  " in quarantine\n",
           b->name, c.listed, c.rows, c.unanchored, c.quarantined);
    return 0;
}

static int wallets_run_verb(struct tracker *t, const struct cli *cli, struct err *err)
{
    const char *verb = cli->args[0];
    bool json = cli_has(cli, "json");
    if (strcmp(verb, "add") == 0 || strcmp(verb, "remove") == 0)
        return wallets_change_list(t, cli, verb[0] == 'a', err);
    if (strcmp(verb, "import") == 0)
        return wallets_import(t, cli, err);
    if (strcmp(verb, "sync") == 0)
        return wallets_sync(t, cli, err);
    for (size_t i = 0; i < t->n_balances; i++)
        if ((verb[0] == 'l' ? list_one : count_one)(t, &t->balances[i].store, json, err) < 0)
            return -1;
    return 0;
}

int command_wallets(struct cli *cli)
{
    static const char *const verbs[] = {"add", "remove", "import", "sync", "list", "count"};
    struct tracker t;
    struct conf *conf;
    struct err err = {0};
    struct store_adopted adopted;
    bool known = false;
    for (size_t i = 0; i < COUNT_OF(verbs); i++)
        known |= strcmp(cli->args[0], verbs[i]) == 0;
    if (!known)
        return cli_usage(cli,
                         "wallets: unknown verb \"%s\"; add, remove, import, sync, list or count",
                         cli->args[0]);
    int status = cli_open(cli, NEEDS_STORE, &t, &conf);
    if (status)
        return status;
    int rc = tracker_migrate(&t, &adopted, &err);
    if (rc == 0)
        rc = wallets_run_verb(&t, cli, &err);
    cli_close(&t, conf);
    return rc < 0 ? cli_fail(&err) : 0;
}
