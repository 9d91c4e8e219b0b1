/* The table of commands. */
#include "cli/cli.h"

#include <string.h>

static const struct cli_option none[] = {{0}};

const struct cli_option cli_common[] = {
    {"balance", "NAME", NULL, "only this balance (default: all)"},
    {"store", "URL", "store", "postgres://… or sqlite:FILE"},
    {"rpc", "URL", "chain.endpoints[0].url", "the node to ask"},
    {"token", "ADDR", NULL, "without any file: keep the balances of this token"},
    {"log-level", "LEVEL", "log.level", "error, warn, info, debug or trace"},
    {"json", NULL, NULL, "print data as JSON"},
    {"help", NULL, NULL, "say what the command takes"},
    {0},
};

const struct command commands[] = {
    {"run", "", "the daemon: follow the head, sweep the oldest rows",
     "Follows the chain and keeps every row of the table equal to it, until stopped (SIGTERM).\n"
     "The first start begins at the finalized block, or at --from BLOCK. Without any file,\n"
     "`trueup run --rpc URL --token ADDR` keeps that token's balances in ./trueup.db.\n"
     "SIGHUP reads the settings again and restarts the workers they change.\n",
     run_options, 0, 0, command_run, false},
    {"read", "[WALLET…]", "read balances from the chain now; touches no store",
     "All at one block, which is anchored: the newest, or --at. A wallet that cannot be read is "
     "named\n"
     "with the reason, and the exit status is 1. With --prove no value of an answer is taken: the\n"
     "views run here, on state proven against the block's hash, which the last line names.\n",
     read_options, 0, -1, command_read, false},
    {"sweep", "", "one full pass over the rows now, with progress",
     "As fast as node, database and budget allow; a daemon may run beside it. Ctrl-C ends it "
     "between\n"
     "two writes, and with --max-age a rerun takes only what is left.\n",
     sweep_options, 0, 0, command_sweep, false},
    {"backfill", "", "find holders from event history, read them, fill the table",
     "Looks for the events of the triggers in blocks --from to --to (default: 0, and the last one\n"
     "that is finalized), then reads every holder at one block. First says what it will take. It "
     "may "
     "be\n"
     "stopped or killed at any time: a rerun goes on where it was. A daemon may run beside it.\n",
     backfill_options, 0, 0, command_backfill, false},
    {"snapshot", "", "balances of all rows at a past block, as CSV or JSONL",
     "Writes the balance of every row and of every listed wallet at block --at, or of the wallets\n"
     "in a file, sorted by wallet, below a header that names chain, block and hash. The file "
     "appears under its name when it is complete. A wallet without "
     "a\n"
     "balance there is listed with the reason, and no number.\n",
     snapshot_options, 0, 0, command_snapshot, false},
    {"audit", "", "compare rows with the chain at one block; --fix repairs",
     "Draws rows fairly (or takes --all), reads them at one block that is synced, and says how "
     "many\n"
     "are wrong, why, and what that says of the table. Reads only, unless told to --fix. The exit\n"
     "status is 3 when drift was found, repaired or not; else 6 when a row could not be compared "
     "or "
     "a\n"
     "holder has no row.\n",
     audit_options, 0, 0, command_audit, false},
    {"explain", "WALLET…", "what a row says, why, and what the chain says, term by term",
     "Tells which block and cause a value came from, what the chain says now, what waits for the\n"
     "wallet, and what happened to it, drift included. Writes nothing.\n",
     explain_options, 1, 100, command_explain, false},
    {"wallets", "add|remove|import|sync|list|count [WALLET…|FILE]", "the tracked list",
     "add writes the list only: the sweep reads the wallet, and then its row appears.\n"
     "remove takes the wallet from the list and its row from the table.\n"
     "import adds a file of them: one a line, or CSV with a column \"wallet\"; - is stdin.\n"
     "sync adds whom the balance's query names and the table does not know.\n",
     wallets_options, 1, -1, command_wallets, false},
    {"status", "", "what a running daemon is doing",
     "Asks the daemon at http.listen; when none answers, shows what the database says. The exit\n"
     "status is 0 when the table can be trusted (green), 6 when not all of it (amber), 1 when not\n"
     "(red), 4 when no daemon answers.\n",
     status_options, 0, 0, command_status, false},
    {"doctor", "", "probe the endpoints and the store: what they can do, what to change",
     "Writes nothing. The exit status says whether `trueup run` can work here: 0, or 4 when no\n"
     "endpoint serves, 5 when the store refuses, 1 when a term has no answer.\n",
     doctor_options, 0, 0, command_doctor, false},
    {"config", "check|show|init", "validate, print the effective settings, write a starter file",
     "check names every mistake with its place and what was expected. show says where each value\n"
     "came from; secrets are masked. init writes a commented trueup.yaml, or -c FILE.\n",
     config_options, 1, 2, command_config, false},
    {"migrate", "", "create or upgrade the schema and stop",
     "`trueup run` does the same at its start. What the role has no right to is printed as SQL "
     "for\n"
     "the owner.\n",
     migrate_options, 0, 0, command_migrate, false},
    {"help", "[COMMAND]", "say what there is, or what a command takes", NULL, none, 0, 1,
     command_help, false},
    {"version", "", "print the version", NULL, none, 0, 0, command_version, false},
    {"worker", "follow|listen|sweep|prepare", "one process of `run`, in the foreground", NULL,
     worker_options_, 1, 1, command_worker, true},
    {"reference", "WHAT [NAME]", "what these tables say, for files that repeat it", NULL, none, 1,
     2, command_reference, true},
    {0},
};

const struct command *command_find(const char *name)
{
    for (const struct command *c = commands; c->name; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}
