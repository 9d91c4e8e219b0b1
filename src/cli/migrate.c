/* trueup migrate: create or upgrade the schema and stop. */
#include "cli/session.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

const struct cli_option migrate_options[] = {
    {"reset-chain", NULL, NULL, "forget the old chain's headers, checkpoint and proofs"},
    {"forget", "NAMES", NULL,
     "forget balances that the settings no longer name, separated by commas; rows stay"},
    {0},
};

static void print_adopted(const struct store_adopted *a)
{
    if (a->created)
        puts("table created");
    if (a->added_column)
        puts("column observed_block added");
    if (a->added_index)
        puts("index on updated_at added");
    if (a->index_missing)
        puts("index on updated_at is missing: picking the oldest rows will be slow");
    if (a->terms_changed)
        puts("the terms changed: every row is unanchored until it is read again");
    if (a->rules_changed)
        puts("triggers or wallets rule changed: blocks are synced again from the checkpoint on");
    if (a->foreign_checkpoint)
        puts("another program moved the checkpoint: the blocks it passed are synced again");
    if (a->foreign_rows)
        printf("%" PRIu64 " rows were written by another program: unanchored until read again\n",
               a->foreign_rows);
    if (a->non_canonical_rows)
        printf("%" PRIu64 " rows have a wallet that is not 0x + 40 lower-case hex: left alone\n",
               a->non_canonical_rows);
}

static int migrate_finish(struct session *s, void *ctx, struct err *err)
{
    struct arena arena;
    bool reset = cli_has(s->cli, "reset-chain");
    (void)ctx;
    arena_init(&arena);
    int rc = reset ? store_reset_chain(s->t.store, tracker_store_balances(&s->t, &arena),
                                       s->t.n_balances, err)
                   : 0;
    arena_free(&arena);
    if (rc < 0)
        return -1;
    print_adopted(&s->adopted);
    if (reset)
        puts(
            "the old chain is forgotten: rows stay, unanchored until they are read on the new one");
    puts("schema is up to date");
    return 0;
}

static bool migrate_list_has(const char *list, const char *name)
{
    size_t len = strlen(name);
    while (list) {
        if (strncmp(list, name, len) == 0 && (list[len] == ',' || list[len] == '\0'))
            return true;
        list = strchr(list, ',');
        list += list != NULL;
    }
    return false;
}

static bool migrate_names_balance(const struct tracker *t, const char *name)
{
    for (size_t i = 0; i < t->n_balances; i++)
        if (strcmp(t->balances[i].conf->name, name) == 0)
            return true;
    return false;
}

static int migrate_check_forget(const struct tracker *t, const char *list, const char *name,
                                struct err *err)
{
    bool listed = migrate_list_has(list, name), named = migrate_names_balance(t, name);
    if (listed && named) {
        err_set(err, ERR_USAGE, "--forget: the settings name the balance \"%.80s\"", name);
        return err_hint(err, "take it out of the settings first");
    }
    if (listed || named)
        return 0;
    err_set(err, ERR_USAGE, "--forget: the settings do not name the balance \"%.80s\" either",
            name);
    return err_hint(err, "name all balances that are to go: --forget %.80s,%.80s", list, name);
}

/* Before the settings are held against the store: they lack the names. */
static int migrate_forget(struct session *s, void *ctx, struct err *err)
{
    const char *list = ctx;
    struct arena arena;
    const char *const *names;
    size_t n = 0, forgotten = 0;
    arena_init(&arena);
    int rc = store_upgrade(s->t.store, err) < 0
                 ? -1
                 : store_balance_names(s->t.store, &arena, &names, &n, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = migrate_check_forget(&s->t, list, names[i], err);
    if (rc == 0)
        rc = takeover_check_settings(&s->t, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        if (migrate_list_has(list, names[i])) {
            rc = store_forget_balance(s->t.store, names[i], err);
            forgotten++;
        }
    if (rc == 0 && forgotten == 0)
        rc = err_set(err, ERR_USAGE, "--forget: this database keeps no balance \"%.80s\"", list);
    arena_free(&arena);
    return rc;
}

int command_migrate(struct cli *cli)
{
    const char *forget = cli_value(cli, "forget");
    const int reset = cli_has(cli, "reset-chain") ? SESSION_RESET_CHAIN : 0;
    int rc = 0;
    if (forget)
        rc = session_run(cli, &(struct session_plan){.needs = NEEDS_STORE,
                                                     .steps = SESSION_FIND_STORE,
                                                     .work = migrate_forget,
                                                     .ctx = (void *)(uintptr_t)forget});
    if (rc != 0)
        return rc;
    return session_run(
        cli, &(struct session_plan){.needs = NEEDS_STORE,
                                    .steps = SESSION_MIGRATE | SESSION_ADD_BALANCES | reset,
                                    .work = migrate_finish});
}
