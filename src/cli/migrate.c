/* trueup migrate: create or upgrade the schema and stop. */
#include "cli/cli.h"

#include <inttypes.h>
#include <stdio.h>

const struct cli_option migrate_options[] = {
    {"reset-chain", NULL, NULL, "forget the old chain's headers, checkpoint and proofs"},
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

int command_migrate(struct cli *cli)
{
    struct tracker t;
    struct conf *conf;
    struct err err = {0};
    struct arena arena;
    struct store_adopted adopted = {0};
    int status = cli_open(cli, NEEDS_STORE, &t, &conf);
    if (status)
        return status;
    arena_init(&arena);
    int rc = tracker_migrate(&t, &adopted, &err);
    if (rc == 0 && cli_has(cli, "reset-chain"))
        rc = store_reset_chain(t.store, tracker_store_balances(&t, &arena), t.n_balances, &err);
    arena_free(&arena);
    cli_close(&t, conf);
    if (rc < 0)
        return cli_fail(&err);
    print_adopted(&adopted);
    if (cli_has(cli, "reset-chain"))
        puts(
            "the old chain is forgotten: rows stay, unanchored until they are read on the new one");
    puts("schema is up to date");
    return 0;
}
