/* trueup migrate: create or upgrade the schema and stop. */
#include "cli/session.h"

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

int command_migrate(struct cli *cli)
{
    return session_run(cli, &(struct session_plan){.needs = NEEDS_STORE,
                                                   .steps = SESSION_MIGRATE,
                                                   .work = migrate_finish});
}
